"""Metrics of saved codes: from `SavedCodes` to a number, or to what JSON can hold.

`evaluation.catalogue` names each of these functions. Each gives None where it is not defined for
the codes: without families, without concepts, without annotated parts. Shares and mAP lie in
[0, 1]. Retrieval is by Hamming distance with ties averaged, unless a function says otherwise.
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from concepthash.evaluation.saved import SavedCodes
from concepthash.losses import attention_overlap
from concepthash.retrieval import (
    average_precisions,
    bootstrap_interval,
    class_average_precisions,
    cosine_average_precisions,
    histograms,
    mean_average_precision,
    precision_at,
    precision_recall_curve,
    precision_within,
    quantization_error,
    queries_without_relevant,
    recall_at,
    tied_average_precisions,
)
from concepthash.retrieval.diagnostics import (
    bit_balance,
    bit_correlation,
    bit_entropy,
    confused_classes,
    distances_by_relation,
    distinct_codes,
)
from concepthash.retrieval.parts import (
    PartConsistency,
    part_consistency,
    peak_stability,
    random_floor,
)

# --- retrieval -------------------------------------------------------------------------------


def hamming_map(saved: SavedCodes) -> float:
    """mAP@all: over the whole database."""
    return float(tied_average_precisions(saved.histograms).mean())


def map_interval(saved: SavedCodes) -> list[float]:
    """Low and high end of the 95 % bootstrap interval of mAP@all over classes and queries."""
    scores = tied_average_precisions(saved.histograms)
    return list(bootstrap_interval(scores, saved.query_labels))


def cosine_map(saved: SavedCodes) -> float:
    """mAP@all of the codes before binarizing, ranked by cosine."""
    return float(cosine_average_precisions(*saved.retrieval).mean())


def family_map(saved: SavedCodes) -> float | None:
    """mAP@all where an image of the same family is relevant."""
    if not _has_families(saved):
        return None
    queries, query_labels, database, labels = saved.retrieval
    families = saved.families
    return mean_average_precision(queries, families[query_labels], database, families[labels])


def concept_map(saved: SavedCodes) -> float | None:
    """Mean over concepts of the mAP@all of a concept's sub-code alone."""
    maps = concept_maps(saved)
    return sum(maps) / len(maps) if maps else None


def concept_maps(saved: SavedCodes) -> list[float] | None:
    """mAP@all of each concept's sub-code alone, M values."""
    if saved.concepts is None:
        return None
    return [hamming_map(saved.of_concept(m)) for m in range(saved.num_concepts)]


def class_maps(saved: SavedCodes) -> dict[str, float]:
    """mAP@all of the queries of each class that has some, by its name."""
    scores = average_precisions(*saved.retrieval)
    labels, means = class_average_precisions(scores, saved.query_labels)
    pairs = zip(labels.tolist(), means.tolist(), strict=True)
    return {saved.class_names[label]: mean for label, mean in pairs}


def precision_recall(saved: SavedCodes) -> list[dict[str, float]]:
    """Mean precision and recall of the images within each Hamming radius, 0 to K."""
    precision, recall = precision_recall_curve(saved.histograms)
    pairs = zip(precision.tolist(), recall.tolist(), strict=True)
    return [{"radius": r, "precision": p, "recall": c} for r, (p, c) in enumerate(pairs)]


def without_relevant(saved: SavedCodes) -> int:
    """Queries of a class that the database lacks; each counts 0 in every mean."""
    return queries_without_relevant(saved.histograms)


def map_at(saved: SavedCodes, rank: int) -> float:
    """mAP of the first `rank` images, divided by min(relevant, rank)."""
    return float(tied_average_precisions(saved.histograms, at=rank).mean())


def precision_at_rank(saved: SavedCodes, rank: int) -> float:
    """Mean expected precision of the first `rank` images."""
    return float(precision_at(saved.histograms, rank).mean())


def recall_at_rank(saved: SavedCodes, rank: int) -> float:
    """Mean expected share of the relevant images among the first `rank`."""
    return float(recall_at(saved.histograms, rank).mean())


def precision_in_radius(saved: SavedCodes, radius: int) -> float:
    """Mean precision of the images within a Hamming `radius`; a query with none counts 0."""
    return float(precision_within(saved.histograms, radius).mean())


# --- codes -----------------------------------------------------------------------------------


def quantization(saved: SavedCodes) -> float:
    """1 - mean cosine of the queries' codes to their signs."""
    return quantization_error(saved.query_codes)


