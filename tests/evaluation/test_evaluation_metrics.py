"""Metrics of saved codes: which tensors each of them reads, and when it is not defined."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from evaluation_codes import C, D, K, easy_and_bad, random_saved

from concepthash.errors import InputError
from concepthash.evaluation.compute import evaluate, reported
from concepthash.evaluation.text import as_text
from concepthash.retrieval import mean_average_precision


def mean_ap(saved, *, bits=slice(None), of_label=lambda labels: labels, at=None) -> float:
    return mean_average_precision(
        saved.query_codes[:, bits],
        of_label(saved.query_labels),
        saved.database_codes[:, bits],
        of_label(saved.database_labels),
        at=at,
    )


def test_maps_are_of_classes_families_ranks_and_sub_codes():
    saved = random_saved()
    values = evaluate(saved, ["map", "map@5", "family_map", "concept_maps", "concept_map"])
    halves = [mean_ap(saved, bits=slice(4)), mean_ap(saved, bits=slice(4, 8))]
    assert values["map"] == pytest.approx(mean_ap(saved))
    assert values["map@5"] == pytest.approx(mean_ap(saved, at=5))
    assert values["family_map"] == pytest.approx(mean_ap(saved, of_label=lambda y: y // 2))
    assert values["concept_maps"] == pytest.approx(halves)
    assert values["concept_map"] == pytest.approx(sum(halves) / 2)


def test_the_maps_of_classes_of_equal_size_have_the_map_as_their_mean():
    values = evaluate(random_saved(), ["map", "class_maps"])
    assert list(values["class_maps"]) == ["owl", "eagle", "tern", "gull"]
    assert sum(values["class_maps"].values()) / C == pytest.approx(values["map"])


def test_the_whole_database_has_full_recall_and_the_share_of_relevant_images_as_precision():
    saved = random_saved()
    values = evaluate(
        saved, ["precision_recall", f"recall@{D}", f"precision@{D}", f"radius_precision@{K}"]
    )
    share = float((saved.query_labels[:, None] == saved.database_labels).double().mean())
    *_, last = values["precision_recall"]
    assert last == {"radius": K, "precision": pytest.approx(share), "recall": 1}
    assert values[f"recall@{D}"] == 1
    assert values[f"precision@{D}"] == pytest.approx(share)
    assert values[f"radius_precision@{K}"] == pytest.approx(share)


def test_each_concept_of_the_easy_example_has_the_part_that_it_looks_at():
    easy, _ = easy_and_bad()
    parts = evaluate(easy, ["parts"])["parts"]
    assert parts["by_concept"] == {
        "concept 0": {"part": "head", "consistency": 1},
        "concept 1": {"part": "tail", "consistency": 1},
    }
    assert parts["shuffled_floor"] == 1  # the same places in every image
    assert parts["random_floor"] < 1
    assert evaluate(easy, ["part_consistency", "part_coverage", "peak_stability"]) == {
        "part_consistency": 1,
        "part_coverage": pytest.approx(1),
        "peak_stability": 1,
    }


def test_a_concept_whose_peaks_are_near_no_part_has_none():
    _, bad = easy_and_bad()
    assert evaluate(bad, ["parts"])["parts"]["by_concept"]["concept 0"] == {
        "part": None,
        "consistency": 0,
    }


def test_confused_classes_are_named():
    _, bad = easy_and_bad()
    names = {"owl", "eagle", "tern", "gull"}
    confusion = evaluate(bad, ["confusion"])["confusion"]
    assert len(confusion) == 10
    assert all({pair["class"], pair["taken for"]} <= names for pair in confusion)


OF_CONCEPTS = {
    "concept_map",
    "concept_maps",
    "attention_overlap",
    "part_consistency",
    "part_coverage",
    "parts",
    "peak_stability",
}


def test_codes_without_concepts_have_all_metrics_but_those_of_concepts():
    saved = replace(random_saved(), concepts=None)
    values = evaluate(saved)
    assert {name for name, value in values.items() if value is None} == OF_CONCEPTS
    without = {f"test/{name}" for name in OF_CONCEPTS}
    whole = reported(random_saved(), "test")
    assert reported(saved, "test") == {k: v for k, v in whole.items() if k not in without}
    assert saved.num_concepts == 1
    with pytest.raises(InputError, match="--concept 0: these codes have no concepts"):
        saved.of_concept(0)


def test_without_families_or_parts_their_metrics_are_not_defined():
    saved = random_saved()
    saved = replace(
        saved,
        families=torch.full((C,), -1),
        concepts=replace(saved.concepts, query_parts=torch.zeros(12, 0, 3), part_names=()),
    )
    missing = {"family_map", "part_consistency", "part_coverage", "parts"}
    values = evaluate(saved)
    assert {name for name, value in values.items() if value is None} == missing
    assert values["distances"]["family"] == [None] * 3  # NaN, which JSON lacks
    assert not {f"test/{name}" for name in missing} & reported(saved, "test").keys()


def test_one_concept_is_evaluated_by_its_own_bits_and_attention():
    saved = random_saved()
    second = saved.of_concept(1)
    assert torch.equal(second.query_codes, saved.query_codes[:, 4:])
    assert torch.equal(second.database_codes, saved.database_codes[:, 4:])
    assert torch.equal(second.concepts.query_attention, saved.concepts.query_attention[:, 1:])
    assert torch.equal(
        second.concepts.query_noisy_attention, saved.concepts.query_noisy_attention[:, 1:]
    )
    assert second.num_concepts == 1
    assert evaluate(second, ["attention_overlap"]) == {"attention_overlap": None}
    with pytest.raises(InputError, match="--concept 2: these codes have concepts 0 to 1"):
        saved.of_concept(2)


def test_mean_centering_undoes_a_shift_of_all_codes():
    saved = random_saved()
    shifted = replace(
        saved, query_codes=saved.query_codes + 3, database_codes=saved.database_codes + 3
    )
    names = ["map", "bit_balance", "quantization_error"]
    assert evaluate(shifted, names)["bit_balance"] < 0.2
    assert evaluate(shifted.centered(), names) == pytest.approx(evaluate(saved.centered(), names))
    torch.testing.assert_close(shifted.centered().database_codes.mean(0), torch.zeros(K))


def test_the_cost_of_a_code_is_in_bits_and_whole_bytes():
    easy, _ = easy_and_bad()
    cost = evaluate(easy, ["cost"])["cost"]
    assert (cost["bits"], cost["bytes_per_image"]) == (18, 3)


def test_as_text_a_metric_is_a_line_and_what_it_holds_is_indented():
    text = as_text(
        {
            "study": "birds",
            "metrics": {
                "map": 0.123456,
                "concept_maps": [0.5, 0.25],
                "confusion": [{"class": "owl", "taken for": "tern", "share": 0.5}],
                "family_map": None,
            },
        }
    )
    assert text.splitlines() == [
        "study birds",
        "metrics",
        "  map 0.1235",
        "  concept_maps 0.5 0.25",
        "  confusion",
        "    class owl  taken for tern  share 0.5",
        "  family_map -",
    ]
