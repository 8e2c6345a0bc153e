"""Training one trial: plain Python and PyTorch, the same in a debugger as on a cluster."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from concepthash.build import (
    build_model,
    build_optimizer,
    build_split,
    compile_model,
    loss_weights,
    open_images,
    resolve_precision,
)
from concepthash.checkpoint import Checkpoints
from concepthash.data.cache import Pixels, load_pixels
from concepthash.data.loader import Batch, evaluation_batches, steps_per_epoch, training_batches
from concepthash.data.parts import parts_in_crop
from concepthash.data.transforms import evaluation_transform, normalize, training_transform
from concepthash.errors import InputError, TrainingError
from concepthash.evaluation import SavedCodes, family_numbers, hamming_map, read_codes, summary
from concepthash.losses import Losses, attention_overlap, concept_hash_losses
from concepthash.model import ConceptHash, Outputs
from concepthash.plan import Trial
from concepthash.retrieval import centered, mean_average_precision, quantization_error
from concepthash.retrieval.diagnostics import bit_balance, distinct_codes

Report = Callable[[dict[str, float]], None]

NOISE = 0.05
"""Standard deviation of the noise that attention peaks are to withstand; white is 1."""


class Encoded(NamedTuple):
    """What the model makes of a list of images."""

    codes: Tensor
    """(B, K) before the sign."""
    labels: Tensor
    """(B,) int64."""
    attention: Tensor
    """(B, M, N) each concept's attention over the patches, averaged over heads."""


def train(
    trial: Trial,
    report: Report,
    checkpoints: Checkpoints,
    *,
    device: str = "cpu",
    workers: int = 0,
) -> None:
    """Trains `trial`, going on from its latest checkpoint if it has one.

    `report` gets the metrics of every epoch: `epoch` (from 1), `lr`, `train/...`, every few
    epochs `val/...`, and with the last epoch `test/...`, evaluated once (protocol published-code
    tests every few epochs and reports the best so far). After each epoch a checkpoint is saved
    first; with the last one `codes.safetensors` is left beside it. A trial that was complete
    already is evaluated and reported again. Raises InputError for input that cannot be used,
    TrainingError when the loss or the codes are no numbers.
    """
    run = _Run(trial, device, workers)
    done = checkpoints.load(run.model, run.optimizer)
    run.schedule.last_epoch = done * run.steps_per_epoch
    if done == trial.spec.epochs:  # it ended after its last checkpoint, perhaps before the report
        report({"epoch": float(done), **run.evaluate(done, checkpoints)})
    for epoch in range(done + 1, trial.spec.epochs + 1):
        metrics = {"epoch": float(epoch), **run.train_epoch(epoch)}
        metrics |= run.evaluate(epoch, checkpoints)
        checkpoints.save(epoch, run.model, run.optimizer)
        report(metrics)


