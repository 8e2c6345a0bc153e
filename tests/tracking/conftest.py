from __future__ import annotations

from pathlib import Path

import pytest
from birds import STUDY
from mlflow_stores import database, empty_database  # noqa: F401  fixtures

from concepthash.plan import make_plan
from concepthash.tracking.recorder import Recorder
from concepthash.tracking.store import Store, open_store
from concepthash.tracking.versions import versions


@pytest.fixture
def store(database: Path) -> Store:  # noqa: F811
    return open_store(f"sqlite:///{database}")


@pytest.fixture
def recorder(store):
    recorder = Recorder(store, make_plan(STUDY), versions())
    recorder.open()
    yield recorder
    recorder.close("FINISHED")
