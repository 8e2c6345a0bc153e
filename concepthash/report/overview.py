"""The study as a whole: how far it is, and every trial with where its numbers went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from concepthash.plan import Plan, TablePlan
from concepthash.report.claims import ClaimsResult
from concepthash.report.search import SearchResult
from concepthash.report.tables import FINISHED, MISSING, GridResult, troubles
from concepthash.report.words import counted, duration, plural
from concepthash.spec import ClaimsTable


@dataclass(frozen=True)
class TrialLine:
    digest: str
    places: tuple[str, ...]
    """The cells or the search that it belongs to."""
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
    troubles: dict[str, int]
    sampled: int
    """Trials that searches have sampled, of `to_sample` planned."""
    to_sample: int
    cost: str
    """Training time and devices, in words."""

    @property
    def warning(self) -> str:
        """Why numbers may still change, or an empty string."""
        if not self.troubles:
            return ""
        return (
            f"{counted(self.troubles)} of {plural(self.trials, 'planned trial')}:"
            f" {plural(self.cells - self.cells_done, 'cell')} incomplete, each marked in its table."
        )


def progress(
    plan: Plan,
    trials: pl.DataFrame,
    tables: Sequence[GridResult | ClaimsResult],
    searches: Sequence[SearchResult],
) -> Progress:
    cells = [cell for table in tables for cell in table.cells]
    # A trial may finish without the value that one table asks for and still be done.
    known = dict(trials.select("digest", "status").iter_rows())
    statuses = [known.get(digest, MISSING) for digest in plan.trials]
    seconds = float(trials["duration_s"].sum() or 0)
    devices = ", ".join(trials["device"].drop_nulls().unique().sort())
    return Progress(
        cells_done=sum(cell.complete for cell in cells),
        cells=len(cells),
        trials_done=statuses.count(FINISHED),
        trials=len(statuses),
        troubles=troubles(statuses),
        sampled=sum(search.frame.height for search in searches),
        to_sample=sum(search.table.search.trials for search in searches),
        cost=duration(seconds) + (f" on {devices}" if devices else "") if seconds else "",
    )


def trial_lines(plan: Plan, trials: pl.DataFrame) -> list[TrialLine]:
    """The plan's trials in order, then those of searches, then runs no cell asks for any more."""
    places: dict[str, list[str]] = {}
    for table in plan.tables:
        for digest, place in _places(table):
            places.setdefault(digest, []).append(f"{table.table.name}: {place}")
    runs = {run["digest"]: run for run in trials.iter_rows(named=True)}
    names = {search.name for search in plan.searches}
    lines = []
    for digest in [*plan.trials, *sorted(set(runs) - set(plan.trials), key=list(runs).index)]:
        run = runs.get(digest, {})
        sampled = [f"{run['table']}: sampled"] if run.get("table") in names else []
        seed = plan.trials[digest].seed if digest in plan.trials else run["seed"]
        lines.append(
            TrialLine(
                digest,
                tuple(places.get(digest, []) + sampled) or ("not in the study file",),
                seed,
                run.get("status") or MISSING,
                run.get("test/map"),
                run.get("duration_s"),
                run.get("run_id") or "",
                " ".join((run.get("failure") or "").split()),
            )
        )
    return lines


def _places(planned: TablePlan) -> Iterator[tuple[str, str]]:
    """The digests of a table's trials, each with its cell; claims go by number, all in one."""
    if not isinstance(planned.table, ClaimsTable):
        several = len({cell.column for cell in planned.cells}) > 1
        for cell in planned.cells:
            place = f"{cell.row} × {cell.column}" if several else cell.row
            yield from ((trial.digest, place) for trial in cell.trials)
        return
    numbers = {claim.claim: str(n) for n, claim in enumerate(planned.table.claims, start=1)}
    sides: dict[tuple[str, str], list[str]] = {}
    for cell in planned.cells:
        for trial in cell.trials:
            sides.setdefault((trial.digest, cell.column), []).append(numbers[cell.row])
    for (digest, side), where in sides.items():
        yield digest, f"{side} in {', '.join(where)}"
