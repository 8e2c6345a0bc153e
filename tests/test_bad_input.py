"""The command on input that cannot be used: exit code 2 and one line on stderr for each problem.

The problems themselves are the subject of the tests of spec, data, model and tracking. Here one of
each kind goes through the whole command, which must not show a traceback, start Ray or leave
records behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
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


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Fails what waits for ever, as opening a pipe does."""

    def late(*_: object) -> None:
        raise AssertionError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def assert_refused(answer: Answer, starts: list[str]) -> None:
    """A line that starts so for each problem, exit code 2, and nothing recorded or trained."""
    assert answer.code == 2, answer
    assert answer.output in ("", "reading images\n")
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
LONG = "x" * 300
ROWS = f"tables.0.rows={{epochs: {list(range(1, 12))}}}"
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
    "weights that are missing": (
        [*RUN, "--set", "tables.0.rows=[{label: a, backbone.weights: absent.pth}]"],
        ["{folder}/absent.pth: no such file"],
    ),
    "weights of another model": (
        [*RUN, "--set", "tables.0.rows=[{label: b, backbone.weights: other.safetensors}]"],
        ["backbone.weights: {folder}/other.safetensors "],
    ),
    "number past its limit": (
        [*RUN, "--set", "baseline.tuning.width=1000000000000"],
        ["--set baseline.tuning.width=1000000000000: baseline.tuning.width: input should be less"],
    ),
    "row with braces": (
        ["plan", "study.yaml", "--set", "tables.0.rows=[{'{x}': 1}]"],
        ["--set tables.0.rows=[{'{x}': 1}]: tables[0].rows[0].{x}: no field of a trial; "],
    ),
    "more trials than a study may have": (
        ["plan", "study.yaml", "--set", f"seeds={list(range(1000))}", "--set", f"{ROWS}"],
        ["study.yaml:10: tables: 11,000 trials in all, but a study has at most 10,000; "],
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
    "codes of a long name": (["evaluate", f"{LONG}.safetensors"], [f"{LONG}.safetensors: "]),
    "model of a long name": (
        ["evaluate", f"{LONG}.safetensors", "--study", "study.yaml"],
        [f"{LONG}.safetensors: "],
    ),
    "released checkpoint of a long name": (
        ["import-checkpoint", LONG, "out.safetensors", "--num-heads", "4"],
        [f"{LONG}: no such file"],
    ),
    "output of a long name": (
        ["import-checkpoint", "study.yaml", f"{LONG}.safetensors", "--num-heads", "4"],
        [f"{LONG[:197]}...: a name in a path has at most 255 bytes, but one has 312"],
    ),
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


# --- what can stand in the place of a file ------------------------------------------------------


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def loop(path: Path) -> None:
    path.symlink_to(path)


def terabytes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**42)  # a hole: it takes no room


NO_FILES = [pipe, endless, listening, loop, terabytes, Path.mkdir]


@pytest.mark.parametrize("make", NO_FILES)
@pytest.mark.parametrize(
    "words", [["plan"], ["evaluate"], ["evaluate", "--study", "study.yaml"]], ids=" ".join
)
def test_what_is_no_regular_file_is_refused_where_one_is_read(folder, main, make, words):
    make(Path("a.safetensors"))
    with time_limit(20):
        answer = main(words[0], "a.safetensors", *words[1:])
    assert_refused(answer, ["a.safetensors: "])


def test_a_metric_that_there_is_not_is_told_before_a_model_is_read(folder, main):
    arguments = ["evaluate", "absent.safetensors", "--study", "study.yaml", "--metric", "maps"]
    assert_refused(main(*arguments), ["--metric maps: no such metric; did you mean "])
