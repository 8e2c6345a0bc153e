"""Who may import whom (the contracts of import-linter in pyproject.toml), and the size of files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "concepthash").rglob("*.py"))
MAX_LINES = 300

# Where people and machines keep their files. /home/ray is the same in every image of Ray.
MACHINE_PATH = re.compile(
    rb"(?:(?<![\w.~$}/-])|(?<=file://))/(?:home|root|work|Users|mnt|workspace)/(?!ray\b)[\w.]+"
)


def test_imports_keep_the_contracts():
    # In a process of its own, since it switches off the loggers that exist.
    code = "from importlinter.cli import lint_imports as lint; exit(lint(no_cache=True))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert "0 broken" in ran.stdout


def test_every_folder_of_modules_is_a_package():
    """import-linter does not look into a folder without __init__.py."""
    assert [file for file in SOURCES if not file.with_name("__init__.py").exists()] == []


def test_plan_and_state_are_loaded_without_heavy_packages():
    """The contracts do not count the __init__.py of a package that a module stands in."""
    code = "import sys, concepthash.plan, concepthash.study.state; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "timm", "open_clip", "ray", "mlflow"} & set(ran.stdout.split())


def test_no_file_is_longer_than_300_lines():
    lines = {str(file): len(file.read_bytes().splitlines()) for file in SOURCES}
    assert {file: count for file, count in lines.items() if count > MAX_LINES} == {}


def _git(*arguments: str) -> list[str]:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if ran.returncode:
        pytest.skip("not in a git checkout")
    return [name for name in ran.stdout.decode().split("\0") if name]


def test_no_tracked_file_names_a_path_of_one_machine():
    found = {}
    for name in _git("ls-files", "-z"):
        data = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in data[:8192] and (paths := MACHINE_PATH.findall(data)):
            found[name] = paths
    assert found == {}


def test_git_ignores_no_source():
    ignored = _git("ls-files", "-o", "-i", "-z", "--exclude-standard", "--", "*.py")
    assert [name for name in ignored if not name.startswith(".venv/")] == []
