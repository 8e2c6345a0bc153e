"""The rooms of the house: who may import whom, and that no file grows past a page or two.

Imports are read with ast, so one hidden in a function counts like one at the top, and nothing
has to be importable.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "concepthash"

# Importable everywhere: they know no other room.
COMMON = {"", "errors"}  # "" is the package itself: its __version__

# Each room, from the top of the house down, and the rooms that it may import.
# spec and plan are the words that everything above the maths speaks; from `checkpoint` down, a room
# knows none of them. A new room is a new line here: that is when to ask where it belongs.
ROOMS: dict[str, set[str]] = {
    "pretrain": {"data", "model"},
    "reference": {"model"},
    "evaluation": {"losses", "retrieval"},
    "study": {"spec", "plan", "tracking", "train", "build", "checkpoint", "data"},
    "tracking": {"spec", "plan"},
    "train": {
        "spec",
        "plan",
        "build",
        "checkpoint",
        "model",
        "losses",
        "methods",
        "data",
        "evaluation",
        "retrieval",
    },
    "build": {"spec", "plan", "checkpoint", "model", "losses", "methods", "data", "retrieval"},
    "report": {"spec", "plan", "retrieval"},
    "plan": {"spec"},
    "spec": set(),
    "checkpoint": set(),
    "methods": {"model", "losses", "retrieval"},
    "model": set(),
    "losses": set(),
    "data": set(),
    "retrieval": set(),
}
# The command line ties the rooms together, so it may enter all of them.
ROOMS["cli"] = set(ROOMS)
ROOMS["__main__"] = {"cli"}

# Outside packages that only these rooms may import.
ONLY: dict[str, set[str]] = {
    "ray": {"study"},
    "mlflow": {"tracking"},
    "optuna": {"study"},
}

# Rooms that must load in no time: a typo in a study file is reported before torch is.
NO_TORCH = {"spec", "plan"}
TORCH = {"torch", "torchvision", "timm", "open_clip"}

MAX_LINES = 300
# Paths of files that were asked whether they are two, and are not.
LONG_FILES: set[str] = set()


class Import(NamedTuple):
    """One imported module, absolute: ("concepthash/study/run.py", 12, "ray.tune")."""

    path: str
    line: int
    module: str


def imports(root: Path) -> Iterator[Import]:
    """Every import below root/concepthash, wherever in the file it stands."""
    for file in sorted((root / PACKAGE).rglob("*.py")):
        path = file.relative_to(root)
        package = path.parent.parts
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for module in _modules(node, package):
                yield Import(path.as_posix(), node.lineno, module)


def _modules(node: ast.AST, package: tuple[str, ...]) -> list[str]:
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            # `from . import x` starts at the file's package, `from .. import x` one above it.
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            # `from concepthash import spec` imports a room, not a name of the package.
            if module == PACKAGE:
                return [f"{module}.{alias.name}" for alias in node.names]
            return [module]
        case ast.Call(
            func=ast.Name("__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(str(name)), *_],
        ):
            return [name]
    return []


def room(path: str) -> str:
    """concepthash/spec.py -> spec; concepthash/study/run.py -> study."""
    name = path.split("/")[1]
    return "" if name == "__init__.py" else name.removesuffix(".py")


def violations(root: Path) -> list[str]:
    found = []
    # `from concepthash import __version__` names no file, so it enters no room.
    names = {entry.stem for entry in (root / PACKAGE).iterdir()} - {"__init__"}
    for path, line, module in imports(root):
        here = room(path)
        top, *rest = module.split(".")
        where = f"{path}:{line}"
        if top == PACKAGE:
            there = rest[0] if rest and rest[0] in names else ""
            if there not in ROOMS.get(here, set()) | COMMON | {here}:
                found.append(f"{where}: {here or PACKAGE} may not import {PACKAGE}.{there}")
        elif top in ONLY and here not in ONLY[top]:
            found.append(f"{where}: only {', '.join(sorted(ONLY[top]))} may import {top}")
        elif top in TORCH and here in NO_TORCH:
            found.append(f"{where}: {here} may not import {top}")
    for name in sorted(names - set(ROOMS) - COMMON - {"__pycache__", "py"}):
        entry = root / PACKAGE / name
        if entry.with_suffix(".py").exists() or any(entry.rglob("*.py")):
            found.append(f"{PACKAGE}/{name}: a room that the table does not name")
    return found


def test_imports_point_down() -> None:
    assert violations(ROOT) == []


def test_the_table_has_no_circle() -> None:
    """Rooms can be put in an order in which every import points down."""
    left = {name: set(below) - {name} for name, below in ROOMS.items()}
    while left:
        ground = {name for name, below in left.items() if not below & set(left)}
        assert ground, f"a circle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in ground}


def _plant(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        file = root / PACKAGE / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


CLEAN = {
    "__init__.py": "__version__ = '1'\n",
    "cli.py": "from concepthash import __version__, study\n",
    "spec.py": "import pydantic\nfrom concepthash.errors import InputError\n",
    "errors.py": "",
    "plan.py": "from .spec import StudySpec\n",
    "losses.py": "import torch\n",
    "study/__init__.py": "from .run import run\n",
    "study/run.py": "def run():\n    from ray import tune\n    from ..tracking import runs\n",
    "tracking/__init__.py": "",
    "tracking/runs.py": "import mlflow.entities as entities\n",
    "model/__init__.py": "",
    "model/concepts.py": "import torch.nn as nn\nfrom concepthash.model import adapters\n",
    "model/adapters.py": "",
}


def test_a_clean_tree_passes(tmp_path: Path) -> None:
    assert violations(_plant(tmp_path, CLEAN)) == []


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("train.py", "import ray\n", "train.py:1: only study may import ray"),
        ("train.py", "def f():\n    from ray.tune import Tuner\n", "train.py:2: only study"),
        ("cli.py", "import os, mlflow.pyfunc\n", "cli.py:1: only tracking may import mlflow"),
        ("study/x.py", "import mlflow\n", "study/x.py:1: only tracking"),
        ("tracking/x.py", "try:\n    import ray\nexcept ImportError: ...\n", "x.py:2: only study"),
        ("train.py", "m = importlib.import_module('ray')\n", "train.py:1: only study"),
        ("train.py", "ray = __import__('ray')\n", "train.py:1: only study may import ray"),
        ("model/x.py", "from concepthash.spec import A\n", "model may not import concepthash.spec"),
        ("model/x.py", "from concepthash import spec\n", "model may not import concepthash.spec"),
        ("model/x.py", "from .. import spec\n", "model may not import concepthash.spec"),
        ("model/x.py", "from ..spec import A\n", "model may not import concepthash.spec"),
        ("model/deep/x.py", "from ...spec import A\n", "model may not import concepthash.spec"),
        ("losses.py", "from .spec import A\n", "losses may not import concepthash.spec"),
        ("retrieval/x.py", "import concepthash.spec as s\n", "retrieval may not import"),
        ("spec.py", "import torch\n", "spec.py:1: spec may not import torch"),
        ("plan.py", "from torch.nn import Module\n", "plan may not import torch"),
        ("spec.py", "from concepthash.plan import P\n", "spec may not import concepthash.plan"),
        ("report/x.py", "from concepthash.study import run\n", "report may not import"),
        ("tracking/x.py", "from concepthash import study\n", "tracking may not import"),
        ("__init__.py", "from concepthash.cli import main\n", "concepthash may not import"),
        ("utils.py", "", "concepthash/utils: a room that the table does not name"),
        ("helpers/x.py", "", "concepthash/helpers: a room that the table does not name"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, text: str, message: str) -> None:
    found = violations(_plant(tmp_path, {**CLEAN, path: text}))
    assert len(found) == 1
    assert message in found[0]


def too_long(root: Path) -> list[str]:
    return [
        f"{path} has {lines} lines: is it two?"
        for file in sorted((root / PACKAGE).rglob("*.py"))
        if (path := file.relative_to(root).as_posix()) not in LONG_FILES
        and (lines := len(file.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    ]


def test_no_file_is_two() -> None:
    assert too_long(ROOT) == []
    assert all((ROOT / path).exists() for path in LONG_FILES)


@pytest.mark.parametrize(("lines", "found"), [(MAX_LINES, 0), (MAX_LINES + 1, 1)])
def test_a_long_file_is_found(tmp_path: Path, lines: int, found: int) -> None:
    assert len(too_long(_plant(tmp_path, {"spec.py": "x = 1\n" * lines}))) == found


# Where people and machines keep their files. What follows must look like a name, so that this
# pattern does not match its own source.
MACHINE_PATH = re.compile(
    rb"(?:(?<![\w.~$}/-])|(?<=file://))/(?:home|root|work|Users|mnt|workspace)/[A-Za-z0-9_.]+"
)
# Homes that are the same on every machine: those of images that we name.
SAME_EVERYWHERE = (b"/home/ray",)


def machine_paths(data: bytes) -> list[str]:
    """Absolute paths of some machine; binary files hold none that anyone wrote."""
    if b"\0" in data[:8192]:
        return []
    found = (match.group() for match in MACHINE_PATH.finditer(data))
    return [path.decode() for path in found if path not in SAME_EVERYWHERE]


def test_no_tracked_file_names_a_machine() -> None:
    git = ["git", "ls-files", "-z"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    found = {
        file.relative_to(ROOT).as_posix(): paths
        for file in files
        if file.is_file() and (paths := machine_paths(file.read_bytes()))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cd /{}/ada/code", 1),
        ("file:///{}/ada", 1),
        ("path: '/{}/ada'", 1),
        ("https://example.org/{}/ada", 0),
        ("$HOME/{}/ada and ~/{}/ada", 0),
        ("/{}/", 0),
    ],
)
def test_a_machine_path_is_found(text: str, found: int) -> None:
    assert len(machine_paths(text.replace("{}", "home").encode())) == found


def test_git_ignores_no_source() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-o", "-i", "--exclude-standard", "--", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not in a git checkout")
    assert [line for line in listed.stdout.splitlines() if not line.startswith(".venv/")] == []
