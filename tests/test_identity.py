"""Which settings make a trial the trial it is, and that recorded trials keep their digests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from concepthash import identity as module
from concepthash.data.readers import Cub, DatasetSpec, Folder, Manifest, Paperbirds
from concepthash.identity import digest, identity
from concepthash.plan import Trial
from concepthash.spec import ConceptHashTrial, TrialSpec, changed, parse_trial

BIRDS = Paperbirds()
PAPER = ConceptHashTrial()


def digest_of(spec: TrialSpec = PAPER, dataset: DatasetSpec = BIRDS, seed: int = 0) -> str:
    return digest(identity(dataset, spec, seed, {}))


# --- recorded trials keep their digests ------------------------------------------------------

TINY_CLIP = {
    "num_bits": 32,
    "epochs": 6,
    "backbone": {"name": "vit_paperbirds_patch8_64", "weights": "pretrained", "image_size": 64},
    "language": {"source": "open_clip", "model": "paperbirds", "pretrained": "v1"},
    "tuning": {"name": "adapters", "width": 64},
    "concept_width": 128,
    "augmentation": "none",
    "optimizer": {"name": "adamw", "lr": 2e-3, "weight_decay": 0.05, "warmup_epochs": 1},
    "validate_every": 3,
}

# Whoever has to change one of these has changed what every recorded run is known by: see
# MOVED, ADDED and DIGEST_FORMAT in concepthash/identity.py.
RECORDED = {
    "7cd9be49a890": (BIRDS, {}, 0),
    "95e247ac8c65": (BIRDS, TINY_CLIP, 1),
    "775fa39fc5d8": (BIRDS, TINY_CLIP | {"tuning": "full"}, 0),
    "7c0fc2b2aeb6": (BIRDS, {"method": "hashnet", "num_bits": 16}, 0),
    "166f8452f151": (BIRDS, {"method": "itq"}, 3),
    "c9ef8c3f81f5": (
        Paperbirds(species=4, families=2, difficulty="easy"),
        {"language": "off", "refinement": "off"},
        0,
    ),
    "0c9f4af650ee": (
        Cub(root=Path("/data/CUB_200_2011"), num_classes=50),
        {"backbone": {"weights": "/data/vit.safetensors"}, "protocol": "unseen"},
        2,
    ),
    "c3d699710766": (
        Manifest(root=Path("/data/emoji"), title="emoji"),
        {
            "language": {"source": "file", "embeddings": "/data/text.safetensors"},
            "code_norm": "none",
        },
        0,
    ),
}


@pytest.mark.parametrize("expected", RECORDED)
def test_a_recorded_digest_stays(expected):
    dataset, settings, seed = RECORDED[expected]
    assert digest_of(parse_trial(settings), dataset, seed) == expected


def test_the_identity_of_the_papers_trial_has_these_names_and_values():
    assert identity(BIRDS, PAPER, 0, {}) == {
        "format": 2,
        "dataset.num_classes": None,
        "dataset.name": "paperbirds",
        "dataset.species": 40,
        "dataset.families": 8,
        "dataset.train_images": 20,
        "dataset.test_images": 10,
        "dataset.size": 64,
        "dataset.seed": 0,
        "dataset.difficulty": "normal",
        "seed": 0,
        "num_bits": 64,
        "backbone.name": "vit_base_patch32_clip_quickgelu_224.openai",
        "backbone.weights": "pretrained",
        "backbone.image_size": 224,
        "precision": "auto",
        "protocol.name": "paper",
        "images_per_class": None,
        "mean_center": "off",
        "validation_share": 0.1,
        "epochs": 100,
        "batch_size": 32,
        "tuning.name": "adapters",
        "tuning.width": 384,
        "tuning.sites": "both",
        "tuning.blocks": None,
        "optimizer.lr": 0.001,
        "optimizer.weight_decay": 0.0005,
        "optimizer.warmup_epochs": 10,
        "optimizer.name": "sgd",
        "optimizer.momentum": 0.9,
        "augmentation": "trivial",
        "compile": "off",
        "validate_every": 5,
        "method": "concepthash",
        "num_concepts": 4,
        "loss.classification": 1.0,
        "loss.quantization": 1.0,
        "loss.concept_spatial_diversity": 1.0,
        "loss.concept_discrimination": 1.0,
        "loss.scale": 8.0,
        "loss.margin": 0.2,
        "language.binarize": "off",
        "language.source": "open_clip",
        "language.model": "ViT-B-32-quickgelu",
        "language.pretrained": "openai",
        "language.prompts": ["a photo of a {}"],
        "concept_width": 512,
        "refinement.heads": 8,
        "refinement.dropout": 0.0,
        "projection": "shared",
        "code_norm.name": "batch",
    }


def test_a_digest_is_the_beginning_of_the_sha256_of_the_canonical_json():
    """printf '{"a":[1,"x"],"b":0.5}' | sha256sum"""
    assert digest({"b": 0.5, "a": [1, "x"]}) == "a577ea80d6b4"


def test_a_digest_is_the_same_in_another_process():
    trials = [
        Trial(dataset=dataset, spec=parse_trial(settings), seed=seed)
        for dataset, settings, seed in RECORDED.values()
    ]
    code = """
