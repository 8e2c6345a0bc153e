"""The file of saved codes: what is written is read, and what cannot be used is refused by name."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace

import pytest
import torch
from evaluation_codes import C, D, K, M, Q, random_saved
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from concepthash import tensor_files
from concepthash.errors import InputError
from concepthash.evaluation.saved import Concepts, family_numbers, read_codes, write_codes


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trial" / "codes.safetensors"


def assert_same(first, second) -> None:
    for field in fields(first):
        one, two = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, torch.Tensor):
            torch.testing.assert_close(one, two, rtol=0, atol=0)
        elif isinstance(one, Concepts):
            assert_same(one, two)
        else:
            assert one == two, field.name


def test_what_is_written_is_read_with_attention_in_half_precision(path):
    saved = random_saved()
    write_codes(path, saved)
    concepts = saved.concepts
    halved = replace(
        concepts,
        query_attention=concepts.query_attention.half().float(),
        query_noisy_attention=concepts.query_noisy_attention.half().float(),
    )
    assert_same(replace(saved, concepts=halved), read_codes(path))
    assert load_file(path)["query_attention"].dtype == torch.float16
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_codes_know_whether_the_database_mean_is_subtracted_before_they_are_binarized(path):
    write_codes(path, replace(random_saved(), mean_center=True))
    evaluated = read_codes(path).as_evaluated()
    assert_same(evaluated, read_codes(path).centered())
    assert_same(evaluated.as_evaluated(), evaluated)
    plain = random_saved()
    assert plain.as_evaluated() is plain


def test_concepts_and_their_noise_and_parts_may_be_missing(path):
    saved = replace(random_saved(), concepts=None)
    write_codes(path, saved)
    assert_same(saved, read_codes(path))
    uniform = Concepts(torch.full((Q, M, 16), 1 / 16))
    write_codes(path, replace(saved, concepts=uniform))
    assert_same(replace(saved, concepts=uniform), read_codes(path))


def test_invisible_parts_may_have_no_place(path):
    saved = random_saved()
    saved.concepts.query_parts[0, 0] = torch.tensor([torch.nan, torch.nan, 0])
    write_codes(path, saved)
    assert read_codes(path).concepts.query_parts[0, 0].isnan().tolist() == [True, True, False]


def test_a_write_that_is_interrupted_leaves_the_file_before(path, monkeypatch):
    write_codes(path, random_saved())
    before = path.read_bytes()

    def interrupted(_tensors, target, _metadata) -> None:
        target.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(tensor_files, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_codes(path, replace(random_saved(), epoch=8))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"no tensors"])
def test_a_file_that_is_no_safetensors_holds_no_codes(tmp_path, content):
    path = tmp_path / "codes.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_codes(path)
    assert caught.value.lines[0].startswith(f"{path}: holds no codes of a trial (")


@pytest.mark.parametrize("metadata", [None, {"concepthash": "[]"}, {"concepthash": '{"format":2}'}])
def test_tensors_of_something_else_are_no_codes(tmp_path, metadata):
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata)
    with pytest.raises(InputError, match="holds no codes of a trial"):
        read_codes(tmp_path / "a.safetensors")


@pytest.mark.parametrize("found", [None, 3])
def test_a_file_of_another_format_is_refused_with_both_numbers(path, found):
    write_codes(path, random_saved())
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["concepthash"])
    facts.pop("format")
    facts |= {} if found is None else {"format": found}
    save_file(load_file(path), path, {"concepthash": json.dumps(facts)})
    with pytest.raises(InputError) as caught:
        read_codes(path)
    (line,) = caught.value.lines
    assert line.startswith(f"{path}: is of format {found or 1}, but this version reads format 2")


# What stands in the place of a fact of the metadata, and what is said of it.
BROKEN_FACTS = [
    ("class_names", "abcd", "class_names: input should be a valid array"),
    ("class_names", [["owl"]] * C, "class_names.0: input should be a valid string"),
    ("class_names", ["owl\n"] * C, "class_names.0: value error, holds the control character"),
    ("part_names", [1, 2], "part_names.0: input should be a valid string"),
    ("image_size", 0, "image_size: input should be greater than or equal to 1"),
    ("image_size", 1e400, "image_size: input should be a valid integer"),
    ("image_size", 10**30, "image_size: input should be less than or equal to 65536"),
    ("epoch", -5, "epoch: input should be greater than or equal to 0"),
    ("epoch", 10**400, "epoch: input should be less than or equal to 1000000"),
    ("mean_center", "off", "mean_center: input should be a valid boolean"),
]


@pytest.mark.parametrize(("fact", "value", "said"), BROKEN_FACTS)
def test_metadata_with_a_fact_that_cannot_be_is_refused_with_its_name(path, fact, value, said):
    write_codes(path, random_saved())
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["concepthash"])
    save_file(load_file(path), path, {"concepthash": json.dumps(facts | {fact: value})})
    with pytest.raises(InputError) as caught:
        read_codes(path)
    (line,) = caught.value.lines
    assert line.startswith(f"{path}: holds no codes of a trial ({said}")


def test_metadata_nested_without_end_are_refused(path):
    write_codes(path, random_saved())
    save_file(load_file(path), path, {"concepthash": "[" * 100_000})
    with pytest.raises(InputError, match="its metadata is nested too deeply"):
        read_codes(path)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_codes_that_are_cut_off_are_refused(path, share):
    write_codes(path, random_saved())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match="holds no codes of a trial"):
        read_codes(path)


NAN = torch.full((D, K), torch.nan)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"database_codes": NAN}, "database_codes holds NaN or infinity"),
        ({"query_attention": torch.full((Q, M, 16), torch.inf)}, "query_attention holds NaN"),
        ({"database_codes": torch.ones(0, K)}, "database_codes is empty: its shape is (0, 8)"),
        ({"query_codes": torch.ones(Q)}, f"query_codes must be (Q, K) = ({Q}, K), but is"),
        ({"database_codes": torch.ones(D, 4)}, f"database_codes must be (D, K) = ({D}, {K}), "),
        ({"query_labels": torch.zeros(3).long()}, f"query_labels must be (Q) = ({Q}), but"),
        ({"families": torch.zeros(3).long()}, f"families must be (C) = ({C}), "),
        (
            {"query_noisy_attention": torch.ones(Q, 1, 16)},
            "query_noisy_attention must be (Q, M, N)",
        ),
        ({"query_parts": torch.ones(Q, 5, 3)}, "query_parts must be (Q, P, 3) = (12, 2, 3), "),
        (
            {"query_labels": torch.full((Q,), C)},
            f"query_labels must lie in 0..{C - 1}, for {C} classes, but one is {C}",
        ),
        ({"database_labels": torch.full((D,), -1)}, "database_labels must be at least 0, but one"),
        ({"families": torch.full((C,), -2)}, "families must be at least -1, but one is -2"),
        ({"query_index": torch.zeros(Q)}, "query_index must be torch.int64, but is torch.float32"),
        (
            {"query_codes": torch.ones(Q, K).to(torch.float8_e4m3fn)},
            "query_codes must be floating numbers, but is torch.float8_e4m3fn",
        ),
        (
            {"query_codes": torch.ones(Q, 2**16), "database_codes": torch.ones(D, 2**16)},
            "query_codes must have at most 65,535 bits, but have 65,536",
        ),
        (
            {
                "query_attention": torch.ones(Q, M, 15),
                "query_noisy_attention": torch.ones(Q, M, 15),
            },
            "query_attention is over 15 patches, which are no square grid",
        ),
        (
            {"database_codes": torch.ones(D, K).int()},
            "database_codes must be floating numbers, but is torch.int32",
        ),
        (
            {
                "query_attention": torch.ones(Q, 3, 16),
                "query_noisy_attention": torch.ones(Q, 3, 16),
            },
            f"query_attention is of 3 concepts, which do not divide {K} bits",
        ),
    ],
)
def test_a_tensor_that_cannot_be_used_is_one_line_with_its_name(path, changes, problem):
    saved = random_saved()
    own = {field.name for field in fields(saved)}
    of_concepts = {name: tensor for name, tensor in changes.items() if name not in own}
    of_codes = {name: tensor for name, tensor in changes.items() if name in own}
    concepts = replace(saved.concepts, **of_concepts)
    write_codes(path, replace(saved, **of_codes, concepts=concepts))
    with pytest.raises(InputError) as caught:
        read_codes(path)
    lines = [line for line in caught.value.lines if line.startswith(f"{path}: {problem}")]
    assert len(lines) == 1, caught.value.lines


def test_each_tensor_that_cannot_be_used_has_a_line(path):
    write_codes(path, replace(random_saved(), database_codes=NAN))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    del tensors["families"]
    save_file(tensors, path, metadata)
    with pytest.raises(InputError, match=re.escape("families is missing")) as caught:
        read_codes(path)
    assert len(caught.value.lines) == 2


def test_families_are_numbered_and_the_unknown_are_minus_one():
    assert family_numbers(("owls", "terns", "", "owls")).tolist() == [0, 1, -1, 0]
