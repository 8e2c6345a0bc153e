"""From a language specification to one embedding a class."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save, save_file
from small_trials import complaint

from concepthash.data.folders import cache_folder
from concepthash.spec import OpenClipText, OrthogonalEmbeddings, TextFile
from concepthash.train import language
from concepthash.train.language import class_embeddings, text_embeddings

NAMES = ("tern", "warbler", "owl")
TEXT = OpenClipText(model="paperbirds", pretrained="none")


def test_without_guidance_there_are_no_embeddings():
    assert class_embeddings("off", NAMES, seed=0) is None


def test_of_a_file_the_first_rows_are_taken(tmp_path):
    rows = torch.randn(5, 4)
    save_file({"text_embeddings": rows}, tmp_path / "text.safetensors")
    text = TextFile(embeddings=tmp_path / "text.safetensors")
    assert torch.equal(text_embeddings(text, NAMES), rows[:3])


def test_a_file_of_too_few_rows(tmp_path):
    path = tmp_path / "text.safetensors"
    save_file({"text_embeddings": torch.randn(2, 4)}, path)
    text = TextFile(embeddings=path)
    assert complaint(text_embeddings, text, NAMES) == (
        f"language.embeddings: {path} holds 2 rows, but the data set has 3 classes;"
        " a row a class is needed"
    )


def test_text_embeddings_are_computed_once_and_draw_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = text_embeddings(TEXT, NAMES)
    monkeypatch.setattr(
        language, "open_clip_embeddings", lambda *_, **__: pytest.fail("they were computed again")
    )
    assert torch.equal(text_embeddings(TEXT, NAMES), first)
    assert torch.equal(torch.get_rng_state(), before)


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        halved,
        lambda content: halved(content).ljust(len(content), b"\0"),
        lambda content: save({"text_embeddings": torch.ones(2, 4)}),
        lambda content: save({"text_embeddings": torch.ones(3)}),
        lambda content: save({"text_embeddings": torch.ones(3, 4)}),
        lambda content: save({"embeddings": torch.ones(3, 4)}),
    ],
    ids=["empty", "cut", "half zeros", "too few rows", "one axis", "no checksum", "other tensor"],
)
def test_cached_embeddings_that_are_broken_are_computed_again(
    tmp_path, monkeypatch, caplog, damage
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = text_embeddings(TEXT, NAMES)
    (file,) = (cache_folder() / "text").iterdir()
    content = file.read_bytes()
    file.write_bytes(damage(content))
    caplog.clear()
    assert torch.equal(text_embeddings(TEXT, NAMES), first)
    (message,) = (r.getMessage() for r in caplog.records if r.name == language.__name__)
    assert message.startswith(f"{file}: ")
    assert file.read_bytes() == content


def test_other_names_or_prompts_have_other_embeddings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    drawn = TEXT.model_copy(update={"prompts": ("a drawing of a {}",)})
    first = text_embeddings(TEXT, NAMES)
    assert not torch.equal(first, text_embeddings(TEXT, NAMES[::-1]))
    assert not torch.equal(first, text_embeddings(drawn, NAMES))
    torch.testing.assert_close(first, text_embeddings(TEXT, NAMES[::-1]).flip(0))


def test_binarized_embeddings_are_the_signs_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    signs = TEXT.model_copy(update={"binarize": "on"})
    plain = class_embeddings(TEXT, NAMES, seed=0)
    assert torch.equal(class_embeddings(signs, NAMES, seed=0), plain.sign())
    assert len(list((cache_folder() / "text").iterdir())) == 1  # the encoder ran once for both


def test_the_control_is_orthogonal_and_drawn_from_the_seed():
    control = OrthogonalEmbeddings(width=5)
    first = class_embeddings(control, NAMES, seed=1)
    assert first.shape == (3, 5)
    torch.testing.assert_close(first @ first.T, torch.eye(3))
    assert torch.equal(class_embeddings(control, NAMES, seed=1), first)
    assert not torch.equal(class_embeddings(control, NAMES, seed=2), first)


def test_more_classes_than_there_are_dimensions():
    control = OrthogonalEmbeddings(width=2)
    assert complaint(class_embeddings, control, NAMES, 0) == (
        "language.width: no 3 vectors, one a class, are orthogonal in 2 dimensions; give 3 or more"
    )
