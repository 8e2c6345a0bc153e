"""`concepthash-study run` when it is told to end, and when a worker hangs."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import psutil
from study_commands import Workplace, sets, wait_for_line, workers_of

ONE = sets("baseline.epochs=200", "tables.0.rows=[{label: guided}]")


class Terminal:
    """A command in a terminal of its own, which is read as it writes."""

    def __init__(self, workplace: Workplace, *arguments: object) -> None:
        self.master, slave = pty.openpty()
        command = [sys.executable, "-m", "concepthash", *map(str, arguments)]
        # `setsid -c` makes it the terminal that Ctrl-C and a hang-up come from.
        self.process = subprocess.Popen(
            ["setsid", "-c", *command],
            cwd=workplace.folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "110"},
        )
        os.close(slave)
        self.text = ""

    def read_until(self, wanted: str | None) -> None:
        """Reads until a text was written, or with None until the command ends."""
        while wanted is None or wanted not in self.text:
            try:
                read = os.read(self.master, 65536).decode(errors="replace")
            except OSError:  # all that wrote to it are gone
                read = ""
            if not read:
                assert wanted is None, self.text
                return
            self.text += read


def assert_ended_in_order(workplace: Workplace, below: list[psutil.Process]) -> None:
    """No process is left, and what was trained is on the record and in the storage, once."""
    _, alive = psutil.wait_procs(below, timeout=20)
    assert alive == []
    (trial,) = workplace.earlier().values()
    assert trial.status == "interrupted"
    kept = {path.parent for path in workplace.folder.glob("storage/**/*") if path.is_file()}
    assert kept == {
        workplace.folder / "storage" / "small",
        workplace.folder / str(trial.checkpoint),
    }


def test_a_run_that_is_terminated_ends_as_with_ctrl_c(workplace):
    run = workplace.start("run", workplace.file, *ONE)
    wait_for_line(run, "epoch ")
    below = psutil.Process(run.pid).children(recursive=True)
    run.terminate()
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM
    lines = [line for line in output.splitlines() if not line.startswith("[")]
    assert lines[-1] == "interrupted; the same command goes on from here"
    assert "Traceback" not in output
    assert "SIG" not in output
    assert_ended_in_order(workplace, below)


def test_ctrl_c_ends_a_run_in_a_terminal_without_a_traceback(workplace):
    terminal = Terminal(workplace, "run", workplace.file, *ONE)
    terminal.read_until("1/200")
    below = psutil.Process(terminal.process.pid).children(recursive=True)
    os.write(terminal.master, b"\x03")
    terminal.read_until(None)
    os.close(terminal.master)
    assert terminal.process.wait(60) == 130
    # What came before the first trial was told, and trials have a name.
    first = terminal.text[: terminal.text.index("1/200")]
    for phase in ("reading images", "starting Ray", "loading the workers' libraries"):
        assert phase in first
    assert "guided, seed 0  1/200" in " ".join(terminal.text.split(" ")).replace("   ", "  ")
    end = terminal.text[-400:]
    assert "interrupted; the same command goes on from here" in end
    for noise in ("Traceback", "Error", "Aborted", "[I "):
        assert noise not in terminal.text
    assert_ended_in_order(workplace, below)


def test_a_run_whose_terminal_is_closed_ends_as_with_ctrl_c(workplace):
    terminal = Terminal(workplace, "run", workplace.file, *ONE)
    terminal.read_until("1/200")
    below = psutil.Process(terminal.process.pid).children(recursive=True)
    os.close(terminal.master)
    assert terminal.process.wait(60) == 128 + signal.SIGHUP
    assert_ended_in_order(workplace, below)


def test_ctrl_c_while_ray_starts_ends_a_run_once_it_has_started(workplace):
    terminal = Terminal(workplace, "run", workplace.file, *ONE)
    terminal.read_until("starting Ray")
    process = psutil.Process(terminal.process.pid)
    while not (below := process.children(recursive=True)):
        assert process.is_running()
    os.write(terminal.master, b"\x03")
    terminal.read_until(None)
    os.close(terminal.master)
    assert terminal.process.wait(60) == 130
    assert "Traceback" not in terminal.text
    assert psutil.wait_procs(below, timeout=20)[1] == []
    assert workplace.earlier() == {}  # no trial had started


def test_a_worker_that_hangs_is_told_and_after_a_limit_replaced(workplace):
    changes = ("tables.0.rows=[{label: guided}]", "resources.silent_minutes=0.5")
    run = workplace.start("run", workplace.file, *sets("baseline.epochs=60", *changes))
    wait_for_line(run, "epoch 1/60")
    wait_for_line(run, "epoch ")  # seconds later: Tune has more than one of its checkpoints
    (worker,) = workers_of(psutil.Process(run.pid))
    worker.suspend()
    assert "times its usual epoch" in wait_for_line(run, "nothing heard from guided, seed 0")
    assert "its worker is ended" in wait_for_line(run, "reported nothing for 0 min 30 s")
    output, _ = run.communicate(timeout=120)
    print(output)
    assert run.returncode == 0
    assert "1 of 1 trials trained" in output
    assert "epoch 1/60" not in output  # it went on from its checkpoint
    assert not worker.is_running()
