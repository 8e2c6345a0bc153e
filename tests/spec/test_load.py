"""A study file is taken as a whole, or refused with every problem in it, each with its place."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from concepthash.errors import InputError
from concepthash.spec import (
    ClaimsTable,
    GridTable,
    OpenClipText,
    SearchTable,
    StudySpec,
    TextFile,
    TrialSpec,
    load_study,
    study_schema,
)

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "studies").glob("*.yaml"))

SMALL = """\
name: small
dataset: {name: paperbirds}
baseline:
  num_bits: 16
  language: off
tables:
  - name: bits
    rows: {num_bits: [16, 32]}
"""


@pytest.fixture
def study(tmp_path):
    """Loads SMALL, or the text given, with overrides."""

    def load(*overrides: str, text: str = SMALL) -> StudySpec:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return load_study(path, overrides).spec

    return load


@pytest.fixture
def complaints(study, tmp_path):
    """The lines of the refusal, without the file's folder."""

    def refused(*overrides: str, text: str = SMALL) -> list[str]:
        with pytest.raises(InputError) as caught:
            study(*overrides, text=text)
        assert all("\n" not in line for line in caught.value.lines)
        return [line.replace(f"{tmp_path}/", "") for line in caught.value.lines]

    return refused


# --- every problem at once -------------------------------------------------------------------

MISTAKES = """\
# A study with a mistake of every kind.
name: My Study
titel: Birds
dataset:
  name: paperbirds
  specis: 4
  size: 16
baseline:
  num_bits: 16
  num_concepts: 3
  epochs: "10"
  batch_size: 1
  loss: {quantization: -1, margn: 0.2}
  language: {source: open_clip, prompts: ["a bird"]}
  backbone:
    name: vit_paperbirds_patch8_64
    weights: imagenet
    image_size: 64.5
  tuning: adapter
  concept_width: 100
  refinement_heads: 8
  optimizer: {name: sgd, lr: .inf,
              momentum: 1.0}
  validation_share: 0.9
seeds: [0, 1, 0]
tables:
  - metric: test/accuracy
    rows: {num_bit: [16, 32]}
  - name: labels
    rows:
      - {label: a, num_bits: 16}
      - {label: a, num_bits: 32}
  - name: both
    rows: {num_bits: [16, 32]}
    columns: {num_bits: [16, 32]}
  - name: search
    search:
      space:
        optimizer.lr: {low: 1, high: 0.1, log: true}
        optimizr.lr: {low: 1, high: 2}
        loss.margin: {low: 0, high: 1, log: true}
        num_bits: {choices: []}
        tuning: {}
        epochs: {low: 1, high: 2, choices: [3]}
        batch_size: {low: few, high: 64}
resources: {cpu: 0}
protocol: best
"""

EXPECTED = """\
2: name: string should match pattern '^[a-z0-9][a-z0-9_-]*$', but got "My Study"
3: titel: unknown key; did you mean title?
6: dataset.specis: unknown key; did you mean species?
7: dataset.size: input should be greater than or equal to 32, but got 16
10: baseline.num_concepts: num_bits must be divisible by num_concepts (a concept has K/M bits), \
but got num_bits=16, num_concepts=3
11: baseline.epochs: input should be a valid integer, but got "10"
12: baseline.batch_size: input should be greater than or equal to 2, but got 1
13: baseline.loss.quantization: input should be greater than or equal to 0, but got -1
13: baseline.loss.margn: unknown key; did you mean margin?
14: baseline.language.prompts: a prompt holds the class name once, as {}, but got 'a bird'
17: baseline.backbone.weights: must be pretrained, none, or the path of a .safetensors or .pth \
file, but got 'imagenet'
18: baseline.backbone.image_size: input should be a valid integer, but got 64.5
19: baseline.tuning: input should be 'adapters', 'prompt-only', 'last-blocks', 'full' \
or 'linear-probe', but got "adapter"
21: baseline.refinement_heads: concept_width must be divisible by refinement_heads, but got \
concept_width=100, refinement_heads=8
22: baseline.optimizer.lr: input should be a finite number, but got Infinity
23: baseline.optimizer.momentum: input should be less than 1, but got 1.0
24: baseline.validation_share: input should be less than or equal to 0.5, but got 0.9
25: seeds: seeds must differ, but got [0, 1, 0]
27: tables[0].name: missing; it has no default
27: tables[0].metric: input should be 'test/map', 'val/map', 'test/cosine_map', \
'test/family_map', 'test/concept_map', 'test/quantization_error', 'test/bit_balance', \
'test/distinct_codes', 'test/attention_overlap', 'test/part_consistency', \
'test/part_coverage' or 'test/peak_stability', but got "test/accuracy"
28: tables[0].rows.num_bit: no field of a trial; did you mean num_bits?
30: tables[1].rows: labels must differ, but 'a' is repeated
33: tables[2]: num_bits varies in the rows and in the columns; keep one
39: tables[3].search.space.optimizer.lr: `low < high` must hold, but got low=1, high=0.1
40: tables[3].search.space.optimizr.lr: no field of a trial; did you mean optimizer.lr?
41: tables[3].search.space.loss.margin: a log range needs low > 0, but got low=0
42: tables[3].search.space.num_bits.choices: list should have at least 1 item after validation, \
not 0, but got []
43: tables[3].search.space.tuning: give choices: [...], or low: and high:
44: tables[3].search.space.epochs: give choices, or low and high, not both
45: tables[3].search.space.batch_size.low: input should be a valid number, but got "few"
46: resources.cpu: input should be greater than 0, but got 0
47: protocol: unknown key; allowed: baseline, dataset, description, name, resources, seeds, \
tables, title
"""


