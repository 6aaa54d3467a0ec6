import math
import os
import signal
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.explain.deviations import DEVIATIONS
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.scoring.cache import ScoreCache, ScoreSpec, _network, content_digest


def fingerprint(column="psnr_unedit_part", protocol=PAPER, models=None, precision="fp32"):
    return ScoreSpec(column, protocol, models or MetricModels(), precision).fingerprint


def test_a_value_depends_on_its_own_sections_and_networks_alone():
    jpeg = PAPER.with_changes({"pictures": {"jpeg": 75}})
    assert fingerprint(protocol=jpeg) != fingerprint()
    for changes in (
        {"structure": {"layer": 9}},
        {"average": {"nan": "zero"}},
        {"clip": {"edit_part": "box"}},
    ):
        assert fingerprint(protocol=PAPER.with_changes(changes)) == fingerprint()
    assert fingerprint(models=MetricModels(dino="other")) == fingerprint()
    assert fingerprint("structure_distance", models=MetricModels(dino="x")) != fingerprint(
        "structure_distance"
    )
    assert fingerprint(precision="bf16") != fingerprint()


def test_a_local_network_counts_with_its_files(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "weights").write_bytes(b"12")
    found = {
        fingerprint("dino_similarity", models=MetricModels(dino=str(tmp_path / name)))
        for name in ("one", "two")
    }
    assert len(found) == 2


@pytest.mark.parametrize("name", METRICS.names())
def test_no_deviation_reaches_a_metric_unnoticed(name):
    """Every deviation changes the fingerprint of exactly the metrics whose sections it touches."""
    sections = set(METRICS.get(name).sections)
    for deviation in DEVIATIONS:
        changed = fingerprint(name, PAPER.with_changes(deviation.changes)) != fingerprint(name)
        assert changed == bool(sections & set(deviation.changes)), deviation.key


def test_an_open_clip_file_counts_with_its_time(tmp_path):
    weights = tmp_path / "file.pt"
    weights.write_bytes(b"1")
    name = f"open_clip:ViT-L-14/{weights}"
    assert _network("clip", name)[2:] and _network("clip", f"open_clip:local-dir:{tmp_path}")[2:]
    assert _network("clip", "open_clip:ViT-L-14/openai")[2:] == []


def test_values_survive_bit_by_bit(tmp_path):
    file = tmp_path / "new" / "scores.cache.sqlite"
    values = {"nan": math.nan, "inf": math.inf, "zero": -0.0, "one": 1.0, "third": 1 / 3, "tiny": 5e-324}
    score_cache = ScoreCache(file)
    assert score_cache.known(list(values)) == {}
    score_cache.add(values.items())
    known = ScoreCache(file).known([*values, "other"])
    assert {key: struct.pack("d", value) for key, value in known.items()} == {
        key: struct.pack("d", value) for key, value in values.items()
    }


def test_thousands_of_keys_are_looked_up_at_once(tmp_path):
    score_cache = ScoreCache(tmp_path / "scores.cache.sqlite")
    values = {str(number): float(number) for number in range(1234)}
    score_cache.add(values.items())
    assert score_cache.known([*values, "other"]) == values


def in_another_process(code, *arguments):
    code = f"import os, signal, sys\nfrom piebench_eval.scoring.cache import ScoreCache\n{code}"
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


