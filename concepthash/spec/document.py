"""A YAML file as plain data that remembers on which line each value stands.

YAML 1.2 is read as data: only mappings, lists and scalars. The file is composed to ruamel.yaml's
nodes, which know their lines and tags, and no object is ever built from a tag. The round-trip
loader also knows lines, but it stops at the first repeated key, makes dates and bytes, reports a
wrong number without its line, and takes the keys 1 and true for the same.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from concepthash.errors import InputError
from concepthash.spec_base import in_a_line

KeyPath = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_VALUES = 20_000
MAX_DEPTH = 30
_TAG = "tag:yaml.org,2002:"
_TEXT = frozenset(("str", "timestamp", "merge", "value"))
_PLAIN = frozenset(("int", "float", "bool", "null"))


@dataclass(frozen=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and where each value came from."""

    source: str
    data: dict[str, Any]
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, path: Sequence[str | int]) -> str:
        """File and line (or the `--set`) of the value at `path`, or of the closest one above."""
        for length in range(len(path), -1, -1):
            origin = self.origins.get(tuple(path[:length]))
            if origin is not None:
                return origin
        return self.source


def dotted(path: Sequence[str | int]) -> str:
    """`("tables", 0, "name")` as `tables[0].name`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def read_document(path: Path) -> Document:
    """Reads a YAML 1.2 file of at most MAX_BYTES whose top level is a mapping.

    Raises InputError with a line for every problem of the file.
    """
    shown = in_a_line(str(path), 4096)
    try:
        if os.path.exists(path) and not path.is_file():
            raise InputError(f"{shown}: not a regular file; give the path of a study's YAML file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(f"{shown}: larger than {MAX_BYTES:,} bytes; this is no study file")
        text = content.decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"{shown}: no such file; give the path of a study's YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"{shown}: cannot be read ({reason}); give a readable YAML file") from None
    return parse_document(text, shown)


def parse_document(text: str, source: str) -> Document:
    """The same for text already read; `source` names it in messages."""
    node = _compose(text, source)
    if node is None:
        raise InputError(f"{source}: empty; a study needs at least name, dataset and tables")
    if not isinstance(node, MappingNode):
        raise InputError(f"{source}:{_line(node)}: the top level is no mapping; write `name: ...`")
    reader = _Reader(source)
    return Document(source, reader.read(node), reader.origins)


def parse_value(text: str, source: str) -> Any:
    """One YAML value, as given on the command line; None for empty text. Raises InputError."""
    node = _compose(text, source)
    return None if node is None else _Reader(source).read(node)


def with_overrides(
    document: Document,
    overrides: Sequence[str],
    prepare: Callable[[str, Any], Any] = lambda key, value: value,
) -> Document:
    """A copy of the document with each `key.path=YAML value` put in its place, in order.

    `prepare(key, value)` may change a value before it is set, given the last part of its key.
    Raises InputError for an override without `=`, with invalid YAML, or with a place that no
    mapping or list of the document has.
    """
    data, origins = copy.deepcopy(document.data), dict(document.origins)
    for override in overrides:
        origin = f"--set {in_a_line(override)}"
        key, equals, text = override.partition("=")
        path: KeyPath = tuple(int(p) if p.isdecimal() else p for p in key.strip().split("."))
        if not equals or not all(str(part).strip() for part in path):
            raise InputError(f"{origin}: not of the form key=value; write e.g. baseline.epochs=1")
        _set(data, path, prepare(str(path[-1]), parse_value(text, origin)), origin)
        origins = {known: line for known, line in origins.items() if known[: len(path)] != path}
        origins[path] = origin
    return Document(document.source, data, origins)


def _set(data: Any, path: KeyPath, value: Any, origin: str) -> None:
    for depth, key in enumerate(path[:-1]):
        if isinstance(data, dict):
            data = data.setdefault(key, {})
        elif _has_item(data, key):
            data = data[key]
        else:
            raise InputError(f"{origin}: {dotted(path[: depth + 1])} does not exist")
    if isinstance(data, dict) or _has_item(data, path[-1]):
        data[path[-1]] = value
    elif isinstance(data, list):
        raise InputError(f"{origin}: {dotted(path)} does not exist; the list has {len(data)} items")
    else:
        raise InputError(f"{origin}: {dotted(path[:-1])} holds a single value, not keys to set")


def _has_item(data: Any, key: str | int) -> bool:
    return isinstance(data, list) and isinstance(key, int) and key < len(data)


def _compose(text: str, source: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False  # YAML allows them
    try:
        node: Node | None = yaml.compose(text)
    except MaxDepthExceededError as error:
        raise InputError(
            f"{source}:{error.problem_mark.line + 1}: nested more than {MAX_DEPTH} levels deep;"
            " a study has a few levels only"
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise InputError(f"{source}{line}: not valid YAML ({problem}); mend the syntax") from None
    except (YAMLError, ValueError) as error:
        problem = str(error).splitlines()[0]
        raise InputError(f"{source}: not valid YAML ({problem}); mend the syntax") from None
    if yaml.resolver.processing_version != (1, 2):  # asked for by a line `%YAML 1.1`
        raise InputError(f"{source}: YAML 1.2 is read only; take the line %YAML out")
    return node


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Turns nodes into data, noting each value's line and each problem."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.origins: dict[KeyPath, str] = {}
        self.problems: list[str] = []
        self.values = 0
        self.constructor = YAML(typ="safe", pure=True).constructor

    def read(self, node: Node) -> Any:
        """The data of a whole tree of nodes. Raises InputError with every problem."""
        value = self._value(node, (), _line(node))
        if self.problems:
            raise InputError(*self.problems)
        return value

    def _value(self, node: Node, path: KeyPath, line: int) -> Any:
        self.origins[path] = f"{self.source}:{line}"
        self.values += 1
        if self.values > MAX_VALUES or len(path) > MAX_DEPTH:
            raise InputError(
                f"{self.source}:{line}: unfolds into more than {MAX_VALUES:,} values or"
                f" {MAX_DEPTH} levels (aliases within aliases?); write the values out"
            )
        tag = str(node.tag).removeprefix(_TAG)
        if isinstance(node, MappingNode) and tag == "map":
            return dict(self._items(node, path))
        if isinstance(node, SequenceNode) and tag == "seq":
            return [self._value(n, (*path, i), _line(n)) for i, n in enumerate(node.value)]
        if isinstance(node, ScalarNode) and tag in _TEXT | _PLAIN:
            return self._scalar(node, tag, line)
        self._problem(line, f"the tag {node.tag} is not allowed; a study is plain data")
        return None

    def _items(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            # What a key of another kind holds is not looked at: aliases may make it huge.
            word = isinstance(key_node, ScalarNode) and key_node.value.isprintable()
            key, line = key_node.value if word else "?", _line(key_node)
            if not word:
                self._problem(line, "a key must be a single word")
            elif key_node.tag == _TAG + "merge":
                self._problem(line, "merge keys (<<) are not read; write the keys out")
            if key in first:
                self._problem(
                    line,
                    f"{dotted((*path, key))} is given twice (first on line {first[key]}); keep one",
                )
            first.setdefault(key, line)
            yield key, self._value(value_node, (*path, key), line)

    def _scalar(self, node: ScalarNode, tag: str, line: int) -> Any:
        try:
            value = self.constructor.construct_object(node) if tag in _PLAIN else node.value
            str(value).encode()  # fails for a number of thousands of digits, half a character
        except (ValueError, YAMLError):
            self._problem(line, f"{node.value[:40]!r} is not a valid {tag}")
            return None
        return value

    def _problem(self, line: int, text: str) -> None:
        self.problems.append(f"{self.source}:{line}: {text}")
