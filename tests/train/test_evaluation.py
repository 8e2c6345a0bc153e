"""What is encoded for an evaluation, and how often."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_trials import METHODS, trial

from concepthash.train.evaluation import EncodeOnce, encode, evaluate
from concepthash.train.setup import Setup, prepare

PROTOCOLS = {
    "paper": {"protocol": "paper"},
    "published-code": {"protocol": "published-code"},
    "unseen": {"protocol": {"name": "unseen", "share": 0.5}},
    "unseen, all searched": {"protocol": {"name": "unseen", "share": 0.5, "search": "all"}},
    "cross-split": {"protocol": {"name": "cross-split", "folds": 3}},
    "fewer training images": {"images_per_class": 2},
    "no validation split": {"validation_share": 0.0},
}


def encoded_images(setup: Setup, epoch: int, folder) -> int:
    """How many images pass the model while `epoch` is evaluated."""
    counts: list[int] = []
    hook = setup.encoder.model.register_forward_hook(
        lambda module, args, outputs: counts.append(len(args[0]))
    )
    evaluate(setup, epoch, folder)
    hook.remove()
    return sum(counts)


@pytest.mark.parametrize("changes", PROTOCOLS.values(), ids=PROTOCOLS)
def test_with_the_last_epoch_no_image_is_encoded_twice_but_the_queries_with_noise(
    changes, tmp_path
):
    setup = prepare(trial({**changes, "epochs": 1}), "cpu", 0)
    split = setup.split
    lists = (split.queries, split.database)
    if len(split.validation):
        lists += (split.validation, split.training)
    images = np.unique(np.concatenate(lists))
    assert encoded_images(setup, 1, tmp_path) == len(images) + len(split.queries)


def test_before_the_last_epoch_the_training_and_validation_images_alone_are_encoded(tmp_path):
    setup = prepare(trial({"epochs": 2}), "cpu", 0)
    split = setup.split
    assert encoded_images(setup, 1, tmp_path) == len(split.training) + len(split.validation)


@pytest.mark.parametrize("method", METHODS)
def test_images_that_were_encoded_before_are_given_in_the_order_asked_for(method):
    setup = prepare(trial(METHODS[method]), "cpu", 0)
    encoder = EncodeOnce(setup)
    for indices in ([5, 1, 30], [30, 7, 5], [1], [20, 7, 1, 35]):
        given, alone = encoder(np.array(indices)), encode(setup, np.array(indices))
        torch.testing.assert_close(given.codes, alone.codes)
        assert given.labels.tolist() == setup.images.labels[indices].tolist()
        if alone.attention is None:
            assert given.attention is None
        else:
            torch.testing.assert_close(given.attention, alone.attention)
