"""What a table changes of the baseline, by dotted field: `num_bits`, `loss.quantization`, ...

A field may choose a member of a union (`method`, `tuning`, `optimizer.name`). The fields that only
the other member has are then gone; a change that sets one of them is an error.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from concepthash.spec.methods import TrialSpec
from concepthash.spec.shortform import ShortForm
from concepthash.spec.trial import is_path
from concepthash.spec.unions import PARTS, chooses, models_of, unions

_TRIAL: TypeAdapter[TrialSpec] = TypeAdapter(TrialSpec)


def parse_trial(data: Mapping[str, Any]) -> TrialSpec:
    """The trial that plain data describes. Raises pydantic's ValidationError."""
    # Through JSON, so that strict models take a list for a tuple and a string for a path.
    return _TRIAL.validate_json(json.dumps(data))


def changed(baseline: TrialSpec, changes: Mapping[str, Any]) -> TrialSpec:
    """The baseline with dotted fields replaced. Raises pydantic's ValidationError."""
    return parse_trial(changed_data(baseline, changes))


def changed_data(baseline: TrialSpec, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The same as plain data, of which only the places are checked."""
    data = baseline.model_dump(mode="json")
    for name in in_order(changes):
        _set(data, name, changes[name])
    return data


def applicable(baseline: TrialSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the changes that the members which they choose have, and that make a difference.

    A search over `tuning` and `tuning.width` has no width where it takes `tuning: full`. Raises
    pydantic's ValidationError.
    """
    data = baseline.model_dump(mode="json")
    known = set()
    for name in in_order(values):
        if _takes(data, name):
            _set(data, name, values[name])
            known.add(name)
    spec = parse_trial(data)
    return {
        name: value
        for name, value in values.items()
        if name in known and reason_without_effect(spec, name) is None
    }


def value_of(spec: TrialSpec, field: str) -> Any:
    """The value of a dotted field. Raises AttributeError if this trial has no such field."""
    return functools.reduce(getattr, field.split("."), spec)


def exists(spec: BaseModel, field: str) -> bool:
    """Whether a trial has a dotted field."""
    first, _, rest = field.partition(".")
    if first not in type(spec).model_fields:
        return False
    value = getattr(spec, first)
    return not rest or (isinstance(value, BaseModel) and exists(value, rest))


def has_field(spec: TrialSpec, field: str) -> bool:
    """Whether a trial has a dotted field, and whether it makes a difference there."""
    return exists(spec, field) and reason_without_effect(spec, field) is None


def reason_without_effect(spec: TrialSpec, field: str) -> str | None:
    """The setting beside which a dotted field changes nothing; None if it makes a difference."""
    reasons = spec.without_effect().items()
    return next((why for idle, why in reasons if f"{field}.".startswith(f"{idle}.")), None)


def effective(spec: TrialSpec) -> TrialSpec:
    """The trial with every field that makes no difference at its default."""
    data = spec.model_dump(mode="json")
    for name in spec.without_effect():
        *parents, last = name.split(".")
        functools.reduce(lambda target, key: target[key], parents, data).pop(last)
    return parse_trial(data)


def label_of(changes: Mapping[str, Any]) -> str:
    """`M = 4, epochs = 3`; `baseline` where nothing changes."""
    parts = []
    for name, value in changes.items():
        shown = Path(value).name if is_path(name, value) else value
        if isinstance(shown, Mapping):
            shown = shown.get("name", shown.get("source", shown))
        if isinstance(shown, Mapping):
            parts += [label_of({f"{name}.{key}": shown[key]}) for key in shown]
            continue
        if name == "num_bits":
            parts.append(f"{shown} bits")
        else:
            parts.append(f"{'M' if name == 'num_concepts' else name} = {shown}")
    return ", ".join(parts) or "baseline"


# --- one change after another -----------------------------------------------------------------


def in_order(changes: Iterable[str]) -> list[str]:
    """The method, other whole parts and choices, then fields of what was chosen."""

    def rank(name: str) -> tuple[bool, bool, int]:
        inner = not (chooses(name) or name in PARTS)
        return inner, name != unions()[""].form.key, name.count(".")

    return sorted(changes, key=rank)


def _set(data: dict[str, Any], name: str, value: Any) -> None:
    """Puts one change in its place. Raises ValidationError where `off` stands above it."""
    *parents, last = name.split(".")
    target = data
    for parent in parents:
        if not isinstance(target.get(parent), dict):
            if parent in target and not chooses(name):
                told = PydanticCustomError("value_error", f"{parent} is {target[parent]} here")
                error = InitErrorDetails(type=told, loc=(*parents, last), input=value)
                raise ValidationError.from_exception_data("trial", [error])
            target[parent] = {}
        target = target[parent]
    if chooses(name):
        union = unions()[".".join(parents)]
        _keep_shared(target, union.member(target.get(last)), union.member(value))
    target[last] = _in_full(name, value)


def _in_full(name: str, value: Any) -> Any:
    if name in unions():
        return unions()[name].form.in_full(value)
    return {} if value == "on" and name in PARTS else value


def _takes(data: Mapping[str, Any], name: str) -> bool:
    """Whether the trial that `data` describes, valid or not, has a field or can choose it."""
    if chooses(name) and "." in name:
        name = name.rpartition(".")[0]
    methods = unions()[""]
    model = methods.member(data.get(methods.form.key))
    value: Any = data
    parts = name.split(".")
    for depth, part in enumerate(parts, start=1):
        if model is None or part not in model.model_fields:
            return False
        field = model.model_fields[part]
        value = value.get(part, field.default)
        value = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        union = unions().get(".".join(parts[:depth]))
        if not isinstance(value, Mapping):
            model = None
        elif union is not None:
            model = union.member(value.get(union.form.key))
        else:
            model = next(models_of(field.annotation), None)
    return True


def _keep_shared(
    data: dict[str, Any], old: type[BaseModel] | None, new: type[BaseModel] | None
) -> None:
    """Leaves of a mapping, in place, what both members of a union have in common."""
    if old is None or new is None or old is new:
        return
    for key in list(data):
        before, after = old.model_fields.get(key), new.model_fields.get(key)
        if before is None or after is None or not _fits(data[key], before, after):
            del data[key]


def _fits(value: Any, before: FieldInfo, after: FieldInfo) -> bool:
    """Whether a value means the same in a field of another member."""
    if before.annotation == after.annotation:
        return True
    form = next((each for each in after.metadata if isinstance(each, ShortForm)), None)
    if form is None or not isinstance(value, Mapping):
        return False
    both = set(models_of(before.annotation)) & set(models_of(after.annotation))
    return value.get(form.key) in {model.model_fields[form.key].default for model in both}
