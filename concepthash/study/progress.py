"""Draws the state of a study while it runs: a live table, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from concepthash.study.describe import duration
from concepthash.study.state import StudyState, TrialState


@dataclass
class Progress:
    """Shows a state that somebody else keeps, and says what has just changed in it."""

    state: StudyState
    console: Console = field(default_factory=Console)
    clock: Callable[[], float] = time.monotonic
    """The clock of `state.started_at`."""
    _live: Live | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draws the live table on a terminal as long as the block runs."""
        if not self.console.is_terminal:
            yield
            return
        with Live(self, console=self.console, refresh_per_second=4) as self._live:
            yield
        self._live = None

    # --- what has just happened to a trial ---

    def started(self, digest: str) -> None:
        self._say(f"{self.state.trials[digest].name}: started")

    def reported(self, digest: str, metrics: Mapping[str, float]) -> None:
        """An epoch; only validated ones get a line."""
        if "val/map" not in metrics:
            return
        trial = self.state.trials[digest]
        self._say(
            f"{trial.name}: epoch {trial.epoch}/{trial.epochs},"
            f" loss {_number(trial, 'train/total')}, val/map {_number(trial, 'val/map')}"
        )

    def ended(self, digest: str) -> None:
        trial = self.state.trials[digest]
        line = f"{trial.name}: {_outcome(trial)}"
        if trial.status == "failed" and self._live is not None:
            self._print(line)  # a failure stays on the screen, above the table
        self._say(line)

    # --- the whole ---

    def summary(self) -> str:
        counts = self.state.counts
        parts = [f"{counts.finished}/{counts.total} trials done", f"{counts.running} running"]
        parts += [f"{counts.pruned} pruned"] if counts.pruned else []
        parts += [f"{counts.failed} failed"]
        left = self.state.seconds_left(self.clock())
        parts += [f"{duration(left)} left"] if left is not None and counts.running else []
        return ", ".join(parts)

    def __rich__(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("trial", "epoch", "loss", "val mAP"):
            table.add_column(name, justify="left" if name == "trial" else "right")
        for trial in self.state.running:
            table.add_row(
                Text(trial.name),  # a label is not markup
                f"{trial.epoch}/{trial.epochs}",
                _number(trial, "train/total"),
                _number(trial, "val/map"),
            )
        done, left = self.state.epochs_trained, self.state.epochs_left
        bar = ProgressBar(total=max(1, done + left), completed=done, width=50)
        style = "red" if self.state.counts.failed else "bold"
        return Group(Text(self.summary(), style=style), bar, table)

    def _say(self, line: str) -> None:
        if self._live is None:
            self._print(f"[{self.summary()}] {line}")

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _outcome(trial: TrialState) -> str:
    if trial.status == "failed":
        return f"failed: {trial.reason}"
    if trial.status == "pruned":
        return f"pruned after epoch {trial.epoch}"
    return f"done, test/map {_number(trial, 'test/map')}"


def _number(trial: TrialState, metric: str) -> str:
    return f"{trial.metrics[metric]:.3f}" if metric in trial.metrics else "-"
