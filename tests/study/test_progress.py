"""What a person sees while a study runs."""

from __future__ import annotations

import io

import pytest
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


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(*, terminal: bool, width: int = 100) -> Progress:
    """Three of six trials are trained; the clock stands still."""
    state = state_of(PLAN, {trial.digest: Earlier("run", "finished") for trial in DONE})
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, record=True)
    return Progress(state, console, clock=Clock())


def start(shown: Progress, trial) -> TrialState:
    shown.state.started(trial, at=shown.clock())
    shown.started(trial.digest)
    return shown.state.trials[trial.digest]


def report(shown: Progress, trial, metrics: dict[str, float], *, after: float = 6.0) -> None:
    """An epoch that took so many seconds."""
    shown.clock.now += after  # type: ignore[attr-defined]
    shown.state.reported(trial.digest, metrics, at=shown.clock())
    shown.reported(trial.digest)


def screen(shown: Progress) -> list[str]:
    """The lines that the live view draws now."""
    shown.console.export_text()
    shown.console.print(shown)
    return [line.rstrip() for line in shown.console.export_text().splitlines()]


def end(shown: Progress, trial, *outcome: str) -> None:
    shown.state.ended(trial.digest, *outcome)
    shown.ended(trial.digest)


def printed(shown: Progress) -> str:
    return shown.console.file.getvalue()  # type: ignore[attr-defined]


def test_without_a_terminal_every_epoch_is_a_plain_line():
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
        f"[3/6 trials done, 1 running, 0 failed, 1 min 06 s left] {name}: epoch 1/4, loss 9.500",
        "[3/6 trials done, 1 running, 0 failed, 1 min 00 s left]"
        f" {name}: epoch 2/4, loss 7.250, val/map 0.500",
        "[3/6 trials done, 1 running, 0 failed, 0 min 48 s left]"
        f" {name}: epoch 4/4, loss 7.000, val/map 0.500",
        f"[4/6 trials done, 0 running, 0 failed] {name}: done, test/map 0.600",
    ]


def test_without_a_terminal_quick_epochs_share_a_line_every_few_seconds():
    shown = progress(terminal=False)
    start(shown, FIRST)
    start(shown, SECOND)
    for epoch in range(1, 101):
        report(shown, FIRST, {"epoch": epoch, "train/total": 1.0}, after=0.1)
        report(shown, SECOND, {"epoch": epoch, "train/total": 1.0}, after=0.1)
    lines = [line for line in printed(shown).splitlines() if "epoch" in line]
    assert len(lines) == 4  # at 0.1, 5.1, 10.1 and 15.1 s


def test_a_terminal_shows_a_table_of_the_running_trials_and_keeps_failures():
    shown = progress(terminal=True)
    with shown.shown():
        start(shown, FIRST)
        start(shown, SECOND)
        report(shown, SECOND, {"epoch": 3, "train/total": 6.5, "val/map": 0.25})
        shown._live.refresh()
        end(shown, FIRST, "failed", "TrainingError: the loss is NaN")
    text = printed(shown)
    assert "[red], seed 1" in text
    assert "3/4" in text
    assert "0.250" in text
    assert f"[red], seed 0 ({FIRST.digest}): failed: TrainingError: the loss is NaN" in text
    assert "1 failed" in text


@pytest.mark.parametrize("width", [80, 110])
def test_the_live_view_has_bar_and_table_in_lines_of_their_own(width):
    shown = progress(terminal=True, width=width)
    start(shown, FIRST)
    start(shown, SECOND)
    report(shown, SECOND, {"epoch": 3, "train/total": 6.5, "val/map": 0.25})
    header, bar, titles, first, second = screen(shown)
    assert header == "3/6 trials done, 2 running, 0 failed, 0 min 24 s left"
    assert set(bar) <= set("━╸╺")
    assert titles.split() == ["trial", "epoch", "loss", "val", "mAP"]
    # By what a person called them, not by digest.
    assert first.split() == ["[red],", "seed", "0", "loading", "-", "-"]
    assert second.split() == ["[red],", "seed", "1", "3/4", "6.500", "0.250"]


def test_the_live_view_cuts_long_names_and_no_numbers():
    shown = progress(terminal=True, width=80)
    start(shown, FIRST)
    shown.state.trials[FIRST.digest].label = "without " * 30
    report(shown, FIRST, {"epoch": 3, "train/total": 6.5, "val/map": 0.25})
    *_, row = screen(shown)
    assert row.split()[-3:] == ["3/4", "6.500", "0.250"]
    assert "…" in row
    assert len(row) <= 80


def test_time_left_falls_with_each_epoch_and_while_an_epoch_is_trained():
    shown = progress(terminal=True)
    start(shown, FIRST)
    report(shown, FIRST, {"epoch": 1}, after=30.0)  # in which the worker loaded its libraries
    left = []
    for epoch in (2, 3, 4):
        report(shown, FIRST, {"epoch": epoch}, after=10.0)
        left.append(shown.state.seconds_left(shown.clock()))
    assert left == [100.0, 90.0, 80.0]
    late = [shown.state.seconds_left(shown.clock() + s) for s in (0, 5, 10, 60)]
    assert late == [80.0, 75.0, 70.0, 70.0]


def test_a_trial_that_has_fallen_silent_is_named_again_each_time_it_was_twice_as_long():
    shown = progress(terminal=False)
    name = start(shown, FIRST).name
    for epoch in (1, 2, 3):
        report(shown, FIRST, {"epoch": epoch}, after=10.0)
    for second in range(31, 250):
        shown.clock.now = float(second)
        shown.tick()
    silences = [line for line in printed(shown).splitlines() if "nothing" in line]
    assert silences == [
        f"nothing heard from {name} for 0 min 51 s, 5 times its usual epoch",
        f"nothing heard from {name} for 1 min 42 s, 10 times its usual epoch",
        f"nothing heard from {name} for 3 min 24 s, 20 times its usual epoch",
    ]


def test_the_live_view_names_silent_trials_as_long_as_they_are():
    shown = progress(terminal=True, width=110)
    start(shown, FIRST)
    for epoch in (1, 2):
        report(shown, FIRST, {"epoch": epoch}, after=10.0)
    shown.clock.now += 130.0
    line = "nothing heard from [red], seed 0 for 2 min 10 s, 13 times its usual epoch"
    assert screen(shown)[-1] == line
    report(shown, FIRST, {"epoch": 3})
    assert line not in screen(shown)


def test_the_last_line_of_a_failed_trial_says_why():
    shown = progress(terminal=False)
    name = start(shown, FIRST).name
    end(shown, FIRST, "failed", "ValueError: why")
    last = printed(shown).splitlines()[-1]
    assert last == f"[3/6 trials done, 0 running, 1 failed] {name}: failed: ValueError: why"


def test_a_pruned_trial_of_a_search_is_counted_apart():
    shown = progress(terminal=False)
    sampled = point_at(PLAN.baseline, {"loss.quantization": 0.5}).trial
    shown.state.started(sampled, shown.clock(), "weights", "L_quan = 0.5")
    report(shown, sampled, {"epoch": 1, "val/map": 0.1})
    end(shown, sampled, "pruned")
    name = f"L_quan = 0.5, seed 0 ({sampled.digest})"
    last = printed(shown).splitlines()[-1]
    assert last == f"[3/6 trials done, 0 running, 1 pruned, 0 failed] {name}: pruned after epoch 1"
