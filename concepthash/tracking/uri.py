"""Tracking URIs: which file they name, and how they are shown without their secrets."""

from __future__ import annotations

import os
import re
import urllib.parse
from pathlib import Path

from concepthash.errors import InputError

MASK = "***"

_SERVER = re.compile(r"(?i:https?)://(?:[^:/?#]*:(?P<secret>[^/?#]*)|(?P<token>[^:/?#@]+))@")
_DATABASE = re.compile(r"[^:/?#]+://[^:/?#@]*:(?P<secret>[^@]*(?:@[^/?#@]*(?=@))*)@")
"""Its password may hold a slash: SQLAlchemy reads up to the @."""
_OPTION = re.compile(
    r"[?&;][^=&;#]*(?i:pass|pwd|secret|token|key|credential|odbc_connect)[^=&;#]*=(?P<secret>[^&;#]*)"
)
_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?://(?:/(?P<path>[^?]*))?(?P<options>\?.*)?")
_EXAMPLE = "give e.g. sqlite:///mlflow.db or http://127.0.0.1:5000"


def masked(uri: str) -> str:
    """A URI of a store or a folder, with *** for passwords and tokens."""
    for start, end in reversed(_secrets(uri)):
        uri = f"{uri[:start]}{MASK}{uri[end:]}"
    return uri


def without_secrets(text: str, uri: str) -> str:
    """A text, such as the message of another library, with *** for the secrets of a URI."""
    secrets = {uri[start:end] for start, end in _secrets(uri)}
    secrets |= {urllib.parse.unquote(secret) for secret in secrets}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _secrets(uri: str) -> list[tuple[int, int]]:
    """Where they stand, in order; none is empty."""
    whose = _SERVER if uri.lower().startswith("http") else _DATABASE
    found = [match for match in [whose.match(uri), *_OPTION.finditer(uri)] if match]
    spans = [match.span("token" if match.groupdict().get("token") else "secret") for match in found]
    return sorted((start, end) for start, end in spans if start < end)


def sqlite_path(uri: str) -> str | None:
    """The path in the URI of an SQLite file; None of another kind of store."""
    match = _SQLITE.fullmatch(uri)
    return match["path"] if match else None


def sqlite_uri(path: Path | str, options: str = "") -> str:
    return f"sqlite:///{path}{options}"


def absolute(uri: str) -> str:
    """The URI with its SQLite path made absolute, from the working directory.

    Raises InputError with one line if it is no URI of a store.
    """
    shown = masked(uri)
    if not uri.isprintable():
        raise InputError(f"--tracking-uri {shown!a}: has a character that cannot be printed")
    match = _SQLITE.fullmatch(uri)
    if match:
        path = match["path"]
        if not path or path == ":memory:":
            raise InputError(
                f"--tracking-uri {shown}: a database in memory is gone when the command ends;"
                " name a file, e.g. sqlite:///mlflow.db"
            )
        if path.startswith("file:"):
            raise InputError(
                f"--tracking-uri {shown}: give the path without file:, e.g. sqlite:///mlflow.db"
            )
        return sqlite_uri(Path.cwd() / os.path.expanduser(path), match["options"] or "")
    scheme = uri.partition(":")[0]
    if scheme == "file":
        raise InputError(
            f"--tracking-uri {shown}: MLflow no longer keeps runs in a folder; name a file in it,"
            " e.g. sqlite:///mlflow.db"
        )
    if "://" not in uri or scheme.startswith("sqlite"):
        raise InputError(f"--tracking-uri {shown}: not a URI of a store; {_EXAMPLE}")
    return uri
