"""Binary codes: binarizing, packed bits, sub-codes, Hamming distances, quantization error."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_ENTRIES = 2**15
"""Numbers packed at once: bounds memory, and is few enough for torch to use one thread, which is
faster than several on a busy machine."""


def binarize(codes: Tensor) -> Tensor:
    """Signs of codes (..., K) as booleans; 0 counts as positive, so that every bit has a value."""
    return codes >= 0


def pack(codes: Tensor) -> Tensor:
    """Signs of codes (N, K), or booleans (N, K), as bits: (N, ceil(K / 8)) uint8 on the CPU.

    Bit k is bit 7 - k mod 8 of byte k // 8 (as `numpy.packbits` has it); pad bits are 0.
    Raises ValueError for codes that are not a matrix, hold NaN, or have an unsigned dtype.
    """
    if codes.ndim != 2 or codes.shape[1] == 0:
        raise ValueError(
            f"codes must be a matrix (N, K) of K >= 1 bits, but got {tuple(codes.shape)}"
        )
    if (codes.dtype != torch.bool and not codes.dtype.is_signed) or codes.is_complex():
        raise ValueError(
            f"codes must be boolean, or floating or signed numbers whose signs count, but got"
            f" {codes.dtype}; for 0/1 codes give codes.bool()"
        )
    packed = torch.empty(len(codes), (codes.shape[1] + 7) // 8, dtype=torch.uint8)
    codes = codes.detach().cpu()
    rows = max(1, _ENTRIES // codes.shape[1])
    for start in range(0, len(codes), rows):
        block = codes[start : start + rows]
        if block.isnan().any():
            raise ValueError(
                "codes hold NaN, which has no sign; a model that diverged produces NaN"
            )
        bits = block if block.dtype == torch.bool else binarize(block)
        packed[start : start + rows] = torch.from_numpy(np.packbits(bits.numpy(), axis=1))
    return packed


def unpack(packed: Tensor, num_bits: int) -> Tensor:
    """Booleans (N, num_bits) from the result of `pack`.

    Raises ValueError if the width does not match.
    """
    check_packed(packed, num_bits)
    bits = np.unpackbits(packed.cpu().numpy(), axis=1, count=num_bits)
    return torch.from_numpy(bits).bool()


def check_packed(packed: Tensor, num_bits: int, name: str = "packed codes") -> None:
    """ValueError unless `packed` is (N, ceil(num_bits / 8)) uint8 whose pad bits are 0."""
    if num_bits < 1:
        raise ValueError(f"num_bits must be at least 1, but is {num_bits}")
    width = (num_bits + 7) // 8
    if packed.dtype != torch.uint8 or packed.ndim != 2 or packed.shape[1] != width:
        raise ValueError(
            f"{name} of {num_bits} bits must be (N, {width}) torch.uint8, but got"
            f" {tuple(packed.shape)} {packed.dtype}"
        )
    pad = 8 * width - num_bits
    if pad and bool((packed[:, -1] & ((1 << pad) - 1)).any()):
        raise ValueError(
            f"{name}: bits are set after the first {num_bits}; the low {pad} bits of the last"
            " byte must be 0"
        )


def centered(queries: Tensor, database: Tensor) -> tuple[Tensor, Tensor]:
    """Both codes (Q, K), (D, K) minus the mean of the database, so that its bits are balanced.

    Raises ValueError for an empty database, or if the two lengths differ.
    """
    if database.ndim != 2 or len(database) == 0 or queries.shape[1:] != database.shape[1:]:
        raise ValueError(
            "centering needs codes (Q, K) and a database (D, K) of one length, D >= 1, but got"
            f" {tuple(queries.shape)} and {tuple(database.shape)}"
        )
    mean = database.mean(dim=0, dtype=None if database.is_floating_point() else torch.float32)
    return queries - mean, database - mean


def sub_code(codes: Tensor, concept: int, num_concepts: int) -> Tensor:
    """The columns (N, K / M) of one concept in codes (N, K) of M concepts side by side.

    Codes are not packed. Raises ValueError if M does not divide K, or `concept` is not one of
    0..M - 1.
    """
    length = codes.shape[1]
    if num_concepts < 1 or length % num_concepts:
        raise ValueError(f"{length} bits cannot be divided evenly among {num_concepts} concepts")
    if not 0 <= concept < num_concepts:
        raise ValueError(f"concept must be one of 0..{num_concepts - 1}, but is {concept}")
    size = length // num_concepts
    return codes[:, concept * size : (concept + 1) * size]


def hamming_distances(queries: Tensor, database: Tensor) -> Tensor:
    """Distances (Q, D) int64 in [0, K] of boolean codes (Q, K) and (D, K)."""
    num_bits = queries.shape[1]
    # The inner product of +-1 vectors is K - 2 * distance, which float32 holds exactly.
    inner = (2 * queries.float() - 1) @ (2 * database.float() - 1).T
    return ((num_bits - inner) / 2).round().long()


def quantization_error(codes: Tensor) -> float:
    """`1 - mean cos(codes, sign(codes))` of codes (B, K); in [0, 1].

    0 if all entries of a code have one magnitude."""
    signs = 2 * binarize(codes).to(codes.dtype) - 1
    return float(1 - torch.cosine_similarity(codes, signs, dim=1).mean())
