"""Runs in MLflow: written by the driver, read into frames.

runs.py       what the store says of a trial, as plain data
store.py      where runs are kept
recorder.py   writes a study and its trials
earlier.py    reads what earlier runs of a study left
frame.py      reads a study into polars frames
study_file.py the study itself, as it was run
artifacts.py  the codes of a trial
ui.py         MLflow's own interface

Importing the package or runs.py does not import MLflow.
"""

import logging
import os

# MLflow reads these when it is imported.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
for _noisy in ("mlflow.store.db", "alembic"):
    logging.getLogger(_noisy).setLevel(logging.WARNING)