def test_every_problem_is_told_at_once_with_its_line_its_key_and_what_would_be_right(complaints):
    expected = [f"study.yaml:{line}" for line in EXPECTED.splitlines()]
    assert sorted(complaints(text=MISTAKES)) == sorted(expected)


def test_a_file_that_says_almost_nothing_is_told_what_is_missing(complaints):
    assert complaints(text="title: x\n") == [
        "study.yaml:1: name: missing; it has no default",
        "study.yaml:1: dataset: missing; it has no default",
        "study.yaml:1: tables: missing; it has no default",
    ]


def test_the_small_study_that_these_tests_break_is_right(study):
    spec = study()
    assert spec.seeds == (0, 1, 2)
    assert spec.baseline == TrialSpec(num_bits=16, language="off")
    (table,) = spec.tables
    assert isinstance(table, GridTable)
    assert [(row.label, row.changes) for row in table.rows] == [
        ("16 bits", {"num_bits": 16}),
        ("32 bits", {"num_bits": 32}),
    ]
    assert [(column.label, column.changes) for column in table.columns] == [("baseline", {})]


# --- unknown keys ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("baseline.num_bit=8", "baseline.num_bit: unknown key; did you mean num_bits?"),
        (
            "baseline.loss.quantisation=1",
            "baseline.loss.quantisation: unknown key; did you mean quantization?",
        ),
        (
            "baseline.optimizer.x=1",
            "baseline.optimizer.x: unknown key; allowed: lr, momentum, name, warmup_epochs,"
            " weight_decay",
        ),
        ("resources.gpus=1", "resources.gpus: unknown key; did you mean gpu?"),
        ("tables.0.row=1", "tables[0].row: unknown key; did you mean rows?"),
        ("dataset.roof=x", "dataset.roof: unknown key; did you mean root?"),
        (
            "dataset={name: cub, root: x, species: 3}",
            "dataset.species: unknown key here; only another kind of dataset has it",
        ),
        (
            "baseline.language={source: open_clip, embeddings: x}",
            "baseline.language.embeddings: unknown key here; only another kind of language has it",
        ),
        (
            "tables.0.search={space: {num_bits: {low: 16, high: 32}}}",
            "tables[0].rows: unknown key here; only another kind of tables has it",
        ),
    ],
)
def test_an_unknown_key_comes_with_a_suggestion_or_with_what_is_allowed(
    complaints, override, complaint
):
    (said,) = complaints(override)
    assert said.endswith(f": {complaint}")


@pytest.mark.parametrize(
    ("axis", "complaint"),
    [
        ("{num_bit: [1]}", "tables[0].rows.num_bit: no field of a trial; did you mean num_bits?"),
        (
            "{loss.quantisation: [1]}",
            "tables[0].rows.loss.quantisation: no field of a trial;"
            " did you mean loss.quantization?",
        ),
        (
            "{num_bits.x: [1]}",
            "tables[0].rows.num_bits.x: no field of a trial; did you mean num_bits?",
        ),
        (
            "[{label: a}, {label: b, optimiser.lr: 1}]",
            "tables[0].rows[1].optimiser.lr: no field of a trial; did you mean optimizer.lr?",
        ),
    ],
)
def test_a_table_over_a_field_that_does_not_exist_is_refused(complaints, axis, complaint):
    override = f"tables.0.rows={axis}"
    (said,) = complaints(override)
    assert said == f"--set {override}: {complaint}"


def test_a_table_over_what_belongs_to_the_study_lists_the_fields_of_a_trial(complaints):
    (said,) = complaints("tables.0.rows={zzz: [0, 1]}")
    assert (
        "tables[0].rows.zzz: no field of a trial; allowed: adapter_blocks, adapter_sites," in said
    )
    assert "optimizer.lr" in said


