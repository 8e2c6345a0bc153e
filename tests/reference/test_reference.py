"""Released checkpoints of all sizes: what is taken over, what is left out, what is refused."""

from __future__ import annotations

import json
import re
from itertools import product
from math import floor

import pytest
import torch
from safetensors.torch import load_file
from small_trials import GOLDEN
from torch import Tensor

from concepthash.errors import InputError
from concepthash.methods.bundle import read_bundle
from concepthash.reference import from_reference_state, import_checkpoint, read_released

VISION = "backbone.vision_model"


def released(name: str) -> dict[str, Tensor]:
    tensors = load_file(GOLDEN / f"{name}.safetensors")
    return {k.removeprefix("state."): t for k, t in tensors.items() if k.startswith("state.")}


@pytest.fixture
def state() -> dict[str, Tensor]:
    return released("language")


def refusal(call, *args, **settings) -> str:
    with pytest.raises(InputError) as caught:
        call(*args, **settings)
    return "\n".join(caught.value.lines)


# --- the state -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["language", "learned"])
def test_the_sizes_are_those_of_the_shapes(name):
    config = json.loads((GOLDEN / f"{name}.json").read_text())["config"]
    model = from_reference_state(released(name), num_heads=4)
    assert model.concepts.queries.shape == (config["num_concepts"], config["embed_dim"])
    assert model.centers().shape == (config["num_classes"], config["num_bits"])
    assert len(model.backbone.blocks) == config["layers"]
    assert model.backbone.stem.patch_embed.img_size == (config["image_size"],) * 2


def test_any_other_number_of_everything():
    """A state of sizes that the golden models do not have, drawn at random."""
    d, e, m, k, c, patch, grid, hidden, bottleneck = 40, 24, 5, 30, 9, 4, 3, 100, 6
    shapes = {
        "hash_queries": (1, m, e), "hash_pe": (1, m, d), "concept_pe": (1, m, d),
        "concept_ce.centroids": (c, d), "center": (c, k), "hash_fc.weight": (k // m, d),
        "hash_bn.running_mean": (k,), "hash_bn.running_var": (k,),
        "hash_bn.num_batches_tracked": (),
        "hash_attention.sa.in_proj_weight": (3 * e, e), "hash_attention.sa.in_proj_bias": (3 * e,),
        f"{VISION}.embeddings.class_embedding": (d,),
        f"{VISION}.embeddings.position_embedding.weight": (grid**2 + 1, d),
        f"{VISION}.embeddings.patch_embedding.weight": (d, 3, patch, patch),
    }  # fmt: skip
    linear = {
        "hash_bn": (k,), f"{VISION}.pre_layrnorm": (d,),
        **{f"hash_attention.{norm}": (e,) for norm in ("norm1", "norm2")},
        **{f"hash_attention.{layer}": (e, e) for layer in ("sa.out_proj", "ffn.0", "ffn.3")},
        "hash_attention.ffn2": (d, e),
    }  # fmt: skip
    for i in range(2):
        layer = f"{VISION}.encoder.layers.{i}"
        linear |= {f"{layer}.layer_norm{n}": (d,) for n in (1, 2)}
        linear |= {f"{layer}.self_attn.{p}_proj": (d, d) for p in ("q", "k", "v", "out")}
        linear |= {f"{layer}.mlp.fc1": (hidden, d), f"{layer}.mlp.fc2": (d, hidden)}
        adapter = f"{layer}.adapt_mlp_2"  # after the MLP alone
        linear |= {f"{adapter}.adapter_layer_norm": (d,), f"{adapter}.down_proj": (bottleneck, d)}
        linear |= {f"{adapter}.up_proj": (d, bottleneck)}
        shapes[f"{adapter}.scale"] = (1,)
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    drawn = {name: torch.rand(shape) for name, shape in shapes.items()}
    model = from_reference_state(drawn, num_heads=8, refinement_heads=3).eval()
    with torch.no_grad():
        outputs = model(torch.randn(2, 3, patch * grid, patch * grid))
    assert outputs.codes.shape == (2, k)
    assert outputs.concept_attention.shape == (2, 8, m, grid**2)
    sites = {n.split(".")[3] for n, p in model.backbone.named_parameters("b") if p.requires_grad}
    assert sites == {"adapt_mlp"}


def test_what_the_released_training_froze_is_frozen(state):
    model = from_reference_state(state, num_heads=4)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    backbone = {name for name in trained if name.startswith("backbone.")}
    assert all(".adapt_attention." in name or ".adapt_mlp." in name for name in backbone)
    assert {n for n, _ in model.named_parameters() if not n.startswith("backbone.")} <= trained


def test_the_text_tower_and_second_copies_are_left_out(state):
    plain = from_reference_state(state, num_heads=4).state_dict()
    more = state | {
        "backbone.text_model.embeddings.token_embedding.weight": torch.randn(9, 4),
        f"{VISION}.embeddings.position_ids": torch.arange(17),
        "trainable_params.anything": torch.randn(3),
    }
    again = from_reference_state(more, num_heads=4).state_dict()
    assert all(map(torch.equal, plain.values(), again.values()))
    bare = {k: t for k, t in state.items() if not k.startswith(("trainable_", "adapter_params"))}
    less = from_reference_state(bare, num_heads=4).state_dict()
    assert all(map(torch.equal, plain.values(), less.values()))


def test_missing_and_unknown_keys_are_named(state):
    gone = ["hash_bn.running_var", f"{VISION}.encoder.layers.1.self_attn.k_proj.bias"]
    for name in gone:
        del state[name]
    state["hash_fc.bias"] = torch.zeros(4)
    said = refusal(from_reference_state, state, num_heads=4)
    assert f"the checkpoint has 2 missing keys: {', '.join(sorted(gone))}" in said
    assert "the checkpoint has 1 unknown keys: hash_fc.bias" in said


def test_a_state_dict_of_something_else():
    said = refusal(from_reference_state, {"layer.weight": torch.zeros(2)}, num_heads=4)
    assert "missing keys: " in said
    assert "1 unknown keys: layer.weight" in said


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"num_heads": 5}, "num_heads: 5 does not divide the width 48; give one that does"),
        (
            {"num_heads": 4, "refinement_heads": 3},
            "refinement_heads: 3 does not divide the width 32; give one that does",
        ),
        (
            {"num_heads": 4, "image_size": 33},
            "image_size: 33 is not divisible by the patch size 8",
        ),
    ],
)
def test_settings_that_do_not_fit_the_shapes(state, settings, complaint):
    assert refusal(from_reference_state, state, **settings) == complaint


