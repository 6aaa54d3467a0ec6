"""An edit and its source are compared on the pixels that were edited, whatever the shape of the source."""

import json
import math
from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np
import pytest
from PIL import Image

import piebench_eval as pb
from piebench_eval.data.images import ImageLoader, load_image
from piebench_eval.data.masks import load_mask
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import PiebenchError
from piebench_eval.explain.claimed_images import evaluation_set_at
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.report import paths
from piebench_eval.report.build import build_report
from piebench_eval.report.contact_sheet import run_sheet
from piebench_eval.report.content import read_content
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.scoring.edited_images import EditedImage, edited_images_at, edited_images_of_run
from piebench_eval.scoring.images import check_sizes, load_edit
from piebench_eval.scoring.score import Scoring, scoring_jobs
from tests.support.fake_runner import FakeRunner
from tests.support.photos import save_shapes_bench
from tests.support.runs import run

LOADERS = get_args(ImageLoader)
SIDE = 128
MULTIPLE = 16
"""What a model takes: it is cut from pictures of 130 pixels alone."""

PERFECT = {
    "psnr_unedit_part": math.inf,
    "mse_unedit_part": 0,
    "lpips_unedit_part": 0,
    "ssim_unedit_part": 1,
    "structure_distance": 0,
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return save_shapes_bench(tmp_path_factory.mktemp("shapes"))


@pytest.fixture
def networks(metric_networks):
    return {"dino": metric_networks.dino, "lpips_weights": metric_networks.lpips_weights}


def reconstructed(sample, loader, multiple=1):
    return load_image(sample.file, SIDE, loader, multiple=multiple)


def inpainted(sample, loader):
    """Noise inside the mask, and nothing outside."""
    image = reconstructed(sample, loader, MULTIPLE)
    mask = load_mask(sample, SIDE, loader=loader, multiple=MULTIPLE)
    noise = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    return np.where(mask[..., None], noise, image)


class LoadingRunner(FakeRunner):
    """Makes its edits of the loaded source."""

    def __init__(self, picture, spec, recipe):
        super().__init__()
        self.picture = picture

    def edit(self, combination, samples):
        edits = super().edit(combination, samples)
        loader = combination.common.image_loader
        return [replace(edit, image=self.picture(edit.sample, loader)) for edit in edits]


def is_perfect(scores):
    for row in scores.to_dict(orient="records"):
        assert {column: row[column] for column in PERFECT} == pytest.approx(PERFECT, abs=1e-9), row
    return True


@pytest.fixture(scope="module")
def recipe(tiny_model):
    """Every loader in one run, as the shipped recipe ``paper`` has them: by combination."""
    own = {
        "ddim+p2p": {"image_loader": "stretch"},
        "direct+p2p": {"image_loader": "shorter_side"},
        "negative_prompt+p2p": {},
        "edit_friendly+p2p": {"image_loader": "resize"},
        "null_text+p2p": {"image_loader": "resize_bilinear"},
        "ddcm+p2p": {"image_loader": "resize_lanczos"},
        "turboedit+p2p": {"image_loader": "crop_to_multiple", "resolution": None},
    }
    fields = {"model": str(tiny_model), "methods": ["p2p"], "combinations": own, "resolution": SIDE}
    fields["inversions"] = [name.partition("+")[0] for name in own]
    return build_recipe(fields, {}, "test")


def make_run(recipe, data, folder, picture):
    summary = run(recipe, data, folder, make_runner=partial(LoadingRunner, picture))
    assert not summary.failed
    return folder


@pytest.fixture(scope="module")
def reconstructions(recipe, shapes, tmp_path_factory):
    return make_run(recipe, shapes, tmp_path_factory.mktemp("runs") / "run", reconstructed)


def test_a_runs_perfect_reconstructions_are_perfect_under_every_loader(reconstructions, networks):
    scores = pb.score(reconstructions, metrics=list(PERFECT), progress=False, **networks)
    assert len(scores) == 3 * len(LOADERS) and is_perfect(scores)


def test_what_changes_inside_the_mask_of_the_loaded_source_is_no_change_outside(
    recipe, shapes, tmp_path, networks
):
    folder = make_run(recipe, shapes, tmp_path / "run", inpainted)
    scores = pb.score(folder, metrics=["mse_unedit_part", "mse"], progress=False, **networks)
    assert (scores["mse_unedit_part"] == 0).all() and (scores["mse"] > 0).all()


def save_edits(folder, samples, loader, panels=1):
    folder.mkdir()
    for sample in samples:
        image = reconstructed(sample, loader, MULTIPLE)
        Image.fromarray(np.concatenate([image // 2] * (panels - 1) + [image], axis=1)).save(
            folder / f"{sample.id}.png"
        )
    return folder


@pytest.mark.parametrize("panels", [1, 4])
@pytest.mark.parametrize("loader", LOADERS)
def test_a_folders_perfect_reconstructions_are_perfect_under_the_loader_that_is_named(
    shapes, tmp_path, networks, loader, panels
):
    edits = save_edits(tmp_path / "edits", load_pie_bench(shapes), loader, panels)
    options = {"images": edits, "data": shapes, "name": "mine", "out": tmp_path / "mine.csv"}
    scores = pb.score(**options, image_loader=loader, metrics=list(PERFECT), progress=False, **networks)
    assert is_perfect(scores) and scores.attrs["about"]["image_loader"] == loader
    assert any(f"image_loader={loader}" in remark for remark in pb.table(scores).attrs["remarks"])
    explained = evaluation_set_at(tmp_path / "mine.csv").edited_images
    assert {edited_image.loader for edited_image in explained} == {loader}


@pytest.mark.parametrize("panels", [1, 4])
def test_pictures_of_the_sources_own_size_are_scored_whole(shapes, tmp_path, networks, panels):
    folder = tmp_path / "edits"
    folder.mkdir()
    for sample in load_pie_bench(shapes):
        whole = np.array(Image.open(sample.file))
        strip = np.concatenate([whole // 2] * (panels - 1) + [whole], axis=1)
        Image.fromarray(strip).save(folder / f"{sample.id}.png")
    options = {"images": folder, "data": shapes, "name": "mine", "out": tmp_path / "mine.csv"}
    scores = pb.score(**options, metrics=list(PERFECT), progress=False, **networks)
    assert is_perfect(scores) and scores.attrs["about"]["image_loader"] is None


def test_a_difference_at_the_edge_of_a_whole_picture_counts(shapes, tmp_path, networks):
    """Beyond the central square, which is all that a square picture shows."""
    folder = tmp_path / "edits"
    folder.mkdir()
    for sample in load_pie_bench(shapes):
        whole = np.array(Image.open(sample.file))
        whole[2:10, 2:10] = 255 - whole[2:10, 2:10]
        Image.fromarray(whole).save(folder / f"{sample.id}.png")
    options = {"images": folder, "data": shapes, "name": "mine", "out": tmp_path / "mine.csv"}
    scores = pb.score(**options, metrics="mse_unedit_part", progress=False)
    assert (scores["mse_unedit_part"] > 0).all()


def test_a_square_edit_of_another_shape_needs_the_loader_that_made_it(shapes, tmp_path):
    samples = load_pie_bench(shapes)[:1]
    edits = save_edits(tmp_path / "edits", samples, "stretch")

    def sizes(loader):
        return check_sizes(edited_images_at(edits, samples, "mine", loader)[0], resize=True)

    with pytest.raises(
        PiebenchError, match=r"pass the --image-loader that made it: crop or stretch or resize"
    ):
        sizes(None)
    with pytest.raises(PiebenchError, match="image_loader=shorter_side does not give this size; give"):
        sizes("shorter_side")
    with pytest.raises(
        PiebenchError, match="--image-loader squeeze: use crop, stretch, shorter_side, resize"
    ):
        sizes("squeeze")
    assert sizes("stretch") == sizes("crop") == sizes("resize") == []


def test_a_run_knows_its_own_loaders(reconstructions):
    with pytest.raises(PiebenchError, match=r"--image-loader: is for --images"):
        pb.score(reconstructions, image_loader="crop")


def test_a_runs_picture_is_never_taken_for_a_strip(reconstructions, shapes, tmp_path):
    """As wide as two panels, and as high as one: in anybody's folder it would be cut."""
    (sample,) = [sample for sample in load_pie_bench(shapes) if sample.id == "odd"]
    file = tmp_path / "two.png"
    Image.fromarray(np.zeros((SIDE, 2 * SIDE, 3), dtype=np.uint8)).save(file)
    assert load_edit(EditedImage(sample, {}, file, "crop")).pixels.shape == (SIDE, 2 * SIDE, 3)
    edited_images, _ = edited_images_of_run(RunStore.read(reconstructions))
    for edited_image in edited_images:
        if edited_image.sample.id == "odd":
            with pytest.raises(PiebenchError, match=r"two\.png: is 256x128.*restore the run's picture"):
                load_edit(replace(edited_image, file=file))


def test_a_value_is_kept_for_its_loader_alone(shapes, tmp_path, metric_networks):
    sample = load_pie_bench(shapes)[0]
    file = tmp_path / "edit.png"
    Image.fromarray(reconstructed(sample, "crop")).save(file)
    given = [EditedImage(sample, {}, file, loader, may_be_strip=False) for loader in (None, *LOADERS)]
    scoring = Scoring(metric_networks, columns=("psnr",))
    keys = [item.keys for item in scoring_jobs(given, scoring.specs)]
    assert len(set(keys)) == len(given)


def test_what_a_score_rests_on_says_the_loader(reconstructions, networks):
    pb.score(reconstructions, metrics="mse", progress=False)
    about = json.loads((reconstructions / "scores.json").read_text())
    assert {name: of["image_loader"] for name, of in about["combinations"].items()} == {
        "ddim+p2p": "stretch",
        "direct+p2p": "shorter_side",
        "negative_prompt+p2p": "crop",
        "edit_friendly+p2p": "resize",
        "null_text+p2p": "resize_bilinear",
        "ddcm+p2p": "resize_lanczos",
        "turboedit+p2p": "crop_to_multiple",
    }


def test_a_report_shows_every_edit_beside_what_it_is_an_edit_of(reconstructions, networks):
    """Each loader shows a source in its own way; a pair has one shape, and one part of the picture."""
    pb.score(reconstructions, metrics="mse", progress=False)
    shown = read_content([reconstructions])
    report = build_report(shown, reconstructions / "report").page.parent
    assert sorted(shown.views) == sorted(LOADERS)
    for combination in shown.combinations:
        view = shown.view_of(combination)
        for number, sample in enumerate(shown.samples):
            edit = Image.open(shown.pictures[combination.name, sample.id])
            source = Image.open(report / paths.source(number, view)).convert("RGB").resize(edit.size)
            difference = np.abs(np.asarray(source, dtype=float) - np.asarray(edit, dtype=float)).mean()
            assert difference < 8, (combination.loader, sample.id)
            outline = Image.open(report / paths.outline(number, view))
            assert outline.width * edit.height == outline.height * edit.width


def test_a_contact_sheet_shows_a_source_for_each_loader(reconstructions, shapes, tmp_path):
    (wide,) = [sample for sample in load_pie_bench(shapes) if sample.id == "wide"]
    sheet = np.asarray(run_sheet(RunStore.read(reconstructions), [wide], tmp_path, side=192)).astype(float)
    top, step = 16 + 6 + 2 * 16, 192 + 6
    columns = [sheet[top : top + 128, 6 + step * column :][:, :192] for column in range(2 * len(LOADERS))]
    for source, edit in zip(columns[: len(LOADERS)], columns[len(LOADERS) :], strict=True):
        assert np.abs(source - edit).mean() < 8
