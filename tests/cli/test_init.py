"""From a folder of images to a study: what `init` writes, and what it refuses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from concepthash import cli
from concepthash.plan import make_plan
from concepthash.spec import load_study


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Two classes of ten images each, in a folder of the working directory."""
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(("red owl", "blue wren")):
        folder = Path("My Birds") / name
        folder.mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (40, 30), (90 * label, 10 * number, 0)).save(folder / f"{number}.png")
    return Path("My Birds")


def refusal(monkeypatch, capsys, *arguments: str) -> str:
    """The one line with which the command ends; its exit code is 2."""
    monkeypatch.setattr(sys, "argv", ["concepthash-study", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_folder_of_classes_becomes_a_study_that_plan_takes_as_it_is(images, main):
    said = main("init", "My Birds")
    assert said.splitlines() == [
        "My Birds: 20 images of 2 classes: 14 for training and the database, 6 queries",
        "study.yaml: written; next: concepthash-study plan study.yaml",
    ]
    spec = load_study(Path("study.yaml")).spec
    assert (spec.name, spec.dataset.name, spec.dataset.title) == ("my-birds", "folder", "my-birds")
    assert spec.dataset.root == images.resolve()
    planned = main("plan", "study.yaml")
    assert "table losses (test/map)" in planned
    assert planned.splitlines()[-1] == "21 of 21 trials to train"


def test_the_study_names_the_folder_from_where_the_study_is(images, main):
    Path("deep/down").mkdir(parents=True)
    main("init", "My Birds", "--out", "deep/down/birds.yaml")
    assert 'root: "../../My Birds"' in Path("deep/down/birds.yaml").read_text()
    assert load_study(Path("deep/down/birds.yaml")).spec.dataset.root.resolve() == images.resolve()


def test_what_the_comments_say_for_a_gpu_is_a_study_of_the_papers_encoder(images, main):
    main("init", "My Birds")
    text = Path("study.yaml").read_text()
    laptop = re.compile(r"^(baseline:\n(?:  .*\n)+|resources: .*\n)", re.MULTILINE)
    paper = re.compile(r"^# (baseline:|  \w+: \d+|resources: .*)$", re.MULTILINE)
    Path("gpu.yaml").write_text(paper.sub(r"\1", laptop.sub("", text)))
    spec = load_study(Path("gpu.yaml")).spec
    assert spec.resources.gpu == 1
    backbone = make_plan(spec).baseline.spec.backbone
    assert (backbone.name, backbone.image_size) == (
        "vit_base_patch32_clip_quickgelu_224.openai",
        224,
    )


def test_a_folder_with_a_manifest_becomes_a_study_of_the_manifest(images, main):
    lines = [
        f"{path.relative_to(images)},{label},{name},{'query' if number < 3 else 'train'}"
        for label, name in enumerate(("red owl", "blue wren"))
        for number, path in enumerate(sorted((images / name).iterdir()))
    ]
    (images / "manifest.csv").write_text("\n".join(["path,label,class_name,split", *lines]))
    assert "14 for training and the database, 6 queries" in main("init", "My Birds")
    assert load_study(Path("study.yaml")).spec.dataset.name == "manifest"
    main("init", "My Birds/manifest.csv", "--out", "by-file.yaml")
    assert main("plan", "by-file.yaml").splitlines()[-1] == "21 of 21 trials to train"


def test_a_file_that_exists_is_kept(images, monkeypatch, capsys):
    Path("study.yaml").write_text("mine")
    line = refusal(monkeypatch, capsys, "init", "My Birds")
    assert line == "study.yaml: exists; name another file with --out"
    assert Path("study.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("named", "line"),
    [
        ("nowhere", "nowhere: no such folder; give one with a folder for each class"),
        ("x" * 300, f"{'x' * 300}: File name too long; give a folder of images"),
        ("My Birds/red owl", "has no folders; one for each class is needed, with its images"),
    ],
)
def test_what_is_no_folder_of_classes_is_told_in_a_line_and_nothing_is_written(
    images, monkeypatch, capsys, named, line
):
    assert refusal(monkeypatch, capsys, "init", named).endswith(line)
    assert not Path("study.yaml").exists()
