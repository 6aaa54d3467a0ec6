import os
import socket
import subprocess
import sys

import pytest

from piebench_eval import files
from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_json_lines, read_json_object


def test_a_file_is_whole_or_absent(tmp_path, monkeypatch):
    file = tmp_path / "below" / "a.bin"
    files.write_whole(file, b"one")
    assert file.read_bytes() == b"one"

    def disk_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", disk_full)
    with pytest.raises(PiebenchError, match="No space left"):
        files.write_whole(file, b"two")
    assert file.read_bytes() == b"one"
    assert [path.name for path in file.parent.iterdir()] == ["a.bin"]


def test_temporary_names_are_known_as_such(tmp_path):
    partial = files.temporary_path(tmp_path / "out")
    assert partial.parent == tmp_path and files.is_partial(partial)
    assert not files.is_partial(tmp_path / "out")
    assert files.temporary_path(tmp_path / "out", ".former").suffix == ".former"


def test_a_torn_line_is_closed_before_the_next(tmp_path):
    log = tmp_path / "log.jsonl"
    files.append_line(log, "first")
    with log.open("a") as stream:
        stream.write("torn")
    files.append_line(log, "second")
    assert log.read_text() == "first\ntorn\nsecond\n"


@pytest.mark.parametrize("host", ["node", "node1.cluster.local"])
def test_only_dead_processes_leftovers_are_removed(tmp_path, monkeypatch, host):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover = tmp_path / f".a.png.{host}.{dead.pid}.partial"
    mine = tmp_path / f".b.png.{host}.{os.getpid()}.partial"
    other = tmp_path / f".c.png.elsewhere.{dead.pid}.partial"
    for file in (leftover, mine, other):
        file.touch()
    files.remove_stale_partials(tmp_path)
    assert not leftover.exists() and mine.exists() and other.exists()


def test_json_that_is_nested_too_deeply_is_damaged(tmp_path):
    file = tmp_path / "deep.json"
    file.write_text('{"a": ' + "[" * 100_000)
    with pytest.raises(PiebenchError, match=r"deep.json: missing or damaged .*; restore it"):
        read_json_object(file, {"a"}, "restore it")
    assert read_json_lines(file, {"a"}) == ([], 1)
