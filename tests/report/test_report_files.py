from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import polars as pl
import pytest

from concepthash.errors import InputError
from concepthash.report.files import MANIFEST, as_csv, write_files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {MANIFEST}


def test_files_of_the_last_report_go_and_those_of_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "report"
    write_files(folder, {"old.csv": b"1", "report.html": b"1"})
    (folder / "notes.txt").write_text("mine")
    write_files(folder, {"new.csv": b"2", "report.html": b"2"})
    assert names(folder) == {"new.csv", "report.html", "notes.txt"}
    assert (folder / "report.html").read_bytes() == b"2"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_full_disk_leaves_the_last_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "report"
    write_files(folder, {"a.csv": b"1", "b.csv": b"1"})

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_files(folder, {"a.csv": b"2"})
    assert names(folder) == {"a.csv", "b.csv"}
    assert (folder / "a.csv").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["report"]


def test_the_list_of_files_cannot_point_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    folder = tmp_path / "report"
    write_files(folder, {"a": b""})
    (folder / MANIFEST).write_text("../precious\n/etc/hostname\n..\n")
    write_files(folder, {"a": b""})
    assert (tmp_path / "precious").exists()


def test_a_file_where_the_folder_should_be_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("x")
    with pytest.raises(InputError, match="give a folder for the report"):
        write_files(tmp_path / "report", {"a": b""})


def test_csv_holds_no_text_that_a_spreadsheet_runs_as_a_formula() -> None:
    rows = ["=1+1", "+x", "-x", "@x", "M = 4", None]
    frame = pl.DataFrame({"row": rows, "delta": [-1.0] * len(rows)})
    read = list(csv.DictReader(io.StringIO(as_csv(frame))))
    assert [line["row"] for line in read] == ["'=1+1", "'+x", "'-x", "'@x", "M = 4", ""]
    assert {line["delta"] for line in read} == {"-1.0"}
