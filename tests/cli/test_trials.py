"""A trial that a search sampled: found, shown, trained again by the command of its report."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from cli_stores import SEARCH, record

from concepthash.errors import InputError

CHANGE = "baseline.concept_width=16"


@pytest.fixture
def sampled(folder, database):
    """The digest of the best trial of a search that ran with --set, in the folder of its store."""
    Path("studies").mkdir()
    Path("studies/search.yaml").write_text(SEARCH)
    return record(folder, "studies/search.yaml", CHANGE).digest


def test_the_commands_that_a_report_prints_name_file_settings_and_best_trial_and_work(
    sampled, main, one_thread
):
    main("report", "weights")
    text = Path("reports/weights/report.md").read_text(encoding="utf-8")
    run, trial = re.findall(r"^concepthash-study .*$", text, re.MULTILINE)
    named = f"studies/search.yaml --set {CHANGE}"
    assert run == f"concepthash-study run {named}"
    assert trial == f"concepthash-study trial {named} --id {sampled}"
    page = Path("reports/weights/report.html").read_text(encoding="utf-8")
    assert f"<pre>{run}\n{trial}</pre>" in page
    words = main(*shlex.split(trial)[1:]).split()
    assert words[:2] == ["epoch", "1"]
    assert 0 <= float(words[words.index("test/map") + 1]) <= 1


def test_a_report_of_a_file_names_that_file_and_its_store(sampled, main, tmp_path_factory):
    store = f"sqlite:///{Path.cwd()}/mlflow.db"
    named = ["studies/search.yaml", "--set", CHANGE, "--tracking-uri", store]
    main("report", *named)
    text = Path("reports/weights/report.md").read_text(encoding="utf-8")
    assert shlex.join(["concepthash-study", "run", *named]) in text


def test_a_sampled_trial_of_another_space_is_no_trial_of_the_study(sampled, main):
    with pytest.raises(InputError, match="no trial of weights"):
        _call("trial", "studies/search.yaml", "--id", sampled)  # without the --set


def _call(*arguments: str) -> None:
    from concepthash import cli

    cli.app(list(arguments), standalone_mode=False)


def test_show_prints_a_trial_by_the_beginning_of_its_digest(sampled, main):
    text = main("show", sampled[:6])
    assert text.startswith(f"{sampled}: finished; study weights, seed 0\n")
    assert "  loss.quantization  2.0  (baseline: 1.0)\n" in text
    shown = json.loads(main("show", sampled, "--json"))
    assert shown["digest"] == sampled
    assert shown["difference"] == {"loss.quantization": ["1.0", "2.0"]}
    assert shown["metrics"]["test/map"] == 0.75


def test_plan_warns_where_another_file_was_run_under_the_same_name(sampled, main, capsys):
    Path("other.yaml").write_text(SEARCH)
    _call("plan", "other.yaml")
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {Path('studies/search.yaml').resolve()} was run as study ")
    _call("plan", "studies/search.yaml")
    Path("studies/search.yaml").rename("moved.yaml")
    _call("plan", "moved.yaml")
    assert capsys.readouterr().err == ""


def test_plan_counts_a_search_and_lists_its_best_trials(sampled, main):
    planned = main("plan", "studies/search.yaml", "--set", CHANGE).splitlines()
    assert planned[2] == "search weights: 2 trials (2 trained, 0 pruned, 0 left), over"
    assert planned[5] == f"    0.7500  {sampled}  loss.quantization = 2.0"
