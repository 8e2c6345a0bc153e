"""Text embeddings of class names: from open_clip's encoders, and from files."""

from __future__ import annotations

import logging
import subprocess
import sys

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from small_trials import complaint

from concepthash.model.language import file_embeddings, open_clip_embeddings

NAMES = ("red-crowned warbler", "tern", "yellow-bellied warbler")


def embeddings(*prompts: str, names=NAMES) -> torch.Tensor:
    return open_clip_embeddings(names, model="paperbirds", pretrained="none", prompts=prompts)


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    return embeddings("a photo of a {}")


def test_they_are_unit_vectors_without_gradient(photos):
    assert photos.shape == (3, 128)
    assert not photos.requires_grad
    torch.testing.assert_close(photos.norm(dim=1), torch.ones(3))


def test_names_that_differ_have_embeddings_that_differ(photos):
    assert (photos @ photos.T).fill_diagonal_(0).max() < 0.9999


def test_an_untrained_encoder_is_always_the_same_and_draws_nothing(photos):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = embeddings("a photo of a {}")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again, photos)


def test_the_encoder_is_open_clips(photos):
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        encoder = open_clip.create_model("paperbirds", pretrained=None).eval()
        tokens = open_clip.get_tokenizer("paperbirds")([f"a photo of a {name}" for name in NAMES])
        text = encoder.encode_text(tokens)
    torch.testing.assert_close(photos, text / text.norm(dim=1, keepdim=True))


def test_several_prompts_are_the_mean_of_unit_vectors_made_a_unit_vector(photos):
    both = embeddings("a photo of a {}", "{}, drawn")
    mean = (photos + embeddings("{}, drawn")) / 2
    torch.testing.assert_close(both, mean / mean.norm(dim=1, keepdim=True))
    assert not torch.allclose(both, photos, atol=1e-3)


def test_more_names_than_fit_one_pass_keep_their_order():
    many = tuple(f"species {i}" for i in range(258))
    every = embeddings("{}", names=many)
    assert every.shape == (258, 128)
    picked = [0, 255, 256, 257]
    torch.testing.assert_close(every[picked], embeddings("{}", names=[many[i] for i in picked]))


def test_saved_weights_of_an_encoder_are_loaded(tmp_path, photos):
    torch.manual_seed(7)
    encoder = open_clip.create_model("paperbirds", pretrained=None).eval()
    file = tmp_path / "encoder.safetensors"
    save_file({name: t.contiguous() for name, t in encoder.state_dict().items()}, file)
    ours = open_clip_embeddings(NAMES, model="paperbirds", pretrained=str(file), prompts=("{}",))
    with torch.no_grad():
        tokens = open_clip.get_tokenizer("paperbirds")(list(NAMES))
        torch.testing.assert_close(ours, encoder.encode_text(tokens, normalize=True))


def test_open_clip_is_loaded_by_what_needs_a_text_encoder_alone():
    code = (
        "import sys, concepthash.model.vit; from concepthash.model.language import weights_digest;"
        " assert len(weights_digest('paperbirds', 'v1')) == 64; print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "timm" in ran.stdout.split()
    assert "open_clip" not in ran.stdout.split()


def test_the_root_logger_keeps_its_level(photos):
    root = logging.getLogger()
    before = root.level
    embeddings("{}")
    assert root.level == before


def test_a_model_that_open_clip_lacks():
    line = complaint(
        open_clip_embeddings, NAMES, model="ViT-B-33", pretrained="none", prompts=("{}",)
    )
    assert line.startswith("language.model: open_clip has no model 'ViT-B-33'; it has ViT-B-32, ")


def test_weights_that_open_clip_lacks():
    line = complaint(
        open_clip_embeddings, NAMES, model="ViT-B-32", pretrained="openia", prompts=("{}",)
    )
    assert line.startswith(
        "language.pretrained: ViT-B-32 has no weights 'openia', and no such file exists;"
        " give none or one of: openai, "
    )


def test_an_encoder_without_any_tag():
    line = complaint(
        open_clip_embeddings, NAMES, model="coca_base", pretrained="openai", prompts=("{}",)
    )
    assert line.endswith("give none or one of: (open_clip knows no tag of it)")


def test_weights_of_another_encoder(tmp_path):
    file = tmp_path / "encoder.safetensors"
    save_file({"positional_embedding": torch.zeros(3, 5)}, file)
    line = complaint(
        open_clip_embeddings, NAMES, model="paperbirds", pretrained=str(file), prompts=("{}",)
    )
    assert line.startswith(f"language: weights or tokenizer of paperbirds, {file} not loaded (")


def test_a_broken_file_of_weights(tmp_path):
    file = tmp_path / "encoder.safetensors"
    file.write_text("no weights at all")
    line = complaint(
        open_clip_embeddings, NAMES, model="paperbirds", pretrained=str(file), prompts=("{}",)
    )
    assert line.startswith(f"language: weights or tokenizer of paperbirds, {file} not loaded (")


def test_an_encoder_whose_tokenizer_cannot_be_had(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # SigLIP's lies on a hub, and wants transformers
    line = complaint(
        open_clip_embeddings, NAMES, model="ViT-B-16-SigLIP", pretrained="none", prompts=("{}",)
    )
    assert line.startswith("language: weights or tokenizer of ViT-B-16-SigLIP, none not loaded (")


# --- precomputed embeddings ----------------------------------------------------------------


def test_a_file_is_read_as_float32(tmp_path):
    wanted = torch.randn(4, 6).half()
    save_file({"text_embeddings": wanted, "other": torch.ones(1)}, tmp_path / "text.safetensors")
    read = file_embeddings(tmp_path / "text.safetensors")
    assert read.dtype == torch.float32
    assert torch.equal(read, wanted.float())


def test_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "text.safetensors"
    assert complaint(file_embeddings, path) == f"language.embeddings: {path}: no such file"


def test_a_file_without_the_tensor_names_what_it_has(tmp_path):
    path = tmp_path / "text.safetensors"
    save_file({"centers": torch.ones(2, 3), "names": torch.ones(2)}, path)
    assert complaint(file_embeddings, path) == (
        f"language.embeddings: {path} has no tensor text_embeddings; it has centers, names"
    )


@pytest.mark.parametrize("shape", [(6,), (2, 3, 4), (6, 0)])
def test_embeddings_that_are_no_matrix(tmp_path, shape):
    path = tmp_path / "text.safetensors"
    save_file({"text_embeddings": torch.ones(shape)}, path)
    assert complaint(file_embeddings, path) == (
        f"language.embeddings: {path}: text_embeddings must be (classes, width), but is {shape}"
    )


def test_embeddings_that_are_nan_or_infinite(tmp_path):
    path = tmp_path / "text.safetensors"
    save_file({"text_embeddings": torch.tensor([[1.0, 2], [3, float("nan")]])}, path)
    assert complaint(file_embeddings, path) == (
        f"language.embeddings: {path}: row 1 of text_embeddings holds NaN or infinity"
    )


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "text.safetensors"
    path.write_text("no tensors at all")
    line = complaint(file_embeddings, path)
    assert line.startswith(f"language.embeddings: {path} is no safetensors file (")
