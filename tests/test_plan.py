"""From a study to its distinct trials, each known by a digest of what decides its numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from concepthash.errors import InputError
from concepthash.plan import Plan, Trial, as_text, describe, find_trial, make_plan, missing_inputs
from concepthash.spec import (
    CubSpec,
    DatasetSpec,
    LossSpec,
    ManifestSpec,
    OpenClipText,
    OrthogonalEmbeddings,
    PaperbirdsSpec,
    TextFile,
    TrialSpec,
    changed,
    load_study,
)
from concepthash.spec.trial import TRIAL_FIELDS

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "studies").glob("*.yaml"))

BIRDS = PaperbirdsSpec(name="paperbirds")


def digest(spec: TrialSpec | None = None, *, dataset: DatasetSpec = BIRDS, seed: int = 0) -> str:
    return Trial(dataset=dataset, spec=spec or TrialSpec(), seed=seed).digest


@pytest.fixture
def plan(tmp_path):
    """Plans a small study with the tables and overrides given."""

    def planned(tables: str, *overrides: str, folder: str = ".") -> Plan:
        path = tmp_path / folder / "study.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "name: small\ndataset: {name: paperbirds}\n"
            "baseline: {num_bits: 16, language: off}\nseeds: [0, 1]\n"
            f"tables: {tables}\n"
        )
        return make_plan(load_study(path, overrides).spec)

    return planned


BITS = "[{name: bits, rows: {num_bits: [16, 32]}}]"


# --- cells and trials ------------------------------------------------------------------------


def test_a_table_has_a_cell_for_each_row_and_column_and_a_cell_a_trial_for_each_seed(plan):
    (table,) = plan("[{name: t, rows: {num_bits: [16, 32]}, columns: {epochs: [1, 2, 3]}}]").tables
    assert [(cell.row, cell.column) for cell in table.cells] == [
        ("16 bits", "epochs = 1"),
        ("16 bits", "epochs = 2"),
        ("16 bits", "epochs = 3"),
        ("32 bits", "epochs = 1"),
        ("32 bits", "epochs = 2"),
        ("32 bits", "epochs = 3"),
    ]
    trials = table.cell("32 bits", "epochs = 2").trials
    assert [trial.seed for trial in trials] == [0, 1]
    assert {(trial.spec.num_bits, trial.spec.epochs) for trial in trials} == {(32, 2)}
    assert {trial.spec.language for trial in trials} == {"off"}


def test_the_same_cell_in_two_tables_is_one_trial(plan):
    both = plan(
        "[{name: bits, rows: {num_bits: [16, 32]}},"
        " {name: margin, rows: [{label: as it is}, {label: none, loss.margin: 0}]}]"
    )
    bits, margin = both.tables
    assert bits.cell("16 bits", "baseline").trials == margin.cell("as it is", "baseline").trials
    assert len(both.trials) == 3 * 2  # three distinct cells of four, two seeds
    assert list(both.trials) == [
        trial.digest for table in both.tables for cell in table.cells for trial in cell.trials
    ][:4] + [trial.digest for trial in margin.cell("none", "baseline").trials]


def test_a_search_has_no_trials_of_its_own_before_it_runs(plan):
    searched = plan("[{name: s, search: {space: {epochs: {low: 1, high: 3}}}}]")
    assert searched.trials == {}
    assert [table.name for table in searched.searches] == ["s"]
    assert (searched.baseline.seed, searched.baseline.spec.num_bits) == (0, 16)


CLAIMS = (
    "{name: claims, claims: ["
    "{claim: More bits are better, better: {num_bits: 32}, than: {}},"
    "{claim: L_csd spreads, metric: test/attention_overlap, better: {},"
    " than: {loss.concept_spatial_diversity: 0}}]}"
)


def test_a_claim_has_a_cell_for_each_side_with_a_trial_for_each_seed(plan):
    (table,) = plan(f"[{CLAIMS}]").tables
    assert [(cell.row, cell.column, cell.metric, cell.label) for cell in table.cells] == [
        ("More bits are better", "better", "test/map", "32 bits"),
        ("More bits are better", "than", "test/map", "baseline"),
        ("L_csd spreads", "better", "test/attention_overlap", "baseline"),
        (
            "L_csd spreads",
            "than",
            "test/attention_overlap",
            "loss.concept_spatial_diversity = 0",
        ),
    ]
    trials = table.cell("L_csd spreads", "than").trials
    assert [trial.seed for trial in trials] == [0, 1]
    assert {trial.spec.loss.concept_spatial_diversity for trial in trials} == {0.0}


def test_the_sides_of_claims_share_their_trials_with_grids_and_with_each_other(plan):
    both = plan(f"[{{name: bits, rows: {{num_bits: [16, 32]}}}}, {CLAIMS}]")
    bits, claims = both.tables
    assert claims.cell("More bits are better", "better").trials == bits.cells[1].trials
    assert claims.cell("More bits are better", "than").trials == bits.cells[0].trials
    assert claims.cell("L_csd spreads", "better").trials == bits.cells[0].trials
    assert len(both.trials) == 3 * 2  # 16 bits, 32 bits, without L_csd; two seeds
    assert list(plan(f"[{CLAIMS}]").trials)[:2] == [trial.digest for trial in bits.cells[1].trials]


# --- what a digest depends on ----------------------------------------------------------------

# Whoever has to change these has changed what every recorded run is known by. The first is
# printf '{"dataset":{"name":"paperbirds"},"format":1,"seed":0,"trial":{}}' | sha256sum
GOLDEN = {
    "the paper's": (Trial(dataset=BIRDS, spec=TrialSpec(), seed=0), "cb475f83adcc"),
    "a small one": (
        Trial(
            dataset=PaperbirdsSpec(name="paperbirds", species=4, families=2, difficulty="easy"),
            spec=TrialSpec(num_bits=16, language="off", loss=LossSpec(margin=0.0)),
            seed=2,
        ),
        "197e15db00bd",
    ),
    "one with files": (
        Trial(
            dataset=CubSpec(name="cub", root=Path("/data/CUB_200_2011"), num_classes=50),
            spec=changed(
                TrialSpec(language=TextFile(source="file", embeddings=Path("/data/text.st"))),
                {"backbone.weights": "/data/vit.safetensors", "optimizer.name": "adamw"},
            ),
            seed=1,
        ),
        "a1f65ae2e5bb",
    ),
}


@pytest.mark.parametrize(("trial", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_a_digest_is_forever(trial, expected):
    assert trial.digest == expected


@pytest.mark.parametrize(("trial", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_a_trial_sent_to_another_process_is_the_same_trial(trial, expected):
    received = Trial.model_validate_json(trial.model_dump_json())
    assert received == trial
    assert received.digest == expected


# Another valid value for every field; the first baseline it is valid for is `BASELINES[...]`.
OTHER = {
    "num_bits": 32,
    "num_concepts": 8,
    "epochs": 99,
    "batch_size": 33,
    "loss": {"margin": 0.3},
    "loss.classification": 0.5,
    "loss.quantization": 0,
    "loss.concept_spatial_diversity": 2,
    "loss.concept_discrimination": 0.1,
    "loss.scale": 9,
    "loss.margin": 0,
    "language": "off",
    "language.source": "open_clip",
    "language.model": "paperbirds",
    "language.pretrained": "none",
    "language.prompts": ["{}", "a photo of a {}"],
    "language.binarize": "on",
    "language.embeddings": "/data/other.safetensors",
    "language.width": 100,
    "backbone": {"image_size": 256},
    "backbone.name": "vit_paperbirds_patch8_64",
    "backbone.weights": "none",
    "backbone.image_size": 64,
    "tuning": "full",
    "tuned_blocks": 2,
    "adapter_width": 8,
    "adapter_sites": "mlp",
    "adapter_blocks": 2,
    "concept_width": 256,
    "refinement": "off",
    "refinement_heads": 4,
    "refinement_dropout": 0.1,
    "projection": "per-concept",
    "specificity": "off",
    "batch_norm": "off",
    "optimizer": {"lr": 1},
    "optimizer.name": "adamw",
    "optimizer.lr": 0.01,
    "optimizer.momentum": 0,
    "optimizer.weight_decay": 0,
    "optimizer.warmup_epochs": 0,
    "augmentation": "none",
    "precision": "fp32",
    "compile": "on",
    "protocol": "unseen",
    "unseen_share": 0.5,
    "unseen_search": "all",
    "folds": 3,
    "images_per_class": 5,
    "mean_center": "on",
    "validation_share": 0,
    "validate_every": 1,
}
FROM_FILE = TrialSpec(language=TextFile(source="file", embeddings=Path("/data/text.safetensors")))
BASELINES = {
    "language.source": TrialSpec(language="off"),  # with the defaults of that source
    "language.embeddings": FROM_FILE,
    "language.width": TrialSpec(language=OrthogonalEmbeddings(source="orthogonal")),
}


def test_every_field_has_another_value_to_be_tried():
    assert set(OTHER) == set(TRIAL_FIELDS)


@pytest.mark.parametrize("field", TRIAL_FIELDS)
def test_every_field_of_a_trial_changes_its_digest(field):
    before = BASELINES.get(field, TrialSpec())
    after = changed(before, {field: OTHER[field]})
    assert after != before
    assert digest(after) != digest(before)


def test_no_two_of_these_digests_are_equal():
    specs = [changed(BASELINES.get(f, TrialSpec()), {f: OTHER[f]}) for f in TRIAL_FIELDS]
    different = {spec.model_dump_json() for spec in specs}
    assert len({digest(spec) for spec in specs}) == len(different)


@pytest.mark.parametrize(
    "change",
    [
        {"species": 41},
        {"families": 9},
        {"train_images": 21},
        {"test_images": 11},
        {"size": 65},
        {"seed": 1},
        {"difficulty": "hard"},
        {"num_classes": 10},
    ],
    ids=str,
)
def test_every_field_of_a_generated_data_set_changes_the_digest(change):
    assert digest(dataset=PaperbirdsSpec(name="paperbirds", **change)) != digest()
    assert set(PaperbirdsSpec.model_fields) == {
        *("name", "root", "species", "families", "train_images", "test_images", "size"),
        *("seed", "difficulty", "num_classes"),
    }


def test_the_kind_the_title_and_the_classes_of_a_data_set_change_the_digest():
    root = Path("/data")
    datasets = [
        CubSpec(name="cub", root=root),
        CubSpec(name="cub", root=root, num_classes=3),
        ManifestSpec(name="manifest", root=root),
        ManifestSpec(name="manifest", root=root, title="emoji"),
        ManifestSpec(name="manifest", root=root, num_classes=3),
        BIRDS,
    ]
    assert len({digest(dataset=dataset) for dataset in datasets}) == len(datasets)


def test_the_seed_changes_the_digest():
    assert len({digest(seed=seed) for seed in range(5)}) == 5


def test_a_digest_is_twelve_hexadecimal_digits():
    assert len(digest()) == 12
    assert int(digest(), 16) >= 0


# --- what a digest does not depend on --------------------------------------------------------


@pytest.mark.parametrize("kind", [CubSpec, ManifestSpec, PaperbirdsSpec])
def test_where_a_data_set_lies_does_not_change_the_digest(kind):
    name = {CubSpec: "cub", ManifestSpec: "manifest", PaperbirdsSpec: "paperbirds"}[kind]
    here, there = (kind(name=name, root=Path(root)) for root in ("/here/birds", "/there"))
    assert digest(dataset=here) == digest(dataset=there)


def test_where_a_file_lies_does_not_change_the_digest_but_its_name_does():
    def with_files(folder: str, weights: str = "vit.pth", text: str = "text.st") -> str:
        language = TextFile(source="file", embeddings=Path(folder, text))
        changes = {"backbone.weights": f"{folder}/{weights}"}
        return digest(changed(TrialSpec(language=language), changes))

    assert with_files("/here") == with_files("/there/deep")
    assert with_files("/here") != with_files("/here", weights="vit2.pth")
    assert with_files("/here") != with_files("/here", text="text2.st")


def test_a_default_that_is_written_out_does_not_change_the_digest():
    written = TrialSpec.model_validate_json(TrialSpec().model_dump_json())
    assert digest(written) == digest()
    explicit = OpenClipText(source="open_clip", model="ViT-B-32-quickgelu", pretrained="openai")
    assert digest(TrialSpec(language=explicit)) == digest()
    assert digest(changed(TrialSpec(), {"loss.scale": 8})) == digest()  # 8 is 8.0


def test_resources_the_working_directory_and_the_files_folder_do_not_change_digests(
    plan, tmp_path, monkeypatch
):
    tables = "[{name: t, rows: {backbone.weights: [none, w.pth]}}]"
    before = set(plan(tables).trials)
    assert set(plan(tables, "resources={cpu: 0.5, gpu: 1}", folder="other").trials) == before
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert set(plan(tables).trials) == before
    assert set(plan(tables, "title=Another", "description=x", "name=other").trials) == before


def test_the_order_of_keys_rows_and_tables_does_not_change_digests(plan):
    one = plan(
        "[{name: a, rows: [{num_bits: 32, epochs: 2}, {loss: {margin: 0, scale: 4}}]}]",
        "baseline={num_bits: 16, language: off, optimizer: {lr: 0.1, momentum: 0}}",
    )
    other = plan(
        "[{rows: [{loss: {scale: 4, margin: 0}}, {epochs: 2, num_bits: 32}], name: a}]",
        "baseline={optimizer: {momentum: 0, lr: 0.1}, language: off, num_bits: 16}",
    )
    assert set(one.trials) == set(other.trials)
    assert list(one.trials) != list(other.trials)


def test_a_field_added_later_leaves_old_digests_as_they_are():
    class LossSpecNextYear(LossSpec):
        temperature: float = 1.0

    class TrialSpecNextYear(TrialSpec):
        dropout: float = 0.0
        loss: LossSpecNextYear = LossSpecNextYear()

    class TrialNextYear(Trial):
        spec: TrialSpecNextYear

    for trial, expected in GOLDEN.values():
        dumped = trial.model_dump_json()
        assert TrialNextYear.model_validate_json(dumped).digest == expected
    used = TrialNextYear(dataset=BIRDS, spec=TrialSpecNextYear(dropout=0.1), seed=0)
    assert used.digest != digest()


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "first", "second"),
    [
        ("backbone.weights", "a/vit.pth", "b/vit.pth"),
        (
            "language",
            "{source: file, embeddings: a/text.st}",
            "{source: file, embeddings: b/text.st}",
        ),
        (
            "language",
            "{source: open_clip, pretrained: a/clip.pt}",
            "{source: open_clip, pretrained: b/clip.pt}",
        ),
    ],
)
def test_two_files_of_the_same_name_are_refused(plan, tmp_path, field, first, second):
    rows = f"[{{label: a, {field}: {first}}}, {{label: b, {field}: {second}}}]"
    with pytest.raises(InputError) as caught:
        plan(f"[{{name: t, rows: {rows}}}]")
    (line,) = caught.value.lines
    assert line.startswith(f"table t: {tmp_path}/")
    assert line.endswith(
        "has the same file name as another file of the study; a trial is known by the name,"
        " rename one"
    )


def test_the_same_file_twice_is_one_file(plan):
    same = plan(
        "[{name: t, rows: {backbone.weights: [a/vit.pth]}},"
        " {name: u, rows: {backbone.weights: [./a/vit.pth]}}]"
    )
    assert len(same.trials) == 2


def test_a_trial_knows_the_files_it_reads():
    trial, _ = GOLDEN["one with files"]
    assert sorted(trial.files()) == [Path("/data/text.st"), Path("/data/vit.safetensors")]
    assert GOLDEN["the paper's"][0].files() == []


def test_missing_files_and_folders_are_listed_once(plan, tmp_path):
    (tmp_path / "there.pth").touch()
    planned = plan(
        "[{name: t, rows: {backbone.weights: [there.pth, away.pth, none]}}]",
        f"dataset={{name: cub, root: {tmp_path / 'nowhere'}}}",
    )
    assert missing_inputs(planned) == [tmp_path / "nowhere", tmp_path / "away.pth"]


def test_a_search_needs_the_baselines_files(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planned = plan(
        "[{name: s, search: {space: {epochs: {low: 1, high: 3}}}}]",
        "baseline.backbone={weights: away.pth}",
    )
    assert missing_inputs(planned) == [tmp_path / "away.pth"]


def test_a_generated_data_set_is_never_missing(plan, tmp_path):
    assert missing_inputs(plan(BITS, f"dataset.root={tmp_path / 'not yet'}")) == []


# --- looking at a plan -----------------------------------------------------------------------


def test_a_trial_is_found_by_the_beginning_of_its_digest(plan):
    planned = plan(BITS)
    for known, trial in planned.trials.items():
        assert find_trial(planned, known) is trial
        assert find_trial(planned, known[:8]) is trial


def test_no_trial_and_several_trials_are_told(plan):
    planned = plan(BITS)
    with pytest.raises(
        InputError,
        match=r"^--id xyz: no trial of small begin so; see `plan` with the same --set$",
    ):
        find_trial(planned, "xyz")
    with pytest.raises(
        InputError,
        match=r"^--id : 4 trials of small begin so; see `plan` with the same --set$",
    ):
        find_trial(planned, "")


def test_parameters_are_every_field_by_its_dotted_name():
    trial, _ = GOLDEN["a small one"]
    parameters = trial.parameters()
    assert parameters["num_bits"] == 16
    assert parameters["loss.margin"] == 0.0
    assert parameters["language"] == "off"
    assert parameters["dataset.species"] == 4
    assert (parameters["seed"], parameters["protocol"]) == (2, "paper")
    leaves = {name for name in TRIAL_FIELDS if not name.startswith("language.")}
    assert leaves - {"loss", "backbone", "optimizer"} <= set(parameters)


def test_a_plan_is_described_as_plain_data(plan):
    planned = plan(
        "[{name: bits, title: Bits, rows: {num_bits: [16, 32]}},"
        " {name: s, search: {space: {epochs: {low: 1, high: 3}}}}]"
    )
    first, *others = planned.trials
    described = describe(planned, done={first, "not ours"})
    assert json.loads(json.dumps(described)) == described
    assert described["study"] == "small"
    bits, search = described["tables"]
    assert (bits["name"], bits["title"], bits["metric"]) == ("bits", "Bits", "test/map")
    assert [(cell["row"], cell["column"]) for cell in bits["cells"]] == [
        ("16 bits", "baseline"),
        ("32 bits", "baseline"),
    ]
    assert [d for cell in bits["cells"] for d in cell["trials"]] == list(planned.trials)
    assert (search["name"], search["cells"]) == ("s", [])
    assert search["search"]["space"]["epochs"]["high"] == 3
    assert described["trials"][0] == {"digest": first, "seed": 0, "done": True}
    assert [trial["done"] for trial in described["trials"]] == [True, False, False, False]
    assert [trial["digest"] for trial in described["trials"]] == [first, *others]


def test_a_plan_as_text_marks_what_is_done(plan):
    planned = plan(BITS)
    a, b, c, d = planned.trials
    assert as_text(planned, done={a, d}).splitlines() == [
        "small",
        "",
        "table bits (test/map)",
        f"  16 bits | baseline  {a}* {b}",
        f"  32 bits | baseline  {c}  {d}*",
        "",
        "4 distinct trials, 2 done (*)",
    ]


def test_a_plan_of_claims_is_described_and_written_with_both_sides(plan):
    planned = plan(f"[{CLAIMS}]")
    a, b, c, d, e, f = planned.trials
    described = describe(planned, done={a})
    assert json.loads(json.dumps(described)) == described
    (claims,) = described["tables"]
    assert claims["metric"] == "test/map, test/attention_overlap"
    assert claims["cells"][1] == {
        "row": "More bits are better",
        "column": "than",
        "metric": "test/map",
        "trials": [c, d],
    }
    assert [cell["trials"] for cell in claims["cells"]] == [[a, b], [c, d], [c, d], [e, f]]
    assert as_text(planned, done={a, d}).splitlines() == [
        "small",
        "",
        "table claims (test/map, test/attention_overlap)",
        f"  More bits are better | better  {a}* {b}",
        f"  More bits are better | than    {c}  {d}*",
        f"  L_csd spreads | better         {c}  {d}*",
        f"  L_csd spreads | than           {e}  {f}",
        "",
        "6 distinct trials, 2 done (*)",
    ]


def test_a_file_of_the_same_name_in_a_claim_is_refused(plan):
    rows = "{name: t, rows: {backbone.weights: [a/vit.pth]}}"
    claim = "{claim: b wins, better: {backbone.weights: b/vit.pth}, than: {}}"
    with pytest.raises(InputError, match=r"/vit\.pth has the same file name"):
        plan(f"[{rows}, {{name: c, claims: [{claim}]}}]")


# --- the package and its studies -------------------------------------------------------------


def test_planning_imports_nothing_that_takes_seconds(tmp_path):
    (tmp_path / "study.yaml").write_text(
        "name: x\ndataset: {name: paperbirds}\ntables: [{name: t, rows: {num_bits: [16]}}]\n"
    )
    code = """
import sys
from pathlib import Path
from concepthash.plan import make_plan, as_text
from concepthash.spec import load_study, study_schema
assert len(make_plan(load_study(Path("study.yaml")).spec).trials) == 3
study_schema()
heavy = {"torch", "torchvision", "timm", "open_clip", "ray", "mlflow", "optuna", "polars", "numpy"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_study_can_be_planned(path):
    planned = make_plan(load_study(path).spec)
    assert planned.trials or planned.searches
