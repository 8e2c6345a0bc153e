"""Starts a private Ray on this machine, or joins a running cluster; ends what it started.

Ray's own default is a folder in /tmp that everybody may write to, and servers that listen on every
interface. A Ray that is started here has a folder of its own, which only this user may enter, and
listens on loopback only.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

import concepthash.study.ray_settings  # noqa: F401

# isort: split
import ray
from ray._private import ray_constants, utils

from concepthash.errors import InputError
from concepthash.study.cluster import check_workers, describe_cluster

PREFIX = "concepthash-"
"""Of private folders, beside which there may be those of other processes."""
_LOCK = "lock"
_LONGEST = 20
"""The path of a socket may have 107 characters, and those of Ray below this folder have some 87."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


@contextmanager
def ray_session(cluster: str | None, say: Callable[[str], None]) -> Iterator[None]:
    """Ray inside the block: the cluster that `find_cluster` found, or without one a private Ray.

    `say` gets a line for people on what happens. Raises InputError if the cluster cannot train
    our trials.
    """
    if cluster is None:
        with private_folder() as folder, _on_loopback():
            say("starting Ray")
            try:
                # "local": the address file of an earlier cluster must not capture a laptop's run.
                _init(address="local", include_dashboard=False, _temp_dir=str(folder / "r"))
                yield
            finally:
                ray.shutdown()
        return
    try:
        _init(address=cluster)
        say(describe_cluster(cluster))
        check_workers(cluster)
        yield
    finally:
        ray.shutdown()


def _init(**arguments: Any) -> None:
    """`ray.init` that leaves the handling of signals as it is, and is not interrupted by one.

    Interrupted in its middle it would lose the signal, or crash at the end of the process.
    """
    if threading.current_thread() is not threading.main_thread():
        ray.init(**arguments, **_QUIET)
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    received: list[int] = []
    for number in before.keys() - {signal.SIGHUP}:
        signal.signal(number, lambda number, frame: received.append(number))
    # What Ray starts ignores the end of the terminal, so that the driver can end it in order.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    of_ray, utils.set_sigterm_handler = utils.set_sigterm_handler, lambda handler: None
    try:
        ray.init(**arguments, **_QUIET)
    finally:
        utils.set_sigterm_handler = of_ray
        for number, handler in before.items():
            signal.signal(number, handler)
    for sent in received:
        signal.raise_signal(sent)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """What is started inside the block listens on 127.0.0.1 only.

    Ray does this where it supports no clusters (macOS, Windows); everywhere else it replaces a
    loopback address, even one that is asked for, by that of the network.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder that only this user may enter; removed after the block, with its processes.

    Folders that a killed process left are removed, too: nobody holds their lock any more. Raises
    InputError if RAY_TMPDIR, Ray's own variable for where to put it, cannot be used.
    """
    beside = Path(os.environ.get("RAY_TMPDIR", "/tmp"))
    if not beside.is_dir() or len(str(beside)) > _LONGEST:
        raise InputError(
            f"RAY_TMPDIR: {beside} should be a folder with a path of at most {_LONGEST} characters"
        )
    for left in beside.glob(f"{PREFIX}*/{_LOCK}"):
        _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=beside))  # its mode is 0700
    with (folder / f"{_LOCK}.new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Path(lock.name).rename(folder / _LOCK)  # there is no moment with a lock that nobody holds
        try:
            yield folder
        finally:
            _remove(folder)


def _remove_if_left(lock: Path) -> None:
    with suppress(OSError):  # another process may be removing it, or it is another user's
        about = lock.parent.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
            return
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock.parent)


def _remove(folder: Path) -> None:
    """Ends this user's processes that live in a private folder, and removes it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid == os.getpid() or process.uids().real != os.getuid():
                continue
            if f"{folder}/" in " ".join([*process.cmdline(), f"{process.cwd()}/"]):
                process.kill()
                process.wait(5)
    shutil.rmtree(folder, ignore_errors=True)
