"""Saved codes: written and read, judged by the names of metrics, whole or a concept at a time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from concepthash.errors import InputError
from concepthash.evaluation import (
    AT,
    METRICS,
    SavedCodes,
    as_text,
    evaluate,
    family_numbers,
    read_codes,
    summary,
)
from concepthash.retrieval import mean_average_precision

Q, D, K, M, C = 12, 30, 8, 2, 4


def codes(num: int, seed: int) -> torch.Tensor:
    return torch.randn(num, K, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def saved() -> SavedCodes:
    attention = torch.rand(Q, M, 16, generator=torch.Generator().manual_seed(3))
    return SavedCodes(
        query_codes=codes(Q, 0),
        query_labels=torch.arange(Q) % C,
        query_index=torch.arange(Q),
        query_attention=attention / attention.sum(-1, keepdim=True),
        query_noisy_attention=attention.flip(0) / attention.sum(-1, keepdim=True),
        query_parts=torch.tensor([[8.0, 8.0, 1.0], [50.0, 50.0, 1.0]]).expand(Q, 2, 3).clone(),
        database_codes=codes(D, 1),
        database_labels=torch.arange(D) % C,
        database_index=torch.arange(Q, Q + D),
        families=torch.tensor([0, 0, 1, 1]),
        class_names=("owl", "eagle", "tern", "gull"),
        part_names=("head", "tail"),
        image_size=64,
        epoch=7,
    )


def write(saved: SavedCodes, path) -> None:
    save_file({k: t.contiguous() for k, t in saved.tensors().items()}, path, saved.metadata())


# --- the file --------------------------------------------------------------------------------


def test_what_is_written_is_read(saved, tmp_path):
    write(saved, tmp_path / "codes.safetensors")
    again = read_codes(tmp_path / "codes.safetensors")
    for name, tensor in saved.tensors().items():
        torch.testing.assert_close(again.tensors()[name], tensor)
    assert again.metadata() == saved.metadata()
    assert (again.num_bits, again.num_concepts, again.epoch) == (K, M, 7)


@pytest.mark.parametrize("content", [None, b"", b"no tensors"])
def test_a_file_that_holds_no_codes(tmp_path, content):
    path = tmp_path / "codes.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_codes(path)
    assert caught.value.lines[0].startswith(f"{path}: holds no codes of a trial (")


def test_tensors_of_something_else(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="holds no codes of a trial"):
        read_codes(tmp_path / "a.safetensors")


def test_families_are_numbered_and_the_unknown_are_minus_one():
    assert family_numbers(("owls", "terns", "", "owls")).tolist() == [0, 1, -1, 0]


# --- metrics by name -------------------------------------------------------------------------


def test_every_metric_has_a_value_that_json_can_hold(saved):
    names = [*METRICS, *(f"{name}@3" for name in AT)]
    values = evaluate(saved, names)
    assert list(values) == names
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert not [name for name, value in values.items() if value is None]


def test_a_metric_without_a_meaning_here_has_no_value(saved):
    bare = replace(saved, families=torch.full((C,), -1), part_names=())
    values = evaluate(bare, ["family_map", "part_consistency"])
    assert values == {"family_map": None, "part_consistency": None}
    assert not {"family_map", "part_consistency"} & summary(bare).keys()


def test_names_mean_what_they_say(saved):
    searched = (saved.query_codes, saved.query_labels, saved.database_codes, saved.database_labels)
    families = saved.families
    values = evaluate(saved, ["map", "family_map", "concept_map", "map@5", "class_map"])
    assert values["map"] == pytest.approx(mean_average_precision(*searched))
    assert values["map@5"] == pytest.approx(mean_average_precision(*searched, at=5))
    assert values["family_map"] == pytest.approx(
        mean_average_precision(
            saved.query_codes,
            families[saved.query_labels],
            saved.database_codes,
            families[saved.database_labels],
        )
    )
    halves = [
        mean_average_precision(q, saved.query_labels, d, saved.database_labels)
        for q, d in zip(
            saved.query_codes.chunk(2, dim=1), saved.database_codes.chunk(2, dim=1), strict=True
        )
    ]
    assert values["concept_map"] == pytest.approx(halves)
    assert list(values["class_map"]) == list(saved.class_names)
    # As many queries of each class: the mean over classes is the mean over queries.
    assert sum(values["class_map"].values()) / C == pytest.approx(values["map"])


def test_a_trials_summary_agrees_with_the_metrics_of_its_codes(saved):
    numbers = summary(saved)
    values = evaluate(saved, list(METRICS))
    for name in ("map", "cosine_map", "family_map", "bit_balance", "attention_overlap"):
        assert numbers[name] == pytest.approx(values[name]), name
    assert numbers["concept_map"] == pytest.approx(sum(values["concept_map"]) / M)
    assert [numbers["map_low"], numbers["map_high"]] == values["interval"]
    assert numbers["map_low"] < numbers["map"] < numbers["map_high"]
    assert numbers["part_consistency"] == pytest.approx(values["part_consistency"]["mean"])


def test_one_concept_is_judged_by_its_own_bits_and_attention(saved):
    second = saved.of_concept(1)
    assert torch.equal(second.query_codes, saved.query_codes[:, 4:])
    assert torch.equal(second.database_codes, saved.database_codes[:, 4:])
    assert torch.equal(second.query_attention, saved.query_attention[:, 1:])
    assert torch.equal(second.query_noisy_attention, saved.query_noisy_attention[:, 1:])
    assert evaluate(second, ["map"])["map"] == evaluate(saved, ["concept_map"])["concept_map"][1]
    assert evaluate(second, ["attention_overlap"]) == {"attention_overlap": None}
    assert "attention_overlap" not in summary(second)
    with pytest.raises(InputError, match="--concept 2: these codes have concepts 0 to 1"):
        saved.of_concept(2)


def test_mean_centered_codes_have_no_mean_over_the_database(saved):
    shifted = replace(
        saved, query_codes=saved.query_codes + 3, database_codes=saved.database_codes + 3
    )
    assert evaluate(shifted, ["bit_balance"])["bit_balance"] < 0.2
    for name, value in evaluate(shifted.centered(), ["map", "bit_balance"]).items():
        assert value == pytest.approx(evaluate(saved.centered(), [name])[name])
    torch.testing.assert_close(shifted.centered().database_codes.mean(0), torch.zeros(K))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("accuracy", "--metric accuracy: no such metric; there are map, "),
        ("precision", "--metric precision: no such metric; there are map, "),
        ("interval@3", "--metric interval@3: no such metric; there are map, "),
        ("precision@0", "--metric precision@0: after @ comes a whole number of at least 1"),
        ("precision@k", "--metric precision@k: after @ comes a whole number of at least 1"),
        ("radius_precision@-1", "--metric radius_precision@-1: after @ comes a whole number of"),
    ],
)
def test_a_name_that_is_no_metric(saved, name, complaint):
    with pytest.raises(InputError) as caught:
        evaluate(saved, ["map", name])
    (line,) = caught.value.lines
    assert line.startswith(complaint)


def test_as_text_a_metric_is_a_line_and_what_it_holds_is_indented(saved):
    text = as_text(
        {
            "study": "birds",
            "metrics": {
                "map": 0.123456,
                "concept_map": [0.5, 0.25],
                "confusion": [{"class": "owl", "taken for": "tern", "share": 0.5}],
                "family_map": None,
            },
        }
    )
    assert text.splitlines() == [
        "study birds",
        "metrics",
        "  map 0.1235",
        "  concept_map 0.5 0.25",
        "  confusion",
        "    class owl  taken for tern  share 0.5",
        "  family_map -",
    ]
