"""A small study in a folder, and the command run in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from cli_stores import STUDY
from mlflow_stores import database, empty_database  # noqa: F401  fixtures

from concepthash import cli


@pytest.fixture
def main(monkeypatch, capsys):
    """Runs `concepthash-study ARGUMENTS` in this process; returns what it prints if all is well."""

    def called(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["concepthash-study", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        assert ended.value.code == 0, captured.err
        return captured.out

    return called


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with the study above in study.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    return tmp_path


@pytest.fixture
def one_thread():
    """As much as so small a model can use; more threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
