"""What every test may count on: a quiet, offline, isolated environment, and services by name."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# The programs that scripts/services installs, under the names that systems give them.
SERVICES = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "pdflatex": ("pdflatex",),
    "pdftoppm": ("pdftoppm",),
}

# Set before any test module is imported: several libraries read these at import.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's coming default; silences its notice
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

# A developer's own cluster or tracking server must not receive the suite's runs.
UNSET = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID")

_cache: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    global _cache
    for name in UNSET:
        os.environ.pop(name, None)
    os.environ.update(ENVIRONMENT)
    if config.option.markexpr == "real":
        # `make test-real` may download weights and data, and keeps them in the user's cache.
        del os.environ["HF_HUB_OFFLINE"]
        return
    # One cache for the session: shared by its tests, seen by no other session.
    _cache = Path(tempfile.mkdtemp(prefix="concepthash-cache-"))
    os.environ["XDG_CACHE_HOME"] = str(_cache)


def pytest_unconfigure() -> None:
    if _cache is not None:
        shutil.rmtree(_cache, ignore_errors=True)


def _service(name: str) -> Path:
    """The program's path. Without it the test is skipped, or fails where CI=true."""
    for candidate in SERVICES[name]:
        if path := shutil.which(candidate):
            return Path(path)
    message = f"{name} is not installed; scripts/services installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def chromium() -> Path:
    return _service("chromium")


@pytest.fixture(scope="session")
def pdflatex() -> Path:
    return _service("pdflatex")


@pytest.fixture(scope="session")
def pdftoppm() -> Path:
    return _service("pdftoppm")
