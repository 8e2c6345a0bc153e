"""A study written into a real store and read back: SQLite files, and a real MLflow server."""

import subprocess
import sys
import time

import pytest
import requests
import torch
from birds import HERE, STUDY, TRIALS, train
from mlflow_stores import end, free_port, wait_until_up

from concepthash.errors import InputError
from concepthash.plan import make_plan
from concepthash.spec import StudySpec
from concepthash.tracking.earlier import earlier_trials
from concepthash.tracking.frame import read_plan, read_study
from concepthash.tracking.recorder import Recorder
from concepthash.tracking.store import Store, open_store


def test_a_trial_is_a_child_run_of_the_study(recorder, store, tmp_path):
    trial = TRIALS[0]
    train(recorder, trial, tmp_path)

    experiment = store.client.get_experiment_by_name("birds")
    parent, child = (store.runs(experiment.experiment_id, kind)[0] for kind in ("study", "trial"))
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["digest"] == trial.digest
    assert child.data.tags["seed"] == str(trial.seed)
    assert child.data.tags["device"] == "cpu"
    assert child.data.tags["threads"] == "1"
    assert child.data.tags["version.torch"] == torch.__version__.split("+")[0]
    assert len(child.data.tags["mlflow.source.git.commit"]) == 40
    assert child.data.params["num_bits"] == "64"
    assert child.data.params["loss.quantization"] == "1.0"
    assert child.data.metrics["test/map"] == 0.5
    history = store.client.get_metric_history(child.info.run_id, "train/total")
    assert [(point.step, point.value) for point in history] == [(1, 9.0), (2, 4.0)]
    files = [file.path for file in store.client.list_artifacts(child.info.run_id)]
    assert files == ["codes.safetensors"]
    assert child.info.status == "FINISHED"


def test_the_frame_has_a_row_a_trial_and_the_curves(recorder, store, tmp_path):
    train(recorder, TRIALS[0], tmp_path)
    recorder.begin(TRIALS[1], device="cpu", threads=1)
    recorder.log(TRIALS[1].digest, {"epoch": 1, "train/total": 8.0}, None, HERE)
    recorder.fail(TRIALS[1].digest, "TrainingError: the loss is NaN")

    frames = read_study(store, "birds")
    rows = {row["digest"]: row for row in frames.trials.iter_rows(named=True)}
    assert rows[TRIALS[0].digest]["status"] == "finished"
    assert rows[TRIALS[0].digest]["test/map"] == 0.5
    assert rows[TRIALS[0].digest]["params/num_concepts"] == "4"
    assert rows[TRIALS[1].digest]["status"] == "failed"
    assert rows[TRIALS[1].digest]["failure"] == "TrainingError: the loss is NaN"
    assert rows[TRIALS[1].digest]["test/map"] is None
    curve = frames.history.filter(digest=TRIALS[0].digest, metric="train/total")
    assert curve.select("step", "value").rows() == [(1, 9.0), (2, 4.0)]
    assert "torch" in frames.provenance["Versions"]


def test_the_study_is_read_back_as_it_ran(recorder, store):
    assert read_plan(store, "birds") == make_plan(STUDY)
    assert read_plan(store, None) == make_plan(STUDY)  # the one that ran last


def test_the_study_that_ran_last_is_the_default(recorder, store):
    later = StudySpec.model_validate(STUDY.model_copy(update={"name": "later"}))
    second = Recorder(store, make_plan(later), {})
    second.open()
    second.close("FINISHED")
    assert read_plan(store, None).study.name == "later"


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        # Schema 1 was the bare study.
        (STUDY.model_dump(mode="json"), "with schema 1 by an older version"),
        ({"schema": 3, "runs": []}, "with schema 3 by a newer version"),
        ({"schema": 2, "study": {"name": "birds"}}, "does not fit this version (dataset: "),
        ([], "is not a JSON object"),
    ],
    ids=["older", "newer", "incomplete", "another file"],
)
def test_a_study_recorded_in_another_layout_is_refused_in_one_line(recorder, store, stored, says):
    store.client.log_dict(recorder.parent, stored, "study.json")
    with pytest.raises(InputError) as caught:
        read_plan(store, "birds")
    (line,) = caught.value.lines
    assert line.startswith(f"{store.uri}: study birds: ")
    assert says in line
    assert "run the study again with this version" in line
    assert "\n" not in line


