import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from piebench_eval.data.images import load_image
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.metrics.protocol import MODERN, PictureRules
from piebench_eval.metrics.scoring_batch import prepare_edit
from piebench_eval.scoring.cache import ScoreCache
from piebench_eval.scoring.edit_layout import fitting_size
from piebench_eval.scoring.edited_images import EditedImage, edited_images_at
from piebench_eval.scoring.images import check_sizes, is_strip, load_edit
from piebench_eval.scoring.score import Scoring, compute_scores, missing_scores, scoring_jobs
from piebench_eval.scoring.scores_file import score_rows, write_scores

PIXELS = ("psnr_unedit_part", "mse_unedit_part")


@pytest.fixture
def edits(samples, tmp_path):
    """A source copy of every picture, in the official layout."""
    folder = tmp_path / "edits"
    for sample in samples:
        file = folder / "annotation_images" / sample.image_path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(load_image(sample.file)).save(file)
    return folder


@pytest.fixture
def edited_images(edits, samples):
    return edited_images_at(edits, samples, "mine")[0]


@pytest.fixture
def score_cache(tmp_path):
    return ScoreCache(tmp_path / "scores.cache.sqlite")


@pytest.fixture
def scoring(metric_networks):
    return Scoring(metric_networks)


def score(edited_images, scoring, score_cache, batch=2):
    """Score what is not known; returns the rows and how many edits were computed."""
    jobs = list(scoring_jobs(edited_images, scoring.specs))
    computed = sum(compute_scores(jobs, scoring.networks("cpu", batch), score_cache, scoring.resize))
    return score_rows(jobs, score_cache), computed


def edited_image(sample, file, picture):
    Image.fromarray(picture).save(file)
    return EditedImage(sample, {"name": "mine"}, file)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("panels", [2, 4])
def test_the_last_panel_of_a_strip_is_scored(samples, tmp_path, scoring, score_cache, panels):
    strip = noise(128, panels * 128)
    scoring = replace(scoring, columns=PIXELS)
    given = [
        edited_image(samples[0], tmp_path / "strip.png", strip),
        edited_image(samples[0], tmp_path / "last.png", strip[:, -128:].copy()),
    ]
    (one, other), _ = score(given, scoring, score_cache)
    assert one == other and one["mse_unedit_part"] > 0


GRIDS = {
    "a gap": (128, 258),
    "gaps": (128, 4 * 128 + 30),
    "two rows": (256, 384),
    "rows with gaps": (258, 388),
}


@pytest.mark.parametrize(
    ("shape", "loader"),
    [*product([*GRIDS.values(), (256, 128)], [None, "crop"]), ((256, 512), None)],
)
def test_the_last_square_is_cut_out_as_the_official_evaluator_cuts(
    samples, tmp_path, scoring, score_cache, shape, loader
):
    grid = noise(*shape)
    scoring = replace(scoring, columns=PIXELS)
    given = [
        replace(edited_image(samples[0], tmp_path / f"{name}.png", picture), loader=loader)
        for name, picture in {"grid": grid, "last": grid[-128:, -128:].copy()}.items()
    ]
    with pytest.warns(PiebenchWarning, match=f"with gaps: 1 .*{shape[1]}x{shape[0]}.* the last panel"):
        assert check_sizes(given, resize=False) == []
    assert is_strip(given[0]) and not is_strip(given[1])
    np.testing.assert_array_equal(load_edit(given[0]).panel, grid[-128:, -128:])
    (one, other), _ = score(given, scoring, score_cache)
    assert one == other and one["mse_unedit_part"] > 0


def test_the_second_panel_lies_behind_the_gap():
    grid = noise(64, 4 * 64 + 6)
    rules = PictureRules(panel="second")
    np.testing.assert_array_equal(prepare_edit(grid, 64, 64, rules), grid[:, 66:130])
    np.testing.assert_array_equal(prepare_edit(grid[:, :256], 64, 64, rules), grid[:, 64:128])
    np.testing.assert_array_equal(
        prepare_edit(grid.swapaxes(0, 1), 64, 64, rules), grid.swapaxes(0, 1)[66:130]
    )


