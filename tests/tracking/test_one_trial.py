"""What `show` says of a trial, from a real store."""

from __future__ import annotations

import pytest

from concepthash.errors import InputError
from concepthash.plan import make_plan
from concepthash.spec import StudySpec
from concepthash.tracking.one_trial import as_text, read_trial
from concepthash.tracking.recorder import Recorder

STUDY = StudySpec.model_validate_json(
    """{"name": "birds", "dataset": {"name": "paperbirds"}, "seeds": [0, 1],
        "tables": [{"name": "t", "rows": [{"label": "all"}, {"language": "off"}]}]}"""
)
PLAN = make_plan(STUDY)
BASELINE, AGAIN, OFF, OFF_AGAIN = PLAN.trials.values()
HERE = {"precision": "bf16", "processor": "AMD EPYC"}


def record(store, study, outcomes):
    recorder = Recorder(
        store, make_plan(study), {"data": "abc", "mlflow.source.git.commit": "c0ffee"}
    )
    recorder.open()
    for trial, value in outcomes:
        recorder.begin(trial, device="cpu", threads=1)
        for epoch in (1, 2):
            metrics = {"epoch": epoch, "test/map": value * epoch}
            recorder.log(trial.digest, metrics, f"storage/{epoch}", HERE)
        if value:
            recorder.finish(trial.digest, None)
        else:
            recorder.fail(trial.digest, "the loss is NaN")
    recorder.close("FINISHED")
    return recorder.parent


@pytest.fixture
def recorded(store):
    record(store, STUDY, [(BASELINE, 0.25), (AGAIN, 0.5), (OFF, 0.125), (OFF_AGAIN, 0.0)])
    return store


def test_a_trial_is_shown_with_its_difference_metrics_checkpoint_runs_and_provenance(recorded):
    found = read_trial(recorded, OFF.digest[:8])
    assert (found.digest, found.study, found.status) == (OFF.digest, "birds", "finished")
    assert found.configuration == {name: str(v) for name, v in OFF.parameters().items()}
    assert found.difference is not None
    assert found.difference["language"] == (None, "off")
    assert found.difference["language.source"] == ("open_clip", None)
    assert all(name.startswith("language") for name in found.difference)
    assert found.metrics == {"test/map": 0.25}
    assert found.checkpoint == "storage/2"
    (run,) = found.runs
    (stored,) = recorded.client.search_runs(
        [recorded.experiment("birds").experiment_id], f"tags.digest = '{OFF.digest}'"
    )
    assert (run["run_id"], run["study"], run["status"]) == (
        stored.info.run_id,
        "birds",
        "finished",
    )
    (segment,) = found.provenance
    expected = {"device": "cpu", "data": "abc", "mlflow.source.git.commit": "c0ffee", **HERE}
    assert expected.items() <= segment.items()
    text = as_text(found)
    for told in (OFF.digest, "c0ffee", "storage/2", "AMD EPYC", "off  (baseline: not there)"):
        assert told in text


def test_the_seed_alone_is_no_difference(recorded):
    found = read_trial(recorded, AGAIN.digest)
    assert found.difference == {}
    assert found.configuration["seed"] == "1"
    assert "\nthe baseline\n" in as_text(found)


def test_a_failed_trial_says_why(recorded):
    found = read_trial(recorded, OFF_AGAIN.digest)
    assert (found.status, found.failure) == ("failed", "the loss is NaN")
    assert as_text(found).startswith(f"{OFF_AGAIN.digest}: failed: the loss is NaN; study birds")


def test_a_trial_of_two_studies_has_the_runs_of_both(recorded):
    record(recorded, STUDY.model_copy(update={"name": "more"}), [(BASELINE, 0.25)])
    assert [run["study"] for run in read_trial(recorded, BASELINE.digest).runs] == ["more", "birds"]


def test_an_unknown_digest_and_an_ambiguous_one_are_one_line(recorded):
    for digest, words in {"xyz": "no trial", "": "4 trials"}.items():
        with pytest.raises(InputError) as caught:
            read_trial(recorded, digest)
        (line,) = caught.value.lines
        assert words in line
