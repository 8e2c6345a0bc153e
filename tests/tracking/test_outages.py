"""A store that fails while a study is recorded: one line, nothing else, and it goes on later."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing

import pytest
from disks import disk

from concepthash.errors import InputError
from concepthash.plan import make_plan
from concepthash.spec import StudySpec
from concepthash.tracking.database import PATIENCE_S
from concepthash.tracking.earlier import earlier_trials
from concepthash.tracking.recorder import Recorder
from concepthash.tracking.store import Store, open_store, outages_in_one_line

PLAN = make_plan(
    StudySpec.model_validate_json(
        '{"name": "birds", "dataset": {"name": "paperbirds"}, "seeds": [0],'
        ' "tables": [{"name": "t", "rows": [{}]}]}'
    )
)
(TRIAL,) = PLAN.trials.values()
HERE = {"precision": "fp32", "processor": "AMD EPYC"}


def begun(store: Store) -> Recorder:
    recorder = Recorder(store, PLAN, {})
    recorder.open()
    recorder.begin(TRIAL, device="cpu", threads=1)
    return recorder


def test_a_database_that_another_process_keeps_locked_is_waited_for_and_then_told(store, capfd):
    recorder = begun(store)
    assert store.file is not None
    capfd.readouterr()
    started = time.monotonic()
    with closing(sqlite3.connect(store.file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputError) as caught, outages_in_one_line(store, "storage"):
            recorder.log(TRIAL.digest, {"epoch": 1, "train/total": 9.0}, None, HERE)
    assert PATIENCE_S <= time.monotonic() - started < 2 * PATIENCE_S
    (line,) = caught.value.lines
    assert line == (
        f"--tracking-uri {store}: failed while the study ran (another process has kept the database"
        f" locked for {PATIENCE_S} s; wait for it, or end it); when it answers again, the same"
        " command goes on from here"
    )
    assert capfd.readouterr() == ("", "")

    recorder.log(TRIAL.digest, {"epoch": 1, "train/total": 9.0}, None, HERE)
    assert earlier_trials(store, "birds")[TRIAL.digest].metrics["train/total"] == 9.0


def test_a_disk_without_room_for_the_codes_of_a_trial_is_told(tmp_path, empty_database):
    (tmp_path / "codes.safetensors").write_bytes(bytes(3 << 20))
    (tmp_path / "disk").mkdir()
    with disk(tmp_path / "disk", "3m") as folder:
        store = open_store(f"sqlite:///{shutil.copy(empty_database, folder)}")
        recorder = begun(store)
        with pytest.raises(InputError) as caught, outages_in_one_line(store, "storage"):
            recorder.finish(TRIAL.digest, tmp_path)
    assert caught.value.lines == (f"--tracking-uri {store}: failed (No space left on device)",)