# --- strict types ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("baseline.epochs='3'", 'baseline.epochs: input should be a valid integer, but got "3"'),
        ("baseline.epochs=3.0", "baseline.epochs: input should be a valid integer, but got 3.0"),
        ("baseline.epochs=true", "baseline.epochs: input should be a valid integer, but got true"),
        ("baseline.epochs=null", "baseline.epochs: input should be a valid integer, but got null"),
        (
            "baseline.optimizer.lr='1'",
            'baseline.optimizer.lr: input should be a valid number, but got "1"',
        ),
        (
            "baseline.optimizer.lr=.nan",
            "baseline.optimizer.lr: input should be a finite number, but got NaN",
        ),
        ("title=3", "title: input should be a valid string, but got 3"),
        ("seeds=0", "seeds: input should be a valid array, but got 0"),
        ("seeds=[0, -1]", "seeds[1]: input should be greater than or equal to 0, but got -1"),
        ("seeds=[4294967296]", "seeds[0]: input should be less than 4294967296, but got 429"),
        ("baseline=x", 'baseline: input should be an object, but got "x"'),
        ("tables=x", 'tables: input should be a valid array, but got "x"'),
        ("tables.0=x", 'tables[0]: input should be an object, but got "x"'),
        (
            "baseline.language=on",
            "baseline.language: must be off, or a mapping with source: open_clip, file or"
            ' orthogonal, but got "on"',
        ),
    ],
)
def test_a_value_of_another_type_is_not_converted(complaints, override, complaint):
    (said,) = complaints(override)
    assert said.startswith(f"--set {override}: {complaint}")


def test_a_whole_number_will_do_where_a_number_is_asked_for(study):
    assert study("baseline.optimizer.lr=1", "resources.gpu=1").baseline.optimizer.lr == 1.0


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("dataset.name=cubs", ("'paperbirds', 'cub', 'manifest'", "cubs")),
        ("dataset={root: x}", ("name",)),
        ("baseline.language={source: fil}", ("off", "open_clip", "file", "fil")),
    ],
)
def test_an_unknown_kind_is_told_the_kinds_there_are(complaints, override, names):
    (said,) = complaints(override)
    assert all(name in said for name in names)


def test_a_long_value_is_not_repeated_in_full(complaints):
    (said,) = complaints(f"baseline.epochs={'x' * 500}")
    shown = said.rsplit("but got ", 1)[1]
    assert shown == '"' + "x" * 56 + "..."


# --- seeds, bits, tables ---------------------------------------------------------------------


def test_repeated_seeds_and_no_seeds_are_refused(complaints):
    assert complaints("seeds=[3, 4, 3]") == [
        "--set seeds=[3, 4, 3]: seeds: seeds must differ, but got [3, 4, 3]"
    ]
    assert complaints("seeds=[]") == [
        "--set seeds=[]: seeds: list should have at least 1 item after validation, not 0,"
        " but got []"
    ]


def test_bits_that_the_concepts_do_not_divide_are_told_with_both_numbers(complaints):
    (said,) = complaints("baseline.num_concepts=5")
    assert said == (
        "--set baseline.num_concepts=5: baseline.num_concepts: num_bits must be divisible by"
        " num_concepts (a concept has K/M bits), but got num_bits=16, num_concepts=5"
    )


def test_cells_that_make_no_valid_trial_are_named_where_they_are_written(complaints):
    text = SMALL + "    columns:\n      num_concepts: [4, 5]\n      epochs: [7]\n"
    law = "num_concepts: num_bits must be divisible by num_concepts (a concept has K/M bits), but"
    assert complaints(text=text) == [
        "study.yaml:9: tables[0].columns[1].num_concepts: cell (16 bits, M = 5, epochs = 7): "
        f"{law} got num_bits=16, num_concepts=5",
        "study.yaml:9: tables[0].columns[1].num_concepts: cell (32 bits, M = 5, epochs = 7): "
        f"{law} got num_bits=32, num_concepts=5",
    ]
    assert complaints("tables.0.rows=[{label: fine}, {label: odd, num_bits: 18}]") == [
        "--set tables.0.rows=[{label: fine}, {label: odd, num_bits: 18}]: tables[0].rows[1]:"
        f" cell (odd, baseline): {law} got num_bits=18, num_concepts=4"
    ]


