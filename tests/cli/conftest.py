"""A small study in a folder, and the command run in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from mlflow_stores import database, empty_database  # noqa: F401  fixtures

from concepthash import cli

STUDY = """\
name: tiny
title: A tiny study
dataset: {name: paperbirds, species: 4, families: 2, train_images: 6, test_images: 3}
baseline:
  num_bits: 16
  num_concepts: 4
  epochs: 1
  batch_size: 8
  language: off
  backbone: {name: vit_paperbirds_patch8_64, weights: none, image_size: 64}
  tuning: {width: 16}
  concept_width: 32
  refinement: {heads: 2}
seeds: [0, 1]
tables:
  - name: bits
    rows: {num_bits: [16, 32]}
"""


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