def test_panels_of_a_loaded_source_have_gaps_too(samples, tmp_path):
    """Sources that are not square, edited at another resolution than their own."""
    Image.fromarray(noise(128, 192)).save(tmp_path / "source.png")
    sample = replace(samples[0], file=tmp_path / "source.png")
    strip = edited_image(sample, tmp_path / "strip.png", noise(64, 2 * 64 + 3))
    layout = load_edit(replace(strip, loader="crop")).layout
    assert (layout.resolution, layout.loader) == (64, "crop")
    wide = edited_image(sample, tmp_path / "wide.png", noise(64, 2 * 96 + 3))
    layout = load_edit(replace(wide, loader="shorter_side")).layout
    assert (layout.resolution, layout.loader) == (64, "shorter_side")
    with pytest.raises(PiebenchError, match="195x64"):
        load_edit(wide)


def test_strips_of_another_resolution_are_resized_if_that_is_asked(samples, tmp_path):
    """Two panels of twice the size could be two rows of four: said, unless --resize says what they are."""
    given = edited_image(samples[0], tmp_path / "edit.png", noise(256, 512))
    assert load_edit(given).pixels.shape == (256, 512, 3)
    assert load_edit(given, resize=True).pixels.shape == (128, 256, 3)


@pytest.mark.parametrize("shape", [(64, 64), (256, 256), (100, 512), (128, 200), (200, 128), (150, 300)])
def test_another_size_than_the_sources_is_refused(samples, tmp_path, shape):
    with pytest.raises(PiebenchError, match="128x128"):
        load_edit(edited_image(samples[0], tmp_path / "edit.png", noise(*shape)))


@pytest.mark.parametrize("shape", [(64, 64), (256, 256), (64, 256)])
def test_resizing_has_to_be_asked_for_and_is_recorded(samples, tmp_path, shape):
    given = edited_image(samples[0], tmp_path / "edit.png", noise(*shape))
    panels = shape[1] // shape[0]
    assert load_edit(given, resize=True).pixels.shape == (128, panels * 128, 3)
    with pytest.raises(PiebenchError, match="--resize"):
        check_sizes([given], resize=False)
    (line,) = check_sizes([given], resize=True)
    assert line == f"{samples[0].id}: {shape[1]}x{shape[0]} -> {panels * 128}x128"


def test_no_size_makes_a_square_of_another_shape(samples, tmp_path):
    given = edited_image(samples[0], tmp_path / "edit.png", noise(100, 150))
    with pytest.raises(PiebenchError, match="150x100") as told:
        load_edit(given, resize=True)
    assert "--resize" not in str(told.value)


def test_sources_own_size_is_not_resized(edited_images):
    assert check_sizes(edited_images, resize=False) == []


def test_an_edit_of_the_sources_shape_is_scored_whole(samples, tmp_path):
    """A source that is not square is edited and scored whole; a smaller edit of it likewise."""
    wide = noise(128, 256)
    Image.fromarray(wide).save(tmp_path / "source.png")
    sample = replace(samples[0], file=tmp_path / "source.png")
    whole = edited_image(sample, tmp_path / "whole.png", wide)
    np.testing.assert_array_equal(load_edit(whole).pixels, wide)
    half = edited_image(sample, tmp_path / "half.png", np.array(Image.fromarray(wide).resize((128, 64))))
    assert load_edit(half, resize=True).pixels.shape == (128, 256, 3)
    assert fitting_size((1280, 960), (640, 480)) == (640, 480)


@pytest.mark.parametrize("side", [1, 10, 31])
def test_pictures_too_small_for_the_metrics_are_refused(samples, tmp_path, side):
    small = EditedImage(
        samples[0], {"name": "mine"}, tmp_path / "small.png", loader="crop", may_be_strip=False
    )
    Image.fromarray(noise(side, side)).save(small.file)
    with pytest.raises(PiebenchError, match=f"{side} pixels; metrics need at least 32"):
        load_edit(small)


