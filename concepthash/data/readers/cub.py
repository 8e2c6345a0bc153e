"""CUB-200-2011 (Wah et al., 2011), or any folder in its layout.

    images.txt                 image id, path below images/
    classes.txt                class id, directory: 001.Black_footed_Albatross
    image_class_labels.txt     image id, class id
    train_test_split.txt       image id, 1 for training and database, 0 for queries
    parts/parts.txt            part id, name                      (optional, with the next)
    parts/part_locs.txt        image id, part id, x, y, visible

Each line of a file is one record; spaces separate its fields.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from concepthash.data.image_set import MAX_BYTES, ImageSet, check
from concepthash.data.problems import shortened
from concepthash.data.readers.base import InFolder
from concepthash.data.readers.names import shared_names
from concepthash.data.readers.tables import bit, pixels
from concepthash.errors import InputError
from concepthash.spec_base import in_a_line

Field = tuple[str, Callable[[str], Any]]
"""A field's name, and its parser, which raises ValueError(what the field must be)."""


class Cub(InFolder):
    """A folder in the layout of CUB-200-2011."""

    title: ClassVar[str] = "CUB-200-2011"

    name: Literal["cub"] = "cub"
    root: Path
    """The folder of images.txt."""

    def read(self) -> ImageSet:
        return read(self.root)


def read(root: Path) -> ImageSet:
    """Read the images in the folder `root`; labels are 0 to C - 1, in the order of class ids.

    Raises InputError with a line for each mistake: file, line, what is wrong, what is right.
    """
    root = Path(root).resolve()
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; the folder that holds images.txt is needed")
    inner = root / "CUB_200_2011"
    if not (root / "images.txt").is_file() and (inner / "images.txt").is_file():
        raise InputError(f"{root}: has no images.txt, but {inner} has; name that folder")

    wrong: list[str] = []
    paths = _table(root / "images.txt", [("image id", _whole), ("path", str)], wrong)
    classes = _table(root / "classes.txt", [("class id", _whole), ("directory", str)], wrong)
    image_id = ("image id", _one_of(paths, "images.txt"))
    class_id = ("class id", _one_of(classes, "classes.txt"))
    of_class = _table(root / "image_class_labels.txt", [image_id, class_id], wrong)
    split = _table(root / "train_test_split.txt", [image_id, ("split", bit)], wrong)
    if not wrong:  # else a line that cannot be read would be reported as missing, too
        for file, table in (("image_class_labels.txt", of_class), ("train_test_split.txt", split)):
            wrong += shortened(
                f"{root / file}: has no line for image {number} ({path}) of images.txt; "
                "each image needs one"
                for number, path in paths.items()
                if number not in table
            )
    if wrong:
        raise InputError(*wrong)

    part_names, parts = _parts(root / "parts", paths)
    order = sorted(classes)
    label_of = {number: label for label, number in enumerate(order)}
    class_names = tuple(_class_name(classes[number]) for number in order)
    ids = [f"{number} ({classes[number]})" for number in order]
    shared = shared_names(class_names, ids, what="class ids")
    if shared:
        raise InputError(*shortened(f"{root / 'classes.txt'}: {mistake}" for mistake in shared))
    return check(
        ImageSet(
            name=root.name,
            root=root,
            paths=tuple(root / "images" / path for path in paths.values()),
            labels=np.array([label_of[of_class[number]] for number in paths], np.int64),
            is_train=np.array([split[number] for number in paths], np.bool_),
            class_names=class_names,
            families=tuple(name.split()[-1].lower() for name in class_names),
            part_names=part_names,
            parts=parts,
        )
    )


def _class_name(directory: str) -> str:
    """`001.Black_footed_Albatross` is the class "Black footed Albatross"."""
    return re.sub(r"^\d+\.(?=.)", "", directory).replace("_", " ").strip() or directory


def _parts(
    folder: Path, paths: Mapping[int, str]
) -> tuple[tuple[str, ...], NDArray[np.float32] | None]:
    """The names of the P parts, and x, y, visible (N, P, 3); (), None without annotated parts."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder}: is no folder; parts.txt and part_locs.txt lie in it")
    if not (folder / "parts.txt").exists() and not (folder / "part_locs.txt").exists():
        return (), None
    wrong: list[str] = []
    names = _table(folder / "parts.txt", [("part id", _whole), ("part", str)], wrong)
    places = _table(
        folder / "part_locs.txt",
        [
            ("image id", _one_of(paths, "images.txt")),
            ("part id", _one_of(names, "parts.txt")),
            ("x", pixels),
            ("y", pixels),
            ("visible", bit),
        ],
        wrong,
        keys=2,
    )
    if wrong:
        raise InputError(*wrong)
    order = sorted(names)
    row = {number: index for index, number in enumerate(paths)}
    column = {number: index for index, number in enumerate(order)}
    parts = np.zeros((len(paths), len(names), 3), np.float32)
    for (image, part), place in places.items():
        parts[row[image], column[part]] = place
    return tuple(names[number] for number in order), parts


def _table(path: Path, fields: list[Field], wrong: list[str], keys: int = 1) -> dict[Any, Any]:
    """The records of a file by their first `keys` fields; mistakes are appended to `wrong`."""
    try:
        text = _text(path)
    except InputError as error:
        wrong += error.lines
        return {}
    form = " ".join(f"<{name}>" for name, _ in fields)
    records: dict[Any, Any] = {}
    mistakes = []
    # Not splitlines(): it would break a line at control characters, too.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        words = line.strip().split(maxsplit=len(fields) - 1)
        if len(words) < len(fields):
            mistakes.append(f"{where}: has {len(words)} fields, not {len(fields)}: {form}")
            continue
        try:
            values = [_value(field, word) for field, word in zip(fields, words, strict=True)]
        except ValueError as error:
            mistakes.append(f"{where}: {error}")
            continue
        key = values[0] if keys == 1 else tuple(values[:keys])
        if key in records:
            named = ", ".join(f"{fields[k][0]} {words[k]}" for k in range(keys))
            mistakes.append(f"{where}: {named} has an earlier line; each may have one")
            continue
        records[key] = values[keys] if len(values) == keys + 1 else values[keys:]
    if not records and not mistakes:
        mistakes.append(f"{path}: is empty; each line should be {form}")
    wrong += shortened(mistakes)
    return records


def _text(path: Path) -> str:
    """The text of a file. Raises InputError if it is missing, no file, too large or no text."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is no regular file; the layout of CUB-200-2011 needs one")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise InputError(f"{path}: has {size:,} bytes; at most {MAX_BYTES:,} are read")
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file; the layout of CUB-200-2011 needs it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); make it readable") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})"
        ) from None


def _value(field: Field, word: str) -> Any:
    name, parse = field
    try:
        return parse(word)
    except ValueError as error:
        raise ValueError(f"{name} is {in_a_line(word, 60)!r}, but must be {error}") from None


def _whole(word: str) -> int:
    if not (_is_digits(word) and int(word) >= 1):
        raise ValueError("a whole number of 1 or more")
    return int(word)


def _is_digits(word: str) -> bool:
    """Whether it is a whole number, of at most 18 digits: more fit no machine integer."""
    return word.isascii() and word.isdigit() and len(word) <= 18


def _one_of(known: Collection[int], file: str) -> Callable[[str], int]:
    def parse(word: str) -> int:
        # `known` is empty if its file could not be read, which is reported already.
        if known and not (_is_digits(word) and int(word) in known):
            raise ValueError(f"an id of {file} ({_span(known)})")
        return _whole(word)

    return parse


def _span(known: Collection[int]) -> str:
    return f"{min(known)} to {max(known)}"
