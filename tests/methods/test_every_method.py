"""What holds for every method: its fields, its gradients, and that it has tests of its own."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

import pytest
import torch
from small_trials import METHODS as SMALL
from small_trials import built, trainable

from concepthash.methods.base import Batch, FittedMethod, Progress, TrainedMethod
from concepthash.methods.build import METHODS
from concepthash.spec import FittedTrial, TrainedTrial, TrialSpec

SPECS = {spec.model_fields["method"].default: spec for spec in get_args(get_args(TrialSpec)[0])}

LOSSES = (
    "classification",
    "quantization",
    "concept_spatial_diversity",
    "concept_discrimination",
)

# Variants of each trained method that have parameters of their own, or leave some unreached.
VARIANTS = {
    "concepthash": [
        {},
        {"refinement": "off", "code_norm": {"name": "none", "specificity": "off"}},
        {"projection": "per-concept", "code_norm": "none"},
        {"tuning": "linear-probe", "num_concepts": 1},
        {"tuning": "prompt-only"},
        {"tuning": {"name": "last-blocks", "blocks": 2}},
        {"tuning": {"name": "adapters", "width": 8, "sites": "attention", "blocks": 1}},
        {"language": {"source": "orthogonal", "width": 16}},
        *({f"loss.{name}": 0} for name in LOSSES),
        *(
            {f"loss.{other}": 0 for other in LOSSES if other != name}
            for name in LOSSES
            if name != "concept_spatial_diversity"
        ),
    ],
    "hashnet": [
        {"method": "hashnet", "tuning": "full"},
        {"method": "hashnet", "tuning": {"name": "adapters", "width": 8}},
        {"method": "hashnet", "tuning": "linear-probe"},
    ],
}
TRAINED = [(name, changes) for name, variants in VARIANTS.items() for changes in variants]


def test_study_files_and_the_table_of_methods_name_the_same_methods():
    assert SPECS.keys() == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_its_fields_of_a_study_file_by_name(name):
    shared = {*TrainedTrial.model_fields, *FittedTrial.model_fields, "method"}
    fields = {
        "class_embeddings" if field == "language" else field
        for field in SPECS[name].model_fields
        if field not in shared
    }
    parameters = inspect.signature(METHODS[name]).parameters.values()
    assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} == fields


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_tests_of_its_own(name):
    assert Path(__file__).with_name(f"test_{name}.py").is_file()
    assert name in SMALL, "tests/small_trials.py: METHODS has no small trial of it"
    assert name in VARIANTS or isinstance(built(SMALL[name]), FittedMethod)


@pytest.mark.parametrize("name", METHODS)
def test_codes_have_num_bits_and_attention_covers_the_patches(name):
    method = built(SMALL[name]).eval()
    with torch.no_grad():
        outputs = method(torch.randn(2, 3, 64, 64))
    assert outputs.codes.shape == (2, 16)
    assert outputs.codes.dtype == torch.float32
    assert outputs.concept_attention.shape[:2] == (2, 4)  # 4 heads
    assert outputs.concept_attention.shape[3] == 64


@pytest.mark.parametrize(("name", "changes"), TRAINED, ids=str)
def test_every_trainable_parameter_gets_a_gradient_and_no_frozen_one(name, changes):
    method = built(changes)
    assert isinstance(method, TrainedMethod)
    with torch.no_grad():  # an untrained adapter lets no gradient through to itself
        for parameter_name, parameter in method.named_parameters():
            if ".up." in parameter_name:
                parameter.normal_(std=0.1)
    outputs = method(torch.randn(4, 3, 64, 64))
    batch = Batch(torch.tensor([0, 1, 2, 0]), torch.tensor([3, 0, 7, 1]))
    method.losses(outputs, batch, Progress(epoch=1, epochs=2, step=0))["total"].backward()
    reached = {n for n, p in method.named_parameters() if p.grad is not None and p.grad.any()}
    # Batch normalisation takes the specificity embeddings out again, up to rounding.
    removed = {"specificity"} if changes.get("code_norm", "batch") == "batch" else set()
    assert trainable(method) - removed <= reached <= trainable(method)
    assert all(p.grad is None for p in method.parameters() if not p.requires_grad)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in VARIANTS])
def test_a_fitted_method_trains_no_parameter(name):
    assert trainable(built(SMALL[name])) == set()
