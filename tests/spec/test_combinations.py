"""Valid values that make no valid trial together, or that change nothing, are refused."""

from __future__ import annotations

import re

import pytest

from concepthash.spec import SearchTable

LAW = "num_concepts: num_bits must be divisible by num_concepts (a concept has K/M bits), but got"


# --- cells of tables -------------------------------------------------------------------------


def test_cells_that_make_no_valid_trial_are_named_where_they_are_written(complaints, small):
    text = small + "    columns:\n      num_concepts: [4, 5]\n      epochs: [7]\n"
    place = "7: tables[0].columns[1].num_concepts"
    assert complaints(text=text) == [
        f"{place}: cell (16 bits, M = 5, epochs = 7): {LAW} num_bits=16, num_concepts=5",
        f"{place}: cell (32 bits, M = 5, epochs = 7): {LAW} num_bits=32, num_concepts=5",
    ]


# A row of the small study; below `tables[0].rows[0]`, where and what it is told.
ROWS = """
num_bits: 18 -> : cell (r, baseline): num_concepts: num_bits must be divisible by num_concepts
optimizer.lr: .inf -> .optimizer.lr: cell (r, baseline): optimizer.lr: input should be a finite num
tuning: adapter -> .tuning: cell (r, baseline): tuning.name: unknown tuning 'adapter'; choose adapt
method: pca -> .method: cell (r, baseline): method: unknown method 'pca'; choose concepthash, hashn
tuning: full, tuning.width: 8 -> .tuning.width: cell (r, baseline): tuning.width: unknown key here
epochs: 3, method: itq -> .epochs: cell (r, baseline): epochs: unknown key here; it belongs to meth
refinement: off, refinement.heads: 4 -> .refinement.heads: cell (r, baseline): refinement.heads: re
language.model: x -> .language.model: cell (r, baseline): language.model: language is off here
tuning: linear-probe -> : cell (r, baseline): num_concepts: tuning: linear-probe reads the class to
"""


@pytest.mark.parametrize("case", ROWS.strip().splitlines())
def test_a_row_that_makes_no_valid_trial_is_told_at_the_field_that_is_wrong(complaints, case):
    changes, begins = case.split(" -> ")
    (said,) = complaints(f"tables.0.rows=[{{label: r, {changes}}}]")
    assert said.startswith(f"tables[0].rows[0]{begins}")


def test_an_error_about_refinement_is_not_blamed_on_another_field(complaints):
    """`concept_width` breaks a law of `refinement`, of which `dropout` is but a part."""
    (said,) = complaints("tables.0.rows=[{label: r, concept_width: 100, refinement.dropout: 0.1}]")
    assert said.startswith("tables[0].rows[0]: cell (r, baseline): refinement: concept_width must")
    (said,) = complaints("tables.0.rows=[{label: r, epochs: 2, refinement: {heads: 5}}]")
    assert said.startswith("tables[0].rows[0].refinement: cell (r, baseline): refinement: concept")


# The baseline, a row or side of a claim, and the setting beside which it has no effect.
NO_EFFECT = """
-> num_concepts: 1, loss.concept_spatial_diversity: 0 -> num_concepts: 1
-> num_concepts: 1, loss: {concept_spatial_diversity: 0} -> num_concepts: 1
num_concepts: 1 -> projection: per-concept -> num_concepts: 1
-> tuning: linear-probe, num_concepts: 1, concept_width: 128 -> tuning: linear-probe
-> tuning: linear-probe, num_concepts: 1, refinement.heads: 4 -> tuning: linear-probe
validation_share: 0 -> validate_every: 2 -> validation_share: 0
"""


@pytest.mark.parametrize("case", NO_EFFECT.strip().splitlines())
def test_a_change_without_effect_would_train_the_same_again(complaints, case):
    baseline, changes, why = case.split("-> ")
    baseline = f"baseline={{num_bits: 16, language: off, {baseline}}}"
    (said,) = complaints(baseline, f"tables.0.rows=[{{label: a}}, {{label: r, {changes}}}]")
    assert re.match(r"tables\[0\]\.rows\[1\]\.\w", said)
    assert said.endswith(f" has no effect with {why}")
    claim = f"{{claim: x, better: {{epochs: 2}}, than: {{{changes}}}}}"
    (said,) = complaints(baseline, f"tables.0={{name: c, claims: [{claim}]}}")
    assert re.match(r"tables\[0\]\.claims\[0\]\.than\.\w", said)
    assert said.endswith(f" has no effect with {why}")


