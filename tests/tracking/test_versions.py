"""Which commit a run was made with, asked of real repositories, hostile ones among them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import concepthash
from concepthash import __version__
from concepthash.plan import make_plan
from concepthash.spec import StudySpec
from concepthash.tracking.frame import read_study
from concepthash.tracking.recorder import Recorder
from concepthash.tracking.versions import COMMIT, DIRTY, NO_COMMIT, commit_of

STUDY = StudySpec.model_validate_json(
    '{"name": "birds", "dataset": {"name": "paperbirds"}, "tables": [{"name": "t", "rows": [{}]}]}'
)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a repository of one commit."""
    package = tmp_path / "checkout" / "concepthash"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("VERSION = 1\n")
    (package / "model" / "names — all.json").write_text("{}\n")
    git(package, "init", "--quiet", "..")
    git(package, "add", ".")
    git(package, "commit", "--quiet", "--message", "first")
    return package


def test_the_commit_is_that_of_the_checkout_that_the_package_lies_in(package):
    assert commit_of(package) == {
        COMMIT: git(package, "rev-parse", "HEAD"),
        DIRTY: "false",
        NO_COMMIT: "",
    }


@pytest.mark.parametrize("change", ["edited", "added", "removed"])
def test_a_package_that_differs_from_its_commit_is_dirty(package, change):
    if change == "edited":
        (package / "__init__.py").write_text("VERSION = 2\n")
    elif change == "added":
        (package / "model" / "new.py").write_text("")
    else:
        (package / "model" / "names — all.json").unlink()
    assert commit_of(package)[DIRTY] == "true"


def test_what_python_compiled_and_what_lies_beside_the_package_is_no_change(package):
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "__init__.cpython-311.pyc").write_bytes(b"x")
    (package.parent / "report.html").write_text("")
    assert commit_of(package)[DIRTY] == "false"


def test_a_package_installed_inside_another_repository_has_no_commit(package):
    installed = package.parent / ".venv" / "site-packages" / "concepthash"
    shutil.copytree(package, installed)
    assert commit_of(installed) == {NO_COMMIT: "installed package"}


def test_a_package_outside_of_any_repository_has_no_commit(package):
    shutil.rmtree(package.parent / ".git")
    assert commit_of(package) == {NO_COMMIT: "installed package"}


def test_a_repository_without_a_commit_is_told(package):
    shutil.rmtree(package.parent / ".git")
    git(package, "init", "--quiet", "..")
    assert commit_of(package) == {NO_COMMIT: "fatal: Needed a single revision"}


def test_git_is_not_redirected_by_the_environment(package, tmp_path, monkeypatch):
    """As git's hooks are, which have GIT_DIR set."""
    git(tmp_path, "init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert COMMIT in commit_of(package)


def test_without_git_there_is_no_commit(package, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit_of(package) == {NO_COMMIT: "git is not installed"}


HOSTILE = {
    "a file monitor": "[core]\n fsmonitor = {command}\n",
    "an alias": "[alias]\n rev-parse = !{command}\n ls-tree = !{command}\n status = !{command}\n",
    "a pager": "[core]\n pager = {command}\n[pager]\n ls-tree = true\n rev-parse = true\n",
    "hooks": "[core]\n hooksPath = {folder}\n",
    "a filter": '[filter "x"]\n clean = {command}\n smudge = {command}\n process = {command}\n',
    "text conversion": '[diff "x"]\n textconv = {command}\n command = {command}\n',
    "an included file": "[include]\n path = {folder}/included\n",
    "a remote that lacks objects": "[core]\n sshCommand = {command}\n repositoryFormatVersion = 1\n"
    "[extensions]\n partialClone = origin\n"
    '[remote "origin"]\n url = ssh://nowhere/x\n promisor = true\n',
}
WORKS_WITH = {
    "a file monitor": "status",
    "a filter": "status",
    "an included file": "status",
    "text conversion": "diff",
    "hooks": "update-index --refresh",
    "a remote that lacks objects": "ls-tree -r HEAD",
}
"""What git runs the program with."""


@pytest.mark.parametrize("way", HOSTILE)
def test_nothing_that_a_hostile_repository_configures_is_run(package, tmp_path, way):
    mark = tmp_path / "it-ran"
    program = tmp_path / "hooks" / "post-index-change"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
    program.chmod(0o755)
    (program.parent / "included").write_text(f"[core]\n fsmonitor = {program}\n")
    commit = git(package, "rev-parse", "HEAD")
    (package / ".gitattributes").write_text("* filter=x diff=x\n")
    with (package.parent / ".git" / "config").open("a") as config:
        config.write(HOSTILE[way].format(command=program, folder=program.parent))
    if way == "a remote that lacks objects":
        tree = git(package, "rev-parse", "HEAD:concepthash/model")
        (package.parent / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    (package / "__init__.py").write_text("VERSION = 2\n")

    tags = commit_of(package)

    assert not mark.exists()
    if way == "a remote that lacks objects":
        assert tags.keys() == {NO_COMMIT}
    else:
        assert tags == {COMMIT: commit, DIRTY: "true", NO_COMMIT: ""}
    if way in WORKS_WITH:  # else it needs a terminal, or commands that are nobody's here
        usual = ["git", "-C", str(package), *WORKS_WITH[way].split()]
        subprocess.run(usual, capture_output=True, check=False)
        assert mark.exists()


def test_the_report_says_why_it_has_no_commit(store):
    recorder = Recorder(store, make_plan(STUDY), {COMMIT: "c" * 40, DIRTY: "true", NO_COMMIT: ""})
    recorder.open()
    recorder.close("FINISHED")
    assert read_study(store, "birds").provenance["Git commit"] == (
        "c" * 40 + " (with uncommitted changes)"
    )
    tags = {NO_COMMIT: "installed package", "version.concepthash-study": __version__}
    later = Recorder(store, make_plan(STUDY), tags)
    later.open()
    later.close("FINISHED")
    assert read_study(store, "birds").provenance["Git commit"] == (
        f"unknown (installed package, version {__version__})"
    )


def test_a_copy_of_this_project_in_a_hostile_repository_asks_only_about_itself(tmp_path):
    """The whole package, imported from where pip would put it, in the repository of a study."""
    git(tmp_path, "init", "--quiet", ".")
    (tmp_path / "study.yaml").write_text("name: x\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "a study")
    installed = tmp_path / "site-packages"
    shutil.copytree(
        Path(concepthash.__file__).parent,
        installed / "concepthash",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    code = "from concepthash.tracking.versions import versions; print(sorted(versions().items()))"
    environment = {
        "PYTHONPATH": str(installed),
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"('{NO_COMMIT}', 'installed package')" in ran.stdout
    assert COMMIT not in ran.stdout
