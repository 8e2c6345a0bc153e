"""The tiny CLIP: its training script, the shipped weights, and how timm and open_clip load them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from concepthash.model.language import open_clip_embeddings
from concepthash.model.tiny_clip import (
    CLIP_FILE,
    IMAGE_ENCODER_FILE,
    MODEL,
    RECORD_FILE,
    register_with_open_clip,
)
from concepthash.model.vit import create_vit
from concepthash.paperbirds import DIFFICULTIES, PaperbirdsSettings, species_of
from concepthash.pretrain import DIFFICULTY, PARTITIONS, normalized, zero_shot_accuracy

RECORD = json.loads(RECORD_FILE.read_text())


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shipped():
    register_with_open_clip()
    return open_clip.create_model(MODEL, pretrained="v1").eval()


# --- what is shipped -------------------------------------------------------------------------


def test_shipped_files_are_those_of_the_record_and_small():
    for name, digest in RECORD["sha256"].items():
        content = RECORD_FILE.with_name(name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    files = (CLIP_FILE, IMAGE_ENCODER_FILE, RECORD_FILE)
    assert sum(file.stat().st_size for file in files) <= 12_000_000
    assert {t.dtype for file in files[:2] for t in load_file(file).values()} == {torch.float16}


def test_record_has_command_seed_and_versions():
    assert RECORD["command"].startswith("python -m concepthash.pretrain ")
    assert RECORD["minutes"] <= 45
    assert {"seed", "steps", "versions", "zero_shot"} <= RECORD.keys()


def test_shipped_weights_have_their_recorded_zero_shot_accuracy(shipped):
    accuracy = zero_shot_accuracy(shipped, PaperbirdsSettings(difficulty=DIFFICULTY))
    recorded = RECORD["zero_shot"]
    # Another processor may change the result of one or two of 400 images.
    assert accuracy == pytest.approx(recorded["accuracy"], abs=0.005)
    assert accuracy > 10 * recorded["chance"]


def test_timm_and_open_clip_load_the_same_image_encoder(shipped):
    encoder = create_vit("vit_paperbirds_patch8_64", weights="pretrained", image_size=64).eval()
    images = normalized(torch.randint(0, 256, (2, 3, 64, 64)).to(torch.uint8))
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), shipped.visual.trunk(images))
    config = encoder.pretrained_cfg
    assert (config["mean"], config["std"]) == ((0.5,) * 3, (0.25,) * 3)


def test_text_embeddings_of_a_family_are_more_similar_than_of_two():
    names = ["red-crowned owl", "blue-winged owl", "red-crowned tern", "blue-winged tern"]
    prompts = ["a photo of a {}"]
    text = open_clip_embeddings(names, model=MODEL, pretrained="v1", prompts=prompts)
    similarity = text @ text.T
    assert min(similarity[0, 1], similarity[2, 3]) > similarity[0, 3]


def test_pretraining_and_studies_have_no_species_in_common():
    pretrained = {
        species.name
        for partition in PARTITIONS
        for species in species_of(
            PaperbirdsSettings(
                species=1200, families=12, difficulty=DIFFICULTY, partition=partition
            )
        )
    }
    assert len(pretrained) == 3600
    for difficulty in DIFFICULTIES:
        for settings in (
            PaperbirdsSettings(difficulty=difficulty),
            PaperbirdsSettings(species=20, families=4, difficulty=difficulty),
            PaperbirdsSettings(species=200, families=12, size=224, difficulty=difficulty),
            PaperbirdsSettings(species=1600, families=8, difficulty=difficulty, seed=7),
        ):
            assert not pretrained & {species.name for species in species_of(settings)}
    # But the words of the names are the same.
    words = {word for name in pretrained for word in name.split()}
    study = {word for species in species_of(PaperbirdsSettings()) for word in species.name.split()}
    assert study <= words


# --- the script ------------------------------------------------------------------------------


def toy(folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    sizes = ["--species", "12", "--images", "1", "--steps", "2", "--batch-size", "8"]
    arguments = ["--out", str(folder), *sizes, "--seed", str(seed), "--threads", "1"]
    command = [sys.executable, "-m", "concepthash.pretrain", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    return load_file(folder / CLIP_FILE.name)


def test_same_seed_gives_the_same_weights(tmp_path):
    first, again, other = toy(tmp_path / "a"), toy(tmp_path / "b"), toy(tmp_path / "c", seed=1)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in first.items())
    record = json.loads((tmp_path / "a" / RECORD_FILE.name).read_text())
    assert (record["seed"], record["steps"], record["species"]) == (0, 2, 36)
    encoder = tmp_path / "a" / IMAGE_ENCODER_FILE.name
    create_vit("vit_paperbirds_patch8_64", weights=str(encoder), image_size=64)