@pytest.mark.parametrize(
    ("baseline", "changes", "idle"),
    [
        ("tuning: full", "adapter_width: 8", "adapter_width has no effect with tuning: full"),
        ("", "tuned_blocks: 2", "tuned_blocks has no effect with tuning: adapters"),
        ("", "folds: 3", "folds has no effect with protocol: paper"),
        (
            "optimizer: {name: adamw}",
            "optimizer.momentum: 0.5",
            "optimizer.momentum has no effect with optimizer.name: adamw",
        ),
        (
            "",
            "refinement: off, refinement_dropout: 0.5",
            "refinement_dropout has no effect with refinement: off",
        ),
    ],
)
def test_a_change_without_effect_would_train_the_same_again(complaints, baseline, changes, idle):
    text = SMALL.replace("  num_bits: 16\n", f"  num_bits: 16\n  {baseline}\n", 1)
    row = f"tables.0.rows=[{{label: plain}}, {{label: idle, {changes}}}]"
    (said,) = complaints(row, text=text)
    assert said.endswith(f": cell (idle, baseline): {idle}")
    claim = (
        "tables.0={name: c, claims: [{claim: x, metric: test/map, better: {epochs: 2},"
        f" than: {{{changes}}}}}]}}"
    )
    (said,) = complaints(claim, text=text)
    assert said.endswith(f": cell (x, than): {idle}")


def test_a_change_with_its_switch_is_no_mistake(study):
    for changes in (
        "tuning: last-blocks, tuned_blocks: 2",
        "tuning: full, adapter_width: 384",  # the baseline's
    ):
        (table,) = study(f"tables.0.rows=[{{label: a}}, {{label: b, {changes}}}]").tables
        assert [row.label for row in table.rows] == ["a", "b"]


def test_losses_that_know_no_classes(complaints):
    (said,) = complaints(
        "baseline.loss={classification: 0, quantization: 0, concept_discrimination: 0}"
    )
    assert said.endswith(
        "classification, quantization or concept_discrimination needs a weight above 0:"
        " concept_spatial_diversity knows no classes"
    )


def test_a_width_that_no_head_divides_matters_with_refinement_alone(study):
    assert (
        study("baseline.refinement=off", "baseline.concept_width=10").baseline.refinement == "off"
    )


def test_a_value_of_a_table_is_checked_like_the_baseline(complaints):
    (said,) = complaints("tables.0.rows={optimizer.lr: [1e-3, .inf]}")
    assert said.endswith(
        "tables[0].rows[1].optimizer.lr: cell (optimizer.lr = inf, baseline): optimizer.lr:"
        " input should be a finite number, but got Infinity"
    )
    (said,) = complaints("tables.0.rows={epochs: [0]}")
    assert said.endswith(
        "tables[0].rows[0].epochs: cell (epochs = 0, baseline): epochs:"
        " input should be greater than 0, but got 0"
    )


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        (
            "tables.0.rows={num_bits: 16}",
            "tables[0].rows: num_bits needs a list of values, e.g. num_bits: [1, 2]",
        ),
        (
            "tables.0.rows={num_bits: []}",
            "tables[0].rows: num_bits needs a list of values, e.g. num_bits: [1, 2]",
        ),
        (
            "tables.0.rows=16",
            "tables[0].rows: must be fields with lists of values, or a list of {label, field:"
            " value}",
        ),
        (
            "tables.0.rows=[16]",
            "tables[0].rows: must be fields with lists of values, or a list of {label, field:"
            " value}",
        ),
        (
            "tables.0.rows={num_bits: [16, 16]}",
            "tables[0].rows: labels must differ, but '16 bits' is repeated",
        ),
        (
            "tables=[{name: a, rows: [{}]}, {name: a, rows: [{}]}]",
            "tables: table names must differ, but a is repeated",
        ),
        ("tables=[]", "tables: list should have at least 1 item after validation, not 0"),
    ],
)
def test_a_table_that_means_nothing_is_refused(complaints, override, complaint):
    (said,) = complaints(override)
    assert said.startswith(f"--set {override}: {complaint}")


def test_both_spellings_of_an_axis_mean_the_same(study):
    product = study("tables.0.rows={num_bits: [16, 32], tuning: [full, adapters]}").tables[0]
    listed = study(
        "tables.0.rows=[{num_bits: 16, tuning: full}, {num_bits: 16, tuning: adapters},"
        " {num_bits: 32, tuning: full}, {num_bits: 32, tuning: adapters}]"
    ).tables[0]
    assert product == listed
    assert [row.label for row in listed.rows][:2] == [
        "16 bits, tuning = full",
        "16 bits, tuning = adapters",
    ]


# --- search spaces ---------------------------------------------------------------------------


def space(dimensions: str) -> str:
    return f"tables.0={{name: x, search: {{space: {{{dimensions}}}}}}}"


