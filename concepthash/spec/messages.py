"""Pydantic's errors in the words of a study file: where, what is wrong, what would be right."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from concepthash.evaluation.catalogue import listed, suggest
from concepthash.spec.document import KeyPath, dotted
from concepthash.spec.study import StudySpec
from concepthash.spec.unions import SCHEMA_COMMAND, TRIAL_FIELDS, choices_with, words_of

Problem = tuple[KeyPath, str]

_FIELD_NAMES = (
    frozenset(key for field in TRIAL_FIELDS for key in field.split("."))
    | frozenset(StudySpec.model_fields)
    | {"better", "than", "space", "trials", "show"}
)


def problem(details: ErrorDetails, data: Any, root: KeyPath = ()) -> Problem:
    """The place in `data` and the text of one error; `root` is where a study has such data."""
    path = _key_path(details["loc"], data)
    kind, given, context = details["type"], details.get("input"), details.get("ctx", {})
    if kind == "extra_forbidden":
        return path, _unknown_key((*root, *path))
    if kind == "missing":
        *above, last = details["loc"]
        return (*_key_path(tuple(above), data), last), "missing; it has no default"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        key = context["discriminator"].strip("'")
        words = context.get("expected_tags", "").replace("'", "").split(", ")
        return _unknown_choice(path, data, given, key, words if "tag" in context else [], root)
    if kind == "language":
        return _unknown_choice(path, data, given, "source", words_of("language"), root)
    if kind == "path_type":
        return path, f"must be the path of a file or folder, but got {_short(given)}"
    if kind in ("list_type", "tuple_type"):
        example = _LISTS.get(str(path[-1]))
        form = f"a list, e.g. {example}" if example else "a list"
        return path, f"must be {form}, but got {_short(given)}"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return path, f"must be {_mapping((*root, *path))}, but got {_short(given)}"
    message = details["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    for theirs, ours in _WORDS:
        message = re.sub(theirs, ours, message)
    shown = "" if kind == "value_error" else f", but got {_short(given)}"
    return path, message + shown


_LISTS = {"seeds": "[0, 1, 2]", "prompts": '["a photo of a {}"]', "choices": "[16, 32]"}
"""Examples of lists, by the key that they stand at."""


def _mapping(path: KeyPath) -> str:
    """What may stand at `path`, where a mapping may."""
    if path[-2:-1] == ("space",):
        return "{choices: [...]} or {low: ..., high: ...}"
    if path == ("dataset",):
        return f"{{name: ...}}, with the name {listed(_words_at(path))}"
    return listed([*_words_for(path), "a mapping"])


_WORDS = (
    ("tuple should", "list should"),
    ("a valid array", "a list"),
    (r" after validation, not \d+", ""),
)


def follows(details: ErrorDetails) -> bool:
    """Whether the same is said elsewhere: a list is too short only because its items are wrong,
    a bound of a range is no integer and no number either."""
    if details["loc"][-2:] in (("low", "int"), ("high", "int")):
        return True
    given = details.get("input")
    return details["type"] == "too_short" and isinstance(given, list) and bool(given)


def _key_path(loc: tuple[int | str, ...], data: Any) -> KeyPath:
    """Pydantic's location in `data` without the tags that it adds for the members of unions."""
    if loc[:1] == ("tables",):
        loc = loc[:2] + loc[3:]
    path: list[str | int] = []
    for key in loc:
        in_list = isinstance(data, list) and isinstance(key, int)
        if in_list or (isinstance(data, Mapping) and key in data):
            data = data[key]
        elif key not in _FIELD_NAMES:
            continue
        path.append(key)
    return tuple(path)


def _unknown_key(path: KeyPath) -> str:
    """What is said of a key of a study that is not allowed where it stands."""
    parents = [key for key in path[:-1] if isinstance(key, str)]
    if parents[:1] == ["baseline"]:
        union, words = choices_with(dotted(path[1:]))
        if words:
            return f"unknown key here; it belongs to {union}: {listed(words)}"
    known = _keys_at(path[:-1])
    if path[-1] in known:
        what = {"tables": "kind of table"}.get(parents[-1], parents[-1])
        return f"unknown key here; only another {what} has it"
    if path[:-1] == ("baseline",):  # it may be a field of a part: lr of optimizer
        return f"unknown key{suggest(str(path[-1]), TRIAL_FIELDS, SCHEMA_COMMAND)}"
    return f"unknown key{suggest(str(path[-1]), known, SCHEMA_COMMAND)}"


def _unknown_choice(
    path: KeyPath, data: Any, given: Any, key: str, words: Sequence[str], root: KeyPath
) -> Problem:
    """A word that chooses no member of a union; `given` is the mapping with it, in full."""
    full = (*root, *path)
    choose = f"choose {listed(words or _words_at(full))}"
    if not isinstance(given, Mapping) or key not in given:
        return path, f"{key} is missing; {choose}"
    what = {"dataset": "data set"}.get(str(full[-1]), full[-1]) if key != "method" else key
    written = functools.reduce(lambda at, step: at[step], path, data)
    place = (*path, key) if isinstance(written, Mapping) and key in written else path
    return place, f"unknown {what} {given[key]!r}; {choose}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


# --- what the schema allows ------------------------------------------------------------------


def _keys_at(path: KeyPath) -> set[str]:
    """The keys of the mapping at `path`."""
    return {key for node in _nodes(path) for key in node.get("properties", {})}


def _words_at(path: KeyPath) -> list[str]:
    """The words that choose a member of the union at `path`."""
    return [w for node in _nodes(path) for w in node.get("discriminator", {}).get("mapping", {})]


def _words_for(path: KeyPath) -> list[str]:
    """The words that may stand at `path` in the place of a mapping."""
    words = [
        word
        for node in _nodes(path)
        for word in node.get("enum", [node["const"]] if "const" in node else [])
    ]
    return list(dict.fromkeys(words))


@functools.cache
def _schema() -> Mapping[str, Any]:
    return StudySpec.model_json_schema()


def _nodes(path: KeyPath) -> list[Mapping[str, Any]]:
    """The schemas of what may stand at `path`."""
    schema = _schema()
    nodes: list[Mapping[str, Any]] = [schema]
    for key in path:
        step = "items" if isinstance(key, int) else str(key)
        nodes = [child for node in nodes for child in _children(schema, node, step)]
    return nodes


def _children(schema: Mapping[str, Any], node: Mapping[str, Any], step: str) -> Iterator[Any]:
    named = {step: node.get("additionalProperties"), **node.get("properties", {})}
    child = node.get("items") if step == "items" else named[step]
    return _unfold(schema, child) if isinstance(child, Mapping) else iter(())


def _unfold(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Any]:
    """The object schemas that `node` stands for, through references and unions."""
    if "$ref" in node:
        yield from _unfold(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    for union in ("anyOf", "oneOf", "allOf"):
        for option in node.get(union, ()):
            yield from _unfold(schema, option)
    yield node
