"""Metrics of saved codes: from `SavedCodes` to numbers, or to what JSON can hold."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from concepthash.evaluation.saved import SavedCodes
from concepthash.losses import attention_overlap
from concepthash.retrieval import (
    Histograms,
    average_precisions,
    bootstrap_interval,
    class_average_precisions,
    cosine_average_precisions,
    histograms,
    mean_average_precision,
    precision_recall_curve,
    quantization_error,
    queries_without_relevant,
    tied_average_precisions,
)
from concepthash.retrieval.diagnostics import (
    bit_balance,
    confused_classes,
    distances_by_relation,
    distinct_codes,
)
from concepthash.retrieval.parts import part_consistency, peak_stability, random_floor


def hamming_map(saved: SavedCodes) -> float:
    """mAP@all by Hamming distance, ties averaged."""
    return mean_average_precision(*searched(saved))


def summary(saved: SavedCodes) -> dict[str, float]:
    """What a trial reports of its test queries. A metric that has no meaning here is left out."""
    groups = tie_groups(saved)
    scores = tied_average_precisions(groups)
    low, high = bootstrap_interval(scores, saved.query_labels)
    numbers = {
        "map": float(scores.mean()),
        "map_low": low,
        "map_high": high,
        "cosine_map": cosine_map(saved),
        "concept_map": _mean(concept_maps(saved)),
        "quantization_error": quantization_error(saved.query_codes),
        "bit_balance": bit_balance(saved.database_codes),
        "distinct_codes": distinct_codes(saved.database_codes),
        "peak_stability": stability(saved),
        "without_relevant": float(queries_without_relevant(groups)),
    }
    if (of_pairs := overlap(saved)) is not None:
        numbers["attention_overlap"] = of_pairs
    if (of_families := family_map(saved)) is not None:
        numbers["family_map"] = of_families
    if saved.part_names:
        found = part_consistency(saved.query_attention, *_parts(saved))
        numbers["part_consistency"] = found.mean_consistency
        numbers["part_coverage"] = found.coverage
    return numbers


# --- one by one ------------------------------------------------------------------------------


def searched(saved: SavedCodes) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return saved.query_codes, saved.query_labels, saved.database_codes, saved.database_labels


def tie_groups(saved: SavedCodes) -> Histograms:
    return histograms(*searched(saved))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _has_families(saved: SavedCodes) -> bool:
    """Whether every class has a family, and not all the same."""
    return bool((saved.families >= 0).all()) and len(saved.families.unique()) > 1


def family_map(saved: SavedCodes) -> float | None:
    if not _has_families(saved):
        return None
    families = saved.families
    return mean_average_precision(
        saved.query_codes,
        families[saved.query_labels],
        saved.database_codes,
        families[saved.database_labels],
    )


def cosine_map(saved: SavedCodes) -> float:
    return float(cosine_average_precisions(*searched(saved)).mean())


def concept_maps(saved: SavedCodes) -> list[float]:
    return [hamming_map(saved.of_concept(m)) for m in range(saved.num_concepts)]


def class_maps(saved: SavedCodes) -> dict[str, float]:
    scores = average_precisions(*searched(saved))
    labels, means = class_average_precisions(scores, saved.query_labels)
    pairs = zip(labels.tolist(), means.tolist(), strict=True)
    return {saved.class_names[label]: mean for label, mean in pairs}


def overlap(saved: SavedCodes) -> float | None:
    """None for a single concept, which has none to overlap with."""
    if saved.num_concepts == 1:
        return None
    return float(attention_overlap(saved.query_attention.unsqueeze(1)))


def stability(saved: SavedCodes) -> float:
    return peak_stability(saved.query_attention, saved.query_noisy_attention, saved.image_size)


def _parts(saved: SavedCodes) -> tuple[Tensor, Tensor, int]:
    """Places (Q, P, 2), visible (Q, P), and the side of the image that they lie in."""
    return saved.query_parts[..., :2], saved.query_parts[..., 2] > 0, saved.image_size


def part_report(saved: SavedCodes) -> dict[str, Any] | None:
    if not saved.part_names:
        return None
    attention, parts = saved.query_attention, _parts(saved)
    found = part_consistency(attention, *parts)
    names = (*saved.part_names, None)  # part -1: its peaks lie near none
    grid = math.isqrt(attention.shape[-1])
    # What looking always at the same places, whatever the image, would score.
    order = torch.randperm(len(attention), generator=torch.Generator().manual_seed(0))
    shuffled = part_consistency(attention[order], *parts)
    return {
        "mean": found.mean_consistency,
        "by_concept": {
            f"concept {m}": {"part": names[part], "consistency": value}
            for m, (part, value) in enumerate(
                zip(found.part.tolist(), found.consistency.tolist(), strict=True)
            )
        },
        "coverage": found.coverage,
        "hits": found.hits,
        "random_floor": random_floor(*parts, grid, saved.num_concepts).mean_consistency,
        "shuffled_floor": shuffled.mean_consistency,
    }


def distances(saved: SavedCodes) -> dict[str, Any]:
    families = saved.families if _has_families(saved) else None
    found = distances_by_relation(
        saved.database_codes, saved.database_labels, families, saved.num_concepts
    )
    return {name: _plain(value) for name, value in found._asdict().items()}


def confusion(saved: SavedCodes) -> list[dict[str, Any]]:
    found = confused_classes(*searched(saved), count=10)
    names = saved.class_names
    return [
        {"class": names[pair.true], "taken for": names[pair.other], "share": pair.share}
        for pair in found
    ]


def interval(saved: SavedCodes) -> list[float]:
    return list(bootstrap_interval(average_precisions(*searched(saved)), saved.query_labels))


def curve(saved: SavedCodes) -> list[dict[str, float]]:
    precision, recall = precision_recall_curve(tie_groups(saved))
    pairs = zip(precision.tolist(), recall.tolist(), strict=True)
    return [{"radius": r, "precision": p, "recall": c} for r, (p, c) in enumerate(pairs)]


def cost(saved: SavedCodes) -> dict[str, float]:
    start = time.perf_counter()
    tie_groups(saved)
    seconds = time.perf_counter() - start
    return {
        "bits": saved.num_bits,
        "bytes_per_image": (saved.num_bits + 7) // 8,
        "ms_per_query": 1000 * seconds / len(saved.query_codes),
    }


def _plain(value: Any) -> Any:
    """Tensors as lists, not-a-numbers as None."""
    if isinstance(value, Tensor):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and value != value else value
