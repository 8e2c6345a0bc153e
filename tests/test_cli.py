"""The commands as a user meets them: help, plan, schema, and one trial without Ray and MLflow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import typer
from mlflow import MlflowClient
from mlflow.entities import RunTag
from safetensors.torch import load_file

from concepthash import cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
COMMANDS = sorted(typer.main.get_command(cli.app).commands)

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


# --- words -----------------------------------------------------------------------------------


def test_the_commands_are_these():
    expected = ["evaluate", "import-checkpoint", "plan", "report", "run", "schema", "trial", "ui"]
    assert expected == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert re.search(rf"concepthash-study {name}\b", README.read_text(encoding="utf-8")), (
        f"README.md does not show `concepthash-study {name}`"
    )


def test_the_readme_names_no_command_and_no_option_that_there_is_not(main):
    text = README.read_text(encoding="utf-8")
    assert set(re.findall(r"\bconcepthash-study ([a-z-]+)\b", text)) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_help(main, name):
    assert f"concepthash-study {name}" in main(name, "--help")
    command = typer.main.get_command(cli.app).commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, typer.core.TyperOption):
            assert parameter.help, f"{name} {parameter.opts[0]}"


def test_a_released_checkpoint_is_imported(main, tmp_path):
    golden = load_file(README.parent / "tests" / "golden" / "language.safetensors")
    state = {k.removeprefix("state."): t for k, t in golden.items() if k.startswith("state.")}
    torch.save(state, tmp_path / "best.pth")
    out = tmp_path / "out.safetensors"
    said = main("import-checkpoint", str(tmp_path / "best.pth"), str(out), "--num-heads", "4")
    assert said.strip() == f"{out}: 12 bits from 3 concepts, 7 classes"
    assert out.is_file()


def test_help_names_every_command(main):
    shown = main("--help")
    assert all(re.search(rf"\b{name}\b", shown) for name in COMMANDS)


def test_the_console_script_is_this_command():
    script = Path(sys.executable).with_name("concepthash-study")
    if not script.exists():
        pytest.skip("the package is not installed")
    ran = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "concepthash-study" in ran.stdout


# --- schema ----------------------------------------------------------------------------------


def test_schema_prints_a_json_schema_that_takes_a_study(main):
    schema = json.loads(main("schema"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    study: dict[str, Any] = {
        "name": "x",
        "dataset": {"name": "paperbirds"},
        "tables": [{"name": "t", "rows": {"num_bits": [16]}}],
    }
    kind(schema).validate(study)
    assert not kind(schema).is_valid(study | {"seed": [0]})


# --- plan ------------------------------------------------------------------------------------


def test_plan_as_json_lists_tables_cells_and_trials(folder, main):
    plan = json.loads(main("plan", "study.yaml", "--json"))
    assert plan["study"] == "tiny"
    (table,) = plan["tables"]
    assert (table["name"], table["metric"]) == ("bits", "test/map")
    cells = [(cell["row"], cell["column"]) for cell in table["cells"]]
    assert cells == [("16 bits", "baseline"), ("32 bits", "baseline")]
    digests = [digest for cell in table["cells"] for digest in cell["trials"]]
    assert digests == [trial["digest"] for trial in plan["trials"]]
    assert [trial["seed"] for trial in plan["trials"]] == [0, 1, 0, 1]
    assert not any(trial["done"] for trial in plan["trials"])


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_plan_needs_no_data_and_leaves_nothing_behind(folder, main, form):
    before = sorted(folder.rglob("*"))
    missing = ["--set", "dataset={name: cub, root: nowhere}"]
    assert main("plan", "study.yaml", *missing, *form)
    assert main("plan", "study.yaml", *form)
    assert sorted(folder.rglob("*")) == before


def test_set_changes_the_plan(folder, main):
    shown = main("plan", "study.yaml", "--set", "seeds=[7]", "--set", "tables.0.name=other")
    assert "table other (test/map)" in shown
    assert shown.splitlines()[-1] == "2 of 2 trials to train"
    plan = json.loads(main("plan", "study.yaml", "--json", "--set", "baseline.epochs=2"))
    digests = {trial["digest"] for trial in plan["trials"]}
    as_written = json.loads(main("plan", "study.yaml", "--json"))
    assert digests.isdisjoint(trial["digest"] for trial in as_written["trials"])


def test_plan_marks_the_trials_that_the_store_has_finished(folder, main):
    a, b, c, d = (
        trial["digest"] for trial in json.loads(main("plan", "study.yaml", "--json"))["trials"]
    )
    uri = f"sqlite:///{folder}/other.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("tiny", artifact_location=str(folder / "artifacts"))
    for digest, status in ((a, "FINISHED"), (b, "FAILED"), (c, "RUNNING")):
        run = client.create_run(experiment, tags={"kind": "trial", "digest": digest})
        client.log_batch(run.info.run_id, tags=[RunTag("seed", "0")])
        client.update_run(run.info.run_id, status=status)
    planned = ["plan", "study.yaml", "--tracking-uri", uri]
    assert main(*planned).splitlines() == [
        "tiny: A tiny study",
        "",
        "table bits (test/map)",
        f"  16 bits | baseline  {a}* {b}!",
        f"  32 bits | baseline  {c}~ {d}",
        "",
        "3 of 4 trials to train; * = trained; ! = failed; ~ = not finished",
    ]
    done = [trial["done"] for trial in json.loads(main(*planned, "--json"))["trials"]]
    assert done == [True, False, False, False]


def test_the_store_may_be_named_by_the_environment(folder, main, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/study.yaml")
    monkeypatch.setattr(sys, "argv", ["concepthash-study", "plan", "study.yaml"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2  # study.yaml is no database: so it was asked


# --- trial -----------------------------------------------------------------------------------


@pytest.fixture
def one_thread():
    """As much as so small a model can use; more threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