@pytest.mark.parametrize(
    "changes",
    [
        "tuning: last-blocks, tuning.blocks: 2",
        "num_concepts: 1, loss.concept_spatial_diversity: 1",  # the baseline's
        "validation_share: 0, protocol: published-code, validate_every: 2",
        "refinement: off, concept_width: 10",
    ],
)
def test_a_change_with_its_switch_is_no_mistake(study, changes):
    (table,) = study(f"tables.0.rows=[{{label: a}}, {{label: b, {changes}}}]").tables
    assert [row.label for row in table.rows] == ["a", "b"]


@pytest.mark.parametrize(
    "better",
    ["{}", "{num_bits: 16}", "{loss: {margin: 0.2}, language: off}"],
    ids=["the same words", "the baseline's own value", "its default"],
)
def test_a_claim_whose_sides_are_the_same_trials_is_refused(complaints, better):
    (said,) = complaints(
        f"tables.0={{name: c, claims: [{{claim: x, better: {better}, than: {{}}}}]}}"
    )
    assert said == (
        "tables[0].claims[0]: better and than must differ, but both make the same trials"
    )


# --- search spaces ---------------------------------------------------------------------------


def space(dimensions: str) -> str:
    return f"tables.0={{name: x, search: {{space: {{{dimensions}}}}}}}"


# A search space; below `tables[0].search.space`, where and what it is told.
SPACES = """
-> : dictionary should have at least 1 item
epochs: {low: 3, high: 1} -> .epochs: `low < high` must hold, but got low=3, high=1
epochs: {low: 1, high: 1} -> .epochs: `low < high` must hold, but got low=1, high=1
loss.margin: {low: 0, high: 1, log: true} -> .loss.margin: a log range needs low > 0, but got low=0
epochs: {low: 0} -> .epochs: give choices: [...], or low: and high:
tuning: {choices: [full], log: true} -> .tuning: give choices, or low and high, not both
epochs: {lo: 0, high: 1} -> .epochs.lo: unknown key; did you mean low?
tuning: [full] -> .tuning: must be {choices: [...]} or {low: ..., high: ...}, but got ["full"]
epochs: {low: .nan, high: 1} -> .epochs.low: input should be a finite number, but got NaN
tuning: {choices: [half]} -> .tuning: combination {'tuning': 'half'}: tuning.name: unknown tuning
epochs: {low: 1.5, high: 2} -> .epochs: combination {'epochs': 1.5}: epochs: input should be a val
num_bits: {choices: [18]}, epochs: {low: 1, high: 2} -> : combination {'num_bits': 18, 'epochs': 1}
tuning: {choices: [full]}, tuning.width: {low: 8, high: 9} -> .tuning.width: has no effect in any
"""


@pytest.mark.parametrize("case", SPACES.strip().splitlines())
def test_a_search_space_that_cannot_be_searched_is_refused(complaints, case):
    dimensions, begins = case.split("-> ")
    said, *others = complaints(space(dimensions))
    assert said.startswith(f"tables[0].search.space{begins}")
    assert all("combination" in line for line in others)  # each is told


def test_a_search_may_hold_fields_that_only_some_of_its_choices_have(study):
    override = space("tuning: {choices: [full, adapters]}, tuning.width: {low: 8, high: 16}")
    (table,) = study(override).tables
    assert isinstance(table, SearchTable)
    assert table.search.space["tuning"].choices == ("full", "adapters")
    assert table.search.space["tuning.width"].size == 9


def test_a_search_needs_a_validation_split_to_choose_by(complaints):
    (said,) = complaints("baseline.validation_share=0", space("loss.scale: {low: 1, high: 9}"))
    assert said == (
        "baseline.validation_share: must be above 0 for the search x, which chooses by val/map"
    )
