"""Every field of every method and data set is part of a trial's identity."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from concepthash.data.readers import DatasetSpec, Paperbirds
from concepthash.identity import digest, identity
from concepthash.spec import TRIAL_FIELDS, ConceptHashTrial, TrialSpec, changed, has_field, value_of

PAPER = ConceptHashTrial()


def digest_of(spec: TrialSpec, dataset: DatasetSpec | None = None, seed: int = 0) -> str:
    return digest(identity(dataset or Paperbirds(), spec, seed, {}))


WAYS: list[dict[str, Any]] = [
    {},
    {"tuning": "last-blocks"},
    {"protocol": "unseen"},
    {"protocol": "cross-split"},
    {"code_norm": "none"},
    {"language": "orthogonal"},
    {"language": {"source": "file", "embeddings": "/data/text.safetensors"}},
]
"""Changes of a method's defaults under which, together, each of its fields makes a difference."""

METHODS = tuple(get_args(get_args(TrialSpec)[0]))
PARTS = {field.rpartition(".")[0] for field in TRIAL_FIELDS}


def words(schema: Any) -> Iterator[str]:
    """The words that a JSON Schema allows anywhere."""
    if isinstance(schema, dict):
        yield from (w for w in [*schema.get("enum", []), schema.get("const")] if w is not None)
        schema = list(schema.values())
    for value in schema if isinstance(schema, list) else ():
        yield from words(value)


SCHEMAS = [TypeAdapter(kind).json_schema() for kind in (TrialSpec, DatasetSpec)]
WORDS = tuple(dict.fromkeys(words(SCHEMAS)))


def others(value: Any) -> Iterator[Any]:
    """Values to try in the place of one."""
    if isinstance(value, int | float):
        yield from (value + 1, value * 2, value / 2, 0.5)
    elif value is None:
        yield 3
    elif isinstance(value, list | tuple):
        yield ["a drawing of a {}"]
    else:
        yield from (*WORDS, "/elsewhere/other.safetensors")


def with_another_value(spec: TrialSpec, field: str) -> TrialSpec:
    for other in others(value_of(spec, field)):
        try:
            trial = changed(spec, {field: other})
        except ValidationError:
            continue
        if value_of(trial, field) != value_of(spec, field):
            return trial
    raise AssertionError(f"no other value of {field} was found: add one to `others`")


@functools.cache
def base(method: type, field: str) -> TrialSpec | None:
    """A trial of a method in which a field makes a difference; None if the method lacks it."""
    for way in WAYS:
        try:
            spec = changed(method(), way)
        except ValidationError:  # the method has no such choice
            continue
        if has_field(spec, field):
            return spec
    return None


LEAVES = [field for field in TRIAL_FIELDS if field not in PARTS and field != "method"]
CASES = [(method, field) for method in METHODS for field in LEAVES if base(method, field)]


@pytest.mark.parametrize(
    ("method", "field"), CASES, ids=[f"{method().method}-{field}" for method, field in CASES]
)
def test_another_value_of_a_field_is_another_trial(method, field):
    spec = base(method, field)
    assert digest_of(with_another_value(spec, field)) != digest_of(spec)


def test_every_field_of_every_method_is_tried():
    assert {field for _, field in CASES} == set(LEAVES)
    for method in METHODS:
        tried = {field.split(".")[0] for each, field in CASES if each is method}
        assert tried == set(method.model_fields) - {"method"}


def test_methods_and_what_is_off_are_other_trials():
    specs = [method() for method in METHODS]
    specs += [changed(PAPER, {field: "off"}) for field in ("language", "refinement")]
    assert len({digest_of(spec) for spec in specs}) == len(METHODS) + 2


DATASETS = tuple(
    kind() if kind is Paperbirds else kind(root=Path("/data"))
    for kind in get_args(get_args(DatasetSpec)[0])
)


@pytest.mark.parametrize(
    ("dataset", "field"),
    [(d, f) for d in DATASETS for f in type(d).model_fields if f not in ("name", "root")],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_another_value_of_a_data_sets_field_is_another_trial(dataset, field):
    for other in others(getattr(dataset, field)):
        try:
            another = type(dataset)(**{**dict(dataset), field: other})
        except ValidationError:
            continue
        if another != dataset:
            break
    else:
        raise AssertionError(f"no other value of {field} was found: add one to `others`")
    assert digest_of(PAPER, another) != digest_of(PAPER, dataset)


def test_data_sets_and_seeds_are_other_trials():
    assert len({digest_of(PAPER, dataset) for dataset in DATASETS}) == len(DATASETS)
    assert len({digest_of(PAPER, seed=seed) for seed in range(5)}) == 5
