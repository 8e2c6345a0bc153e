"""Concept tokens: the refinement block's formula, and tokens without it."""

import numpy as np
import pytest
import torch

from concepthash.model.concepts import ConceptTokens

M, E, HEADS, D = 5, 8, 2, 6


@pytest.fixture
def tokens() -> ConceptTokens:
    """Random in every parameter, in double precision."""
    torch.manual_seed(0)
    module = ConceptTokens(M, E, D, heads=HEADS).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def test_the_refinement_block_is_the_papers(tokens):
    p = {name: value.detach().numpy() for name, value in tokens.named_parameters()}

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(x, name):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    q = p["queries"]
    query, key, value = np.split(
        q @ p["attention.in_proj_weight"].T + p["attention.in_proj_bias"], 3, axis=1
    )
    heads = []
    for head in np.split(np.arange(E), HEADS):
        scores = np.exp(query[:, head] @ key[:, head].T / np.sqrt(E / HEADS))
        heads.append(scores / scores.sum(1, keepdims=True) @ value[:, head])
    x = norm(q, "norm1") + linear(np.concatenate(heads, axis=1), "attention.out_proj")
    x = norm(x, "norm2") + linear(np.maximum(linear(x, "hidden"), 0), "out")
    with torch.no_grad():
        assert tokens().numpy() == pytest.approx(linear(x, "to_width"), abs=1e-12)


def test_concepts_have_no_order(tokens):
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        straight = tokens()
        tokens.queries.copy_(tokens.queries[order].clone())
        torch.testing.assert_close(tokens(), straight[order], rtol=0, atol=1e-12)


def test_each_concept_sees_the_others(tokens):
    with torch.no_grad():
        before = tokens()
        tokens.queries[0] += 1
        assert ((tokens() - before).abs().amax(dim=1) > 1e-3).all()


def test_without_refinement_the_queries_are_mapped_to_the_width_as_they_are():
    tokens = ConceptTokens(M, E, D, heads=None)
    assert {name for name, _ in tokens.named_parameters()} == {
        "queries",
        "to_width.weight",
        "to_width.bias",
    }
    with torch.no_grad():
        expected = tokens.queries @ tokens.to_width.weight.T + tokens.to_width.bias
        torch.testing.assert_close(tokens(), expected)


def test_every_parameter_is_learned(tokens):
    (tokens() * torch.randn(M, D)).sum().backward()
    assert [name for name, p in tokens.named_parameters() if not p.grad.any()] == []
