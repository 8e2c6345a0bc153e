"""HashNet (Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017).

    h = tanh(beta u)                         (B, K)  u of the hash layer, binarized by its sign
    theta_ij = alpha h_i . h_j
    l_ij = log(1 + exp(theta_ij)) - s_ij theta_ij,   s_ij = 1 if i and j share a class, else 0
    loss = mean of l over similar pairs + mean of l over dissimilar pairs

over all ordered pairs of a batch, the pair of an image with itself included: the paper's weights
of both kinds of pairs. The tanh sharpens in steps, beta = sqrt(1 + epoch // sharpen_every), as in
the public re-implementations (20 epochs a step). The comparison code of the ConceptHash paper
leaves beta at 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from concepthash.methods.base import Batch, LinearHash, Outputs, Progress, Sizes
from concepthash.model.backbone import Backbone


class HashNet(LinearHash):
    def __init__(
        self,
        backbone: Backbone,
        sizes: Sizes,
        *,
        loss: Mapping[str, float],
        sharpen_every: int,
    ) -> None:
        super().__init__(backbone, sizes)
        self.alpha, self.sharpen_every = loss["alpha"], sharpen_every

    def beta(self, progress: Progress) -> float:
        """The scale of the tanh, at least 1."""
        return float((1 + (progress.epoch - 1) // self.sharpen_every) ** 0.5)

    def losses(self, outputs: Outputs, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        beta = self.beta(progress)
        return {"total": pairwise_likelihood(outputs.codes, batch.labels, self.alpha, beta)}


def pairwise_likelihood(u: Tensor, labels: Tensor, alpha: float, beta: float) -> Tensor:
    """The loss of outputs u (B, K) with labels (B,); a scalar of at least 0.

    Without dissimilar pairs the similar ones alone count.
    """
    h = torch.tanh(beta * u)
    theta = alpha * h @ h.T  # (B, B)
    similar = labels.unsqueeze(1) == labels
    likelihood = F.softplus(theta) - similar * theta
    means = [likelihood[pairs].mean() for pairs in (similar, ~similar) if pairs.any()]
    return torch.stack(means).sum()
