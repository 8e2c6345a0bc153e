"""ConceptHash's four losses against their formulas, written out in loops over numpy arrays."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.methods.concepthash import Losses, LossWeights, concept_hash_losses

OFF = LossWeights(0.0, 0.0, 0.0, 0.0)


class Outputs(NamedTuple):
    cos_to_centers: torch.Tensor
    cos_to_sign_centers: torch.Tensor
    concept_cos: torch.Tensor
    concept_attention: torch.Tensor


def outputs(B=4, C=5, M=3, H=2, N=6, seed=0) -> Outputs:
    rng = np.random.default_rng(seed)
    attention = rng.dirichlet(np.full(N + 2, 0.5), size=(B, H, M))[..., :N]  # two other tokens
    cosines = (rng.uniform(-1, 1, shape) for shape in [(B, C), (B, C), (B, M, C)])
    return Outputs(*map(torch.from_numpy, (*cosines, attention)))


def labels_of(out: Outputs, seed=0) -> torch.Tensor:
    B, C = out.cos_to_centers.shape
    return torch.from_numpy(np.random.default_rng(seed).integers(0, C, B))


# --- the formulas --------------------------------------------------------------------------


def cross_entropy(cos, label, scale, margin) -> float:
    logits = [scale * (c - (margin if i == label else 0)) for i, c in enumerate(cos)]
    return math.log(sum(math.exp(x) for x in logits)) - logits[label]


def classification(out, labels, scale=8.0, margin=0.2) -> float:
    rows = zip(out.cos_to_centers.tolist(), labels.tolist(), strict=True)
    return float(np.mean([cross_entropy(cos, y, scale, margin) for cos, y in rows]))


def quantization(out, labels, scale=8.0, margin=0.2) -> float:
    rows = zip(out.cos_to_sign_centers.tolist(), labels.tolist(), strict=True)
    return float(np.mean([cross_entropy(cos, y, scale, margin) for cos, y in rows]))


def concept_discrimination(out, labels, scale=8.0, margin=0.2) -> float:
    return float(
        np.mean(
            [
                cross_entropy(cos, y, scale, margin)
                for concepts, y in zip(out.concept_cos.tolist(), labels.tolist(), strict=True)
                for cos in concepts
            ]
        )
    )


def concept_spatial_diversity(out, *_, **__) -> float:
    cosines = []
    for heads in out.concept_attention.numpy():  # (H, M, N)
        maps = heads.mean(axis=0)
        for a, b in itertools.combinations(maps, 2):
            cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return float(np.mean(cosines)) if cosines else 0.0


FORMULAS = {
    "classification": classification,
    "quantization": quantization,
    "concept_spatial_diversity": concept_spatial_diversity,
    "concept_discrimination": concept_discrimination,
}


def test_no_loss_is_without_a_formula_here():
    assert set(FORMULAS) == set(Losses._fields) - {"total"}
    assert LossWeights._fields == Losses._fields[:-1]


sizes = st.fixed_dictionaries(
    {
        "B": st.integers(1, 5),
        "C": st.integers(2, 6),
        "M": st.integers(1, 4),
        "H": st.integers(1, 3),
        "N": st.integers(1, 9),
        "seed": st.integers(0, 2**31),
    }
)


@pytest.mark.parametrize("name", FORMULAS)
@settings(max_examples=30, deadline=None)
@given(sizes=sizes, scale=st.floats(0.5, 30), margin=st.floats(0, 1))
def test_a_loss_is_its_formula(name, sizes, scale, margin):
    out = outputs(**sizes)
    labels = labels_of(out)
    losses = concept_hash_losses(out, labels, scale=scale, margin=margin)
    # The margin is a float32.
    assert getattr(losses, name).item() == pytest.approx(
        FORMULAS[name](out, labels, scale=scale, margin=margin), rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_the_papers_scale_and_margin_are_the_default(name):
    out = outputs()
    labels = labels_of(out)
    ours = getattr(concept_hash_losses(out, labels), name).item()
    assert ours == pytest.approx(FORMULAS[name](out, labels, scale=8, margin=0.2), rel=1e-6)


# --- a single concept ---------------------------------------------------------------------


def test_a_single_concept_has_nothing_to_overlap_with():
    out = outputs(M=1)
    losses = concept_hash_losses(out, labels_of(out))
    assert losses.concept_spatial_diversity.item() == 0
    assert losses.concept_discrimination.item() > 0


# --- the total -----------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.tuples(*4 * [st.just(0.0) | st.floats(1e-3, 10)]).filter(any))
def test_the_total_is_the_weighted_sum(weights):
    out = outputs()
    losses = concept_hash_losses(out, labels_of(out), weights=LossWeights(*weights))
    by_hand = sum(
        weight * getattr(losses, name).item()
        for weight, name in zip(weights, LossWeights._fields, strict=True)
    )
    assert losses.total.item() == pytest.approx(by_hand, rel=1e-9, abs=1e-12)


def test_the_parts_are_reported_unweighted():
    out = outputs()
    weighted = concept_hash_losses(out, labels_of(out), weights=LossWeights(0.0, 0.5, 2.0, 3.0))
    assert weighted[:-1] == concept_hash_losses(out, labels_of(out))[:-1]


SPOILED = {
    "classification": "cos_to_centers",
    "quantization": "cos_to_sign_centers",
    "concept_spatial_diversity": "concept_attention",
    "concept_discrimination": "concept_cos",
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_of_weight_zero_cannot_bring_a_nan(name):
    out = outputs()
    nan = torch.full_like(getattr(out, SPOILED[name]), torch.nan)
    spoiled = out._replace(**{SPOILED[name]: nan.requires_grad_()})
    labels = labels_of(out)
    assert torch.isnan(concept_hash_losses(spoiled, labels).total)
    weights = LossWeights()._replace(**{name: 0.0})
    kept = concept_hash_losses(spoiled, labels, weights=weights)
    assert torch.isnan(getattr(kept, name))
    assert kept.total.item() == pytest.approx(
        concept_hash_losses(out, labels, weights=weights).total.item(), rel=1e-12
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_a_weight_sends_a_gradient_to_what_its_loss_reads_and_nowhere_else(name):
    out = Outputs(*(tensor.requires_grad_() for tensor in outputs()))
    concept_hash_losses(out, labels_of(out), weights=OFF._replace(**{name: 1.0})).total.backward()
    moved = {field for field, tensor in out._asdict().items() if tensor.grad is not None}
    assert moved == {SPOILED[name]}
    assert getattr(out, SPOILED[name]).grad.any()
