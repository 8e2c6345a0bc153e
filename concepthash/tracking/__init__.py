"""Runs in MLflow: written by the driver, read into frames.

runs.py       what the store says of a trial, as plain data
store.py      where runs are kept
uri.py        which file a URI names, and how it is shown without its password
check.py      whether a store can be used
database.py   reads an SQLite store without MLflow
source.py     by which arguments a study was run
versions.py   which code it was run with
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
logging.getLogger("alembic").setLevel(logging.WARNING)
# Whoever uses the store says in one line that it failed.
for _noisy in ("mlflow.store.db", "mlflow.utils.databricks_utils", "urllib3.connectionpool"):
    logging.getLogger(_noisy).setLevel(logging.CRITICAL)
