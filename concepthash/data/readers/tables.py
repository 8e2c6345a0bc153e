"""Publishers' index files: one record a line, its fields separated by single spaces."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

from concepthash.data.problems import shortened
from concepthash.data.readers.files import path_problem, text_of
from concepthash.spec_base import in_a_line

MAX_PIXELS = 1_000_000
"""Of a place in an image: no image is so large."""


class Field(NamedTuple):
    """A field of a record. Only the last one of a file may contain spaces."""

    name: str
    parse: Callable[[str], Any]
    """Raises ValueError(what the field must be)."""
    distinct: bool = False
    """No two records have the same value."""


def read_table(
    path: Path,
    fields: list[Field],
    wrong: list[str],
    *,
    keys: int = 1,
    needed: Collection[Any] = (),
) -> dict[Any, tuple[Any, ...]]:
    """The records of a file by their first field, or by the tuple of the first `keys`.

    A record holds its other fields. Lines end with LF or CRLF. Mistakes (file, line, what is
    wrong, what is right) are appended to `wrong`, among them each of the keys `needed` without a
    record; a record with a mistake is left out.
    """
    if path.exists() and not path.is_file():
        wrong.append(f"{path}: is no regular file, but must be a text file")
        return {}
    content = text_of(path, wrong)
    if content is None:
        return {}
    if not content.strip():
        wrong.append(f"{path}: is empty; each line should be {_form(fields)}")
        return {}
    parsers = [field.parse for field in fields]
    distinct = [k for k in range(keys, len(fields)) if fields[k].distinct]
    taken: set[tuple[int, Any]] = set()
    records: dict[Any, tuple[Any, ...]] = {}
    mistakes = []
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        words = line.strip().split(" ", len(fields) - 1)
        try:
            values = [parse(word) for parse, word in zip(parsers, words, strict=True)]
        except ValueError:
            mistakes.append(f"{path}:{number}: {_mistake(fields, words)}")
            continue
        key = values[0] if keys == 1 else tuple(values[:keys])
        again = list(range(keys)) if key in records else []
        again = again or [k for k in distinct if (k, values[k]) in taken]
        if again:
            named = ", ".join(f"{fields[k].name} {in_a_line(words[k])}" for k in again)
            mistakes.append(f"{path}:{number}: {named} has an earlier line; each may have one")
            continue
        records[key] = tuple(values[keys:])
        if distinct:
            taken.update((k, values[k]) for k in distinct)
    if not mistakes:  # else a line that cannot be read would be reported as missing, too
        mistakes = [
            f"{path}: has no line for {fields[0].name} {in_a_line(str(key))}; each needs one"
            for key in needed
            if key not in records
        ]
    wrong += shortened(mistakes)
    return records


def _form(fields: list[Field]) -> str:
    return " ".join(f"<{field.name}>" for field in fields)


def _mistake(fields: list[Field], words: list[str]) -> str:
    """What is wrong with a record that could not be parsed, and what is right."""
    if len(words) < len(fields):
        return f"has {len(words)} fields, not {len(fields)}: {_form(fields)}"
    for field, word in zip(fields, words, strict=True):
        try:
            field.parse(word)
        except ValueError as error:
            return f"{field.name} is '{in_a_line(word, 60)}', but must be {error}"
    raise AssertionError("every field can be parsed")


# --- parsers of fields -----------------------------------------------------------------------


def text(word: str) -> str:
    """Any text that is not empty."""
    if not word.strip():
        raise ValueError("one or more characters")
    return word


def count(word: str) -> int:
    """A whole number of 0 or more."""
    if not (word.isascii() and word.isdigit() and len(word) <= 18):  # else no int64
        raise ValueError("a whole number of 0 or more")
    return int(word)


def pixels(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not abs(value) <= MAX_PIXELS:  # nor NaN
        raise ValueError(f"a number of pixels, at most {MAX_PIXELS:,}")
    return value


def bit(word: str) -> int:
    if word not in ("0", "1"):
        raise ValueError("0 or 1")
    return int(word)


def below(folder: str) -> Callable[[str], str]:
    """A path relative to `folder` that does not lead out of it."""

    def parse(word: str) -> str:
        if not word or path_problem(word):
            raise ValueError(f"a path below {folder}/, without '..'")
        return word

    return parse


def one_of(known: Collection[Any], file: str, parse: Callable[[str], Any] = text) -> Any:
    """A key of the table `known`, which was read from `file`."""

    def parse_known(word: str) -> Any:
        value = parse(word)
        if known and value not in known:  # an empty table could not be read: reported already
            raise ValueError(f"in {file}")
        return value

    return parse_known
