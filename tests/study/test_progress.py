"""What a person sees while a study runs."""

from __future__ import annotations

import io

from rich.console import Console

from concepthash.plan import make_plan
from concepthash.spec import StudySpec
from concepthash.study.points import point_at
from concepthash.study.progress import Progress
from concepthash.study.state import TrialState, state_of
from concepthash.tracking.runs import Earlier

PLAN = make_plan(
    StudySpec.model_validate_json(
        """{"name": "small", "dataset": {"name": "paperbirds"}, "seeds": [0, 1, 2, 3, 4],
            "baseline": {"epochs": 4}, "tables": [
                {"name": "t", "rows": [{"label": "[red]"}]},
                {"name": "weights", "search": {"trials": 1, "space":
                    {"loss.quantization": {"low": 0.1, "high": 10}}}}]}"""
    )
)
FIRST, SECOND, *DONE = PLAN.trials.values()


def progress(*, terminal: bool) -> Progress:
    """Three of six trials are trained; the clock stands still."""
    state = state_of(PLAN, {trial.digest: Earlier("run", "finished") for trial in DONE})
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    return Progress(state, console, clock=lambda: 0.0)


def start(shown: Progress, trial) -> TrialState:
    shown.state.started(trial, at=0.0)
    shown.started(trial.digest)
    return shown.state.trials[trial.digest]


def report(shown: Progress, trial, metrics: dict[str, float]) -> None:
    shown.state.reported(trial.digest, metrics)
    shown.reported(trial.digest, metrics)


def end(shown: Progress, trial, *outcome: str) -> None:
    shown.state.ended(trial.digest, *outcome)
    shown.ended(trial.digest)


def printed(shown: Progress) -> str:
    return shown.console.file.getvalue()  # type: ignore[attr-defined]


def test_without_a_terminal_every_event_is_a_plain_line():
    shown = progress(terminal=False)
    with shown.shown():
        name = start(shown, FIRST).name
        report(shown, FIRST, {"epoch": 1, "train/total": 9.5})
        report(shown, FIRST, {"epoch": 2, "train/total": 7.25, "val/map": 0.5})
        report(shown, FIRST, {"epoch": 4, "train/total": 7.0, "test/map": 0.6})
        end(shown, FIRST, "finished")
    assert name == f"[red], seed 0 ({FIRST.digest})"
    assert printed(shown).splitlines() == [
        f"[3/6 trials done, 1 running, 0 failed] {name}: started",
        "[3/6 trials done, 1 running, 0 failed, 0 min 00 s left]"
        f" {name}: epoch 2/4, loss 7.250, val/map 0.500",
        f"[4/6 trials done, 0 running, 0 failed] {name}: done, test/map 0.600",
    ]


def test_a_terminal_shows_a_table_of_the_running_trials_and_keeps_failures():
    shown = progress(terminal=True)
    with shown.shown():
        start(shown, FIRST)
        name = start(shown, SECOND).name
        report(shown, SECOND, {"epoch": 3, "train/total": 6.5, "val/map": 0.25})
        shown._live.refresh()
        end(shown, FIRST, "failed", "TrainingError: the loss is NaN")
    text = printed(shown)
    assert name in text
    assert "3/4" in text
    assert "0.250" in text
    assert f"[red], seed 0 ({FIRST.digest}): failed: TrainingError: the loss is NaN" in text
    assert "1 failed" in text


def test_the_last_line_of_a_failed_trial_says_why():
    shown = progress(terminal=False)
    name = start(shown, FIRST).name
    end(shown, FIRST, "failed", "ValueError: why")
    last = printed(shown).splitlines()[-1]
    assert last == f"[3/6 trials done, 0 running, 1 failed] {name}: failed: ValueError: why"


def test_a_pruned_trial_of_a_search_is_counted_apart():
    shown = progress(terminal=False)
    sampled = point_at(PLAN.baseline, {"loss.quantization": 0.5}).trial
    shown.state.started(sampled, 0.0, "weights", "L_quan = 0.5")
    report(shown, sampled, {"epoch": 1, "val/map": 0.1})
    end(shown, sampled, "pruned")
    name = f"L_quan = 0.5, seed 0 ({sampled.digest})"
    last = printed(shown).splitlines()[-1]
    assert last == f"[3/6 trials done, 0 running, 1 pruned, 0 failed] {name}: pruned after epoch 1"
