"""Why a worker ended, as the driver says it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train._internal.storage import StorageContext
from ray.tune.experiment import Trial as TuneTrial

from concepthash.study.driver import failure_of
from concepthash.study.ray_session import ray_session


@pytest.fixture(scope="module")
def started_ray() -> Iterator[None]:
    """Tune's folders lie in that of a running Ray."""
    with ray_session(None, print):
        yield


@pytest.fixture
def trial(started_ray: None, tmp_path: Path) -> TuneTrial:
    """A trial of Tune with a folder of the driver."""
    storage = StorageContext(str(tmp_path), "experiment", trial_dir_name=tmp_path.name)
    trial = TuneTrial("function", stub=True, storage=storage)
    Path(trial.local_path).mkdir(parents=True)
    return trial


class Planted:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_in_the_place_of_an_error_is_not_run(trial, tmp_path):
    trial.handle_error(ActorDiedError())
    Path(trial.pickled_error_file).write_bytes(pickle.dumps(Planted(tmp_path / "ran")))
    assert failure_of(trial)
    assert not (tmp_path / "ran").exists()


def test_the_last_error_of_a_worker_is_told_in_one_line(trial):
    assert failure_of(trial) == "its worker ended, and Ray gives no reason"
    trial.handle_error(ActorDiedError())
    assert failure_of(trial).startswith("The actor died unexpectedly before finishing this task.")
    cause = ValueError("the disk is full")
    text = f"ray::run()\n  File 'x.py', line 3\n    raise\n{type(cause).__name__}: {cause}\n"
    trial.handle_error(RayTaskError("run", f"Traceback (most recent call last):\n{text}", cause))
    assert failure_of(trial) == "ValueError: the disk is full"
