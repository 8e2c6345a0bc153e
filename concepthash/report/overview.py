"""The study as a whole: how much of it is done, and every trial with its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from concepthash.plan import Plan
from concepthash.report.cells import FINISHED, MISSING, count_unfinished
from concepthash.report.kinds import TableReport
from concepthash.report.wording import counted, duration, plural


@dataclass(frozen=True)
class TrialLine:
    digest: str
    places: tuple[str, ...]
    """The tables and cells that it belongs to."""
    seed: int | None
    status: str
    value: float | None
    """Its test/map."""
    duration_s: float | None
    run_id: str
    failure: str


@dataclass(frozen=True)
class Progress:
    cells_done: int
    cells: int
    trials_done: int
    trials: int
    unfinished: dict[str, int]
    sampled: int
    """Trials that searches have proposed so far, of `to_sample`."""
    to_sample: int
    cost: str
    """Training time and devices, in words."""

    @property
    def warning(self) -> str:
        """Why numbers may still change, or an empty string."""
        if not self.unfinished:
            return ""
        return (
            f"{counted(self.unfinished)} of {plural(self.trials, 'planned trial')}:"
            f" {plural(self.cells - self.cells_done, 'cell')} incomplete, each marked in its table."
        )

    @property
    def done(self) -> str:
        """`8 of 9 cells, 26 of 27 trials; 5 of 20 sampled trials`."""
        parts = []
        if self.cells:
            cells = f"{self.cells_done} of {plural(self.cells, 'cell')}"
            parts.append(f"{cells}, {self.trials_done} of {plural(self.trials, 'trial')}")
        if self.to_sample:
            parts.append(f"{self.sampled} of {plural(self.to_sample, 'sampled trial')}")
        return "; ".join(parts)


def progress(plan: Plan, trials: pl.DataFrame, tables: Sequence[TableReport]) -> Progress:
    cells = [cell for table in tables for cell in table.cells]
    # A trial may finish without the metric that one table shows, and is done all the same.
    known = dict(trials.select("digest", "status").iter_rows())
    statuses = [known.get(digest, MISSING) for digest in plan.trials]
    seconds = float(trials["duration_s"].sum() or 0)
    devices = ", ".join(trials["device"].drop_nulls().unique().sort())
    return Progress(
        cells_done=sum(cell.complete for cell in cells),
        cells=len(cells),
        trials_done=statuses.count(FINISHED),
        trials=len(statuses),
        unfinished=count_unfinished(statuses),
        sampled=sum(table.sampled for table in tables),
        to_sample=sum(table.to_sample for table in tables),
        cost=duration(seconds) + (f" on {devices}" if devices else "") if seconds else "",
    )


def trial_lines(plan: Plan, trials: pl.DataFrame, tables: Sequence[TableReport]) -> list[TrialLine]:
    """The plan's trials in order, then those of searches, then runs of no table any more."""
    places: dict[str, list[str]] = {}
    for table in tables:
        for digest, place in table.places:
            places.setdefault(digest, []).append(f"{table.name}: {place}")
    runs = {run["digest"]: run for run in trials.iter_rows(named=True)}
    lines = []
    for digest in dict.fromkeys([*plan.trials, *runs]):
        run = runs.get(digest, {})
        lines.append(
            TrialLine(
                digest,
                tuple(places.get(digest, ["not in the study file"])),
                plan.trials[digest].seed if digest in plan.trials else run["seed"],
                run.get("status") or MISSING,
                run.get("test/map"),
                run.get("duration_s"),
                run.get("run_id") or "",
                " ".join((run.get("failure") or "").split()),
            )
        )
    return lines