def test_processes_write_at_once(tmp_path):
    file = tmp_path / "scores.cache.sqlite"
    code = (
        "score_cache = ScoreCache(__import__('pathlib').Path(sys.argv[1]))\n"
        "for number in range(100):\n"
        "    score_cache.add([(f'{sys.argv[2]}{number}', number), ('shared', 1.0)])"
    )
    writers = [in_another_process(code, file, name) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    known = ScoreCache(file).known([f"{name}{number}" for name in "ab" for number in range(100)])
    assert len(known) == 200


def test_a_killed_process_loses_what_was_not_committed_alone(tmp_path):
    file = tmp_path / "scores.cache.sqlite"
    code = (
        "score_cache = ScoreCache(__import__('pathlib').Path(sys.argv[1]))\n"
        "score_cache.add([('first', 1.0)])\n"
        "score_cache.add((os.kill(os.getpid(), signal.SIGKILL) if number else 'second', 2.0)"
        " for number in range(2))"
    )
    assert in_another_process(code, file).wait() == -signal.SIGKILL
    score_cache = ScoreCache(file)
    assert score_cache.known(["first", "second"]) == {"first": 1.0}
    score_cache.add([("second", 3.0)])
    assert score_cache.known(["second"]) == {"second": 3.0}


def test_a_kill_in_the_midst_of_a_transaction_is_rolled_back(tmp_path):
    file = tmp_path / "scores.cache.sqlite"
    ScoreCache(file).add([("first", 1.0)])
    code = (
        "score_cache = ScoreCache(__import__('pathlib').Path(sys.argv[1]))\n"
        "database = score_cache._database\n"
        "database.execute('PRAGMA cache_size = 1')\n"
        "database.execute('BEGIN IMMEDIATE')\n"
        "rows = [(f'key {number}' * 9, 2.0) for number in range(5000)]\n"
        "database.executemany('INSERT INTO scores VALUES (?, ?)', rows)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert in_another_process(code, file).wait() == -signal.SIGKILL
    assert file.with_name(f"{file.name}-journal").exists()  # the kill left a half-written file
    assert ScoreCache(file).known(["first", "key 0" * 9]) == {"first": 1.0}


def test_a_damaged_file_is_named_with_its_remedy(tmp_path):
    file = tmp_path / "scores.cache.sqlite"
    for content in (b"no database at all" * 100, None):
        if content is None:
            file.unlink()
            with closing(sqlite3.connect(file)) as database:
                database.execute("CREATE TABLE scores (other)")
        else:
            file.write_bytes(content)
        with pytest.raises(PiebenchError, match=r"scores\.cache\.sqlite: is damaged .*; delete it"):
            ScoreCache(file).known(["key"])


def test_a_damaged_page_is_named_with_its_remedy(tmp_path):
    file = tmp_path / "scores.cache.sqlite"
    ScoreCache(file).add((f"{number:032}", 1.0) for number in range(1000))
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(PiebenchError, match=r"is damaged .*; delete it"):
        ScoreCache(file).known([f"{number:032}" for number in range(1000)])


def test_where_nothing_can_be_written_it_is_said_before_anything_is_computed(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PiebenchError, match=r"scores\.cache\.sqlite: cannot be .*allow writing there"):
        ScoreCache(tmp_path / "file" / "scores.cache.sqlite")


def test_a_finished_cache_in_a_read_only_folder_is_read(tmp_path, monkeypatch):
    file = tmp_path / "scores.cache.sqlite"
    ScoreCache(file).add([("key", 1.0)])
    connect = sqlite3.connect  # root may write anywhere; SQLite itself can be told not to

    def read_only(address, **options):
        return connect(f"{address}?mode=ro", **options)

    monkeypatch.setattr("piebench_eval.scoring.cache.sqlite3.connect", read_only)
    score_cache = ScoreCache(file)
    assert score_cache.known(["key"]) == {"key": 1.0}
    with pytest.raises(PiebenchError, match=r"cannot be .*readonly.*allow writing there"):
        score_cache.add([("other", 1.0)])


def test_a_lock_that_stays_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("piebench_eval.scoring.cache._WAIT_SECONDS", 0)
    file = tmp_path / "scores.cache.sqlite"
    score_cache = ScoreCache(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(PiebenchError, match="another process has kept it locked"):
            score_cache.add([("key", 1.0)])


def test_without_file_locks_it_is_locked_by_a_file(tmp_path, monkeypatch):
    """As on network file systems without a lock service, where each attempt to lock fails."""
    monkeypatch.setattr("piebench_eval.scoring.cache._has_file_locks", lambda folder: False)
    file = tmp_path / "scores.cache.sqlite"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")  # here, what fails
        score_cache = ScoreCache(file)
        score_cache.add([("key", 1.0)])
        assert score_cache.known(["key"]) == {"key": 1.0}


def replace_alike(file, content):
    """Put another content of the same size and time in a file's place, as archives and rsync -t do."""
    stat = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_content_decides_which_picture_it_is(tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"one")
    first = content_digest(picture)
    replace_alike(picture, b"two")
    assert content_digest(picture) != first
    picture.write_bytes(b"one")
    assert content_digest(picture) == first


def test_content_decides_which_network_it_is(tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    models = MetricModels(dino=str(tmp_path))
    first = fingerprint("structure_distance", models=models)
    os.utime(weights, (0, 0))
    assert fingerprint("structure_distance", models=models) == first
    replace_alike(weights, b"two")
    assert fingerprint("structure_distance", models=models) != first


def test_what_is_known_is_not_read_twice_by_one_process(tmp_path, monkeypatch):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"one")
    first = content_digest(picture)
    monkeypatch.setattr("piebench_eval.scoring.cache.hashlib.file_digest", lambda *_: pytest.fail())
    assert content_digest(picture) == first
