"""Columns that hold edits against the ideal edits of a drawn benchmark, and what is said of them."""

import shutil

import numpy as np
import pytest

from piebench_eval.api.scoring import score
from piebench_eval.api.tabulating import table
from piebench_eval.data.images import encode_image, load_image
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.demo.benchmark import IDEAL_FOLDER, write_benchmark
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import COLUMNS, IDEAL_COLUMNS
from piebench_eval.tables.layout import displayed_metrics, metrics_in


@pytest.fixture
def benchmark(tmp_path):
    return write_benchmark(tmp_path / "benchmark", per_type=1)


@pytest.fixture
def scored(benchmark, tmp_path):
    """Score the pictures of one of the benchmark's folders as if they were edits."""

    def of(folder, **options):
        return score(
            images=benchmark / folder,
            data=benchmark,
            name="mine",
            out=tmp_path / "mine.csv",
            dino="demo",
            clip="demo",
            lpips_weights="demo",
            device="cpu",
            progress=False,
            **options,
        )

    return of


def test_ideal_edits_are_recognised_and_untouched_sources_are_not(scored):
    ideal = scored(IDEAL_FOLDER)
    assert list(ideal.columns[-1 - len(COLUMNS + IDEAL_COLUMNS) : -1]) == [*COLUMNS, *IDEAL_COLUMNS]
    assert (ideal["psnr_to_ideal"] == np.inf).all() and (ideal["lpips_to_ideal"] == 0).all()
    assert (ideal["recognised"] == 1).all()
    copies = scored("annotation_images", metrics=IDEAL_COLUMNS)
    assert copies["psnr_to_ideal"].between(5, 40).all() and (copies["lpips_to_ideal"] > 0).all()
    assert (copies["recognised"] == 0).all()


def test_the_official_columns_stay_eight(scored, benchmark):
    pixels = "psnr_unedit_part,mse_unedit_part"
    assert not set(IDEAL_COLUMNS) & set(scored(IDEAL_FOLDER, metrics="official").columns)
    shutil.copytree(benchmark / IDEAL_FOLDER, benchmark / "edits")
    shutil.rmtree(benchmark / IDEAL_FOLDER)
    assert set(scored("edits").columns) & {*COLUMNS, *IDEAL_COLUMNS} == set(COLUMNS)
    with pytest.raises(PiebenchError, match=r"--metrics recognised: .* only a drawn benchmark has"):
        scored("edits", metrics=f"{pixels},recognised")


def test_pictures_that_are_not_drawn_have_no_such_columns(scored, benchmark):
    for sample in load_pie_bench(benchmark):
        for file in (sample.file, benchmark / IDEAL_FOLDER / sample.image_path):
            larger = np.kron(load_image(file), np.ones((2, 2, 1), np.uint8))
            file.write_bytes(encode_image(larger))
    found = scored(IDEAL_FOLDER, mask_size="64")
    assert not set(IDEAL_COLUMNS) & set(found.columns)


def test_another_ideal_edit_is_scored_anew(scored, benchmark):
    before = scored("annotation_images", metrics=IDEAL_COLUMNS)
    (sample, *_) = load_pie_bench(benchmark)
    shutil.copy(sample.file, benchmark / IDEAL_FOLDER / sample.image_path)
    after = scored("annotation_images", metrics=IDEAL_COLUMNS)
    first = after["id"] == sample.id
    assert (after.loc[first, "psnr_to_ideal"] == np.inf).all() and after.loc[first, "recognised"].isna().all()
    assert after[~first].equals(before[~first])


def test_every_column_is_explained_under_the_table_of_the_demo(scored):
    scores = scored(IDEAL_FOLDER)
    remarks = table(scores).attrs["remarks"]
    explained = {title for line in remarks for title in line.partition(": ")[0].split(", ")}
    headings = [metric.title.replace("\n", " ") for metric in displayed_metrics(metrics_in(scores.columns))]
    assert all(any(heading.startswith(name) for name in explained) for heading in headings)
    assert {"CLIP whole", "CLIP edited", "PSNR to ideal", "LPIPS to ideal", "Recognised"} <= explained
