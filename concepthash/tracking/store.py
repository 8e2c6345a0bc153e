"""Where runs are kept: an SQLite file in the working directory, or any MLflow tracking server."""

from __future__ import annotations

import errno
import sqlite3
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from concepthash.data.folders import locked
from concepthash.errors import InputError
from concepthash.tracking import check, database
from concepthash.tracking.runs import Experiment, Run, RunData, RunInfo
from concepthash.tracking.uri import absolute, masked, sqlite_path, sqlite_uri, without_secrets

if TYPE_CHECKING:  # imported where they are used: MLflow takes 2 s, and with SQLite 4 s
    from mlflow import MlflowClient, entities

PARENT = "mlflow.parentRunId"
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_LIBRARIES = {"mlflow", "requests", "sqlalchemy", "sqlite3"}
"""Whose exceptions come from the store."""


@dataclass(frozen=True)
class Store:
    """A tracking store by its URI. Nothing is opened or created before it is used.

    As a string it is the URI without its secrets; `uri` itself is for MLflow only.
    """

    uri: str = field(repr=False)

    def __str__(self) -> str:
        return masked(self.uri)

    @property
    def file(self) -> Path | None:
        """The SQLite file, if it is one."""
        path = sqlite_path(self.uri)
        return None if path is None else Path(path)

    @property
    def is_server(self) -> bool:
        return self.uri.lower().startswith(("http://", "https://"))

    @property
    def folder(self) -> Path:
        """The folder beside which checkpoints are kept by default."""
        return self.file.parent if self.file else Path.cwd()

    @property
    def exists(self) -> bool:
        """Whether there is anything to read; a server is taken to exist."""
        return self.file is None or (self.file.is_file() and self.file.stat().st_size > 0)

    @cached_property
    def client(self) -> MlflowClient:
        from mlflow import MlflowClient

        with self.errors_in_one_line():
            if self.file is None:
                return MlflowClient(self.uri)
            with locked(self.file):  # two processes would create the same tables
                if not self.exists:
                    _create(self.file)
                return MlflowClient(self.uri)

    def check(self) -> None:
        """Raises InputError with one line, within seconds, if the store cannot be read."""
        if self.file is not None:
            self._refuse(check.wrong_with_file(self.file))
            if "?" in self.uri:
                self._refuse(check.wrong_with_options(self.uri))
        elif self.is_server:
            self._refuse(check.wrong_with_server(self.uri))
        else:
            self._refuse(check.wrong_with_database(self.uri))

    def check_writable(self) -> None:
        """The same if it cannot be read or written."""
        self.check()
        if self.file is not None:
            self._refuse(check.wrong_with_writing(self.file))

    def _refuse(self, wrong: str | None) -> None:
        if wrong is not None:
            raise InputError(f"--tracking-uri {self}: {self.in_one_line(wrong)}")

    @contextmanager
    def errors_in_one_line(self) -> Iterator[None]:
        """Raises InputError with one line if the store, or its disk, fails inside the block."""
        try:
            yield
        except Exception as error:
            cause = _disk_error(error) or store_error(error)
            if cause is None or isinstance(error, InputError):
                raise
            raise InputError(f"--tracking-uri {self}: failed ({self.reason(cause)})") from error

    def reason(self, error: BaseException) -> str:
        """Why the store failed, in words, of an error that it raised."""
        for cause in _causes(error):
            if isinstance(cause, sqlite3.Error):
                return check.sqlite_reason(cause)
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        if "ConnectionPool(" in str(error):  # of which the rest is addresses of objects
            return "it does not answer"
        return self.in_one_line(str(error))

    def in_one_line(self, text: str) -> str:
        """The first line of a text, at most 500 characters, without the secrets of the URI."""
        first = without_secrets(text, self.uri).strip().partition("\n")[0]
        return first[:500]

    def experiment(self, study: str) -> Experiment | None:
        """The experiment of a study, if any of its trials ever ran."""
        if not self.exists:
            return None
        known = database.experiments(self.file) if self.file else None
        if known is None:
            with self.errors_in_one_line():
                named = self.client.get_experiment_by_name(study)
            found = _experiment(named) if named else None
        else:
            found = next((experiment for experiment in known if experiment.name == study), None)
        if found is not None and found.lifecycle_stage != "active":
            raise InputError(
                f"{self}: the experiment {study} was deleted in MLflow; restore it there"
                " (mlflow experiments restore) or name the study otherwise"
            )
        return found

    def experiments(self) -> list[Experiment]:
        """All that are not deleted; none without a store."""
        if not self.exists:
            return []
        known = database.experiments(self.file) if self.file else None
        if known is None:
            with self.errors_in_one_line():
                return list(map(_experiment, self.client.search_experiments()))
        return [experiment for experiment in known if experiment.lifecycle_stage == "active"]

    def create_experiment(self, study: str) -> str:
        """Its id; made if needed. Artifacts of an SQLite store lie in `mlruns` beside the file."""
        if (found := self.experiment(study)) is not None:
            return str(found.experiment_id)
        location = (self.file.parent / "mlruns" / study).as_uri() if self.file else None
        with self.errors_in_one_line():
            return str(self.client.create_experiment(study, artifact_location=location))

    def run(self, run_id: str) -> Run:
        return _run(self.client.get_run(run_id))

    def runs(self, experiment_id: str, kind: Literal["study", "trial"]) -> list[Run]:
        """The runs of studies, or of their trials, newest first."""
        if self.file is not None:
            found = database.runs(self.file, experiment_id, kind)
            if found is not None:
                return found
        from mlflow.entities import ViewType

        runs: list[Run] = []
        token = None
        while True:
            with self.errors_in_one_line():
                page = self.client.search_runs(
                    [experiment_id],
                    f"tags.kind = '{kind}'",
                    ViewType.ACTIVE_ONLY,
                    1000,
                    page_token=token,
                )
            runs += map(_run, page)
            token = page.token
            if not token:
                return runs

    def history(self, runs: Sequence[Run], metric: str) -> list[tuple[str, int, float]]:
        """Every value of a metric in runs of one experiment: run, step, value."""
        wanted = {run.info.run_id for run in runs if metric in run.data.metrics}
        if self.file is not None and wanted:
            found = database.history(self.file, runs[0].info.experiment_id, metric)
            if found is not None:
                return [point for point in found if point[0] in wanted]
        with self.errors_in_one_line():
            return [
                (run, point.step, point.value)
                for run in wanted
                for point in self.client.get_metric_history(run, metric)
            ]

    def text(self, run: Run, name: str) -> str:
        """An artifact of a run. Raises OSError if it cannot be read."""
        place = urllib.parse.urlsplit(str(run.info.artifact_uri))
        if place.scheme == "file":
            return (Path(urllib.request.url2pathname(place.path)) / name).read_text("utf-8")
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory(prefix="concepthash-") as folder:
            try:
                path = self.client.download_artifacts(run.info.run_id, name, folder)
            except MlflowException as error:
                raise OSError(str(error)) from error
            return Path(path).read_text("utf-8")


