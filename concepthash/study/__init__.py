"""Runs a plan as Ray Tune trials; the only room that knows Ray."""

from concepthash.study.run import Outcome, missing_trials, run_study

__all__ = ["Outcome", "missing_trials", "run_study"]
