"""From a trial's specification to data, model and optimizer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from concepthash.build import (
    build_model,
    build_optimizer,
    dataset_root,
    loss_weights,
    open_images,
    resolve_precision,
    text_embeddings,
)
from concepthash.data.cache import cache_folder
from concepthash.errors import InputError
from concepthash.losses import LossWeights
from concepthash.model import ConceptHash, FreeCenters, TextCenters
from concepthash.plan import Trial
from concepthash.spec import (
    BackboneSpec,
    CubSpec,
    LossSpec,
    ManifestSpec,
    OpenClipText,
    OptimizerSpec,
    PaperbirdsSpec,
    TextFile,
    TrialSpec,
)

NAMES = ("tern", "warbler", "owl")
BIRDS = PaperbirdsSpec(name="paperbirds", species=4, families=2, train_images=2, test_images=1)
BACKBONE = BackboneSpec(name="vit_paperbirds_patch8_64", weights="none", image_size=64)
TEXT = OpenClipText(source="open_clip", model="paperbirds", pretrained="none")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(**settings) -> TrialSpec:
    sizes = {"num_bits": 8, "num_concepts": 2, "concept_width": 16, "refinement_heads": 2}
    return TrialSpec(backbone=BACKBONE, language="off", adapter_width=8, **sizes, **settings)


def built(seed: int = 0, **settings) -> ConceptHash:
    trial = Trial(dataset=BIRDS, spec=TrialSpec(**{**dict(tiny()), **settings}), seed=seed)
    return build_model(trial, NAMES).model


def complaint(read, *args) -> str:
    with pytest.raises(InputError) as caught:
        read(*args)
    (line,) = caught.value.lines
    return line


# --- data ----------------------------------------------------------------------------------


def test_a_generated_set_is_drawn_on_first_use_and_then_found_again():
    images = open_images(BIRDS)
    assert images.name == "paperbirds"
    assert len(images) == 4 * (2 + 1)
    assert images.root == dataset_root(BIRDS)
    assert cache_folder() in images.root.parents
    drawn = images.paths[0].stat().st_mtime_ns
    assert open_images(BIRDS).paths[0].stat().st_mtime_ns == drawn


def test_other_settings_are_another_set_and_fewer_classes_the_same():
    root = dataset_root(BIRDS)
    assert dataset_root(BIRDS.model_copy(update={"seed": 1})) != root
    assert dataset_root(BIRDS.model_copy(update={"difficulty": "hard"})) != root
    assert dataset_root(BIRDS.model_copy(update={"num_classes": 2})) == root


def test_a_root_of_ones_own_is_used(tmp_path):
    here = BIRDS.model_copy(update={"root": tmp_path / "birds", "species": 2, "families": 1})
    assert (tmp_path / "birds") in open_images(here).paths[0].parents


def test_the_first_classes_alone():
    whole = open_images(BIRDS)
    some = open_images(BIRDS.model_copy(update={"num_classes": 3}))
    kept = np.flatnonzero(whole.labels < 3)
    assert some.class_names == whole.class_names[:3]
    assert some.families == whole.families[:3]
    assert some.labels.tolist() == whole.labels[kept].tolist()
    assert some.is_train.tolist() == whole.is_train[kept].tolist()
    assert some.paths == tuple(whole.paths[i] for i in kept)
    assert (some.parts == whole.parts[kept]).all()
    assert some.fingerprint != whole.fingerprint


def test_more_classes_than_there_are():
    assert complaint(open_images, BIRDS.model_copy(update={"num_classes": 5})) == (
        "dataset.num_classes: 5 is more than the 4 classes of paperbirds"
    )


def test_a_folder_that_is_not_there(tmp_path):
    root = tmp_path / "nowhere"
    assert complaint(open_images, CubSpec(name="cub", root=root)) == (
        f"dataset.root: {root}: no such folder; give where cub lies"
    )


def test_a_manifest_has_the_name_that_its_study_gives(tmp_path):
    birds = open_images(BIRDS)
    rows = [
        f"{path},{label},{birds.class_names[label]},,,{'train' if train else 'query'}"
        for path, label, train in zip(birds.paths, birds.labels, birds.is_train, strict=True)
    ]
    header = "path,label,class_name,family,style,split"
    (tmp_path / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    spec = ManifestSpec(name="manifest", root=tmp_path, title="birds again")
    images = open_images(spec)
    assert images.name == "birds again"
    assert images.labels.tolist() == birds.labels.tolist()


# --- model ---------------------------------------------------------------------------------


def trainable(model: ConceptHash) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_the_seed_decides_every_parameter():
    first, again, other = built(seed=1), built(seed=1), built(seed=2)
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    assert not torch.equal(first.specificity, other.specificity)
    assert not torch.equal(first.backbone.stem.pos_embed, other.backbone.stem.pos_embed)


def test_sizes_are_those_of_the_spec():
    model = built(num_bits=24, num_concepts=3)
    with torch.no_grad():
        outputs = model.eval()(torch.randn(2, 3, 64, 64))
    assert outputs.codes.shape == (2, 24)
    assert outputs.concept_cos.shape == (2, 3, len(NAMES))
    assert outputs.concept_attention.shape == (2, 4, 3, 64)


@pytest.mark.parametrize("tuning", ["adapters", "full", "prompt-only"])
def test_tuning_says_what_of_the_backbone_is_trained(tuning):
    model = built(tuning=tuning)
    backbone = {name for name, _ in model.named_parameters() if name.startswith("backbone.")}
    others = {name for name, _ in model.named_parameters()} - backbone
    adapters = {name for name in backbone if ".adapt_attention." in name or ".adapt_mlp." in name}
    wanted = {"adapters": adapters, "full": backbone, "prompt-only": set()}[tuning]
    assert trainable(model) == others | wanted
    # Four blocks with two adapters: a norm, down, up (weight and bias each) and a scale.
    assert len(adapters) == (4 * 2 * 7 if tuning == "adapters" else 0)


def test_the_seed_gives_the_same_backbone_whatever_is_tuned():
    full, adapted = built(tuning="full"), built(tuning="adapters")
    assert torch.equal(full.backbone.stem.pos_embed, adapted.backbone.stem.pos_embed)


def test_images_are_normalised_as_the_backbone_wants_them():
    trial = Trial(dataset=BIRDS, spec=tiny(), seed=0)
    _, mean, std = build_model(trial, NAMES)
    assert mean.tolist() == [0.5, 0.5, 0.5]
    assert std.tolist() == [0.25, 0.25, 0.25]


def test_guidance_decides_the_class_centers():
    assert isinstance(built().class_centers, FreeCenters)
    guided = built(language=TEXT)
    assert isinstance(guided.class_centers, TextCenters)
    assert guided.class_centers.embeddings.shape == (3, 128)
    assert guided.centers().shape == (3, 8)


# --- language ------------------------------------------------------------------------------


def test_without_guidance_there_are_no_embeddings():
    assert text_embeddings(tiny(), NAMES) is None


def test_of_a_file_the_first_rows_are_taken(tmp_path):
    rows = torch.randn(5, 4)
    save_file({"text_embeddings": rows}, tmp_path / "text.safetensors")
    spec = tiny().model_copy(
        update={"language": TextFile(source="file", embeddings=tmp_path / "text.safetensors")}
    )
    assert torch.equal(text_embeddings(spec, NAMES), rows[:3])


def test_a_file_of_too_few_rows(tmp_path):
    path = tmp_path / "text.safetensors"
    save_file({"text_embeddings": torch.randn(2, 4)}, path)
    spec = tiny().model_copy(update={"language": TextFile(source="file", embeddings=path)})
    assert complaint(text_embeddings, spec, NAMES) == (
        f"language.embeddings: {path} holds 2 rows, but the data set has 3 classes;"
        " a row a class is needed"
    )


def test_a_towers_embeddings_are_computed_once_and_draw_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = tiny().model_copy(update={"language": TEXT})
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = text_embeddings(spec, NAMES)
    (file,) = (cache_folder() / "text").iterdir()
    save_file({"text_embeddings": first + 1}, file)  # so that it shows whether it is read
    assert torch.equal(text_embeddings(spec, NAMES), first + 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_other_names_or_prompts_have_other_embeddings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = tiny().model_copy(update={"language": TEXT})
    drawn = TEXT.model_copy(update={"prompts": ("a drawing of a {}",)})
    first = text_embeddings(spec, NAMES)
    assert not torch.equal(first, text_embeddings(spec, NAMES[::-1]))
    assert not torch.equal(
        first, text_embeddings(spec.model_copy(update={"language": drawn}), NAMES)
    )
    torch.testing.assert_close(first, text_embeddings(spec, NAMES[::-1]).flip(0))


# --- training ------------------------------------------------------------------------------


def test_the_weights_of_losses_keep_their_names():
    spec = LossSpec(
        classification=0.1,
        quantization=0.2,
        concept_spatial_diversity=0.3,
        concept_discrimination=0.4,
    )
    weights = loss_weights(spec)
    assert weights._asdict() == {name: getattr(spec, name) for name in LossWeights._fields}


@pytest.mark.parametrize(
    ("epochs", "steps", "warmup_epochs", "warmup"),
    [(10, 3, 2, 6), (10, 3, 0, 0), (4, 5, 10, 10), (1, 7, 10, 3.5), (3, 1, 10, 1.5)],
)
def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine(
    epochs, steps, warmup_epochs, warmup
):
    spec = OptimizerSpec(name="sgd", lr=0.3, warmup_epochs=warmup_epochs)
    optimizer, schedule = build_optimizer(spec, built(), epochs=epochs, steps_per_epoch=steps)
    rates = []
    for _ in range(epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    total = epochs * steps
    for step, rate in enumerate(rates):
        if step < warmup:
            assert rate == pytest.approx(0.3 * (step + 1) / (warmup + 1))
        else:
            progress = (step - warmup) / (total - warmup)
            assert rate == pytest.approx(0.3 * (1 + math.cos(math.pi * progress)) / 2)
    assert min(rates) > 0
    assert max(rates) <= 0.3
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def group(name: str, **settings):
    spec = OptimizerSpec(name=name, lr=0.02, weight_decay=0.03, warmup_epochs=0, **settings)
    model = built(tuning="adapters")
    optimizer, _ = build_optimizer(spec, model, epochs=1, steps_per_epoch=1)
    return model, optimizer


def test_sgd_has_its_momentum_and_weight_decay():
    _, optimizer = group("sgd", momentum=0.7)
    assert type(optimizer) is torch.optim.SGD
    (parameters,) = optimizer.param_groups
    assert (parameters["lr"], parameters["momentum"], parameters["weight_decay"]) == (
        0.02,
        0.7,
        0.03,
    )


def test_adamw_has_its_weight_decay_and_usual_betas():
    _, optimizer = group("adamw")
    assert type(optimizer) is torch.optim.AdamW
    (parameters,) = optimizer.param_groups
    assert (parameters["lr"], parameters["weight_decay"]) == (0.02, 0.03)
    assert parameters["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_only_what_is_trainable_is_optimized(name):
    model, optimizer = group(name)
    held = {id(p) for p in optimizer.param_groups[0]["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(held) < len(list(model.parameters()))


def test_a_named_precision_is_taken_at_its_word():
    assert resolve_precision("bf16", "cpu") == torch.bfloat16
    assert resolve_precision("fp32", "cpu") == torch.float32
    assert resolve_precision("auto", "cpu") in (torch.bfloat16, torch.float32)
