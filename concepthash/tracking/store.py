"""Where runs are kept: an SQLite file in the working directory, or any MLflow tracking server."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import requests
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, ViewType
from mlflow.exceptions import MlflowException

from concepthash.errors import InputError

PARENT = "mlflow.parentRunId"
_SQLITE = "sqlite:///"
_ANSWER_WITHIN_S = 5


@dataclass(frozen=True)
class Store:
    """A tracking store by its URI. Nothing is opened or created before it is used."""

    uri: str

    @property
    def file(self) -> Path | None:
        """The SQLite file, if it is one."""
        return Path(self.uri.removeprefix(_SQLITE)) if self.uri.startswith(_SQLITE) else None

    @property
    def folder(self) -> Path:
        """The folder beside which checkpoints are kept by default."""
        return self.file.parent if self.file else Path.cwd()

    @property
    def exists(self) -> bool:
        """Whether there is anything to read; a server is taken to exist."""
        return self.file is None or self.file.is_file()

    @cached_property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def check(self) -> None:
        """Raises InputError if the store does not answer, within seconds."""
        if self.uri.startswith(("http://", "https://")):
            try:
                answer = requests.get(f"{self.uri.rstrip('/')}/health", timeout=_ANSWER_WITHIN_S)
                answer.raise_for_status()
            except requests.RequestException as error:
                raise InputError(
                    f"--tracking-uri {self.uri}: does not answer ({_reason(error)}); start the"
                    " server or give another URI"
                ) from None
        elif self.file is not None and not self.file.parent.is_dir():
            raise InputError(f"--tracking-uri {self.uri}: there is no folder {self.file.parent}")
        elif self.file is not None and self.file.exists() and not _is_sqlite(self.file):
            raise InputError(f"--tracking-uri {self.uri}: {self.file} is no SQLite database")

    def experiment(self, study: str) -> Experiment | None:
        """The experiment of a study, if any of its trials ever ran."""
        if not self.exists:
            return None
        found = self.client.get_experiment_by_name(study)
        if found is not None and found.lifecycle_stage != "active":
            raise InputError(
                f"{self.uri}: the experiment {study} was deleted in MLflow; restore it there"
                " (mlflow experiments restore) or name the study otherwise"
            )
        return found

    def create_experiment(self, study: str) -> str:
        """Its id; made if needed. Artifacts of an SQLite store lie in `mlruns` beside the file."""
        if (found := self.experiment(study)) is not None:
            return str(found.experiment_id)
        location = (self.file.parent / "mlruns" / study).as_uri() if self.file else None
        return str(self.client.create_experiment(study, artifact_location=location))

    def runs(self, experiment_id: str, condition: str) -> list[Run]:
        """Every run that meets an MLflow filter, newest first."""
        runs: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [experiment_id], condition, ViewType.ACTIVE_ONLY, 1000, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs


def open_store(tracking_uri: str | None) -> Store:
    """The store of that URI; without one, `mlflow.db` in the working directory.

    A relative SQLite path or folder is taken from the working directory.
    """
    if tracking_uri is None:
        return Store(f"{_SQLITE}{Path.cwd() / 'mlflow.db'}")
    if tracking_uri.startswith(_SQLITE):
        path = Path(tracking_uri.removeprefix(_SQLITE)).expanduser()
        return Store(f"{_SQLITE}{Path.cwd() / path}")
    if not urllib.parse.urlparse(tracking_uri).scheme:
        raise InputError(
            f"--tracking-uri {tracking_uri}: not a URI; give e.g. sqlite:///mlflow.db or"
            " http://127.0.0.1:5000"
        )
    return Store(tracking_uri)


@contextmanager
def outages_in_one_line(store: Store) -> Iterator[None]:
    """Raises InputError with one line if the store fails inside the block."""
    try:
        yield
    except Exception as error:
        cause = store_error(error)
        if cause is None:
            raise
        reason = str(cause).splitlines()[0][:300]
        if "ConnectionPool(" in reason:  # of which the rest is addresses of objects
            reason = "it does not answer"
        raise InputError(
            f"--tracking-uri {store.uri}: failed while the study ran ({reason}); when it answers"
            " again, the same command goes on from here"
        ) from error


def store_error(error: BaseException) -> BaseException | None:
    """The store's exception that an exception is or comes from; None if there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (MlflowException, requests.RequestException)):
        cause = cause.__cause__ or cause.__context__
    return cause


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(16)
    return not head or head == b"SQLite format 3\x00"


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {_ANSWER_WITHIN_S} s"
    if isinstance(error, requests.HTTPError):
        return str(error)
    return "connection refused or no such host"
