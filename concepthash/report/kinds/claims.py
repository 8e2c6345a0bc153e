"""Claims: whether one configuration is better than another, each claim with its tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from concepthash.plan import Plan, TablePlan
from concepthash.report.cells import CellResult, cell_result
from concepthash.report.kinds.base import TableReport
from concepthash.report.statistics import (
    Summary,
    paired_differences,
    sign_flip_p,
    summarize,
    t_interval,
)
from concepthash.report.wording import (
    arrow,
    direction,
    is_percent,
    lower_is_better,
    mean_and_std,
    metric_name,
    plural,
    protocols_in_caption,
    ranks_the_database,
    seeds_in_caption,
    sentences,
)
from concepthash.spec import Claim, ClaimsTable, label_of

Verdict = Literal["holds", "inconclusive", "contradicted", "incomplete"]
VERDICTS: tuple[Verdict, ...] = ("holds", "inconclusive", "contradicted", "incomplete")


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its numbers, in the metric's own unit."""

    number: int
    """From 1: what the report calls it elsewhere."""
    claim: Claim
    better: CellResult
    than: CellResult
    difference: Summary | None
    """better - than over the seeds that both have; None if they share none."""
    interval: tuple[float, float] | None
    """Of the mean difference; None of fewer than two pairs."""
    p: float | None

    @property
    def sides(self) -> tuple[tuple[str, CellResult], ...]:
        """Both cells, each after what its trials change."""
        better, than = map(label_of, self.claim.sides().values())
        return (better, self.better), (than, self.than)

    @property
    def n(self) -> int:
        """Pairs."""
        return self.difference.n if self.difference else 0

    @property
    def planned(self) -> int:
        return self.better.planned

    @property
    def complete(self) -> bool:
        return self.better.complete and self.than.complete

    @property
    def verdict(self) -> Verdict:
        """By the side of 0 on which the whole interval lies."""
        if self.interval is None:
            return "inconclusive" if self.complete else "incomplete"
        low, high = (_towards(self.claim.metric) * end for end in self.interval)
        if min(low, high) > 0:
            return "holds"
        return "contradicted" if max(low, high) < 0 else "inconclusive"


@dataclass(frozen=True)
class ClaimsResult:
    """A claims table with its numbers."""

    table: ClaimsTable
    claims: tuple[ClaimResult, ...]

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """How many claims have each verdict, without those that none has."""
        found = [claim.verdict for claim in self.claims]
        return {verdict: found.count(verdict) for verdict in VERDICTS if verdict in found}


def report(plan: Plan, planned: TablePlan, trials: pl.DataFrame) -> TableReport:
    result = claims_result(planned, trials)
    caption = _caption(plan, planned, result)
    return TableReport(
        result.table,
        result,
        frame=claims_frame(result),
        caption=caption,
        tex_caption=caption,
        places=tuple(_places(planned, result)),
        head=("claim", "metric", "better − than", "verdict"),
        lines=tuple(map(_line, result.claims)),
        cells=tuple(cell for claim in result.claims for cell in (claim.better, claim.than)),
    )


def _line(claim: ClaimResult) -> tuple[str, ...]:
    """In a terminal."""
    metric, found = claim.claim.metric, claim.difference
    difference = f"{mean_and_std(found, metric, sign=True)} ({found.n})" if found else "–"
    named = f"{metric_name(metric)} {arrow(metric)}"
    return f"{claim.number}. {claim.claim.claim}", named, difference, claim.verdict


# --- numbers -------------------------------------------------------------------------------


def claims_result(planned: TablePlan, trials: pl.DataFrame) -> ClaimsResult:
    """The numbers of a claims table; `trials` as from `cells.prepared`."""
    table = planned.table
    assert isinstance(table, ClaimsTable)
    claims = enumerate(table.claims, start=1)
    return ClaimsResult(table, tuple(_claim(planned, n, claim, trials) for n, claim in claims))


