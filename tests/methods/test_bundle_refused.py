"""A model file that cannot be used is refused in one line with its path, whatever is broken."""

from __future__ import annotations

import functools
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from concepthash.errors import InputError
from concepthash.methods.base import Sizes
from concepthash.methods.build import BackboneConfig, ModelConfig, build_method, normalisation
from concepthash.methods.bundle import Bundle, read_bundle, write_bundle

MODEL = ModelConfig(
    "itq", Sizes(8, 3, 9), {"iterations": 1}, BackboneConfig("vit_paperbirds_patch8_64", 64)
)
# The place in a model file's metadata, what stands there, and what is said.
BROKEN_MODELS = [
    (["format"], "a\nb", "is a model of format 'a\\nb'"),
    (["config"], None, "cannot be built again"),
    (["config", "method"], "sift", "cannot be built again (KeyError"),
    (["config", "sizes", "num_bits"], 10**30, ""),
    (["config", "backbone", "image_size"], 0, ""),
    (["mean"], 10**9, "its mean must be 3 finite numbers"),
    (["std"], [1.0, 0.0, 1.0], "its std must be above 0"),
    (["class_names"], [1, 2, 3], "its class_names must be text"),
    (["class_names"], ["a"], "it has 1 class_names, but 3 classes"),
]


@pytest.fixture
def path(tmp_path):
    model = build_method(MODEL)
    bundle = Bundle(model, MODEL, *normalisation(model.backbone), ("a", "b", "c"))
    write_bundle(tmp_path / "m.safetensors", bundle, hub_weights=False)
    return tmp_path / "m.safetensors"


def rewrite(path, about=None, **tensors) -> None:
    """The same file with other metadata or tensors."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    if about is not None:
        metadata = {"concepthash-model": about}
    save_file(load_file(path) | tensors, path, metadata)


def complaint(path) -> str:
    with pytest.raises(InputError) as caught:
        read_bundle(path)
    (line,) = caught.value.lines
    assert "\n" not in line
    return line


@pytest.mark.parametrize(("place", "value", "said"), BROKEN_MODELS)
def test_metadata_that_fit_no_model_are_refused(path, place, value, said):
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["concepthash-model"])
    functools.reduce(lambda at, key: at[key], place[:-1], about)[place[-1]] = value
    rewrite(path, json.dumps(about))
    assert complaint(path).startswith(f"{path}: {said}")


def test_a_configuration_that_divides_by_zero_is_refused(path):
    options = {
        "num_concepts": 0,
        "concept_width": 8,
        "refinement": "off",
        "projection": "shared",
        "code_norm": {"name": "batch"},
        "loss": dict.fromkeys(("classification", "quantization"), 1.0)
        | dict.fromkeys(("concept_spatial_diversity", "concept_discrimination"), 1.0)
        | {"scale": 8.0, "margin": 0.2},
        "class_embeddings": None,
    }
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["concepthash-model"])
    about["config"] |= {"method": "concepthash", "options": options}
    rewrite(path, json.dumps(about))
    assert complaint(path).startswith(f"{path}: cannot be built again (ZeroDivisionError")


@pytest.mark.parametrize("about", ["", "[", "[" * 100_000, "3", "null", "{}"])
def test_metadata_that_are_no_mapping_are_refused(path, about):
    rewrite(path, about)
    assert complaint(path).startswith(f"{path}: cannot be built again (")


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_model_that_is_cut_off_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert complaint(path).startswith(f"{path}: cannot be read as a .safetensors file (")


def test_weights_that_are_nan_or_of_another_type_are_refused(path):
    name, weight = next(iter(load_file(path).items()))
    rewrite(path, **{name: torch.full_like(weight, torch.nan)})
    assert complaint(path) == f"{path}: {name} holds NaN or infinity; train the model again"
    rewrite(path, **{name: weight.half()})
    assert f"{name} is {tuple(weight.shape)} torch.float16, not" in complaint(path)
