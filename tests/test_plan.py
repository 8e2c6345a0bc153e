"""From a study to its cells and its distinct trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from concepthash.data.readers import Paperbirds
from concepthash.errors import InputError
from concepthash.plan import Plan, Trial, find_trial, make_plan, missing_inputs
from concepthash.spec import ConceptHashTrial, HashNetTrial, load_study, parse_trial

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "studies").glob("*.yaml"))


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
SEARCH = "[{name: s, search: {space: {epochs: {low: 1, high: 3}}}}]"


# --- cells and trials ------------------------------------------------------------------------


def test_a_table_has_a_cell_for_each_row_and_column_and_a_cell_a_trial_for_each_seed(plan):
    (table,) = plan("[{name: t, rows: {num_bits: [16, 32]}, columns: {epochs: [1, 2]}}]").tables
    assert [(cell.row, cell.column) for cell in table.cells] == [
        ("16 bits", "epochs = 1"),
        ("16 bits", "epochs = 2"),
        ("32 bits", "epochs = 1"),
        ("32 bits", "epochs = 2"),
    ]
    trials = table.cell("32 bits", "epochs = 2").trials
    assert [trial.seed for trial in trials] == [0, 1]
    expected = ConceptHashTrial(num_bits=32, epochs=2, language="off")
    assert [trial.spec for trial in trials] == [expected] * 2
    assert {trial.dataset for trial in trials} == {Paperbirds()}


def test_the_rows_of_a_table_may_be_methods(plan):
    (table,) = plan("[{name: t, rows: {method: [concepthash, hashnet, itq]}}]").tables
    methods = [cell.trials[0].spec.method for cell in table.cells]
    assert methods == ["concepthash", "hashnet", "itq"]
    assert table.cell("method = hashnet", "baseline").trials[0].spec == HashNetTrial(num_bits=16)


def test_the_same_cell_in_two_tables_is_one_trial(plan):
    both = plan(
        "[{name: bits, rows: {num_bits: [16, 32]}},"
        " {name: margin, rows: [{label: as it is}, {label: none, loss.margin: 0}]}]"
    )
    bits, margin = both.tables
    shared = bits.cell("16 bits", "baseline").trials
    assert margin.cell("as it is", "baseline").trials == shared
    last = margin.cell("none", "baseline").trials
    first_seen = [*shared, *bits.cell("32 bits", "baseline").trials, *last]
    assert list(both.trials.values()) == first_seen
    assert list(both.trials) == [trial.digest for trial in first_seen]


def test_a_search_has_no_trials_of_its_own_before_it_runs(plan):
    searched = plan(SEARCH)
    assert searched.trials == {}
    assert [table.name for table in searched.searches] == ["s"]
    assert (searched.baseline.seed, searched.baseline.spec.num_bits) == (0, 16)
    assert plan(BITS).searches == ()


CLAIMS = (
    "{name: claims, claims: ["
    "{claim: More bits are better, better: {num_bits: 32}, than: {}},"
    "{claim: L_csd spreads, metric: test/attention_overlap, better: {},"
    " than: {loss.concept_spatial_diversity: 0}}]}"
)


def test_a_claim_has_a_cell_for_each_side_with_a_trial_for_each_seed(plan):
    (table,) = plan(f"[{CLAIMS}]").tables
    without = "loss.concept_spatial_diversity = 0"
    assert [(cell.row, cell.column, cell.metric, cell.label) for cell in table.cells] == [
        ("More bits are better", "better", "test/map", "32 bits"),
        ("More bits are better", "than", "test/map", "baseline"),
        ("L_csd spreads", "better", "test/attention_overlap", "baseline"),
        ("L_csd spreads", "than", "test/attention_overlap", without),
    ]
    assert table.metrics == ("test/map", "test/attention_overlap")
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


# --- trials stay what they are ---------------------------------------------------------------


def test_resources_titles_and_where_the_file_lies_make_no_other_trials(plan, tmp_path, monkeypatch):
    tables = "[{name: t, rows: {backbone.weights: [none, w.pth]}}]"
    before = list(plan(tables).trials)
    assert list(plan(tables, "resources={cpu: 0.5, gpu: 1}", folder="other").trials) == before
    assert list(plan(tables, "title=Another", "name=other").trials) == before
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert list(plan(tables).trials) == before


def test_the_order_of_keys_makes_no_other_trials(plan):
    one = plan(
        "[{name: a, rows: [{num_bits: 32, epochs: 2}, {loss: {margin: 0, scale: 4}}]}]",
        "baseline={num_bits: 16, optimizer: {lr: 0.1, momentum: 0}}",
    )
    other = plan(
        "[{rows: [{loss: {scale: 4, margin: 0}}, {epochs: 2, num_bits: 32}], name: a}]",
        "baseline={optimizer: {momentum: 0, lr: 0.1}, num_bits: 16}",
    )
    assert set(one.trials) == set(other.trials)
    assert len(one.trials) == 4


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"method": "hashnet", "tuning": {"name": "last-blocks", "blocks": 2}},
        {"language": {"source": "file", "embeddings": "/data/text.st"}, "refinement": "off"},
        {
            "language": {"source": "open_clip", "prompts": ["a {}", "the {}"]},
            "method": "concepthash",
        },
    ],
    ids=str,
)
def test_a_trial_sent_as_json_is_the_same_trial(settings):
    trial = Trial(dataset=Paperbirds(species=4, families=2), spec=parse_trial(settings), seed=1)
    received = Trial.model_validate_json(trial.model_dump_json())
    assert received == trial
    assert received.digest == trial.digest


def test_the_parameters_of_a_trial_are_every_field_by_its_dotted_name():
    spec = parse_trial({"num_bits": 16, "language": "off", "tuning": "last-blocks"})
    parameters = Trial(dataset=Paperbirds(species=4, families=2), spec=spec, seed=2).parameters()
    assert parameters["num_bits"] == 16
    assert parameters["language"] == "off"
    assert (parameters["tuning.name"], parameters["tuning.blocks"]) == ("last-blocks", 1)
    assert (parameters["dataset.name"], parameters["dataset.species"]) == ("paperbirds", 4)
    assert (parameters["seed"], parameters["method"]) == (2, "concepthash")
    assert not any(isinstance(value, dict) for value in parameters.values())


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backbone.weights", "{}/vit.pth"),
        ("language", "{{source: file, embeddings: {}/text.st}}"),
        ("language", "{{source: open_clip, pretrained: {}/clip.pt}}"),
    ],
)
def test_files_are_known_by_what_they_hold(plan, tmp_path, field, value):
    """Whatever their names: a copy is the same trial, another file of the name is not."""

    def digests(*folders: str) -> list[str]:
        rows = (f"{{label: {a}, {field}: {value.format(a)}}}" for a in folders)
        (table,) = plan(f"[{{name: t, rows: [{', '.join(rows)}]}}]").tables
        return [cell.trials[0].digest for cell in table.cells]

    for folder, content in (("a", "one"), ("b", "two"), ("copy", "one")):
        (tmp_path / folder).mkdir()
        for name in ("vit.pth", "text.st", "clip.pt"):
            (tmp_path / folder / name).write_text(content)
    a, b, copy = digests("a", "b", "copy")
    assert a == copy != b
    for name in ("vit.pth", "text.st", "clip.pt"):
        (tmp_path / "a" / name).write_text("two")
    assert digests("a") == [b]


def test_a_plan_may_be_made_of_what_the_files_held_when_it_ran(plan, tmp_path):
    weights = tmp_path / "vit.pth"
    weights.write_text("one")
    as_run = plan("[{name: t, rows: {backbone.weights: [vit.pth]}}]")
    weights.unlink()
    again = make_plan(as_run.study, as_run.baseline.contents)
    assert again.trials.keys() == as_run.trials.keys() != make_plan(as_run.study).trials.keys()


def test_a_parameter_of_a_file_has_its_content_beside_it(plan, tmp_path):
    (tmp_path / "vit.pth").write_text("one")
    trial = plan(BITS, f"baseline.backbone.weights={tmp_path}/vit.pth").baseline
    sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # printf one | ...
    assert trial.parameters()["backbone.weights"] == str(tmp_path / "vit.pth")
    assert trial.parameters()["backbone.weights.content"] == sha256[:16]


def test_the_same_file_twice_is_one_file(plan):
    same = plan(
        "[{name: t, rows: {backbone.weights: [a/vit.pth]}},"
        " {name: u, rows: {backbone.weights: [./a/vit.pth]}}]"
    )
    assert len(same.trials) == 2


def test_a_trial_knows_the_files_it_reads():
    settings = {
        "backbone": {"weights": "/data/vit.safetensors"},
        "language": {"source": "file", "embeddings": "/data/text.st"},
    }
    trial = Trial(dataset=Paperbirds(), spec=parse_trial(settings), seed=0)
    assert sorted(trial.files()) == [Path("/data/text.st"), Path("/data/vit.safetensors")]
    assert Trial(dataset=Paperbirds(), spec=ConceptHashTrial(), seed=0).files() == []


def test_missing_files_and_folders_are_listed_once(plan, tmp_path):
    (tmp_path / "there.pth").touch()
    planned = plan(
        "[{name: t, rows: {backbone.weights: [there.pth, away.pth, none]}}]",
        f"dataset={{name: cub, root: {tmp_path / 'nowhere'}}}",
    )
    assert missing_inputs(planned) == [tmp_path / "nowhere", tmp_path / "away.pth"]


def test_a_search_needs_the_baselines_files(plan, tmp_path):
    weights = tmp_path / "away.pth"
    assert missing_inputs(plan(SEARCH, f"baseline.backbone.weights={weights}")) == [weights]


def test_a_search_needs_the_files_among_its_choices(plan, tmp_path):
    space = "{backbone.weights: {choices: [away.pth, none]}}"
    planned = plan(f"[{{name: s, search: {{space: {space}}}}}]")
    assert missing_inputs(planned) == [tmp_path / "away.pth"]


def test_a_generated_data_set_is_never_missing(plan, tmp_path):
    assert missing_inputs(plan(BITS, f"dataset.root={tmp_path / 'not yet'}")) == []


# --- finding a trial, shipped studies --------------------------------------------------------


def test_a_trial_is_found_by_the_beginning_of_its_digest(plan):
    planned = plan(BITS)
    for known, trial in planned.trials.items():
        assert find_trial(planned, known) is trial
        assert find_trial(planned, known[:8]) is trial


def test_a_digest_of_no_trial_or_of_several_is_refused(plan):
    planned = plan(BITS)
    with pytest.raises(InputError, match=r"^--id xyz: the digests of no trial of small start"):
        find_trial(planned, "xyz")
    with pytest.raises(InputError, match=r"^--id : the digests of 4 trials of small start"):
        find_trial(planned, "")


# Trials of the tables, and searches.
SIZES = {"ablation": (45, 0), "claims": (70, 0), "search": (0, 1)}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_study_can_be_planned(path):
    planned = make_plan(load_study(path).spec)
    size = (len(planned.trials), len(planned.searches))
    assert size == SIZES.get(path.stem, size)
    assert sum(size)
