"""Locks between processes, and files that are always whole."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from concepthash.data.folders import locked, replace_file


def test_lock_of_a_killed_process_is_free(tmp_path):
    context = multiprocessing.get_context("fork")
    entered = context.Event()

    def hold() -> None:
        with locked(tmp_path):
            entered.set()
            time.sleep(60)

    def enter() -> None:
        with locked(tmp_path):
            pass

    holder, waiting = context.Process(target=hold), context.Process(target=enter)
    holder.start()
    assert entered.wait(timeout=30)
    waiting.start()
    waiting.join(timeout=0.5)
    assert waiting.is_alive()
    holder.kill()
    waiting.join(timeout=30)
    assert waiting.exitcode == 0


def test_a_replaced_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path = tmp_path / "new folder" / "a.json"
    replace_file(path, b"first")
    seen = []
    fsync = os.fsync

    def observed(descriptor: int) -> None:
        seen.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, path.read_bytes()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", observed)
    replace_file(path, b"second")
    assert seen == [("a.json", b"first"), ("new folder", b"second")]
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    replace_file(path, b"first")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
