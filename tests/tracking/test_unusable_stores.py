"""Stores that cannot be used: each is told in one line, within seconds, by every command."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from disks import disk, mount
from mlflow.store.db import utils as mlflow_database
from mlflow_stores import free_port, refusal

from concepthash import cli
from concepthash.tracking.check import schemas
from concepthash.tracking.store import open_store

STUDY = """\
name: tiny
dataset: {name: paperbirds, species: 4, families: 2, train_images: 6, test_images: 3}
baseline: {num_bits: 16, language: off}
tables: [{name: bits, rows: {num_bits: [16]}}]
"""


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
