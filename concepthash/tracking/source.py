"""By which arguments of the command line a study was run, as tags of its run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from concepthash.tracking.earlier import study_run
from concepthash.tracking.store import Store

_FILE, _OVERRIDES = "source", "source.set"


class Source(NamedTuple):
    file: Path
    """Absolute."""
    overrides: Sequence[str]
    """What --set changed of it, `KEY=VALUE` each."""


def as_tags(source: Source) -> dict[str, str]:
    return {_FILE: str(source.file), _OVERRIDES: json.dumps(list(source.overrides))}


def source_of(tags: Mapping[str, str]) -> Source | None:
    """None of a study that an older version ran."""
    if _FILE not in tags:
        return None
    return Source(Path(tags[_FILE]), json.loads(tags.get(_OVERRIDES, "[]")))


def other_file(store: Store, study: str, file: Path) -> Path | None:
    """The file of another study that was run under the same name and is still there."""
    experiment = store.experiment(study)
    parent = study_run(store, experiment.experiment_id) if experiment else None
    source = source_of(parent.data.tags) if parent else None
    if source is None or source.file == file.resolve() or not source.file.is_file():
        return None
    return source.file
