"""Everything that can be found wrong before a trial starts, found before Ray does."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial

import torch

from concepthash.build import (
    build_backbone,
    build_split,
    check_compiler,
    class_embeddings,
    open_images,
)
from concepthash.data.cache import load_pixels
from concepthash.errors import InputError
from concepthash.plan import Trial
from concepthash.spec import ResourcesSpec, TrialSpec


def check_inputs(trials: Collection[Trial]) -> str:
    """Opens the data set, decodes its images once, reads each checkpoint and text embedding.

    What it computes is cached for the trials. Returns the data set's fingerprint. Raises
    InputError with a line for each problem.
    """
    images = open_images(next(iter(trials)).dataset)  # of a study, all trials share it
    for size in sorted({trial.spec.backbone.image_size for trial in trials}):
        load_pixels(images, size)
    problems: list[str] = []
    for language in {repr(trial.spec.language): trial.spec.language for trial in trials}.values():
        problems += _problems_of(partial(class_embeddings, language, images.class_names, seed=0))
    for split in {_of_split(trial): trial for trial in trials}.values():
        problems += _problems_of(partial(build_split, split.spec, images, split.seed))
    for spec in {_of_backbone(trial.spec): trial.spec for trial in trials}.values():
        problems += _problems_of(partial(build_backbone, spec))
    if any(trial.spec.compile == "on" for trial in trials):
        problems += _problems_of(check_compiler)
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return images.fingerprint


def _of_split(trial: Trial) -> str:
    """What decides whether `build_split` can be done."""
    spec = trial.spec
    return repr([spec.protocol, spec.unseen_share, spec.unseen_search, spec.folds, trial.seed])


def _of_backbone(spec: TrialSpec) -> str:
    """What `build_backbone` reads of a trial."""
    fields = ("backbone", "tuning", "tuned_blocks", "adapter_width", "adapter_sites")
    return repr([getattr(spec, field) for field in (*fields, "adapter_blocks")])


def _problems_of(attempt: Callable[[], object]) -> tuple[str, ...]:
    try:
        attempt()
    except InputError as error:
        return error.lines
    return ()


def check_resources(resources: ResourcesSpec) -> None:
    """Raises InputError if this machine can never give one trial what it asks for."""
    cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    if resources.cpu > cpus:
        raise InputError(
            f"resources.cpu: {resources.cpu:g} is more than the {cpus} of this machine"
        )
    if resources.gpu > gpus:
        raise InputError(
            f"resources.gpu: {resources.gpu:g} is more than the {gpus} of this machine; set it to"
            " 0, or name a cluster with --address"
        )
