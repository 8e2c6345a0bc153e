"""What a study may not hold, however well it is written: each is refused in one short line."""

from __future__ import annotations

import time

import pytest

LONG = "x" * 300
MANY = f"num_bits: {[4 * n for n in range(1, 401)]}"
# What --set puts into the study, and how the problem goes on after it.
HOSTILE = {
    f"name={LONG}": "name: string should have at most 100 characters",
    f"tables.0.name={LONG}": "tables[0].name: string should have at most 100 characters",
    f"dataset={{name: cub, root: {LONG}}}": "dataset.root: a name in a path has at most 255 bytes",
    f"dataset={{name: cub, root: {'a/' * 3000}}}": "dataset.root: a path has at most 4,095 bytes",
    f"dataset={{name: manifest, root: a, title: {LONG}}}": "dataset.title: string should have at",
    f"baseline.backbone.weights={LONG}.pth": "baseline.backbone.weights: a name in a path has at",
    f"baseline.language={{source: file, embeddings: {LONG}}}": "baseline.language.embeddings: a n",
    f"baseline.language={{source: open_clip, pretrained: {LONG}}}": "baseline.language.pretrained",
    f"tables.0.rows=[{{label: {LONG}}}]": "tables[0].rows: a label has at most 200 characters",
    r'dataset={name: cub, root: "a\0b"}': "dataset.root: a path holds the control character",
    r'dataset={name: paperbirds, root: "~\0"}': "dataset.root: a path holds the control character",
    r'tables.0.rows=[{label: a, backbone.weights: "\0.pth"}]': "backbone.weights: a path holds",
    r'title="\e[31m"': "title: holds the control character",
    r'tables.0.rows=[{label: "a\nb"}]': "tables[0].rows: the label 'a\\nb' holds the control",
    'tables.0.rows=[{"{x}": 1}]': "tables[0].rows[0].{x}: no field of a trial",
    "dataset={name: paperbirds, test_images: 1000000000000}": "dataset.test_images: input should",
    "baseline.tuning.width=1000000000000": "baseline.tuning.width: input should be less than",
    "baseline.num_bits=1000000000000": "baseline.num_bits: input should be less than or equal",
    "baseline.batch_size=100000000000": "baseline.batch_size: input should be less than or eq",
    "baseline.epochs=100000000000": "baseline.epochs: input should be less than or equal to",
    "baseline.concept_width=1000000000": "baseline.concept_width: input should be less than",
    "baseline.num_concepts=100000000": "baseline.num_concepts: input should be less than or",
    "baseline.optimizer.lr=1e300": "baseline.optimizer.lr: input should be less than or equal",
    "seeds=[18446744073709551616]": "seeds[0]: input should be less than 4294967296",
    "resources.cpu=1e-5": "resources.cpu: input should be greater than or equal to 0.01",
    "resources.cpu=.nan": "resources.cpu: input should be a finite number",
    "resources.gpu=.inf": "resources.gpu: input should be a finite number",
    "resources.gpu=-1": "resources.gpu: input should be greater than or equal to 0",
    "resources.gpu=1.5": "resources.gpu: must be 0, a share from 0.01 to 1, or a whole number",
    f"tables.0.rows={{{MANY}, epochs: {list(range(1, 251))}}}": "tables[0].rows: 100,000 combin",
    f"tables.0={{name: a, rows: {{{MANY}}}, columns: {{epochs: {list(range(1, 251))}}}}}": (
        "tables: 300,000 trials in all, but a study has at most 10,000"
    ),
}


@pytest.mark.parametrize("override", HOSTILE, ids=lambda override: override[:40])
def test_a_value_past_its_limit_is_refused_in_one_short_line_at_once(complaints, override):
    start = time.process_time()
    (said,) = complaints(override)
    assert HOSTILE[override] in said
    assert len(said) < 500
    assert time.process_time() - start < 3


def test_what_is_at_its_limit_is_taken(study):
    spec = study(
        f"name={'x' * 100}",
        f"title={'x' * 200}",
        "baseline.tuning.width=4096",
        "baseline.num_bits=4096",
        "baseline.epochs=100000",
        "resources={cpu: 0.01, gpu: 4}",
        f"dataset={{name: cub, root: {'x' * 255}}}",
    )
    assert spec.baseline.tuning.width == 4096
    trials = study(f"seeds={list(range(1000))}", f"tables.0.rows={{epochs: {list(range(1, 11))}}}")
    assert len(trials.seeds) * len(trials.tables[0].rows) == 10_000


def test_a_label_that_a_row_gets_of_its_values_may_be_too_long_and_asks_for_one(study, complaints):
    prompts = [f"a photo of the {'very ' * 9}{{}} number {n}" for n in range(5)]
    (said,) = complaints(f"tables.0.rows=[{{language.prompts: {prompts}}}]")
    assert said.endswith("write the row with a label: {label: ..., field: value}")
    study(
        "baseline.language=open_clip", f"tables.0.rows=[{{label: a, language.prompts: {prompts}}}]"
    )
