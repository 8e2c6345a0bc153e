"""What each command imports: nothing that takes seconds before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_stores import SEARCH, record

from concepthash.plan import make_plan
from concepthash.spec import load_study
from concepthash.tracking.store import open_store

HEAVY = {
    "torch", "torchvision", "timm", "open_clip", "ray", "mlflow", "optuna", "polars", "scipy",
    "numba", "matplotlib", "pandas", "sqlalchemy", "requests",
}  # fmt: skip
PROBE = """
import sys
from concepthash import cli
try:
    cli.main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def loaded(*arguments: str, exits: int = 0) -> set[str]:
    """The heavy modules that a command has imported when it ends."""
    command = [sys.executable, "-c", PROBE, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == exits, ran.stderr
    return HEAVY & set(ran.stderr.splitlines()[-1].split())


def test_help_loads_nothing():
    assert loaded("--help") == set()


def test_plan_loads_nothing_without_a_store(folder):
    assert loaded("plan", "study.yaml") == set()
    assert loaded("plan", "study.yaml", "--json") == set()


def test_plan_show_and_the_search_of_a_trial_load_nothing_where_there_is_a_store(folder, database):
    Path("search.yaml").write_text(SEARCH)
    sampled = record(folder, "search.yaml")
    assert loaded("plan", "search.yaml") == set()
    assert loaded("show", sampled.digest) == set()
    assert loaded("trial", "search.yaml", "--id", "f" * 12, exits=2) == set()


def test_the_report_of_a_grid_loads_what_draws_it(folder, database):
    store = open_store(None)
    Path("search.yaml").write_text(SEARCH)
    record(folder, "search.yaml")
    assert make_plan(load_study(Path("search.yaml")).spec).study.name in {
        experiment.name for experiment in store.experiments()
    }
    assert loaded("report") == {"polars", "matplotlib"}


def test_a_study_that_is_trained_already_loads_what_its_tables_need(folder, database):
    Path("search.yaml").write_text(SEARCH)
    record(folder, "search.yaml")
    assert loaded("run", "search.yaml") == {"polars"}


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_bad_key_is_told_before_anything_is_loaded(folder, command):
    text = Path("study.yaml").read_text().replace("num_bits: 16", "numbits: 16")
    Path("bad.yaml").write_text(text)
    assert loaded(command, "bad.yaml", exits=2) == set()


def test_run_tells_a_missing_folder_or_file_before_anything_is_loaded(folder):
    settings = ["--set", "dataset={name: cub, root: nowhere}"]
    assert loaded("run", "study.yaml", *settings, exits=2) == set()
    settings = ["--set", "baseline.backbone.weights=missing.safetensors"]
    assert loaded("run", "study.yaml", *settings, exits=2) == set()


@pytest.mark.parametrize("command", ["plan", "run"])
def test_mistakes_of_a_manifest_are_told_with_no_more_than_what_reads_csv(folder, command):
    Path("manifest.csv").write_text(
        "path,label,class_name,split\na.png,0,owl,train\nb.png,2,wren,query\n"
    )
    settings = ["--set", "dataset={name: manifest, root: .}"]
    assert loaded(command, "study.yaml", *settings, exits=2) == {"polars"}
