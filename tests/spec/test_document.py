"""concepthash.spec.document: a study file is plain data, and every value knows its line."""

from __future__ import annotations

import json
import math
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concepthash.errors import InputError
from concepthash.spec.document import (
    Document,
    parse_document,
    parse_value,
    read_document,
    with_overrides,
)


def parse(text: str) -> Document:
    return parse_document(text, "study.yaml")


def problems(call, *arguments) -> list[str]:
    """The lines of the InputError that the call raises."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert all("\n" not in line for line in caught.value.lines)
    return list(caught.value.lines)


# --- values ----------------------------------------------------------------------------------


SCALARS = "1e-3, .5, 1e999, 3, 0x1f, 010, off, yes, true, ~, '3', 2001-01-01, 12:30, !!str 3"


def test_scalars_are_read_by_the_rules_of_yaml_1_2():
    numbers = [0.001, 0.5, math.inf, 3, 31, 10]
    words = ["off", "yes", True, None, "3", "2001-01-01", "12:30", "3"]
    read = parse(f"key: [{SCALARS}]\n").data["key"]
    assert repr(read) == repr(numbers + words)  # as text, so that 1, 1.0 and true differ
    assert parse_value(f"[{SCALARS}]", "--set key") == read
    assert parse_value("", "--set key") is None


def test_keys_are_text():
    assert parse("1: a\ntrue: b\noff: c\n").data == {"1": "a", "true": "b", "off": "c"}


def test_windows_line_ends_and_byte_order_mark_are_accepted():
    document = parse("\ufeffa: 1\r\nb:\r\n  c: 2\r\n")
    assert document.data == {"a": 1, "b": {"c": 2}}
    assert document.where(("b", "c")) == "study.yaml:3"


_keys = st.text("abcdefg_", min_size=1, max_size=6)
_words = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs", "Cc")), max_size=20)
_numbers = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=15,
)


def block(value: object, indent: str = "") -> str:
    """`value` by indentation, one line for each scalar; empty collections as in JSON."""
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        return "".join(f"\n{indent}{key}:{block(v, deeper)}" for key, v in value.items())
    if isinstance(value, list) and value:
        return "".join(f"\n{indent}-{block(item, deeper)}" for item in value)
    return f" {json.dumps(value)}"


@pytest.mark.parametrize("dump", [json.dumps, block])
@given(data=st.dictionaries(_keys, _values, min_size=1))
def test_any_data_written_as_yaml_reads_back_equal(dump, data):
    assert repr(parse(dump(data)).data) == repr(data)


def test_aliases_are_read_as_copies():
    document = parse("bits: &bits [16, 32]\nmore: *bits\nbits2: &bits 1\nlast: *bits\n")
    assert document.data == {"bits": [16, 32], "more": [16, 32], "bits2": 1, "last": 1}
    assert document.where(("more",)) == "study.yaml:2"
    assert with_overrides(document, ["bits.0=8"]).data["more"] == [16, 32]


# --- lines -----------------------------------------------------------------------------------

NESTED = """\
# a comment

name: birds
dataset: {name: cub,
  more: [1,
    {deep: 2}]}
tables:
  - name: bits
    rows:
      num_bits:
        - 16
        - 32
after: 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("dataset", "more", 1, "deep"), 6),
        (("tables", 0), 8),
        (("tables", 0, "rows", "num_bits"), 10),
        (("tables", 0, "rows", "num_bits", 1), 12),
        (("after",), 13),
        # What is missing is placed at the closest value around it.
        (("tables", 0, "rows", "num_bits", 7), 10),
        (("dataset", "absent", "deeper"), 4),
        (("absent",), 3),
    ],
)
def test_value_is_placed_on_the_line_of_its_key(path, line):
    assert parse(NESTED).where(path) == f"study.yaml:{line}"


# --- refused documents -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {path}']",
        "!!python/object/apply:builtins.open {{args: ['{path}', 'w']}}",
        "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {path}']",
        "!!python/name:os.system",
        "!include {path}",
        "!!set {{a, b}}",
        "!!binary aGk=",
    ],
)
def test_tag_of_anything_but_plain_data_is_refused_and_runs_nothing(tmp_path, value):
    planted = tmp_path / "planted"
    (line,) = problems(parse, f"name: x\nbad: {value.format(path=planted)}\n")
    assert line.startswith("study.yaml:2: the tag ")
    (line,) = problems(parse_value, value.format(path=planted), "--set bad")
    assert line.startswith("--set bad:1: the tag ")
    assert not planted.exists()


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", "study.yaml: empty"),
        ("# nothing\n\n", "study.yaml: empty"),
        ("\n- a\n", "study.yaml:2: the top level is no mapping"),
        ("a: 1\n---\nb: 2\n", "study.yaml:2: not valid YAML (but found another document)"),
        ("a: [1, 2\nb: 3\n", "study.yaml:2: not valid YAML (expected ',' or ']', but got ':')"),
        ("a: 1\nb: *nowhere\n", "study.yaml:2: not valid YAML (found undefined alias 'nowhere')"),
        ("a:\n\t- b\n", "study.yaml:2: not valid YAML (found character '\\t'"),
        ("a: \0\n", "study.yaml: not valid YAML (unacceptable character #x0000"),
        ("%YAML 1.1\n---\na: on\n", "study.yaml: YAML 1.2 is read only"),
        ("a: 1\n? {b: 1}\n: 2\n", "study.yaml:2: a key must be a single word"),
        ('a: 1\n"b\\nc": 2\n', "study.yaml:2: a key must be a single word"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "study.yaml:3: merge keys (<<) are not read"),
        ("a: 1\nb: 2\na: 3\n", "study.yaml:3: a is given twice (first on line 1)"),
        ("a:\n  - x: {y: 1,\n     y: 2}\n", "study.yaml:3: a[0].x.y is given twice (first on lin"),
        ("a: 1\nb: !!int three\n", "study.yaml:2: 'three' is not a valid int"),
        (f"a: {'9' * 5000}\n", "study.yaml:1: '9999"),
        ('a: "\\ud800"\n', "study.yaml:1: '\\ud800' is not a valid str"),
    ],
)
def test_unusable_document_is_refused_in_one_line(text, start):
    (line,) = problems(parse, text)
    assert line.startswith(start)