def test_a_study_whose_file_is_gone_is_refused_in_one_line(recorder, store, tmp_path):
    for file in tmp_path.rglob("study.json"):
        file.unlink()
    with pytest.raises(InputError, match=r"study birds: its study\.json cannot be read"):
        read_plan(store, "birds")


def test_runs_with_missing_tags_are_read_as_far_as_they_go(recorder, store, tmp_path):
    train(recorder, TRIALS[0], tmp_path)
    for tags in ({"kind": "trial"}, {"kind": "trial", "digest": "0123456789ab"}):
        store.client.create_run(recorder.experiment_id, tags=tags)
    store.client.delete_tag(recorder.parent, "last_started")
    frames = read_study(store, "birds")
    seeds = dict(frames.trials.select("digest", "seed").rows())
    assert seeds == {TRIALS[0].digest: TRIALS[0].seed, "0123456789ab": None}
    assert "unknown time" in frames.provenance["Last run"]
    assert earlier_trials(store, "birds").keys() == seeds.keys()
    assert earlier_trials(store, "birds")["0123456789ab"].epoch == 0


def test_an_interrupted_trial_goes_on_in_its_run(recorder, store):
    recorder.begin(TRIALS[0], device="cpu", threads=1)
    recorder.log(TRIALS[0].digest, {"epoch": 1, "train/total": 9.0}, "checkpoints/1", HERE)
    recorder.close("KILLED")
    left = earlier_trials(store, "birds")[TRIALS[0].digest]
    assert (left.status, left.checkpoint, left.epoch) == ("interrupted", "checkpoints/1", 1)

    again = Recorder(store, make_plan(STUDY), {})
    again.open()
    again.begin(TRIALS[0], device="cpu", threads=1)
    again.log(TRIALS[0].digest, {"epoch": 2, "train/total": 4.0}, "checkpoints/2", HERE)
    again.finish(TRIALS[0].digest, None)
    again.close("FINISHED")
    now = earlier_trials(store, "birds")[TRIALS[0].digest]
    assert (now.run_id, now.status) == (left.run_id, "finished")


def test_each_stretch_of_a_trial_says_where_it_came_from(recorder, store):
    """Which code and data, and where it was computed: none of it is that of the whole trial."""
    digest = TRIALS[0].digest
    recorder.begin(TRIALS[0], device="cpu", threads=1)
    recorder.log(digest, {"epoch": 1}, None, HERE)
    recorder.log(digest, {"epoch": 2}, None, HERE)
    recorder.close("KILLED")
    again = Recorder(store, make_plan(STUDY), {"version.torch": "9.9"})
    again.open()
    again.begin(TRIALS[0], device="cuda", threads=4)
    there = {"precision": "bf16", "processor": "NVIDIA H100"}
    again.log(digest, {"epoch": 3}, None, there)
    elsewhere = {"precision": "bf16", "processor": "NVIDIA H200"}
    again.log(digest, {"epoch": 4}, None, elsewhere)  # its worker was lost
    again.finish(digest, None)

    first, second, third = earlier_trials(store, "birds")[digest].segments
    assert first.items() >= {"from_epoch": 0, "device": "cpu", **HERE}.items()
    assert first["version.torch"] != "9.9"
    assert second == {
        "from_epoch": 2,
        "device": "cuda",
        "threads": "4",
        "version.torch": "9.9",
        **there,
    }
    assert third == second | {"from_epoch": 3} | elsewhere
    row = read_study(store, "birds").trials.row(0, named=True)
    assert row["precision"] == "fp32, then bf16"
    assert row["processor"] == "AMD EPYC, then NVIDIA H100, then NVIDIA H200"


