"""What is said of a wrong key, value or choice: its place in the study, and what would be right."""

from __future__ import annotations

from typing import get_args

import pytest

from concepthash.data.readers import DatasetSpec
from concepthash.evaluation.catalogue import listed
from concepthash.spec import changed

# --- keys and types --------------------------------------------------------------------------

# What `--set` puts into the small study, and the beginning of what is said of it.
UNKNOWN_KEYS = """
resources.gpus=1 -> resources.gpus: unknown key; did you mean gpu?
resources.x=1 -> resources.x: unknown key; allowed: cpu, gpu
baseline.batchsize=1 -> baseline.batchsize: unknown key; did you mean batch_size?
baseline.zzz=1 -> baseline.zzz: unknown key; `concepthash-study schema` lists
baseline.lr=1 -> baseline.lr: unknown key; did you mean optimizer.lr?
tables.0.rows={lr: [1]} -> tables[0].rows.lr: no field of a trial; did you mean optimizer.lr?
tables.0.rows={width: [8]} -> tables[0].rows.width: no field of a trial; did you mean language
tables.0.metric=mAP -> tables[0].metric: no metric of a table; did you mean test/map or val/map?
tables.0.row=1 -> tables[0].row: unknown key; did you mean rows?
dataset.roof=x -> dataset.roof: unknown key; did you mean root?
baseline.loss.margn=1 -> baseline.loss.margn: unknown key; did you mean margin?
dataset={name: cub, root: x, size: 3} -> dataset.size: unknown key here; only another dataset has it
tables.0.rows={num_bit: [1]} -> tables[0].rows.num_bit: no field of a trial; did you mean num_bits?
tables.0.rows=[{optim.lr: 1}] -> tables[0].rows[0].optim.lr: no field of a trial; did you mean opt
tables.0.rows={seeds: [0]} -> tables[0].rows.seeds: no field of a trial; `concepthash-study
"""


@pytest.mark.parametrize("case", UNKNOWN_KEYS.strip().splitlines())
def test_an_unknown_key_comes_with_a_suggestion_or_with_what_is_allowed(complaints, case):
    override, begins = case.split(" -> ")
    (said,) = complaints(override)
    assert said.startswith(begins)


@pytest.mark.parametrize(
    "table",
    ["search={space: {num_bits: {low: 1, high: 2}}}", "claims=[{claim: a, better: {}, than: {}}]"],
)
def test_a_table_of_two_kinds_is_told_which_key_is_anothers(complaints, table):
    (said,) = complaints(f"tables.0.{table}")
    assert said == "6: tables[0].rows: unknown key here; only another kind of table has it"


WRONG_TYPES = """
baseline.epochs=3.0 -> baseline.epochs: input should be a valid integer, but got 3.0
baseline.epochs=true -> baseline.epochs: input should be a valid integer, but got true
baseline.epochs=null -> baseline.epochs: input should be a valid integer, but got null
baseline.epochs='3' -> baseline.epochs: input should be a valid integer, but got "3"
baseline.loss=x -> baseline.loss: must be a mapping, but got "x"
title=3 -> title: input should be a valid string, but got 3
seeds=0 -> seeds: must be a list, e.g. [0, 1, 2], but got 0
seeds=[] -> seeds: list should have at least 1 item, but got []
seeds=[0, -1] -> seeds[1]: input should be greater than or equal to 0, but got -1
seeds=[4294967296] -> seeds[0]: input should be less than 4294967296, but got 429
tables=x -> tables: must be a list, but got "x"
tables.0=x -> tables[0]: must be a mapping, but got "x"
dataset={name: cub} -> dataset.root: missing; it has no default
dataset={name: cub, root: 3} -> dataset.root: input should be a valid string, but got 3
baseline.language={source: file, embeddings: 3} -> baseline.language.embeddings: must be the path
tables.0.rows={num_bits: 16} -> tables[0].rows: num_bits needs a list of values
tables.0.rows={num_bits: []} -> tables[0].rows: num_bits needs a list of values
tables.0.rows=[16] -> tables[0].rows: must be fields with lists of values, or a list of {label,
"""


@pytest.mark.parametrize("case", WRONG_TYPES.strip().splitlines())
def test_a_value_of_another_type_is_not_converted(complaints, case):
    override, begins = case.split(" -> ")
    (said,) = complaints(override)
    assert said.startswith(begins)


def test_a_whole_number_will_do_where_a_number_is_asked_for(study):
    assert study("baseline.optimizer.lr=1", "resources.gpu=1").baseline.optimizer.lr == 1.0


