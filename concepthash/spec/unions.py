"""The fields of all trials, and the unions among them, read from the types of the specification."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from concepthash.spec.methods import TrialSpec
from concepthash.spec.shortform import ShortForm


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field's type stands for, through unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, UnionType):
        for argument in get_args(annotation):
            yield from models_of(argument)


def field_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for nested in models_of(field.annotation):
            yield from field_names(nested, f"{prefix}{name}.")


TRIAL_FIELDS = tuple(
    dict.fromkeys(name for method in models_of(TrialSpec) for name in field_names(method))
)
"""Every field that a table may vary, dotted, of all methods."""


SCHEMA_COMMAND = "`concepthash-study schema`"
"""What lists every key of a study, with its meaning."""

PARTS = frozenset(name.rpartition(".")[0] for name in TRIAL_FIELDS) - {""}
"""The fields that have fields of their own."""


class _Union(NamedTuple):
    form: ShortForm
    members: dict[str, type[BaseModel]]
    """By the word that chooses them."""

    def member(self, word: Any) -> type[BaseModel] | None:
        return self.members.get(word) if isinstance(word, str) else None


@functools.cache
def unions() -> dict[str, _Union]:
    """The unions of a trial by dotted name; the trial itself, by method, has the name ""."""
    found: dict[str, _Union] = {}

    def visit(name: str, annotation: Any, metadata: Iterable[Any]) -> None:
        models = list(models_of(annotation))
        for form in (each for each in metadata if isinstance(each, ShortForm)):
            members = {model.model_fields[form.key].default: model for model in models}
            found.setdefault(name, _Union(form, {})).members.update(members)
        for model in models:
            for field, info in model.model_fields.items():
                visit(f"{name}.{field}".lstrip("."), info.annotation, info.metadata)

    visit("", TrialSpec, get_args(TrialSpec)[1:])
    return found


def words_of(union: str) -> tuple[str, ...]:
    """What may stand for a union with a dotted name: `adapters`, ...; () if it is no union."""
    if union not in unions():
        return ()
    form, members = unions()[union]
    return (*form.bare, *members)


def choices_with(field: str) -> tuple[str, list[str]]:
    """The closest union around a dotted field, and those of its words that bring the field."""
    for name in sorted(unions(), key=len, reverse=True):
        inner = field.removeprefix(f"{name}.") if name else field
        if name and inner == field:
            continue
        members = unions()[name].members.items()
        if words := [word for word, model in members if inner in field_names(model)]:
            return name or unions()[""].form.key, words
    return "", []


def chooses(name: str) -> bool:
    """Whether a field is the key that tells the members of a union apart."""
    parent, _, last = name.rpartition(".")
    return parent in unions() and unions()[parent].form.key == last
