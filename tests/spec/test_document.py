"""A study file is data, and every value knows the line it stands on."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concepthash.errors import InputError
from concepthash.spec.document import (
    Document,
    dotted,
    parse_document,
    parse_value,
    read_document,
    with_overrides,
)


def parse(text: str) -> Document:
    return parse_document(text, "study.yaml")


def complaints(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert all("\n" not in line for line in caught.value.lines)
    return list(caught.value.lines)


def complaint_of(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_document(path)
    (line,) = caught.value.lines
    return line


# --- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("5E4", 50_000.0),
        ("-1e+3", -1000.0),
        (".5", 0.5),
        ("3.0", 3.0),
        ("3", 3),
        ("0x1f", 31),
        ("off", "off"),
        ("on", "on"),
        ("yes", "yes"),
        ("no", "no"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'3'", "3"),
        ('"true"', "true"),
        ("2001-01-01", "2001-01-01"),
        ("12:30", "12:30"),
        ("!!str 3", "3"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(written, value):
    data = parse(f"key: {written}\n").data
    assert data == {"key": value}
    assert type(data["key"]) is type(value)


def test_keys_are_text_whatever_they_look_like():
    assert parse("1: a\ntrue: b\noff: c\n").data == {"1": "a", "true": "b", "off": "c"}


def test_windows_line_ends_and_a_byte_order_mark_change_nothing():
    document = parse("\ufeffa: 1\r\nb:\r\n  c: 2\r\n")
    assert document.data == {"a": 1, "b": {"c": 2}}
    assert document.where(("b", "c")) == "study.yaml:3"


_keys = st.text("abcdefg_", min_size=1, max_size=6)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=15,
)


def _written(scalar: object) -> str:
    """A scalar as YAML writes it; in text all but plain characters are escaped."""
    if isinstance(scalar, str):
        plain = (c if c.isprintable() and c not in '\\"' else f"\\U{ord(c):08x}" for c in scalar)
        return f'"{"".join(plain)}"'
    return json.dumps(scalar)


def flow(value: object) -> str:
    """`value` in brackets and braces."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {flow(item)}' for key, item in value.items())}}}"
    return f"[{', '.join(map(flow, value))}]" if isinstance(value, list) else _written(value)


def block(value: object, indent: str = "") -> str:
    """`value` by indentation, a line a scalar; empty collections as `flow` has them."""
    if isinstance(value, dict) and value:
        lines = (f"{indent}{key}:{block(item, indent + '  ')}" for key, item in value.items())
        return "\n" + "\n".join(lines)
    if isinstance(value, list) and value:
        return "\n" + "\n".join(f"{indent}-{block(item, indent + '  ')}" for item in value)
    return f" {flow(value)}"


@pytest.mark.parametrize("dump", [flow, block])
@given(data=st.dictionaries(_keys, _values, min_size=1))
def test_any_data_written_as_yaml_reads_back_equal(dump, data):
    text = dump(data)
    assert repr(parse(text).data) == repr(data)  # as text, so that 1, 1.0 and true differ


# --- lines -----------------------------------------------------------------------------------

