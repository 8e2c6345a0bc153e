"""What a person sees while a study runs: a live table, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from concepthash.plan import Trial


@dataclass
class _Running:
    trial: Trial
    epoch: int = 0
    loss: float | None = None
    validation: float | None = None


@dataclass
class Progress:
    """Counts trials and epochs. `total` trials are planned, `done` of them were found trained."""

    total: int
    done: int
    epochs: int
    """Of all trials still to train."""
    console: Console = field(default_factory=Console)
    failed: int = 0
    pruned: int = 0
    repeated: int = 0
    """Proposals of a search that were trained already, and are no trials of their own."""
    running: dict[str, _Running] = field(default_factory=dict)
    _epochs_done: int = 0
    _started: float | None = None
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

    def start(self, trial: Trial) -> None:
        self._started = self._started or time.monotonic()
        self.running[trial.digest] = _Running(trial)
        self._say(f"{trial.digest} seed {trial.seed}: started")

    def epoch(self, digest: str, metrics: Mapping[str, float]) -> None:
        line = self.running[digest]
        line.epoch = int(metrics["epoch"])
        line.loss = metrics.get("train/total")
        line.validation = metrics.get("val/map", line.validation)
        self._epochs_done += 1
        if "val/map" in metrics:
            self._say(
                f"{digest} seed {line.trial.seed}: epoch {line.epoch}/{line.trial.spec.epochs},"
                f" loss {_number(line.loss)}, val/map {_number(line.validation)}"
            )

    def finish(self, digest: str, outcome: str) -> None:
        """Takes the trial off; `outcome` is what is said of it."""
        line = self.running.pop(digest)
        # Epochs that it will not train no longer count as left.
        self.epochs -= line.trial.spec.epochs - line.epoch
        if outcome.startswith("failed"):
            self.failed += 1
            if self._live is not None:  # a failure stays on the screen, above the table
                self._print(f"{digest} seed {line.trial.seed}: {outcome}")
        elif outcome.startswith("pruned"):
            self.pruned += 1
        else:
            self.done += 1
        self._say(f"{digest} seed {line.trial.seed}: {outcome}")

    def seconds_left(self) -> float | None:
        """At the speed so far; None before the first epoch."""
        if self._started is None or not self._epochs_done:
            return None
        elapsed = time.monotonic() - self._started
        return elapsed / self._epochs_done * max(0, self.epochs - self._epochs_done)

    @property
    def finished(self) -> int:
        """Trials that ended one way or another, earlier or now."""
        return self.done + self.pruned + self.failed + self.repeated

    def summary(self) -> str:
        parts = [f"{self.done}/{self.total} trials done", f"{len(self.running)} running"]
        parts += [f"{self.pruned} pruned"] if self.pruned else []
        parts += [f"{self.failed} failed"]
        left = self.seconds_left()
        parts += [f"{_duration(left)} left"] if left is not None and self.running else []
        return ", ".join(parts)

    def _say(self, line: str) -> None:
        if self._live is None:
            self._print(f"[{self.summary()}] {line}")

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __rich__(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("trial", "seed", "epoch", "loss", "val mAP"):
            table.add_column(name, justify="left" if name == "trial" else "right")
        for digest, line in self.running.items():
            table.add_row(
                digest,
                str(line.trial.seed),
                f"{line.epoch}/{line.trial.spec.epochs}",
                _number(line.loss),
                _number(line.validation),
            )
        bar = ProgressBar(total=max(1, self.epochs), completed=self._epochs_done, width=50)
        style = "red" if self.failed else "bold"
        return Group(Text(self.summary(), style=style), bar, table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
