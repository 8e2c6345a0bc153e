"""Every metric of a trained trial, once: name, title, unit, direction, and where it is computed.

Study files, training, reports and `evaluate` all read this list. Importing it does not import
torch: functions are named here, and `evaluation.compute` finds them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

On = Literal["test", "val"]


@dataclass(frozen=True)
class Metric:
    """One metric of the saved codes of a trial."""

    name: str
    title: str
    function: str
    """Of `concepthash.evaluation.metrics`: from SavedCodes (and the number in `precision@10`) to
    the value, None where the metric is not defined (part metrics of a data set without parts)."""
    better: Literal["higher", "lower", ""] = ""
    """Empty where more is neither better nor worse, or where the value is no single number."""
    unit: Literal["%", ""] = ""
    """`%` for a share in [0, 1] that is shown times 100."""
    on: tuple[On, ...] = ()
    """What every trial reports it of: the test queries after training (`test/NAME`), the
    validation split while it trains (`val/NAME`). Neither: `evaluate` computes it on request."""
    takes: Literal["", "rank", "radius"] = ""
    """The number in `precision@10`: a rank from 1, or a Hamming radius from 0."""


_TEST: tuple[On, ...] = ("test",)
_BOTH: tuple[On, ...] = ("test", "val")

CATALOGUE: tuple[Metric, ...] = (
    # Retrieval: mAP is over the whole database, ties averaged.
    Metric("map", "mAP@all", "hamming_map", "higher", "%", _BOTH),
    Metric("map_interval", "95 % bootstrap interval of mAP@all", "map_interval"),
    Metric("cosine_map", "mAP@all before binarizing (cosine)", "cosine_map", "higher", "%", _TEST),
    Metric("family_map", "family-level mAP@all", "family_map", "higher", "%", _TEST),
    Metric("concept_map", "mAP@all of a single concept", "concept_map", "higher", "%", _TEST),
    Metric("concept_maps", "mAP@all of each concept", "concept_maps"),
    Metric("class_maps", "mAP@all of each class", "class_maps"),
    Metric("precision_recall", "precision and recall by Hamming radius", "precision_recall"),
    Metric("without_relevant", "queries without a relevant image", "without_relevant", on=_TEST),
    Metric("map", "mAP@R, divided by min(relevant, R)", "map_at", "higher", "%", takes="rank"),
    Metric("precision", "precision@N", "precision_at_rank", "higher", "%", takes="rank"),
    Metric("recall", "recall@N", "recall_at_rank", "higher", "%", takes="rank"),
    Metric(
        "radius_precision", "precision@radius", "precision_in_radius", "higher", "%", takes="radius"
    ),
    # Codes.
    Metric("quantization_error", "quantization error", "quantization", "lower", on=_BOTH),
    Metric("bit_balance", "bit balance", "balance", "higher", on=_BOTH),
    Metric("bit_entropy", "bit entropy", "entropy", "higher"),
    Metric("bit_correlation", "bit correlation", "correlation", "lower"),
    Metric("distinct_codes", "share of distinct codes", "distinct", "higher", on=_BOTH),
    Metric("distances", "mean distances within class, within family, and beyond", "distances"),
    Metric("confusion", "classes confused most", "confusion"),
    # Concepts.
    Metric("attention_overlap", "concept-attention overlap", "overlap", "lower", on=_BOTH),
    Metric("part_consistency", "part consistency", "consistency", "higher", on=_TEST),
    Metric("part_coverage", "part coverage", "coverage", "higher", on=_TEST),
    Metric("parts", "the annotated part of each concept", "parts"),
    Metric("peak_stability", "stability of attention peaks", "stability", "higher", on=_TEST),
    # Cost.
    Metric("cost", "bits, bytes an image, milliseconds a query", "cost"),
)

METRICS = {metric.name: metric for metric in CATALOGUE if not metric.takes}
METRICS_AT = {metric.name: metric for metric in CATALOGUE if metric.takes}
"""Those that take a number, as in `precision@10`."""

TABLE_METRICS = {f"test/{m.name}": m for m in CATALOGUE if "test" in m.on and m.better} | {
    "val/map": Metric("map", "validation mAP@all", "hamming_map", "higher", "%", on=("val",))
}
"""What a table may show, by the name under which a trial reports it."""


def suggest(name: str, known: Iterable[str], all_of_them: str) -> str:
    """`; did you mean X?`, or what there is, for an unknown name.

    These are names with the same last part (`map` of `test/map`), or the nearest one, of a long
    list the nearest three. Where none is near, a short list is given in full, and `all_of_them`
    says how to see a long one.
    """
    known = sorted(known)
    long = len(known) > 12
    same = [other for other in known if name.lower() in (other.lower(), _last_part(other))]
    near = same or difflib.get_close_matches(name.lower(), known, n=3 if long else 1, cutoff=0.6)
    near = near or [other for other in known if _last_part(name) == _last_part(other)]
    if near:
        return f"; did you mean {listed(near[:3])}?"
    if long:
        return f"; {all_of_them} lists all {len(known)}"
    return f"; allowed: {', '.join(known)}" if known else ""


def _last_part(name: str) -> str:
    return re.split("[./]", name.lower())[-1]


def listed(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