PROBE = """
import sys
from concepthash import cli
try:
    cli.main()
finally:
    heavy = {"ray", "mlflow", "optuna"} & {name.partition(".")[0] for name in sys.modules}
    print("imported:", sorted(heavy))
"""


def test_trial_trains_one_trial_in_its_own_process_without_ray_and_mlflow(folder, main):
    plan = json.loads(main("plan", "study.yaml", "--json", "--set", "baseline.num_bits=8"))
    digest = plan["tables"][0]["cells"][1]["trials"][1]
    settings = ["--set", "baseline.num_bits=8", "--out", "kept"]
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, "trial", "study.yaml", "--id", digest[:6], *settings],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    metrics, imported = ran.stdout.splitlines()
    assert imported == "imported: []"
    words = metrics.split()
    values = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    assert values["epoch"] == 1
    assert {"lr", "train/total", "val/map", "test/map", "test/quantization_error"} <= set(values)
    assert all(0 <= values[name] <= 1 for name in ("val/map", "test/map"))
    kept = sorted(path.name for path in Path("kept").iterdir())
    assert kept == [
        "checkpoint.json",
        "codes.safetensors",
        "epoch-0001.safetensors",
        "model.safetensors",
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["kept", "study.yaml"]


def test_codes_that_a_trial_kept_are_evaluated_without_its_images(folder, main, one_thread):
    digest = json.loads(main("plan", "study.yaml", "--json"))["trials"][0]["digest"]
    line = main("trial", "study.yaml", "--id", digest, "--out", "kept").strip()
    codes = "kept/codes.safetensors"
    text = main("evaluate", codes, "--metric", "map", "--metric", "precision@5")
    map_, precision = text.splitlines()[-2:]
    reported = dict(zip(line.split()[::2], line.split()[1::2], strict=True))
    assert map_.split() == ["map", reported["test/map"]]
    assert 0 <= float(precision.removeprefix("  precision@5 ")) <= 1
    every = json.loads(main("evaluate", codes, "--json"))
    assert every["metrics"]["map"] == pytest.approx(float(reported["test/map"]), abs=1e-3)
    one = main("evaluate", codes, "--concept", "1", "--mean-center", "--metric", "cost", "--json")
    assert json.loads(one)["metrics"]["cost"]["bits"] == 4
    assert (json.loads(one)["concept"], json.loads(one)["mean_center"]) == (1, "on")


def test_codes_of_a_mean_centered_trial_are_evaluated_as_the_trial_did(folder, main, one_thread):
    settings = ["--set", "baseline.mean_center=on"]
    digest = json.loads(main("plan", "study.yaml", "--json", *settings))["trials"][0]["digest"]
    words = main("trial", "study.yaml", "--id", digest, "--out", "kept", *settings).split()
    result = json.loads(main("evaluate", "kept/codes.safetensors", "--metric", "map", "--json"))
    assert result["mean_center"] == "on"
    reported = float(words[words.index("test/map") + 1])
    assert result["metrics"]["map"] == pytest.approx(reported, rel=1e-3)
    plain = json.loads(
        main("evaluate", "kept/codes.safetensors", "--metric", "map", "--no-mean-center", "--json")
    )
    assert plain["metrics"]["map"] != pytest.approx(reported, rel=1e-3)


def test_a_model_that_a_trial_kept_gives_the_same_codes_on_the_studys_images(
    folder, main, one_thread
):
    digest = json.loads(main("plan", "study.yaml", "--json"))["trials"][0]["digest"]
    main("trial", "study.yaml", "--id", digest, "--out", "kept")
    asked = ["--metric", "map", "--metric", "concept_maps", "--json"]
    of_codes = json.loads(main("evaluate", "kept/codes.safetensors", *asked))
    # The study's own baseline has other bits: the model's configuration is what counts.
    of_model = json.loads(
        main("evaluate", "kept/model.safetensors", "--study", "study.yaml", *asked)
    )
    assert of_model["metrics"] == of_codes["metrics"]
    assert of_model["dataset"] == "paperbirds"


def test_a_model_without_a_study_is_told_from_codes(folder, main, one_thread, capsys, monkeypatch):
    digest = json.loads(main("plan", "study.yaml", "--json"))["trials"][0]["digest"]
    main("trial", "study.yaml", "--id", digest, "--out", "kept")
    monkeypatch.setattr(sys, "argv", ["concepthash-study", "evaluate", "kept/model.safetensors"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("kept/model.safetensors: is a model, not codes")


def test_trial_prints_a_line_an_epoch_and_tests_after_the_last(folder, main, one_thread):
    settings = ["--set", "baseline.epochs=2", "--set", "baseline.precision=fp32"]
    plan = json.loads(main("plan", "study.yaml", "--json", *settings))
    lines = main("trial", "study.yaml", "--id", plan["trials"][0]["digest"], *settings).splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1"], ["epoch", "2"]]
    assert ["test/map" in line for line in lines] == [False, True]
    assert sorted(path.name for path in folder.iterdir()) == ["study.yaml"]
