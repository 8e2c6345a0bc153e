"""The command on input that cannot be used: exit code 2 and one line on stderr for each problem.

The problems themselves are the subject of the tests of spec, data, model and tracking. Here one of
each kind goes through the whole command, which must not show a traceback, start Ray or leave
records behind.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import ray
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
UNREACHABLE = "http://127.0.0.1:9"


class Answer(NamedTuple):
    code: int
    output: str
    lines: list[str]
    """Of standard error, without the line by which `run` says that it starts."""


def _answer(code: int, output: str, errors: str) -> Answer:
    lines = [line for line in errors.splitlines() if not line.endswith("; starting ...")]
    return Answer(code, output, lines)


def command(*arguments: str) -> Answer:
    """`concepthash-study ARGUMENTS` in a process of its own."""
    called = [sys.executable, "-m", "concepthash", *arguments]
    ran = subprocess.run(called, capture_output=True, text=True, timeout=60, check=False)
    return _answer(ran.returncode, ran.stdout, ran.stderr)


@pytest.fixture
def main(monkeypatch, capsys):
    """The same in this process, without the seconds that torch takes to import, and without Ray."""

    def no_ray(*args: object, **kwargs: object) -> None:
        raise AssertionError("Ray was started")

    def called(*arguments: str) -> Answer:
        monkeypatch.setattr(ray, "init", no_ray)
        monkeypatch.setattr(sys, "argv", ["concepthash-study", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return _answer(ended.value.code, captured.out, captured.err)

    return called


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the study above, the same with mistakes, and unusable inputs."""
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    wrong = STUDY.replace("epochs: 1", "epoch: 1").replace("[0]", "[1, 1]")
    Path("wrong.yaml").write_text(wrong)
    save_file({"cls_token": torch.zeros(1, 1, 96)}, "other.safetensors")
    Path("images").mkdir()
    lines = ["path,label,class_name,split"]
    for label, name in enumerate(["frog", "hen"]):
        for number, split in enumerate(["train", "train", "query"]):
            file = f"{name}{number}.png"
            Image.new("RGB", (70, 64), (80 * number, 200 * label, 50)).save(Path("images", file))
            lines.append(f"{file},{label},{name},{split}")
    Path("images/manifest.csv").write_text("\n".join(lines) + "\n")
    Path("images/frog1.png").write_bytes(b"no image")
    Path("images/hen2.png").write_bytes(b"no image either")
    return tmp_path


def assert_refused(answer: Answer, starts: list[str]) -> None:
    """A line that starts so for each problem, exit code 2, and nothing recorded or trained."""
    assert answer.code == 2, answer
    assert answer.output == ""
    assert len(answer.lines) == len(starts), answer.lines
    for line, start in zip(answer.lines, starts, strict=True):
        assert line.startswith(start)
    left = {path.name for path in Path().rglob("*") if path.is_file()}
    assert not left & {"mlflow.db", "report.html", "out.safetensors"}
    # The lock that keeps two runs of a study apart may stay.
    assert {path.name for path in Path().glob("storage/**/*") if path.is_file()} <= {"running.lock"}
    assert not Path("mlruns").exists()


IMAGES = "dataset={name: manifest, root: images}"
RUN = ["run", "study.yaml"]
# The words of a command, and how the line of each problem starts.
UNUSABLE = {
    "study": (
        ["run", "wrong.yaml"],
        ["wrong.yaml:6: baseline.epoch: ", "wrong.yaml:9: seeds: "],
    ),
    "override": (
        [*RUN, "--set", "baseline.epochs=few"],
        ["--set baseline.epochs=few: baseline.epochs: "],
    ),
    "images": (
        [*RUN, "--set", IMAGES],
        ["{folder}/images/frog1.png: ", "{folder}/images/hen2.png: "],
    ),
    "weights of two trials": (
        [
            *RUN,
            "--set",
            "tables.0.rows=[{label: a, backbone.weights: absent.pth},"
            " {label: b, backbone.weights: other.safetensors}]",
        ],
        [
            "backbone.weights: {folder}/absent.pth: no such file",
            "backbone.weights: {folder}/other.safetensors ",
        ],
    ),
    "resources": ([*RUN, "--set", "resources.cpu=4096"], ["resources.cpu: 4096 is more than"]),
    "folder for checkpoints": (
        [*RUN, "--storage", "study.yaml"],
        ["--storage {folder}/study.yaml: "],
    ),
    "server that does not answer": (
        [*RUN, "--tracking-uri", UNREACHABLE],
        [f"--tracking-uri {UNREACHABLE}: does not answer"],
    ),
    "trial by name": (["trial", "study.yaml", "--id", "nothing"], ["--id nothing: "]),
    "study by name": (
        ["report", "sparrows"],
        ["sqlite:///{folder}/mlflow.db: has no study sparrows; "],
    ),
    "override of a study by name": (["report", "sparrows", "--set", "title=x"], ["--set: "]),
    "codes": (["evaluate", "absent.safetensors"], ["absent.safetensors: "]),
    "released checkpoint": (
        ["import-checkpoint", "study.yaml", "out.safetensors", "--num-heads", "4"],
        ["study.yaml: "],
    ),
}


@pytest.mark.parametrize(("arguments", "starts"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_input_ends_the_command_with_one_line_for_each_problem(
    folder, main, arguments, starts
):
    answer = main(*arguments)
    assert_refused(answer, [start.replace("{folder}", str(folder)) for start in starts])


@pytest.mark.parametrize("name", ["run", "plan", "trial", "report"])
def test_every_command_that_takes_a_study_refuses_a_wrong_one(folder, main, name):
    more = ["--id", "0"] if name == "trial" else []
    answer = main(name, "wrong.yaml", *more)
    assert_refused(answer, ["wrong.yaml:6: baseline.epoch: ", "wrong.yaml:9: seeds: "])


def test_plan_only_warns_of_a_data_folder_that_is_missing(folder, main):
    answer = main("plan", "study.yaml", "--set", "dataset={name: cub, root: nowhere}")
    assert answer.code == 0
    assert answer.lines == [f"warning: {folder}/nowhere does not exist; `run` will need it"]


def test_wrong_study_is_refused_before_heavy_packages_are_imported(folder, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    answer = command("run", "wrong.yaml")
    assert answer.code == 2
    imported = {line.rsplit("|", 1)[-1].strip() for line in answer.lines}
    assert "concepthash.spec.load" in imported
    assert not imported & {"torch", "ray", "mlflow", "timm", "polars"}


def test_debug_shows_the_traceback_above_the_same_line(folder):
    answer = command("run", "study.yaml", "--set", "epochs=1", "--debug")
    assert answer.code == 2
    assert answer.lines[0] == "Traceback (most recent call last):"
    assert answer.lines[-1].startswith("--set epochs=1: epochs: unknown key")


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"], ["run", "study.yaml", "--sets", "x"]])
def test_unknown_command_or_option_names_the_help(folder, main, arguments):
    answer = main(*arguments)
    assert answer.code == 2
    assert any("--help" in line for line in answer.lines)
