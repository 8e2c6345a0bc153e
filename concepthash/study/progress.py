"""Draws the state of a study while it runs: a live table, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from concepthash.study.describe import duration
from concepthash.study.state import StudyState, TrialState

_LINE_EVERY_S = 5.0
"""Without a terminal, epochs get at most one line in so many seconds, whichever trial's."""


@dataclass
class Progress:
    """Shows a state that somebody else keeps, and says what has just changed in it."""

    state: StudyState
    console: Console = field(default_factory=Console)
    clock: Callable[[], float] = time.monotonic
    """The clock of the times in `state`."""
    _live: Live | None = None
    _waiting: str = ""
    """What the run waits for."""
    _last_epoch_line: float | None = None
    _silences: dict[str, float] = field(default_factory=dict)
    """Seconds of silence that a line was printed of, by digest."""

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draws the live table on a terminal as long as the block runs."""
        if not self.console.is_terminal:
            yield
            return
        live = Live(self, console=self.console, refresh_per_second=4, transient=True)
        with live as self._live:
            yield
        self._live = None

    # --- what happens to the whole ---

    def say(self, line: str) -> None:
        """A line that stays on the screen."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def waits_for(self, what: str) -> None:
        """Says what the run waits for; nothing if `what` is empty."""
        if what and what != self._waiting and self._live is None:
            self.say(what)
        self._waiting = what

    def tick(self) -> None:
        """Called every moment: says which trials have fallen silent, again when twice as long."""
        silent = self.state.silent(self.clock())
        self._silences = {d: seconds for d, seconds in self._silences.items() if d in silent}
        for digest, seconds in silent.items():
            if self._live is None and seconds >= 2 * self._silences.get(digest, 0.0):
                self._silences[digest] = seconds
                self.say(self._silence(self.state.trials[digest].name, seconds))

    # --- what has just happened to a trial ---

    def started(self, digest: str) -> None:
        self._say(f"{self.state.trials[digest].name}: started")

    def reported(self, digest: str) -> None:
        """An epoch."""
        now = self.clock()
        if self._last_epoch_line is not None and now - self._last_epoch_line < _LINE_EVERY_S:
            return
        self._last_epoch_line = now
        trial = self.state.trials[digest]
        line = f"{trial.name}: epoch {trial.epoch}/{trial.epochs}"
        for title, metric in (("loss", "train/total"), ("val/map", "val/map")):
            line += f", {title} {_number(trial, metric)}" if metric in trial.metrics else ""
        self._say(line)

    def ended(self, digest: str) -> None:
        trial = self.state.trials[digest]
        line = f"{trial.name}: {_outcome(trial)}"
        if trial.status == "failed" and self._live is not None:
            self.say(line)  # a failure stays on the screen, above the table
        self._say(line)

    # --- the whole ---

    def summary(self) -> str:
        counts = self.state.counts
        parts = [f"{counts.finished}/{counts.total} trials done", f"{counts.running} running"]
        parts += [f"{counts.pruned} pruned"] if counts.pruned else []
        parts += [f"{counts.failed} failed"]
        left = self.state.seconds_left(self.clock())
        parts += [f"{duration(left)} left"] if left is not None else []
        return ", ".join(parts)

    def __rich__(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        name = max(10, self.console.width - 33)  # the numbers take the rest
        table.add_column("trial", no_wrap=True, overflow="ellipsis", max_width=name)
        for number in ("epoch", "loss", "val mAP"):
            table.add_column(number, justify="right", no_wrap=True)
        for trial in self.state.running:
            table.add_row(
                Text(trial.title),  # a label is not markup
                f"{trial.epoch}/{trial.epochs}" if trial.epoch else "loading",
                _number(trial, "train/total"),
                _number(trial, "val/map"),
            )
        done, left = self.state.epochs_trained, self.state.epochs_left
        style = "red" if self.state.counts.failed else "bold"
        bar = ProgressBar(total=max(1, done + left), completed=done, width=50)
        # Without the padding, what follows the bar would stand in its line.
        parts: list[RenderableType] = [Text(self.summary(), style=style), Padding(bar)]
        parts += [table] if self.state.running else []
        parts += [Text(self._waiting, style="yellow")] if self._waiting else []
        for digest, seconds in self.state.silent(self.clock()).items():
            line = self._silence(self.state.trials[digest].title, seconds)
            parts.append(Text(line, style="yellow"))
        return Group(*parts)

    def _silence(self, name: str, seconds: float) -> str:
        line = f"nothing heard from {name} for {duration(seconds)}"
        usual = self.state.usual_epoch
        return line if usual is None else f"{line}, {seconds / usual:.0f} times its usual epoch"

    def _say(self, line: str) -> None:
        if self._live is None:
            self.say(f"[{self.summary()}] {line}")


def _outcome(trial: TrialState) -> str:
    if trial.status == "failed":
        return f"failed: {trial.reason}"
    if trial.status == "pruned":
        return f"pruned after epoch {trial.epoch}"
    return f"done, test/map {_number(trial, 'test/map')}"


def _number(trial: TrialState, metric: str) -> str:
    return f"{trial.metrics[metric]:.3f}" if metric in trial.metrics else "-"
