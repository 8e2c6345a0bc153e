"""`concepthash-study run`, end to end: real Ray Tune, real MLflow, real training."""

from __future__ import annotations

import shutil
import signal
import socket

import polars as pl
import psutil
import pytest
from polars.testing import assert_frame_equal
from study_commands import Workplace, sets, wait_for_line, workers_of

from concepthash.errors import InputError
from concepthash.study.lock import study_lock
from concepthash.study.points import point_at
from concepthash.study.run import Outcome, run_study
from concepthash.study.state import state_of
from concepthash.tracking.frame import read_study
from concepthash.tracking.recorder import Recorder


def test_a_study_of_two_cells_becomes_runs_and_a_report(workplace):
    code, output = workplace.call("run", workplace.file)
    assert code == 0
    assert "2 of 2 trials trained" in output
    assert "guided, seed 0" in output
    assert "Traceback" not in output
    shown = output[output.index("\nGuidance\n") :].splitlines()
    assert [line.split("  ")[1] for line in shown[3:5]] == ["guided", "free centers"]
    assert "next: concepthash-study report small.yaml\n" in output

    trials = workplace.trials()
    assert trials["status"].to_list() == ["finished", "finished"]
    assert trials["test/map"].is_between(0, 1).all()
    assert set(trials["params/language.source"].to_list()) == {"open_clip", None}
    # A trained trial keeps its model; its codes are in the store, and it goes on no more.
    kept = [path for path in workplace.folder.glob("storage/small/**/*") if path.is_file()]
    assert sorted(path.name for path in kept) == ["model.safetensors"] * 2 + ["running.lock"]

    # A second run finds everything trained.
    outcome = run_study(workplace.plan(), workplace.store, source=workplace.file)
    assert outcome == Outcome(total=2, done=2, failed=0, interrupted=False)
    assert workplace.trials().equals(trials)
    code, again = workplace.call("run", workplace.file)
    assert code == 0
    assert "\n".join(shown) in again

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


def test_a_trained_trial_whose_end_was_not_recorded_is_trained_again(workplace):
    only = sets("tables.0.rows=[{label: guided}]")
    assert workplace.call("run", workplace.file, *only)[0] == 0
    before = workplace.trials()
    (trained,) = workplace.earlier().values()
    workplace.store.client.set_terminated(trained.run_id, "KILLED")
    code, output = workplace.call("run", workplace.file, *only)
    assert code == 0
    assert "1 of 1 trials trained" in output
    numbers = ["digest", "status", "test/map", "train/total"]
    assert_frame_equal(workplace.trials().select(numbers), before.select(numbers))
    models = list(workplace.folder.glob("storage/**/*.safetensors"))
    assert [path.name for path in models] == ["model.safetensors"]


def test_a_trial_whose_numbers_diverge_fails_and_the_others_go_on(workplace):
    rows = sets("tables.0.rows=[{label: good}, {label: diverges, optimizer.lr: 1.0e+6}]")
    code, output = workplace.call("run", workplace.file, *rows)
    assert code == 3
    assert "1 of 2 trials trained, 1 failed" in output
    assert "Traceback" not in output
    failures = dict(workplace.trials().select("status", "failure").rows())
    assert failures["finished"] is None
    # In its only step of an epoch the loss is still a number, the codes after it are NaN.
    assert "TrainingError: the model diverged" in failures["failed"]


def test_a_trial_whose_worker_is_killed_goes_on_from_its_last_epoch(workplace):
    changes = sets("baseline.epochs=40", "resources.cpu=0.5")
    run = workplace.start("run", workplace.file, *changes)
    wait_for_line(run, "epoch ")
    wait_for_line(run, "epoch ")  # seconds later, so that both have reported
    workers_of(psutil.Process(run.pid))[0].kill()
    output, _ = run.communicate(timeout=200)
    print(output)
    assert run.returncode == 0
    assert "2 of 2 trials trained" in output
    assert workplace.trials()["status"].to_list() == ["finished", "finished"]
    # Every epoch of both trials is recorded, and the one that went on has the numbers of one
    # that was left alone.
    history = read_study(workplace.store, "small").history
    steps = history.filter(metric="train/total").group_by("digest").agg(pl.col("step").sort())
    assert steps["step"].to_list() == [list(range(1, 41))] * 2
    (workplace.folder / "undisturbed").mkdir()
    undisturbed = Workplace(workplace.folder / "undisturbed")
    assert undisturbed.call("run", undisturbed.file, *changes)[0] == 0
    numbers = ["digest", "train/total", "test/map", "test/cosine_map"]
    assert_frame_equal(
        workplace.trials().select(numbers),
        undisturbed.trials().select(numbers),
        check_exact=True,
        check_row_order=False,
    )


def test_a_search_samples_prunes_and_goes_on(workplace):
    search = (
        "tables=[{name: weights, search: {trials: 3, space:"
        " {loss.quantization: {low: 0.1, high: 10, log: true}, num_concepts: {choices: [2, 4]}}}}]"
    )
    epochs = ("baseline.epochs=3", "baseline.validate_every=2")
    code, _ = workplace.call("run", workplace.file, *sets(*epochs, search))
    assert code == 0
    first = workplace.trials()
    assert len(first) == 3
    assert set(first["status"].to_list()) <= {"finished", "pruned"}
    assert first["params/loss.quantization"].cast(pl.Float64).is_between(0.1, 10).all()
    assert first["val/map"].is_not_null().all()

    more = search.replace("trials: 3", "trials: 4")
    code, _ = workplace.call("run", workplace.file, *sets(*epochs, more))
    assert code == 0
    second = workplace.trials()
    assert len(second) == 4
    assert set(first["digest"].to_list()) < set(second["digest"].to_list())


