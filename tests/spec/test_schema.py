"""The JSON Schema beside the studies lets an editor take and refuse what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from concepthash.spec import load_study, study_schema

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "studies").glob("*.yaml"))


def plain(text: str) -> dict:
    """A study as any editor's YAML library reads it."""
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture(scope="module")
def editor() -> jsonschema.protocols.Validator:
    schema = study_schema()
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_study_is_valid_for_the_editor_and_for_the_program(path, editor):
    text = path.read_text(encoding="utf-8")
    editor.validate(plain(text))
    load_study(path)
    named = re.search(r"^# yaml-language-server: \$schema=(\S+)$", text, re.MULTILINE)
    assert named, "no line `# yaml-language-server: $schema=...`"
    assert (path.parent / named[1]) == ROOT / "studies/study.schema.json"


def test_the_committed_schema_is_that_of_the_program():
    committed = json.loads((ROOT / "studies/study.schema.json").read_text())
    assert committed == study_schema(), "concepthash-study schema > studies/study.schema.json"


TAKEN = """
tuning: full
tuning: {name: full}
tuning: {width: 8}
optimizer: adamw
optimizer: {lr: 0.1, momentum: 0.5}
protocol: {name: cross-split, folds: 3}
code_norm: {name: none, specificity: off}
refinement: off
refinement: {dropout: 0.1}
language: off
language: orthogonal
method: hashnet
method: itq, iterations: 3
"""
REFUSED = """
num_bit: 16
tuning: adapter
tuning: {name: adapters, widht: 8}
tuning: {name: full, width: 8}
optimizer: {name: adamw, momentum: 0.5}
refinement: {haeds: 4}
language: {source: fil}
loss: {margn: 0}
method: hashnet, num_concepts: 4
iterations: 3
"""


@pytest.mark.parametrize("baseline", TAKEN.strip().splitlines())
def test_a_baseline_that_the_program_takes_is_valid_for_the_editor(study, small, editor, baseline):
    text = re.sub("baseline: .*", f"baseline: {{{baseline}}}", small)
    study(text=text)
    editor.validate(plain(text))


@pytest.mark.parametrize("baseline", REFUSED.strip().splitlines())
def test_a_baseline_that_the_program_refuses_is_not_valid_for_the_editor(
    complaints, small, editor, baseline
):
    text = re.sub("baseline: .*", f"baseline: {{{baseline}}}", small)
    assert complaints(text=text)
    assert not editor.is_valid(plain(text))


TABLES = """
{name: a, rows: {num_bits: [16, 32]}} -> num_bits
{name: b, rows: [{label: less, loss.margin: 0.1, tuning: full}]} -> loss.margin
{name: c, search: {space: {optimizer.lr: {low: 0.1, high: 1}}}} -> optimizer.lr
{name: c, search: {space: {optimizer.lr: {low: 0.1, high: 1}}}} -> high
{name: d, claims: [{claim: x, better: {}, than: {num_bits: 32}}]} -> num_bits
{name: d, claims: [{claim: x, better: {}, than: {num_bits: 32}}]} -> than
"""


@pytest.mark.parametrize("case", TABLES.strip().splitlines())
def test_the_editor_takes_each_kind_of_table_and_refuses_a_misspelt_key(editor, case):
    table, key = case.split(" -> ")
    study = "{{name: x, dataset: {{name: paperbirds}}, tables: [{}]}}"
    editor.validate(plain(study.format(table)))
    assert not editor.is_valid(plain(study.format(table.replace(f"{key}:", f"{key}s:"))))
