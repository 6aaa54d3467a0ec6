import os

import pytest

from piebench_eval.explain.deviations import DEVIATIONS
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.networks.names import MetricModels
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.scoring.cache import Score, ScoreCache, _network, cell_key


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
    assert ScoreCache(log)["a"] == 3.0


def test_values_and_digests_survive(tmp_path):
    log, picture = tmp_path / "cells.jsonl", tmp_path / "a.png"
    picture.write_bytes(b"one")
    store = ScoreCache(log)
    digest = store.digest(picture)
    key = cell_key(Score("mse_unedit_part", PAPER, MetricModels(), "fp32"), "sample", digest, False)
    assert key not in store
    store.add([(key, float("nan")), ("other", float("inf"))])
    with log.open("a") as stream:
        stream.write('{"values": {"torn')
    again = ScoreCache(log)
    assert key in again and str(again[key]) == "nan" and again["other"] == float("inf")
    assert again.digest(picture) == digest


def replace_alike(file, content):
    """Put another content of the same size and time in a file's place, as archives and rsync -t do."""
    stat = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_content_decides_which_picture_it_is(tmp_path):
    log, picture = tmp_path / "cells.jsonl", tmp_path / "a.png"
    picture.write_bytes(b"one")
    store = ScoreCache(log)
    first = store.digest(picture)
    store.add([("key", 1.0)])
    replace_alike(picture, b"two")
    assert store.digest(picture) != first and ScoreCache(log).digest(picture) != first
    picture.write_bytes(b"one")
    assert ScoreCache(log).digest(picture) == first


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
    first = ScoreCache(tmp_path / "cells.jsonl").digest(picture)
    monkeypatch.setattr("piebench_eval.scoring.cache.hashlib.file_digest", lambda *_: pytest.fail())
    assert ScoreCache(tmp_path / "cells.jsonl").digest(picture) == first
