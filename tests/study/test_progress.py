"""What a person sees while a study runs."""

import io

import pytest
from rich.console import Console

from concepthash.plan import Trial
from concepthash.spec import PaperbirdsSpec, TrialSpec
from concepthash.study.progress import Progress

ONE, TWO = (
    Trial(dataset=PaperbirdsSpec(name="paperbirds"), spec=TrialSpec(epochs=4), seed=seed)
    for seed in (0, 1)
)


def progress(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    return Progress(total=5, done=3, epochs=8, console=console)


def test_without_a_terminal_every_event_is_a_plain_line():
    shown = progress(terminal=False)
    with shown.shown():
        shown.start(ONE)
        shown.epoch(ONE.digest, {"epoch": 1, "train/total": 9.5})
        shown.epoch(ONE.digest, {"epoch": 2, "train/total": 7.25, "val/map": 0.5})
        shown.finish(ONE.digest, "done, test/map 0.600")
    lines = shown.console.file.getvalue().splitlines()
    assert lines[0] == f"[3/5 trials done, 1 running, 0 failed] {ONE.digest} seed 0: started"
    assert lines[1].endswith(f"{ONE.digest} seed 0: epoch 2/4, loss 7.250, val/map 0.500")
    assert lines[2].endswith(f"{ONE.digest} seed 0: done, test/map 0.600")
    assert lines[2].startswith("[4/5 trials done, 0 running, 0 failed]")
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)


def test_a_terminal_shows_a_table_of_the_running_trials_and_keeps_failures():
    shown = progress(terminal=True)
    with shown.shown():
        shown.start(ONE)
        shown.start(TWO)
        shown.epoch(TWO.digest, {"epoch": 3, "train/total": 6.5, "val/map": 0.25})
        shown._live.refresh()
        shown.finish(ONE.digest, "failed: TrainingError: the loss is nan")
    text = shown.console.file.getvalue()
    assert "3/4" in text
    assert "0.250" in text
    assert f"{ONE.digest} seed 0: failed: TrainingError: the loss is nan" in text
    assert "1 failed" in text


def test_the_time_left_goes_by_the_epochs_that_are_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    shown = progress(terminal=False)
    shown.start(ONE)
    assert shown.seconds_left() is None
    now[0] += 20
    shown.epoch(ONE.digest, {"epoch": 1})
    shown.epoch(ONE.digest, {"epoch": 2})
    assert shown.seconds_left() == pytest.approx(10 * 6)
    shown.finish(ONE.digest, "failed: out of memory")  # its two other epochs will not come
    assert shown.seconds_left() == pytest.approx(10 * 4)


def test_a_pruned_trial_is_counted_apart():
    shown = progress(terminal=False)
    shown.start(ONE)
    shown.epoch(ONE.digest, {"epoch": 1, "val/map": 0.1})
    shown.finish(ONE.digest, "pruned after epoch 1")
    assert shown.summary() == "3/5 trials done, 0 running, 1 pruned, 0 failed"
