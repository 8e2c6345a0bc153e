"""Losses that several methods or metrics share, as pure functions of tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def margin_softmax(cos: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """Mean over labels y (...) of CE(scale * (cos - margin * [c = y]), y) of cosines (..., C).

    CosFace (Wang et al., CVPR 2018).
    """
    logits = scale * (cos - margin * F.one_hot(labels, cos.shape[-1]))
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())


def attention_overlap(attention: Tensor) -> Tensor:
    """L_csd of attention (B, H, M, N): mean over pairs of concepts of their maps' cosine.

    A map is the mean over heads. In [0, 1]; 0 for a single concept, which has no pair.
    """
    maps = F.normalize(attention.mean(dim=1), dim=-1)  # (B, M, N)
    num_concepts = maps.shape[1]
    if num_concepts == 1:
        return maps.new_zeros(())
    cosines = maps @ maps.transpose(-2, -1)  # (B, M, M)
    rows, columns = torch.triu_indices(num_concepts, num_concepts, offset=1, device=maps.device)
    return cosines[:, rows, columns].mean()
