"""Stores that cannot be used: each is told in one line, within seconds, by every command."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy
from disks import disk, mount
from mlflow.store.db import utils as mlflow_database
from mlflow_stores import free_port

from concepthash import cli
from concepthash.errors import InputError
from concepthash.tracking.check import schemas
from concepthash.tracking.store import open_store

STUDY = """\
name: tiny
dataset: {name: paperbirds, species: 4, families: 2, train_images: 6, test_images: 3}
baseline: {num_bits: 16, language: off}
tables: [{name: bits, rows: {num_bits: [16]}}]
"""
AT_ONCE_S = 15
"""What any of these may take: MLflow is imported for some."""


def use(uri: str, writing: bool) -> None:
    store = open_store(uri)
    if writing:
        store.check_writable()
    else:
        store.check()
        store.experiments()


def refusal(uri: str, *, writing: bool = False) -> str:
    """The one line of what is wrong with a store."""
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        use(uri, writing)
    assert time.monotonic() - started < AT_ONCE_S
    (line,) = caught.value.lines
    assert line.startswith("--tracking-uri ")
    assert line.isprintable()
    return line


# --- SQLite files ---


def test_a_folder_is_told_which_file_in_it_could_be_the_store(tmp_path):
    assert f"name a file in it: sqlite:///{tmp_path}/mlflow.db" in refusal(f"sqlite:///{tmp_path}")


def test_a_file_in_a_folder_that_is_not_there(tmp_path):
    assert f"there is no folder {tmp_path}/none" in refusal(f"sqlite:///{tmp_path}/none/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_for_a_file(tmp_path):
    assert "File name too long" in refusal(f"sqlite:///{tmp_path}/{'x' * 300}.db")


def test_a_text_file(tmp_path):
    (tmp_path / "notes.db").write_text("dear diary, today I trained nothing")
    assert "is no SQLite database" in refusal(f"sqlite:///{tmp_path}/notes.db")


def test_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is no SQLite database" in refusal(f"sqlite:///{tmp_path}/pipe")


def test_a_database_whose_first_page_is_broken(database):
    content = bytearray(database.read_bytes())
    content[16:4096] = b"\xff" * 4080
    database.write_bytes(content)
    assert "SQLite: " in refusal(f"sqlite:///{database}")


def test_a_database_that_is_broken_further_on(database):
    content = database.read_bytes()
    first = int.from_bytes(content[16:18], "big")
    database.write_bytes(content[:first] + b"\xff" * (len(content) - first))
    assert "malformed" in refusal(f"sqlite:///{database}")


def test_the_database_of_another_program(tmp_path):
    with closing(sqlite3.connect(tmp_path / "q.db")) as other, other:
        other.execute("CREATE TABLE runs (distance_km REAL)")
    assert "is a database of another program" in refusal(f"sqlite:///{tmp_path}/q.db")


def test_the_database_of_a_newer_mlflow(database):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    assert "was written by a newer MLflow" in refusal(f"sqlite:///{database}")


def test_the_database_of_an_older_mlflow(tmp_path):
    """MLflow's own migrations, as far as a version of 2022 had them."""
    from alembic import command
    from mlflow.store.tracking.dbmodels.initial_models import Base

    uri = f"sqlite:///{tmp_path}/old.db"
    engine = sqlalchemy.create_engine(uri)
    Base.metadata.create_all(engine)
    config = mlflow_database._get_alembic_config(uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "97727af70f4d")
    engine.dispose()
    before = (tmp_path / "old.db").read_bytes()

    line = refusal(uri)
    assert "was written by an older MLflow" in line
    assert f"mlflow db upgrade {uri}" in line
    assert (tmp_path / "old.db").read_bytes() == before  # MLflow would have upgraded it


def test_the_newest_schema_is_known_without_importing_mlflow():
    assert schemas().newest == {mlflow_database._get_latest_schema_revision()}
    code = "import sys; from concepthash.tracking.check import schemas; schemas(); "
    code += "sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_empty_file_and_an_empty_database_are_no_mistake(tmp_path):
    (tmp_path / "a.db").touch()
    with closing(sqlite3.connect(tmp_path / "b.db")) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("DROP TABLE t")
    for name in ("a.db", "b.db", "absent.db"):
        store = open_store(f"sqlite:///{tmp_path}/{name}")
        store.check_writable()
        assert store.experiments() in ([], [e for e in store.experiments() if e.name == "Default"])


