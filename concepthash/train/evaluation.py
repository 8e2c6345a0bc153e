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
from concepthash.train.encoder import Encoded, joined
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
    tested = last or (due and spec.protocol.test_chooses_epoch)
    encoder = EncodeOnce(setup)
    # The database first: it often holds what validation needs, and so its codes are those that
    # `codes_of_model` computes, whatever is validated.
    saved = codes(setup, epoch, encoder) if tested else None
    metrics: dict[str, float] = {}
    if due and len(setup.split.validation):
        metrics |= validate(setup, epoch, encoder)
    if saved is not None:
        metrics |= test(setup, saved, folder)
    return metrics


class EncodeOnce:
    """What the model makes of images, each encoded when it is first asked for."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.rows = np.full(len(setup.images.labels), -1)
        self.encoded: Encoded | None = None

    def __call__(self, indices: np.ndarray) -> Encoded:
        new = indices[self.rows[indices] < 0]
        if len(new):
            before, encoded = self.encoded, encode(self.setup, new)
            self.rows[new] = np.arange(len(new)) + (0 if before is None else len(before.labels))
            self.encoded = encoded if before is None else joined(before, encoded)
        assert self.encoded is not None
        return self.encoded.at(torch.from_numpy(self.rows[indices]))


def validate(setup: Setup, epoch: int, encoder: EncodeOnce) -> dict[str, float]:
    """`val/...`: the validation split searches the images that train the model."""
    split = setup.split
    queries, database = encoder(split.validation), encoder(split.training)
    saved = _saved(setup, epoch, queries, split.validation, database, split.training)
    return reported(saved.as_evaluated(), "val")


def test(setup: Setup, saved: SavedCodes, folder: Path) -> dict[str, float]:
    """`test/...` of the codes of an epoch; these and the model are left in `folder`.

    Protocol published-code keeps those of the best epoch so far, and reports its numbers.
    """
    path = folder / "codes.safetensors"
    if setup.trial.spec.protocol.test_chooses_epoch and path.exists():
        before = read_codes(path)
        best = hamming_map(before.as_evaluated()) >= hamming_map(saved.as_evaluated())
        if before.epoch != saved.epoch and best:
            return reported(before.as_evaluated(), "test")
    write_codes(path, saved)
    hub_weights = setup.trial.spec.backbone.weights == "pretrained"
    write_bundle(folder / "model.safetensors", setup.bundle, hub_weights=hub_weights)
    return reported(read_codes(path).as_evaluated(), "test")


def codes_of_model(path: Path, trial: Trial, *, device: str) -> SavedCodes:
    """Codes of a saved model on the data set and split of `trial`, whose own model is not built.

    Raises InputError if `path` holds no model or the data cannot be used.
    """
    setup = prepare(trial, device, workers=0, bundle=read_bundle(path))
    return codes(setup, 0, EncodeOnce(setup))


def codes(setup: Setup, epoch: int, encoder: EncodeOnce) -> SavedCodes:
    """Codes of the test queries and the database, and what is known of concepts and parts."""
    split, images = setup.split, setup.images
    queries, database = encoder(split.queries), encoder(split.database)
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
        batch_size=encoder.batch_size,
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
