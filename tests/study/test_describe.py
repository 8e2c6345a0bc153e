"""A plan with its state, in words and as JSON."""

from __future__ import annotations

import json

from plans import CONCEPTS, GRID, WEIGHTS, plan_of, run, sampled

from concepthash.study.describe import as_text, describe, size_in_words
from concepthash.study.state import state_of


def test_a_plan_in_words_marks_trials_and_says_what_is_left():
    plan = plan_of({"name": "bits", "rows": {"num_bits": [16, 32, 64]}}, WEIGHTS, seeds=(0, 1))
    a, b, c, d, e, f = plan.trials
    earlier = {
        a: run("finished", metrics={"time/total_s": 12.0}),
        b: run("failed"),
        c: run("running", epoch=1),
        d: run("interrupted", epoch=1),
        **sampled(plan, "pruned", "weights", loss__quantization=2.0),
    }
    text = as_text(plan, state_of(plan, earlier))
    assert text.splitlines() == [
        "small",
        "",
        "table bits (test/map)",
        f"  16 bits | baseline  {a}* {b}!",
        f"  32 bits | baseline  {c}> {d}~",
        f"  64 bits | baseline  {e}  {f}",
        "",
        "search weights: 5 trials (0 trained, 1 pruned, 4 left), over",
        "  loss.quantization",
        "",
        "8 of 11 trials to train; * = trained; ! = failed; > = running; ~ = not finished",
        # 2 missing ones, the failed one, 3 epochs of those begun, 4 sampled: 34 epochs of 3 s
        "about 1 min 42 s of training, at 3 s an epoch as in the trials that are trained",
    ]


def test_a_search_in_words_has_its_best_trials_first():
    plan = plan_of(WEIGHTS)
    better = sampled(plan, "finished", "weights", loss__quantization=2.0)
    worse = sampled(plan, "finished", "weights", loss__quantization=3.0)
    ((good, first),), ((bad, second),) = better.items(), worse.items()
    earlier = {
        bad: second._replace(metrics={"val/map": 0.25}),
        good: first._replace(metrics={"val/map": 0.5}),
    }
    assert as_text(plan, state_of(plan, earlier)).splitlines()[2:] == [
        "search weights: 5 trials (2 trained, 0 pruned, 3 left), over",
        "  loss.quantization",
        "  its best by val/map:",
        f"    0.5000  {good}  loss.quantization = 2.0",
        f"    0.2500  {bad}  loss.quantization = 3.0",
        "",
        "3 of 5 trials to train",
    ]
    described = describe(plan, state_of(plan, earlier))
    assert described["tables"][0]["trials"] == [good, bad]
    assert {t["digest"]: t["configuration"]["loss.quantization"] for t in described["trials"]} == {
        good: 2.0,
        bad: 3.0,
    }


def test_the_size_of_a_study_counts_what_its_searches_sample():
    assert size_in_words(plan_of(GRID)) == "4 trials"
    assert size_in_words(plan_of(WEIGHTS)) == "5 trials of search weights"
    assert size_in_words(plan_of(GRID, WEIGHTS)) == "4 trials, 5 trials of search weights"


def test_a_plan_in_json_has_the_status_of_each_trial():
    plan = plan_of(GRID, CONCEPTS)
    done, failed, *_ = plan.trials
    described = describe(plan, state_of(plan, {done: run("finished"), failed: run("failed")}))
    assert json.loads(json.dumps(described)) == described
    grid, search = described["tables"]
    assert [cell["trials"] for cell in grid["cells"]] == [[digest] for digest in plan.trials]
    assert (search["metric"], search["cells"], search["trials_left"]) == ("test/map", [], 3)
    assert described["trials"][0] == {
        "digest": done,
        "seed": 0,
        "label": "16 bits, batch_size = 8",
        "status": "finished",
        "done": True,
        "metrics": {},
        "configuration": plan.trials[done].parameters(),
    }
    assert [trial["status"] for trial in described["trials"]] == [
        "finished", "failed", "missing", "missing"
    ]  # fmt: skip
    assert described["left"] == {"trials": 6, "epochs": 24}
