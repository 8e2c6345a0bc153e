"""The command that writes a first study for one's own images."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concepthash.cli.app import app
from concepthash.cli.commands import command
from concepthash.errors import InputError

if TYPE_CHECKING:
    from concepthash.data.image_set import ImageSet

_STUDY = """\
# A first study of {found}.
#
#   concepthash-study plan {file}     what it trains, and what of it is trained
#   concepthash-study run {file}      trains what is missing
#   concepthash-study report {file}   writes reports/{name}/report.html
#
# `concepthash-study schema > study.schema.json` lets an editor complete and check this file, with
# this as its first line:
# yaml-language-server: $schema=study.schema.json

name: {name}
title: Ablation of ConceptHash on {name}

{queries}dataset: {{name: {reader}, root: {root}, title: {name}}}

# The configuration that every row below is compared with. It runs on a laptop, with the tiny
# encoders that ship with the project: trained on drawn birds, they show that all works, not how
# well the method retrieves your images.
baseline:
  num_bits: 32
  num_concepts: 4
  epochs: 12
  backbone: {{name: vit_paperbirds_patch8_64, weights: pretrained, image_size: 64}}
  language: {{source: open_clip, model: paperbirds, pretrained: v1}}
  tuning: {{name: adapters, width: 64}}
  concept_width: 128
  augmentation: none
  optimizer: {{name: adamw, lr: 2e-3, weight_decay: 0.05, warmup_epochs: 1}}
  validate_every: 3

# On a GPU: the paper's encoders, CLIP ViT-B/32 for images and class names, downloaded on first use.
# Put this in the place of `baseline` above, and of `resources` below; every field that is not
# named has the paper's value.
#
# baseline:
#   num_bits: 64
#   epochs: 100
# resources: {{cpu: 4, gpu: 1}}

# Each row and column is trained once with each seed: mean ± standard deviation over them.
seeds: [0, 1, 2]

tables:
  - name: losses
    title: What each loss brings
    rows:
      - {{label: all four losses}}
      - {{label: without L_quan, loss.quantization: 0}}
      - {{label: without L_csd, loss.concept_spatial_diversity: 0}}
      - {{label: without L_cd, loss.concept_discrimination: 0}}

  - name: language
    title: Language guidance by code length
    rows:
      - {{label: language guidance}}
      - {{label: learned class centers, language: off}}
    columns: {{num_bits: [16, 32]}}

# Of one trial; so many run at once as fit.
resources: {{cpu: 1}}
"""
_QUERIES = """\
# Which images are queries: those in its folder `query`, the others being in `train`; without such
# folders 30 % of each class (query_share: 0.3).
"""


@app.command()
def init(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES", help="A folder with a folder for each class, or with a manifest.csv."
        ),
    ],
    out: Annotated[
        Path, typer.Option(dir_okay=False, help="The file to write; it must not exist.")
    ] = Path("study.yaml"),
) -> None:
    """Write a first study for your own images.

    The file is commented YAML, to run as it is and to change. IMAGES is read and its classes are
    counted; nothing is trained.
    """
    from concepthash.data.readers import Folder, Manifest, open_images

    root = images.expanduser().resolve()
    try:
        listed = root.is_file() or (root / "manifest.csv").is_file()
        missing = not root.exists()
    except OSError as error:
        raise InputError(f"{images}: {error.strerror}; give a folder of images") from None
    if missing:
        raise InputError(f"{images}: no such folder; give one with a folder for each class")
    name = re.sub(r"[^a-z0-9_-]+", "-", root.stem.lower())[:40].strip("-_") or "study"
    dataset = (Manifest if listed else Folder)(root=root, title=name)
    found = _in_words(open_images(dataset))
    here = os.path.relpath(root, out.resolve().parent)
    text = _STUDY.format(
        found=found,
        file=shlex.quote(str(out)),
        name=name,
        reader=dataset.name,
        root=json.dumps(here, ensure_ascii=False),
        queries="" if listed else _QUERIES,
    )
    try:
        encoded = text.encode()
        with out.open("xb") as file:
            file.write(encoded)
    except FileExistsError:
        raise InputError(f"{out}: exists; name another file with --out") from None
    except UnicodeEncodeError:
        raise InputError(f"{images}: its name is not in UTF-8; rename it") from None
    except OSError as error:
        raise InputError(f"{out}: {error.strerror}; name another file with --out") from None
    typer.echo(f"{images}: {found}")
    typer.echo(f"{out}: written; next: {command('plan', str(out))}")


def _in_words(images: ImageSet) -> str:
    """`120 images of 6 classes: 90 for training and the database, 30 queries`."""
    training = int(images.is_train.sum())
    return (
        f"{len(images)} images of {len(images.class_names)} classes: {training} for training and"
        f" the database, {len(images) - training} queries"
    )
