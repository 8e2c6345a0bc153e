"""What stays in the storage of a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow.fs import LocalFileSystem

from concepthash.study.leftovers import clean_storage, keep_model_only
from concepthash.tracking.runs import Earlier

CHECKPOINT = ("checkpoint.json", "codes.safetensors", "epoch-0003.safetensors", "model.safetensors")


def checkpoint(folder: Path) -> str:
    folder.mkdir(parents=True)
    for name in CHECKPOINT:
        (folder / name).write_text("tensors")
    return str(folder)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_trained_trial_keeps_its_model(tmp_path):
    keep_model_only(LocalFileSystem(), checkpoint(tmp_path / "c"))
    assert files(tmp_path) == ["c/model.safetensors"]
    keep_model_only(LocalFileSystem(), str(tmp_path / "c"))  # twice is once
    keep_model_only(LocalFileSystem(), str(tmp_path / "away"))
    assert files(tmp_path) == ["c/model.safetensors"]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_only_what_known_trials_need_stays(tmp_path, scheme):
    runs = tmp_path / "s"
    known = {
        "a": Earlier("1", "finished", checkpoint=checkpoint(runs / "1-grid-me" / "a" / "c2")),
        "b": Earlier("2", "interrupted", checkpoint=checkpoint(runs / "2-grid-me" / "b" / "c1")),
        "c": Earlier("3", "pruned", checkpoint=checkpoint(runs / "2-grid-me" / "c" / "c1")),
        "d": Earlier("4", "failed", checkpoint=checkpoint(runs / "1-grid-me" / "d" / "c1")),
        "e": Earlier("5", "interrupted"),
    }
    checkpoint(runs / "1-grid-me" / "b" / "c5")  # superseded
    checkpoint(runs / "0-grid-me" / "b" / "c1")
    (runs / "2-grid-me" / "tuner.pkl").write_text("")
    (runs / "2-grid-me" / "b" / "params.pkl").write_text("")
    others = checkpoint(runs / "2-grid-other" / "b" / "c1")
    (runs / "running.lock").write_text("")
    clean_storage(f"{scheme}{tmp_path}", "s", "me", known)
    assert files(runs) == [
        "1-grid-me/a/c2/model.safetensors",
        *(f"2-grid-me/b/c1/{name}" for name in CHECKPOINT),
        *(f"2-grid-other/b/c1/{name}" for name in CHECKPOINT),
        "running.lock",
    ]
    assert Path(others).is_dir()
    assert not (runs / "0-grid-me").exists()
    assert not (runs / "2-grid-me" / "c").exists()