def test_a_long_value_is_not_repeated_in_full(complaints):
    (said,) = complaints(f"baseline.epochs={'x' * 500}")
    assert said.rsplit("but got ", 1)[1] == '"' + "x" * 56 + "..."


# --- unions: method, tuning, optimizer, protocol, code_norm, refinement, language, dataset -----

SPELLINGS = """
tuning: full = {name: full}
tuning: {width: 8} = {name: adapters, width: 8}
optimizer: {lr: 1} = {name: sgd, lr: 1}
protocol: unseen = {name: unseen, share: 0.25}
code_norm: none = {name: none, specificity: on}
refinement: on = {}
language: orthogonal = {source: orthogonal}
"""


@pytest.mark.parametrize("case", SPELLINGS.strip().splitlines())
def test_the_short_and_the_long_form_of_a_choice_are_equal(study, case):
    field, _, spellings = case.partition(": ")
    short, long = spellings.split(" = ")
    assert study(f"baseline.{field}={short}") == study(f"baseline.{field}={long}")
    table = f"tables.0.rows=[{{{{label: a, {field}: {{}}}}}}]"
    rows = (study(table.format(spelling)).tables[0].rows[0] for spelling in (short, long))
    first, second = (changed(study().baseline, row.changes) for row in rows)
    assert first == second


TUNINGS = "adapters, prompt-only, last-blocks, full or linear-probe"
UNKNOWN_CHOICES = f"""
tuning=adapter -> baseline.tuning: unknown tuning 'adapter'; choose {TUNINGS}
tuning.name=adapter -> baseline.tuning.name: unknown tuning 'adapter'; choose {TUNINGS}
tuning=3 -> baseline.tuning: must be adapters, prompt-only, last-blocks, full, linear-probe or a map
optimizer.name=adam -> baseline.optimizer.name: unknown optimizer 'adam'; choose sgd or adamw
protocol=best -> baseline.protocol: unknown protocol 'best'; choose paper, published-code, unseen or
language=on -> baseline.language: unknown language 'on'; choose off, open_clip, file or orthogonal
language={{model: x}} -> baseline.language: source is missing; choose off, open_clip, file or ortho
refinement=yes -> baseline.refinement: must be off or a mapping, but got "yes"
method=pca -> baseline.method: unknown method 'pca'; choose concepthash, hashnet or itq
"""


@pytest.mark.parametrize("case", UNKNOWN_CHOICES.strip().splitlines())
def test_an_unknown_choice_is_told_the_choices(complaints, case):
    override, begins = case.split(" -> ")
    (said,) = complaints(f"baseline.{override}")
    assert said.startswith(begins)


def test_a_data_set_is_one_of_those_there_are(complaints):
    (said,) = complaints("dataset.name=cubs")
    kinds = get_args(get_args(DatasetSpec)[0])
    names = [kind.model_fields["name"].default for kind in kinds]
    assert said == f"dataset.name: unknown data set 'cubs'; choose {listed(names)}"
    (said,) = complaints("dataset={root: x}")
    assert said == f"dataset: name is missing; choose {listed(sorted(names))}"
    (said,) = complaints("dataset=cub")
    assert said.startswith("dataset: must be {name: ...}, with the name aircraft, cars, cub, ")


def test_a_method_without_tokens_offers_no_tuning_of_tokens(complaints):
    (said,) = complaints("baseline={method: hashnet, tuning: prompt-only}")
    assert said.endswith("'prompt-only'; choose adapters, last-blocks, full or linear-probe")


KEYS_OF_ANOTHER = """
tuning={name: full, width: 8} -> tuning.width: tuning: adapters
tuning={name: full, blocks: 8} -> tuning.blocks: tuning: adapters or last-blocks
optimizer={name: adamw, momentum: 0} -> optimizer.momentum: optimizer: sgd
protocol={folds: 3} -> protocol.folds: protocol: cross-split
code_norm={specificity: off} -> code_norm.specificity: code_norm: none
language={source: orthogonal, model: y} -> language.model: language: open_clip
iterations=3 -> iterations: method: itq
loss.alpha=3 -> loss.alpha: method: hashnet
"""


@pytest.mark.parametrize("case", KEYS_OF_ANOTHER.strip().splitlines())
def test_a_key_that_only_another_choice_has_is_told_with_that_choice(complaints, case):
    override, told = case.split(" -> ")
    key, choice = told.split(": ", 1)
    (said,) = complaints(f"baseline.{override}")
    assert said == f"baseline.{key}: unknown key here; it belongs to {choice}"
