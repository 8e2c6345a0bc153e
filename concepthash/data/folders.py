"""The project's cache folder, and locks on what processes of one machine make only once."""

from __future__ import annotations

import hashlib
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
