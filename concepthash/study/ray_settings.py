"""Settings that Ray reads when it is imported: import this module first."""

import logging
import os

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Tune would otherwise insist that every report carries val/map.
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
# The driver reports a failed trial, in one line.
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
# Results are in MLflow: no CSV, JSON and TensorBoard copies.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")

logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
