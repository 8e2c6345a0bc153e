"""The commands as a user meets them: help, README, schema, plan."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
from mlflow import MlflowClient
from mlflow.entities import RunTag

from concepthash import __version__, cli

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
COMMANDS = sorted(typer.main.get_command(cli.app).commands)


def test_the_commands_are_these():
    on_studies = ["init", "plan", "run", "report", "schema", "ui"]
    on_trials = ["trial", "show", "evaluate", "import-checkpoint"]
    assert sorted([*on_studies, *on_trials]) == COMMANDS


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


def test_help_names_every_command(main):
    shown = main("--help")
    assert all(re.search(rf"\b{name}\b", shown) for name in COMMANDS)


def test_help_leads_from_a_folder_of_images_to_a_report(main):
    shown, readme = main("--help"), README.read_text(encoding="utf-8")
    path = ["init IMAGES", "plan study.yaml", "run study.yaml", "report study.yaml"]
    for text in (shown, readme):
        places = [text.index(f"concepthash-study {command} ") for command in path]
        assert places == sorted(places)
    assert readme.index(f"concepthash-study {path[-1]}") < readme.index("## ")


def test_the_version_is_that_of_the_package(main):
    assert main("--version").split() == ["concepthash-study", __version__]


def test_the_console_script_is_this_command():
    script = Path(sys.executable).with_name("concepthash-study")
    if not script.exists():
        pytest.skip("the package is not installed")
    ran = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "concepthash-study" in ran.stdout


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
