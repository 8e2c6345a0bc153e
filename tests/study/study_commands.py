"""A small real study, run through the real command on a local Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from concepthash.plan import Plan, make_plan
from concepthash.spec import load_study
from concepthash.tracking.earlier import earlier_trials
from concepthash.tracking.frame import read_study
from concepthash.tracking.runs import Earlier
from concepthash.tracking.store import Store, open_store

STUDY = """
name: small
dataset: {name: paperbirds, species: 4, families: 2, train_images: 8, test_images: 4}
baseline:
  num_bits: 16
  epochs: 2
  backbone: {name: vit_paperbirds_patch8_64, weights: none, image_size: 64}
  language: {source: open_clip, model: paperbirds, pretrained: none}
  tuning: full
  concept_width: 64
  validate_every: 1
  optimizer: {name: adamw, warmup_epochs: 1}
seeds: [0]
tables:
  - name: guidance
    rows: [{label: guided}, {label: free centers, language: off}]
"""


class Workplace:
    """A folder with the study in it, where commands are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "small.yaml"
        self.file.write_text(STUDY)

    def plan(self, *changes: str) -> Plan:
        """The plan with `KEY=VALUE` changes."""
        return make_plan(load_study(self.file, list(changes)).spec)

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "concepthash", *map(str, arguments)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        env = {**os.environ, **environment}
        return subprocess.Popen(command, cwd=self.folder, env=env, text=True, **pipes)

    def call(self, *arguments: object) -> tuple[int, str]:
        """Exit code and output, which is kept in pytest's report of a failure."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=400)
        print(f"$ concepthash-study {' '.join(map(str, arguments))}\n{output}")
        return process.returncode, output

    @property
    def store(self) -> Store:
        return open_store(f"sqlite:///{self.folder}/mlflow.db")

    def trials(self) -> pl.DataFrame:
        return read_study(self.store, "small").trials

    def earlier(self) -> dict[str, Earlier]:
        return earlier_trials(self.store, "small")


def sets(*changes: str) -> list[str]:
    """`KEY=VALUE` changes as options of a command."""
    return [part for change in changes for part in ("--set", change)]


def wait_for_line(process: subprocess.Popen[str], text: str) -> str:
    """The first line of a command's output with a text in it."""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="")
        if text in line:
            return line
    raise AssertionError(f"the command ended before it printed {text!r}")


def workers_of(ancestor: psutil.Process) -> list[psutil.Process]:
    """The processes below another one that train a trial for Ray Tune."""
    return [
        process
        for process in ancestor.children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE
        and "ray::ImplicitFunc" in " ".join(process.cmdline())
    ]
