"""Downloads from a server on this machine that drops connections, lies and refuses."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import sys
from types import SimpleNamespace

import pytest
from public_server import serving

from scadv_tf.data import resumed_download
from scadv_tf.data.downloads import CHECKSUMS, PublicFile, cache_folder, fetch
from scadv_tf.errors import InputError

CONTENT = os.urandom(300_000)
CHANGED = os.urandom(300_000)


@pytest.fixture
def server():
    with serving({"a.bin": CONTENT, "b.bin": b"second"}) as server:
        yield server


@pytest.fixture(autouse=True)
def waited(monkeypatch):
    """The seconds that were waited for, which pass at once."""
    seconds = []
    monkeypatch.setattr(resumed_download, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def public(server, name="a.bin", digest="") -> PublicFile:
    return PublicFile(name, server.address(name), digest)


def fetched(server, folder, **fields) -> bytes:
    return fetch((public(server, **fields),), folder)["a.bin"].read_bytes()


def names_in(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_missing_is_downloaded_once_and_its_digest_kept(server, tmp_path):
    files = public(server), public(server, "b.bin", sha256(b"second"))
    for _ in range(2):
        found = fetch(files, tmp_path)
        assert {name: path.read_bytes() for name, path in found.items()} == server.files
    assert server.asked == [("a.bin", ""), ("b.bin", "")]
    # What was known beforehand need not be learned.
    assert (tmp_path / CHECKSUMS).read_text() == f"a.bin {sha256(CONTENT)}\n"
    assert names_in(tmp_path) == {"a.bin", "b.bin", CHECKSUMS}


def test_a_file_that_is_there_is_taken_without_a_server(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"mine")
    found = fetch((PublicFile("a.bin", "http://127.0.0.1:1/a.bin"),), tmp_path)
    assert found["a.bin"].read_bytes() == b"mine" and names_in(tmp_path) == {"a.bin"}


def test_a_lost_connection_goes_on_where_it_was(server, tmp_path, waited):
    server.faults["a.bin"] = [("drop", 100_000), ("drop", 50_000)]
    assert fetched(server, tmp_path) == CONTENT
    assert server.asked == [("a.bin", ""), ("a.bin", "bytes=100000-"), ("a.bin", "bytes=150000-")]
    assert waited == [1, 2]
    assert names_in(tmp_path) == {"a.bin", CHECKSUMS}


def test_a_later_run_goes_on_too(server, tmp_path, waited):
    drops = len(resumed_download.WAITS) + 1
    server.faults["a.bin"] = [("drop", 10_000)] * drops
    with pytest.raises(InputError, match="could not be downloaded to its end") as error:
        fetched(server, tmp_path)
    assert "goes on where this one stopped" in error.value.advice
    assert server.address("a.bin") in error.value.received
    assert waited == [1, 2, 4, 8, 16] and not (tmp_path / "a.bin").exists()
    assert fetched(server, tmp_path) == CONTENT
    assert server.asked[-1] == ("a.bin", f"bytes={drops * 10_000}-")


@pytest.mark.parametrize("careful", [True, False])
def test_a_changed_file_is_not_glued_to_the_part_of_the_old_one(server, tmp_path, careful):
    """Not even where the server does not look for which version it is asked."""
    drops = len(resumed_download.WAITS) + 1
    server.faults["a.bin"] = [("drop", 10_000)] * drops
    with pytest.raises(InputError):
        fetched(server, tmp_path)
    server.files["a.bin"], server.careful = CHANGED, careful
    assert fetched(server, tmp_path) == CHANGED
    again = [("a.bin", f"bytes={drops * 10_000}-")]  # which comes from the start, or is refused
    assert server.asked[drops:] == again + ([] if careful else [("a.bin", "")])


@pytest.mark.parametrize("lacking", ["ranges", "versions"])
def test_a_server_that_knows_no_parts_begins_anew(server, tmp_path, lacking):
    setattr(server, lacking, "")
    server.faults["a.bin"] = [("drop", 100_000)]
    assert fetched(server, tmp_path) == CONTENT
    # Without a version of the file nobody could tell whether it is still the same.
    assert server.asked[1] == ("a.bin", "bytes=100000-" if lacking == "ranges" else "")


def test_the_part_of_another_address_is_not_continued(server, tmp_path):
    (tmp_path / ".part-a.bin").write_bytes(CHANGED[:1000])
    mark = f"http://elsewhere/a.bin\n{hashlib.md5(CONTENT).hexdigest()}"
    (tmp_path / ".part-a.bin.version").write_text(mark)
    assert fetched(server, tmp_path) == CONTENT and server.asked == [("a.bin", "")]


def test_a_part_that_was_complete_is_downloaded_again(server, tmp_path):
    (tmp_path / ".part-a.bin").write_bytes(CONTENT)
    mark = f'{server.address("a.bin")}\n"{hashlib.md5(CONTENT).hexdigest()}"'
    (tmp_path / ".part-a.bin.version").write_text(mark)
    assert fetched(server, tmp_path) == CONTENT
    assert server.asked == [("a.bin", "bytes=300000-"), ("a.bin", "")]


def test_a_busy_server_is_waited_for(server, tmp_path, waited):
    server.faults["a.bin"] = [503, 503, 500]
    assert fetched(server, tmp_path) == CONTENT
    assert waited == [1, 2, 4]


def test_a_server_that_stays_busy_is_told(server, tmp_path):
    server.faults["a.bin"] = [503] * 9
    with pytest.raises(InputError, match="to its end") as error:
        fetched(server, tmp_path)
    assert "status 503" in error.value.received
    assert len(server.asked) == len(resumed_download.WAITS) + 1


def test_a_server_that_falls_silent_is_asked_again(server, tmp_path, waited, monkeypatch):
    monkeypatch.setattr(resumed_download, "TIMEOUTS", (5, 0.1))
    server.faults["a.bin"] = [("wait", 0.3)]
    assert fetched(server, tmp_path) == CONTENT and waited == [1]


def test_a_bar_shows_how_far_a_download_is(server, tmp_path, monkeypatch, capsys, caplog):
    caplog.set_level(logging.INFO)
    fetched(server, tmp_path)
    assert capsys.readouterr().err == ""
    (tmp_path / "a.bin").unlink()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetched(server, tmp_path)
    bar = capsys.readouterr().err
    assert "a.bin:" in bar and "/300k" in bar


def test_a_missing_file_fails_at_once(server, tmp_path, waited):
    del server.files["a.bin"]
    with pytest.raises(InputError, match=r"a\.bin could not be downloaded") as error:
        fetched(server, tmp_path)
    assert error.value.received.startswith(f"{server.address('a.bin')} answered with status 404")
    assert "--data_dir=FOLDER" in error.value.advice
    assert len(server.asked) == 1 and not waited and names_in(tmp_path) == set()


def test_without_a_network_the_files_and_where_they_go_are_listed(tmp_path, waited):
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        start = f"http://127.0.0.1:{unused.getsockname()[1]}"
        files = [PublicFile(name, f"{start}/{name}") for name in ("a.bin", "b.bin", "c.bin")]
        (tmp_path / "a.bin").write_bytes(b"mine")
        with pytest.raises(InputError, match=r"127.0.0.1:\d+ cannot be reached") as error:
            fetch(tuple(files), tmp_path)
    for name in ("b.bin", "c.bin"):
        assert f"{name}: {start}/{name}" in error.value.expected
    assert "a.bin" not in error.value.expected and str(tmp_path) in error.value.expected
    assert "--data_dir=FOLDER" in error.value.advice
    assert not waited and names_in(tmp_path) == {"a.bin"}


def test_another_content_than_the_known_one_is_not_kept(server, tmp_path):
    with pytest.raises(InputError, match="another content") as error:
        fetched(server, tmp_path, digest=sha256(CHANGED))
    assert error.value.expected == sha256(CHANGED)
    assert sha256(CONTENT).removeprefix("sha256:") in error.value.received
    assert names_in(tmp_path) == set()


def test_a_learned_digest_holds_for_the_next_download(server, tmp_path):
    fetched(server, tmp_path)
    (tmp_path / "a.bin").unlink()
    server.files["a.bin"] = CHANGED
    with pytest.raises(InputError, match="another content") as error:
        fetched(server, tmp_path)
    assert error.value.expected == sha256(CONTENT)
    assert str(tmp_path / CHECKSUMS) in error.value.advice


def test_a_file_that_was_damaged_here_is_told_and_left_alone(server, tmp_path):
    fetched(server, tmp_path)
    (tmp_path / "a.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="is not the file that was published") as error:
        fetched(server, tmp_path)
    assert (error.value.expected, error.value.received) == (sha256(CONTENT), sha256(CONTENT[:-1]))
    assert (tmp_path / "a.bin").read_bytes() == CONTENT[:-1] and len(server.asked) == 1


@pytest.mark.parametrize("kept", [b"\xff\xfe\x00", b"a.bin\n", b"a.bin crc99:123\n", None], ids=str)
def test_a_list_of_digests_that_cannot_be_read_is_told(tmp_path, kept):
    (tmp_path / "a.bin").write_bytes(CONTENT)
    if kept is None:
        (tmp_path / CHECKSUMS).mkdir()
    else:
        (tmp_path / CHECKSUMS).write_bytes(kept)
    with pytest.raises(InputError, match=f"{CHECKSUMS} cannot be read"):
        fetch((PublicFile("a.bin", "http://127.0.0.1:1/a.bin"),), tmp_path)


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "scadv_tf"
