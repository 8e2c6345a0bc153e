"""`concepthash-study run`, end to end: real Ray Tune, real MLflow, real training."""

import shutil
import signal
import socket

import polars as pl
import pytest

from concepthash.errors import InputError
from concepthash.plan import make_plan
from concepthash.spec import load_study
from concepthash.study import run_study
from concepthash.tracking import Recorder, earlier_trials, open_store, read_study


def store_of(workplace):
    return open_store(f"sqlite:///{workplace.folder}/mlflow.db")


def trials_of(workplace, study="small"):
    return read_study(store_of(workplace), study).trials


def test_a_study_of_two_cells_becomes_runs_and_a_report(workplace):
    code, output = workplace.call("run", workplace.file)
    assert code == 0
    assert "2 of 2 trials trained" in output
    assert "Traceback" not in output

    trials = trials_of(workplace)
    assert trials["status"].to_list() == ["finished", "finished"]
    assert trials["test/map"].is_between(0, 1).all()
    assert set(trials["params/language.source"].to_list()) == {"open_clip", None}
    assert (workplace.folder / "storage" / "small").is_dir()

    # The same command again finds everything done.
    code, output = workplace.call("run", workplace.file)
    assert code == 0
    assert "2 of 2 trials trained" in output
    assert "started" not in output
    assert trials_of(workplace).equals(trials)
    _, output = workplace.call("plan", workplace.file)
    assert "2 distinct trials, 2 done" in output

    # The report needs the runs alone: not the study's file, not what `run` left.
    shutil.rmtree(workplace.folder / "storage")
    workplace.file.unlink()
    code, output = workplace.call("report")
    assert code == 0
    assert output.strip().endswith("reports/small/report.html")
    table = pl.read_csv(workplace.folder / "reports" / "small" / "guidance.csv")
    means = dict(zip(table["row"], table["mean"], strict=True))
    for row in trials.iter_rows(named=True):
        label = "guided" if row["params/language.source"] else "free centers"
        assert means[label] == pytest.approx(row["test/map"])


def test_a_trial_that_fails_is_recorded_and_the_others_go_on(workplace):
    rows = "tables.0.rows=[{label: good}, {label: diverges, optimizer.lr: 1.0e+30}]"
    for _ in ("first", "the failed one is tried again, the good one is not"):
        code, output = workplace.call("run", workplace.file, "--set", rows)
        assert code == 3
        assert "1 of 2 trials trained, 1 failed" in output
        assert "Traceback" not in output
        status = dict(trials_of(workplace).select("status", "failure").rows())
        assert status["finished"] is None
        # In its only step of an epoch the loss is still a number, the codes after it are none.
        assert "TrainingError: the model diverged" in status["failed"]
    assert "[1/2 trials done, 1 running" in output

    workplace.call("report", workplace.file, "--set", rows)
    report = (workplace.folder / "reports" / "small" / "report.md").read_text()
    assert "the model diverged" in report


def test_a_search_samples_prunes_and_goes_on(workplace):
    search = (
        "tables=[{name: weights, search: {trials: 3, space:"
        " {loss.quantization: {low: 0.1, high: 10, log: true}, num_concepts: {choices: [2, 4]}}}}]"
    )
    sets = ["--set", "baseline.epochs=3", "--set", "baseline.validate_every=2"]
    code, _ = workplace.call("run", workplace.file, *sets, "--set", search)
    assert code == 0
    first = trials_of(workplace)
    assert len(first) == 3
    assert set(first["status"].to_list()) <= {"finished", "pruned"}
    assert first["params/loss.quantization"].cast(pl.Float64).is_between(0.1, 10).all()
    assert first["val/map"].is_not_null().all()

    more = search.replace("trials: 3", "trials: 4")
    code, _ = workplace.call("run", workplace.file, *sets, "--set", more)
    assert code == 0
    second = trials_of(workplace)
    assert len(second) == 4
    assert set(first["digest"].to_list()) < set(second["digest"].to_list())


def test_what_a_search_proposes_twice_is_one_trial(workplace):
    search = "tables=[{name: concepts, search: {trials: 5, space: {num_concepts: {choices: [4]}}}}]"
    code, output = workplace.call(
        "run", workplace.file, "--set", search.replace("choices: [4]", "low: 3, high: 4")
    )
    assert code == 2  # 16 bits are not divisible by 3, and no time was spent on it
    assert "num_concepts=3" in output
    # A table beside the search trains the same trial; then the search proposes it again.
    both = search.replace("tables=[", "tables=[{name: g, rows: [{label: baseline}]}, ")
    code, output = workplace.call("run", workplace.file, "--set", both)
    assert code == 0
    trials = trials_of(workplace)
    assert trials["status"].to_list() == ["finished"]
    assert trials["table"].to_list() == [None]


def test_trials_of_two_states_of_the_data_are_not_mixed(workplace):
    study = load_study(workplace.file)
    planned = make_plan(study.spec)
    trial = next(iter(planned.trials.values()))
    recorder = Recorder(store_of(workplace), study.spec, {"data": "0123456789abcdef"})
    recorder.open()
    recorder.begin(trial, device="cpu", threads=1)
    recorder.finish(trial.digest, None)
    recorder.close("FINISHED")
    with pytest.raises(InputError, match=f"trial {trial.digest} .* 0123456789abcdef, now"):
        run_study(planned, store_of(workplace), source=workplace.file)


def wait_for_line(process, text):
    for line in process.stdout:
        print(line, end="")
        if text in line:
            return
    raise AssertionError(f"the command ended before it said {text!r}")


def test_an_interrupted_study_goes_on_where_it_was(workplace):
    # Long enough that the first run is still at it when the second has started.
    sets = ["--set", "baseline.epochs=80", "--set", "tables.0.rows=[{label: guided}]"]
    run = workplace.start("run", workplace.file, *sets)
    wait_for_line(run, "epoch 1/80")

    # Meanwhile a second run of the study is refused, with this one's process and host.
    code, output = workplace.call("run", workplace.file, *sets)
    assert code == 2
    assert f"process {run.pid} on {socket.gethostname()}" in output

    run.send_signal(signal.SIGINT)
    rest, _ = run.communicate(timeout=120)
    print(rest)
    assert run.returncode == 130
    (interrupted,) = earlier_trials(store_of(workplace), "small").values()
    assert interrupted.status == "KILLED"

    run = workplace.start("run", workplace.file, *sets)
    wait_for_line(run, "epoch ")
    run.kill()  # no time to say goodbye
    run.communicate(timeout=60)

    code, output = workplace.call("run", workplace.file, *sets)
    assert code == 0
    assert "epoch 1/80" not in output
    ((digest, finished),) = earlier_trials(store_of(workplace), "small").items()
    assert (finished.run_id, finished.status) == (interrupted.run_id, "FINISHED")
    frames = read_study(store_of(workplace), "small")
    steps = frames.history.filter(digest=digest, metric="train/total")["step"].to_list()
    assert sorted(set(steps)) == list(range(1, 81))
