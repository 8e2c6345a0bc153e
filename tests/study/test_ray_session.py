"""The Ray that a run starts: who can reach it, and what it leaves behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
from study_commands import wait_for_line

from concepthash.study.ray_session import PREFIX, private_folder, ray_session

WAITS_IN_A_SESSION = """
import sys
from concepthash.study.ray_session import ray_session
with ray_session(None, print):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder where private folders of Ray are made; its path is short."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


def sockets_of(process: psutil.Process) -> set[str]:
    """The addresses on which a process, or one below it, waits for connections."""
    listening = set()
    for one in [process, *process.children(recursive=True)]:
        for connection in one.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                listening.add(connection.laddr.ip.removeprefix("::ffff:"))
    return listening


def living_in(folder: Path) -> list[psutil.Process]:
    """The processes whose command line names a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in " ".join(process.info["cmdline"] or []):
            found.append(process)
    return found


def test_a_private_ray_listens_on_loopback_in_a_folder_of_this_user_and_leaves_nothing(beside):
    before = set(psutil.Process().children(recursive=True))
    said: list[str] = []
    with ray_session(None, said.append):
        assert ray.get(ray.remote(lambda: os.getpid()).remote()) != os.getpid()  # it has a worker
        assert sockets_of(psutil.Process()) == {"127.0.0.1"}
        (folder,) = beside.iterdir()
        assert folder.name.startswith(PREFIX)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert "raylet" in " ".join(p.name() for p in living_in(folder))
    assert said == ["starting Ray"]
    assert list(beside.iterdir()) == []
    assert set(psutil.Process().children(recursive=True)) <= before


def test_the_next_start_removes_what_a_killed_process_left_and_nothing_else(beside):
    no_lock = beside / f"{PREFIX}notes"
    no_lock.mkdir()
    first = subprocess.Popen(
        [sys.executable, "-c", WAITS_IN_A_SESSION],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for_line(first, "ready")
    (left,) = {*beside.iterdir()} - {no_lock}
    with private_folder():
        assert left.is_dir()  # its process is alive
    raylet = next(process for process in living_in(left) if process.name() == "raylet")
    raylet.suspend()  # so that it cannot end with its driver
    first.kill()
    first.communicate()
    assert left.is_dir()
    with private_folder():
        assert not left.exists()
        assert living_in(left) == []
    assert [folder.name for folder in beside.iterdir()] == [no_lock.name]
