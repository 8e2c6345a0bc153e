"""Binary codes: the sign, and Hamming distances between signs."""

from __future__ import annotations

import torch
from torch import Tensor


def binarize(codes: Tensor) -> Tensor:
    """Signs of codes (..., K) as booleans; 0 counts as positive, so that every bit has a value."""
    return codes >= 0


def hamming_distances(queries: Tensor, database: Tensor) -> Tensor:
    """Distances (Q, D) int64 in [0, K] of boolean codes (Q, K) and (D, K)."""
    num_bits = queries.shape[1]
    # Of +-1 vectors the inner product is K - 2 * distance; float32 holds it exactly.
    inner = (2 * queries.float() - 1) @ (2 * database.float() - 1).T
    return ((num_bits - inner) / 2).round().long()


def quantization_error(codes: Tensor) -> float:
    """`1 - mean cos(codes, sign(codes))` of codes (B, K); in [0, 1], 0 for codes of one size."""
    signs = 2 * binarize(codes).to(codes.dtype) - 1
    return float(1 - torch.cosine_similarity(codes, signs, dim=1).mean())
