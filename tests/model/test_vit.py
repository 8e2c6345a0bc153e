"""timm's Vision Transformers by name, with local weights: what is loaded, and what is refused."""

from __future__ import annotations

import copy
import re
from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from concepthash.errors import InputError
from concepthash.model.vit import create_vit, load_weights


def randomize(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3, generator=generator)


def message(name: str, *, weights: str = "none", image_size: int = 32) -> str:
    with pytest.raises(InputError) as caught:
        create_vit(name, weights=weights, image_size=image_size)
    (line,) = caught.value.lines
    assert "\n" not in line
    return line


def test_a_name_that_timm_lacks():
    assert message("vit_tiny_patch16_225").startswith(
        "backbone.name: timm has no model 'vit_tiny_patch16_225'; it has vit_tiny_patch16_224, "
    )


def test_a_tag_that_timm_lacks():
    line = message("vit_tiny_patch16_224.nonsense")
    assert line.startswith("backbone: timm cannot build 'vit_tiny_patch16_224.nonsense' (")
    assert "nonsense" in line.partition("(")[2]


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224"])
def test_a_model_that_is_no_vision_transformer(name):
    line = message(name, image_size=224)
    assert line.startswith("backbone.name: ")
    assert name in line
    assert line.endswith("no Vision Transformer of timm; take a vit_*, deit*, eva*")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vit_base_patch16_rpn_224", "ResPostBlock"),
        ("vit_pwee_patch16_reg1_gap_256", "ParallelScalingBlock"),
        ("vit_dwee_patch16_reg1_gap_256", "DiffAttention"),
    ],
)
def test_a_vision_transformer_of_other_blocks(name, kind):
    with torch.device("meta"):
        line = message(name)
    assert line.startswith(f"backbone.name: {name!r}")
    assert kind in line


@pytest.mark.parametrize(("image_size", "nearest"), [(50, 48), (16, 32)])
def test_a_size_that_is_not_whole_patches(image_size, nearest):
    name = "vit_base_patch32_clip_quickgelu_224" if image_size == 16 else "vit_tiny_patch16_224"
    patch = 32 if image_size == 16 else 16
    with torch.device("meta"):
        line = message(name, image_size=image_size)
    assert line == (
        f"backbone.image_size: {image_size} is not divisible by the patch size {patch} of"
        f" {name!r}; take e.g. {nearest}"
    )


@pytest.mark.parametrize("name", ["vit_base_resnet50d_224", "vit_small_r26_s32_224"])
def test_patches_made_by_a_convolutional_network(name):
    with torch.device("meta"):
        line = message(name)
    assert line.startswith(f"backbone.name: {name!r} makes its patches by a HybridEmbed; take")


def test_what_timm_refuses_without_a_word():
    line = message("vit_tiny_r_s16_p8_224", image_size=112)
    assert line == "backbone: timm cannot build 'vit_tiny_r_s16_p8_224' (AssertionError)"


def test_pretrained_weights_that_do_not_exist():
    assert "(No pretrained weights exist for test_vit4" in message(
        "test_vit4", weights="pretrained", image_size=64
    )


# --- local weights -------------------------------------------------------------------------

create_test_vit = partial(timm.create_model, "test_vit", pretrained=False)


def saved(state: dict[str, Tensor], path) -> str:
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_of_the_same_model_are_loaded_bit_by_bit(tmp_path, ending):
    original = create_test_vit(num_classes=10, img_size=64)
    randomize(original)
    file = saved(original.state_dict(), tmp_path / f"weights.{ending}")
    loaded = create_vit("test_vit", weights=file, image_size=64).state_dict()
    assert {"pos_embed", "cls_token", "blocks.0.attn.qkv.weight"} <= loaded.keys()
    assert not any(name.startswith("head.") for name in loaded)  # the classifier is of no use
    for name, tensor in loaded.items():
        assert torch.equal(tensor, original.state_dict()[name]), name


def test_classifiers_of_every_name_are_left_out(tmp_path):
    original = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=3, img_size=32)
    assert {"head.weight", "head_dist.weight", "norm.weight"} <= original.state_dict().keys()
    file = saved(original.state_dict(), tmp_path / "weights.safetensors")
    loaded = create_vit("deit_tiny_distilled_patch16_224", weights=file, image_size=32)
    assert torch.equal(loaded.dist_token, original.dist_token)


