"""Arguments of retrieval functions, checked and converted: words of 64 bits, integer labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from concepthash.retrieval.codes import check_packed, pack

Words = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

MAX_BITS = 2**16 - 1
"""Distances are counted in 16 bits, twice as fast as in 32."""

_INTEGERS = {
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
}


class Search(NamedTuple):
    """Queries and the database that they are ranked against, W words of 64 bits a code."""

    queries: Words
    """(Q, W); bits past `num_bits` are 0 on both sides."""
    query_labels: Integers
    """(Q,)"""
    database: Words
    """(D, W)"""
    database_labels: Integers
    """(D,)"""
    num_bits: int


def checked(
    query_codes: Tensor,
    query_labels: Tensor,
    database_codes: Tensor,
    database_labels: Tensor,
    num_bits: int | None,
) -> Search:
    """Codes (Q, K), (D, K) and labels (Q,), (D,) as a Search.

    Codes are floating or signed numbers, whose signs count, or packed bits with `num_bits` given.
    Raises ValueError for anything else, for no queries or no database, and for lengths that differ.
    """
    check_sizes(query_codes, query_labels, database_codes, database_labels)
    if num_bits is None:
        _check_real(query_codes, "query codes")
        _check_real(database_codes, "database codes")
        if query_codes.shape[1] != database_codes.shape[1]:
            raise ValueError(
                f"codes must be of one length, but got K={query_codes.shape[1]} for queries and"
                f" K={database_codes.shape[1]} for the database"
            )
        num_bits = query_codes.shape[1]
        query_codes, database_codes = pack(query_codes), pack(database_codes)
    if num_bits > MAX_BITS:
        raise ValueError(f"codes must have at most {MAX_BITS} bits, but have {num_bits}")
    check_packed(query_codes, num_bits, "query codes")
    check_packed(database_codes, num_bits, "database codes")
    return Search(
        _words(query_codes),
        integers(query_labels),
        _words(database_codes),
        integers(database_labels),
        num_bits,
    )


def check_sizes(
    query_codes: Tensor, query_labels: Tensor, database_codes: Tensor, database_labels: Tensor
) -> None:
    """ValueError unless both sides have codes, as matrices, and an integer label for each."""
    if len(query_codes) == 0 or len(database_codes) == 0:
        raise ValueError(
            f"needs queries and a database, but got {len(query_codes)} queries and"
            f" {len(database_codes)} database codes"
        )
    sides = [
        ("query", query_codes, query_labels),
        ("database", database_codes, database_labels),
    ]
    for name, codes, labels in sides:
        if codes.ndim != 2:
            raise ValueError(f"{name} codes must be a matrix, but got {tuple(codes.shape)}")
        if labels.shape != (len(codes),) or labels.dtype not in _INTEGERS:
            raise ValueError(
                f"{name} labels must be ({len(codes)},) integers, one a code, but got"
                f" {tuple(labels.shape)} {labels.dtype}"
            )


def check_at_least_one(name: str, value: Any) -> None:
    """ValueError unless `value` is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, but is {value!r}")


def _check_real(codes: Tensor, name: str) -> None:
    if codes.dtype == torch.bool or not codes.dtype.is_signed or codes.is_complex():
        raise ValueError(
            f"{name} must be floating or signed numbers, whose signs count, but got {codes.dtype};"
            " 0/1 codes: give 2 * codes.int() - 1, or pack(codes.bool()) and num_bits"
        )


def _words(packed: Tensor) -> Words:
    """Bytes (N, B) as words (N, ceil(B / 8)), padded with zeros."""
    bytes_ = packed.cpu().numpy()
    filled = np.pad(bytes_, ((0, 0), (0, -bytes_.shape[1] % 8)))
    return np.ascontiguousarray(filled).view(np.uint64)


def relevant_slices(
    query_labels: Integers, database_labels: Integers
) -> tuple[Integers, Integers, Integers]:
    """An order (D,) of the database by label, and where in it the relevant images of each query
    start and stop, (Q,) each."""
    order = np.argsort(database_labels, kind="stable")
    labels = database_labels[order]
    starts = np.searchsorted(labels, query_labels, side="left")
    stops = np.searchsorted(labels, query_labels, side="right")
    return order, starts, stops


def integers(labels: Tensor) -> Integers:
    """Labels as int64, on the CPU."""
    return labels.detach().cpu().to(torch.int64).numpy()
