"""Whether a tracking store can be used: found out within seconds, before a study starts.

An SQLite file is looked at without MLflow. Each function returns what is wrong, for the end of a
line of which the URI is the beginning, or None.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import socket
import sqlite3
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from concepthash.tracking import database
from concepthash.tracking.uri import sqlite_uri

ANSWER_WITHIN_S = 5
_API = "/api/2.0/mlflow/experiments/search"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


# --- an SQLite file ---


def wrong_with_file(file: Path) -> str | None:
    """What keeps an SQLite file from being read; one that does not exist yet is all right."""
    try:
        if file.is_dir():
            return f"{file} is a folder; name a file in it: {sqlite_uri(file / 'mlflow.db')}"
        if not file.parent.is_dir():
            return f"there is no folder {file.parent}"
        if not file.exists():
            return None
        if not file.is_file() or not _is_sqlite(file):
            return f"{file} is no SQLite database"
    except OSError as error:
        return str(error.strerror)
    try:
        with database.connected(file) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = {name for (name,) in names}
            revision = None
            if "alembic_version" in tables:
                revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        return sqlite_reason(error)
    if not tables:
        return None
    if not tables >= {"experiments", "runs", "alembic_version"} or revision is None:
        return f"{file} is a database of another program"
    return _wrong_with_schema(str(revision[0]), file)


def wrong_with_writing(file: Path) -> str | None:
    """What keeps an SQLite file that can be read from being written."""
    if not os.access(file.parent, os.W_OK | os.X_OK):  # its journal lies there, too
        return f"the folder {file.parent} cannot be written to"
    if not file.exists():
        return None
    if not os.access(file, os.W_OK):
        return f"{file} cannot be written to"
    try:
        with database.connected(file, write=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        return sqlite_reason(error)
    return None


def sqlite_reason(error: BaseException) -> str:
    """SQLite's error in words."""
    if "locked" in str(error):
        return (
            f"another process has kept the database locked for {database.PATIENCE_S} s; wait for"
            " it, or end it"
        )
    return f"SQLite: {error}"


def wrong_with_options(uri: str) -> str | None:
    """What is wrong with the options in the URI of an SQLite file: ?timeout=30."""
    import sqlalchemy

    try:
        with warnings.catch_warnings(action="error"):  # of an option that SQLite does not have
            url = sqlalchemy.make_url(uri)
            _, options = url.get_dialect()().create_connect_args(url)
            sqlite3.connect(":memory:", **options).close()
    except (sqlalchemy.exc.SQLAlchemyError, Warning, ValueError, TypeError, sqlite3.Error) as error:
        return f"its options cannot be used ({error})"
    return None


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(16)
    return not head or head == b"SQLite format 3\x00"


class _Schemas(NamedTuple):
    """Those that the installed MLflow knows, by their revisions."""

    known: frozenset[str]
    newest: frozenset[str]


@functools.cache
def schemas() -> _Schemas:
    """Read from MLflow's files: to import it takes seconds. Empty if they lie elsewhere."""
    found = importlib.util.find_spec("mlflow")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "store" / "db_migrations" / "versions"
    revisions, earlier = set[str](), set[str]()
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        revisions |= set(re.findall(r"^revision\s*=\s*[\"'](\w+)[\"']", text, re.MULTILINE))
        earlier |= set(re.findall(r"^down_revision\s*=\s*[\"'](\w+)[\"']", text, re.MULTILINE))
    return _Schemas(frozenset(revisions), frozenset(revisions - earlier))


def _wrong_with_schema(revision: str, file: Path) -> str | None:
    known, newest = schemas()
    if not known or revision in newest:
        return None
    installed = f"the installed MLflow {version('mlflow')}"
    if revision in known:
        return (
            f"was written by an older MLflow than {installed} (schema {revision}); copy the file,"
            f" then: mlflow db upgrade {sqlite_uri(file)}"
        )
    return (
        f"was written by a newer MLflow than {installed} (schema {revision}); install that one, or"
        " name another store"
    )


# --- others ---


def wrong_with_server(uri: str) -> str | None:
    """What keeps an MLflow server from being used, with MLflow's own settings of how to ask it."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    start = "start the server or give another URI"
    try:
        answer = http_request(
            get_default_host_creds(uri),
            _API,
            "GET",
            params={"max_results": 1},
            timeout=ANSWER_WITHIN_S,
            max_retries=0,
            raise_on_status=False,
        )
    except MlflowException as error:
        if "timed out" in str(error).lower():
            return f"does not answer (no answer within {ANSWER_WITHIN_S} s); {start}"
        if "certificate" in str(error).lower() or "SSL" in str(error):
            return "does not answer (its certificate is not accepted, or it speaks no TLS)"
        if "ConnectionPool(" in str(error):
            return f"does not answer (connection refused or no such host); {start}"
        return f"cannot be asked ({error}); {start}"
    except ValueError as error:  # of a URL that requests cannot read
        return f"cannot be asked ({error}); give another URI"
    if answer.status_code in (401, 403):
        return (
            f"refuses us ({answer.status_code} {answer.reason}); set MLFLOW_TRACKING_USERNAME and"
            " MLFLOW_TRACKING_PASSWORD"
        )
    try:
        known = answer.ok and isinstance(json.loads(answer.text), dict)
    except ValueError:
        known = False
    if not known:
        return f"is no MLflow server (it answers {answer.status_code} to {_API}); give another URI"
    return None


def wrong_with_database(uri: str) -> str | None:
    """What keeps a database server, or a store that a plugin of MLflow brings, from being used."""
    import sqlalchemy
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

    scheme = uri.partition(":")[0]
    try:
        if scheme.partition("+")[0] in _PORTS:
            url = sqlalchemy.make_url(uri)
            url.get_dialect().import_dbapi()
            if url.host:
                port = url.port or _PORTS[scheme.partition("+")[0]]
                socket.create_connection((url.host, port), ANSWER_WITHIN_S).close()
            # MLflow would repeat this for minutes.
            sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool).connect().close()
        MlflowClient(uri).search_experiments(max_results=1)
    except UnsupportedModelRegistryStoreURIException:
        return (
            f"MLflow has no store for {scheme}://; give e.g. sqlite:///mlflow.db or"
            " http://127.0.0.1:5000"
        )
    except ImportError as error:
        return f"needs a Python package that is not installed ({error})"
    except OSError as error:
        return f"does not answer ({error.strerror or 'no answer'}); start the database server"
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, ValueError) as error:
        return f"cannot be used ({error})"
    return None