@pytest.mark.parametrize(
    ("dimensions", "complaint"),
    [
        (
            "optimizer.lr: {low: 3, high: 1}",
            "optimizer.lr: `low < high` must hold, but got low=3, high=1",
        ),
        (
            "optimizer.lr: {low: 1, high: 1}",
            "optimizer.lr: `low < high` must hold, but got low=1, high=1",
        ),
        (
            "loss.margin: {low: 0, high: 1, log: true}",
            "loss.margin: a log range needs low > 0, but got low=0",
        ),
        ("loss.margin: {low: 0}", "loss.margin: give choices: [...], or low: and high:"),
        ("tuning: {choices: [full], log: true}", "tuning: give choices, or low and high, not both"),
        ("loss.margin: {lo: 0, high: 1}", "loss.margin.lo: unknown key; did you mean low?"),
        ("tuning: [full]", 'tuning: input should be an object, but got ["full"]'),
        (
            "loss.margin: {low: .nan, high: 1}",
            "loss.margin.low: input should be a finite number, but got NaN",
        ),
        ("tunning: {choices: [full]}", "tunning: no field of a trial; did you mean tuning?"),
        (
            "tuning: {choices: [full, half]}",
            "tuning: combination {'tuning': 'half'}: tuning: input should be 'adapters',"
            " 'prompt-only', 'last-blocks', 'full' or 'linear-probe', but got \"half\"",
        ),
        (
            "epochs: {low: 1.5, high: 2}",
            "epochs: combination {'epochs': 1.5}: epochs: input should be a valid integer,"
            " but got 1.5",
        ),
        (
            "num_bits: {choices: [16, 24]}, num_concepts: {choices: [4, 16]}",
            "num_concepts: combination {'num_bits': 24, 'num_concepts': 16}: num_concepts:"
            " num_bits must be divisible by num_concepts (a concept has K/M bits), but got"
            " num_bits=24, num_concepts=16",
        ),
    ],
)
def test_a_search_space_that_cannot_be_searched_is_refused(complaints, dimensions, complaint):
    override = space(dimensions)
    (said,) = complaints(override)
    assert said == f"--set {override}: tables[0].search.space.{complaint}"


def test_an_empty_search_space_is_refused(complaints):
    (said,) = complaints(space(""))
    assert "tables[0].search.space: " in said
    assert "at least 1 item" in said


def test_a_search_table_is_read(study):
    override = space("optimizer.lr: {low: 1e-4, high: 1e-1, log: true}, num_bits: {choices: [16]}")
    (table,) = study(override).tables
    assert isinstance(table, SearchTable)
    assert (table.search.trials, table.search.show, table.search.seed) == (20, 5, 0)
    lr, bits = table.search.space["optimizer.lr"], table.search.space["num_bits"]
    assert (lr.low, lr.high, lr.log, lr.choices) == (1e-4, 1e-1, True, None)
    assert bits.choices == (16,)


# --- claims ----------------------------------------------------------------------------------

CLAIMS = """\
name: small
dataset: {name: paperbirds}
baseline: {num_bits: 16, language: off}
tables:
  - name: claims
    title: What the method claims
    claims:
      - claim: More bits are better
        better: {num_bits: 32, epochs: 7}
        than: {}
      - claim: L_csd spreads
        metric: test/attention_overlap
        better: {}
        than: {loss.concept_spatial_diversity: 0}
        note: Few images, so far.
"""


def test_a_claims_table_is_read(study):
    (table,) = study(text=CLAIMS).tables
    assert isinstance(table, ClaimsTable)
    assert (table.name, table.title) == ("claims", "What the method claims")
    bits, spread = table.claims
    assert (bits.claim, bits.metric, bits.note) == ("More bits are better", "test/map", "")
    assert bits.sides() == {"better": {"num_bits": 32, "epochs": 7}, "than": {}}
    assert (spread.metric, spread.note) == ("test/attention_overlap", "Few images, so far.")
    assert spread.than == {"loss.concept_spatial_diversity": 0}


WRONG_CLAIMS = """\
name: small
dataset: {name: paperbirds}
baseline: {num_bits: 16, language: off}
tables:
  - name: claims
    metric: test/map
    claims:
      - claim: More bits are better
        better: {num_bit: 32}
        than: {loss.margn: 0}
      - claim: "  "
        beter: {}
        than: {}
      - metric: test/overlap
        better: [num_bits]
        than: {label: without, num_bits: 32}
  - name: none
    claims: []
  - name: twice
    claims:
      - {claim: The same, better: {}, than: {num_bits: 32}}
      - {claim: The same, better: {}, than: {num_bits: 64}}
"""


