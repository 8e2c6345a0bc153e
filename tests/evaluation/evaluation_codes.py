"""Saved codes that the tests of this folder share."""

from __future__ import annotations

import torch

from concepthash.evaluation.saved import Concepts, SavedCodes

Q, D, K, M, C = 12, 30, 8, 2, 4


def random_codes(num: int, seed: int) -> torch.Tensor:
    return torch.randn(num, K, generator=torch.Generator().manual_seed(seed))


def random_saved() -> SavedCodes:
    """Random codes and attention over 4 x 4 patches; two families and two annotated parts."""
    attention = torch.rand(Q, M, 16, generator=torch.Generator().manual_seed(3))
    return SavedCodes(
        query_codes=random_codes(Q, 0),
        query_labels=torch.arange(Q) % C,
        query_index=torch.arange(Q),
        database_codes=random_codes(D, 1),
        database_labels=torch.arange(D) % C,
        database_index=torch.arange(Q, Q + D),
        families=torch.tensor([0, 0, 1, 1]),
        class_names=("owl", "eagle", "tern", "gull"),
        image_size=64,
        epoch=7,
        concepts=Concepts(
            query_attention=attention / attention.sum(-1, keepdim=True),
            query_noisy_attention=attention.flip(0) / attention.sum(-1, keepdim=True),
            query_parts=torch.tensor([[8.0, 8.0, 1.0], [50.0, 50.0, 1.0]]).expand(Q, 2, 3).clone(),
            part_names=("head", "tail"),
        ),
    )


def easy_and_bad() -> tuple[SavedCodes, SavedCodes]:
    """Codes that separate the classes, bit by bit and concept by concept, and codes that do not.

    Easy: 2 bits of the class, repeated four times in each of two sub-codes, beside an independent
    bit; each concept's attention stays on a part of its own. Bad: one rare bit, repeated, of very
    different sizes; both concepts look at one place that is no part and moves.
    """
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % C
    of_class = torch.stack([labels // 2, labels % 2], dim=1).repeat(1, 4)
    own = torch.randint(0, 2, (len(labels), M), generator=generator)
    easy = torch.cat([of_class, own[:, :1], of_class, own[:, 1:]], dim=1) * 2.0 - 1
    rare = (torch.rand(len(labels), 1, generator=generator) < 0.2) * 2.0 - 1
    bad = rare * torch.rand(len(labels), easy.shape[1], generator=generator) ** 4
    return _example(easy, labels, [[0, 15]] * Q, [[0, 15]] * Q), _example(
        bad, labels, [[5, 5], [10, 10]] * (Q // 2), [[10, 10], [5, 5]] * (Q // 2)
    )


def _example(
    codes: torch.Tensor, labels: torch.Tensor, peaks: list[list[int]], noisy: list[list[int]]
) -> SavedCodes:
    """The first Q images as queries; parts in the patches 0 and 15 of 4 x 4."""
    maps = torch.eye(16) + 0.01
    return SavedCodes(
        query_codes=codes[:Q],
        query_labels=labels[:Q],
        query_index=torch.arange(Q),
        database_codes=codes[Q:],
        database_labels=labels[Q:],
        database_index=torch.arange(Q, len(codes)),
        families=torch.tensor([0, 0, 1, 1]),
        class_names=("owl", "eagle", "tern", "gull"),
        image_size=64,
        epoch=1,
        concepts=Concepts(
            query_attention=maps[torch.tensor(peaks)],
            query_noisy_attention=maps[torch.tensor(noisy)],
            query_parts=torch.tensor([[8.0, 8.0, 1.0], [56.0, 56.0, 1.0]]).expand(Q, 2, 3).clone(),
            part_names=("head", "tail"),
        ),
    )
