"""A YAML file as plain data that remembers on which line each value stands.

YAML is read as data: only mappings, lists and scalars. A tag that would build an object, a
repeated key, and aliases that unfold into a huge document are refused before anything is made
of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from concepthash.errors import InputError

KeyPath = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_VALUES = 20_000
MAX_DEPTH = 30
_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(("str", "int", "float", "bool", "null", "timestamp", "merge", "value"))


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
    """Reads a YAML 1.2 file whose top level is a mapping. Raises InputError."""
    source = str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{source}: larger than {MAX_BYTES:,} bytes; this is no study file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{source}: no such file; give the path of a study's YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(
            f"{source}: cannot be read ({reason}); give a readable YAML file"
        ) from None
    return parse_document(text, source)


def parse_document(text: str, source: str) -> Document:
    """The same for text already read; `source` names it in messages."""
    node = _compose(text, source)
    if node is None:
        raise InputError(f"{source}: empty; a study needs at least name, dataset and tables")
    if not isinstance(node, MappingNode):
        raise InputError(f"{source}:{_line(node)}: the top level is no mapping; write `name: ...`")
    document = Document(source, {})
    problems: list[str] = []
    data = _Reader(document, problems).value(node, ())
    if problems:
        raise InputError(*problems)
    document.data.update(data)
    return document


def parse_value(text: str, source: str) -> Any:
    """One YAML value, as given on the command line."""
    node = _compose(text, source)
    if node is None:
        return None
    problems: list[str] = []
    value = _Reader(Document(source, {}), problems).value(node, ())
    if problems:
        raise InputError(*problems)
    return value


def with_overrides(
    document: Document,
    overrides: Sequence[str],
    prepare: Callable[[str, Any], Any] = lambda key, value: value,
) -> Document:
    """The document with each `key.path=YAML value` put in its place.

    `prepare(key, value)` may change a value before it is set, given the last part of its key.
    """
    merged = Document(document.source, _copy(document.data), dict(document.origins))
    for override in overrides:
        origin = f"--set {override}"
        key, equals, text = override.partition("=")
        path: KeyPath = tuple(int(p) if p.isdecimal() else p for p in key.strip().split("."))
        if not equals or not all(str(part).strip() for part in path):
            raise InputError(f"{origin}: not of the form key=value; write e.g. baseline.epochs=1")
        value = prepare(str(path[-1]), parse_value(text, origin))
        _set(merged.data, path, value, origin)
        for known in [known for known in merged.origins if known[: len(path)] == path]:
            del merged.origins[known]
        merged.origins[path] = origin
    return merged


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


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _compose(text: str, source: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False  # YAML allows them
    try:
        return yaml.compose(text)
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


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


class _Reader:
    """Turns nodes into data, noting each value's line and each problem."""

    def __init__(self, document: Document, problems: list[str]) -> None:
        self.document = document
        self.problems = problems
        self.values = 0
        self.constructor = YAML(typ="safe", pure=True).constructor

    def value(self, node: Node, path: KeyPath, line: int | None = None) -> Any:
        origin = f"{self.document.source}:{line or _line(node)}"
        self.document.origins[path] = origin
        self.values += 1
        if self.values > MAX_VALUES or len(path) > MAX_DEPTH:
            raise InputError(
                f"{origin}: unfolds into more than {MAX_VALUES:,} values or {MAX_DEPTH} levels"
                " (aliases within aliases?); write the values out"
            )
        tag = str(node.tag)
        if isinstance(node, MappingNode) and tag == _TAG + "map":
            return dict(self._items(node, path))
        if isinstance(node, SequenceNode) and tag == _TAG + "seq":
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and tag.removeprefix(_TAG) in _SCALARS:
            return self._scalar(node, tag.removeprefix(_TAG), origin)
        self.problems.append(f"{origin}: the tag {tag} is not allowed; a study is plain data")
        return None

    def _items(self, node: MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            # What a key of another kind holds is not looked at: aliases may make it huge.
            word = isinstance(key_node, ScalarNode) and key_node.value.isprintable()
            key, line = key_node.value if word else "?", _line(key_node)
            if not word:
                self.problems.append(f"{self.document.source}:{line}: a key must be a single word")
            if key in seen:
                self.problems.append(
                    f"{self.document.source}:{line}: {dotted((*path, key))} is given twice"
                    f" (first on line {seen[key]}); keep one"
                )
            seen.setdefault(key, line)
            yield key, self.value(value_node, (*path, key), line)

    def _scalar(self, node: ScalarNode, tag: str, origin: str) -> Any:
        plain = tag in ("int", "float", "bool", "null")
        try:
            value = self.constructor.construct_object(node) if plain else node.value
            str(value).encode()  # fails for a number of thousands of digits, half a character
        except (ValueError, YAMLError):
            self.problems.append(f"{origin}: {node.value[:40]!r} is not a valid {tag}")
            return None
        return value
