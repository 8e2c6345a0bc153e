"""Which code a run was made with: versions of packages, and the commit of this project."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import concepthash
from concepthash import __version__

PACKAGES = ("torch", "timm", "open_clip_torch", "ray", "optuna", "mlflow", "polars")
COMMIT, DIRTY, NO_COMMIT = "mlflow.source.git.commit", "git.dirty", "git.unknown"
_PACKAGE = Path(concepthash.__file__).parent
_ANSWER_WITHIN_S = 10


class _NoAnswerError(Exception):
    """Its message says why git gives no commit."""


def versions() -> dict[str, str]:
    """Tags that say what code a run was made with."""
    tags = {f"version.{name}": version(name) for name in PACKAGES}
    tags |= {"version.concepthash-study": __version__, "version.python": platform.python_version()}
    return tags | commit_of(_PACKAGE)


def commit_of(package: Path) -> dict[str, str]:
    """Tags with the commit of a package's source, and whether its files differ from it.

    Only a repository that tracks these files counts, not one that an installed package lies in.
    Without a commit there is one tag, which says why; it is empty otherwise, since a run may have
    the tags of an earlier process.

    Git is asked for names of objects only, which runs nothing that a repository's configuration
    names: no monitor, hook, filter, alias or remote. So it is not git that compares the files.
    """
    try:
        commit = _git(package, "rev-parse", "--verify", "HEAD").decode().strip()
        tracked = _tracked(package)
        if tracked.get("__init__.py") is None:
            raise _NoAnswerError("installed package")
    except _NoAnswerError as error:
        return {NO_COMMIT: str(error)}
    changed = _files(package, len(commit)) != tracked
    return {COMMIT: commit, DIRTY: str(changed).lower(), NO_COMMIT: ""}


def _git(folder: Path, *arguments: str) -> bytes:
    # Variables such as GIT_DIR, which git sets for its hooks, would name another repository.
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    # Objects that a partial clone lacks are not fetched.
    environment |= {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}
    environment |= {"GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}
    command = ["git", "--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false"]
    try:
        answer = subprocess.run(
            [*command, "-C", str(folder), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_WITHIN_S,
            check=False,
        )
    except FileNotFoundError:
        raise _NoAnswerError("git is not installed") from None
    except (OSError, subprocess.TimeoutExpired):
        raise _NoAnswerError("git does not answer") from None
    if answer.returncode != 0:
        said = answer.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise _NoAnswerError("installed package" if "not a git repository" in said else said[:200])
    return answer.stdout


def _tracked(package: Path) -> dict[str, str]:
    """The files below the package as committed: path in it, and object name."""
    listed = _git(package, "ls-tree", "-r", "-z", "HEAD").decode(errors="surrogateescape")
    entries = (entry.partition("\t") for entry in listed.split("\0") if entry)
    return {path: about.split()[2] for about, _, path in entries}


def _files(package: Path, digits: int) -> dict[str, str]:
    """The same of the files as they are; `digits` are those of an object name."""
    algorithm = "sha1" if digits == 40 else "sha256"
    found = {}
    for path in package.rglob("*"):
        if path.is_file() and path.parent.name != "__pycache__":
            content = path.read_bytes()
            header = b"blob %d\0" % len(content)
            name = path.relative_to(package).as_posix()
            found[name] = hashlib.new(algorithm, header + content).hexdigest()
    return found
