"""Draws the images of a set and writes them as files, in the layout of CUB-200-2011."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import defaultdict
from dataclasses import asdict
from itertools import count
from pathlib import Path

import numpy as np

from concepthash.errors import InputError
from concepthash.paperbirds.bird import PARTS
from concepthash.paperbirds.scene import NUISANCES, Drawing, draw
from concepthash.paperbirds.shapes import SHAPES
from concepthash.paperbirds.species import PaperbirdsSettings, Species, plumage_of, species_of

PAPERBIRDS_VERSION = 1  # to be raised when the same settings no longer give the same files


def draw_image(settings: PaperbirdsSettings, species: Species, split: str, number: int) -> Drawing:
    """Draw image `number` (0, 1, ...) of a species in split "train" or "test"."""
    digest = hashlib.sha256(species.name.encode()).digest()
    key = [settings.seed, int.from_bytes(digest[:8]), ("train", "test").index(split), number]
    rng = np.random.default_rng(key)
    return draw(
        SHAPES[species.family], plumage_of(species), NUISANCES[settings.difficulty],
        settings.size, rng,
    )  # fmt: skip


def write(settings: PaperbirdsSettings, root: Path) -> Path:
    """Write the data set into the folder `root` in the layout of CUB-200-2011; return `root`.

    The folder is written under another name and then renamed, so that it is always complete. If
    it exists with these settings nothing is drawn. Raises InputError if it holds anything else.
    """
    root = Path(root)
    if _is_written(settings, root):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        _write_files(settings, temporary)
        temporary.chmod(0o755)
        try:
            os.rename(temporary, root)
        except OSError:  # another process may have written the same files meanwhile
            if not _is_written(settings, root):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return root


def _is_written(settings: PaperbirdsSettings, root: Path) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = (root / "paperbirds.json").read_text(encoding="utf-8")
    except OSError:
        found = ""
    if found != _label(settings):
        raise InputError(
            f"{root}: exists and holds other files than paperbirds of these settings; "
            "remove it or name another folder"
        )
    return True


def _label(settings: PaperbirdsSettings) -> str:
    return json.dumps({"version": PAPERBIRDS_VERSION, **asdict(settings)}, indent=1) + "\n"


def _write_files(settings: PaperbirdsSettings, folder: Path) -> None:
    tables: dict[str, list[str]] = defaultdict(list)
    tables["parts/parts.txt"] = [f"{number} {part}" for number, part in enumerate(PARTS, start=1)]
    images = count(1)
    for label, species in enumerate(species_of(settings), start=1):
        directory = f"{label:03d}.{species.title}"
        tables["classes.txt"].append(f"{label} {directory}")
        (folder / "images" / directory).mkdir(parents=True)
        numbered = [("train", number) for number in range(settings.train_images)]
        numbered += [("test", number) for number in range(settings.test_images)]
        for split, number in numbered:
            image = next(images)
            name = f"{directory}/{species.title}_{split}_{number:04d}.png"
            drawing = draw_image(settings, species, split, number)
            drawing.image.save(folder / "images" / name, compress_level=4)
            box = " ".join(f"{length:.1f}" for length in drawing.box)
            tables["images.txt"].append(f"{image} {name}")
            tables["image_class_labels.txt"].append(f"{image} {label}")
            tables["train_test_split.txt"].append(f"{image} {int(split == 'train')}")
            tables["bounding_boxes.txt"].append(f"{image} {box}")
            tables["parts/part_locs.txt"] += [
                f"{image} {part} {x:.1f} {y:.1f} {visible:.0f}"
                for part, (x, y, visible) in enumerate(drawing.parts, start=1)
            ]
    (folder / "parts").mkdir()
    for file, lines in tables.items():
        (folder / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "paperbirds.json").write_text(_label(settings), encoding="utf-8")