def test_a_search_of_few_combinations_trains_each_once_and_ends(workplace):
    """A cell trains one of three: only the chosen member of `tuning` has a width."""
    tables = (
        "tables=[{name: g, rows: [{label: baseline}]}, {name: s, search: {trials: 9, space:"
        " {tuning: {choices: [full, adapters]}, tuning.width: {choices: [8, 16]}}}}]"
    )
    code, output = workplace.call("run", workplace.file, *sets(tables))
    assert code == 0
    assert "3 of 3 trials trained" in output
    trained = workplace.trials().select("table", "params/tuning.name", "params/tuning.width")
    assert sorted(trained.rows(), key=str) == [
        ("s", "adapters", "16"),
        ("s", "adapters", "8"),
        (None, "full", None),
    ]
    assert state_of(workplace.plan(tables), workplace.earlier()).counts.left == 0


@pytest.mark.parametrize("left", ["a trial", "an interrupted trial", "nothing", "a search"])
def test_trials_of_two_states_of_the_data_are_not_mixed(workplace, left):
    """Nor a trial with itself: an interrupted one does not go on with other images."""
    search = "tables=[{name: s, search: {space: {num_bits: {choices: [8, 16]}}, trials: 2}}]"
    plan = workplace.plan(*([search] if left == "a search" else []))
    recorder = Recorder(workplace.store, plan, {"data": "0123456789abcdef"})
    recorder.open()
    if left == "a search":
        values = {"num_bits": 8}
        first = point_at(plan.baseline, values).trial
        recorder.begin(first, device="cpu", threads=1, table="s", sampled=values)
        recorder.prune(first.digest)
    else:
        first, second = plan.trials.values()
        recorder.begin(first, device="cpu", threads=1)
        if left != "an interrupted trial":
            recorder.finish(first.digest, None)
        if left == "nothing":
            recorder.begin(second, device="cpu", threads=1)
            recorder.finish(second.digest, None)
    recorder.close("KILLED")
    with pytest.raises(InputError, match=f"trial {first.digest} .* 0123456789abcdef, now"):
        run_study(plan, workplace.store, source=workplace.file)


def test_a_mistake_in_any_choice_of_a_search_is_told_before_anything_trains(workplace):
    space = "{backbone.weights: {choices: [none, away.pth]}, tuning: {choices: [full, adapters]}}"
    table = f"{{name: s, search: {{space: {space}, trials: 2}}}}"
    code, output = workplace.call("run", workplace.file, *sets(f"tables.0={table}"))
    assert code == 2
    assert "away.pth: no such file" in output
    assert len(output.splitlines()) <= 3


def test_one_process_at_a_time_holds_the_lock_of_a_study(tmp_path):
    with study_lock("small", str(tmp_path)):
        with pytest.raises(InputError, match="study small is being run by process"):
            study_lock("small", str(tmp_path)).__enter__()
        with study_lock("another", str(tmp_path)):
            pass
    with study_lock("small", str(tmp_path)):
        pass


def test_an_interrupted_study_goes_on_from_its_last_epoch_in_storage_at_a_uri(workplace):
    changes = ("baseline.epochs=20", "tables.0.rows=[{label: guided}]")
    storage = f"file://{workplace.folder}/checkpoints"
    arguments = ["run", workplace.file, *sets(*changes), "--storage", storage]
    run = workplace.start(*arguments)
    wait_for_line(run, "epoch 1/20")

    # Meanwhile another process is refused. Storage at a URI has no lock; the store knows.
    with pytest.raises(InputError, match=f"process {run.pid} on {socket.gethostname()}"):
        run_study(workplace.plan(*changes), workplace.store, source=workplace.file, storage=storage)

    run.send_signal(signal.SIGINT)
    rest, _ = run.communicate(timeout=120)
    print(rest)
    assert run.returncode == 130
    (interrupted,) = workplace.earlier().values()
    assert interrupted.status == "interrupted"

    run = workplace.start(*arguments)
    wait_for_line(run, "epoch ")
    run.kill()  # no time to record anything
    run.communicate(timeout=60)
    (killed,) = workplace.earlier().values()
    assert killed.epoch > interrupted.epoch >= 1

    code, output = workplace.call(*arguments)
    assert code == 0
    assert "epoch 1/20" not in output
    ((digest, finished),) = workplace.earlier().items()
    assert (finished.run_id, finished.status) == (interrupted.run_id, "finished")
    # Its duration is that of all three runs.
    assert finished.metrics["time/total_s"] > killed.metrics["time/total_s"]
    frames = read_study(workplace.store, "small")
    steps = frames.history.filter(digest=digest, metric="train/total")["step"].to_list()
    assert sorted(set(steps)) == list(range(1, 21))
    assert not (workplace.folder / "storage").exists()
