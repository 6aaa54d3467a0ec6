"""Pictures that are edited in their own size, cut to what the model takes."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import piebench_eval as pb
from piebench_eval.data.images import image_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch, encode_inputs
from piebench_eval.runs.store.folder import RunStore
from tests.support.photos import save_shapes_bench
from tests.support.runs import run

LOADER = "crop_to_multiple"
MULTIPLE = 64
"""Of the small model, as of Stable Diffusion 1.x."""


def build(model, **settings):
    fields = {"model": str(model), "inversions": ["ddim"], "methods": ["plain"], "steps": 1}
    return build_recipe({**fields, "image_loader": LOADER, **settings}, {}, "test")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Wide, portrait, and 130x130 pixels, which no model takes."""
    return save_shapes_bench(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def edited(tiny_model, shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert not run(build(tiny_model), shapes, folder).failed
    return folder


def test_an_edit_has_its_sources_pixels(model, shapes):
    samples = {sample.id: sample for sample in load_pie_bench(shapes)}
    sizes = {"wide": (192, 128), "portrait": (128, 192), "odd": (128, 128)}
    for name, size in sizes.items():
        (edit,) = edit_batch(model, [samples[name]], build("x").combination("ddim", "plain"))
        assert (edit.image.shape[1], edit.image.shape[0]) == size and edit.resolution == min(size)
    width, height = sizes["odd"]
    whole = np.asarray(Image.open(samples["odd"].file))
    cut = encode_inputs(model, [samples["odd"]], 512, loader=LOADER).latents
    assert cut.equal(model.encode_images([whole[:height, :width]]))


def test_a_batch_of_several_sizes_is_edited_one_by_one(edited, shapes, model):
    """Its first try fails before anything is computed."""
    records = RunStore.read(edited).records().values()
    assert [record["resolution"] for record in records] == [128, 128, 128]
    with pytest.raises(PiebenchError, match=r"another size; edit them one at a time \(--batch-size 1\)"):
        encode_inputs(model, load_pie_bench(shapes), 128, loader=LOADER)


def test_a_picture_of_which_nothing_is_left(model, tmp_path):
    sample = load_pie_bench(save_shapes_bench(tmp_path))[0]
    Image.new("RGB", (200, 40)).save(sample.file)
    match = r"is 192x0 .* cuts sides to multiples of 64; use image_loader=crop"
    with pytest.raises(PiebenchError, match=match):
        encode_inputs(model, [sample], 128, loader=LOADER)


def test_edits_are_scored_against_the_cut_sources(edited, shapes):
    scores = pb.score(edited, metrics=["mse"], progress=False).set_index("id")["mse"]
    for sample in load_pie_bench(shapes):
        edit = np.asarray(Image.open(edited / "images/ddim+plain" / sample.image_path)) / 255.0
        source = np.asarray(Image.open(sample.file))[: edit.shape[0], : edit.shape[1]] / 255.0
        assert scores[sample.id] == pytest.approx(np.mean((edit - source) ** 2), rel=1e-5)


def test_a_table_says_it(edited):
    table = pb.table(pb.score(edited, metrics=["mse"], progress=False))
    (row,) = table.to_dict(orient="records")
    assert row["image_loader"] == LOADER and (row["resolution"], row["output_resolution"]) == (128, 128)
    (remark,) = [line for line in table.attrs["remarks"] if LOADER in line]
    assert remark.startswith("sources of several sizes were brought to the 128 pixels of their edits")


def test_a_table_of_edits_of_several_sizes(tiny_model, shapes, tmp_path):
    data = save_shapes_bench(tmp_path / "bench")
    file = data / "annotation_images/wide.png"
    Image.open(file).resize((320, 192)).save(file)
    run(build(tiny_model), data, tmp_path / "run")
    table = pb.table(pb.score(tmp_path / "run", metrics=["mse"], progress=False))
    (row,) = table.to_dict(orient="records")
    assert row["image_loader"] == LOADER and pd.isna(row["resolution"]) and pd.isna(row["output_resolution"])
    (remark,) = [line for line in table.attrs["remarks"] if LOADER in line]
    assert remark.startswith(f"sources of several sizes were cut as their edits, by image_loader={LOADER}")
    assert min(image_size(file)) == 192


@pytest.mark.parametrize("field", ["resolution", "output_resolution"])
def test_a_size_beside_it_is_refused(tiny_model, shapes, tmp_path, field):
    match = f"{field}=128 has no effect, since image_loader={LOADER} .*; leave it empty"
    with pytest.raises(PiebenchError, match=match):
        run(build(tiny_model, **{field: 128}), shapes, tmp_path / "run")
    with pytest.raises(PiebenchError, match=match):
        pb.edit(
            next(shapes.rglob("*.png")),
            "a cat",
            "a dog",
            model=str(tiny_model),
            device="cpu",
            settings={"steps": 1, "image_loader": LOADER, field: 128},
        )
