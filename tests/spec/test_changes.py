"""What a table changes of the baseline: fields, choices with fields of their own, and both."""

from __future__ import annotations

from itertools import permutations

import pytest
from pydantic import ValidationError

from concepthash.spec import (
    TRIAL_FIELDS,
    ConceptHashTrial,
    HashNetTrial,
    ItqTrial,
    changed,
    effective,
    has_field,
    label_of,
    parse_trial,
    reason_without_effect,
    value_of,
)
from concepthash.spec.changes import applicable
from concepthash.spec.optimizer import AdamW, Sgd
from concepthash.spec.tuning import Adapters, Full, LastBlocks, PromptOnly

PAPER = ConceptHashTrial()
SMALL = parse_trial(
    {
        "num_bits": 16,
        "epochs": 7,
        "tuning": {"width": 64, "sites": "mlp"},
        "optimizer": {"lr": 0.5, "momentum": 0.1},
        "loss": {"margin": 0.5},
        "language": "off",
    }
)


# --- changed ---------------------------------------------------------------------------------


def test_a_field_is_replaced_and_the_others_stay():
    trial = changed(SMALL, {"loss.scale": 2.0, "num_bits": 32})
    assert (trial.num_bits, trial.loss.scale, trial.loss.margin) == (32, 2.0, 0.5)
    assert trial.optimizer == SMALL.optimizer
    assert changed(SMALL, {}) == SMALL


def test_a_whole_value_begins_at_its_defaults():
    trial = changed(SMALL, {"tuning": {"name": "adapters", "blocks": 2}, "loss": {"scale": 2.0}})
    assert trial.tuning == Adapters(blocks=2)
    assert (trial.loss.scale, trial.loss.margin) == (2.0, PAPER.loss.margin)


def test_a_word_chooses_a_member_with_its_defaults():
    assert changed(SMALL, {"tuning": "full"}).tuning == Full()
    assert changed(SMALL, {"tuning": "adapters"}).tuning == Adapters()
    assert changed(SMALL, {"refinement": "off"}).refinement == "off"
    assert changed(SMALL, {"refinement": "on"}).refinement == PAPER.refinement


def test_choosing_an_optimizer_by_its_name_keeps_what_both_have():
    assert changed(SMALL, {"optimizer.name": "adamw"}).optimizer == AdamW(lr=0.5)
    there = changed(SMALL, {"optimizer.name": "adamw"})
    assert changed(there, {"optimizer.name": "sgd"}).optimizer == Sgd(lr=0.5)  # momentum is lost


def test_choosing_a_tuning_by_its_name_drops_a_field_that_means_another_thing_there():
    adapters = changed(SMALL, {"tuning.blocks": 3})
    assert changed(adapters, {"tuning.name": "last-blocks"}).tuning == LastBlocks()


def test_another_method_keeps_the_fields_that_methods_share():
    hashnet = changed(SMALL, {"method": "hashnet"})
    assert hashnet == HashNetTrial(
        num_bits=16, epochs=7, tuning=SMALL.tuning, optimizer=SMALL.optimizer
    )
    assert changed(SMALL, {"method": "itq"}) == ItqTrial(num_bits=16)
    assert changed(hashnet, {"method": "concepthash"}) == ConceptHashTrial(
        num_bits=16, epochs=7, tuning=SMALL.tuning, optimizer=SMALL.optimizer
    )


def test_another_method_drops_a_tuning_that_it_does_not_have():
    prompts = changed(SMALL, {"tuning": "prompt-only"})
    assert prompts.tuning == PromptOnly()
    assert changed(prompts, {"method": "hashnet"}).tuning == Adapters()


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"tuning": "last-blocks", "tuning.blocks": 3}, "tuning", LastBlocks(blocks=3)),
        ({"tuning": {"sites": "mlp"}, "tuning.width": 8}, "tuning", Adapters(sites="mlp", width=8)),
        ({"tuning.name": "last-blocks", "tuning.blocks": 3}, "tuning", LastBlocks(blocks=3)),
        ({"method": "hashnet", "tuning": "full"}, "tuning", Full()),
        ({"method": "hashnet", "loss.alpha": 0.5, "loss": {}}, "loss.alpha", 0.5),
        ({"language.source": "orthogonal", "language.width": 9}, "language.width", 9),
        ({"refinement": "on", "refinement.heads": 4}, "refinement.heads", 4),
        ({"num_concepts": 1, "tuning": "linear-probe"}, "tuning.name", "linear-probe"),
    ],
    ids=str,
)
def test_the_order_of_changes_does_not_matter(changes, field, value):
    trials = [changed(SMALL, dict(items)) for items in permutations(changes.items())]
    assert all(value_of(trial, field) == value for trial in trials)
    assert all(trial == trials[0] for trial in trials)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_bit": 16},
        {"loss.margn": 0},
        {"tuning": "adapter"},
        {"tuning": "full", "tuning.width": 8},
        {"method": "hashnet", "num_concepts": 4},
        {"method": "hashnet", "tuning": "prompt-only"},
        {"method": "itq", "epochs": 3},
        {"method": ["hashnet"]},
        {"optimizer.name": "adamw", "optimizer.momentum": 0.5},
        {"refinement": "off", "refinement.heads": 4},
        {"language.model": "a"},  # language is off
        {"num_bits": 18},
        {"epochs": "3"},
    ],
    ids=str,
)
def test_changes_that_make_no_trial_raise(changes):
    with pytest.raises(ValidationError):
        changed(SMALL, changes)