def test_a_study_trained_at_two_commits_names_both(recorder, store, tmp_path):
    train(recorder, TRIALS[0], tmp_path)
    recorder.close("FINISHED")
    later = Recorder(store, make_plan(STUDY), {"mlflow.source.git.commit": "b" * 40})
    later.open()
    train(later, TRIALS[1], tmp_path)
    commit = read_study(store, "birds").provenance["Git commit"]
    assert f"; trials were trained at {'b' * 12} (1), " in commit or commit.endswith("bbbb (1)")


def test_a_failed_trial_is_replaced_by_its_next_attempt(recorder, store, tmp_path):
    recorder.begin(TRIALS[0], device="cpu", threads=1)
    recorder.fail(TRIALS[0].digest, "out of memory")
    again = Recorder(store, make_plan(STUDY), {})
    train(again, TRIALS[0], tmp_path)
    frame = read_study(store, "birds").trials
    assert frame["status"].to_list() == ["finished"]


def test_an_unfinished_trial_of_a_search_may_be_sampled_anew(recorder, store, tmp_path):
    sampled = {"table": "weights", "sampled": {"loss.quantization": 2.0}}
    recorder.begin(TRIALS[0], device="cpu", threads=1, **sampled)
    recorder.close("KILLED")
    again = Recorder(store, make_plan(STUDY), {})
    again.open()
    again.discard_interrupted("weights")
    assert earlier_trials(store, "birds") == {}
    again.begin(TRIALS[0], device="cpu", threads=1, **sampled)
    again.finish(TRIALS[0].digest, None)
    again.close("FINISHED")
    assert earlier_trials(store, "birds")[TRIALS[0].digest].status == "finished"


def test_one_parent_serves_every_run_of_the_study(recorder, store):
    recorder.close("FINISHED")
    again = Recorder(store, make_plan(STUDY), {})
    again.open()
    assert again.parent == recorder.parent


def test_reading_creates_no_store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/none.db")
    assert earlier_trials(store, "birds") == {}
    with pytest.raises(InputError, match="no study birds"):
        read_study(store, "birds")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("http://127.0.0.1:9", "does not answer"),
        ("sqlite:////nowhere/at/all/mlflow.db", "no folder /nowhere/at/all"),
        ("here.db", "not a URI"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_at_once(uri, says):
    started = time.monotonic()
    with pytest.raises(InputError, match=says):
        open_store(uri).check()
    assert time.monotonic() - started < 10


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "notes.db").write_text("dear diary, today I trained nothing")
    with pytest.raises(InputError, match="is no SQLite database"):
        open_store(f"sqlite:///{tmp_path}/notes.db").check()


def test_the_interface_shows_the_store_and_serves_it_to_others(recorder, store, tmp_path):
    """`concepthash-study ui` is a whole MLflow server: a study can be recorded through it too."""
    train(recorder, TRIALS[0], tmp_path)
    port = free_port()
    command = [sys.executable, "-m", "concepthash", "ui", "--tracking-uri", store.uri]
    process = subprocess.Popen([*command, "--port", str(port)], cwd=tmp_path)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(url, process)
        assert "<title>MLflow</title>" in requests.get(url, timeout=10).text

        server = Store(url)
        server.check()
        assert read_study(server, "birds").trials["digest"].to_list() == [TRIALS[0].digest]
        remote = Recorder(server, make_plan(STUDY.model_copy(update={"name": "remote"})), {})
        remote.open()
        train(remote, TRIALS[1], tmp_path)
        remote.close("FINISHED")
        assert read_study(server, "remote").trials["test/map"].to_list() == [0.5]
    finally:
        end(process)
