"""The same numbers again, bit by bit: from the same seed, with workers, after an interruption."""

from __future__ import annotations

import pytest
import torch
from small_trials import (
    METHODS,
    Interruption,
    Metrics,
    Run,
    assert_same_run,
    run,
    run_interrupted,
    trial,
)

from concepthash.errors import InputError
from concepthash.train.checkpoint import Checkpoints
from concepthash.train.loop import train


@pytest.fixture(scope="module", params=METHODS)
def method(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def first(method, tmp_path_factory) -> Run:
    return run(trial(METHODS[method]), tmp_path_factory.mktemp("first"))


def test_the_same_seed_gives_the_same_numbers(method, first, tmp_path):
    assert_same_run(run(trial(METHODS[method]), tmp_path), first)


def test_workers_change_nothing(method, first, tmp_path):
    metrics: list[Metrics] = []
    train(trial(METHODS[method]), metrics.append, Checkpoints(tmp_path), workers=2)
    assert metrics == first.metrics


def test_another_seed_gives_other_numbers(method, first, tmp_path):
    other = run(trial(METHODS[method], seed=1), tmp_path)
    assert other.metrics != first.metrics
    assert not torch.equal(other.codes["query_codes"], first.codes["query_codes"])


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {"refinement.dropout": 0.1},
        {"optimizer": {"name": "sgd", "warmup_epochs": 1}, "refinement.dropout": 0.1},
        METHODS["hashnet"],
    ],
    ids=["concepthash, adamw", "concepthash, sgd", "hashnet"],
)
def test_a_run_that_was_interrupted_goes_on(tmp_path, after, changes):
    of = trial({**changes, "epochs": 3})
    straight = run(of, tmp_path / "straight")
    assert_same_run(run_interrupted(of, tmp_path / "interrupted", after=after), straight)


def test_a_run_that_ended_before_its_last_report_still_gives_its_numbers(method, first, tmp_path):
    of = trial(METHODS[method])

    def never_heard(metrics: Metrics) -> None:
        if metrics["epoch"] == of.spec.epochs:
            raise Interruption

    with pytest.raises(Interruption):
        run(of, tmp_path, never_heard)
    (tmp_path / "codes.safetensors").unlink()
    again = run(of, tmp_path)
    (metrics,) = again.metrics
    straight = first.metrics[-1]
    assert metrics == {name: straight[name] for name in metrics}
    assert {"epoch", "val/map", "test/map"} <= metrics.keys()
    assert torch.equal(again.codes["query_codes"], first.codes["query_codes"])


def test_the_checkpoint_of_another_trial_is_refused(tmp_path):
    train(trial({"epochs": 1}), lambda _: None, Checkpoints(tmp_path, "first"))
    with pytest.raises(InputError, match="is a checkpoint of trial first, not of second"):
        train(trial({"epochs": 2}), lambda _: None, Checkpoints(tmp_path, "second"))
