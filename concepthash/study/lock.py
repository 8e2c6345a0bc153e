"""One process at a time runs a study."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from concepthash.errors import InputError


@contextmanager
def study_lock(study: str, storage: str) -> Iterator[None]:
    """Holds the study's lock file in the storage folder until the block or the process ends.

    Storage at a URI has no lock file; there only the heartbeat in the tracking store shows
    another process. Raises InputError with process and host if another one holds the lock.
    """
    if "://" in storage:
        yield
        return
    path = Path(storage, study, "running.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise InputError(
                f"study {study} is being run by {owner} (lock: {path}); wait for it or end it first"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