def test_half_precision_weights_of_a_larger_grid_are_interpolated(tmp_path):
    original = create_test_vit(num_classes=0, img_size=96)  # 6 x 6 patches
    randomize(original)
    state = original.half().state_dict()
    file = saved(state, tmp_path / "weights.safetensors")
    loaded = create_vit("test_vit", weights=file, image_size=64).state_dict()  # 4 x 4
    for name, tensor in loaded.items():
        assert tensor.dtype == torch.float32
        if name != "pos_embed":
            assert torch.equal(tensor, state[name].float()), name
    positions = state["pos_embed"].float()
    assert torch.equal(loaded["pos_embed"][:, :1], positions[:, :1])  # the class token's
    grid = positions[:, 1:].transpose(1, 2).unflatten(2, (6, 6))
    expected = F.interpolate(grid, size=(4, 4), mode="bicubic", antialias=True)
    interpolated = loaded["pos_embed"][:, 1:].transpose(1, 2).unflatten(2, (4, 4))
    torch.testing.assert_close(interpolated, expected, rtol=0, atol=2e-3)  # an fp16's rounding


def test_weights_of_another_width_name_what_does_not_fit(tmp_path):
    other = timm.create_model("test_vit2", pretrained=False, num_classes=0, img_size=64)
    file = saved(other.state_dict(), tmp_path / "other.safetensors")
    vit = create_test_vit(num_classes=0, img_size=64)
    line = message("test_vit", weights=file, image_size=64)
    assert line.startswith(
        f"backbone.weights: {file} does not fit the backbone, whose width is {vit.embed_dim} with"
        f" {len(vit.blocks)} blocks: "
    )
    names = "blocks.0.ls1.gamma, blocks.0.ls2.gamma, blocks.1.ls1.gamma"
    assert re.search(rf"unknown: {re.escape(names)} and \d+ more;", line)
    assert line.endswith("give the weights of this backbone, or the backbone of these weights")


def test_weights_of_another_shape_name_both_shapes(tmp_path):
    vit = create_test_vit(num_classes=0, img_size=64)
    state = vit.state_dict() | {"cls_token": torch.zeros(1, 1, 7)}
    file = saved(state, tmp_path / "other.safetensors")
    assert f"shape: cls_token is (1, 1, 7), not (1, 1, {vit.embed_dim});" in message(
        "test_vit", weights=file, image_size=64
    )


def test_missing_weights_are_named(tmp_path):
    state = create_test_vit(num_classes=0, img_size=64).state_dict()
    del state["blocks.1.mlp.fc2.bias"]
    file = saved(state, tmp_path / "other.safetensors")
    assert "missing: blocks.1.mlp.fc2.bias;" in message("test_vit", weights=file, image_size=64)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_file_that_holds_no_weights(tmp_path, ending):
    file = tmp_path / f"notes.{ending}"
    file.write_text("no weights at all")
    line = message("test_vit", weights=str(file), image_size=64)
    assert line.startswith(f"backbone.weights: {file}: cannot be read as weights (")


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    file, victim = tmp_path / "weights.pth", tmp_path / "written"
    torch.save({"pos_embed": RunsCode(str(victim))}, file)
    assert "cannot be read as weights" in message("test_vit", weights=str(file), image_size=64)
    assert not victim.exists()


class RunsCode:
    """Unpickling this writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_file_that_is_not_there(tmp_path):
    file = tmp_path / "weights.pth"
    assert message("test_vit", weights=str(file)) == f"backbone.weights: {file}: no such file"


def test_a_refused_file_leaves_the_model_as_it_was(tmp_path):
    vit = create_test_vit(num_classes=0, img_size=64)
    before = copy.deepcopy(vit.state_dict())
    state = {name: torch.zeros_like(tensor) for name, tensor in before.items()}
    del state["cls_token"]
    with pytest.raises(InputError, match="missing: cls_token"):
        load_weights(vit, path=tmp_path.joinpath(saved(state, tmp_path / "w.safetensors")))
    assert all(torch.equal(tensor, before[name]) for name, tensor in vit.state_dict().items())
