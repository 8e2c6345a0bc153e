"""Whether what a study claims holds here: the paired difference of each claim, and its tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from concepthash.plan import Plan, TablePlan
from concepthash.report.statistics import Summary, paired_difference, sign_flip_p, t_interval
from concepthash.report.tables import CellResult, cell_result, outcomes
from concepthash.spec import LOWER_IS_BETTER, Claim, ClaimsTable, label_of

Verdict = Literal["holds", "holds not: the opposite", "not shown", "not yet"]


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
    """Of the mean difference; None of a single pair."""
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
        """In the claim's favour only if the whole interval is."""
        if self.interval is None:
            return "not shown" if self.complete else "not yet"
        low, high = (_towards(self.claim.metric) * end for end in self.interval)
        if min(low, high) > 0:
            return "holds"
        return "holds not: the opposite" if max(low, high) < 0 else "not shown"


@dataclass(frozen=True)
class ClaimsResult:
    """A claims table with its numbers."""

    table: ClaimsTable
    claims: tuple[ClaimResult, ...]

    @property
    def cells(self) -> tuple[CellResult, ...]:
        return tuple(cell for claim in self.claims for cell in (claim.better, claim.than))

    @property
    def verdicts(self) -> dict[Verdict, int]:
        """How many claims have each; in a fixed order, without those that none has."""
        order: tuple[Verdict, ...] = ("holds", "not shown", "holds not: the opposite", "not yet")
        found = [claim.verdict for claim in self.claims]
        return {verdict: found.count(verdict) for verdict in order if verdict in found}


def claims_results(plan: Plan, trials: pl.DataFrame) -> tuple[ClaimsResult, ...]:
    """Every claims table of the plan; `trials` as from tables.prepared."""
    return tuple(
        ClaimsResult(
            planned.table,
            tuple(
                _claim(planned, number, claim, trials)
                for number, claim in enumerate(planned.table.claims, start=1)
            ),
        )
        for planned in plan.tables
        if isinstance(planned.table, ClaimsTable)
    )


def _claim(planned: TablePlan, number: int, claim: Claim, trials: pl.DataFrame) -> ClaimResult:
    better, than = (
        cell_result(
            claim.claim,
            side,
            outcomes(trials, planned.cell(claim.claim, side).trials, claim.metric),
        )
        for side in claim.sides()
    )
    left, right = better.by_seed(), than.by_seed()
    difference = paired_difference(left, right)
    pairs = [left[seed] - right[seed] for seed in left if seed in right]
    return ClaimResult(
        number,
        claim,
        better,
        than,
        difference,
        t_interval(difference) if difference else None,
        sign_flip_p([_towards(claim.metric) * pair for pair in pairs]) if pairs else None,
    )


def _towards(metric: str) -> int:
    """The sign of a difference that is for the better."""
    return -1 if metric in LOWER_IS_BETTER else 1


def claims_frame(result: ClaimsResult) -> pl.DataFrame:
    """A row a claim, numbers unrounded and in the metric's own unit (mAP from 0 to 1)."""
    return pl.DataFrame([_row(claim) for claim in result.claims]).with_columns(
        pl.col("^(better|than)_.*$", "difference", "low", "high", "p").cast(pl.Float64)
    )


def _row(claim: ClaimResult) -> Mapping[str, object]:
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
