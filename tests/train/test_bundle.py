"""The model file of a trial: what is in it, that it encodes as the trial did, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_trials import BIRDS, PRETRAINED, Run, complaint, run, same, trial

from concepthash.data.loader import Batch
from concepthash.data.readers import open_images
from concepthash.methods.bundle import is_bundle, read_bundle, write_bundle
from concepthash.train.encoder import Encoder
from concepthash.train.evaluation import codes_of_model
from concepthash.train.setup import prepare

ADAPTERS = {"tuning": {"name": "adapters", "width": 8}}
TRIALS = {
    "concepthash": {"language": {"source": "orthogonal", "width": 8}, "epochs": 1},
    "concepthash, frozen hub weights": {**ADAPTERS, **PRETRAINED, "epochs": 1},
    "hashnet": {"method": "hashnet", "epochs": 1},
    "itq, frozen hub weights": {"method": "itq", **PRETRAINED},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
    return run(trial(TRIALS["concepthash"]), tmp_path_factory.mktemp("trained"))


@pytest.mark.parametrize("changes", TRIALS.values(), ids=TRIALS)
def test_a_model_read_again_gives_the_codes_of_its_trial_bit_by_bit(changes, tmp_path):
    """From the file and the pictures alone: neither the data set nor the trial is known."""
    codes = run(trial(changes), tmp_path).codes
    bundle = read_bundle(tmp_path / "model.safetensors")
    paths = [open_images(BIRDS).paths[i] for i in codes["query_index"]]
    pictures = [torch.tensor(np.asarray(Image.open(path))).permute(2, 0, 1) for path in paths]
    none = torch.zeros(len(paths), dtype=torch.int64)
    encoder = Encoder.of_bundle(bundle, precision="fp32", device="cpu")
    encoded = encoder.encode([Batch(torch.stack(pictures), none, none)])
    assert torch.equal(encoded.codes, codes["query_codes"])


def test_a_model_on_the_data_of_its_trial_gives_all_of_its_codes(trained):
    again = codes_of_model(
        trained.folder / "model.safetensors", trial(TRIALS["concepthash"]), device="cpu"
    )
    for name in ("query_codes", "query_index", "database_codes", "database_labels", "families"):
        assert torch.equal(getattr(again, name), trained.codes[name]), name
    assert torch.equal(again.concepts.query_attention.half(), trained.codes["query_attention"])


def test_it_knows_its_sizes_normalisation_and_classes(tmp_path):
    unseen = {"protocol": {"name": "unseen", "share": 0.5}, "epochs": 1}
    run(trial(unseen), tmp_path)
    bundle = read_bundle(tmp_path / "model.safetensors")
    setup = prepare(trial(unseen), "cpu", 0)
    names = tuple(setup.images.class_names[label] for label in setup.split.classes)
    assert bundle.class_names == names
    assert bundle.config == setup.bundle.config
    assert bundle.config.sizes.num_classes == len(names) == 2
    assert bundle.mean.tolist() == [0.5, 0.5, 0.5]
    assert bundle.std.tolist() == [0.25, 0.25, 0.25]
    assert not bundle.model.training


def stored(changes, folder) -> tuple[set[str], set[str]]:
    """The names of the state of a small trial's model, and those in its file."""
    bundle = prepare(trial(changes), "cpu", 0).bundle
    hub_weights = changes.get("backbone.weights") == "pretrained"
    write_bundle(folder / "model.safetensors", bundle, hub_weights=hub_weights)
    return set(bundle.model.state_dict()), set(load_file(folder / "model.safetensors"))


@pytest.mark.parametrize("changes", [{**ADAPTERS}, {"tuning": "full"}], ids=str)
def test_weights_that_no_hub_holds_are_stored_whether_trained_or_not(changes, tmp_path):
    state, in_file = stored(changes, tmp_path)
    assert in_file == state


def test_a_backbone_of_a_local_file_is_stored_for_the_file_may_be_gone(tmp_path):
    bundle = prepare(trial(ADAPTERS), "cpu", 0).bundle
    weights = tmp_path / "weights.safetensors"
    vit = {
        name.removeprefix("backbone.").removeprefix("stem.").replace(".block.", "."): tensor
        for name, tensor in bundle.model.state_dict().items()
        if name.startswith("backbone.") and ".adapt_" not in name
    }
    save_file(vit, weights)
    of = trial({**ADAPTERS, "backbone.weights": str(weights), "epochs": 1})
    codes = run(of, tmp_path / "trial").codes
    weights.unlink()
    path = tmp_path / "trial" / "model.safetensors"
    assert torch.equal(
        codes_of_model(path, trial(ADAPTERS), device="cpu").query_codes, codes["query_codes"]
    )


