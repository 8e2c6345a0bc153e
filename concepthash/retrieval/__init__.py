"""Retrieval with binary codes: Hamming distances, average precision with ties, and diagnostics."""

from concepthash.retrieval.bootstrap import bootstrap_interval
from concepthash.retrieval.codes import (
    binarize,
    centered,
    hamming_distances,
    pack,
    quantization_error,
    sub_code,
    unpack,
)
from concepthash.retrieval.histograms import Histograms, histograms
from concepthash.retrieval.metrics import (
    PrecisionRecall,
    average_precisions,
    class_average_precisions,
    mean_average_precision,
    precision_at,
    precision_recall_curve,
    precision_within,
    queries_without_relevant,
    recall_at,
)
from concepthash.retrieval.ranked import cosine_average_precisions
from concepthash.retrieval.ties import tied_average_precisions

__all__ = [
    "Histograms",
    "PrecisionRecall",
    "average_precisions",
    "binarize",
    "bootstrap_interval",
    "centered",
    "class_average_precisions",
    "cosine_average_precisions",
    "hamming_distances",
    "histograms",
    "mean_average_precision",
    "pack",
    "precision_at",
    "precision_recall_curve",
    "precision_within",
    "quantization_error",
    "queries_without_relevant",
    "recall_at",
    "sub_code",
    "tied_average_precisions",
    "unpack",
]
