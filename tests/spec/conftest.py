"""A small valid study, loaded as it is or with mistakes in it."""

from __future__ import annotations

import pytest

from concepthash.errors import InputError
from concepthash.spec import StudySpec, load_study

SMALL = """\
name: small
dataset: {name: paperbirds}
baseline: {num_bits: 16, language: off}
tables:
  - name: bits
    rows: {num_bits: [16, 32]}
"""


@pytest.fixture
def small() -> str:
    return SMALL


@pytest.fixture
def study(tmp_path):
    """Loads the small study, or the text given, with overrides."""

    def load(*overrides: str, text: str = SMALL) -> StudySpec:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return load_study(path, overrides).spec

    return load


@pytest.fixture
def complaints(study, tmp_path):
    """The lines of the refusal, without the file's name or the override that they begin with."""

    def refused(*overrides: str, **text: str) -> list[str]:
        with pytest.raises(InputError) as caught:
            study(*overrides, **text)
        lines = [line.replace(f"{tmp_path}/study.yaml:", "") for line in caught.value.lines]
        for override in overrides:
            lines = [line.removeprefix(f"--set {override}: ") for line in lines]
        assert all("\n" not in line for line in lines)
        return lines

    return refused
