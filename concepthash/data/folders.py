"""The project's cache folder: locks on what is made only once, files that are always whole."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock


def cache_folder() -> Path:
    """The user's cache folder of this project (XDG_CACHE_HOME moves it on Linux)."""
    return Path(platformdirs.user_cache_dir("concepthash-study"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time works on `folder`; another one waits until the first is done.

    The locks are files in the cache folder, so `folder` itself need not exist. The operating
    system frees the lock of a process that is killed.
    """
    name = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    locks = cache_folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{name}.lock"):
        yield


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file that others see either as it was before or whole, after a power cut, too.

    Its folder is made if there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder, path.name)
        temporary.write_bytes(content)
        flush(temporary)
        temporary.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Returns when a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
