"""Runs a plan as Ray Tune trials; the only room that knows Ray."""

# ruff: noqa: E402  Ray reads its settings when it is imported

import logging
import os

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Tune would otherwise insist that every report carries val/map.
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
# A failed trial is told of in one line, by us.
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
# Results are in MLflow: no CSV, JSON and TensorBoard copies.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
logging.getLogger("optuna").setLevel(logging.WARNING)

from concepthash.study.run import Outcome, missing_trials, run_study

__all__ = ["Outcome", "missing_trials", "run_study"]
