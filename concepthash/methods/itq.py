"""ITQ (Gong & Lazebnik, "Iterative Quantization: A Procrustean Approach", CVPR 2011).

    V = (X - mean) P                 (N, K)  the first K principal components of the features
    B = sign(V R)                            0 counts as +1
    R = W S^T  of the SVD  B^T V = S Omega W^T

The two last steps alternate from a random rotation; the quantization error ||B - V R||^2 never
rises. Three public versions, faiss 1.15 among them, transpose a factor of the last step: it is
then no solution of the Procrustes problem, and their error does not fall.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from concepthash.errors import InputError
from concepthash.methods.base import Codes, FittedMethod, Sizes, full_precision
from concepthash.model.backbone import Backbone
from concepthash.retrieval.codes import binarize


class Itq(FittedMethod):
    mean: Tensor
    axes: Tensor
    rotation: Tensor

    def __init__(self, backbone: Backbone, sizes: Sizes, *, iterations: int) -> None:
        super().__init__(backbone)
        for count, whose in (
            (backbone.width, "the backbone's features"),
            (sizes.num_images, f"{sizes.num_images} training images"),
        ):
            if sizes.num_bits > count:
                raise InputError(
                    f"num_bits: {sizes.num_bits} is more than the {count} principal components"
                    f" that {whose} have"
                )
        self.iterations = iterations
        self.register_buffer("mean", torch.zeros(backbone.width))
        self.register_buffer("axes", torch.zeros(backbone.width, sizes.num_bits))
        start = nn.init.orthogonal_(torch.empty(sizes.num_bits, sizes.num_bits))
        self.register_buffer("rotation", start)

    def forward(self, images: Tensor) -> Codes:
        tokens, attention = self.backbone(images, None)
        with full_precision(images):
            components = (tokens[:, 0].float() - self.mean) @ self.axes
            return Codes(components @ self.rotation, attention.float())

    def fit(self, features: Tensor, labels: Tensor) -> None:
        self.mean = features.mean(dim=0)
        centered = features - self.mean
        self.axes = torch.linalg.svd(centered, full_matrices=False).Vh[: self.axes.shape[1]].T
        self.rotation = fitted_rotation(centered @ self.axes, self.rotation, self.iterations)


def fitted_rotation(components: Tensor, rotation: Tensor, iterations: int) -> Tensor:
    """The rotation (K, K) after so many updates, from components V (N, K) and a start."""
    for _ in range(iterations):
        bits = 2.0 * binarize(components @ rotation).to(components.dtype) - 1
        s, _, w = torch.linalg.svd(bits.T @ components)
        rotation = w.T @ s.T
    return rotation