@pytest.mark.parametrize("which", ["edit", "source"])
def test_a_file_that_changes_while_it_is_scored_is_refused(edited_images, scoring, score_cache, which):
    scoring = replace(scoring, columns=PIXELS)
    jobs = list(scoring_jobs(edited_images[:1], scoring.specs))
    file = edited_images[0].file if which == "edit" else edited_images[0].sample.file
    before = file.read_bytes()
    try:
        Image.fromarray(noise(128, 128)).save(file)
        with pytest.raises(PiebenchError, match="was changed while it was scored"):
            list(compute_scores(jobs, scoring.networks("cpu"), score_cache))
    finally:
        file.write_bytes(before)
    assert missing_scores(jobs[:1], score_cache)


def test_a_protocols_own_clip_is_the_one_that_is_loaded_and_named(edited_images, scoring, score_cache):
    columns = ("clip_similarity_target_image",)
    protocol = scoring.protocol.with_changes({"clip": {"network": scoring.models.clip}})
    models = replace(scoring.models, clip="/nowhere")
    own = replace(scoring, models=models, protocol=protocol, columns=columns)
    rows, _ = score(edited_images, own, score_cache)
    assert rows[0][columns[0]] >= 0 and own.describe()["networks"] == {"clip": scoring.models.clip}


def test_an_unreadable_edit_is_named(samples, tmp_path, scoring, score_cache):
    file = tmp_path / "edit.png"
    file.write_bytes(b"nothing")
    given = [EditedImage(samples[0], {"name": "mine"}, file)]
    with pytest.raises(PiebenchError, match=r"edit\.png"):
        score(given, replace(scoring, columns=PIXELS), score_cache)


def test_only_what_is_missing_is_computed(edited_images, scoring, score_cache, tmp_path):
    rows, computed = score(edited_images, scoring, score_cache)
    assert computed == len(edited_images) == len(rows)
    again = ScoreCache(tmp_path / "scores.cache.sqlite")
    assert str(score(edited_images, scoring, again)) == str((rows, 0))

    more, computed = score(edited_images, replace(scoring, columns=(*COLUMNS, "psnr")), again)
    assert computed == len(edited_images)
    assert str([{name: row[name] for name in rows[0]} for row in more]) == str(rows)

    Image.fromarray(noise(128, 128)).save(edited_images[0].file)
    changed, computed = score(edited_images, scoring, ScoreCache(tmp_path / "scores.cache.sqlite"))
    assert computed == 1 and changed[0] != rows[0] and str(changed[1:]) == str(rows[1:])


def test_only_columns_that_a_protocol_changes_are_computed(edited_images, scoring, score_cache, monkeypatch):
    score(edited_images, scoring, score_cache)
    jobs = list(scoring_jobs(edited_images, replace(scoring, protocol=MODERN).specs))
    columns = {score.column for job in missing_scores(jobs, score_cache) for score in job.specs}
    clip = {column for column in COLUMNS if column.startswith("clip")}
    assert columns == {"structure_distance", "ssim_unedit_part", *clip}


def test_other_networks_and_precisions_have_scores_of_their_own(edited_images, scoring, score_cache):
    score(edited_images, scoring, score_cache)
    for other in (
        replace(scoring, precision="bf16"),
        replace(scoring, models=replace(scoring.models, dino="x")),
    ):
        jobs = list(scoring_jobs(edited_images, other.specs))
        assert "structure_distance" in {
            one.column for job in missing_scores(jobs, score_cache) for one in job.specs
        }


