"""Digests of image files: what is read, what is remembered, several processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from concepthash.data import file_digests as module
from concepthash.data.file_digests import file_digests
from concepthash.data.folders import cache_folder
from concepthash.errors import InputError


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    (tmp_path / "images").mkdir()
    paths = [tmp_path / "images" / f"{i}.png" for i in range(4)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]) * 100)
    return paths


@pytest.fixture
def long_ago(monkeypatch) -> None:
    """The files of a test were changed longer ago than two seconds."""
    now = time.time_ns
    monkeypatch.setattr(module.time, "time_ns", lambda: now() + 10_000_000_000)


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The names of the files that are read, in any order."""
    names: list[str] = []
    digest = hashlib.file_digest

    def logged(file, algorithm):
        names.append(Path(file.name).name)
        return digest(file, algorithm)

    monkeypatch.setattr(module.hashlib, "file_digest", logged)
    return names


def test_digest_is_sha256_of_the_bytes_in_the_order_of_the_paths(tmp_path, paths):
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert file_digests(tmp_path, paths) == expected
    assert file_digests(tmp_path, paths[::-1]) == expected[::-1]


@pytest.mark.usefixtures("long_ago")
def test_an_unchanged_file_is_read_once(tmp_path, paths, read):
    first = file_digests(tmp_path, paths[:3])
    assert sorted(read) == ["0.png", "1.png", "2.png"]
    read.clear()
    assert file_digests(tmp_path, paths)[:3] == first
    assert read == ["3.png"]
    assert len(list((cache_folder() / "digests").iterdir())) == 1


@pytest.mark.usefixtures("long_ago")
def test_a_file_of_equal_size_and_mtime_is_read_again(tmp_path, paths, read):
    file_digests(tmp_path, paths)
    stat = paths[1].stat()
    read.clear()
    time.sleep(0.05)  # more than the resolution of times
    paths[1].write_bytes(b"x" * 100)
    os.utime(paths[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file_digests(tmp_path, paths)[1] == hashlib.sha256(b"x" * 100).hexdigest()
    assert read == ["1.png"]


def test_a_file_changed_just_now_is_read_again(tmp_path, paths, read):
    file_digests(tmp_path, paths)
    read.clear()
    file_digests(tmp_path, paths)
    assert sorted(read) == [f"{i}.png" for i in range(4)]


@pytest.mark.usefixtures("long_ago")
@pytest.mark.parametrize("content", [b"", b"[]", b'{"images/0.png": [[1, 2], "abc"]}', b"\xff"])
def test_a_broken_cache_of_digests_is_made_anew(tmp_path, paths, content):
    first = file_digests(tmp_path, paths)
    (cache,) = (cache_folder() / "digests").iterdir()
    whole = cache.read_bytes()
    cache.write_bytes(content)
    assert file_digests(tmp_path, paths) == first
    assert cache.read_bytes() == whole


def test_error_names_each_file_that_cannot_be_read(tmp_path, paths):
    paths[1].unlink()
    paths[2].unlink()
    paths[2].mkdir()
    with pytest.raises(InputError) as caught:
        file_digests(tmp_path, paths)
    assert caught.value.lines == (
        f"{paths[1]}: cannot be read (No such file or directory); make it readable",
        f"{paths[2]}: cannot be read (Is a directory); make it readable",
    )


@pytest.mark.usefixtures("long_ago")
def test_two_processes_at_once_read_each_file_once(tmp_path, paths, monkeypatch):
    log = tmp_path / "read.txt"
    digest = hashlib.file_digest

    def logged(file, algorithm):
        with log.open("a") as lines:
            lines.write(f"{Path(file.name).name}\n")
        time.sleep(0.1)  # so that the other process comes before this one is done
        return digest(file, algorithm)

    monkeypatch.setattr(module.hashlib, "file_digest", logged)
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(2), context.SimpleQueue()

    def work() -> None:
        start.wait(timeout=30)
        results.put(file_digests(tmp_path, paths))

    processes = [context.Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert results.get() == results.get()
    assert sorted(log.read_text().split()) == [f"{i}.png" for i in range(4)]
