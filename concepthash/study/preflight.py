"""What can be found wrong with a study's resources before Ray starts."""

from __future__ import annotations

import os

import torch

from concepthash.errors import InputError
from concepthash.spec import ResourcesSpec


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
