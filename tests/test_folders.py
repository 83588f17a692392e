"""One run at a time in a folder, and nothing of a killed one stays in it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from scadv_tf import InputError, folders
from scadv_tf.files import whole_file
from scadv_tf.folders import LOCK, in_turn, made_folder, one_run, scratch_folder


def names_in(folder) -> list[str]:
    return sorted(found.name for found in folder.iterdir())


HOLD = """
import pathlib, sys, time
from scadv_tf.folders import one_run, scratch_folder
folder = pathlib.Path(sys.argv[1])
with one_run(folder), scratch_folder(folder) as scratch:
    (scratch / "sorted").touch()
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_run(tmp_path):
    """Another process that works in the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_a_second_run_is_refused_and_told_by_whom(tmp_path, other_run):
    before = names_in(tmp_path)
    with pytest.raises(InputError, match="Another run works in this folder") as raised:
        with one_run(tmp_path):
            pytest.fail("there were two")
    assert f"process {other_run.pid} on {os.uname().nodename} since 20" in raised.value.received
    assert "--output_dir" in raised.value.advice
    assert names_in(tmp_path) == before


@pytest.mark.slow
def test_a_killed_run_keeps_nobody_out_and_leaves_nothing(tmp_path, other_run):
    (tmp_path / "figures").mkdir()
    for folder in (tmp_path, tmp_path / "figures"):
        (folder / f".part-{'0a' * 16}-umap.png").touch()
        (folder / ".part-of-the-user").touch()
    other_run.send_signal(signal.SIGKILL)
    other_run.wait()
    assert any(name.startswith(".scadv-") for name in names_in(tmp_path))
    with one_run(tmp_path):
        assert names_in(tmp_path) == [".part-of-the-user", LOCK, "figures"]
    assert names_in(tmp_path) == [".part-of-the-user", "figures"]
    assert names_in(tmp_path / "figures") == [".part-of-the-user"]


def test_what_another_run_writes_in_a_folder_within_stays(tmp_path):
    within = tmp_path / "pbmc"
    within.mkdir()
    with one_run(within), whole_file(within / "a.csv") as part:
        part.touch()
        with one_run(tmp_path):
            assert part.exists()


@pytest.mark.slow
def test_scratch_of_a_living_process_is_not_taken_for_left(tmp_path, other_run):
    with scratch_folder(tmp_path) as scratch:
        others = [path for path in tmp_path.iterdir() if path.is_dir() and path != scratch]
        assert len(others) == 1 and names_in(others[0]) == ["sorted"]


def test_scratch_that_another_took_for_left_between_its_opening_and_its_locking_is_made_anew(
    tmp_path, monkeypatch
):
    """The other had it locked, removed it and gave the lock back: what is locked is no more."""
    lock, gone = folders._lock, []

    def after_the_other(mark):
        if not gone:
            gone.extend(tmp_path.iterdir())
            gone[0].rmdir()
        return lock(mark)

    monkeypatch.setattr(folders, "_lock", after_the_other)
    with scratch_folder(tmp_path) as scratch:
        assert scratch.is_dir() and [scratch] != gone
        (scratch / "sorted").touch()
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("failure", [None, ValueError, KeyboardInterrupt])
def test_lock_and_scratch_go_at_the_end(tmp_path, failure):
    try:
        with one_run(tmp_path), scratch_folder(tmp_path) as scratch:
            (scratch / "a").mkdir()
            (scratch / "a" / "b").touch()
            if failure:
                raise failure
    except (ValueError, KeyboardInterrupt):
        pass
    assert names_in(tmp_path) == []
    with one_run(tmp_path):  # it is free again
        assert names_in(tmp_path) == [LOCK]


def test_only_folders_of_the_name_are_left_ones(tmp_path):
    (tmp_path / ".export-a-1").mkdir()
    (tmp_path / ".scadv-notes").touch()
    (tmp_path / "kept").mkdir()
    (tmp_path / ".scadv-link").symlink_to(tmp_path / "kept")
    (tmp_path / ".scadv-left").mkdir()
    with scratch_folder(tmp_path):
        pass
    assert names_in(tmp_path) == [".export-a-1", ".scadv-link", ".scadv-notes", "kept"]


def test_new_folders_go_again_unless_they_are_used(tmp_path):
    with made_folder(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert names_in(tmp_path) == []
    with made_folder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "result").touch()
    assert names_in(tmp_path) == ["a"] and names_in(tmp_path / "a") == ["result"]
    with made_folder(tmp_path / "a"):
        pass
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["", "lock"])
def test_each_waits_for_its_turn(tmp_path, name):
    """By a folder, or by a file that need not exist."""
    order, place = [], tmp_path / name

    def work():
        with in_turn(place):
            order.append("second")

    with in_turn(place):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_file_system_without_locks_is_told_and_nothing_is_removed(tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    (tmp_path / ".scadv-of-someone").mkdir()
    monkeypatch.setattr(folders.fcntl, "flock", no_locks)
    with one_run(tmp_path), scratch_folder(tmp_path) as scratch:
        assert scratch.is_dir()
    assert "knows no locks" in caplog.text
    assert names_in(tmp_path) == [".scadv-of-someone"]


def test_parts_of_files_that_are_written_just_now_are_seen(tmp_path):
    with whole_file(tmp_path / "a.csv") as part:
        part.touch()
        assert folders.unfinished(tmp_path) == [part]
