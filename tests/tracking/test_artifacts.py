"""Codes of a finished trial, fetched from a real store."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from concepthash.errors import InputError
from concepthash.plan import make_plan
from concepthash.spec import StudySpec
from concepthash.tracking.artifacts import fetch_codes
from concepthash.tracking.recorder import Recorder
from concepthash.tracking.store import open_store

STUDY = StudySpec.model_validate_json(
    """{"name": "birds", "dataset": {"name": "paperbirds"}, "seeds": [0, 1, 2],
        "baseline": {"protocol": "unseen"}, "tables": [{"name": "t", "rows": [{}]}]}"""
)
FIRST, SECOND, FAILED = make_plan(STUDY).trials.values()


@pytest.fixture
def recorded(store, tmp_path):
    """Two finished trials, of which the first left codes, and a failed one."""
    recorder = Recorder(store, make_plan(STUDY), {})
    recorder.open()
    for number, trial in enumerate((FIRST, SECOND)):
        recorder.begin(trial, device="cpu", threads=1)
        folder = tmp_path / str(number)
        folder.mkdir()
        if number == 0:
            save_file({"query_codes": torch.full((2, 4), 7.0)}, folder / "codes.safetensors")
        recorder.finish(trial.digest, folder)
    recorder.begin(FAILED, device="cpu", threads=1)
    recorder.fail(FAILED.digest, "it did")
    recorder.close("FINISHED")
    return store


def run_id(store, digest: str) -> str:
    (experiment,) = (e for e in store.client.search_experiments() if e.name == "birds")
    runs = store.runs(experiment.experiment_id, "trial")
    (run,) = (run for run in runs if run.data.tags["digest"] == digest)
    return run.info.run_id


@pytest.mark.parametrize("by", ["digest", "beginning", "run id"])
def test_a_trial_is_found_by_its_digest_or_run_id(recorded, tmp_path, by):
    name = {
        "digest": FIRST.digest,
        "beginning": FIRST.digest[:7],
        "run id": run_id(recorded, FIRST.digest),
    }[by]
    path, about = fetch_codes(recorded, name, tmp_path)
    assert load_file(path)["query_codes"].tolist() == [[7.0] * 4] * 2
    assert about == {
        "study": "birds",
        "digest": FIRST.digest,
        "seed": "0",
        "protocol": "unseen",
        "mean_center": "off",
    }


def refusal(store, name: str, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        fetch_codes(store, name, folder)
    (line,) = caught.value.lines
    return line


def test_one_of_several_must_be_named(recorded, tmp_path):
    said = refusal(recorded, "", tmp_path)
    assert said.startswith(f": 2 finished trials of {recorded.uri} have this digest or run id (")
    assert FIRST.digest in said
    assert said.endswith("; give one's run id")


@pytest.mark.parametrize("name", ["zzz", FAILED.digest])
def test_a_trial_that_is_not_there_or_did_not_finish(recorded, tmp_path, name):
    assert refusal(recorded, name, tmp_path) == (
        f"{name}: no finished trial of {recorded.uri} has this digest or run id; `plan` lists the"
        " digests"
    )


def test_a_store_that_is_not_there(tmp_path):
    assert "no finished trial" in refusal(
        open_store(f"sqlite:///{tmp_path}/none.db"), "abc", tmp_path
    )
    assert not (tmp_path / "none.db").exists()


def test_a_trial_without_codes(recorded, tmp_path):
    said = refusal(recorded, SECOND.digest, tmp_path)
    assert said.startswith(f"{SECOND.digest}: the store has no codes of trial {SECOND.digest} (")
