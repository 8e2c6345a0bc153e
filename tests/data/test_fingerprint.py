"""The fingerprint of an image set: what it depends on, and what it does not."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from concepthash.data.image_set import ImageSet


def image_set(root: Path) -> ImageSet:
    return ImageSet(
        name="birds",
        root=root,
        paths=(root / "a.png", root / "b.png"),
        labels=np.array([0, 1]),
        is_train=np.array([True, False]),
        class_names=("tern", "owl"),
        families=("gulls", "owls"),
        part_names=("bill",),
        parts=np.ones((2, 1, 3), dtype=np.float32),
    )


@pytest.fixture
def images(tmp_path) -> ImageSet:
    root = tmp_path / "here"
    root.mkdir()
    (root / "a.png").write_bytes(b"first")
    (root / "b.png").write_bytes(b"other")
    return image_set(root)


def test_fingerprint_is_16_hexadecimal_digits(images):
    assert len(images.fingerprint) == 16
    assert int(images.fingerprint, 16) >= 0


def test_a_copy_elsewhere_with_other_times_has_the_same_fingerprint(images, tmp_path):
    there = Path(shutil.copytree(images.root, tmp_path / "there"))
    os.utime(there / "a.png", (1, 1))
    copy = replace(image_set(there), name="another")
    assert copy.fingerprint == images.fingerprint


def test_images_that_are_exchanged_have_another_fingerprint(images):
    before = images.fingerprint
    (images.root / "a.png").rename(images.root / "c.png")
    (images.root / "b.png").rename(images.root / "a.png")
    (images.root / "c.png").rename(images.root / "b.png")  # of one size, with their old times
    assert image_set(images.root).fingerprint != before


def test_images_in_another_order_have_another_fingerprint(images):
    reordered = replace(images, paths=images.paths[::-1])
    assert reordered.fingerprint != images.fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.array([1, 0])},
        {"is_train": np.array([False, True])},
        {"class_names": ("tern", "barn owl")},
        {"families": ("gulls", "birds")},
        {"part_names": ("beak",)},
        {"parts": np.zeros((2, 1, 3), dtype=np.float32)},
        {"parts": None},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_other_annotations_have_another_fingerprint(images, changes):
    assert replace(images, **changes).fingerprint != images.fingerprint
