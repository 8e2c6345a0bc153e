"""What stands above a table and below a figure."""

from __future__ import annotations

from concepthash.plan import Plan
from concepthash.report.claims import ClaimsResult
from concepthash.report.search import SELECT_BY, SearchResult
from concepthash.report.tables import CellResult, GridResult, numeric_columns, query_spread
from concepthash.report.words import (
    arrow,
    counted,
    dataset_name,
    direction,
    is_map,
    metric_name,
    number,
    plural,
    protocols_in_short,
    sentence,
)
from concepthash.spec import ClaimsTable, GridTable, SearchTable, TrialSpec


def title(table: GridTable | SearchTable | ClaimsTable) -> str:
    return table.title or table.name.replace("_", " ").replace("-", " ").capitalize()


def grid_caption(plan: Plan, result: GridResult) -> str:
    """Metric, data set, protocol, seeds, n, and how marks and differences are made."""
    study, metric = plan.study, result.table.metric
    parts = [
        f"{metric_name(metric)}, {direction(metric)}, on {dataset_name(study.dataset)}"
        f" ({protocols_in_short(_specs(plan, result.table), metric)}); {_spread(study.seeds)}",
    ]
    if (width := query_spread(result)) is not None:
        parts.append(
            f"Other queries and classes would move one trial's number by about"
            f" ±{number(width, metric)} (95 % bootstrap over both, mean over trials)"
        )
    if any(cell.mark for cell in result.cells):
        where = "of each column " if len(result.columns) > 1 else ""
        parts.append(
            f"Best {where}in bold, second underlined; numbers that print equal share the mark,"
            " and only complete cells compete"
        )
    if result.has_deltas:
        points = " in percentage points" if is_map(metric) else ""
        where = " of the same column" if len(result.columns) > 1 else ""
        parts.append(f"Δ: mean paired difference, seed by seed, to the baseline{where}{points}")
    return " ".join(map(sentence, parts))


def tex_caption(plan: Plan, result: GridResult) -> str:
    """The caption of a paper's table: its title first, and nothing about what it leaves out."""
    return f"{sentence(title(result.table))} {grid_caption(plan, result)}".split(" Δ: ")[0]


def claims_caption(plan: Plan, result: ClaimsResult) -> str:
    """How many claims hold, what is compared, and the tests with their sources."""
    study, metrics = plan.study, [claim.metric for claim in result.table.claims]
    n = len(study.seeds)
    # Ranking is said where any metric ranks, testing where any metric tests.
    shown = max(metrics, key=lambda metric: (metric != "val/map", is_map(metric)))
    points = ", in percentage points for mAP" if any(map(is_map, metrics)) else ""
    counts = "; ".join(f"{verdict}: {count}" for verdict, count in result.verdicts.items())
    arrows = dict.fromkeys(f"{arrow(metric)} {direction(metric)}" for metric in metrics)
    parts = [
        f"{plural(len(metrics), 'claim')} ({counts}) on {dataset_name(study.dataset)}"
        f" ({protocols_in_short(_specs(plan, result.table), shown)}); {', '.join(arrows)};"
        f" {_spread(study.seeds)}",
        f"Difference: better − than, paired by seed, mean ± standard deviation{points},"
        " with the 95 % confidence interval of its mean (paired t; Student 1908)",
        "One-sided p, in the claimed direction, of the exact permutation test over seeds that"
        f" flips the signs of the differences in all {2**n} ways (Fisher 1935); with n={n} its"
        f" least value is 1/{2**n}",
        "Holds: the whole interval lies on the claimed side of 0; holds not: it lies on the other"
        " side; not shown: neither, or no interval is known; not yet: trials are missing and there"
        " are fewer than 2 pairs",
        "Each claim is tested by itself: nothing is corrected for their number"
        if len(metrics) > 1
        else "",
    ]
    return " ".join(sentence(part) for part in parts if part)


def search_caption(plan: Plan, result: SearchResult) -> str:
    study, search = plan.study, result.table.search
    best = f"the best {len(result.best)}" if len(result.best) > 1 else "the best trial"
    parts = [
        f"{result.frame.height} of {plural(search.trials, 'planned trial')} sampled (TPE, sampler"
        f" seed {search.seed}): {counted(result.counts)}",
        f"Shown: {best}, ranked by {metric_name(SELECT_BY)}; the choice is made on the validation"
        f" part, and the test numbers beside it took no part in it",
        f"Dataset {dataset_name(study.dataset)};"
        f" {protocols_in_short([plan.baseline.spec], 'test/map')}",
    ]
    if result.counts.get("pruned"):
        parts.append("Pruned trials were stopped early and are not ranked")
    return " ".join(map(sentence, parts))


def grid_figure_caption(result: GridResult) -> str:
    hollow = any(cell.summary and not cell.complete for cell in result.cells)
    empty = [cell for cell in result.cells if cell.summary is None]
    if numeric_columns(result):
        parts = [
            "Marks: means; bars: ± one standard deviation; dots beside them: single seeds",
            "Hollow mark: not all seeds finished" if hollow else "",
            f"Without a value: {'; '.join(map(_place, empty))}" if empty else "",
        ]
    else:
        blue = any(cell.is_baseline for cell in result.cells)
        parts = [
            "Circles: single seeds; tick and number: mean; line: ± one standard deviation"
            + ("; blue: the baseline" if blue else ""),
            "*: not all seeds finished" if hollow else "",
        ]
    return " ".join(sentence(part) for part in parts if part)


def curves_caption(count: int, has_baseline: bool) -> str:
    lines = f"Means over seeds of {plural(count, 'configuration')}, by epoch"
    blue = "; blue: the baseline, with the range of its seeds" if has_baseline else ""
    return (
        f"{lines}{blue}. A configuration’s training loss is weighted by its own loss weights, so"
        " the left panel compares shapes, not heights."
    )


def _spread(seeds: tuple[int, ...]) -> str:
    listed, n = ", ".join(map(str, seeds)), len(seeds)
    if n == 1:
        return f"a single seed, {listed} (n=1), so no spread is known"
    return f"mean ± standard deviation over seeds {listed} (n={n} unless noted, ddof = 1)"


def _specs(plan: Plan, table: GridTable | ClaimsTable) -> list[TrialSpec]:
    (planned,) = (each for each in plan.tables if each.table.name == table.name)
    return [trial.spec for cell in planned.cells for trial in cell.trials]


def _place(cell: CellResult) -> str:
    return f"{cell.row} × {cell.column} ({', '.join(cell.troubles)})"
