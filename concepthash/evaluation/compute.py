"""Metrics by their names in the catalogue: those asked for, and those that every trial reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concepthash.errors import InputError
from concepthash.evaluation import metrics
from concepthash.evaluation.catalogue import CATALOGUE, METRICS, METRICS_AT, Metric, On, suggest
from concepthash.evaluation.saved import SavedCodes
from concepthash.spec_base import in_a_line

MOST = 1_000_000_000
"""The highest rank or radius that a metric takes; no database has so many images."""


def evaluate(saved: SavedCodes, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The values of the metrics named (`map`, `precision@10`), by default of all without a number.

    A value is a number, what JSON can hold, or None where a metric is not defined for these codes.
    Raises InputError with a line for each name that is no metric, before any work.
    """
    names = list(METRICS) if names is None else names
    check_names(names)
    return {name: _value(saved, name) for name in names}


def check_names(names: Sequence[str]) -> None:
    """Raises InputError with a line for each name that is no metric."""
    if problems := [problem for name in names if (problem := _problem(name))]:
        raise InputError(*problems)


def reported(saved: SavedCodes, on: On) -> dict[str, float]:
    """What a trial reports of its codes, by names such as `test/map`.

    With "test", `test/epoch` too, after which the codes were taken, and the ends of the bootstrap
    interval of mAP, `test/map_low` and `test/map_high`. With "val", queries are the validation
    split and the database is the training images. Metrics that are not defined are left out.
    """
    numbers: dict[str, float] = {}
    if on == "test":
        low, high = metrics.map_interval(saved)
        numbers |= {"epoch": saved.epoch, "map_low": low, "map_high": high}
    for metric in CATALOGUE:
        if on in metric.on and (value := _function(metric)(saved)) is not None:
            numbers[metric.name] = value
    return {f"{on}/{name}": float(value) for name, value in numbers.items()}


def _function(metric: Metric) -> Any:
    return getattr(metrics, metric.function)


def _value(saved: SavedCodes, name: str) -> Any:
    base, _, number = name.partition("@")
    if number:
        return _function(METRICS_AT[base])(saved, int(number))
    return _function(METRICS[base])(saved)


def _problem(name: str) -> str | None:
    base, at, number = name.partition("@")
    name = in_a_line(name, 60)
    if base in METRICS_AT and at:
        least = 1 if METRICS_AT[base].takes == "rank" else 0
        digits = number.isascii() and number.isdecimal()
        if digits and len(number) <= len(str(MOST)) and least <= int(number) <= MOST:
            return None
        return f"--metric {name}: after @ comes a whole number from {least} to {MOST:,}"
    if base in METRICS:
        return f"--metric {name}: {base} takes no number after @" if at else None
    if base in METRICS_AT:
        takes = METRICS_AT[base].takes
        return f"--metric {name}: {base} takes a {takes} after @, as in {base}@10"
    known = [*METRICS, *(f"{other}@10" for other in METRICS_AT)]
    return f"--metric {name}: no such metric{suggest(name, known, 'evaluate without --metric')}"
