"""Training one trial, whole: what is reported, what is left, and that it learns."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from small_trials import BASE, BIRDS, METHODS, Interruption, Metrics, Run, run, spec, trial

from concepthash.data.loader import training_batches
from concepthash.data.readers import open_images
from concepthash.data.transforms import normalize, training_transform
from concepthash.errors import InputError, TrainingError
from concepthash.evaluation.catalogue import CATALOGUE
from concepthash.methods.concepthash import Losses, concept_hash_losses
from concepthash.plan import Trial
from concepthash.spec import changed
from concepthash.train.checkpoint import Checkpoints
from concepthash.train.loop import train
from concepthash.train.setup import prepare

LIVE = {f"val/{metric.name}" for metric in CATALOGUE if "val" in metric.on}
TESTED = {f"test/{metric.name}" for metric in CATALOGUE if "test" in metric.on} | {
    "test/epoch",
    "test/map_low",
    "test/map_high",
}
PARTS = ("query", "database")


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Run:
    return run(trial(), tmp_path_factory.mktemp("first"))


# --- what is reported ----------------------------------------------------------------------


def test_every_epoch_reports_its_number_rate_losses_and_validation(first):
    assert [metrics["epoch"] for metrics in first.metrics] == [1, 2]
    every = {"epoch", "lr"} | LIVE | {f"train/{name}" for name in Losses._fields}
    assert [set(metrics) for metrics in first.metrics] == [every, every | TESTED]


def test_every_metric_is_a_finite_number_of_its_range(first):
    for metrics in first.metrics:
        assert all(type(value) is float for value in metrics.values())
        assert all(math.isfinite(value) for value in metrics.values())
        shares = (TESTED | LIVE) - {"test/epoch"} | {"train/concept_spatial_diversity"}
        for name in shares & metrics.keys():
            assert 0 <= metrics[name] <= 1, name


def test_the_total_is_the_sum_of_the_losses(first):
    for metrics in first.metrics:
        parts = [metrics[f"train/{name}"] for name in Losses._fields if name != "total"]
        assert metrics["train/total"] == pytest.approx(sum(parts), rel=1e-6)


def test_the_rate_is_that_of_the_epochs_first_step(first):
    # 20 training images in batches of 8 are 3 steps; the first epoch warms up.
    assert [metrics["lr"] for metrics in first.metrics] == pytest.approx([1e-3 / 4, 1e-3])


def test_the_schedule_counts_no_step_for_a_last_image_alone(tmp_path):
    metrics = run(trial({"batch_size": 19}), tmp_path).metrics  # of 20: one step an epoch
    assert [m["lr"] for m in metrics] == pytest.approx([1e-3 / 2, 1e-3])


def test_fewer_images_of_a_class_are_fewer_steps(tmp_path):
    few = run(trial({"epochs": 1, "images_per_class": 2, "batch_size": 4}), tmp_path)
    assert len(few.codes["database_index"]) == 24  # the database stays whole
    assert few.metrics[0]["lr"] == pytest.approx(1e-3 / 2)  # 8 images in 2 steps


def test_the_first_losses_are_those_of_the_built_model_on_the_seeds_first_batch(tmp_path):
    of = trial({"epochs": 1, "batch_size": 32}, seed=3)
    setup = prepare(of, "cpu", 0)
    ((batch, labels, _),) = training_batches(
        setup.pixels,
        setup.images.labels,
        setup.split.training,
        training_transform("trivial", 64),
        batch_size=32,
        seed=3,
        epoch=1,
    )
    images = normalize(batch, setup.bundle.mean, setup.bundle.std)
    with torch.no_grad():
        losses = concept_hash_losses(setup.bundle.model.train()(images), labels)
    reported = run(of, tmp_path).metrics[0]
    assert [reported[f"train/{name}"] for name in Losses._fields] == pytest.approx(
        [loss.item() for loss in losses], rel=1e-5
    )


def test_validation_comes_every_few_epochs_and_with_the_last(tmp_path):
    metrics = run(trial({"epochs": 5, "validate_every": 2}), tmp_path).metrics
    assert ["val/map" in m for m in metrics] == [False, True, False, True, True]


def test_without_a_validation_split_nothing_is_validated(tmp_path):
    metrics = run(trial({"epochs": 1, "validation_share": 0.0}), tmp_path).metrics
    assert not LIVE & metrics[0].keys()
    assert set(metrics[0]) >= TESTED


# --- what is left behind -------------------------------------------------------------------


def test_codes_labels_indices_and_attention_of_queries_and_database_are_left(first):
    shapes = {name: (tuple(t.shape), t.dtype) for name, t in first.codes.items()}
    assert shapes == {
        "query_codes": ((12, 16), torch.float32),
        "query_labels": ((12,), torch.int64),
        "query_index": ((12,), torch.int64),
        "query_attention": ((12, 4, 64), torch.float16),
        "query_noisy_attention": ((12, 4, 64), torch.float16),
        "database_codes": ((24, 16), torch.float32),
        "database_labels": ((24,), torch.int64),
        "database_index": ((24,), torch.int64),
        "families": ((4,), torch.int64),
        "query_parts": ((12, 10, 3), torch.float32),
    }


def test_queries_are_the_test_images_and_the_database_the_training_set(first):
    images = open_images(BIRDS)
    codes = first.codes
    assert codes["query_index"].tolist() == np.flatnonzero(~images.is_train).tolist()
    assert codes["database_index"].tolist() == np.flatnonzero(images.is_train).tolist()
    for part in PARTS:
        index = codes[f"{part}_index"].numpy()
        assert codes[f"{part}_labels"].tolist() == images.labels[index].tolist()


def expected_average_precision(distances: list[int], relevant: list[bool]) -> float:
    """In exact sums: a relevant image shares its place with the tied at random.

    With n tied images, r of them relevant, behind N images, R of them relevant: an image takes
    place i among the tied with probability 1/n, and each other relevant one of them is before it
    with probability (i - 1)/(n - 1).
    """
    total = 0.0
    for distance in sorted(set(distances)):
        n = distances.count(distance)
        r = sum(hit for d, hit in zip(distances, relevant, strict=True) if d == distance)
        N = sum(d < distance for d in distances)
        R = sum(hit for d, hit in zip(distances, relevant, strict=True) if d < distance)
        for i in range(1, n + 1):
            others = (r - 1) * (i - 1) / (n - 1) if n > 1 else 0
            total += r / n * (R + 1 + others) / (N + i)
    return total / sum(relevant)


def test_the_reported_map_can_be_computed_from_what_is_left(first):
    codes = first.codes
    queries, database = ((codes[f"{part}_codes"] >= 0).tolist() for part in PARTS)
    query_labels, labels = (codes[f"{part}_labels"].tolist() for part in PARTS)
    scores = []
    for query, label in zip(queries, query_labels, strict=True):
        distances = [sum(a != b for a, b in zip(query, row, strict=True)) for row in database]
        scores.append(expected_average_precision(distances, [y == label for y in labels]))
    assert first.metrics[-1]["test/map"] == pytest.approx(sum(scores) / len(scores), abs=1e-9)


def test_the_reported_quantization_error_and_overlap_too(first):
    codes = first.codes["query_codes"].double().numpy()
    cosines = np.abs(codes).sum(1) / np.sqrt(16) / np.linalg.norm(codes, axis=1)
    assert first.metrics[-1]["test/quantization_error"] == pytest.approx(
        1 - cosines.mean(), abs=1e-6
    )
    maps = first.codes["query_attention"].double().numpy()
    maps /= np.linalg.norm(maps, axis=-1, keepdims=True)
    pairs = [(m[a] @ m[b]) for m in maps for a in range(4) for b in range(a)]
    assert first.metrics[-1]["test/attention_overlap"] == pytest.approx(
        np.mean(pairs), abs=1e-3
    )  # kept in half precision


def test_the_checkpoint_holds_the_model_that_made_the_codes(first):
    setup = prepare(trial(), "cpu", 0)
    model, mean, std = setup.bundle.model, setup.bundle.mean, setup.bundle.std
    tensors = first.checkpoint().items()
    model.load_state_dict(
        {name.removeprefix("model."): t for name, t in tensors if name.startswith("model.")}
    )
    queries = [setup.images.paths[i] for i in first.codes["query_index"]]
    pixels = torch.stack([torch.tensor(np.asarray(Image.open(path))) for path in queries])
    with torch.no_grad():
        codes = model.eval()(((pixels / 255 - mean) / std).permute(0, 3, 1, 2)).codes
    torch.testing.assert_close(codes, first.codes["query_codes"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "tuning", [{"name": "adapters", "width": 8}, {"name": "prompt-only"}], ids=str
)
def test_of_a_frozen_backbone_nothing_but_adapters_is_saved(tmp_path, tuning):
    tuned = run(trial({"epochs": 1, "tuning": tuning}), tmp_path).checkpoint()
    of_backbone = {name for name in tuned if name.startswith("model.backbone.")}
    assert all(".adapt_" in name for name in of_backbone)
    assert bool(of_backbone) == (tuning["name"] == "adapters")


# --- what must not change while a study runs -----------------------------------------------


def test_a_machine_with_other_images_is_refused(tmp_path):
    of = trial({"epochs": 1})
    found = open_images(BIRDS).fingerprint
    with pytest.raises(InputError, match=f"fingerprint {found}, then 0123\\); every machine needs"):
        train(of, print, Checkpoints(tmp_path), data="0123")


def test_a_trial_does_not_go_on_when_its_images_were_replaced(tmp_path):
    images = BIRDS.model_copy(update={"root": tmp_path / "birds"})
    of = Trial(dataset=images, spec=spec({"epochs": 2}), seed=0)

    def replace_an_image(metrics):
        first, second, *_ = open_images(images).paths
        shutil.copy(second, first)
        raise Interruption

    with pytest.raises(Interruption):
        run(of, tmp_path / "trial", replace_an_image)
    with pytest.raises(InputError, match="was trained on other images"):
        run(of, tmp_path / "trial")


# --- learning ------------------------------------------------------------------------------


def test_the_losses_fall_and_birds_find_their_species(tmp_path):
    few = BIRDS.model_copy(update={"species": 2, "families": 2, "difficulty": "easy"})
    spec = changed(
        BASE,
        {"epochs": 12, "augmentation": "none", "validation_share": 0.0, "optimizer.lr": 2e-3},
    )
    metrics = run(Trial(dataset=few, spec=spec, seed=0), tmp_path).metrics
    for name in ("classification", "quantization", "concept_discrimination", "total"):
        assert metrics[-1][f"train/{name}"] < 0.6 * metrics[0][f"train/{name}"]
    assert metrics[-1]["test/map"] > 0.7  # of two species; chance is near 0.5


@pytest.mark.parametrize(
    "language",
    [
        {"source": "open_clip", "model": "paperbirds", "pretrained": "none"},
        {"source": "orthogonal", "width": 8, "binarize": "on"},
    ],
    ids=["open_clip", "orthogonal"],
)
def test_guided_class_centers_are_trained(tmp_path, language):
    of = trial({"epochs": 1, "language": language})
    before = prepare(of, "cpu", 0).bundle.model.state_dict()
    after = run(of, tmp_path).checkpoint()
    for name in ("class_centers.mlp.0.weight", "class_centers.mlp.2.weight"):
        assert not torch.equal(after[f"model.{name}"], before[name])
    embeddings = "class_centers.embeddings"
    assert torch.equal(after[f"model.{embeddings}"], before[embeddings])


@pytest.mark.parametrize("method", ["concepthash", "hashnet"])
def test_a_loss_that_is_nan_names_the_epoch_and_the_rate(tmp_path, method):
    reported: list[Metrics] = []
    optimizer = {"name": "sgd", "lr": 1e6, "warmup_epochs": 0}
    wild = trial({**METHODS[method], "optimizer": optimizer})
    with pytest.raises(
        TrainingError,
        match=r"the loss is nan in epoch 1 of 2 \(learning rate 1e\+06\); a lower optimizer.lr",
    ):
        train(wild, reported.append, Checkpoints(tmp_path))
    assert reported == []
    assert not list(tmp_path.iterdir())  # no checkpoint of a ruined model


def test_bfloat16_stays_near_float32(first, tmp_path):
    rough = run(trial({"precision": "bf16"}), tmp_path).metrics[0]
    exact = first.metrics[0]
    off = {n: abs(rough[f"train/{n}"] / exact[f"train/{n}"] - 1) for n in Losses._fields}
    # Batch normalisation over 8 images enlarges what bfloat16 rounds off by 2^-9.
    assert 0 < max(off.values()) < 0.1
    assert off["total"] < 0.05
    assert off["concept_discrimination"] < 0.01
    assert off["concept_spatial_diversity"] < 0.01
