from __future__ import annotations

from pathlib import Path

import pytest
from mlflow_stores import database, empty_database  # noqa: F401  fixtures

from concepthash.tracking.store import Store, open_store


@pytest.fixture
def store(database: Path) -> Store:  # noqa: F811
    return open_store(f"sqlite:///{database}")
