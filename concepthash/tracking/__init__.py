"""Runs in MLflow: written by the driver, read into frames."""

# ruff: noqa: E402  MLflow reads its settings when it is imported
import logging
import os

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
for noisy in ("mlflow.store.db", "alembic"):
    logging.getLogger(noisy).setLevel(logging.WARNING)

from concepthash.tracking.artifacts import fetch_codes
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
    "fetch_codes",
    "open_store",
    "read_spec",
    "read_study",
    "serve_ui",
    "versions",
]