def test_every_problem_of_a_claim_is_told_at_once_where_it_is_written(complaints):
    said = complaints(text=WRONG_CLAIMS)
    metric = next(line for line in said if "claims[2].metric" in line)
    assert metric.startswith(
        "study.yaml:14: tables[0].claims[2].metric: input should be 'test/map'"
    )
    fields = [line for line in said if "claims[2].than.label" in line]
    assert len(fields) == 1
    assert fields[0].startswith("study.yaml:16: tables[0].claims[2].than.label: no field of a")
    assert [line for line in said if line not in (metric, *fields)] == [
        "study.yaml:6: tables[0].metric: unknown key here; only another kind of tables has it",
        "study.yaml:9: tables[0].claims[0].better.num_bit: no field of a trial; did you mean"
        " num_bits?",
        "study.yaml:10: tables[0].claims[0].than.loss.margn: no field of a trial; did you mean"
        " loss.margin?",
        "study.yaml:11: tables[0].claims[1].claim: string should have at least 1 character, but"
        ' got "  "',
        "study.yaml:11: tables[0].claims[1].better: missing; it has no default",
        "study.yaml:12: tables[0].claims[1].beter: unknown key; did you mean better?",
        "study.yaml:14: tables[0].claims[2].claim: missing; it has no default",
        "study.yaml:15: tables[0].claims[2].better: input should be an object, but got"
        ' ["num_bits"]',
        "study.yaml:18: tables[1].claims: list should have at least 1 item after validation, not"
        " 0, but got []",
        "study.yaml:20: tables[2].claims: claims must differ, but 'The same' is repeated",
    ]


def test_a_side_that_makes_no_valid_trial_is_named_like_a_cell(complaints):
    text = CLAIMS.replace("num_bits: 32, epochs: 7", "num_bits: 18").replace(
        "concept_spatial_diversity: 0}", "concept_spatial_diversity: -1}"
    )
    assert complaints(text=text) == [
        "study.yaml:9: tables[0].claims[0].better: cell (More bits are better, better):"
        " num_concepts: num_bits must be divisible by num_concepts (a concept has K/M bits), but"
        " got num_bits=18, num_concepts=4",
        "study.yaml:14: tables[0].claims[1].than.loss.concept_spatial_diversity: cell (L_csd"
        " spreads, than): loss.concept_spatial_diversity: input should be greater than or equal"
        " to 0, but got -1",
    ]


@pytest.mark.parametrize(
    "better",
    ["{}", "{num_bits: 16}", "{loss: {margin: 0.2}, language: off}"],
    ids=["the same words", "the baseline's own value", "its default"],
)
def test_a_claim_whose_sides_are_the_same_trials_is_refused(complaints, better):
    text = CLAIMS.replace("{num_bits: 32, epochs: 7}", better)
    assert complaints(text=text) == [
        "study.yaml:8: tables[0].claims[0]: better and than must differ, but both make the same"
        " trials"
    ]


def test_a_table_of_two_kinds_is_told_which_keys_are_anothers(complaints):
    (said,) = complaints("tables.0.claims=[{claim: a, better: {}, than: {num_bits: 32}}]")
    assert said.endswith("tables[0].rows: unknown key here; only another kind of tables has it")


# --- paths -----------------------------------------------------------------------------------

