"""Training one trial, whole: 36 drawn birds, a small tower, one or two epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from concepthash.build import build_model, build_split, open_images
from concepthash.checkpoint import Checkpoints
from concepthash.data.cache import load_pixels
from concepthash.data.loader import training_batches
from concepthash.data.transforms import normalize, training_transform
from concepthash.errors import TrainingError
from concepthash.evaluation import read_codes, summary
from concepthash.losses import Losses, concept_hash_losses
from concepthash.plan import Trial
from concepthash.spec import (
    BackboneSpec,
    OpenClipText,
    OptimizerSpec,
    PaperbirdsSpec,
    TextFile,
    TrialSpec,
)
from concepthash.train import train

BIRDS = PaperbirdsSpec(name="paperbirds", species=4, families=2, train_images=6, test_images=3)
SPEC = TrialSpec(
    num_bits=16,
    num_concepts=4,
    epochs=2,
    batch_size=8,
    language="off",
    backbone=BackboneSpec(name="vit_paperbirds_patch8_64", weights="none", image_size=64),
    tuning="full",
    concept_width=32,
    refinement_heads=4,
    optimizer=OptimizerSpec(name="adamw", lr=1e-3, warmup_epochs=1),
    precision="fp32",
    validate_every=1,
)
LIVE = {
    f"val/{name}"
    for name in (
        "map",
        "quantization_error",
        "bit_balance",
        "distinct_codes",
        "attention_overlap",
    )
}
TEST_METRICS = {
    f"test/{name}"
    for name in (
        "epoch",
        "map",
        "map_low",
        "map_high",
        "cosine_map",
        "family_map",
        "concept_map",
        "quantization_error",
        "bit_balance",
        "distinct_codes",
        "attention_overlap",
        "part_consistency",
        "part_coverage",
        "peak_stability",
        "without_relevant",
    )
}
PARTS = ("query", "database")
Metrics = dict[str, float]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trial(seed: int = 0, **settings) -> Trial:
    return Trial(dataset=BIRDS, spec=SPEC.model_copy(update=settings), seed=seed)


class Interruption(Exception):  # noqa: N818  nothing went wrong
    pass


class Run(NamedTuple):
    metrics: list[Metrics]
    folder: Path
    tensors: dict[str, torch.Tensor]

    def learned(self) -> dict[str, torch.Tensor]:
        (file,) = self.folder.glob("epoch-*.safetensors")
        return load_file(file)


def run(of: Trial, folder: Path, report: Callable[[Metrics], None] | None = None) -> Run:
    metrics: list[Metrics] = []
    train(of, report or metrics.append, Checkpoints(folder))
    return Run(metrics, folder, load_file(folder / "codes.safetensors"))


def same(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(t, others[n]) for n, t in some.items())


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Run:
    return run(trial(), tmp_path_factory.mktemp("first"))


# --- what is reported ----------------------------------------------------------------------


def test_every_epoch_reports_its_number_rate_losses_and_validation(first):
    assert [metrics["epoch"] for metrics in first.metrics] == [1, 2]
    every = {"epoch", "lr"} | LIVE | {f"train/{name}" for name in Losses._fields}
    assert [set(metrics) for metrics in first.metrics] == [every, every | TEST_METRICS]


def test_every_metric_is_a_finite_number_of_its_range(first):
    for metrics in first.metrics:
        assert all(type(value) is float for value in metrics.values())
        assert all(math.isfinite(value) for value in metrics.values())
        shares = (TEST_METRICS | LIVE) - {"test/epoch"} | {"train/concept_spatial_diversity"}
        for name in shares:
            assert 0 <= metrics.get(name, 0) <= 1


def test_the_total_is_the_sum_of_the_losses(first):
    for metrics in first.metrics:
        parts = [metrics[f"train/{name}"] for name in Losses._fields if name != "total"]
        assert metrics["train/total"] == pytest.approx(sum(parts), rel=1e-6)


def test_the_rate_is_that_of_the_epochs_first_step(first):
    # 20 training images in batches of 8 are 3 steps; the first epoch warms up.
    assert [metrics["lr"] for metrics in first.metrics] == pytest.approx([1e-3 / 4, 1e-3])


def test_the_schedule_counts_no_step_for_a_last_image_alone(tmp_path):
    metrics = run(trial(batch_size=19), tmp_path).metrics  # of 20: one step an epoch
    assert [m["lr"] for m in metrics] == pytest.approx([1e-3 / 2, 1e-3])


def test_the_first_losses_are_those_of_the_built_model_on_the_seeds_first_batch(tmp_path):
    of = trial(seed=3, epochs=1, batch_size=32)
    images = open_images(BIRDS)
    training = build_split(of.spec, images, 3).training
    ((batch, labels),) = training_batches(
        load_pixels(images, 64),
        images.labels,
        training,
        training_transform("trivial", 64),
        batch_size=32,
        seed=3,
        epoch=1,
    )
    model, mean, std = build_model(of, images.class_names)
    with torch.no_grad():
        losses = concept_hash_losses(model.train()(normalize(batch, mean, std)), labels)
    reported = run(of, tmp_path).metrics[0]
    assert [reported[f"train/{name}"] for name in Losses._fields] == pytest.approx(
        [loss.item() for loss in losses], rel=1e-5
    )


def test_validation_comes_every_few_epochs_and_with_the_last(tmp_path):
    metrics = run(trial(epochs=5, validate_every=2), tmp_path).metrics
    assert ["val/map" in m for m in metrics] == [False, True, False, True, True]


def test_without_a_validation_part_nothing_is_validated(tmp_path):
    metrics = run(trial(epochs=1, validation_share=0.0), tmp_path).metrics
    assert "val/map" not in metrics[0]
    assert set(metrics[0]) >= TEST_METRICS


# --- what is left behind -------------------------------------------------------------------


def test_codes_labels_indices_and_attention_of_queries_and_database_are_left(first):
    shapes = {name: (tuple(t.shape), t.dtype) for name, t in first.tensors.items()}
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
    tensors = first.tensors
    assert tensors["query_index"].tolist() == np.flatnonzero(~images.is_train).tolist()
    assert tensors["database_index"].tolist() == np.flatnonzero(images.is_train).tolist()
    for part in PARTS:
        index = tensors[f"{part}_index"].numpy()
        assert tensors[f"{part}_labels"].tolist() == images.labels[index].tolist()


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
    tensors = first.tensors
    queries, database = ((tensors[f"{part}_codes"] >= 0).tolist() for part in PARTS)
    query_labels, labels = (tensors[f"{part}_labels"].tolist() for part in PARTS)
    scores = []
    for query, label in zip(queries, query_labels, strict=True):
        distances = [sum(a != b for a, b in zip(query, row, strict=True)) for row in database]
        scores.append(expected_average_precision(distances, [y == label for y in labels]))
    assert first.metrics[-1]["test/map"] == pytest.approx(sum(scores) / len(scores), abs=1e-9)


def test_the_reported_quantization_error_and_overlap_too(first):
    codes = first.tensors["query_codes"].double().numpy()
    cosines = np.abs(codes).sum(1) / np.sqrt(16) / np.linalg.norm(codes, axis=1)
    assert first.metrics[-1]["test/quantization_error"] == pytest.approx(
        1 - cosines.mean(), abs=1e-6
    )
    maps = first.tensors["query_attention"].double().numpy()
    maps /= np.linalg.norm(maps, axis=-1, keepdims=True)
    pairs = [(m[a] @ m[b]) for m in maps for a in range(4) for b in range(a)]
    assert first.metrics[-1]["test/attention_overlap"] == pytest.approx(
        np.mean(pairs), abs=1e-3
    )  # kept in half precision


def test_the_checkpoint_holds_the_model_that_made_the_codes(first):
    of = trial()
    images = open_images(BIRDS)
    model, mean, std = build_model(of, images.class_names)
    model.load_state_dict(
        {n.removeprefix("model."): t for n, t in first.learned().items() if n.startswith("model.")}
    )
    queries = [images.paths[i] for i in first.tensors["query_index"]]
    pixels = torch.stack([torch.tensor(np.asarray(Image.open(path))) for path in queries])
    with torch.no_grad():
        codes = model.eval()(((pixels / 255 - mean) / std).permute(0, 3, 1, 2)).codes
    torch.testing.assert_close(codes, first.tensors["query_codes"], rtol=1e-4, atol=1e-4)


# --- protocols -----------------------------------------------------------------------------


def test_images_of_the_queries_have_no_part_in_training(first, tmp_path):
    """With fewer queries the model comes out the same, bit by bit."""
    fewer = Trial(dataset=BIRDS.model_copy(update={"test_images": 1}), spec=SPEC, seed=0)
    assert same(run(fewer, tmp_path).learned(), first.learned())


def test_unseen_classes_are_asked_and_searched_and_have_no_center(tmp_path):
    of = trial(epochs=1, protocol="unseen", unseen_share=0.5)
    tested = run(of, tmp_path)
    seen = build_split(of.spec, open_images(BIRDS), 0).classes.tolist()
    assert tested.learned()["model.class_weights"].shape[0] == len(seen) == 2
    for part in PARTS:
        assert set(tested.tensors[f"{part}_labels"].tolist()) == set(range(4)) - set(seen)
    assert 0 < tested.metrics[-1]["test/map"] <= 1


def test_the_classes_that_are_seen_keep_their_own_names(tmp_path):
    """A center comes from the embedding of its own class, whatever number it is given."""
    of = trial(epochs=1, protocol="unseen", unseen_share=0.5)
    rows = torch.eye(4)
    save_file({"text_embeddings": rows}, tmp_path / "text.safetensors")
    text = TextFile(source="file", embeddings=tmp_path / "text.safetensors")
    of = of.model_copy(update={"spec": of.spec.model_copy(update={"language": text})})
    classes = build_split(of.spec, open_images(BIRDS), 0).classes
    model = build_model(of, ("a", "b", "c", "d"), classes.tolist()).model
    assert torch.equal(model.class_centers.embeddings, rows[classes])


def test_a_cross_split_asks_with_one_fold_of_all_images(tmp_path):
    tested = run(trial(seed=1, epochs=1, protocol="cross-split", folds=3), tmp_path)
    queries, database = (set(tested.tensors[f"{part}_index"].tolist()) for part in PARTS)
    assert len(queries) == 12
    assert queries | database == set(range(36))
    assert not queries & database


def test_the_published_protocol_keeps_the_best_epoch_on_the_test_queries(tmp_path):
    """Its numbers are the best of those that its epochs would have had as last ones."""
    of = trial(epochs=4, protocol="published-code", validate_every=1)
    published = run(of, tmp_path / "published")
    assert all(metrics.keys() >= TEST_METRICS for metrics in published.metrics)
    so_far = [metrics["test/map"] for metrics in published.metrics]
    assert so_far == sorted(so_far)
    # One run that stops after each epoch, its schedule as long as the whole one's.
    maps = {}
    for metrics in published.metrics:
        maps.setdefault(metrics["test/epoch"], metrics["test/map"])
    assert max(maps, key=maps.get) == published.metrics[-1]["test/epoch"]
    paper = run(trial(epochs=4), tmp_path / "paper").metrics[-1]
    assert published.metrics[-1]["test/map"] >= paper["test/map"]
    if published.metrics[-1]["test/epoch"] == 4:
        assert published.metrics[-1]["test/map"] == paper["test/map"]


def test_the_published_protocol_remembers_its_best_epoch_when_it_goes_on(tmp_path):
    of = trial(epochs=4, protocol="published-code", validate_every=1)
    straight = run(of, tmp_path / "straight")
    reported: list[Metrics] = []

    def report(metrics: Metrics) -> None:
        reported.append(metrics)
        if metrics["epoch"] == 3:
            raise Interruption

    with pytest.raises(Interruption):
        run(of, tmp_path / "interrupted", report)
    resumed = run(of, tmp_path / "interrupted")
    assert reported + resumed.metrics == straight.metrics
    assert same(resumed.tensors, straight.tensors)


def test_codes_are_kept_as_they_are_and_judged_by_what_is_asked(first, tmp_path):
    centered = run(trial(mean_center="on"), tmp_path)
    assert same(centered.tensors, first.tensors)
    judged = summary(read_codes(tmp_path / "codes.safetensors").centered())
    assert centered.metrics[-1]["test/map"] == judged["map"] != first.metrics[-1]["test/map"]
    assert centered.metrics[-1]["val/bit_balance"] > first.metrics[-1]["val/bit_balance"]


def test_fewer_images_of_a_class_are_fewer_steps(tmp_path):
    few = run(trial(epochs=1, images_per_class=2, batch_size=4), tmp_path)
    assert len(few.tensors["database_index"]) == 24  # the database stays whole
    assert few.metrics[0]["lr"] == pytest.approx(1e-3 / 2)  # 8 images in 2 steps


# --- the same again ------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers_bit_by_bit(first, tmp_path):
    again = run(trial(), tmp_path)
    assert again.metrics == first.metrics
    assert same(again.tensors, first.tensors)
    assert same(again.learned(), first.learned())


def test_workers_change_nothing(first, tmp_path):
    metrics: list[Metrics] = []
    train(trial(), metrics.append, Checkpoints(tmp_path), workers=2)
    assert metrics == first.metrics


def test_another_seed_gives_other_numbers(first, tmp_path):
    other = run(trial(seed=1), tmp_path)
    assert other.metrics[0]["train/total"] != first.metrics[0]["train/total"]
    assert not torch.equal(other.tensors["query_codes"], first.tensors["query_codes"])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("after", [1, 2])
def test_a_run_that_was_interrupted_goes_on_bit_by_bit(tmp_path, after, optimizer):
    chosen = OptimizerSpec(name=optimizer, lr=1e-3, warmup_epochs=1)
    of = trial(epochs=3, optimizer=chosen, refinement_dropout=0.1)
    straight = run(of, tmp_path / "straight")
    reported: list[Metrics] = []

    def report(metrics: Metrics) -> None:
        reported.append(metrics)
        if metrics["epoch"] == after:
            raise Interruption

    with pytest.raises(Interruption):
        run(of, tmp_path / "interrupted", report)
    assert len(reported) == after
    torch.manual_seed(99)  # whatever happened in between
    resumed = run(of, tmp_path / "interrupted")
    assert reported + resumed.metrics == straight.metrics
    assert same(resumed.tensors, straight.tensors)
    assert same(resumed.learned(), straight.learned())


def test_a_run_that_ended_before_its_last_report_still_gives_its_numbers(tmp_path):
    of = trial()

    def never_heard(metrics: Metrics) -> None:
        if metrics["epoch"] == of.spec.epochs:
            raise Interruption

    with pytest.raises(Interruption):
        run(of, tmp_path, never_heard)
    (again,) = run(of, tmp_path).metrics
    straight = run(of, tmp_path / "straight").metrics[-1]
    assert again == {name: straight[name] for name in again}
    assert {"epoch", "val/map", "test/map"} <= again.keys()


# --- learning ------------------------------------------------------------------------------


def test_the_losses_fall_and_birds_find_their_species(tmp_path):
    few = BIRDS.model_copy(update={"species": 2, "families": 2, "difficulty": "easy"})
    spec = SPEC.model_copy(
        update={
            "epochs": 12,
            "augmentation": "none",
            "validation_share": 0.0,
            "optimizer": OptimizerSpec(name="adamw", lr=2e-3, warmup_epochs=1),
        }
    )
    metrics = run(Trial(dataset=few, spec=spec, seed=0), tmp_path).metrics
    for name in ("classification", "quantization", "concept_discrimination", "total"):
        assert metrics[-1][f"train/{name}"] < 0.6 * metrics[0][f"train/{name}"]
    assert metrics[-1]["test/map"] > 0.7  # of two species; chance is near 0.5


def test_guidance_from_class_names_trains(tmp_path):
    text = OpenClipText(source="open_clip", model="paperbirds", pretrained="none")
    guided = run(trial(epochs=1, language=text), tmp_path)
    assert all(math.isfinite(value) for value in guided.metrics[0].values())
    assert "model.class_centers.mlp.0.weight" in guided.learned()


@pytest.mark.parametrize("tuning", ["adapters", "prompt-only"])
def test_of_a_frozen_backbone_nothing_but_adapters_is_saved(tmp_path, tuning):
    tuned = run(trial(epochs=1, tuning=tuning, adapter_width=8), tmp_path)
    of_backbone = {name for name in tuned.learned() if name.startswith("model.backbone.")}
    assert all(".adapt_" in name for name in of_backbone)
    assert bool(of_backbone) == (tuning == "adapters")


def test_a_loss_that_is_no_number_names_the_epoch_and_the_rate(tmp_path):
    reported: list[Metrics] = []
    wild = trial(optimizer=OptimizerSpec(name="sgd", lr=1e30, warmup_epochs=0))
    with pytest.raises(
        TrainingError,
        match=r"the loss is nan in epoch 1 of 2 \(learning rate 1e\+30\); a lower optimizer.lr",
    ):
        train(wild, reported.append, Checkpoints(tmp_path))
    assert reported == []
    assert not list(tmp_path.iterdir())  # no checkpoint of a ruined model


def test_bfloat16_stays_near_float32(first, tmp_path):
    rough = run(trial(precision="bf16"), tmp_path).metrics[0]
    exact = first.metrics[0]
    off = {n: abs(rough[f"train/{n}"] / exact[f"train/{n}"] - 1) for n in Losses._fields}
    # Batch normalisation over 8 images enlarges what bfloat16 rounds off by 2^-9.
    assert 0 < max(off.values()) < 0.1
    assert off["total"] < 0.05
    assert off["concept_discrimination"] < 0.01
    assert off["concept_spatial_diversity"] < 0.01
