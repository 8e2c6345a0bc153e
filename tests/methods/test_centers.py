"""Class centers in the code space."""

from __future__ import annotations

import torch

from concepthash.methods.centers import TextCenters

C, K = 5, 12


def test_text_centers_are_an_mlp_of_fixed_embeddings():
    embeddings = torch.randn(C, 6)
    centers = TextCenters(embeddings, K)
    first, _, second = centers.mlp
    with torch.no_grad():
        hidden = (embeddings @ first.weight.T + first.bias).clamp(min=0)
        torch.testing.assert_close(centers(), hidden @ second.weight.T + second.bias)
    assert first.weight.shape == (6, 6)
    assert "embeddings" not in dict(centers.named_parameters())
    assert "embeddings" in centers.state_dict()