PATHS = """\
name: paths
dataset: {name: cub, root: data/birds}
baseline:
  num_bits: 16
  language: {source: file, embeddings: ../text.safetensors}
  backbone: {weights: ./vit.safetensors}
tables:
  - name: weights
    rows: {backbone.weights: [none, pretrained, a.pth, sub/b]}
  - name: language
    rows:
      - {label: file, language: {source: file, embeddings: c.safetensors}}
      - {label: clip, language: {source: open_clip, pretrained: d.pt}}
      - {label: tag, language: {source: open_clip, pretrained: openai}}
  - name: search
    search: {space: {backbone.weights: {choices: [e.pth, none]}}}
  - name: claims
    claims:
      - {claim: f wins, better: {backbone.weights: f.pth}, than: {}}
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working directory that is not the file's folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_relative_paths_start_at_the_files_folder(tmp_path, elsewhere):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "paths.yaml").write_text(PATHS)
    spec = load_study(Path("../studies/paths.yaml")).spec
    assert spec.dataset.root == folder / "data/birds"
    assert isinstance(spec.baseline.language, TextFile)
    assert spec.baseline.language.embeddings == folder / "../text.safetensors"
    assert spec.baseline.backbone.weights == str(folder / "vit.safetensors")
    weights, language, search, claims = spec.tables
    assert [row.changes["backbone.weights"] for row in weights.rows] == [
        "none",
        "pretrained",
        str(folder / "a.pth"),
        str(folder / "sub/b"),
    ]
    assert [row.label for row in weights.rows] == [
        "backbone.weights = none",
        "backbone.weights = pretrained",
        "backbone.weights = a.pth",
        "backbone.weights = b",
    ]
    file, clip, tag = (row.changes["language"] for row in language.rows)
    assert file["embeddings"] == str(folder / "c.safetensors")
    assert clip["pretrained"] == str(folder / "d.pt")
    assert tag["pretrained"] == "openai"
    assert search.search.space["backbone.weights"].choices == (str(folder / "e.pth"), "none")
    assert claims.claims[0].better == {"backbone.weights": str(folder / "f.pth")}


def test_paths_of_overrides_start_at_the_working_directory(study, elsewhere):
    spec = study("dataset={name: cub, root: here}")
    assert spec.dataset.root == elsewhere / "here"
    assert study("dataset.root=made").dataset.root == elsewhere / "made"
    spec = study("baseline.backbone.weights=w.pth", "tables.0.rows={backbone.weights: [x/y]}")
    assert spec.baseline.backbone.weights == str(elsewhere / "w.pth")
    assert spec.tables[0].rows[0].changes == {"backbone.weights": str(elsewhere / "x/y")}
    language = study("baseline.language={source: file, embeddings: t}").baseline.language
    assert language == TextFile(source="file", embeddings=elsewhere / "t")


def test_absolute_paths_and_the_users_home_stay_what_they_are(study, monkeypatch):
    monkeypatch.setenv("HOME", "/somebody")
    assert study("dataset.root=/data").dataset.root == Path("/data")
    assert study("dataset.root=~/data").dataset.root == Path("/somebody/data")


def test_the_home_of_nobody_is_an_ordinary_name(study, elsewhere):
    assert study("dataset.root=~nobody-of-that-name/x").dataset.root == (
        elsewhere / "~nobody-of-that-name/x"
    )


# --- round trip, defaults --------------------------------------------------------------------


@pytest.mark.parametrize("text", [SMALL, PATHS], ids=["small", "every kind of table"])
def test_a_study_written_as_json_reads_back_equal(study, text):
    spec = study(text=text)
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec
    assert StudySpec.model_validate_json(json.dumps(spec.model_dump(mode="json"))) == spec


def test_a_study_cannot_be_changed(study):
    with pytest.raises(ValueError, match="frozen"):
        study().baseline.num_bits = 8


# A digest leaves out what equals its default. Whoever changes a default here changes what every
# old digest means, and must bump plan.DIGEST_FORMAT.
TRIAL_DEFAULTS = {
    "num_bits": 64,
    "num_concepts": 4,
    "epochs": 100,
    "batch_size": 32,
    "loss": {
        "classification": 1.0,
        "quantization": 1.0,
        "concept_spatial_diversity": 1.0,
        "concept_discrimination": 1.0,
        "scale": 8.0,
        "margin": 0.2,
    },
    "language": {
        "source": "open_clip",
        "model": "ViT-B-32-quickgelu",
        "pretrained": "openai",
        "prompts": ["a photo of a {}"],
        "binarize": "off",
    },
    "backbone": {
        "name": "vit_base_patch32_clip_quickgelu_224.openai",
        "weights": "pretrained",
        "image_size": 224,
    },
    "tuning": "adapters",
    "tuned_blocks": 1,
    "adapter_width": 384,
    "adapter_sites": "both",
    "adapter_blocks": None,
    "concept_width": 512,
    "refinement": "on",
    "refinement_heads": 8,
    "refinement_dropout": 0.0,
    "projection": "shared",
    "specificity": "on",
    "batch_norm": "on",
    "optimizer": {
        "name": "sgd",
        "lr": 0.001,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "warmup_epochs": 10,
    },
    "augmentation": "trivial",
    "precision": "auto",
    "compile": "off",
    "protocol": "paper",
    "unseen_share": 0.25,
    "unseen_search": "unseen",
    "folds": 5,
    "images_per_class": None,
    "mean_center": "off",
    "validation_share": 0.1,
    "validate_every": 5,
}
DATASET_DEFAULTS = {
    "paperbirds": {
        "num_classes": None,
        "root": None,
        "species": 40,
        "families": 8,
        "train_images": 20,
        "test_images": 10,
        "size": 64,
        "seed": 0,
        "difficulty": "normal",
    },
    "cub": {"num_classes": None},
    "manifest": {"num_classes": None, "title": "manifest"},
}


def test_the_defaults_of_a_trial_are_the_papers_and_stay_so():
    assert TrialSpec().model_dump(mode="json") == TRIAL_DEFAULTS
    assert TrialSpec().language == OpenClipText(source="open_clip")


@pytest.mark.parametrize("name", DATASET_DEFAULTS)
def test_the_defaults_of_a_data_set_stay_so(study, name):
    needs = "" if name == "paperbirds" else ", root: /data"
    dumped = study(f"dataset={{name: {name}{needs}}}").dataset.model_dump(mode="json")
    given = {"name": name} if name == "paperbirds" else {"name": name, "root": "/data"}
    assert dumped == {**DATASET_DEFAULTS[name], **given}


def test_the_defaults_of_a_study_stay_so(study):
    spec = study(text="name: x\ndataset: {name: paperbirds}\ntables: [{name: t, rows: [{}]}]\n")
    dumped = spec.model_dump(mode="json", exclude={"dataset"})
    assert dumped == {
        "name": "x",
        "title": "",
        "description": "",
        "baseline": TRIAL_DEFAULTS,
        "seeds": [0, 1, 2],
        "tables": [
            {
                "name": "t",
                "title": "",
                "metric": "test/map",
                "rows": [{"label": "baseline"}],
                "columns": [{"label": "baseline"}],
            }
        ],
        "resources": {"cpu": 1.0, "gpu": 0.0},
    }


# --- JSON Schema and the shipped studies -----------------------------------------------------


def plain(path: Path) -> dict:
    """The file as any editor's YAML library reads it."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def validator() -> jsonschema.protocols.Validator:
    schema = study_schema()
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


