"""What a method is: a backbone with a head that makes codes, and how it learns.

A `TrainedMethod` gives losses of a batch and is learned by gradient descent. A `FittedMethod` is
fitted once on the features of a frozen backbone. Both are modules from images to codes; training,
evaluation and saved codes know nothing else of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from concepthash.model.backbone import Backbone


class Outputs(Protocol):
    """What every method makes of a batch; a method may add fields of its own for its losses."""

    @property
    def codes(self) -> Tensor:
        """(B, K) before they are binarized."""

    @property
    def concept_attention(self) -> Tensor | None:
        """(B, H, M, N) attention over the patches of what makes each of M sub-codes; None if the
        method has none."""


class Codes(NamedTuple):
    """The outputs of a method that has nothing to add."""

    codes: Tensor
    concept_attention: Tensor | None


class Sizes(NamedTuple):
    """What a head has to fit."""

    num_bits: int
    """K."""
    num_classes: int
    """C, the classes that are trained."""
    num_images: int
    """Training images, for methods that keep a code of each."""
    own_tokens: bool = True
    """Whether the method may put tokens of its own into the backbone; a linear probe may not."""


class Batch(NamedTuple):
    """What a loss knows of a batch beside the outputs."""

    labels: Tensor
    """(B,) int64, 0 to C - 1."""
    rows: Tensor
    """(B,) int64, which of the training images these are: 0 to num_images - 1."""


class Progress(NamedTuple):
    """How far training is."""

    epoch: int
    """From 1."""
    epochs: int
    step: int
    """Steps done before this one, over all epochs."""


class Method(nn.Module, ABC):
    """A backbone and what makes codes of its tokens."""

    reads_class_token = True
    """Whether the backbone must have a class token; one model may, where its class need not."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    @abstractmethod
    def forward(self, images: Tensor) -> Outputs:
        """images (B, 3, S, S), normalised as the backbone expects them."""


class TrainedMethod(Method):
    """Learned by gradient descent.

    What it keeps beside its parameters (codes of the training set, a schedule's state) are
    buffers: they are saved with every checkpoint, so that training goes on bit by bit.
    """

    @abstractmethod
    def losses(self, outputs: Any, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Of what `forward` returned: scalars by name, among them `total`, which is minimised."""

    def start_epoch(self, progress: Progress, encode: Callable[[], Tensor]) -> None:
        """Called before each epoch. `encode()` computes the codes (num_images, K) of the training
        images in evaluation mode, in the order of `Batch.rows`."""


class FittedMethod(Method):
    """Fitted once on the features of a frozen backbone. What it learns are its buffers."""

    def features(self, images: Tensor) -> Tensor:
        """(B, D) of normalised images (B, 3, S, S): the class token after the last block."""
        tokens, _ = self.backbone(images, None)
        return tokens[:, 0].float()

    @abstractmethod
    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Learns from the training images' features (num_images, D) and labels (num_images,)."""


class LinearHash(TrainedMethod):
    """One linear layer from the class token to the bits: the head that most methods share."""

    def __init__(self, backbone: Backbone, sizes: Sizes) -> None:
        super().__init__(backbone)
        self.to_bits = nn.Linear(backbone.width, sizes.num_bits)

    def forward(self, images: Tensor) -> Codes:
        tokens, attention = self.backbone(images, None)  # (B, 1, D), (B, H, 1, N)
        with full_precision(images):
            return Codes(self.to_bits(tokens[:, 0].float()), attention.float())


def full_precision(images: Tensor) -> torch.autocast:
    """Heads are cheap: they compute in float32 whatever the backbone does."""
    return torch.autocast(images.device.type, enabled=False)
