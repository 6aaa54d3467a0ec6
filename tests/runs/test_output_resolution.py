"""The way out: edits are made at one resolution and saved at another."""

from typing import get_args

import numpy as np
import pytest
import yaml
from PIL import Image

import piebench_eval as pb
from piebench_eval.data.images import ImageLoader, image_size, loaded_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.folder import RunStore
from tests.support.photos import save_shapes_bench
from tests.support.runs import digests, run

WORKING = 128
"""The small model's own resolution."""


def build(model, **settings):
    fields = {"model": str(model), "inversions": ["direct"], "methods": ["p2p"], "steps": 2, **settings}
    return build_recipe(fields, {}, "test")


@pytest.mark.parametrize("loader", [*get_args(ImageLoader)[:-1]])
def test_an_edit_has_its_sources_size_at_the_output_resolution(model, tmp_path, loader):
    """100 pixels do not divide: the size is that of the loaded source, not of what was made."""
    (sample,) = [each for each in load_pie_bench(save_shapes_bench(tmp_path)) if each.id == "wide"]
    made, saved = (
        edit_batch(model, [sample], build("x", image_loader=loader, **way_out).combination("direct", "p2p"))[
            0
        ]
        for way_out in ({}, {"output_resolution": 100})
    )
    size = loaded_size(image_size(sample.file), loader, 100)
    assert size == ((150, 100) if loader == "shorter_side" else (100, 100))
    expected = Image.fromarray(made.image).resize(size, Image.Resampling.LANCZOS)
    assert min(made.image.shape[:2]) == made.resolution == saved.resolution == WORKING
    np.testing.assert_array_equal(saved.image, np.asarray(expected))


@pytest.fixture(scope="module")
def plain(tiny_model, photo_bench, tmp_path_factory):
    """A run of one picture whose output resolution is empty."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    run(build(tiny_model), photo_bench, folder, Selection(limit=1))
    return folder


def only_picture(folder):
    (file,) = (folder / "images").rglob("*.png")
    return Image.open(file)


def test_a_run_saves_and_records_both(tiny_model, photo_bench, plain, tmp_path):
    run(build(tiny_model, output_resolution=64), photo_bench, tmp_path / "run", Selection(limit=1))
    assert only_picture(plain).size == (WORKING, WORKING) and only_picture(tmp_path / "run").size == (64, 64)
    (record,) = RunStore.read(tmp_path / "run").records().values()
    assert record["resolution"] == WORKING


def test_the_resolution_that_it_was_made_at_changes_no_pixel(tiny_model, photo_bench, plain, tmp_path):
    run(build(tiny_model, output_resolution=WORKING), photo_bench, tmp_path / "run", Selection(limit=1))
    assert digests(tmp_path / "run") == digests(plain)


def test_one_picture_is_saved_as_in_a_run(tiny_model, samples):
    prompts = samples[0].source_prompt, samples[0].target_prompt
    settings = {"steps": 2, "output_resolution": 64}
    edited = pb.edit(samples[0].file, *prompts, model=str(tiny_model), device="cpu", settings=settings)
    assert edited.size == (64, 64)


def test_a_run_of_before_there_was_a_way_out_is_resumed(tiny_model, photo_bench, plain):
    """Its recipe lacks the field, and says the same: the hash in its manifest still fits."""
    fields = yaml.safe_load((plain / "recipe.yaml").read_text())
    assert fields.pop("output_resolution", "absent") is None
    (plain / "recipe.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    before = digests(plain)
    summary = run(build(tiny_model), photo_bench, plain, Selection(limit=1))
    assert (summary.made, digests(plain)) == (0, before)