def test_of_a_frozen_backbone_from_the_hub_only_the_adapters_are_stored(tmp_path):
    state, in_file = stored({**ADAPTERS, **PRETRAINED}, tmp_path)
    heads = {name for name in state if not name.startswith("backbone.")}
    adapters = {name for name in state if ".adapt_" in name}
    assert in_file == heads | adapters
    state, in_file = stored({"tuning": "full", **PRETRAINED}, tmp_path)
    assert in_file == state


def test_codes_and_models_are_told_apart(trained):
    assert is_bundle(trained.folder / "model.safetensors")
    assert not is_bundle(trained.folder / "codes.safetensors")


def test_an_interrupted_write_leaves_the_model_before(tmp_path):
    bundle = prepare(trial(), "cpu", 0).bundle
    path = tmp_path / "model.safetensors"
    write_bundle(path, bundle, hub_weights=False)
    before = load_file(path)
    torch.nn.init.zeros_(bundle.model.to_bits.weight)
    (tmp_path / ".model.safetensors.tmp").mkdir()  # writing this file fails
    with pytest.raises(Exception, match=r"(?i)is a directory"):
        write_bundle(path, bundle, hub_weights=False)
    assert same(load_file(path), before)


# --- what is refused -------------------------------------------------------------------------


def rewritten(trained: Run, path, *, about=(), config=(), tensors=(), without=()):
    """The trained model's file with some of its contents replaced."""
    source = trained.folder / "model.safetensors"
    with safe_open(source, framework="pt") as file:
        described = json.loads(file.metadata()["concepthash-model"])
    described |= {"config": {**described["config"], **dict(config)}, **dict(about)}
    state = {name: t for name, t in load_file(source).items() if name not in without}
    save_file({**state, **dict(tensors)}, path, {"concepthash-model": json.dumps(described)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"about": {"format": 2}},
            "is a model of format 2, and this version reads format 1; read it with the version"
            " that wrote it, or write it again with this one",
        ),
        (
            {"config": {"method": "of tomorrow"}},
            "cannot be built again (KeyError: 'of tomorrow'); write it again with this version",
        ),
        ({"config": {"unknown_field": 3}}, "cannot be built again (TypeError: "),
        ({"about": {"class_names": None}}, "cannot be built again (TypeError: "),
        (
            {"without": ["to_bits.weight"]},
            "its weights do not fit its configuration: to_bits.weight is missing; write it again",
        ),
        (
            {"tensors": {"to_bits.bias": torch.zeros(4)}},
            "its weights do not fit its configuration: to_bits.bias is unknown; write it again",
        ),
        (
            {"tensors": {"to_bits.weight": torch.zeros(2, 128)}},
            "its weights do not fit its configuration: to_bits.weight is (2, 128), not (4, 128);",
        ),
    ],
    ids=str,
)
def test_a_file_that_does_not_describe_a_model_of_this_version(changes, said, trained, tmp_path):
    path = tmp_path / "model.safetensors"
    rewritten(trained, path, **changes)
    assert complaint(read_bundle, path).startswith(f"{path}: {said}")


def test_a_backbone_that_this_timm_does_not_have_is_named_with_the_file(trained, tmp_path):
    path = tmp_path / "model.safetensors"
    backbone = prepare(trial(), "cpu", 0).bundle.config.as_json()["backbone"]
    rewritten(trained, path, config={"backbone": {**backbone, "name": "vit_of_tomorrow"}})
    line = complaint(read_bundle, path)
    assert line.startswith(f"{path}: backbone.name: timm has no model 'vit_of_tomorrow'")


def test_a_file_of_another_program(trained, tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for path in (tmp_path / "other.safetensors", trained.folder / "codes.safetensors"):
        assert complaint(read_bundle, path).startswith(f"{path}: holds no model; give a model.")


@pytest.mark.parametrize("content", [None, b"", b"hello world", "half"])
def test_a_file_that_is_broken_or_not_there(content, trained, tmp_path):
    path = tmp_path / "model.safetensors"
    if content == "half":
        whole = (trained.folder / "model.safetensors").read_bytes()
        content = whole[: len(whole) // 2]
    if content is not None:
        path.write_bytes(content)
    line = complaint(read_bundle, path)
    assert line.startswith(f"{path}: cannot be read as a .safetensors file (")


def test_a_description_that_is_no_json(tmp_path):
    path = tmp_path / "model.safetensors"
    for text in ("{", "[]", "3"):
        save_file({"a": torch.zeros(1)}, path, {"concepthash-model": text})
        assert complaint(read_bundle, path).startswith(f"{path}: cannot be built again (")