def _claim(planned: TablePlan, number: int, claim: Claim, trials: pl.DataFrame) -> ClaimResult:
    better, than = (cell_result(planned.cell(claim.claim, side), trials) for side in claim.sides())
    pairs = paired_differences(better.by_seed(), than.by_seed())
    return ClaimResult(
        number,
        claim,
        better,
        than,
        summarize(pairs),
        t_interval(pairs),
        sign_flip_p([_towards(claim.metric) * pair for pair in pairs]) if pairs else None,
    )


def _towards(metric: str) -> int:
    """The sign of a difference that is for the better."""
    return -1 if lower_is_better(metric) else 1


def _places(planned: TablePlan, result: ClaimsResult) -> Iterator[tuple[str, str]]:
    """Claims go by number; a trial that is a side of several has one place."""
    numbers = {claim.claim.claim: str(claim.number) for claim in result.claims}
    sides: dict[tuple[str, str], list[str]] = {}
    for cell in planned.cells:
        for trial in cell.trials:
            sides.setdefault((trial.digest, cell.column), []).append(numbers[cell.row])
    for (digest, side), where in sides.items():
        yield digest, f"{side} in {', '.join(where)}"


# --- caption and CSV -----------------------------------------------------------------------


def _caption(plan: Plan, planned: TablePlan, result: ClaimsResult) -> str:
    """The verdicts, what is compared, and the tests with their sources."""
    study, metrics = plan.study, [claim.metric for claim in result.table.claims]
    n = len(study.seeds)
    specs = [trial.spec for cell in planned.cells for trial in cell.trials]
    # One protocol for all claims: that of the metric about which there is most to say.
    shown = max(metrics, key=lambda m: (not m.startswith("val/"), ranks_the_database(m)))
    in_percent = any(map(is_percent, metrics))
    points = ", in percentage points where the metric is in %" if in_percent else ""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in result.verdicts.items())
    arrows = dict.fromkeys(f"{arrow(metric)} {direction(metric)}" for metric in metrics)
    return sentences(
        [
            f"{plural(len(metrics), 'claim')} ({counts}) on {study.dataset.title}"
            f" ({protocols_in_caption(specs, shown)}); {', '.join(arrows)};"
            f" {seeds_in_caption(study.seeds)}",
            f"Difference: better − than, paired by seed, mean ± standard deviation{points}, with"
            " the 95 % confidence interval of its mean (paired t; Student 1908)",
            "One-sided p, in the claimed direction, of the exact permutation test that flips the"
            f" signs of the differences in all {2**n} ways (Fisher 1935); with n={n} it is at"
            f" least 1/{2**n}",
            "Holds: the whole interval lies on the claimed side of 0; contradicted: on the other"
            " side; inconclusive: the interval contains 0, or there is only one seed; incomplete:"
            " fewer than two pairs, since trials are missing",
            "Intervals and p are not corrected for the number of claims"
            if len(metrics) > 1
            else "",
        ]
    )


def claims_frame(result: ClaimsResult) -> pl.DataFrame:
    """A row a claim."""
    return pl.DataFrame([_frame_row(claim) for claim in result.claims]).with_columns(
        pl.col("^(better|than)_.*$", "difference", "low", "high", "p").cast(pl.Float64)
    )


def _frame_row(claim: ClaimResult) -> Mapping[str, object]:
    low, high = claim.interval or (None, None)
    better, than, difference = claim.better.summary, claim.than.summary, claim.difference
    return {
        "claim": claim.claim.claim,
        "metric": claim.claim.metric,
        "better_mean": better.mean if better else None,
        "better_std": better.std if better else None,
        "than_mean": than.mean if than else None,
        "than_std": than.std if than else None,
        "difference": difference.mean if difference else None,
        "low": low,
        "high": high,
        "p": claim.p,
        "n": claim.n,
        "verdict": claim.verdict,
        **{
            f"{side.column}_seed_{seed}": value
            for side in (claim.better, claim.than)
            for seed, value in zip(side.seeds, side.values, strict=True)
        },
    }