class _Run:
    """Everything a trial needs while it trains."""

    def __init__(self, trial: Trial, device: str, workers: int) -> None:
        spec = trial.spec
        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("device cuda: this process sees no GPU; train on cpu")
        self.trial, self.device = trial, device
        self.workers, self.pin_memory = workers, device.startswith("cuda")
        images = open_images(trial.dataset)
        self.pixels: Pixels = load_pixels(images, spec.backbone.image_size)
        self.images, self.labels = images, images.labels
        self.split = build_split(spec, images, trial.seed)
        # The model knows only the classes that it learns, by their place among these.
        self.targets = np.searchsorted(self.split.classes, images.labels)
        model, mean, std = build_model(trial, images.class_names, self.split.classes.tolist())
        self.model: ConceptHash = model.to(device)
        if spec.compile == "on":
            compile_model(self.model)
        self.mean, self.std = mean.to(device), std.to(device)
        self.augment = training_transform(spec.augmentation, spec.backbone.image_size)
        self.crop = evaluation_transform(spec.backbone.image_size)
        self.dtype = resolve_precision(spec.precision, device)
        self.steps_per_epoch = steps_per_epoch(len(self.split.training), spec.batch_size)
        self.optimizer, self.schedule = build_optimizer(
            spec.optimizer, self.model, epochs=spec.epochs, steps_per_epoch=self.steps_per_epoch
        )

    def train_epoch(self, epoch: int) -> dict[str, float]:
        spec, model = self.trial.spec, self.model
        weights = loss_weights(spec.loss)
        batches = training_batches(
            self.pixels,
            self.targets,
            self.split.training,
            self.augment,
            batch_size=spec.batch_size,
            seed=self.trial.seed,
            epoch=epoch,
            workers=self.workers,
            pin_memory=self.pin_memory,
        )
        model.train()
        torch.manual_seed(1_000_003 * self.trial.seed + epoch)  # dropout goes on as it would have
        learning_rate = float(self.optimizer.param_groups[0]["lr"])
        sums = torch.zeros(len(Losses._fields), device=self.device)
        steps = 0
        for images, labels in self._on_device(batches):
            losses = concept_hash_losses(
                self._forward(images),
                labels,
                weights=weights,
                scale=spec.loss.scale,
                margin=spec.loss.margin,
            )
            self.optimizer.zero_grad(set_to_none=True)
            losses.total.backward()
            self.optimizer.step()
            self.schedule.step()
            sums += torch.stack([loss.detach() for loss in losses])
            steps += 1
        means: dict[str, float] = dict(zip(Losses._fields, (sums / steps).tolist(), strict=True))
        if not math.isfinite(means["total"]):
            raise TrainingError(
                f"the loss is {means['total']} in epoch {epoch} of {spec.epochs}"
                f" (learning rate {learning_rate:.3g}); a lower optimizer.lr usually helps"
            )
        return {"lr": learning_rate, **{f"train/{name}": mean for name, mean in means.items()}}

    def evaluate(self, epoch: int, checkpoints: Checkpoints) -> dict[str, float]:
        """What is due after `epoch`: validation every few, the test once, after the last."""
        spec = self.trial.spec
        metrics: dict[str, float] = {}
        last = epoch == spec.epochs
        due = last or epoch % spec.validate_every == 0
        if due and len(self.split.validation):
            metrics |= self.validate()
        if last or (due and spec.protocol == "published-code"):
            metrics |= self.test(epoch, checkpoints)
        return metrics

    def validate(self) -> dict[str, float]:
        """The validation part searches the images that train the model."""
        queries, database = self.encode(self.split.validation), self.encode(self.split.training)
        asking, searched = queries.codes, database.codes
        if self.trial.spec.mean_center == "on":
            asking, searched = centered(asking, searched)
        live = {
            "map": mean_average_precision(asking, queries.labels, searched, database.labels),
            "quantization_error": quantization_error(asking),
            "bit_balance": bit_balance(searched),
            "distinct_codes": distinct_codes(searched),
        }
        if self.trial.spec.num_concepts > 1:
            live["attention_overlap"] = float(attention_overlap(queries.attention.unsqueeze(1)))
        return {f"val/{name}": value for name, value in live.items()}

    def test(self, epoch: int, checkpoints: Checkpoints) -> dict[str, float]:
        """Metrics of the test queries, whose codes are left beside the checkpoint.

        Protocol published-code keeps the codes of the best epoch so far, and tells its numbers.
        """
        saved = self.codes(epoch)
        path = checkpoints.folder / "codes.safetensors"
        if self.trial.spec.protocol == "published-code" and path.exists():
            before = read_codes(path)
            best = hamming_map(self._judged(before)) >= hamming_map(self._judged(saved))
            if before.epoch != epoch and best:
                return self._numbers(before)
        checkpoints.write("codes", saved.tensors(), saved.metadata())
        return self._numbers(read_codes(path))

    def _numbers(self, saved: SavedCodes) -> dict[str, float]:
        metrics = {"epoch": float(saved.epoch), **summary(self._judged(saved))}
        return {f"test/{name}": value for name, value in metrics.items()}

    def _judged(self, saved: SavedCodes) -> SavedCodes:
        """What is kept are the codes as they are, whatever they are judged by."""
        return saved.centered() if self.trial.spec.mean_center == "on" else saved

    def codes(self, epoch: int) -> SavedCodes:
        queries, database = self.encode(self.split.queries), self.encode(self.split.database)
        size = self.trial.spec.backbone.image_size
        return SavedCodes(
            query_codes=queries.codes,
            query_labels=queries.labels,
            query_index=torch.from_numpy(self.split.queries),
            query_attention=queries.attention.half(),
            query_noisy_attention=self.encode(self.split.queries, NOISE).attention.half(),
            query_parts=torch.from_numpy(parts_in_crop(self.images, self.split.queries, size)),
            database_codes=database.codes,
            database_labels=database.labels,
            database_index=torch.from_numpy(self.split.database),
            families=family_numbers(self.images.families),
            class_names=self.images.class_names,
            part_names=self.images.part_names,
            image_size=size,
            epoch=epoch,
        )

    @torch.no_grad()
    def encode(self, indices: np.ndarray, noise: float = 0.0) -> Encoded:
        """Codes and attention of images, to which normal `noise` may be added (1 is white)."""
        self.model.eval()
        generator = torch.Generator(self.device).manual_seed(self.trial.seed)
        batches = evaluation_batches(
            self.pixels,
            self.labels,
            indices,
            self.crop,
            workers=self.workers,
            pin_memory=self.pin_memory,
        )
        codes, labels, attention = [], [], []
        for images, batch_labels in self._on_device(batches):
            if noise:
                drawn = torch.randn(images.shape, generator=generator, device=images.device)
                images = (images + 255 * noise * drawn).clamp(0, 255)
            outputs = self._forward(images)
            codes.append(outputs.codes.float().cpu())
            labels.append(batch_labels.cpu())
            attention.append(outputs.concept_attention.mean(dim=1).cpu())
        if not all(block.isfinite().all() for block in codes):
            raise TrainingError(
                "the model diverged: its codes are no numbers, though the loss was one; a lower"
                " optimizer.lr usually helps"
            )
        return Encoded(torch.cat(codes), torch.cat(labels), torch.cat(attention))

    def _forward(self, images: Tensor) -> Outputs:
        images = normalize(images, self.mean, self.std)
        kind = torch.device(self.device).type
        with torch.autocast(kind, dtype=self.dtype, enabled=self.dtype != torch.float32):
            outputs: Outputs = self.model(images)
        return outputs

    def _on_device(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for images, labels in batches:
            yield (
                images.to(self.device, non_blocking=True),
                labels.to(self.device, non_blocking=True),
            )
