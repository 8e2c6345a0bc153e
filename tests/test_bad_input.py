"""Input that cannot be used is answered in a line a problem, with exit code 2 and no traces.

Each line says where, what is wrong and what would be right. What can be found wrong without torch
is tried with the real command; the rest calls the command's `main` in this process, which spares
the seconds that torch and Ray take to import, and two of them are tried for real as well.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from concepthash import cli

STUDY = """\
name: tiny
dataset: {name: paperbirds, species: 4, families: 2, train_images: 6, test_images: 3}
baseline:
  num_bits: 16
  num_concepts: 4
  epochs: 1
  language: off
  backbone: {name: vit_paperbirds_patch8_64, weights: none, image_size: 64}
seeds: [0]
tables:
  - name: bits
    rows: {num_bits: [16]}
"""


class Answer(NamedTuple):
    code: int
    output: str
    lines: list[str]
    """Of standard error, without the line by which `run` says that it starts."""
    seconds: float


def _answer(code: int, output: str, errors: str, started: float) -> Answer:
    lines = [line for line in errors.splitlines() if not line.endswith("; starting ...")]
    return Answer(code, output, lines, time.monotonic() - started)


def command(*arguments: str) -> Answer:
    """`concepthash-study ARGUMENTS` as a process of its own, in the working directory."""
    started = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "concepthash", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return _answer(ran.returncode, ran.stdout, ran.stderr, started)


@pytest.fixture
def main(monkeypatch, capsys):
    """The same in this process."""

    def called(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["concepthash-study", *arguments])
        started = time.monotonic()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return _answer(ended.value.code, captured.out, captured.err, started)

    return called


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with the study above in study.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    return tmp_path


def assert_refused(answer: Answer, problems: Sequence[str | re.Pattern[str]]) -> None:
    """Exactly these lines, exit code 2, and nothing recorded or trained."""
    assert answer.code == 2
    assert answer.output == ""
    assert "Traceback" not in "\n".join(answer.lines)
    assert len(answer.lines) == len(problems), answer.lines
    for line, problem in zip(answer.lines, problems, strict=True):
        if isinstance(problem, str):
            assert line == problem
        else:
            assert problem.fullmatch(line), line
    assert not list(Path().rglob("mlflow.db"))
    assert not list(Path().rglob("mlruns"))
    # Not even a folder for a trial; the lock that keeps two runs of a study apart may stay.
    left = [path for path in Path().glob("storage/**/*") if path.is_file()]
    assert {path.name for path in left} <= {"running.lock"}


# --- the study's file, before anything heavy is imported -------------------------------------

_LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)

FILES = {
    "empty": (b"", ["study.yaml: empty; a study needs at least name, dataset and tables"]),
    "binary": (
        b"\x89PNG\r\n\x1a\n\0\0",
        ["study.yaml: cannot be read (not UTF-8 text); give a readable YAML file"],
    ),
    "no YAML": (
        b"name: [tiny\nseeds: 1\n",
        [
            "study.yaml:2: not valid YAML (expected ',' or ']', but got ':'); mend the syntax",
        ],
    ),
    "code": (
        STUDY.encode() + b"title: !!python/object/apply:pathlib.Path.touch [planted]\n"
        b"description: !!python/object/apply:os.system ['touch planted']\n",
        [
            "study.yaml:13: the tag tag:yaml.org,2002:python/object/apply:pathlib.Path.touch is"
            " not allowed; a study is plain data",
            "study.yaml:14: the tag tag:yaml.org,2002:python/object/apply:os.system is"
            " not allowed; a study is plain data",
        ],
    ),
    "a billion laughs": (
        _LAUGHS.encode(),
        [
            re.compile(
                r"study\.yaml:1: unfolds into more than 20,000 values .*; write the values out"
            )
        ],
    ),
    "brackets": (
        b"[" * 3000,
        ["study.yaml:1: nested more than 30 levels deep; a study has a few levels only"],
    ),
    "an unknown key": (
        STUDY.replace("epochs:", "epoch:").encode(),
        ["study.yaml:6: baseline.epoch: unknown key; did you mean epochs?"],
    ),
    "a repeated key": (
        STUDY.replace("  epochs: 1", "  num_bits: 1").encode(),
        ["study.yaml:6: baseline.num_bits is given twice (first on line 4); keep one"],
    ),
    "bits that do not divide": (
        STUDY.replace("num_concepts: 4", "num_concepts: 5").encode(),
        [
            "study.yaml:5: baseline.num_concepts: num_bits must be divisible by num_concepts (a"
            " concept has K/M bits), but got num_bits=16, num_concepts=5"
        ],
    ),
    "repeated seeds": (
        STUDY.replace("[0]", "[0, 0]").encode(),
        ["study.yaml:9: seeds: seeds must differ, but got [0, 0]"],
    ),
    "no seeds": (
        STUDY.replace("[0]", "[]").encode(),
        [
            "study.yaml:9: seeds: list should have at least 1 item after validation, not 0, but"
            " got []"
        ],
    ),
    "a table over nothing": (
        STUDY.replace("{num_bits: [16]}", "{num_bit: [16]}").encode(),
        ["study.yaml:12: tables[0].rows.num_bit: no field of a trial; did you mean num_bits?"],
    ),
    "two mistakes": (
        STUDY.replace("epochs: 1", "epochs: 0").replace("[0]", "[1, 1]").encode(),
        [
            "study.yaml:6: baseline.epochs: input should be greater than 0, but got 0",
            "study.yaml:9: seeds: seeds must differ, but got [1, 1]",
        ],
    ),
}


@pytest.mark.parametrize(("content", "problems"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_study_is_refused_at_once(folder, content, problems):
    Path("study.yaml").write_bytes(content)
    answer = command("run", "study.yaml")
    assert_refused(answer, problems)
    assert not Path("planted").exists()


def test_a_file_that_cannot_be_read_is_named(folder):
    absent = ["absent.yaml: no such file; give the path of a study's YAML file"]
    assert_refused(command("plan", "absent.yaml"), absent)
    is_folder = ["data: cannot be read (Is a directory); give a readable YAML file"]
    Path("data").mkdir()
    assert_refused(command("run", "data"), is_folder)
    Path("broken.yaml").symlink_to("/proc/self/mem")  # which fails to be read even by root
    broken = ["broken.yaml: cannot be read (Input/output error); give a readable YAML file"]
    assert_refused(command("run", "broken.yaml"), broken)


@pytest.mark.parametrize("name", ["run", "plan", "trial", "report"])
def test_every_command_that_takes_a_file_refuses_it_alike(folder, name, main):
    Path("study.yaml").write_text(STUDY.replace("epochs:", "epoch:"))
    more = ["--id", "0"] if name == "trial" else []
    answer = main(name, "study.yaml", *more)
    assert_refused(answer, ["study.yaml:6: baseline.epoch: unknown key; did you mean epochs?"])


def test_a_mistake_in_a_file_is_answered_without_waiting_for_torch(folder):
    Path("study.yaml").write_text(STUDY.replace("epochs:", "epoch:"))
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "concepthash", "run", "study.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    imported = {line.rsplit("|", 1)[-1].strip() for line in ran.stderr.splitlines()}
    assert "concepthash.spec.load" in imported
    assert not imported & {"torch", "ray", "mlflow", "timm", "polars", "numpy"}


def test_an_override_is_named_instead_of_a_line(folder):
    assert_refused(
        command("run", "study.yaml", "--set", "baseline.epochs=few"),
        [
            "--set baseline.epochs=few: baseline.epochs: input should be a valid integer, but got"
            ' "few"'
        ],
    )


def test_debug_shows_the_traceback_and_the_same_line(folder):
    answer = command("run", "study.yaml", "--set", "epochs=1", "--debug")
    assert answer.code == 2
    assert answer.lines[0] == "Traceback (most recent call last):"
    assert answer.lines[-1].startswith("--set epochs=1: epochs: unknown key; allowed: baseline,")


def test_a_word_that_is_no_command_or_option_exits_with_2_too(folder):
    for arguments in (["nonsense"], ["run"], ["run", "study.yaml", "--sets", "x=1"]):
        answer = command(*arguments)
        assert answer.code == 2
        assert "Traceback" not in "\n".join(answer.lines)
        assert any("--help" in line for line in answer.lines)


# --- data ------------------------------------------------------------------------------------


@pytest.fixture
def images(folder):
    """A manifest with two classes of three PNGs; returns the override that names it."""

    def made(*, header: str = "path,label,class_name,split", drop: Sequence[str] = ()) -> str:
        data = folder / "data"
        data.mkdir(exist_ok=True)
        lines = [header]
        for label, name in enumerate(["frog", "hen"]):
            for number in range(3):
                file = f"{name}{number}.png"
                colour = (80 * number, 200 * label, 50)
                Image.new("RGB", (70, 64), colour).save(data / file)
                split = "query" if number == 2 else "train"
                if file not in drop:
                    lines.append(f"{file},{label},{name},{split}")
        (data / "manifest.csv").write_text("\n".join(lines) + "\n")
        return "dataset={name: manifest, root: data}"

    return made


def test_a_missing_data_folder_is_an_error_for_run_and_a_warning_for_plan(folder, main):
    override = "dataset={name: cub, root: nowhere}"
    problem = f"dataset.root: {folder}/nowhere: no such folder; give where cub lies"
    assert_refused(main("run", "study.yaml", "--set", override), [problem])
    planned = main("plan", "study.yaml", "--set", override)
    assert planned.code == 0
    assert planned.lines == [f"warning: {folder}/nowhere does not exist; `run` will need it"]
    assert planned.output.startswith("tiny\n")


def test_a_manifest_without_a_column_is_told_its_columns(images, folder, main):
    answer = main("run", "study.yaml", "--set", images(header="path,label,name,split"))
    assert_refused(
        answer,
        [
            f"{folder}/data/manifest.csv:1: column class_name is missing; there are: path, label,"
            " name, split"
        ],
    )


def test_each_image_that_cannot_be_decoded_is_named(images, folder):
    override = images()
    whole = (folder / "data/frog0.png").read_bytes()
    (folder / "data/frog1.png").write_bytes(b"this is no picture")
    (folder / "data/hen2.png").write_bytes(whole[: len(whole) // 2])
    answer = command("run", "study.yaml", "--set", override)
    assert_refused(
        answer,
        [
            f"{folder}/data/frog1.png: cannot be decoded (not an image); replace it or take it off"
            " the list",
            re.compile(
                rf"{folder}/data/hen2\.png: cannot be decoded \(.+\); replace it or take it off"
                " the list"
            ),
        ],
    )


def test_a_class_without_images_is_named(images, folder, main):
    dropped = ["hen0.png", "hen1.png"]
    answer = main("run", "study.yaml", "--set", images(drop=dropped))
    assert_refused(
        answer,
        [
            f"{folder}/data: class 1 (hen) has no training images; each class needs at least one",
        ],
    )
    answer = main("run", "study.yaml", "--set", images(), "--set", "dataset.num_classes=3")
    assert_refused(answer, ["dataset.num_classes: 3 is more than the 2 classes of manifest"])


# --- models ----------------------------------------------------------------------------------


def test_a_checkpoint_of_another_backbone_is_refused_with_the_keys_that_differ(folder, main):
    save_file(
        {
            "cls_token": torch.zeros(1, 1, 128),
            "pos_embed": torch.zeros(1, 65, 96),
            "surprise.weight": torch.zeros(3),
        },
        "vit.safetensors",
    )
    answer = main("run", "study.yaml", "--set", "baseline.backbone.weights=vit.safetensors")
    assert_refused(answer, [re.compile(rf"backbone\.weights: {folder}/vit\.safetensors .*")])
    (line,) = answer.lines
    assert "does not fit" in line
    assert "missing: blocks.0.attn.proj.bias" in line
    assert re.search(r"and \d+ more", line)
    assert "unknown: surprise.weight" in line
    assert "pos_embed is (1, 65, 96), not (1, 65, 128)" in line
    assert "give the weights of this backbone, or the backbone of these weights" in line


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ["baseline.backbone.name=vit_paperbird_patch8_64"],
            r"backbone\.name: timm has no model 'vit_paperbird_patch8_64'; it has"
            r" .*vit_paperbirds_patch8_64.*",
        ),
        (
            ["baseline.backbone.name=resnet18"],
            r"backbone\.name: 'resnet18' is .*no Vision Transformer of timm; take a vit_\*, deit\*,"
            r" eva\*",
        ),
        (
            ["baseline.backbone.image_size=60"],
            r"backbone\.image_size: 60 is not divisible by the patch size 8 of"
            r" 'vit_paperbirds_patch8_64'; take e\.g\. 56",
        ),
        (
            ["baseline.backbone.weights=absent.pth"],
            r"backbone\.weights: .*/absent\.pth: no such file",
        ),
        (
            ["baseline.backbone.weights=study.pth"],
            r"backbone\.weights: .*/study\.pth: cannot be read as weights \(.+\)",
        ),
        (
            ["baseline.language={source: open_clip, model: paperbird, pretrained: none}"],
            r"language\.model: open_clip has no model 'paperbird'; it has .*paperbirds.*",
        ),
        (
            ["baseline.language={source: open_clip, model: paperbirds, pretrained: best}"],
            r"language\.pretrained: paperbirds has no weights 'best', and no such file exists;"
            r" give none or one of: .*",
        ),
        (
            ["baseline.language={source: file, embeddings: absent.safetensors}"],
            r"language\.embeddings: .*/absent\.safetensors: no such file",
        ),
        (
            ["baseline.language={source: file, embeddings: few.safetensors}"],
            r"language\.embeddings: .*/few\.safetensors holds 3 rows, but the data set has 4"
            r" classes; a row a class is needed",
        ),
        (
            ["baseline.language={source: file, embeddings: study.yaml}"],
            r"language\.embeddings: .*/study\.yaml is no safetensors file \(.+\)",
        ),
    ],
)
def test_a_model_that_cannot_be_built_is_told_with_those_there_are(
    folder, main, overrides, problem
):
    save_file({"text_embeddings": torch.zeros(3, 8)}, "few.safetensors")
    Path("study.pth").write_text(STUDY)
    settings = [word for override in overrides for word in ("--set", override)]
    assert_refused(main("run", "study.yaml", *settings), [re.compile(problem)])


def test_every_problem_of_the_models_is_told_at_once(folder, main):
    rows = (
        "tables.0.rows=[{label: a, backbone.weights: a.pth}, {label: b, backbone.weights: b.pth},"
        " {label: t, language: {source: file, embeddings: t.safetensors}}]"
    )
    assert_refused(
        main("run", "study.yaml", "--set", rows),
        [
            f"language.embeddings: {folder}/t.safetensors: no such file",
            f"backbone.weights: {folder}/a.pth: no such file",
            f"backbone.weights: {folder}/b.pth: no such file",
        ],
    )


# --- places and resources --------------------------------------------------------------------


def test_a_tracking_server_that_does_not_answer_is_told_within_seconds(folder, main):
    uri = "http://127.0.0.1:9"
    problem = (
        f"--tracking-uri {uri}: does not answer (connection refused or no such host); start the"
        " server or give another URI"
    )
    for arguments in (["run", "study.yaml"], ["plan", "study.yaml"], ["report", "tiny"]):
        answer = main(*arguments, "--tracking-uri", uri)
        assert_refused(answer, [problem])
        assert answer.seconds < 10
    answer = command("plan", "study.yaml", "--tracking-uri", uri)
    assert_refused(answer, [problem])
    assert answer.seconds < 30  # with the imports, on a busy machine


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        (
            "mlflow.db",
            "--tracking-uri mlflow.db: not a URI; give e.g. sqlite:///mlflow.db or"
            " http://127.0.0.1:5000",
        ),
        (
            "sqlite:///absent/mlflow.db",
            "--tracking-uri sqlite:///{folder}/absent/mlflow.db: there is no folder"
            " {folder}/absent",
        ),
        (
            "sqlite:///study.yaml",
            "--tracking-uri sqlite:///{folder}/study.yaml: {folder}/study.yaml is no SQLite"
            " database",
        ),
    ],
)
def test_a_store_that_cannot_be_one_is_told(folder, main, uri, problem):
    answer = main("plan", "study.yaml", "--tracking-uri", uri)
    assert_refused(answer, [problem.format(folder=folder)])


def test_more_than_the_machine_has_is_told(folder, main):
    cpus = os.cpu_count()
    answer = main("run", "study.yaml", "--set", "resources.cpu=4096")
    assert_refused(answer, [f"resources.cpu: 4096 is more than the {cpus} of this machine"])
    answer = main("run", "study.yaml", "--set", "resources.gpu=64")
    assert_refused(
        answer,
        [
            f"resources.gpu: 64 is more than the {torch.cuda.device_count()} of this machine; set"
            " it to 0, or name a cluster with --address"
        ],
    )


# --- what is asked for by name ---------------------------------------------------------------


def test_a_trial_that_is_not_there_is_told(folder):
    answer = command("trial", "study.yaml", "--id", "nothing")
    assert_refused(
        answer,
        ["--id nothing: no trial of tiny begin so; see `plan` with the same --set"],
    )


def test_a_report_of_an_unknown_study_is_told_how_to_make_one(folder, main):
    store = f"sqlite:///{folder}/mlflow.db"
    hint = "run one first: concepthash-study run FILE"
    assert_refused(main("report", "sparrows"), [f"{store}: has no study sparrows; {hint}"])
    assert_refused(main("report"), [f"{store}: has no study yet; {hint}"])
    assert_refused(
        main("report", "study.yaml"),
        [f"{store}: has no study tiny; run it first: concepthash-study run FILE"],
    )
    assert_refused(
        main("report", "sparrows", "--set", "title=x"),
        ["--set: changes a study's file; give FILE instead of a name"],
    )
    assert not Path("reports").exists()
