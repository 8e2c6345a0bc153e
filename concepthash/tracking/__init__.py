"""Runs in MLflow: written by the driver, read into frames."""

from concepthash.tracking.frame import Frames, read_spec, read_study
from concepthash.tracking.recorder import Earlier, Recorder, earlier_trials, versions
from concepthash.tracking.store import Store, open_store
from concepthash.tracking.ui import serve_ui

__all__ = [
    "Earlier",
    "Frames",
    "Recorder",
    "Store",
    "earlier_trials",
    "open_store",
    "read_spec",
    "read_study",
    "serve_ui",
    "versions",
]
