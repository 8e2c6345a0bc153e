"""A study file is taken as a whole, or refused with every problem in it, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from concepthash.spec import (
    ClaimsTable,
    ConceptHashTrial,
    GridTable,
    StudySpec,
    TextFile,
    load_study,
)

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
  loss: {quantization: -1, margn: 0.2}
  language: {source: open_clip, prompts: ["a bird"]}
  backbone:
    weights: imagenet
    image_size: 64.5
  tuning: adapter
  concept_width: 100
  refinement: {heads: 8}
  optimizer: {name: adamw, lr: .inf,
              momentum: 0.9}
  protocol:
    name: best
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
        optimizr.lr: {low: 1, high: 2}
        batch_size: {low: few, high: 64}
resources: {cpu: 0}
"""

# Line, key and the beginning of what is said.
EXPECTED = [
    "2: name: string should match pattern",
    "3: titel: unknown key; did you mean title?",
    "6: dataset.specis: unknown key; did you mean species?",
    "7: dataset.size: input should be greater than or equal to 32, but got 16",
    "10: baseline.num_concepts: num_bits must be divisible by num_concepts",
    '11: baseline.epochs: input should be a valid integer, but got "10"',
    "12: baseline.loss.quantization: input should be greater than or equal to 0, but got -1",
    "12: baseline.loss.margn: unknown key; did you mean margin?",
    "13: baseline.language.prompts: a prompt holds the class name once",
    "15: baseline.backbone.weights: must be pretrained, none, or the path",
    "16: baseline.backbone.image_size: input should be a valid integer, but got 64.5",
    "17: baseline.tuning: unknown tuning 'adapter'; choose adapters, prompt-only,",
    "19: baseline.refinement: concept_width must be divisible by refinement.heads",
    "20: baseline.optimizer.lr: input should be a finite number, but got Infinity",
    "21: baseline.optimizer.momentum: unknown key here; it belongs to optimizer: sgd",
    "23: baseline.protocol.name: unknown protocol 'best'; choose paper,",
    "24: seeds: seeds must differ, but 0 is repeated",
    "26: tables[0].metric: no metric of a table; allowed: test/",
    "26: tables[0].name: missing; it has no default",
    "27: tables[0].rows.num_bit: no field of a trial; did you mean num_bits?",
    "29: tables[1].rows: labels must differ, but 'a' is repeated",
    "32: tables[2]: num_bits varies in the rows and in the columns; keep one",
    "38: tables[3].search.space.optimizr.lr: no field of a trial; did you mean optimizer.lr, ",
    '39: tables[3].search.space.batch_size.low: input should be a valid number, but got "few"',
    "40: resources.cpu: input should be greater than or equal to 0.01, but got 0",
]


def test_every_problem_is_told_at_once_in_the_order_of_lines_with_its_key(complaints):
    said = complaints(text=MISTAKES)
    assert [int(line.split(":")[0]) for line in said] == [int(e.split(":")[0]) for e in EXPECTED]
    for line, expected in zip(sorted(said), sorted(EXPECTED), strict=True):
        assert line.startswith(expected)


def test_a_file_that_says_almost_nothing_is_told_what_is_missing(complaints):
    assert sorted(complaints(text="title: x\n")) == [
        f"1: {key}: missing; it has no default" for key in ("dataset", "name", "tables")
    ]


def test_the_small_study_that_these_tests_break_is_right(study):
    spec = study()
    assert spec.seeds == (0, 1, 2)
    assert spec.baseline == ConceptHashTrial(num_bits=16, language="off")
    (table,) = spec.tables
    assert isinstance(table, GridTable)
    assert [(row.label, row.changes) for row in table.rows] == [
        ("16 bits", {"num_bits": 16}),
        ("32 bits", {"num_bits": 32}),
    ]
    assert [(column.label, column.changes) for column in table.columns] == [("baseline", {})]


def test_losses_that_know_no_classes_are_refused(complaints):
    weights = "{classification: 0, quantization: 0, concept_discrimination: 0}"
    (said,) = complaints(f"baseline.loss={weights}")
    assert said.startswith("baseline.loss: classification, quantization or concept_discrimination")


def test_both_spellings_of_an_axis_mean_the_same(study):
    product = study("tables.0.rows={num_bits: [16, 32], tuning: [full, adapters]}").tables[0]
    listed = study(
        "tables.0.rows=[{num_bits: 16, tuning: full}, {num_bits: 16, tuning: adapters},"
        " {num_bits: 32, tuning: full}, {num_bits: 32, tuning: adapters}]"
    ).tables[0]
    assert product == listed
    assert listed.rows[1].label == "16 bits, tuning = adapters"


