from __future__ import annotations

from pathlib import Path

import pytest
from mlflow_stores import database, empty_database  # noqa: F401  fixtures
from study_commands import Workplace


@pytest.fixture
def workplace(tmp_path: Path, database: Path) -> Workplace:  # noqa: F811
    return Workplace(tmp_path)
