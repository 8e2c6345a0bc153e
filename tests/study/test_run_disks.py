"""`concepthash-study run` when a disk is full: of the store, and of the checkpoints."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from disks import disk
from study_commands import STUDY, sets, wait_for_line

from concepthash.errors import InputError
from concepthash.study.storage import check_storage, inside
from concepthash.tracking.earlier import earlier_trials
from concepthash.tracking.store import open_store


class Ended(NamedTuple):
    code: int
    output: str
    errors: list[str]
    """Lines of standard error, without the one by which `run` says that it starts."""


@contextmanager
def running(folder: Path, storage: Path) -> Iterator[subprocess.Popen[str]]:
    """One trial of 12 epochs, with the store in `folder`."""
    (folder / "small.yaml").write_text(STUDY)
    changes = sets("tables.0.rows=[{label: guided}]", "baseline.epochs=12")
    command = [sys.executable, "-m", "concepthash", "run", "small.yaml", "--storage", str(storage)]
    with (storage.parent / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [*command, *changes], cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        yield process


def ended(process: subprocess.Popen[str], storage: Path) -> Ended:
    output, _ = process.communicate(timeout=200)
    errors = (storage.parent / "errors.txt").read_text().splitlines()
    print(output, *errors, sep="\n")
    return Ended(process.returncode, output, errors[1:])


def fill(folder: Path) -> Path:
    """Takes what is left of a disk; the file that does it."""
    path = folder / "fill"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return path


def test_a_study_whose_store_has_a_full_disk_ends_in_one_line_and_goes_on_later(tmp_path):
    (tmp_path / "store").mkdir()
    storage = tmp_path / "storage"
    with disk(tmp_path / "store", "3m") as folder:
        with running(folder, storage) as process:
            wait_for_line(process, "epoch 1/12")
            filled = fill(folder)
            first = ended(process, storage)
        assert first.code == 2
        assert first.errors == [
            f"--tracking-uri sqlite:///{folder}/mlflow.db: failed while the study ran (SQLite:"
            " database or disk is full); when it answers again, the same command goes on from here"
        ]
        filled.unlink()
        with running(folder, storage) as process:
            second = ended(process, storage)
        assert second.code == 0
        assert "1 of 1 trials trained" in second.output
        assert "epoch 1/12" not in second.output
        (trial,) = earlier_trials(open_store(f"sqlite:///{folder}/mlflow.db"), "small").values()
        _, later = trial.segments
        assert later["from_epoch"] >= 1


def test_a_trial_whose_checkpoints_have_a_full_disk_fails_and_is_tried_again_later(tmp_path):
    storage = tmp_path / "storage"
    storage.mkdir()
    with disk(storage, "60m"):
        with running(tmp_path, storage) as process:
            wait_for_line(process, "epoch 1/12")
            filled = fill(storage)
            first = ended(process, storage)
        assert first.code == 3
        assert "failed: OSError: [Errno 28]" in first.output
        assert "0 of 1 trials trained, 1 failed" in first.output
        assert first.errors == [
            "the report tells why; the same command tries the failed ones again"
        ]
        filled.unlink()
        with running(tmp_path, storage) as process:
            second = ended(process, storage)
        assert second.code == 0
        assert second.errors == []
        assert "1 of 1 trials trained" in second.output


# --- what is found before Ray starts ---


def refusal(storage: str) -> str:
    with pytest.raises(InputError) as caught:
        check_storage(storage)
    (line,) = caught.value.lines
    assert line.isprintable()
    return line


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ("{folder}/file", "(Not a directory)"),
        ("{folder}/file/below/it", "(Not a directory)"),
        ("{folder}/" + "x" * 300, "(File name too long)"),
        ("foo://u:hunter2@host/x", "Unrecognized filesystem type"),
        ("memory://x", "Unrecognized filesystem type"),
        ("mock:///x", "is in the memory of one process"),
        ("file://relative/x", "Unsupported hostname"),
        ("://", "Cannot parse URI"),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_in_one_line(tmp_path, storage, says):
    (tmp_path / "file").touch()
    line = refusal(storage.replace("{folder}", str(tmp_path)))
    assert line.startswith("--storage ")
    assert says in line
    assert "hunter2" not in line


def test_a_storage_that_is_read_only(tmp_path):
    with disk(tmp_path, "1m") as folder:
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        assert "(Read-only file system)" in refusal(str(folder))
        assert "(Read-only file system)" in refusal(f"{folder}/new")


@pytest.mark.parametrize("form", ["{folder}/a/b", "file://{folder}/a/b"])
def test_a_storage_that_can_be_used_gets_its_folder_and_no_file(tmp_path, form):
    check_storage(form.replace("{folder}", str(tmp_path)))
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize(
    ("storage", "folder"),
    [
        ("/a/b?c", "/a/b?c/small"),
        ("s3://bucket/a", "s3://bucket/a/small"),
        (
            "s3://bucket/a?endpoint_override=localhost:9000",
            "s3://bucket/a/small?endpoint_override=localhost:9000",
        ),
    ],
)
def test_the_options_of_a_uri_stay_at_its_end(storage, folder):
    assert inside(storage, "small") == folder