def test_a_tensor_of_another_shape_is_named(state):
    state["concept_ce.centroids"] = torch.zeros(6, 48)
    said = refusal(from_reference_state, state, num_heads=4)
    assert re.search(r"embeddings is \(7, 24\)|class_weights is \(6, 48\)", said)


@torch.no_grad()
def bicubic(grid, row, column, step):
    """Keys' kernel with a = -0.75 at (i + 0.5) step - 0.5, edges repeated: torch's bicubic."""

    def kernel(x):
        x = abs(x)
        if x <= 1:
            return 1.25 * x**3 - 2.25 * x**2 + 1
        return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    def taps(i):
        at = (i + 0.5) * step - 0.5
        return [(min(max(j, 0), 3), kernel(at - j)) for j in range(floor(at) - 1, floor(at) + 3)]

    return sum(u * v * grid[r, c] for (r, u), (c, v) in product(taps(row), taps(column)))


def test_another_image_size_has_its_positions_interpolated(state):
    model = from_reference_state(state, num_heads=4, image_size=48).eval()
    before = state[f"{VISION}.embeddings.position_embedding.weight"].unsqueeze(0)
    ours = model.backbone.stem.pos_embed
    assert torch.equal(ours[:, :1], before[:, :1])
    for row, column in product(range(6), repeat=2):
        expected = bicubic(before[0, 1:].unflatten(0, (4, 4)), row, column, step=4 / 6.1)
        torch.testing.assert_close(ours[0, 1 + 6 * row + column], expected, rtol=1e-5, atol=1e-5)
    assert model(torch.randn(1, 3, 48, 48)).concept_attention.shape == (1, 4, 3, 36)


def test_dropout_acts_in_training_alone(state):
    model = from_reference_state(state, num_heads=4, dropout=0.5)
    exact = from_reference_state(state, num_heads=4)
    with torch.no_grad():
        assert not torch.equal(model.train().concepts(), exact.concepts())
        assert torch.equal(model.eval().concepts(), exact.eval().concepts())


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [dict, lambda s: {"model": s}, lambda s: {"state_dict": s}])
def test_an_imported_checkpoint_is_the_same_model(state, tmp_path, wrap):
    torch.save(wrap(state), tmp_path / "best.pth")
    out = tmp_path / "out.safetensors"
    import_checkpoint(tmp_path / "best.pth", out, num_heads=4, refinement_heads=8)
    images = torch.randn(2, 3, 32, 32)
    expected = from_reference_state(state, num_heads=4, refinement_heads=8).eval()
    with torch.no_grad():
        for ours, theirs in zip(read_bundle(out).model(images), expected(images), strict=True):
            assert torch.equal(ours, theirs)


def test_an_imported_checkpoint_keeps_another_image_size(state, tmp_path):
    torch.save(state, tmp_path / "best.pth")
    out = tmp_path / "out.safetensors"
    import_checkpoint(tmp_path / "best.pth", out, num_heads=4, image_size=64)
    assert read_bundle(out).model.backbone.stem.patch_embed.img_size == (64, 64)


class Evil:
    def __reduce__(self):
        return print, ("a checkpoint must not run code",)


def test_a_checkpoint_that_would_run_code_is_not_read(tmp_path, capsys):
    torch.save({"state_dict": Evil()}, tmp_path / "best.pth")
    said = refusal(read_released, tmp_path / "best.pth")
    assert "cannot be read as a checkpoint of tensors" in said
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"hello world", b"\x80\x02.", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    (tmp_path / "best.pth").write_bytes(content)
    said = refusal(read_released, tmp_path / "best.pth")
    assert said.startswith(f"{tmp_path / 'best.pth'}: cannot be read as a checkpoint of tensors (")


def test_a_checkpoint_without_a_state_dict(tmp_path):
    for content in ({"epoch": 3}, {3: torch.ones(2)}):
        torch.save(content, tmp_path / "best.pth")
        assert refusal(read_released, tmp_path / "best.pth") == (
            f"{tmp_path / 'best.pth'}: holds no state dict, a mapping from names to tensors"
        )


def test_a_place_that_cannot_be_written(state, tmp_path):
    torch.save(state, tmp_path / "best.pth")
    (tmp_path / "folder.safetensors").mkdir()
    for out, complaint in (
        (tmp_path / "folder.safetensors", "is a folder; give a file"),
        (tmp_path / "out.pth", "must end in .safetensors"),
        (tmp_path / "nowhere" / "out.safetensors", "no such folder; create it first"),
    ):
        assert complaint in refusal(import_checkpoint, tmp_path / "best.pth", out, num_heads=4)