# --- applicable ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dropped"),
    [
        ({"tuning": "adapters", "tuning.width": 8}, set()),
        ({"tuning": "full", "tuning.width": 8}, {"tuning.width"}),
        ({"tuning.width": 8, "tuning.name": "full"}, {"tuning.width"}),
        ({"tuning": "last-blocks", "tuning.width": 8, "tuning.blocks": 2}, {"tuning.width"}),
        ({"refinement": "off", "refinement.heads": 4}, {"refinement.heads"}),
        ({"refinement": "on", "refinement.heads": 4}, set()),
        ({"language": "off", "language.binarize": "on"}, {"language.binarize"}),
        ({"language.source": "orthogonal", "language.width": 64}, set()),
        ({"method": "hashnet", "num_concepts": 8, "language": "off"}, {"num_concepts", "language"}),
        ({"method": "itq", "epochs": 3, "tuning": "full"}, {"epochs", "tuning"}),
        ({"method": "hashnet", "loss.alpha": 0.1, "loss.margin": 0}, {"loss.margin"}),
        ({"tuning": "linear-probe", "num_concepts": 1, "concept_width": 64}, {"concept_width"}),
        ({"num_concepts": 1, "projection": "per-concept"}, {"projection"}),
    ],
    ids=str,
)
def test_a_proposal_keeps_what_the_choices_in_it_have_and_what_makes_a_difference(values, dropped):
    kept = applicable(SMALL, values)
    assert kept == {name: values[name] for name in values if name not in dropped}
    changed(SMALL, kept)  # is a valid trial


def test_a_proposal_that_makes_no_trial_raises():
    with pytest.raises(ValidationError):
        applicable(SMALL, {"num_bits": 18})
    with pytest.raises(ValidationError):
        applicable(SMALL, {"tuning": "linear-probe"})  # of four concepts


# --- effective, has_field --------------------------------------------------------------------

ONE = changed(PAPER, {"num_concepts": 1})
PROBE = changed(ONE, {"tuning": "linear-probe"})


@pytest.mark.parametrize(
    ("trial", "field"),
    [
        (ONE, "projection"),
        (ONE, "loss.concept_spatial_diversity"),
        (PROBE, "concept_width"),
        (PROBE, "refinement"),
        (PROBE, "refinement.dropout"),
        (changed(PAPER, {"validation_share": 0}), "validate_every"),
    ],
)
def test_a_field_that_makes_no_difference_is_not_there_in_effect(trial, field):
    assert has_field(PAPER, field)
    assert not has_field(trial, field)
    other = {
        "projection": "per-concept",
        "loss.concept_spatial_diversity": 0,
        "concept_width": 64,
        "refinement": "off",
        "refinement.dropout": 0.5,
        "validate_every": 2,
    }
    one, two = trial, changed(trial, {field: other[field]})
    assert one != two
    assert effective(one) == effective(two)


def test_a_field_is_without_effect_with_itself_and_its_parts_but_not_with_names_that_begin_alike():
    assert reason_without_effect(PROBE, "refinement.heads") == "tuning: linear-probe"
    assert reason_without_effect(PROBE, "refinement_heads") is None
    assert reason_without_effect(ONE, "loss") is None


def test_every_field_that_makes_a_difference_stays_in_effect():
    trial = changed(SMALL, {"projection": "per-concept", "validate_every": 2})
    assert effective(trial) == trial


def test_published_code_tests_without_a_validation_split():
    trial = changed(PAPER, {"validation_share": 0, "protocol": "published-code"})
    assert has_field(trial, "validate_every")


def test_a_trial_has_the_fields_of_its_method_and_of_its_choices():
    hashnet, itq = HashNetTrial(), ItqTrial()
    assert has_field(hashnet, "loss.alpha")
    assert not has_field(hashnet, "num_concepts")
    assert has_field(itq, "iterations")
    assert not has_field(itq, "epochs")  # a constant of the method, not a field
    assert not has_field(SMALL, "language.source")
    assert not has_field(SMALL, "tuning.name.x")


# --- names and labels ------------------------------------------------------------------------


def test_tables_may_vary_the_fields_of_all_methods_by_dotted_name():
    assert {"num_bits", "tuning", "tuning.width", "loss.margin", "loss.alpha", "iterations"} < set(
        TRIAL_FIELDS
    )
    assert len(TRIAL_FIELDS) == len(set(TRIAL_FIELDS))


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "baseline"),
        ({"num_bits": 16, "num_concepts": 2, "epochs": 3}, "16 bits, M = 2, epochs = 3"),
        ({"tuning": {"name": "adapters", "width": 8}}, "tuning = adapters"),
        ({"language": {"source": "file", "embeddings": "a/b.st"}}, "language = file"),
        ({"loss": {"margin": 0, "scale": 4}}, "loss.margin = 0, loss.scale = 4"),
        ({"backbone.weights": "/long/way/vit.pth"}, "backbone.weights = vit.pth"),
    ],
    ids=str,
)
def test_a_label_names_what_changes(changes, label):
    assert label_of(changes) == label
