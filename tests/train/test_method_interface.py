"""The interface of methods, with one that keeps a code of every training image.

It stands in the place of HashNet, so that the trials need no specification of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trials import METHODS, Run, assert_same_run, run, run_interrupted, trial
from torch import Tensor

from concepthash.methods import build
from concepthash.methods.base import Batch, LinearHash, Outputs, Progress, Sizes
from concepthash.model.backbone import Backbone
from concepthash.train.setup import prepare


class CodeMemory(LinearHash):
    """Codes follow a running mean of themselves, one for each training image."""

    memory: Tensor
    made: list[CodeMemory]

    def __init__(self, backbone: Backbone, sizes: Sizes, **_: Any) -> None:
        super().__init__(backbone, sizes)
        self.register_buffer("memory", torch.zeros(sizes.num_images, sizes.num_bits))
        self.epochs: list[Progress] = []
        self.steps: list[Progress] = []
        self.batches: list[Batch] = []
        self.encoded: list[Tensor] = []
        self.made.append(self)

    def start_epoch(self, progress: Progress, encode: Callable[[], Tensor]) -> None:
        self.epochs.append(progress)
        self.encoded.append(encode())
        self.memory = 0.5 * self.memory + 0.5 * self.encoded[-1]

    def losses(self, outputs: Outputs, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        self.steps.append(progress)
        self.batches.append(batch)
        distance = (outputs.codes - self.memory[batch.rows].sign()).square().mean()
        self.memory[batch.rows] = outputs.codes.detach()
        return {"distance": distance, "total": distance}


@pytest.fixture(autouse=True)
def made(monkeypatch) -> list[CodeMemory]:
    """The methods that were built, in order."""
    monkeypatch.setitem(build.METHODS, "hashnet", CodeMemory)
    monkeypatch.setattr(CodeMemory, "made", [], raising=False)
    return CodeMemory.made


def memory_trial(**changes: Any):
    return trial({**METHODS["hashnet"], "epochs": 3, **changes})


def test_a_method_with_a_code_of_every_image_goes_on_bit_by_bit(tmp_path):
    straight = run(memory_trial(), tmp_path / "straight")
    assert straight.checkpoint()["model.memory"].shape == (20, 16)
    assert all("train/distance" in metrics for metrics in straight.metrics)
    for after in (1, 2):
        resumed = run_interrupted(memory_trial(), tmp_path / f"after {after}", after=after)
        assert_same_run(resumed, straight)


def test_a_schedule_knows_epoch_and_step_also_after_a_resume(made, tmp_path):
    run_interrupted(memory_trial(), tmp_path, after=1)
    before, after = made
    # 20 images in batches of 8 are 3 steps.
    assert before.steps == [Progress(1, 3, step) for step in (0, 1, 2)]
    assert after.epochs == [Progress(2, 3, 3), Progress(3, 3, 6)]
    assert after.steps == [Progress(2 + step // 6, 3, step) for step in range(3, 9)]


def test_rows_of_a_batch_are_the_training_images_by_their_place(made, tmp_path):
    run(memory_trial(epochs=1), tmp_path)
    (method,) = made
    setup = prepare(memory_trial(), "cpu", 0)
    rows = torch.cat([batch.rows for batch in method.batches])
    labels = torch.cat([batch.labels for batch in method.batches])
    assert sorted(rows.tolist()) == list(range(20))
    assert labels.tolist() == setup.targets[setup.split.training[rows]].tolist()


def test_encode_gives_the_codes_of_the_training_images_in_the_order_of_rows(made, tmp_path):
    """At a learning rate that changes nothing they are those that the database has in the end."""
    still = {"optimizer": {"name": "sgd", "lr": 1e-30}, "augmentation": "none", "epochs": 1}
    codes = run(memory_trial(**still), tmp_path).codes
    (method,) = made
    training = prepare(memory_trial(), "cpu", 0).split.training.tolist()
    database = codes["database_index"].tolist()
    places = [database.index(image) for image in training]
    torch.testing.assert_close(method.encoded[0], codes["database_codes"][places])
    # Without augmentation the rows of a batch have these codes, too.
    torch.testing.assert_close(method.memory, method.encoded[0], rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_a_shorter_memory_is_refused(tmp_path):
    run(memory_trial(epochs=1), tmp_path)
    with pytest.raises(Exception, match="is a checkpoint of another model; remove its folder"):
        run(memory_trial(images_per_class=2), tmp_path)


def test_codes_of_the_memory_are_left_with_the_model(made, tmp_path: Path):
    trained: Run = run(memory_trial(epochs=1), tmp_path)
    assert torch.equal(trained.checkpoint()["model.memory"], made[0].memory)