@pytest.mark.parametrize("text", [SMALL, PATHS], ids=["small", "every kind of table"])
def test_what_the_program_takes_the_schema_takes(study, text):
    study(text=text)
    validator().validate(YAML(typ="safe", pure=True).load(text))


def test_studies_are_shipped():
    assert SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_study_is_valid_for_the_editor_and_for_the_program(path):
    validator().validate(plain(path))
    load_study(path)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_study_names_the_committed_schema_to_the_editor(path):
    found = re.search(r"^# yaml-language-server: \$schema=(\S+)$", path.read_text(), re.MULTILINE)
    assert found, "no line `# yaml-language-server: $schema=...`"
    committed = json.loads((path.parent / found[1]).read_text())
    assert committed == study_schema()


def test_the_committed_schema_is_that_of_the_program():
    committed = json.loads((ROOT / "studies/study.schema.json").read_text())
    assert committed == study_schema(), "concepthash-study schema > studies/study.schema.json"


MISSPELT = [
    ("titel",),
    ("dataset", "specis"),
    ("baseline", "num_bit"),
    ("baseline", "loss", "margn"),
    ("baseline", "backbone", "weight"),
    ("resources", "gpus"),
    ("tables", 0, "row"),
    ("tables", 0, "rows", "num_bit"),
    ("tables", 1, "rows", 0, "num_bit"),
    ("tables", 1, "columns", "loss.margn"),
    ("tables", 2, "search", "spaces"),
    ("tables", 2, "search", "space", "optimizr.lr"),
    ("tables", 2, "search", "space", "optimizer.lr", "hig"),
    ("tables", 3, "metric"),
    ("tables", 3, "claims", 0, "beter"),
    ("tables", 3, "claims", 0, "than", "num_bit"),
]


@pytest.mark.parametrize("place", MISSPELT, ids=lambda place: ".".join(map(str, place)))
def test_the_schema_takes_a_study_and_refuses_a_misspelt_key(place):
    study = {
        "name": "x",
        "dataset": {"name": "paperbirds", "species": 4},
        "baseline": {"loss": {"margin": 0.1}, "backbone": {"weights": "none"}, "language": "off"},
        "tables": [
            {"name": "a", "rows": {"num_bits": [16, 32]}},
            {
                "name": "b",
                "rows": [{"label": "less", "loss.margin": 0.1, "tuning": "full"}],
                "columns": {"loss.scale": [4, 8]},
            },
            {"name": "c", "search": {"space": {"optimizer.lr": {"low": 0.1, "high": 1}}}},
            {"name": "d", "claims": [{"claim": "x", "better": {}, "than": {"num_bits": 32}}]},
        ],
        "resources": {"cpu": 1},
    }
    validator().validate(study)
    broken = copy.deepcopy(study)
    *parents, key = place
    target: dict = broken
    for parent in parents:
        target = target[parent]
    target[key] = 1
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(broken)


def test_a_search_needs_a_validation_part_to_choose_by(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: s\ndataset: {name: paperbirds}\nbaseline: {validation_share: 0}\ntables:\n"
        "  - {name: weights, search: {space: {loss.scale: {low: 1, high: 9}}}}\n"
    )
    with pytest.raises(InputError) as error:
        load_study(path)
    assert error.value.lines == (
        f"{path}:3: baseline.validation_share: must be above 0 for the search weights, which"
        " chooses by val/map",
    )