import sys
from concepthash.plan import Trial
print(*(Trial.model_validate_json(trial).digest for trial in sys.argv[1:]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, *(trial.model_dump_json() for trial in trials)],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [trial.digest for trial in trials] == list(RECORDED)


# --- what does not count ---------------------------------------------------------------------


@pytest.mark.parametrize("reader", [Paperbirds, Cub, Manifest, Folder])
def test_where_a_data_set_lies_does_not_count(reader):
    here, there = (reader(root=Path(root)) for root in ("/here/birds", "/there"))
    assert digest_of(dataset=here) == digest_of(dataset=there)


@pytest.mark.parametrize(
    "settings",
    [
        {"backbone": {"weights": "/here/a.pth"}},
        {"language": {"source": "file", "embeddings": "/here/a.st"}},
        {"language": {"source": "open_clip", "pretrained": "/here/a.pt"}},
    ],
    ids=str,
)
def test_of_a_file_the_name_counts_and_not_the_folder(settings):
    def with_path(old: str, new: str) -> str:
        return digest_of(parse_trial(json.loads(json.dumps(settings).replace(old, new))))

    assert with_path("/here/", "/there/deep/") == digest_of(parse_trial(settings))
    assert with_path("/a.", "/b.") != digest_of(parse_trial(settings))


def test_a_default_that_is_written_out_and_the_order_of_keys_do_not_count():
    data = PAPER.model_dump(mode="json")
    assert digest_of(parse_trial(data)) == digest_of(parse_trial({}))
    backwards = parse_trial(dict(reversed(data.items())))
    assert digest_of(backwards) == digest_of()
    assert digest_of(parse_trial({"loss": {"scale": 8}})) == digest_of()  # 8 is 8.0


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"num_concepts": 1}, {"projection": "per-concept", "loss.concept_spatial_diversity": 0}),
        (
            {"num_concepts": 1, "tuning": "linear-probe"},
            {"concept_width": 64, "refinement": "off"},
        ),
        ({"validation_share": 0}, {"validate_every": 1}),
    ],
    ids=str,
)
def test_a_field_that_makes_no_difference_does_not_count(settings, idle):
    spec = parse_trial(settings)
    for field, value in idle.items():
        other = changed(spec, {field: value})
        assert other != spec
        assert digest_of(other) == digest_of(spec)


# --- fields that move, and fields that come later --------------------------------------------


def test_a_field_that_moved_keeps_its_old_name_in_the_identity(monkeypatch):
    old = identity(BIRDS, PAPER, 0, {})
    old["adapter_width"] = old.pop("tuning.width")  # as it was before there was `tuning`
    assert digest_of() != digest(old)
    monkeypatch.setattr(module, "MOVED", {"tuning.width": "adapter_width"})
    assert identity(BIRDS, PAPER, 0, {}) == old
    assert digest_of() == digest(old)


def test_a_file_whose_field_moved_is_still_known_by_what_it_holds(monkeypatch):
    monkeypatch.setattr(module, "MOVED", {"backbone.weights": "start"})
    spec = parse_trial({"backbone": {"weights": "/here/a.pth"}})
    assert identity(BIRDS, spec, 0, {"/here/a.pth": "90ab"})["start"] == "90ab"
    assert identity(BIRDS, spec, 0, {})["start"] == "a.pth"


@pytest.mark.parametrize("moved", [{}, {"tuning.sites": "adapter_sites"}], ids=["here", "moved"])
def test_a_later_field_counts_only_where_it_is_not_at_its_neutral_value(monkeypatch, moved):
    monkeypatch.setattr(module, "MOVED", moved)
    name = moved.get("tuning.sites", "tuning.sites")
    before = {key: value for key, value in identity(BIRDS, PAPER, 0, {}).items() if key != name}
    monkeypatch.setattr(module, "ADDED", {name: "both"})
    assert identity(BIRDS, PAPER, 0, {}) == before
    later = identity(BIRDS, changed(PAPER, {"tuning.sites": "mlp"}), 0, {})
    assert later == before | {name: "mlp"}
