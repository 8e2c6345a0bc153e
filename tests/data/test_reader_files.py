"""Finding the folder of a data set, and which paths an index may name."""

from __future__ import annotations

import os

import pytest

from concepthash.data.readers.files import folder_of, path_problem, text_of
from concepthash.errors import InputError


def test_the_folder_is_the_root_or_the_only_one_in_it_with_the_index(tmp_path):
    (tmp_path / "other").mkdir()
    inner = tmp_path / "birds of 2011"
    (inner / "meta").mkdir(parents=True)
    (inner / "meta/index.txt").touch()
    assert folder_of(tmp_path, "meta/index.txt") == inner
    assert folder_of(inner, "list.txt", "meta/index.txt") == inner


def test_a_relative_root_becomes_absolute(tmp_path, monkeypatch):
    (tmp_path / "index.txt").touch()
    monkeypatch.chdir(tmp_path)
    assert folder_of(tmp_path.relative_to(tmp_path), "index.txt") == tmp_path


def test_of_several_folders_the_study_must_name_one(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.txt").touch()
    with pytest.raises(InputError) as caught:
        folder_of(tmp_path, "index.txt")
    assert caught.value.lines == (
        f"{tmp_path}: 2 folders in it have index.txt; name one, such as {tmp_path / 'a'}",
    )


def test_a_file_as_root_is_refused(tmp_path):
    (tmp_path / "index.txt").touch()
    with pytest.raises(InputError, match=r"index\.txt: no such folder; the folder that holds"):
        folder_of(tmp_path / "index.txt", "index.txt")


@pytest.mark.parametrize("path", ["a/b.jpg", "a b/ü…/c.jpg", "a..b/c.jpg", "..a/b.jpg"])
def test_paths_below_the_folder_are_fine(path):
    assert path_problem(path) is None


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/a/b.jpg", "is an absolute path"),
        ("C:\\a\\b.jpg", "is an absolute path"),
        ("\\\\server\\a\\b.jpg", "is an absolute path"),
        ("a/../../b.jpg", "leads out of the data set's folder"),
        ("a\\..\\..\\b.jpg", "leads out of the data set's folder"),
        ("a\0b.jpg", "is no path: a path holds the control character"),
        ("a" * 256, "is no path: a name in a path has at most 255 bytes"),
    ],
)
def test_paths_that_lead_elsewhere_or_are_none_are_named(path, problem):
    assert path_problem(path).startswith(problem)


def test_text_has_neither_a_byte_order_mark_nor_carriage_returns(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffsüß 1\r\nb 2\r\n".encode())
    wrong: list[str] = []
    assert text_of(tmp_path / "a.txt", wrong) == "süß 1\nb 2\n"
    assert wrong == []


def test_what_is_no_text_file_is_named_and_not_waited_for(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes("süß".encode("latin-1"))
    wrong: list[str] = []
    for name in ("nowhere", "folder", "pipe", "latin"):
        assert text_of(tmp_path / name, wrong) is None
    assert [line.removeprefix(f"{tmp_path}/") for line in wrong] == [
        "nowhere: no such file; the data set's layout needs it",
        "folder: is a folder, but must be a text file",
        "pipe: is no regular file, but must be a text file",
        "latin: is not UTF-8 text (invalid start byte at byte 1)",
    ]
