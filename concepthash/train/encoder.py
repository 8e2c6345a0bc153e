"""Images to codes: a model with its crop, input normalisation and precision.

Training, its evaluation, and whatever uses a saved model encode by this one class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from concepthash.data.loader import Batch
from concepthash.data.transforms import Transform, evaluation_transform, normalize
from concepthash.errors import TrainingError
from concepthash.methods.base import FittedMethod, Method, Outputs
from concepthash.methods.bundle import Bundle


class Encoded(NamedTuple):
    """What the model makes of a list of images."""

    codes: Tensor
    """(B, K) before they are binarized."""
    labels: Tensor
    """(B,) int64."""
    attention: Tensor | None
    """(B, M, N) each concept's attention over the patches, averaged over heads."""

    def at(self, rows: Tensor) -> Encoded:
        """Of the images at these rows (B,), in this order."""
        attention = None if self.attention is None else self.attention[rows]
        return Encoded(self.codes[rows], self.labels[rows], attention)


def joined(some: Encoded, others: Encoded) -> Encoded:
    """Of both, one after the other."""
    attention = None
    if some.attention is not None and others.attention is not None:
        attention = torch.cat([some.attention, others.attention])
    return Encoded(
        torch.cat([some.codes, others.codes]), torch.cat([some.labels, others.labels]), attention
    )


@dataclass(frozen=True)
class Encoder:
    model: Method
    mean: Tensor
    """(3,) of the input normalisation, for values in [0, 1]."""
    std: Tensor
    image_size: int
    dtype: torch.dtype
    """bfloat16 or float32, of the backbone's computation."""
    device: str

    @classmethod
    def of_bundle(cls, bundle: Bundle, *, precision: str, device: str) -> Encoder:
        return cls(
            bundle.model.to(device),
            bundle.mean.to(device),
            bundle.std.to(device),
            bundle.config.backbone.image_size,
            resolve_precision(precision, device),
            device,
        )

    @property
    def crop(self) -> Transform:
        """From a decoded image (3, H, W) to the square (3, S, S) that is encoded."""
        return evaluation_transform(self.image_size)

    @property
    def batch_size(self) -> int:
        """How many images are encoded at once in evaluation.

        On a CPU, activations of more than 32 MB cost a seventh more: the allocator gives such
        memory back after each layer, and the kernel clears it anew.
        """
        return 128 if self.device.startswith("cuda") else 64

    def forward(self, images: Tensor) -> Outputs:
        """uint8 or float images (B, 3, S, S) of values 0 to 255, on the encoder's device."""
        with self._autocast():
            outputs: Outputs = self.model(normalize(images, self.mean, self.std))
        return outputs

    @torch.no_grad()
    def encode(self, batches: Iterable[Batch], *, noise: float = 0.0, seed: int = 0) -> Encoded:
        """Codes and attention of images, to which normal `noise` may be added (1 is white).

        Raises TrainingError if a code is NaN or infinite.
        """
        self.model.eval()
        generator = torch.Generator(self.device).manual_seed(seed)
        codes, labels, attention = [], [], []
        for images, batch_labels, _ in self.on_device(batches):
            if noise:
                drawn = torch.randn(images.shape, generator=generator, device=images.device)
                images = (images + 255 * noise * drawn).clamp(0, 255)
            outputs = self.forward(images)
            codes.append(outputs.codes.float().cpu())
            labels.append(batch_labels.cpu())
            if outputs.concept_attention is not None:
                attention.append(outputs.concept_attention.mean(dim=1).cpu())
        if not all(block.isfinite().all() for block in codes):
            raise TrainingError(
                "the model diverged: its codes are NaN or infinite, though the loss was finite; a"
                " lower optimizer.lr usually helps"
            )
        return Encoded(
            torch.cat(codes), torch.cat(labels), torch.cat(attention) if attention else None
        )

    @torch.no_grad()
    def features(self, method: FittedMethod, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """Features (B, D) and labels (B,) of images, on the encoder's device."""
        method.eval()
        features, labels = [], []
        for images, batch_labels, _ in self.on_device(batches):
            with self._autocast():
                features.append(method.features(normalize(images, self.mean, self.std)))
            labels.append(batch_labels)
        return torch.cat(features), torch.cat(labels)

    def on_device(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            yield Batch(*(tensor.to(self.device, non_blocking=True) for tensor in batch))

    def _autocast(self) -> torch.autocast:
        kind = torch.device(self.device).type
        return torch.autocast(kind, dtype=self.dtype, enabled=self.dtype != torch.float32)


def resolve_precision(precision: str, device: str) -> torch.dtype:
    """bfloat16 or float32; `auto` takes bfloat16 where the processor computes it natively."""
    if precision == "auto":
        if device.startswith("cuda"):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32
