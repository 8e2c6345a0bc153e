"""Training: epochs, checkpoints and reports of one trial."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from concepthash.data.loader import Batch as ImageBatch
from concepthash.data.loader import evaluation_batches, steps_per_epoch, training_batches
from concepthash.data.transforms import training_transform
from concepthash.errors import InputError, TrainingError
from concepthash.methods.base import Batch, FittedMethod, Progress, TrainedMethod
from concepthash.plan import Trial
from concepthash.spec import TrainedTrial
from concepthash.train.checkpoint import Checkpoints
from concepthash.train.evaluation import evaluate
from concepthash.train.optimizer import build_optimizer
from concepthash.train.setup import Setup, prepare

Report = Callable[[dict[str, float]], None]


class Learner(Protocol):
    """How a model learns: by gradient descent, or fitted at once."""

    @property
    def optimizer(self) -> torch.optim.Optimizer | None: ...

    def go_on_after(self, epoch: int) -> None:
        """Called once, when the checkpoint of `epoch` (0: none) is loaded."""

    def epoch(self, epoch: int) -> dict[str, float]:
        """One epoch, from 1; what is reported of it."""


def train(
    trial: Trial,
    report: Report,
    checkpoints: Checkpoints,
    *,
    device: str = "cpu",
    workers: int = 0,
    data: str | None = None,
) -> None:
    """Trains `trial`, going on from its latest checkpoint if it has one.

    `report` gets the metrics of every epoch: `epoch` (from 1), `lr`, `train/...`, every few
    epochs `val/...`, and with the last epoch `test/...`, evaluated once (protocol published-code
    tests every few epochs and reports the best so far). After each epoch a checkpoint is saved
    first; with the last one `codes.safetensors` and `model.safetensors` are left beside it. A
    trial that was complete already is evaluated and reported again. Raises InputError for input
    that cannot be used, and if `data` is given and is not the fingerprint of the images, as a
    machine that has others would see it; TrainingError when the loss or the codes are NaN or
    infinite.
    """
    setup = prepare(trial, device, workers)
    model, epochs = setup.bundle.model, trial.spec.epochs
    found = setup.images.fingerprint
    if data not in (None, found):
        raise InputError(
            f"dataset.root: {setup.images.root} on {platform.node()} holds other images than the"
            f" study was started with (fingerprint {found}, then {data}); every machine needs the"
            " same"
        )
    learner = make_learner(setup)
    done = checkpoints.load(model, learner.optimizer, found)
    learner.go_on_after(done)
    if done == epochs:  # it ended after its last checkpoint, perhaps before the report
        report({"epoch": float(done), **evaluate(setup, done, checkpoints.folder)})
    for epoch in range(done + 1, epochs + 1):
        metrics = {"epoch": float(epoch), **learner.epoch(epoch)}
        metrics |= evaluate(setup, epoch, checkpoints.folder)
        checkpoints.save(epoch, model, learner.optimizer, found)
        report(metrics)


def make_learner(setup: Setup) -> Learner:
    method, spec = setup.bundle.model, setup.trial.spec
    if isinstance(method, FittedMethod):
        return Fitting(setup, method)
    assert isinstance(method, TrainedMethod)
    assert isinstance(spec, TrainedTrial)
    return GradientDescent(setup, method, spec)


class GradientDescent:
    """Epochs of batches in random order; the same numbers whenever a trial goes on."""

    def __init__(self, setup: Setup, method: TrainedMethod, spec: TrainedTrial) -> None:
        self.setup, self.method, self.spec = setup, method, spec
        self.steps_per_epoch = steps_per_epoch(len(setup.split.training), spec.batch_size)
        self.augment = training_transform(spec.augmentation, spec.backbone.image_size)
        self.targets = setup.targets
        self.optimizer, self.schedule = build_optimizer(
            spec.optimizer, method, epochs=spec.epochs, steps_per_epoch=self.steps_per_epoch
        )

    def go_on_after(self, epoch: int) -> None:
        self.schedule.last_epoch = epoch * self.steps_per_epoch

    def epoch(self, epoch: int) -> dict[str, float]:
        """Raises TrainingError if the mean loss is NaN or infinite."""
        encoder, seed = self.setup.encoder, self.setup.trial.seed
        training = torch.from_numpy(self.setup.split.training).to(encoder.device)
        done = (epoch - 1) * self.steps_per_epoch
        self.method.start_epoch(Progress(epoch, self.spec.epochs, done), self._codes_of_training)
        self.method.train()
        torch.manual_seed(1_000_003 * seed + epoch)  # dropout goes on as it would have
        learning_rate = float(self.optimizer.param_groups[0]["lr"])
        sums: dict[str, Tensor] = {}
        for step, (images, labels, index) in enumerate(encoder.on_device(self._batches(epoch))):
            losses = self.method.losses(
                encoder.forward(images),
                Batch(labels, torch.searchsorted(training, index)),
                Progress(epoch, self.spec.epochs, done + step),
            )
            self.optimizer.zero_grad(set_to_none=True)
            losses["total"].backward()
            self.optimizer.step()
            self.schedule.step()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach()
        means = {name: float(total / self.steps_per_epoch) for name, total in sums.items()}
        if not math.isfinite(means["total"]):
            raise TrainingError(
                f"the loss is {means['total']} in epoch {epoch} of {self.spec.epochs}"
                f" (learning rate {learning_rate:.3g}); a lower optimizer.lr usually helps"
            )
        return {"lr": learning_rate, **{f"train/{name}": mean for name, mean in means.items()}}

    def _batches(self, epoch: int) -> Iterator[ImageBatch]:
        setup = self.setup
        return training_batches(
            setup.pixels,
            self.targets,
            setup.split.training,
            self.augment,
            batch_size=self.spec.batch_size,
            seed=setup.trial.seed,
            epoch=epoch,
            workers=setup.workers,
            pin_memory=setup.encoder.device.startswith("cuda"),
        )

    def _codes_of_training(self) -> Tensor:
        encoder = self.setup.encoder
        return encoder.encode(_in_order(self.setup)).codes.to(encoder.device)


class Fitting:
    """One epoch, in which the method is fitted to the features of the training images."""

    optimizer = None

    def __init__(self, setup: Setup, method: FittedMethod) -> None:
        self.setup, self.method = setup, method

    def go_on_after(self, epoch: int) -> None:
        """Nothing is left to do after the one epoch."""

    def epoch(self, epoch: int) -> dict[str, float]:
        features, labels = self.setup.encoder.features(self.method, _in_order(self.setup))
        self.method.fit(features, labels)
        return {}


def _in_order(setup: Setup) -> Iterator[ImageBatch]:
    """The training images in evaluation mode, in their order."""
    return evaluation_batches(
        setup.pixels,
        setup.targets,
        setup.split.training,
        setup.encoder.crop,
        batch_size=setup.encoder.batch_size,
        workers=setup.workers,
        pin_memory=setup.encoder.device.startswith("cuda"),
    )
