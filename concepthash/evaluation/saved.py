"""What a trial leaves behind, so that any metric can be computed later without a GPU or images."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from concepthash.errors import InputError
from concepthash.retrieval import centered, sub_code


@dataclass(frozen=True)
class SavedCodes:
    """Codes of queries and database after training, and what is needed to judge them."""

    query_codes: Tensor
    """(Q, K) before the sign."""
    query_labels: Tensor
    """(Q,) int64, indices of `class_names`."""
    query_index: Tensor
    """(Q,) int64, which image of the data set."""
    query_attention: Tensor
    """(Q, M, N) each concept's attention over the patches, averaged over heads."""
    query_noisy_attention: Tensor
    """The same for the queries with a little noise."""
    database_codes: Tensor
    database_labels: Tensor
    database_index: Tensor
    families: Tensor
    """(C,) int64 family of each class; -1 where it is unknown."""
    query_parts: Tensor
    """(Q, P, 3) x, y in pixels of the S x S input, and whether the part is in sight; P may be 0."""
    class_names: tuple[str, ...]
    part_names: tuple[str, ...]
    image_size: int
    """S, pixels."""
    epoch: int
    """After which the codes were taken."""

    @property
    def num_concepts(self) -> int:
        return self.query_attention.shape[1]

    @property
    def num_bits(self) -> int:
        return self.query_codes.shape[1]

    def centered(self) -> SavedCodes:
        """The codes less the database's mean, so that each bit halves it about evenly."""
        queries, database = centered(self.query_codes, self.database_codes)
        return replace(self, query_codes=queries, database_codes=database)

    def of_concept(self, concept: int) -> SavedCodes:
        """The sub-codes and attention of one concept alone. Raises InputError if there is none."""
        if not 0 <= concept < self.num_concepts:
            raise InputError(
                f"--concept {concept}: these codes have concepts 0 to {self.num_concepts - 1}"
            )
        return replace(
            self,
            query_codes=sub_code(self.query_codes, concept, self.num_concepts),
            database_codes=sub_code(self.database_codes, concept, self.num_concepts),
            query_attention=self.query_attention[:, concept : concept + 1],
            query_noisy_attention=self.query_noisy_attention[:, concept : concept + 1],
        )

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in _TENSORS}

    def metadata(self) -> dict[str, str]:
        """As a .safetensors file holds it: one JSON text."""
        return {"concepthash": json.dumps({name: getattr(self, name) for name in _FACTS})}


_FACTS = ("class_names", "part_names", "image_size", "epoch")
_TENSORS = tuple(name for name in SavedCodes.__dataclass_fields__ if name not in _FACTS)


def read_codes(path: Path) -> SavedCodes:
    """What a trial wrote to codes.safetensors. Raises InputError."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["concepthash"])
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: holds no codes of a trial ({type(error).__name__}: {error}); give a"
            " codes.safetensors that this version wrote"
        ) from error
    for name in ("query_attention", "query_noisy_attention"):
        tensors[name] = tensors[name].float()
    return SavedCodes(
        **tensors,
        class_names=tuple(facts["class_names"]),
        part_names=tuple(facts["part_names"]),
        image_size=int(facts["image_size"]),
        epoch=int(facts["epoch"]),
    )


def family_numbers(families: tuple[str, ...]) -> Tensor:
    """(C,) a number for each family, in order of first appearance; -1 for the unknown ones ("")."""
    known = [family for family in dict.fromkeys(families) if family]
    numbers = [known.index(family) if family else -1 for family in families]
    return torch.tensor(numbers, dtype=torch.int64)
