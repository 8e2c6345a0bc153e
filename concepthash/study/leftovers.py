"""What trials need of a study's storage, and the removal of the rest.

    STORAGE/STUDY/TIME-TABLE-OWNER/TRIAL/CHECKPOINT/    one folder a run of Tune

Tune writes its own state beside the checkpoints, which nobody reads: a run starts from the
tracking store. A trial that is trained needs its model only, for its codes are in that store; one
that was interrupted needs its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from concepthash.study.storage import open_storage
from concepthash.tracking.runs import Earlier

_MODEL = "model.safetensors"


def keep_model_only(filesystem: FileSystem, checkpoint: str) -> None:
    """Removes from the checkpoint of a trained trial what it would go on from, and its codes."""
    for info in _inside(filesystem, checkpoint):
        if info.base_name != _MODEL:
            _remove(filesystem, info)


def clean_storage(storage: str, study: str, owner: str, known: Mapping[str, Earlier]) -> None:
    """Removes what no known trial needs from the folders that this study's runs left.

    `owner` ends their names: studies of one name in two stores may share a storage.
    """
    filesystem, root = open_storage(storage)
    kept: set[tuple[str, ...]] = set()  # names of a folder, from that of the experiment on
    for run in known.values():
        if run.checkpoint and run.status in ("finished", "interrupted", "running"):
            names = PurePosixPath(run.checkpoint).parts[-3:]
            kept |= {names[:1], names[:2], names}
            if run.status == "finished":
                keep_model_only(filesystem, run.checkpoint)

    def clean(folder: str, names: tuple[str, ...]) -> None:
        for info in _inside(filesystem, folder):
            inner = (*names, info.base_name)
            if inner not in kept:
                _remove(filesystem, info)
            elif len(inner) < 3:
                clean(info.path, inner)

    for experiment in _inside(filesystem, f"{root}/{study}"):
        names = (experiment.base_name,)
        if not experiment.base_name.endswith(f"-{owner}"):
            continue
        if names in kept:
            clean(experiment.path, names)
        else:
            _remove(filesystem, experiment)


def _inside(filesystem: FileSystem, folder: str) -> list[FileInfo]:
    return filesystem.get_file_info(FileSelector(folder, allow_not_found=True))


def _remove(filesystem: FileSystem, info: FileInfo) -> None:
    if info.type == FileType.Directory:
        filesystem.delete_dir(info.path)
    else:
        filesystem.delete_file(info.path)
