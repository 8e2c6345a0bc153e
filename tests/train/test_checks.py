"""What is wrong with trials, found before the first one trains."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from small_trials import BIRDS, METHODS, trial

from concepthash.data.folders import cache_folder
from concepthash.data.readers import open_images
from concepthash.errors import InputError
from concepthash.train.checks import check_trials


def problems(*changes) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        check_trials([trial(each) for each in changes])
    return caught.value.lines


def test_trials_that_can_train_give_the_fingerprint_of_their_images():
    of = [trial(changes) for changes in METHODS.values()]
    assert check_trials(of) == open_images(BIRDS).fingerprint


def test_what_is_read_once_is_there_for_the_trials(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = {"source": "open_clip", "model": "paperbirds", "pretrained": "none"}
    check_trials([trial({"language": text}), trial({"language": text}, seed=1)])
    assert len(list((cache_folder() / "text").iterdir())) == 1
    assert len(list((cache_folder() / "pixels").iterdir())) == 1


def test_every_problem_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    save_file({"text_embeddings": torch.zeros(3, 2)}, tmp_path / "text.safetensors")
    weights = tmp_path / "weights.pth"
    weights.write_text("no weights")
    text = {"source": "file", "embeddings": str(tmp_path / "text.safetensors")}
    lines = problems(
        {},
        {"language": text},
        {"language": text, "epochs": 3},
        {"protocol": {"name": "unseen", "share": 0.9}},
        {"backbone.name": "vit_tiny_patch16_225"},
        {"backbone.weights": str(weights)},
        {"tuning": {"name": "last-blocks", "blocks": 9}},
        {"method": "itq", "num_bits": 256},
        {"compile": "on"},
    )
    beginnings = [
        f"language.embeddings: {tmp_path / 'text.safetensors'} holds 3 rows, but",
        "protocol.share: 0.9 of 4 classes is 4",
        "backbone.name: timm has no model 'vit_tiny_patch16_225'",
        f"backbone.weights: {weights}: cannot be read as weights",
        "tuning.blocks: 9 is more than the 4 blocks",
        "num_bits: 256 is more than the 128 principal components",
        "compile: on needs a C++ compiler",
    ]
    assert len(lines) == len(beginnings)
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_that_passes_can_be_built_for_each_method(method):
    """A backbone without class token is found whatever the method that reads it."""
    without = {**METHODS[method], "backbone.name": "vit_base_patch16_siglip_224"}
    if method == "concepthash":
        without |= {"tuning": "linear-probe", "num_concepts": 1}
    with torch.device("meta"):
        (line,) = problems(without)
    assert "has no class token" in line
