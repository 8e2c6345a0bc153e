"""Finding and reading the files of a data set, with a line for each that cannot be read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from concepthash.errors import InputError
from concepthash.spec_base import problem_of_path


def folder_of(root: Path, *markers: str) -> Path:
    """The absolute path of `root`, or of the folder in it, that holds one of the files `markers`.

    A study may so name the folder of a data set or the one above. Raises InputError if none has a
    marker, or if several folders in `root` have one.
    """
    root = Path(os.path.abspath(root))  # a link keeps its name: torchvision knows folders by name
    named = " or ".join(markers)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; the folder that holds {named} is needed")
    if any((root / marker).exists() for marker in markers):
        return root
    below = [
        folder
        for folder in sorted(root.iterdir())
        if any((folder / marker).exists() for marker in markers)
    ]
    if not below:
        raise InputError(f"{root}: has no {named}, nor has a folder in it")
    if len(below) > 1:
        raise InputError(
            f"{root}: {len(below)} folders in it have {named}; name one, such as {below[0]}"
        )
    return below[0]


def text_of(path: Path, wrong: list[str]) -> str | None:
    """The text of a file in UTF-8, its lines ended by \\n; None and a line in `wrong` if unread."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no regular file"
        wrong.append(
            f"{path}: {what}, but must be a text file"
            if path.exists()
            else f"{path}: no such file; the data set's layout needs it"
        )
        return None
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        wrong.append(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})")
    except OSError as error:
        wrong.append(f"{path}: cannot be read ({error.strerror})")
    return None


def json_of(
    path: Path, wrong: list[str], record: Callable[[dict[str, Any]], Any] | None = None
) -> Any | None:
    """What a JSON file holds, each object passed through `record`; None if it cannot be read."""
    text = text_of(path, wrong)
    if text is None:
        return None
    try:
        return json.loads(text, object_hook=record)
    except json.JSONDecodeError as error:
        wrong.append(f"{path}:{error.lineno}: is not JSON ({error.msg}, column {error.colno})")
    except (RecursionError, ValueError) as error:  # too deep, or a number of 4,300 digits
        wrong.append(f"{path}: is not an index of images ({error})")
    return None


def path_problem(path: str) -> str | None:
    """What is wrong with the path of an image below its data set's folder; None if it is fine."""
    parts = path.replace("\\", "/").split("/")
    if path.startswith(("/", "\\")) or parts[0].endswith(":"):
        return "is an absolute path, but must be relative to the data set's folder"
    if ".." in parts:
        return "leads out of the data set's folder; take out '..'"
    if problem := problem_of_path(path):
        return f"is no path: {problem}"
    return None