def balance(saved: SavedCodes) -> float:
    """`bit_balance` of the database; 1 where each bit halves it."""
    return bit_balance(saved.database_codes)


def entropy(saved: SavedCodes) -> float:
    """Mean entropy of a bit over the database, in bits."""
    return bit_entropy(saved.database_codes)


def correlation(saved: SavedCodes) -> float:
    """Mean absolute correlation of two bits over the database."""
    return bit_correlation(saved.database_codes)


def distinct(saved: SavedCodes) -> float:
    """Distinct codes of the database as a share of the most there can be, min(D, 2^K)."""
    return distinct_codes(saved.database_codes)


def distances(saved: SavedCodes) -> dict[str, Any]:
    """Mean distances in the database as shares of the bits: of the code, then of each sub-code."""
    families = saved.families if _has_families(saved) else None
    found = distances_by_relation(
        saved.database_codes, saved.database_labels, families, saved.num_concepts
    )
    return {name: _nan_as_none(value.tolist()) for name, value in found._asdict().items()}


def confusion(saved: SavedCodes) -> list[dict[str, Any]]:
    """The ten pairs of classes confused most, and how often."""
    names = saved.class_names
    return [
        {"class": names[pair.true], "taken for": names[pair.other], "share": pair.share}
        for pair in confused_classes(*saved.retrieval, count=10)
    ]


# --- concepts --------------------------------------------------------------------------------


def overlap(saved: SavedCodes) -> float | None:
    """Mean cosine of two concepts' attention; None for a single concept, which has no pair."""
    if saved.concepts is None or saved.num_concepts == 1:
        return None
    return float(attention_overlap(saved.concepts.query_attention.unsqueeze(1)))


def stability(saved: SavedCodes) -> float | None:
    """Share of attention peaks that stay in place under noise on the image."""
    concepts = saved.concepts
    if concepts is None or concepts.query_noisy_attention is None:
        return None
    return peak_stability(
        concepts.query_attention, concepts.query_noisy_attention, saved.image_size
    )


def consistency(saved: SavedCodes) -> float | None:
    """Mean over concepts of the share of images with the concept's peak near its part."""
    found = _part_consistency(saved)
    return None if found is None else found.mean_consistency


def coverage(saved: SavedCodes) -> float | None:
    """How evenly the peaks fall on the parts, entropy as a share of its maximum."""
    found = _part_consistency(saved)
    return None if found is None else found.coverage


def parts(saved: SavedCodes) -> dict[str, Any] | None:
    """The part of each concept, and what random and shuffled peaks would score."""
    annotated = _annotated(saved)
    if saved.concepts is None or annotated is None:
        return None
    attention, places, visible, size = annotated
    found = part_consistency(attention, places, visible, size)
    names = (*saved.concepts.part_names, None)  # part -1: its peaks are near none
    grid = math.isqrt(attention.shape[-1])
    # What attention that ignores the image would score.
    order = torch.randperm(len(attention), generator=torch.Generator().manual_seed(0))
    shuffled = part_consistency(attention[order], places, visible, size)
    floor = random_floor(places, visible, size, grid, saved.num_concepts)
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
        "random_floor": floor.mean_consistency,
        "shuffled_floor": shuffled.mean_consistency,
    }


# --- cost ------------------------------------------------------------------------------------


def cost(saved: SavedCodes) -> dict[str, float]:
    """Bits and bytes of a code, and milliseconds to compare a query with the database here."""
    start = time.perf_counter()
    histograms(*saved.retrieval)
    seconds = time.perf_counter() - start
    return {
        "bits": saved.num_bits,
        "bytes_per_image": (saved.num_bits + 7) // 8,
        "ms_per_query": 1000 * seconds / len(saved.query_codes),
    }


def _has_families(saved: SavedCodes) -> bool:
    """Whether every class has a family, and not all the same."""
    return bool((saved.families >= 0).all()) and len(saved.families.unique()) > 1


def _part_consistency(saved: SavedCodes) -> PartConsistency | None:
    annotated = _annotated(saved)
    return None if annotated is None else part_consistency(*annotated)


def _annotated(saved: SavedCodes) -> tuple[Tensor, Tensor, Tensor, int] | None:
    """Attention (Q, M, N), places of parts (Q, P, 2), visible (Q, P), and S in pixels."""
    concepts = saved.concepts
    if concepts is None or concepts.query_parts is None or not concepts.part_names:
        return None
    parts = concepts.query_parts
    return concepts.query_attention, parts[..., :2], parts[..., 2] > 0, saved.image_size


def _nan_as_none(values: list[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]