def test_all_problems_of_a_document_are_reported():
    text = "a: !x 1\na: !!int q\n? [b]\n: 2\nc: {d: 1, d: 2}\n"
    lines = [line.split(": ")[0] for line in problems(parse, text)]
    assert sorted(lines) == [f"study.yaml:{line}" for line in (1, 2, 2, 3, 5)]


def _each_twice(first: str, pattern: str, levels: int) -> str:
    """Lines a0, a1, ...: each holds the one before it twice, so the last one 2**levels values."""
    lines = [f"a{i}: &a{i} " + pattern.replace("@", f"*a{i - 1}") for i in range(1, levels)]
    return "\n".join([f"a0: &a0 {first}", *lines])


HOSTILE = {
    "aliases in mappings": (_each_twice("{x: 1}", "{x: @, y: @}", 29), "more than 20,000 values"),
    "aliases at one key": (_each_twice("{x: 1}", "{x: @, x: @}", 29), "more than 20,000 values"),
    "aliases in a key": (
        "? [" + _each_twice("[x]", "[@, @]", 29).replace("\n", ", ") + "]\n: 1\n",
        "a key must be a single word",
    ),
    "a list in itself": ("a: &a [*a]\n", "more than 20,000 values or 30 levels"),
    "a mapping in itself": ("&a {b: *a}\n", "more than 20,000 values or 30 levels"),
    "brackets": ("[" * 1000, "study.yaml:1: nested more than 30 levels deep"),
    "dashes": ("\n" + "- " * 1000, "study.yaml:2: nested more than 30 levels deep"),
}


@pytest.mark.parametrize(("text", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_document_made_to_exhaust_the_machine_is_refused_within_a_second(text, problem):
    started = time.process_time()
    (line,) = problems(parse, text)
    assert time.process_time() - started < 1
    assert problem in line


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.write_bytes("naïve: 1".encode("latin-1")), "cannot be read (not UTF-8"),
        (lambda path: path.symlink_to("/proc/self/mem"), "cannot be read (Input/output error)"),
        (lambda path: path.write_text("a: 1\n" * 250_000), "larger than 1,000,000 bytes"),
    ],
    ids=["missing", "folder", "FIFO", "not UTF-8", "failing", "large"],
)
def test_file_that_cannot_be_read_is_refused_in_one_line(tmp_path, make, problem):
    path = tmp_path / "study.yaml"
    make(path)
    (line,) = problems(read_document, path)
    assert line.startswith(f"{path}: {problem}")


# --- --set -----------------------------------------------------------------------------------

BASE = """\
name: birds
baseline:
  epochs: 100
  loss: {margin: 0.2, scale: 8}
tables:
  - {name: first}
  - {name: second}
"""


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (["baseline.epochs=1"], "baseline", {"epochs": 1, "loss": {"margin": 0.2, "scale": 8}}),
        (["baseline.loss={margin: 0}"], "baseline", {"epochs": 100, "loss": {"margin": 0}}),
        (["baseline={}", "baseline.optimizer.lr=1"], "baseline", {"optimizer": {"lr": 1}}),
        (["name=1", "name=a=b"], "name", "a=b"),
        (["name="], "name", None),
        (["tables.1.name=last"], "tables", [{"name": "first"}, {"name": "last"}]),
        (["².y=2"], "²", {"y": 2}),  # a digit, but no decimal number
    ],
)
def test_override_replaces_the_value_at_its_key_and_nothing_else(overrides, key, value):
    document = parse(BASE)
    changed = with_overrides(document, overrides)
    assert changed.data == {**document.data, key: value}
    assert document == parse(BASE)


def test_override_is_named_where_a_line_would_be():
    overrides = ["baseline.loss={margin: -1}", "tables.1.name=A B"]
    document = with_overrides(parse(BASE), overrides)
    assert document.where(("baseline", "loss", "margin")) == "--set baseline.loss={margin: -1}"
    assert document.where(("tables", 1, "name")) == "--set tables.1.name=A B"
    assert document.where(("tables", 0, "name")) == "study.yaml:6"
    assert document.where(("baseline", "epochs")) == "study.yaml:3"


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("epochs", "not of the form key=value"),
        ("baseline.=1", "not of the form key=value"),
        ("tables.5={}", "tables[5] does not exist; the list has 2 items"),
        ("tables.name=x", "tables.name does not exist; the list has 2 items"),
        ("tables.-1={}", "tables.-1 does not exist; the list has 2 items"),
        ("name.x=1", "name holds a single value"),
        ("seeds=[0", "not valid YAML"),
        ("a={x: 1, x: 2}", "x is given twice"),
    ],
)
def test_override_that_cannot_be_set_is_refused(override, problem):
    (line,) = problems(with_overrides, parse(BASE), [override])
    assert line.startswith(f"--set {override}:")
    assert problem in line


def test_prepare_may_change_the_value_of_an_override():
    document = with_overrides(parse(BASE), ["a.root=x"], lambda key, value: f"{key} of {value}")
    assert document.data["a"] == {"root": "root of x"}
