"""The storage of checkpoints: its file system, and whether it can be written."""

from __future__ import annotations

import re
import threading
import uuid

from pyarrow import ArrowException
from pyarrow.fs import FileSystem, LocalFileSystem

from concepthash.errors import InputError
from concepthash.tracking.uri import masked, without_secrets

_ANSWER_WITHIN_S = 30


def open_storage(storage: str) -> tuple[FileSystem, str]:
    """The file system of a storage folder or URI, and the path in it."""
    if "://" in storage:
        return FileSystem.from_uri(storage)
    return LocalFileSystem(), storage


def check_storage(storage: str) -> None:
    """Writes a file and removes it, through the file system that trials use.

    Makes the folder if there is none. Raises InputError with one line if that fails, or if a
    remote storage has not answered within half a minute.
    """
    failed: list[BaseException] = []

    def write() -> None:
        try:
            _write(storage)
        except (OSError, ArrowException, ValueError) as error:
            failed.append(error)

    # Clients of cloud storage repeat what fails for a quarter of an hour.
    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    writing.join(_ANSWER_WITHIN_S)
    if writing.is_alive():
        raise _unusable(storage, f"no answer within {_ANSWER_WITHIN_S} s")
    if failed:
        raise _unusable(storage, str(failed[0]))


def inside(storage: str, name: str) -> str:
    """A folder in the storage. The options of a URI, such as S3's endpoint, stay at its end."""
    if "://" not in storage:
        return f"{storage}/{name}"
    path, mark, options = storage.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{options}"


def _write(storage: str) -> None:
    if storage.startswith("mock:"):
        raise ValueError("is in the memory of one process")
    filesystem, root = open_storage(storage)
    probe = f"{root}/.probe-{uuid.uuid4().hex}"
    try:
        stream = filesystem.open_output_stream(probe)
    except FileNotFoundError:  # object stores have no folders that could be missing
        filesystem.create_dir(root, recursive=True)
        stream = filesystem.open_output_stream(probe)
    with stream:
        stream.write(b"probe")
    filesystem.delete_file(probe)


def _unusable(storage: str, reason: str) -> InputError:
    reason = without_secrets(reason, storage).strip().partition("\n")[0]
    reason = re.sub(r".*\[errno \d+\] ", "", reason, flags=re.IGNORECASE)[:300]
    return InputError(
        f"--storage {masked(storage)}: checkpoints cannot be written there ({reason}); give another"
        " folder or URI"
    )
