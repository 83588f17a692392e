"""Files are there whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scadv_tf import files
from scadv_tf.files import at_home, is_there, whole_file, write_whole

ROOT = Path(__file__).parents[1]


def names_in(folder: Path) -> list[str]:
    return sorted(found.name for found in folder.iterdir())


def test_what_begins_with_a_tilde(tmp_path, monkeypatch):
    """It is of a home, or the name of a file where nobody is called so."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.h5ad").touch()
    assert at_home("~/a.h5ad") == tmp_path / "a.h5ad" and is_there("~/a.h5ad")
    assert at_home("~no-such-user/a") == Path("~no-such-user/a")
    assert not is_there("~no-such-user/a")
    monkeypatch.chdir(tmp_path)
    Path("~no-such-user.h5ad").touch()
    assert is_there("~no-such-user.h5ad")


@pytest.mark.parametrize("path", ["x" * 300, "a/" * 3000])
def test_what_is_too_long_for_a_name_is_not_there(path):
    assert not is_there(path)


def test_content_is_written_into_a_new_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "scores.json"
    assert write_whole(path, b"\x00\r\n") == path
    assert path.read_bytes() == b"\x00\r\n"
    assert names_in(path.parent) == ["scores.json"]


def test_a_path_may_be_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write_whole("plain.txt", b"a") == Path("plain.txt")
    assert names_in(tmp_path) == ["plain.txt"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = write_whole(tmp_path / "a.txt", b"old")
    with whole_file(path) as part:
        part.write_bytes(b"half")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"half"
    assert names_in(tmp_path) == ["a.txt"]


def test_the_lent_path_is_beside_the_file_and_keeps_its_suffixes(tmp_path):
    with whole_file(tmp_path / "a.weights.h5") as part:
        assert part.parent == tmp_path
        assert part.suffixes == [".weights", ".h5"]
        assert not part.exists()
        part.touch()


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as first, whole_file(path) as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    # The inner block ends first, so the outer one has the last word.
    assert path.read_bytes() == b"first"
    assert names_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = write_whole(tmp_path / "a.txt", b"old")
    with pytest.raises(failure), whole_file(path) as part:
        part.write_bytes(b"half")
        raise failure
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_failed_rename_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "a.txt", b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    path = write_whole(tmp_path / "a.txt", b"old")
    with pytest.raises(FileNotFoundError), whole_file(path):
        pass
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(os.name != "posix", reason="the mode of a file is a POSIX notion")
def test_a_file_has_the_mode_that_any_new_file_gets(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    assert write_whole(tmp_path / "whole", b"").stat().st_mode == plain.stat().st_mode


@pytest.mark.slow
def test_only_the_standard_library_is_loaded():
    code = "import sys, scadv_tf.files; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= sys.stdlib_module_names | {"__main__", "scadv_tf"}
