from __future__ import annotations

import pytest

from concepthash.plan import Trial
from concepthash.report import wording
from concepthash.report.statistics import Summary
from concepthash.spec import ConceptHashTrial, HashNetTrial, TrialSpec, changed

PAPER = ConceptHashTrial()
PUBLISHED = changed(PAPER, {"protocol": "published-code"})
UNSEEN = changed(PAPER, {"protocol": "unseen"})
CENTERED = changed(PAPER, {"mean_center": "on"})


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (wording.number(0.8123, "test/map"), "81.2"),
        (wording.number(0.8123, "test/quantization_error"), "0.812"),
        (wording.number(-0.0123, "val/map", sign=True), "−1.2"),
        (wording.number(0.0123, "val/map", sign=True), "+1.2"),
        (wording.number(-0.0001, "val/map", sign=True), "±0.0"),
        (wording.number(None, "test/map"), "–"),
        (wording.mean_and_std(Summary(3, 0.81, 0.0123, 0.8, 0.82), "test/map"), "81.0 ± 1.2"),
        (wording.mean_and_std(Summary(1, 0.8, None, 0.8, 0.8), "test/map"), "80.0"),
        (wording.interval((-0.012, 0.034), "test/attention_overlap"), "[−0.012, +0.034]"),
        # The ends keep their signs where they round to 0.
        (wording.interval((0.0001, 0.01), "test/map"), "[+0.0, +1.0]"),
        (wording.interval((-0.01, -0.0001), "test/map"), "[−1.0, −0.0]"),
        (wording.interval((0.0, 0.0), "test/map"), "[0.0, 0.0]"),
        (wording.interval(None, "test/map"), "–"),
        (wording.probability(1 / 32), "0.031"),
        (wording.probability(1 / 4096), "<0.001"),
        (wording.probability(None), "–"),
        (wording.duration(4.4), "4 s"),
        (wording.duration(65), "1 min 05 s"),
        (wording.duration(7260), "2 h 01 min"),
        (wording.duration(float("nan")), "–"),
        (wording.note(3, {}), "n=3"),
        (wording.note(1, {"failed": 1, "missing": 1}), "n=1, 1 failed, 1 missing"),
        (wording.note(0, {"missing": 3}), "missing"),
        (wording.note(0, {"failed": 2, "missing": 1}), "2 failed, 1 missing"),
    ],
)
def test_numbers_as_text(shown: str, text: str) -> None:
    assert shown == text


# --- baseline ---------------------------------------------------------------------------------


def baseline(plan_of, spec: TrialSpec) -> str:
    trial = plan_of({"name": "t", "rows": [{"label": "a"}]}).baseline
    return wording.baseline_in_full(Trial(dataset=trial.dataset, spec=spec, seed=0))


def test_baseline_names_only_what_differs_from_the_paper(plan_of) -> None:
    assert baseline(plan_of, PAPER) == "the paper’s defaults"
    weights = "/data/secret/vit.safetensors"
    changes = {"num_bits": 32, "language": "off", "tuning": "full", "backbone.weights": weights}
    text = baseline(plan_of, changed(PAPER, changes))
    assert "num_bits = 32 (paper: 64)" in text
    assert "backbone.weights = vit.safetensors (paper: pretrained)" in text
    assert "language = off" in text
    assert "tuning.name = full (paper: adapters)" in text
    assert "secret" not in text
    assert "epochs" not in text


def test_baseline_of_another_method_is_compared_with_its_own_defaults(plan_of) -> None:
    assert baseline(plan_of, HashNetTrial()) == "the defaults of hashnet"
    text = baseline(plan_of, HashNetTrial(num_bits=32))
    assert text == "the defaults of hashnet, but num_bits = 32 (default: 64)"


# --- protocols ------------------------------------------------------------------------------


def test_protocol_in_full_tells_queries_database_and_when_it_is_tested() -> None:
    paper, published, unseen = map(wording.protocol_in_full, (PAPER, PUBLISHED, UNSEEN))
    assert paper.startswith("paper: queries = test images, database = training images; ")
    assert "last epoch" in paper
    assert "25 % of the classes" in unseen
    assert [("LEAKS" in text) for text in (paper, published, unseen)] == [False, True, False]


def test_protocol_in_full_tells_what_changes_training_and_codes() -> None:
    few = changed(CENTERED, {"images_per_class": 5})
    for told in ("trained on 5 images of each class", "mean is subtracted before binarizing"):
        assert told in wording.protocol_in_full(few)
        assert told not in wording.protocol_in_full(PAPER)


def test_protocols_in_caption_are_all_named_and_one_that_leaks_says_so() -> None:
    text = wording.protocols_in_caption([PAPER, UNSEEN, PUBLISHED, PAPER], "test/map")
    assert text.startswith("paper, unseen and published-code protocols, ")
    assert "published-code LEAKS: the test queries chose the epoch" in text
    assert "LEAKS" in wording.protocols_in_caption([PUBLISHED], "val/map")
    assert "LEAKS" not in wording.protocols_in_caption([PAPER, UNSEEN], "test/map")


def test_protocols_in_caption_say_what_matters_for_the_metric() -> None:
    told = wording.protocols_in_caption([PAPER], "test/map")
    assert "queries = test images, database = training images" in told
    assert "ties averaged, last epoch" in told
    assert "ranked" not in wording.protocols_in_caption([PAPER], "test/attention_overlap")
    assert "validation split" in wording.protocols_in_caption([PAPER], "val/map")
