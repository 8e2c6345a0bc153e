"""What is evaluated of a trial, and when: the validation split while it trains, then the test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from concepthash.data.loader import evaluation_batches
from concepthash.data.parts import parts_in_crop
from concepthash.evaluation.compute import reported
from concepthash.evaluation.metrics import hamming_map
from concepthash.evaluation.saved import (
    Concepts,
    SavedCodes,
    family_numbers,
    read_codes,
    write_codes,
)
from concepthash.methods.bundle import read_bundle, write_bundle
from concepthash.plan import Trial
from concepthash.spec import TrainedTrial
from concepthash.train.encoder import Encoded
from concepthash.train.setup import Setup, prepare

NOISE = 0.05
"""Standard deviation of the noise that attention peaks are to withstand; white is 1."""


def evaluate(setup: Setup, epoch: int, folder: Path) -> dict[str, float]:
    """What is due after `epoch`: validation every few epochs, the test once, after the last.

    With the test, codes and model are left in `folder`. Raises TrainingError if codes are NaN.
    """
    spec = setup.trial.spec
    last = epoch == spec.epochs
    due = last or (isinstance(spec, TrainedTrial) and epoch % spec.validate_every == 0)
    metrics: dict[str, float] = {}
    if due and len(setup.split.validation):
        metrics |= validate(setup, epoch)
    if last or (due and spec.protocol.test_chooses_epoch):
        metrics |= test(setup, epoch, folder)
    return metrics


def validate(setup: Setup, epoch: int) -> dict[str, float]:
    """`val/...`: the validation split searches the images that train the model."""
    split = setup.split
    queries, database = encode(setup, split.validation), encode(setup, split.training)
    saved = _saved(setup, epoch, queries, split.validation, database, split.training)
    return reported(saved.as_evaluated(), "val")


def test(setup: Setup, epoch: int, folder: Path) -> dict[str, float]:
    """`test/...` of the test queries; codes and model are left in `folder`.

    Protocol published-code keeps those of the best epoch so far, and reports its numbers.
    """
    saved = codes(setup, epoch)
    path = folder / "codes.safetensors"
    if setup.trial.spec.protocol.test_chooses_epoch and path.exists():
        before = read_codes(path)
        best = hamming_map(before.as_evaluated()) >= hamming_map(saved.as_evaluated())
        if before.epoch != epoch and best:
            return reported(before.as_evaluated(), "test")
    write_codes(path, saved)
    hub_weights = setup.trial.spec.backbone.weights == "pretrained"
    write_bundle(folder / "model.safetensors", setup.bundle, hub_weights=hub_weights)
    return reported(read_codes(path).as_evaluated(), "test")


def codes_of_model(path: Path, trial: Trial, *, device: str) -> SavedCodes:
    """Codes of a saved model on the data set and split of `trial`, whose own model is not built.

    Raises InputError if `path` holds no model or the data cannot be used.
    """
    return codes(prepare(trial, device, workers=0, bundle=read_bundle(path)), epoch=0)


def codes(setup: Setup, epoch: int) -> SavedCodes:
    """Codes of the test queries and the database, and what is known of concepts and parts."""
    split, images = setup.split, setup.images
    queries, database = encode(setup, split.queries), encode(setup, split.database)
    saved = _saved(setup, epoch, queries, split.queries, database, split.database)
    if saved.concepts is None:
        return saved
    noisy = encode(setup, split.queries, noise=NOISE).attention
    parts = parts_in_crop(images, split.queries, setup.encoder.image_size)
    concepts = replace(
        saved.concepts,
        query_noisy_attention=noisy,
        query_parts=torch.from_numpy(parts),
        part_names=images.part_names,
    )
    return replace(saved, concepts=concepts)


def encode(setup: Setup, indices: np.ndarray, *, noise: float = 0.0) -> Encoded:
    """Codes and attention of these images, in evaluation mode."""
    encoder = setup.encoder
    batches = evaluation_batches(
        setup.pixels,
        setup.images.labels,
        indices,
        encoder.crop,
        workers=setup.workers,
        pin_memory=encoder.device.startswith("cuda"),
    )
    return encoder.encode(batches, noise=noise, seed=setup.trial.seed)


def _saved(
    setup: Setup,
    epoch: int,
    queries: Encoded,
    query_index: np.ndarray,
    database: Encoded,
    database_index: np.ndarray,
) -> SavedCodes:
    attention = queries.attention
    return SavedCodes(
        query_codes=queries.codes,
        query_labels=queries.labels,
        query_index=torch.from_numpy(query_index),
        database_codes=database.codes,
        database_labels=database.labels,
        database_index=torch.from_numpy(database_index),
        families=family_numbers(setup.images.families),
        class_names=setup.images.class_names,
        image_size=setup.encoder.image_size,
        epoch=epoch,
        mean_center=setup.trial.spec.mean_center == "on",
        concepts=None if attention is None else Concepts(attention),
    )
