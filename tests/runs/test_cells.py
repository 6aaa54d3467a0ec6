import os

import pytest

from piebench_eval.metrics import METRICS
from piebench_eval.metrics.deviations import DEVIATIONS
from piebench_eval.metrics.networks import MetricModels
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.runs.cells import CellStore, Score, _network, cell_key


def fingerprint(column="psnr_unedit_part", protocol=PAPER, models=None, precision="fp32"):
    return Score(column, protocol, models or MetricModels(), precision).fingerprint


def test_a_value_depends_on_its_own_sections_and_networks_alone():
    jpeg = PAPER.choosing({"pictures": {"jpeg": 75}})
    assert fingerprint(protocol=jpeg) != fingerprint()
    for changes in (
        {"structure": {"layer": 9}},
        {"average": {"nan": "zero"}},
        {"clip": {"edit_part": "box"}},
    ):
        assert fingerprint(protocol=PAPER.choosing(changes)) == fingerprint()
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
        changed = fingerprint(name, PAPER.choosing(deviation.changes)) != fingerprint(name)
        assert changed == bool(sections & set(deviation.changes)), deviation.key


def test_an_open_clip_file_counts_with_its_time(tmp_path):
    weights = tmp_path / "file.pt"
    weights.write_bytes(b"1")
    name = f"open_clip:ViT-L-14/{weights}"
    assert _network("clip", name)[2:] and _network("clip", f"open_clip:local-dir:{tmp_path}")[2:]
    assert _network("clip", "open_clip:ViT-L-14/openai")[2:] == []


def test_foreign_lines_are_passed_over(tmp_path):
    log = tmp_path / "cells.jsonl"
    log.write_text('{"values": 1, "pictures": 2}\n{"values": {"a": 3.0}, "pictures": {}}\n')
    assert CellStore(log)["a"] == 3.0


def test_values_and_digests_survive(tmp_path):
    log, picture = tmp_path / "cells.jsonl", tmp_path / "a.png"
    picture.write_bytes(b"one")
    store = CellStore(log)
    digest = store.digest(picture)
    key = cell_key(Score("mse_unedit_part", PAPER, MetricModels(), "fp32"), "sample", digest, False)
    assert key not in store
    store.add([(key, float("nan")), ("other", float("inf"))])
    with log.open("a") as stream:
        stream.write('{"values": {"torn')
    again = CellStore(log)
    assert key in again and str(again[key]) == "nan" and again["other"] == float("inf")
    assert again.digest(picture) == digest


def test_a_picture_is_read_again_when_it_has_changed_and_only_then(tmp_path, monkeypatch):
    log, picture = tmp_path / "cells.jsonl", tmp_path / "a.png"
    picture.write_bytes(b"one")
    store = CellStore(log)
    first = store.digest(picture)
    store.add([])
    stat = picture.stat()
    picture.write_bytes(b"two")
    os.utime(picture, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert CellStore(log).digest(picture) != first

    picture.write_bytes(b"one")
    os.utime(picture, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    again = CellStore(log)
    read = type(picture).read_bytes
    monkeypatch.setattr(
        type(picture), "read_bytes", lambda self: pytest.fail() if self == picture else read(self)
    )
    assert again.digest(picture) == first