def open_store(tracking_uri: str | None) -> Store:
    """The store of that URI; without one, `mlflow.db` in the working directory.

    A relative SQLite path is taken from the working directory. Raises InputError with one line if
    it is no URI of a store.
    """
    return Store(absolute(sqlite_uri("mlflow.db") if tracking_uri is None else tracking_uri))


def _create(file: Path) -> None:
    """Other processes see the database whole, or not at all; a kill leaves no half of it."""
    from mlflow import MlflowClient

    new = file.with_name(f".{file.name}.new")
    for left in (new, new.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    MlflowClient(sqlite_uri(new))
    new.rename(file)


@contextmanager
def outages_in_one_line(store: Store, storage: str) -> Iterator[None]:
    """Raises InputError with one line if the store, or the disk of the storage, fails."""
    then = "the same command goes on from here"
    try:
        yield
    except Exception as error:
        for cause in _causes(error):
            if isinstance(cause, InputError):
                raise cause from cause.__cause__
        if (failed := store_error(error)) is not None:
            raise InputError(
                f"--tracking-uri {store}: failed while the study ran ({store.reason(failed)}); when"
                f" it answers again, {then}"
            ) from error
        if (full := _disk_error(error)) is not None:
            where = full.filename2 or full.filename or f"--storage {masked(storage)}"
            reason = full.strerror or full
            raise InputError(
                f"{where}: failed while the study ran ({reason}); when that is mended, {then}"
            ) from error
        raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it comes from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def store_error(error: BaseException) -> BaseException | None:
    """The store's exception that an exception is or comes from; None if there is none."""
    return next(filter(_is_of_store, _causes(error)), None)


def _disk_error(error: BaseException) -> OSError | None:
    found = (cause for cause in _causes(error) if isinstance(cause, OSError))
    return next((cause for cause in found if cause.errno in _DISK), None)


def _is_of_store(error: BaseException) -> bool:
    """By the names of its classes, since to import them takes seconds."""
    return any(kind.__module__.partition(".")[0] in _LIBRARIES for kind in type(error).__mro__)


def _experiment(found: entities.Experiment) -> Experiment:
    return Experiment(str(found.experiment_id), str(found.name), str(found.lifecycle_stage))


def _run(found: entities.Run) -> Run:
    info, data = found.info, found.data
    return Run(
        RunInfo(
            str(info.experiment_id),
            str(info.run_id),
            str(info.status),
            int(info.start_time or 0),
            str(info.artifact_uri),
        ),
        RunData(dict(data.tags), dict(data.metrics), dict(data.params)),
    )