def test_an_interrupt_loses_no_finished_block(edited_images, scoring, score_cache, tmp_path):
    jobs = list(scoring_jobs(edited_images, scoring.specs))
    going = compute_scores(jobs, scoring.networks("cpu", 1), score_cache)
    assert next(going) == 1
    going.close()
    again = ScoreCache(tmp_path / "scores.cache.sqlite")
    left = missing_scores(scoring_jobs(edited_images, scoring.specs), again)
    assert [item.edited_image for item in left] == edited_images[1:]


def test_batches_change_no_score(edited_images, scoring, tmp_path):
    one, _ = score(edited_images, scoring, ScoreCache(tmp_path / "one.sqlite"), batch=1)
    four, _ = score(edited_images, scoring, ScoreCache(tmp_path / "four.sqlite"), batch=4)
    for row, other in zip(one, four, strict=True):
        for column in COLUMNS:
            assert row[column] == pytest.approx(other[column], rel=1e-5, abs=1e-9, nan_ok=True)


def test_edits_of_other_resolutions_share_a_block(samples, tmp_path, scoring, score_cache):
    """A run's combinations may have resolutions of their own; the source follows each."""
    given = []
    for side in (64, 128):
        file = tmp_path / f"{side}.png"
        Image.fromarray(load_image(samples[0].file, side)).save(file)
        given.append(EditedImage(samples[0], {"name": str(side)}, file, loader="crop", may_be_strip=False))
    rows, _ = score(given, scoring, score_cache)
    assert [row["name"] for row in rows] == ["64", "128"]
    assert all(row["mse_unedit_part"] == 0 for row in rows)


def test_scores_file(edited_images, scoring, score_cache, tmp_path):
    rows, _ = score(edited_images, scoring, score_cache)
    file = tmp_path / "scores.csv"
    write_scores(file, rows, scoring, {"images": "edits"})
    assert file.read_text().splitlines()[0] == ",".join(["id", "name", "type", *COLUMNS])
    assert math.isnan(rows[3]["psnr_unedit_part"]) and rows[0]["psnr_unedit_part"] == math.inf

    from piebench_eval.tables.provenance import protocol_of, read_provenance

    about = read_provenance(tmp_path / "scores.json")
    assert protocol_of(about) == ("paper", scoring.protocol)
    assert about["images"] == "edits" and about["precision"] == "fp32"
    assert set(about["networks"]) == {"dino", "clip", "lpips_weights"}
    assert about["protocol"]["rules"]["structure"]["resize"] == "bilinear"


def test_networks_that_no_column_needs_are_not_loaded(edited_images, scoring, score_cache):
    nowhere = replace(scoring.models, dino="/nowhere", clip="/nowhere", lpips_weights="/nowhere")
    rows, computed = score(edited_images, replace(scoring, models=nowhere, columns=PIXELS), score_cache)
    assert computed == 4 and rows[0]["mse_unedit_part"] == 0


def test_memory_does_not_grow_with_the_number_of_pictures(
    samples, tmp_path, scoring, score_cache, monkeypatch
):
    """Of forty edits, only a few blocks are loaded at any time."""
    import gc

    from piebench_eval.scoring import score as module

    loaded = module._EditWithSource
    alive = []
    real = module._score_block

    def counting(*arguments):
        result = real(*arguments)
        gc.collect()
        alive.append(sum(isinstance(thing, loaded) for thing in gc.get_objects()))
        return result

    monkeypatch.setattr(module, "_score_block", counting)
    many = [replace(samples[0], id=f"{index:012}") for index in range(40)]
    given = [edited_image(sample, tmp_path / f"{sample.id}.png", noise(128, 128)) for sample in many]
    gc.freeze()  # so that only what is made from now on is looked through
    try:
        _, computed = score(given, replace(scoring, columns=PIXELS), score_cache, batch=2)
    finally:
        gc.unfreeze()
    assert computed == 40 and len(alive) == 20 and max(alive) <= 2 * 4


def test_threads_of_the_networks_are_left_alone(edited_images, scoring, score_cache):
    before = torch.get_num_threads()
    score(edited_images, replace(scoring, columns=PIXELS), score_cache)
    assert torch.get_num_threads() == before
