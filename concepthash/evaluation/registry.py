"""The metrics by the names that `concepthash-study evaluate --metric` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from concepthash.errors import InputError
from concepthash.evaluation import metrics
from concepthash.evaluation.metrics import searched, tie_groups
from concepthash.evaluation.saved import SavedCodes
from concepthash.retrieval import (
    mean_average_precision,
    precision_at,
    precision_within,
    quantization_error,
    queries_without_relevant,
    recall_at,
)
from concepthash.retrieval.diagnostics import (
    bit_balance,
    bit_correlation,
    bit_entropy,
    distinct_codes,
)

# To a number, or to what JSON can hold; None where a metric has no meaning.
METRICS: Mapping[str, Callable[[SavedCodes], Any]] = {
    # Retrieval: mAP is over the whole database, with ties averaged.
    "map": metrics.hamming_map,
    "interval": metrics.interval,
    "cosine_map": metrics.cosine_map,
    "family_map": metrics.family_map,
    "concept_map": metrics.concept_maps,
    "class_map": metrics.class_maps,
    "pr_curve": metrics.curve,
    "without_relevant": lambda s: queries_without_relevant(tie_groups(s)),
    # Codes.
    "quantization_error": lambda s: quantization_error(s.query_codes),
    "bit_balance": lambda s: bit_balance(s.database_codes),
    "bit_entropy": lambda s: bit_entropy(s.database_codes),
    "bit_correlation": lambda s: bit_correlation(s.database_codes),
    "distinct_codes": lambda s: distinct_codes(s.database_codes),
    "distances": metrics.distances,
    "confusion": metrics.confusion,
    # Concepts.
    "attention_overlap": metrics.overlap,
    "part_consistency": metrics.part_report,
    "peak_stability": metrics.stability,
    "cost": metrics.cost,
}

# Those that take a number, as in `precision@10`; mAP@R divides by min(relevant, R).
AT: Mapping[str, Callable[[SavedCodes, int], float]] = {
    "map": lambda s, r: mean_average_precision(*searched(s), at=r),
    "precision": lambda s, k: float(precision_at(tie_groups(s), k).mean()),
    "recall": lambda s, k: float(recall_at(tie_groups(s), k).mean()),
    "radius_precision": lambda s, r: float(precision_within(tie_groups(s), r).mean()),
}


def evaluate(saved: SavedCodes, names: Sequence[str]) -> dict[str, Any]:
    """The values of the metrics named. Raises InputError for unknown names, before any work."""
    problems = [problem for name in names if (problem := _problem(name))]
    if problems:
        raise InputError(*problems)
    return {name: _value(saved, name) for name in names}


def _value(saved: SavedCodes, name: str) -> Any:
    base, _, number = name.partition("@")
    return AT[base](saved, int(number)) if number else METRICS[base](saved)


def _problem(name: str) -> str | None:
    base, at, number = name.partition("@")
    if at and base in AT:
        least = 0 if base == "radius_precision" else 1
        if number.isdecimal() and int(number) >= least:
            return None
        return f"--metric {name}: after @ comes a whole number of at least {least}"
    if not at and base in METRICS:
        return None
    known = [*METRICS, *(f"{known}@N" for known in AT)]
    return f"--metric {name}: no such metric; there are {', '.join(known)}"
