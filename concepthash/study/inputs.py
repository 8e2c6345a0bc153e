"""What can be found wrong with a study's files in a second, before torch, MLflow and Ray."""

from __future__ import annotations

from concepthash.data.readers import open_images
from concepthash.errors import InputError
from concepthash.plan import Plan, missing_inputs


def check_inputs(plan: Plan) -> None:
    """Raises InputError with a line for each file that is missing, or what is wrong in a data set.

    A generated data set is not drawn, and images are not decoded.
    """
    dataset = plan.study.dataset
    missing = [path for path in missing_inputs(plan) if path not in dataset.needs()]
    lines = [f"{path}: no such file; put it there, or correct the study" for path in missing]
    try:
        _read(plan)
    except InputError as error:
        lines = [*error.lines, *lines]
    if lines:
        raise InputError(*lines)


def check_present_inputs(plan: Plan) -> list[str]:
    """Warnings: a line for each file or folder that is missing, and that `run` will need.

    Raises InputError with a line for each mistake in a data set that is there.
    """
    missing = missing_inputs(plan)
    if not set(missing) & set(plan.study.dataset.needs()):
        _read(plan)
    return [f"{path} does not exist; `run` will need it" for path in missing]


def _read(plan: Plan) -> None:
    """Reads the annotations of a data set, unless it is a generated one."""
    if plan.study.dataset.needs():
        open_images(plan.study.dataset)