NESTED = """\
# a comment

name: birds
dataset: {name: cub,
  root: data,
  more: [1,
    {deep: 2}]}
tables:
  - name: bits
    rows:
      num_bits:
        - 16
        - 32
text: |
  one
  two
after: 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 3),
        (("dataset",), 4),
        (("dataset", "name"), 4),
        (("dataset", "root"), 5),
        (("dataset", "more"), 6),
        (("dataset", "more", 0), 6),
        (("dataset", "more", 1), 7),
        (("dataset", "more", 1, "deep"), 7),
        (("tables",), 8),
        (("tables", 0), 9),
        (("tables", 0, "rows"), 10),
        (("tables", 0, "rows", "num_bits"), 11),
        (("tables", 0, "rows", "num_bits", 1), 13),
        (("text",), 14),
        (("after",), 17),
    ],
)
def test_a_value_stands_on_the_line_of_its_key(path, line):
    assert parse(NESTED).where(path) == f"study.yaml:{line}"


def test_what_is_missing_is_placed_at_the_closest_thing_around_it():
    document = parse(NESTED)
    assert document.where(("tables", 0, "rows", "num_bits", 7)) == "study.yaml:11"
    assert document.where(("dataset", "absent", "deeper")) == "study.yaml:4"
    assert document.where(("absent",)) == "study.yaml:3"


def test_a_place_is_written_with_dots_and_brackets():
    assert dotted(("tables", 0, "rows", 2, "optimizer.lr")) == "tables[0].rows[2].optimizer.lr"
    assert dotted(()) == ""


# --- what is refused -------------------------------------------------------------------------


def test_a_repeated_key_is_told_with_both_lines():
    assert complaints("a: 1\nb: 2\na: 3\n") == [
        "study.yaml:3: a is given twice (first on line 1); keep one"
    ]
    assert complaints("a:\n  - x: {y: 1,\n     y: 2}\n") == [
        "study.yaml:3: a[0].x.y is given twice (first on line 2); keep one"
    ]


CODE = [
    "!!python/object/apply:os.system ['touch {path}']",
    "!!python/object/apply:os.system [touch {path}]",
    "!!python/object/new:os.system ['touch {path}']",
    "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{path}']]",
    "!!python/object/apply:builtins.open ['{path}', 'w']",
    "!!python/object/apply:builtins.open {{args: ['{path}', 'w']}}",
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch {path}']",
    "!!python/name:os.system ''",
    "!!python/name:os.system",
    "!!python/module:antigravity ''",
    "!!python/object/apply:os.system touch",
    "!include {path}",
]


@pytest.mark.parametrize("value", CODE)
def test_a_tag_that_would_run_code_is_refused_and_runs_nothing(tmp_path, value):
    planted = tmp_path / "planted"
    value = value.format(path=planted)
    (said,) = complaints(f"name: x\nbad: {value}\n")
    assert said.startswith("study.yaml:2: the tag ")
    assert said.endswith("is not allowed; a study is plain data")
    with pytest.raises(InputError, match=r"^--set bad=.* is not allowed; a study is plain data"):
        with_overrides(parse("name: x"), [f"bad={value}"])
    assert not planted.exists()


@pytest.mark.parametrize("value", ["!mine x", "!!set {a, b}", "!!binary aGk=", "!!omap [a: 1]"])
def test_only_the_tags_of_plain_data_are_known(value):
    (said,) = complaints(f"bad: {value}\n")
    assert "is not allowed; a study is plain data" in said


def test_a_tag_that_its_value_does_not_fit_is_named():
    assert complaints("a: 1\nb: !!int three\n") == ["study.yaml:2: 'three' is not a valid int"]


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000])
def test_a_number_of_thousands_of_digits_is_refused(number):
    assert complaints(f"a: {number}\n") == [f"study.yaml:1: '{number[:40]}' is not a valid int"]


def test_half_a_character_is_refused():
    assert complaints('a: "\\ud800"\n') == ["study.yaml:1: '\\ud800' is not a valid str"]


def test_all_such_problems_are_told_at_once():
    assert len(complaints("a: !x 1\na: !!int q\n? [b]\n: 2\n")) == 4


_TEN = ",".join(["x"] * 10)


def _laughs(levels: int) -> str:
    """A billion laughs: each line is a list of ten times the line before."""
    lines = [f"a0: &a0 [{_TEN}]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


def _laughs_in_a_key(levels: int) -> str:
    """The same doubled in one key, which alone is never looked into."""
    steps = ", ".join(f"&a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels))
    return f"? [&a0 [x, x], {steps}]\n: 1\n"


HOSTILE = {
    "a billion laughs": (_laughs(9), "unfolds into more than 20,000 values"),
    "laughs in mappings": (
        "a0: &a0 {x: 1, y: 2}\n"
        + "\n".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}" for i in range(1, 40)),
        "unfolds into more than 20,000 values",
    ),
    "laughs in a key": (_laughs_in_a_key(29), "a key must be a single word"),
    "a list in itself": ("a: &a [*a]\n", "unfolds into more than 20,000 values or 30 levels"),
    "a mapping in itself": ("&a {b: *a}\n", "unfolds into more than 20,000 values or 30 levels"),
    "open brackets": ("[" * 3000, "study.yaml:1: nested more than 30 levels deep"),
    "brackets": ("a: " + "[" * 3000 + "]" * 3000, "study.yaml:1: nested more than 30 levels deep"),
    "braces": ("{a: " * 3000, "study.yaml:1: nested more than 30 levels deep"),
    "dashes": ("\n" + "- " * 3000, "study.yaml:2: nested more than 30 levels deep"),
}


@pytest.mark.parametrize(("text", "complaint"), HOSTILE.values(), ids=HOSTILE)
def test_a_document_made_to_exhaust_the_machine_is_refused_at_once(text, complaint):
    started = time.process_time()
    (said,) = complaints(text)
    assert time.process_time() - started < 1
    assert complaint in said
    assert len(said) < 200


def test_aliases_that_repeat_a_little_are_welcome():
    data = parse("bits: &bits [16, 32]\nmore: *bits\n").data
    assert data == {"bits": [16, 32], "more": [16, 32]}
    changed = with_overrides(Document("s", data), ["bits.0=8"])
    assert changed.data == {"bits": [8, 32], "more": [16, 32]}


def test_an_anchor_may_be_used_again_for_another_value(recwarn):
    assert parse("a: &x 1\nb: *x\nc: &x 2\nd: *x\n").data == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert not recwarn.list


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "study.yaml: empty; a study needs at least name, dataset and tables"),
        ("# nothing\n\n", "study.yaml: empty; a study needs at least name, dataset and tables"),
        ("\n- a\n", "study.yaml:2: the top level is no mapping; write `name: ...`"),
        ("hello\n", "study.yaml:1: the top level is no mapping; write `name: ...`"),
        (
            "a: 1\n---\nb: 2\n",
            "study.yaml:2: not valid YAML (but found another document); mend the syntax",
        ),
        (
            "a: [1, 2\nb: 3\n",
            "study.yaml:2: not valid YAML (expected ',' or ']', but got ':'); mend the syntax",
        ),
        (
            "a: 1\nb: *nowhere\n",
            "study.yaml:2: not valid YAML (found undefined alias 'nowhere'); mend the syntax",
        ),
        (
            "a:\n\t- b\n",
            "study.yaml:2: not valid YAML (found character '\\t' that cannot start any token);"
            " mend the syntax",
        ),
        (
            "a: \0\n",
            "study.yaml: not valid YAML (unacceptable character #x0000: special characters are"
            " not allowed); mend the syntax",
        ),
        ("a: 1\n? {b: 1}\n: 2\n", "study.yaml:2: a key must be a single word"),
        ('a: 1\n"b\\nc": 2\n', "study.yaml:2: a key must be a single word"),
    ],
)
def test_what_is_no_study_is_told_in_one_line(text, complaint):
    assert complaints(text) == [complaint]


# --- files -----------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "absent.yaml"
    assert complaint_of(path) == f"{path}: no such file; give the path of a study's YAML file"


def test_a_folder_is_no_file(tmp_path):
    assert complaint_of(tmp_path) == (
        f"{tmp_path}: cannot be read (Is a directory); give a readable YAML file"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_named(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    assert complaint_of(path) == (
        f"{path}: cannot be read (Permission denied); give a readable YAML file"
    )


def test_a_file_that_fails_to_be_read_is_named(tmp_path):
    path = tmp_path / "study.yaml"
    path.symlink_to("/proc/self/mem")  # its first page is not mapped, not even for root
    assert complaint_of(path) == (
        f"{path}: cannot be read (Input/output error); give a readable YAML file"
    )


@pytest.mark.parametrize("content", ["naïve: 1".encode("latin-1"), b"PK\x03\x04\xff\xfe\x00\x01"])
def test_what_is_not_utf_8_text_is_named(tmp_path, content):
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    assert complaint_of(path) == (
        f"{path}: cannot be read (not UTF-8 text); give a readable YAML file"
    )


def test_a_file_of_a_megabyte_is_not_even_read(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("a: 1\n" * 250_000)
    started = time.process_time()
    assert complaint_of(path) == f"{path}: larger than 1,000,000 bytes; this is no study file"
    assert time.process_time() - started < 0.1


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


def overridden(*overrides: str) -> Document:
    return with_overrides(parse(BASE), overrides)


def test_a_dotted_key_is_set_and_the_rest_stays():
    assert overridden("baseline.epochs=1").data == {
        "name": "birds",
        "baseline": {"epochs": 1, "loss": {"margin": 0.2, "scale": 8}},
        "tables": [{"name": "first"}, {"name": "second"}],
    }


def test_a_number_in_a_key_is_an_index_of_a_list():
    assert overridden("tables.1.name=last").data["tables"] == [{"name": "first"}, {"name": "last"}]
    assert overridden("tables.0={name: only}").data["tables"][0] == {"name": "only"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("off", "off"),
        ("[0, 1]", [0, 1]),
        ("{a: [1]}", {"a": [1]}),
        ("true", True),
        ("", None),
        ("a=b", "a=b"),
        ("'3'", "3"),
    ],
)
def test_a_value_is_yaml(written, value):
    assert overridden(f"baseline.epochs={written}").data["baseline"]["epochs"] == value
    assert parse_value(written, "--set") == value


def test_a_mapping_is_replaced_as_a_whole():
    assert overridden("baseline.loss={margin: 0}").data["baseline"]["loss"] == {"margin": 0}
    assert overridden("baseline.loss.margin=0").data["baseline"]["loss"] == {
        "margin": 0,
        "scale": 8,
    }


def test_mappings_that_are_not_there_are_made():
    assert overridden("baseline.optimizer.lr=1").data["baseline"]["optimizer"] == {"lr": 1}


def test_the_last_of_several_wins():
    document = overridden("baseline.epochs=1", "baseline={epochs: 2}", "baseline.epochs=3")
    assert document.data["baseline"] == {"epochs": 3}


def test_the_document_itself_stays_as_it_was():
    document = parse(BASE)
    with_overrides(document, ["baseline.loss.margin=9", "tables.0.name=x"])
    assert document.data == parse(BASE).data
    assert document.origins == parse(BASE).origins


def test_messages_name_the_override_instead_of_a_line():
    document = overridden("baseline.loss={margin: -1}", "tables.1.name=A B")
    assert document.where(("baseline", "loss", "margin")) == "--set baseline.loss={margin: -1}"
    assert document.where(("tables", 1, "name")) == "--set tables.1.name=A B"
    assert document.where(("tables", 0, "name")) == "study.yaml:6"
    assert document.where(("baseline", "epochs")) == "study.yaml:3"


FORM = "not of the form key=value; write e.g. baseline.epochs=1"


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("epochs", FORM),
        ("=1", FORM),
        ("baseline.=1", FORM),
        ("..=1", FORM),
        ("tables.5={}", "tables[5] does not exist; the list has 2 items"),
        ("tables.5.name=x", "tables[5] does not exist"),
        ("tables.name=x", "tables.name does not exist; the list has 2 items"),
        ("tables.-1={}", "tables.-1 does not exist; the list has 2 items"),
        ("name.x=1", "name holds a single value, not keys to set"),
        ("name.x.y=1", "name.x does not exist"),
    ],
)
def test_an_override_that_cannot_be_set_is_told(override, complaint):
    with pytest.raises(InputError) as caught:
        overridden(override)
    assert caught.value.lines == (f"--set {override}: {complaint}",)


def test_an_override_that_is_no_yaml_is_told():
    with pytest.raises(InputError, match=r"^--set seeds=\[0:1: not valid YAML \(.*\); mend"):
        overridden("seeds=[0")
    with pytest.raises(InputError, match="x is given twice"):
        overridden("a={x: 1, x: 2}")


def test_a_digit_that_is_no_number_is_part_of_a_word():
    assert overridden("x²=1", "².y=2").data["²"] == {"y": 2}


def test_infinity_is_a_value_of_yaml():
    """It is refused where a number is checked, which knows the field's name."""
    assert parse("a: .inf\nb: 1e999\n").data == {"a": math.inf, "b": math.inf}
