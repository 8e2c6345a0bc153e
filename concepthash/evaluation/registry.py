"""The metrics by the names that `concepthash-study evaluate --metric` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from concepthash.errors import InputError
from concepthash.evaluation import metrics
from concepthash.evaluation.metrics import searched, tie_groups
from concepthash.evaluation.saved import SavedCodes
from concepthash.retrieval import (
    average_precisions,
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


class Metric(NamedTuple):
    what: str
    """In words, with unit or range."""
    compute: Callable[[SavedCodes], Any]
    """To a number, or to what JSON can hold; None where it has no meaning."""


METRICS: Mapping[str, Metric] = {
    "map": Metric("mAP over the whole database, ties averaged", metrics.hamming_map),
    "interval": Metric("95 % bootstrap interval of map over queries and classes", metrics.interval),
    "cosine_map": Metric(
        "mAP of the codes before the sign: what the bits cost", metrics.cosine_map
    ),
    "family_map": Metric("map with families for classes", metrics.family_map),
    "concept_map": Metric("map of each concept's sub-code alone", metrics.concept_maps),
    "class_map": Metric("map of the queries of each class", metrics.class_maps),
    "pr_curve": Metric("precision and recall within each Hamming radius", metrics.curve),
    "without_relevant": Metric(
        "queries that nothing in the database is relevant to; each counts 0",
        lambda saved: queries_without_relevant(tie_groups(saved)),
    ),
    "quantization_error": Metric(
        "1 - mean cosine of codes and their signs", lambda s: quantization_error(s.query_codes)
    ),
    "bit_balance": Metric(
        "1 where each bit halves the database, 0 where all bits are constant",
        lambda s: bit_balance(s.database_codes),
    ),
    "bit_entropy": Metric(
        "mean entropy of a bit, in bits", lambda s: bit_entropy(s.database_codes)
    ),
    "bit_correlation": Metric(
        "mean absolute correlation of two bits", lambda s: bit_correlation(s.database_codes)
    ),
    "distinct_codes": Metric(
        "share of distinct codes in the database", lambda s: distinct_codes(s.database_codes)
    ),
    "distances": Metric(
        "mean distance within a class, a family and across, as a share of the bits; of the code and"
        " of each sub-code",
        metrics.distances,
    ),
    "confusion": Metric("the classes most taken for one another", metrics.confusion),
    "attention_overlap": Metric("mean cosine of two concepts' attention maps", metrics.overlap),
    "part_consistency": Metric(
        "how well each concept's attention keeps to one annotated part", metrics.part_report
    ),
    "peak_stability": Metric(
        "share of attention peaks that stay where they are under a little noise", metrics.stability
    ),
    "cost": Metric("bytes an image and ms a query, on this machine", metrics.cost),
}

AT: Mapping[str, tuple[str, Callable[[SavedCodes, int], float]]] = {
    "map": (
        "mAP@R: of the first R places, over min(relevant, R)",
        lambda s, r: float(average_precisions(*searched(s), at=r).mean()),
    ),
    "precision": (
        "share of relevant images in the first k places",
        lambda s, k: float(precision_at(tie_groups(s), k).mean()),
    ),
    "recall": (
        "share of the relevant images that stand in the first k places",
        lambda s, k: float(recall_at(tie_groups(s), k).mean()),
    ),
    "radius_precision": (
        "share of relevant images within Hamming distance r; 0 where nothing is",
        lambda s, r: float(precision_within(tie_groups(s), r).mean()),
    ),
}
"""Those that take a number, as in `precision@10`."""


def evaluate(saved: SavedCodes, names: Sequence[str]) -> dict[str, Any]:
    """The values of the metrics named. Raises InputError for unknown names, before any work."""
    problems = [problem for name in names if (problem := _problem(name))]
    if problems:
        raise InputError(*problems)
    return {name: _value(saved, name) for name in names}


def as_text(value: Any, indent: str = "") -> str:
    """A mapping as lines of `name value`, what it holds indented below."""
    lines = []
    for name, item in value.items():
        if isinstance(item, list) and item and all(isinstance(each, Mapping) for each in item):
            lines.append(f"{indent}{name}")
            lines += [f"{indent}  {_in_a_line(each)}" for each in item]
        elif isinstance(item, Mapping) and not (indent and _is_flat(item)):
            lines += [f"{indent}{name}", as_text(item, indent + "  ")]
        else:
            lines.append(f"{indent}{name} {_in_a_line(item)}")
    return "\n".join(lines)


def _is_flat(mapping: Mapping[str, Any]) -> bool:
    return not any(isinstance(item, Mapping | list) for item in mapping.values())


def _in_a_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return "  ".join(f"{name} {_in_a_line(item)}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(map(_in_a_line, value))
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def _value(saved: SavedCodes, name: str) -> Any:
    base, _, number = name.partition("@")
    return AT[base][1](saved, int(number)) if number else METRICS[base].compute(saved)


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