def test_options_are_for_sqlite_and_a_file_with_them_is_used_again(database):
    uri = f"sqlite:///{database}?timeout=30"
    for _ in range(2):
        store = open_store(uri)
        store.check_writable()
        store.create_experiment("birds")
    assert [e.name for e in open_store(f"sqlite:///{database}").experiments()].count("birds") == 1
    assert {path.name for path in database.parent.iterdir()} == {database.name}


@pytest.mark.parametrize("options", ["timeout=soon", "nonsense=1", "password=hunter2"])
def test_options_that_sqlite_does_not_have(database, options):
    line = refusal(f"sqlite:///{database}?{options}")
    assert "its options cannot be used" in line
    assert "hunter2" not in line


def test_a_locked_database_is_waited_for_and_then_told(database, monkeypatch):
    monkeypatch.setattr("concepthash.tracking.database.PATIENCE_S", 1)
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        line = refusal(f"sqlite:///{database}")
    assert "another process has kept the database locked for 1 s" in line


def test_a_read_only_disk_can_be_read_and_not_written(tmp_path, empty_database):
    with disk(tmp_path, "2m") as folder:
        store = open_store(f"sqlite:///{shutil.copy(empty_database, folder)}")
        mount("-o", "remount,ro", folder)
        store.check()
        assert [experiment.name for experiment in store.experiments()] == ["Default"]
        refused = f"the folder {folder} cannot be written to"
        assert refused in refusal(store.uri, writing=True)
        assert refused in refusal(f"sqlite:///{folder}/new.db", writing=True)


def test_a_read_only_file_in_a_folder_that_can_be_written(tmp_path, empty_database):
    with disk(tmp_path, "2m") as folder:
        file = Path(shutil.copy(empty_database, folder))
        mount("--bind", file, file)
        mount("-o", "remount,bind,ro", file)
        store = open_store(f"sqlite:///{file}")
        store.check()
        assert f"{file} cannot be written to" in refusal(store.uri, writing=True)


# --- servers and the rest ---


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://u:hunter2@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


class Page(Files):
    """Answers every question with the same page, as many applications do."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html></html>")


class Locked(Files):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()


@pytest.mark.parametrize(
    ("handler", "says"),
    [(Files, "is no MLflow server"), (Page, "is no MLflow server"), (Locked, "refuses us (401")],
)
def test_a_server_that_is_no_mlflow_or_wants_another_password(handler, says):
    with serving(handler) as uri:
        line = refusal(uri)
    assert says in line
    assert "hunter2" not in line


def test_a_server_that_does_not_answer():
    assert "does not answer (connection refused" in refusal("http://u:hunter2@127.0.0.1:9")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line = refusal(f"http://u:hunter2@127.0.0.1:{silent.getsockname()[1]}")
    assert "does not answer (no answer within 5 s)" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("foo://u:hunter2@x", "MLflow has no store for foo://"),
        ("postgresql://u:hunter2@127.0.0.1/x", "needs a Python package that is not installed"),
        ("mssql+nothing://u:hunter2@host/x", "cannot be used"),
        ("postgresql://u:hunter2@host:port/x", "cannot be used"),
        ("http://", "does not answer"),
        ("http://u:hunter2@[::1", "cannot be asked"),
        ("http://u:hunter2@host:70000", "cannot be asked"),
    ],
)
def test_a_store_of_another_kind_that_cannot_be_used(uri, says):
    line = refusal(uri)
    assert says in line
    assert "hunter2" not in line


# --- the commands ---


COMMANDS = {
    "plan": ["plan", "study.yaml"],
    "run": ["run", "study.yaml"],
    "report": ["report", "tiny"],
    "evaluate": ["evaluate", "0123456789ab"],
    "show": ["show", "0123456789ab"],
    "ui": ["ui", "--port", "{port}"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kind", ["a folder", "a newer MLflow", "an unknown scheme"])
def test_every_command_ends_with_one_line_and_exit_code_2(
    tmp_path, database, monkeypatch, capsys, name, kind
):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(STUDY)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    uri = {
        "a folder": f"sqlite:///{tmp_path}",
        "a newer MLflow": f"sqlite:///{database}",
        "an unknown scheme": "foo://u:hunter2@x",
    }[kind]
    arguments = [word.replace("{port}", str(free_port())) for word in COMMANDS[name]]
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["concepthash-study", *arguments, "--tracking-uri", uri])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr()
    assert ended.value.code == 2, shown.err
    (line,) = shown.err.splitlines()
    assert line.startswith("--tracking-uri ")
    assert shown.out == ""
    assert "hunter2" not in line
    assert sorted(tmp_path.rglob("*")) == before
