from __future__ import annotations

from typing import get_args

import pytest

from concepthash.report import words
from concepthash.report.statistics import summarize
from concepthash.spec import TrialSpec, changed


@pytest.mark.parametrize(
    ("value", "metric", "sign", "text"),
    [
        (0.8123, "test/map", False, "81.2"),
        (0.8123, "test/quantization_error", False, "0.812"),
        (-0.0123, "val/map", True, "−1.2"),
        (0.0123, "val/map", True, "+1.2"),
        (-0.0001, "val/map", True, "±0.0"),
        (None, "test/map", False, "–"),
    ],
)
def test_number(value: float | None, metric: str, sign: bool, text: str) -> None:
    assert words.number(value, metric, sign=sign) == text


def test_mean_and_std() -> None:
    assert words.mean_and_std(summarize([0.80, 0.82, 0.81]), "test/map") == "81.0 ± 1.0"
    assert words.mean_and_std(summarize([0.8]), "test/map") == "80.0"


@pytest.mark.parametrize(
    ("n", "troubles", "text"),
    [
        (3, {}, "n=3"),
        (2, {"failed": 1}, "n=2, 1 failed"),
        (1, {"failed": 1, "missing": 1}, "n=1, 1 failed, 1 missing"),
        (0, {"missing": 3}, "missing"),
        (0, {"failed": 2, "missing": 1}, "2 failed, 1 missing"),
    ],
)
def test_note(n: int, troubles: dict[str, int], text: str) -> None:
    assert words.note(n, 3, troubles) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (float("nan"), "–"), (4.4, "4 s"), (65, "1 min 05 s"), (7260, "2 h 01 min")],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


def test_baseline_names_only_what_differs() -> None:
    assert words.baseline_words(TrialSpec()) == "the paper’s defaults"
    baseline = changed(
        TrialSpec(), {"num_bits": 32, "backbone.weights": "/data/secret/vit.safetensors"}
    )
    text = words.baseline_words(baseline)
    assert "num_bits = 32 (paper: 64)" in text
    assert "backbone.weights = vit.safetensors (paper: pretrained)" in text
    assert "secret" not in text
    assert "epochs" not in text


def test_language_off_is_told() -> None:
    assert "language = off" in words.baseline_words(changed(TrialSpec(), {"language": "off"}))


def test_the_dataset_root_is_not_told(plan_of) -> None:
    for name, shown in {"cub": "CUB-200-2011", "manifest": "manifest"}.items():
        plan = plan_of(
            {"name": "t", "rows": [{"label": "a"}]},
            dataset={"name": name, "root": "/data/secret", "num_classes": 5},
        )
        assert words.dataset_words(plan.study.dataset) == f"{shown}, first 5 classes"


def test_every_protocol_is_told_in_full() -> None:
    told = {
        name: words.protocol_words(TrialSpec(protocol=name))
        for name in get_args(TrialSpec.model_fields["protocol"].annotation)
    }
    assert all(text.startswith(f"{name}: ") for name, text in told.items())
    assert [name for name, text in told.items() if "LEAKS" in text] == ["published-code"]
    assert "25 % of the classes" in told["unseen"]
    assert "these unseen classes alone" in told["unseen"]
    assert "5 folds" in told["cross-split"]
    few = words.protocol_words(
        TrialSpec(protocol="unseen", unseen_search="all", images_per_class=5)
    )
    assert "of all classes" in few
    assert "trained on 5 images of each class" in few


def test_codes_that_are_mean_centered_are_told() -> None:
    plain, centered = TrialSpec(), TrialSpec(mean_center="on")
    assert "codes less the database's mean before the sign" in words.protocol_words(centered)
    assert "mean" not in words.protocol_words(plain)
    in_short = words.protocols_in_short
    assert ", codes mean-centered" in in_short([centered], "test/map")
    assert ", codes partly mean-centered" in in_short([plain, centered], "test/map")
    assert "mean" not in in_short([plain], "test/map")
