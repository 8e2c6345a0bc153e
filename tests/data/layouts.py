"""What tests of readers share: a line of an index file changed, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from concepthash.errors import InputError


def rewrite(file: Path, line: int, text: str) -> None:
    """Puts other text in the place of a line, from 1."""
    lines = file.read_text().splitlines()
    lines[line - 1] = text
    file.write_text("\n".join(lines) + "\n")


def complaints(read: Callable[[], object], below: Path) -> list[str]:
    """The lines of the InputError that reading raises, with paths relative to a folder."""
    with pytest.raises(InputError) as caught:
        read()
    return [line.removeprefix(f"{below}/") for line in caught.value.lines]
