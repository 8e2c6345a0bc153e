"""Hashes of the bytes of files, kept so that an unchanged file is read once."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from concepthash.data.folders import cache_folder, locked, replace_file
from concepthash.data.problems import shortened
from concepthash.errors import InputError

_RECENT = 2_000_000_000  # ns; no file system keeps times more coarsely


class _State(NamedTuple):
    """What is not the same after a change of a file."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


_Entry = tuple[_State | None, str]
"""The state of a file before it was read, and its digest."""


def file_digests(root: Path, paths: Sequence[Path]) -> list[str]:
    """SHA-256 of each file's bytes, as hexadecimal digits.

    Digests are kept in a file of the cache folder, one for each `root` and machine, with each
    file's device, inode, size and times of its last change: while these are the same the file is
    not read again. A file that was changed in the last two seconds is not kept, for another
    change could leave it the same times. Safe for several processes at once. Raises InputError
    with a line for each file that cannot be read.
    """
    key = hashlib.sha256(f"{platform.node()}\n{root}".encode()).hexdigest()[:16]
    cache = cache_folder() / "digests" / f"{key}.json"
    names = [os.path.relpath(path, root) for path in paths]
    files = dict(zip(names, paths, strict=True))
    now = time.time_ns()
    states = {name: _state(path) for name, path in files.items()}
    known = _read(cache)
    if _changed(states, known):
        with locked(cache):
            known = _read(cache)  # another process may have added to it meanwhile
            digests = _hashed({name: files[name] for name in _changed(states, known)})
            known |= {name: (states[name], digest) for name, digest in digests.items()}
            kept = {
                name: (state, digest)
                for name, (state, digest) in known.items()
                if state is not None and state.ctime_ns < now - _RECENT
            }
            replace_file(cache, json.dumps(kept).encode())
    return [known[name][1] for name in names]


def contents(paths: Iterable[Path]) -> dict[Path, str]:
    """What the files hold, as 16 hexadecimal digits for each that exists.

    Raises InputError with a line for each file that cannot be read.
    """
    found = [path for path in dict.fromkeys(paths) if path.is_file()]
    return {path: file_digests(path.parent, [path])[0][:16] for path in found}


def _state(path: Path) -> _State | None:
    try:
        stat = path.stat()
    except OSError:
        return None  # reading it will tell why
    return _State(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _read(cache: Path) -> dict[str, _Entry]:
    """What is known; nothing if the file is missing or broken."""
    try:
        content = json.loads(cache.read_bytes())
        return {name: (_State(*state), str(digest)) for name, (state, digest) in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _changed(states: Mapping[str, _State | None], known: Mapping[str, _Entry]) -> list[str]:
    """Files whose digest is not known in the state in which they are."""
    return [
        name
        for name, state in states.items()
        if state is None or name not in known or known[name][0] != state
    ]


def _hashed(files: Mapping[str, Path]) -> dict[str, str]:
    digests = {}
    problems = []

    def digest(path: Path) -> str | OSError:
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return error

    with ThreadPoolExecutor() as pool:
        for (name, path), found in zip(
            files.items(), pool.map(digest, files.values()), strict=True
        ):
            if isinstance(found, OSError):
                problems.append(f"{path}: cannot be read ({found.strerror}); make it readable")
            else:
                digests[name] = found
    if problems:
        raise InputError(*shortened(problems))
    return digests
