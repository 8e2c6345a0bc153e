"""The catalogue of metrics: its functions, directions, what trials report, and unknown names."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import pytest
from evaluation_codes import easy_and_bad, random_saved

from concepthash.errors import InputError
from concepthash.evaluation import metrics
from concepthash.evaluation.catalogue import CATALOGUE, METRICS, METRICS_AT, TABLE_METRICS
from concepthash.evaluation.compute import evaluate, reported
from concepthash.evaluation.saved import Concepts


def test_the_catalogue_and_the_functions_of_metrics_match_one_to_one():
    public = {
        name
        for name, function in inspect.getmembers(metrics, inspect.isfunction)
        if function.__module__ == metrics.__name__ and not name.startswith("_")
    }
    assert sorted(metric.function for metric in CATALOGUE) == sorted(public)
    assert len(METRICS) + len(METRICS_AT) == len(CATALOGUE)  # no name twice


@pytest.mark.parametrize("metric", [m for m in CATALOGUE if m.better], ids=lambda m: m.function)
def test_a_metric_is_better_in_its_direction_on_codes_that_separate_the_classes(metric):
    name = f"{metric.name}@3" if metric.takes else metric.name
    easy, bad = (evaluate(saved, [name])[name] for saved in easy_and_bad())
    if metric.better == "higher":
        assert easy > bad
    else:
        assert easy < bad
    if metric.unit == "%":
        assert 0 <= bad <= 1
        assert 0 <= easy <= 1


def test_every_metric_without_a_number_is_evaluated_by_default_and_json_holds_it():
    values = evaluate(random_saved())
    assert list(values) == list(METRICS)
    assert None not in values.values()
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_a_trial_reports_what_the_catalogue_says_with_the_values_that_evaluate_gives():
    saved = random_saved()
    numbers = reported(saved, "test")
    names = [metric.name for metric in METRICS.values() if "test" in metric.on]
    values = evaluate(saved, [*names, "map_interval"])
    low, high = values.pop("map_interval")
    assert numbers == {
        "test/epoch": 7,
        "test/map_low": low,
        "test/map_high": high,
        **{f"test/{name}": value for name, value in values.items()},
    }
    assert low < numbers["test/map"] < high


def test_validation_needs_codes_and_attention_alone():
    saved = random_saved()
    numbers = reported(replace(saved, concepts=Concepts(saved.concepts.query_attention)), "val")
    assert list(numbers) == [
        "val/map",
        "val/quantization_error",
        "val/bit_balance",
        "val/distinct_codes",
        "val/attention_overlap",
    ]
    assert numbers["val/map"] == reported(saved, "test")["test/map"]


def test_tables_may_show_only_what_trials_report():
    saved = random_saved()
    assert set(TABLE_METRICS) <= {*reported(saved, "test"), *reported(saved, "val")}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("family_mpa", "no such metric; did you mean family_map?"),
        ("precison@10", "no such metric; did you mean precision@10, "),
        ("zzz", "no such metric; evaluate without --metric lists all "),
        ("MAP", "no such metric; did you mean map?"),
        ("precision", "precision takes a rank after @, as in precision@10"),
        ("bit_balance@3", "bit_balance takes no number after @"),
        ("precision@0", "after @ comes a whole number from 1 to 1,000,000,000"),
        ("precision@k", "after @ comes a whole number from 1 to 1,000,000,000"),
        ("map@", "after @ comes a whole number from 1 to 1,000,000,000"),
        ("map@1e9", "after @ comes a whole number from 1 to 1,000,000,000"),
        (f"map@{10**9 + 1}", "after @ comes a whole number from 1 to 1,000,000,000"),
        (f"recall@{'9' * 50}", "after @ comes a whole number from 1 to 1,000,000,000"),
        ("map@\u0663", "after @ comes a whole number from 1 to 1,000,000,000"),  # an Arabic 3
        ("radius_precision@-1", "after @ comes a whole number from 0 to 1,000,000,000"),
    ],
)
def test_an_unknown_metric_or_number_is_one_line_with_what_would_be_right(name, complaint):
    with pytest.raises(InputError) as caught:
        evaluate(random_saved(), ["map", name])
    (line,) = caught.value.lines
    assert line.startswith(f"--metric {name}: {complaint}")
