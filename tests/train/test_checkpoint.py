"""Checkpoints: what is kept, and that a process killed at any moment leaves the one before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_trials import same
from torch import nn

from concepthash.errors import InputError
from concepthash.train.checkpoint import Checkpoints, learned_state


def model(width: int = 5) -> nn.Module:
    """A frozen layer, a trained one, and buffers."""
    layers = nn.ModuleDict(
        {
            "frozen": nn.Linear(4, width),
            "norm": nn.BatchNorm1d(width),
            "head": nn.Linear(width, 3),
        }
    )
    layers["frozen"].requires_grad_(False)
    layers["head"].register_buffer("memory", torch.ones(2))
    return layers


OPTIMIZERS = {
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.1, fused=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "plain sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
}


class Training:
    """A model and its optimizer; `steps` train them on noise that the seed gives."""

    def __init__(self, optimizer: str = "adamw", width: int = 5) -> None:
        torch.manual_seed(0)
        self.model = model(width)
        self.optimizer = OPTIMIZERS[optimizer](
            [p for p in self.model.parameters() if p.requires_grad]
        )

    def steps(self, count: int, seed: int) -> Training:
        torch.manual_seed(seed)
        for _ in range(count):
            frozen, norm, head = self.model.values()
            self.optimizer.zero_grad()
            head(norm(frozen(torch.randn(8, 4)))).square().mean().backward()
            self.optimizer.step()
        return self

    def state(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


def epoch_loaded(folder: Path) -> tuple[int, dict[str, torch.Tensor]]:
    fresh = Training()
    epoch = Checkpoints(folder).load(fresh.model, fresh.optimizer)
    return epoch, fresh.state()


def test_an_empty_folder_holds_no_checkpoint(tmp_path):
    fresh = Training()
    before = fresh.state()
    assert Checkpoints(tmp_path / "none").load(fresh.model, fresh.optimizer) == 0
    assert same(fresh.state(), before)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_exactly_where_it_was(tmp_path, optimizer):
    straight = Training(optimizer).steps(3, seed=1)
    Checkpoints(tmp_path).save(7, straight.model, straight.optimizer)
    resumed = Training(optimizer)
    assert Checkpoints(tmp_path).load(resumed.model, resumed.optimizer) == 7
    assert same(resumed.state(), straight.state())
    assert same(resumed.steps(3, seed=2).state(), straight.steps(3, seed=2).state())


def test_the_learning_rate_of_the_moment_is_kept(tmp_path):
    training = Training().steps(1, seed=1)
    training.optimizer.param_groups[0]["lr"] = 0.0123
    Checkpoints(tmp_path).save(1, training.model, training.optimizer)
    resumed = Training()
    Checkpoints(tmp_path).load(resumed.model, resumed.optimizer)
    assert resumed.optimizer.param_groups[0]["lr"] == 0.0123


def test_trained_parameters_and_buffers_are_kept_and_frozen_weights_are_not(tmp_path):
    training = Training().steps(2, seed=1)
    parameters = {"head.weight", "head.bias", "norm.weight", "norm.bias"}
    buffers = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "head.memory"}
    assert learned_state(training.model).keys() == parameters | buffers
    Checkpoints(tmp_path).save(1, training.model, training.optimizer)
    tensors = load_file(tmp_path / "epoch-0001.safetensors")
    of_model = {n.removeprefix("model.") for n in tensors if n.startswith("model.")}
    assert of_model == parameters | buffers
    of_optimizer = {n for n in tensors if n.startswith("optimizer.")}
    assert len(of_optimizer) == 4 * len(("step", "exp_avg", "exp_avg_sq"))
    assert len(tensors) == len(of_model) + len(of_optimizer)


def test_a_frozen_weight_stays_what_the_model_was_built_with(tmp_path):
    training = Training().steps(2, seed=1)
    Checkpoints(tmp_path).save(1, training.model, training.optimizer)
    other = Training()
    with torch.no_grad():
        other.model["frozen"].weight.fill_(3)
    Checkpoints(tmp_path).load(other.model, other.optimizer)
    assert (other.model["frozen"].weight == 3).all()


def test_only_the_latest_is_kept(tmp_path):
    training = Training()
    for epoch in (1, 2, 10):
        training.steps(1, seed=epoch)
        Checkpoints(tmp_path).save(epoch, training.model, training.optimizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.json",
        "epoch-0010.safetensors",
    ]
    epoch, state = epoch_loaded(tmp_path)
    assert epoch == 10
    assert same(state, training.state())


def test_the_index_is_json_that_a_person_can_read(tmp_path):
    training = Training().steps(1, seed=1)
    Checkpoints(tmp_path).save(3, training.model, training.optimizer)
    index = json.loads((tmp_path / "checkpoint.json").read_text())
    assert index["epoch"] == 3
    assert index["file"] == "epoch-0003.safetensors"
    assert index["param_groups"][0]["lr"] == 0.1


@pytest.mark.parametrize("blocked", [".epoch-0002.safetensors.tmp", ".checkpoint.json.tmp"])
def test_a_process_killed_while_it_writes_leaves_the_checkpoint_before(tmp_path, blocked):
    training = Training().steps(1, seed=1)
    Checkpoints(tmp_path).save(1, training.model, training.optimizer)
    first = training.state()
    training.steps(1, seed=2)
    (tmp_path / blocked).mkdir()  # writing this file fails, and so ends the saving there
    with pytest.raises(Exception, match=r"(?i)is a directory"):
        Checkpoints(tmp_path).save(2, training.model, training.optimizer)
    epoch, state = epoch_loaded(tmp_path)
    assert epoch == 1
    assert same(state, first)

    (tmp_path / blocked).rmdir()  # the same epoch, trained again, is saved in full
    Checkpoints(tmp_path).save(2, training.model, training.optimizer)
    epoch, state = epoch_loaded(tmp_path)
    assert epoch == 2
    assert same(state, training.state())
    assert len(list(tmp_path.iterdir())) == 2


def test_half_a_file_of_a_killed_process_does_no_harm(tmp_path):
    training = Training().steps(1, seed=1)
    Checkpoints(tmp_path).save(1, training.model, training.optimizer)
    whole = (tmp_path / "epoch-0001.safetensors").read_bytes()
    (tmp_path / ".epoch-0002.safetensors.tmp").write_bytes(whole[: len(whole) // 2])
    (tmp_path / ".checkpoint.json.tmp").write_text('{"epoch": 2, "fi')
    epoch, state = epoch_loaded(tmp_path)
    assert epoch == 1
    assert same(state, training.state())


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    training = Training().steps(1, seed=1)
    Checkpoints(tmp_path).save(1, training.model, training.optimizer)
    other = Training()
    other.model["frozen"].requires_grad_(True)  # another tuning: more is learned
    with pytest.raises(InputError, match="is a checkpoint of another model; remove its folder"):
        Checkpoints(tmp_path).load(other.model, other.optimizer)


def test_a_checkpoint_that_was_trained_on_other_images_is_refused(tmp_path):
    training = Training().steps(1, seed=1)
    Checkpoints(tmp_path).save(1, training.model, training.optimizer, "0123")
    assert Checkpoints(tmp_path).load(training.model, training.optimizer, "0123") == 1
    with pytest.raises(InputError, match="trained on other images \\(fingerprint 0123, now 4567"):
        Checkpoints(tmp_path).load(training.model, training.optimizer, "4567")


def test_a_checkpoint_of_another_trial_is_refused(tmp_path):
    training = Training().steps(1, seed=1)
    Checkpoints(tmp_path, "abc").save(1, training.model, training.optimizer)
    assert Checkpoints(tmp_path, "abc").load(training.model, training.optimizer) == 1
    with pytest.raises(InputError) as caught:
        Checkpoints(tmp_path, "def").load(training.model, training.optimizer)
    assert caught.value.lines == (
        f"{tmp_path / 'checkpoint.json'}: is a checkpoint of trial abc, not of def; give another"
        " folder, or remove this one",
    )


def test_a_checkpoint_of_another_width_is_refused(tmp_path):
    training = Training().steps(1, seed=1)
    Checkpoints(tmp_path).save(1, training.model, training.optimizer)
    other = Training(width=6)
    with pytest.raises(InputError, match="is a checkpoint of another model; remove its folder"):
        Checkpoints(tmp_path).load(other.model, other.optimizer)


def test_a_model_without_an_optimizer_keeps_its_buffers(tmp_path):
    """As a method that is fitted has it: all that it learned are buffers."""
    fitted = Training().steps(2, seed=1).model.requires_grad_(False)
    Checkpoints(tmp_path).save(1, fitted, None)
    fresh = model().requires_grad_(False)
    assert Checkpoints(tmp_path).load(fresh, None) == 1
    assert torch.equal(fresh["norm"].running_mean, fitted["norm"].running_mean)
