"""From a plan and a frame of runs to a report that can go into a paper."""

from concepthash.report.render import Runs, write_report

__all__ = ["Runs", "write_report"]
