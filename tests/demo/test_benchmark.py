from collections import Counter

import numpy as np
import pytest

from piebench_eval.data.images import load_image
from piebench_eval.data.masks import decode_rle
from piebench_eval.data.pie_bench import dataset_fingerprint, load_pie_bench
from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.demo.benchmark import IDEAL_FOLDER, embedded_benchmark, write_benchmark
from piebench_eval.errors import PiebenchError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("demo"), per_type=2)


def test_it_is_a_benchmark_of_all_types(folder):
    counts = Counter(sample.type_id for sample in load_pie_bench(folder))
    assert counts == dict.fromkeys(TYPE_NAMES, 2)


def test_the_mask_is_what_the_ideal_edit_changes(folder):
    for sample in load_pie_bench(folder):
        source, ideal = load_image(sample.file), load_image(folder / IDEAL_FOLDER / sample.image_path)
        changed = (source != ideal).any(axis=2)
        mask = decode_rle(sample.mask_rle, 64, 64)
        np.testing.assert_array_equal(mask[1:-1, 1:-1], changed[1:-1, 1:-1])
        assert changed.any()


def test_equal_seeds_give_equal_benchmarks_and_others_do_not(folder, tmp_path):
    again = write_benchmark(tmp_path / "again", per_type=2)
    other = write_benchmark(tmp_path / "other", per_type=2, seed=1)
    prints = [dataset_fingerprint(load_pie_bench(path)) for path in (folder, again, other)]
    assert prints[0] == prints[1] != prints[2]


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PiebenchError, match="cannot be written"):
        write_benchmark(tmp_path / "file" / "bench", per_type=1)


def test_the_embedded_benchmark_is_drawn_once(tmp_path):
    drawn = embedded_benchmark(tmp_path)
    before = {file: file.stat().st_mtime_ns for file in drawn.rglob("*.png")}
    embedded_benchmark(tmp_path)
    assert before == {file: file.stat().st_mtime_ns for file in drawn.rglob("*.png")}
