"""What a trial leaves behind, so that any metric can be computed later without a GPU or images."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from concepthash.errors import InputError
from concepthash.retrieval import Histograms, centered, histograms, sub_code
from concepthash.retrieval.inputs import MAX_BITS
from concepthash.spec_base import Spec, in_a_line, line_of_text
from concepthash.tensor_files import save_tensors

FORMAT = 2
"""Of the file. Format 1 had no number; its attention and parts were not optional."""


@dataclass(frozen=True)
class Concepts:
    """What is known of the M concepts of a method that has some, and of annotated parts."""

    query_attention: Tensor
    """(Q, M, N) in [0, 1], each concept's attention over the patches, averaged over heads."""
    query_noisy_attention: Tensor | None = None
    """The same for the queries with a little noise; None where it was not computed."""
    query_parts: Tensor | None = None
    """(Q, P, 3) x, y in pixels of the S x S input, and whether the part is visible (0 or 1)."""
    part_names: tuple[str, ...] = ()
    """P names; empty for a data set without annotated parts."""


@dataclass(frozen=True)
class SavedCodes:
    """Codes of queries and database after training, and what is needed to evaluate them."""

    query_codes: Tensor
    """(Q, K) floating, before binarizing."""
    query_labels: Tensor
    """(Q,) int64 in [0, C), indices of `class_names`."""
    query_index: Tensor
    """(Q,) int64, which image of the data set."""
    database_codes: Tensor
    """(D, K) floating, before binarizing."""
    database_labels: Tensor
    """(D,) int64 in [0, C)."""
    database_index: Tensor
    """(D,) int64, which image of the data set."""
    families: Tensor
    """(C,) int64 family of each class; -1 where it is unknown."""
    class_names: tuple[str, ...]
    image_size: int
    """S, pixels."""
    epoch: int
    """After which the codes were taken."""
    mean_center: bool = False
    """Whether the database's mean is to be subtracted before the codes are binarized."""
    concepts: Concepts | None = None
    """None for a method without concepts."""

    @property
    def num_concepts(self) -> int:
        """M; 1 for codes without concepts."""
        return self.concepts.query_attention.shape[1] if self.concepts else 1

    @property
    def num_bits(self) -> int:
        return self.query_codes.shape[1]

    @property
    def retrieval(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query codes and labels, database codes and labels: the arguments of retrieval metrics."""
        return self.query_codes, self.query_labels, self.database_codes, self.database_labels

    @cached_property
    def histograms(self) -> Histograms:
        """How many database images lie at each distance from a query, counted once."""
        return histograms(*self.retrieval)

    def centered(self) -> SavedCodes:
        """The codes less the database's mean, so that each bit halves it about evenly."""
        queries, database = centered(self.query_codes, self.database_codes)
        return replace(self, query_codes=queries, database_codes=database, mean_center=False)

    def as_evaluated(self) -> SavedCodes:
        """The codes as they are to be binarized: centered if `mean_center` says so."""
        return self.centered() if self.mean_center else self

    def of_concept(self, concept: int) -> SavedCodes:
        """The sub-codes and attention of one concept alone. Raises InputError if there is none."""
        if self.concepts is None:
            raise InputError(f"--concept {concept}: these codes have no concepts")
        if not 0 <= concept < self.num_concepts:
            raise InputError(
                f"--concept {concept}: these codes have concepts 0 to {self.num_concepts - 1}"
            )
        noisy = self.concepts.query_noisy_attention
        only = slice(concept, concept + 1)
        return replace(
            self,
            query_codes=sub_code(self.query_codes, concept, self.num_concepts),
            database_codes=sub_code(self.database_codes, concept, self.num_concepts),
            concepts=replace(
                self.concepts,
                query_attention=self.concepts.query_attention[:, only],
                query_noisy_attention=None if noisy is None else noisy[:, only],
            ),
        )


# --- the file --------------------------------------------------------------------------------

# The tensors of a file and the letters of their shapes; those of Concepts may be missing.
_SHAPES = {
    "query_codes": "QK",
    "query_labels": "Q",
    "query_index": "Q",
    "database_codes": "DK",
    "database_labels": "D",
    "database_index": "D",
    "families": "C",
}
_CONCEPT_SHAPES = {
    "query_attention": "QMN",
    "query_noisy_attention": "QMN",
    "query_parts": "QP3",
}
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = {name for name, letters in _SHAPES.items() if len(letters) == 1}
_HALF = ("query_attention", "query_noisy_attention")
"""Kept in float16: they are the larger part of a file."""


_Name = Annotated[str, AfterValidator(line_of_text)]


class _Facts(Spec):
    """What the metadata of a file holds beside the tensors, as JSON."""

    format: Literal[2]
    class_names: Annotated[tuple[_Name, ...], Field(min_length=1)]
    part_names: tuple[_Name, ...]
    image_size: Annotated[int, Field(ge=1, le=65_536)]
    epoch: Annotated[int, Field(ge=0, le=1_000_000)]
    mean_center: bool


def write_codes(path: Path, saved: SavedCodes) -> None:
    """Writes a .safetensors file that `read_codes` reads, attention in float16.

    Atomic: the file is replaced as a whole, so a killed process leaves the one before.
    """
    concepts = saved.concepts
    tensors = {name: getattr(saved, name) for name in _SHAPES}
    if concepts is not None:
        optional = {name: getattr(concepts, name) for name in _CONCEPT_SHAPES}
        tensors |= {name: tensor for name, tensor in optional.items() if tensor is not None}
    for name in _HALF:
        if name in tensors:
            tensors[name] = tensors[name].half()
    facts = {
        "format": FORMAT,
        "class_names": saved.class_names,
        "part_names": concepts.part_names if concepts else (),
        "image_size": saved.image_size,
        "epoch": saved.epoch,
        "mean_center": saved.mean_center,
    }
    save_tensors(path, tensors, {"concepthash": json.dumps(facts)})


def read_codes(path: Path) -> SavedCodes:
    """What `write_codes` wrote; attention comes as float32.

    Raises InputError for a file of something else or of another format, and, with a line for each
    tensor, for NaN or infinity, shapes that do not match, and labels out of range.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe would never end
            raise ValueError("it is no regular file")
        with safe_open(path, framework="pt") as file:
            facts = _facts(path, (file.metadata() or {}).get("concepthash", "{}"))
            known = _SHAPES | _CONCEPT_SHAPES
            tensors = {name: file.get_tensor(name) for name in file.keys() if name in known}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        reason = in_a_line(str(error).splitlines()[0])
        raise InputError(
            f"{path}: holds no codes of a trial ({reason}); give a codes.safetensors that this"
            " project wrote"
        ) from error
    part_names = facts.part_names
    sizes = {"C": len(facts.class_names), "P": len(part_names), "3": 3}
    if problems := list(_problems(tensors, sizes)):
        raise InputError(*(f"{path}: {problem}" for problem in problems))
    concepts = None
    if "query_attention" in tensors:
        noisy = tensors.get("query_noisy_attention")
        concepts = Concepts(
            query_attention=tensors["query_attention"].float(),
            query_noisy_attention=None if noisy is None else noisy.float(),
            query_parts=tensors.get("query_parts"),
            part_names=part_names,
        )
    return SavedCodes(
        **{name: tensors[name] for name in _SHAPES},
        class_names=facts.class_names,
        image_size=facts.image_size,
        epoch=facts.epoch,
        mean_center=facts.mean_center,
        concepts=concepts,
    )


def _facts(path: Path, text: str) -> _Facts:
    """Raises InputError for another format, and ValueError for what cannot be read."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("its metadata is nested too deeply") from None
    if isinstance(found, dict) and found and found.get("format", 1) != FORMAT:
        raise InputError(
            f"{path}: is of format {in_a_line(repr(found.get('format', 1)), 20)}, but this version"
            f" reads format {FORMAT}; train the trial again, or evaluate it with the version that"
            " wrote the file"
        )
    try:
        return _Facts.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its metadata"
        raise ValueError(f"{place}: {first['msg'].lower()}") from None


def _problems(tensors: dict[str, Tensor], sizes: dict[str, int]) -> Iterator[str]:
    """A line for each tensor of a file that is not as it should be.

    `sizes` by letter are those known; the first tensor with another size decides it for the rest.
    """
    for name, letters in (_SHAPES | _CONCEPT_SHAPES).items():
        if name not in tensors:
            if name in _SHAPES:
                yield f"{name} is missing"
            continue
        shape = tuple(tensors[name].shape)
        for letter, size in zip(letters, shape, strict=False):
            sizes.setdefault(letter, size)
        wanted = tuple(sizes.get(letter, letter) for letter in letters)
        if shape != wanted:
            text = ", ".join(map(str, wanted))
            yield f"{name} must be ({', '.join(letters)}) = ({text}), but is {shape}"
        elif 0 in shape and name != "query_parts":
            yield f"{name} is empty: its shape is {shape}"
        elif problem := _problem_of_values(tensors[name], name, sizes["C"]):
            yield f"{name} {problem}"
    if sizes.get("K", 0) > MAX_BITS:
        yield f"query_codes must have at most {MAX_BITS:,} bits, but have {sizes['K']:,}"
    if "N" in sizes and math.isqrt(sizes["N"]) ** 2 != sizes["N"]:
        yield f"query_attention is over {sizes['N']} patches, which are no square grid"
    if "K" in sizes and "M" in sizes and sizes["K"] % max(sizes["M"], 1):
        yield f"query_attention is of {sizes['M']} concepts, which do not divide {sizes['K']} bits"


def _problem_of_values(tensor: Tensor, name: str, num_classes: int) -> str | None:
    if name not in _INTEGERS:
        if tensor.dtype not in _FLOATS:
            return f"must be floating numbers, but is {tensor.dtype}"
        # Places of parts that are not visible are never read, so may be NaN.
        if name != "query_parts" and not tensor.isfinite().all():
            return "holds NaN or infinity"
        return None
    if tensor.dtype != torch.int64:
        return f"must be torch.int64, but is {tensor.dtype}"
    least, low, high = -1 if name == "families" else 0, int(tensor.min()), int(tensor.max())
    if low < least:
        return f"must be at least {least}, but one is {low}"
    if name.endswith("_labels") and high >= num_classes:
        return f"must lie in 0..{num_classes - 1}, for {num_classes} classes, but one is {high}"
    return None


def family_numbers(families: tuple[str, ...]) -> Tensor:
    """(C,) a number for each family, in order of first appearance; -1 for the unknown ones ("")."""
    known = [family for family in dict.fromkeys(families) if family]
    numbers = [known.index(family) if family else -1 for family in families]
    return torch.tensor(numbers, dtype=torch.int64)
