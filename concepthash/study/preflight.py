"""Everything that can be found wrong before a trial starts, found before Ray does."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch

from concepthash.build import open_images, text_embeddings
from concepthash.data.cache import load_pixels
from concepthash.errors import InputError
from concepthash.model import create_vit
from concepthash.plan import Trial
from concepthash.spec import ResourcesSpec


def check_inputs(trials: Iterable[Trial]) -> None:
    """Opens the data set, decodes its images once, reads each checkpoint and text embedding.

    What it computes is cached for the trials. Raises InputError with a line for each problem.
    """
    trials = list(trials)
    problems: list[str] = []
    for dataset in {trial.dataset.model_dump_json(): trial.dataset for trial in trials}.values():
        images = open_images(dataset)
        for size in sorted({trial.spec.backbone.image_size for trial in trials}):
            load_pixels(images, size)
        for trial in _distinct(trials, "language"):
            problems += _problems(lambda t=trial: text_embeddings(t.spec, images.class_names))
    for trial in _distinct(trials, "backbone"):
        backbone = trial.spec.backbone
        problems += _problems(
            lambda b=backbone: create_vit(b.name, weights=b.weights, image_size=b.image_size)
        )
    if problems:
        raise InputError(*dict.fromkeys(problems))


def check_resources(resources: ResourcesSpec) -> None:
    """Raises InputError if this machine can never give one trial what it asks for."""
    cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    if resources.cpu > cpus:
        raise InputError(f"resources.cpu: {resources.cpu:g} is more than the {cpus} of this machine")
    if resources.gpu > gpus:
        raise InputError(
            f"resources.gpu: {resources.gpu:g} is more than the {gpus} of this machine; set it to"
            " 0, or name a cluster with --address"
        )


def _distinct(trials: Iterable[Trial], field: str) -> list[Trial]:
    """One trial for each value of a field of their specs."""
    return list({repr(getattr(trial.spec, field)): trial for trial in trials}.values())


def _problems(check: object) -> tuple[str, ...]:
    try:
        check()  # type: ignore[operator]
    except InputError as error:
        return error.lines
    return ()
