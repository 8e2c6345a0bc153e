"""Tracking URIs: what they name, and that their secrets are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from concepthash.errors import InputError
from concepthash.tracking.store import Store, open_store
from concepthash.tracking.uri import masked, without_secrets

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://u:hunter2@host:5000", "http://u:***@host:5000"),
        ("http://u:hunter2@host/a@b", "http://u:***@host/a@b"),
        ("https://u:x@hunter2@host", "https://u:***@host"),
        ("https://hunter2@host/path", "https://***@host/path"),
        ("HTTP://u:hunter2@host", "HTTP://u:***@host"),
        ("http://host/?api_key=hunter2", "http://host/?api_key=***"),
        ("postgresql://u:hunter2@host/db", "postgresql://u:***@host/db"),
        ("postgresql+psycopg2://u:a/hunter2@host/db", "postgresql+psycopg2://u:***@host/db"),
        ("mysql://host/db?user=u&password=hunter2&x=1", "mysql://host/db?user=u&password=***&x=1"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Dhunter2", "mssql+pyodbc:///?odbc_connect=***"),
        ("sqlite:////a/b.db?password=hunter2", "sqlite:////a/b.db?password=***"),
        ("s3://id:hunter2@bucket/a?region=x", "s3://id:***@bucket/a?region=x"),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri, shown):
    assert masked(uri) == shown
    store = Store(uri)
    assert str(store) == shown
    assert SECRET not in repr(store)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////home/a@b/mlflow.db",
        "http://127.0.0.1:5000",
        "http://host:5000/a@b",
        "postgresql://u@host:5432/db?sslmode=require",
        "s3://bucket/a:b@c",
    ],
)
def test_a_uri_without_secrets_is_shown_as_it_is(uri):
    assert masked(uri) == uri


@pytest.mark.parametrize(
    "text",
    [
        "API request to http://u:p%40ss@host/api failed",
        "the password p@ss is wrong",
        "url: /x?user=u&q=p%40ss",
    ],
)
def test_the_message_of_another_library_is_shown_without_the_secrets_of_the_uri(text):
    shown = without_secrets(text, "http://u:p%40ss@host")
    assert "p%40ss" not in shown
    assert "p@ss" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        (None, "mlflow.db"),
        ("sqlite:///q.db", "q.db"),
        ("sqlite:///q.db?timeout=30", "q.db"),
        ("sqlite+pysqlite:///a/q.db", "a/q.db"),
        ("sqlite:////srv/q.db", "/srv/q.db"),
        ("sqlite:///~/q.db", "~/q.db"),
    ],
)
def test_a_path_is_taken_from_the_working_directory_and_ends_at_its_options(
    tmp_path, monkeypatch, uri, file
):
    monkeypatch.chdir(tmp_path)
    store = open_store(uri)
    assert store.file == tmp_path / Path(file).expanduser()
    assert store.uri.endswith("?timeout=30") == ("?" in (uri or ""))


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "not a URI of a store"),
        ("here.db", "not a URI of a store"),
        ("/a/folder", "not a URI of a store"),
        ("databricks", "not a URI of a store"),
        ("sqlite:here.db", "not a URI of a store"),
        ("sqlite+nothing:///here.db", "not a URI of a store"),
        ("sqlite://", "a database in memory"),
        ("sqlite:///", "a database in memory"),
        ("sqlite:///:memory:", "a database in memory"),
        ("sqlite:///file:here.db?uri=true", "without file:"),
        ("file:///a/folder", "no longer keeps runs in a folder"),
        ("sqlite:///a\0b.db", "'sqlite:///a\\x00b.db': has a character that cannot be printed"),
        ("sqlite:///a\nb.db", "has a character that cannot be printed"),
    ],
)
def test_what_is_no_uri_of_a_store_is_refused_in_one_line(uri, says):
    with pytest.raises(InputError) as caught:
        open_store(uri)
    (line,) = caught.value.lines
    assert line.startswith("--tracking-uri ")
    assert says in line
    assert line.isprintable()
