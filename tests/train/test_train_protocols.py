"""Protocols of a whole trial: what trains it, what is searched, and which epoch counts."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from small_trials import (
    BASE,
    BIRDS,
    METHODS,
    Run,
    assert_same_run,
    run,
    run_interrupted,
    same,
    trial,
)

from concepthash.evaluation.compute import evaluate
from concepthash.evaluation.saved import read_codes
from concepthash.plan import Trial
from concepthash.train.setup import prepare

PARTS = ("query", "database")
PUBLISHED = {"protocol": "published-code", "epochs": 3}
UNSEEN = {"protocol": {"name": "unseen", "share": 0.5}, "epochs": 1}


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Run:
    return run(trial(), tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Run:
    return run(trial(PUBLISHED, seed=1), tmp_path_factory.mktemp("published"))


def test_images_of_the_queries_have_no_part_in_training(first, tmp_path):
    """With fewer queries the model comes out the same, bit by bit."""
    fewer = Trial(dataset=BIRDS.model_copy(update={"test_images": 1}), spec=BASE, seed=0)
    assert same(run(fewer, tmp_path).checkpoint(), first.checkpoint())


def test_queries_and_database_are_of_unseen_classes_that_have_no_center(tmp_path):
    tested = run(trial(UNSEEN), tmp_path)
    seen = prepare(trial(UNSEEN), "cpu", 0).split.classes.tolist()
    assert tested.checkpoint()["model.class_weights"].shape[0] == len(seen) == 2
    for part in PARTS:
        assert set(tested.codes[f"{part}_labels"].tolist()) == set(range(4)) - set(seen)
    assert 0 < tested.metrics[-1]["test/map"] <= 1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_tested_on_unseen_classes(method, tmp_path):
    unseen = {"protocol": {"name": "unseen", "share": 0.5}, "num_bits": 8}
    tested = run(trial({**METHODS[method], **unseen}), tmp_path)
    seen = set(prepare(trial(unseen), "cpu", 0).split.classes.tolist())
    assert set(tested.codes["query_labels"].tolist()) == set(range(4)) - seen


def test_the_classes_that_are_seen_keep_their_own_embeddings(tmp_path):
    rows = torch.eye(4)
    save_file({"text_embeddings": rows}, tmp_path / "text.safetensors")
    text = {"source": "file", "embeddings": str(tmp_path / "text.safetensors")}
    setup = prepare(trial({**UNSEEN, "language": text}), "cpu", 0)
    assert torch.equal(setup.bundle.model.class_centers.embeddings, rows[setup.split.classes])


def test_a_cross_split_has_one_fold_of_all_images_as_queries(tmp_path):
    of = trial({"epochs": 1, "protocol": {"name": "cross-split", "folds": 3}}, seed=1)
    tested = run(of, tmp_path)
    queries, database = (set(tested.codes[f"{part}_index"].tolist()) for part in PARTS)
    assert len(queries) == 12
    assert queries | database == set(range(36))
    assert not queries & database


def test_published_code_keeps_the_best_epoch_on_the_test_queries(published, tmp_path):
    """Its numbers are those that the best of its epochs would have had as the last one."""
    so_far = [metrics["test/map"] for metrics in published.metrics]
    assert so_far == sorted(so_far)
    maps: dict[float, float] = {}
    for metrics in published.metrics:
        maps.setdefault(metrics["test/epoch"], metrics["test/map"])
    best = published.metrics[-1]
    assert max(maps, key=maps.__getitem__) == best["test/epoch"]
    paper = run(trial({"epochs": 3}, seed=1), tmp_path).metrics[-1]
    assert best["test/map"] >= paper["test/map"]
    if best["test/epoch"] == 3:
        assert best["test/map"] == paper["test/map"]


def test_published_code_remembers_its_best_epoch_when_it_goes_on(published, tmp_path):
    assert_same_run(run_interrupted(trial(PUBLISHED, seed=1), tmp_path, after=2), published)


def test_codes_are_kept_as_they_are_and_judged_less_the_mean(first, tmp_path):
    centered = run(trial({"mean_center": "on"}), tmp_path)
    assert same(centered.codes, first.codes)
    judged = evaluate(read_codes(tmp_path / "codes.safetensors").centered(), ["map"])
    assert centered.metrics[-1]["test/map"] == judged["map"] != first.metrics[-1]["test/map"]
    assert centered.metrics[-1]["val/bit_balance"] > first.metrics[-1]["val/bit_balance"]