# --- claims ----------------------------------------------------------------------------------

CLAIMS = """\
name: small
dataset: {name: paperbirds}
baseline: {num_bits: 16, language: off}
tables:
  - name: claims
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
    bits, spread = table.claims
    assert (bits.claim, bits.metric, bits.note) == ("More bits are better", "test/map", "")
    assert bits.sides() == {"better": {"num_bits": 32, "epochs": 7}, "than": {}}
    assert (spread.metric, spread.note) == ("test/attention_overlap", "Few images, so far.")


WRONG_CLAIMS = """\
name: small
dataset: {name: paperbirds}
baseline: {num_bits: 16, language: off}
tables:
  - name: claims
    metric: test/map
    claims:
      - claim: "  "
        beter: {}
        than: {loss.margn: 0}
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
    expected = [
        "6: tables[0].metric: unknown key here; only another kind of table has it",
        '8: tables[0].claims[0].claim: string should have at least 1 character, but got "  "',
        "8: tables[0].claims[0].better: missing; it has no default",
        "9: tables[0].claims[0].beter: unknown key; did you mean better?",
        "10: tables[0].claims[0].than.loss.margn: no field of a trial; did you mean loss.margin, ",
        "11: tables[0].claims[1].claim: missing; it has no default",
        "11: tables[0].claims[1].metric: no metric of a table",
        "12: tables[0].claims[1].better: must be a mapping, but got",
        "13: tables[0].claims[1].than.label: no field of a trial",
        "15: tables[1].claims: list should have at least 1 item, but got []",
        "17: tables[2].claims: claims must differ, but 'The same' is repeated",
    ]
    said = complaints(text=WRONG_CLAIMS)
    for line, begins in zip(sorted(said), sorted(expected), strict=True):
        assert line.startswith(begins)


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
    assert spec.baseline.language.embeddings == folder / "../text.safetensors"
    assert spec.baseline.backbone.weights == str(folder / "vit.safetensors")
    weights, language, search, claims = spec.tables
    assert [(row.changes["backbone.weights"], row.label) for row in weights.rows] == [
        ("none", "backbone.weights = none"),
        ("pretrained", "backbone.weights = pretrained"),
        (str(folder / "a.pth"), "backbone.weights = a.pth"),
        (str(folder / "sub/b"), "backbone.weights = b"),
    ]
    file, clip, tag = (row.changes["language"] for row in language.rows)
    assert file["embeddings"] == str(folder / "c.safetensors")
    assert (clip["pretrained"], tag["pretrained"]) == (str(folder / "d.pt"), "openai")
    assert search.search.space["backbone.weights"].choices == (str(folder / "e.pth"), "none")
    assert claims.claims[0].better == {"backbone.weights": str(folder / "f.pth")}


def test_paths_of_overrides_start_at_the_working_directory(study, elsewhere):
    assert study("dataset={name: cub, root: here}").dataset.root == elsewhere / "here"
    assert study("dataset.root=made").dataset.root == elsewhere / "made"
    spec = study("baseline.backbone.weights=w.pth", "tables.0.rows={backbone.weights: [x/y]}")
    assert spec.baseline.backbone.weights == str(elsewhere / "w.pth")
    assert spec.tables[0].rows[0].changes == {"backbone.weights": str(elsewhere / "x/y")}
    language = study("baseline.language={source: file, embeddings: t}").baseline.language
    assert language == TextFile(source="file", embeddings=elsewhere / "t")


def test_absolute_paths_and_the_users_home_stay_what_they_are(study, elsewhere, monkeypatch):
    monkeypatch.setenv("HOME", "/somebody")
    assert study("dataset.root=/data").dataset.root == Path("/data")
    assert study("dataset.root=~/data").dataset.root == Path("/somebody/data")
    no_user = study("dataset.root=~nobody-of-that-name/x").dataset.root
    assert no_user == elsewhere / "~nobody-of-that-name/x"


# --- round trip ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [PATHS, CLAIMS], ids=["paths", "claims"])
def test_a_study_written_as_json_reads_back_equal(study, text):
    spec = study(text=text)
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_study_cannot_be_changed(study):
    with pytest.raises(ValueError, match="frozen"):
        study().baseline.num_bits = 8
