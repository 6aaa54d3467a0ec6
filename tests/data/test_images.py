from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.images import ImageLoader, load_image, loaded_size
from piebench_eval.data.masks import encode_rle, load_mask
from piebench_eval.data.sample import Sample
from piebench_eval.data.summary import full_mask_remark, summarise


@pytest.fixture
def wide(tmp_path):
    """A picture of 10 x 6 whose red channel counts the columns."""
    pixels = np.zeros((6, 10, 3), dtype=np.uint8)
    pixels[..., 0] = np.arange(10)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


def test_centre_crop(wide):
    image = load_image(wide)
    assert image.shape == (6, 6, 3)
    assert image[0, :, 0].tolist() == [2, 3, 4, 5, 6, 7]


def test_a_square_of_the_right_size_is_untouched(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "square.png")
    np.testing.assert_array_equal(load_image(tmp_path / "square.png", 16), pixels)


def test_resize_is_pillows_default(wide):
    expected = Image.open(wide).crop((2, 0, 8, 6)).resize((12, 12))
    np.testing.assert_array_equal(load_image(wide, 12), np.asarray(expected))


def test_stretch_takes_the_nearest_pixels_as_torch_does(wide):
    from torch import from_numpy
    from torch.nn.functional import interpolate

    for side in (4, 6, 7, 12):
        whole = from_numpy(np.asarray(Image.open(wide)).copy()).permute(2, 0, 1)[None].float()
        expected = interpolate(whole, size=(side, side))[0].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(load_image(wide, side, "stretch"), expected)


def test_shorter_side_is_torchvisions_resize(wide):
    from torchvision.transforms import Resize

    for side in (3, 12):
        found = load_image(wide, side, "shorter_side")
        np.testing.assert_array_equal(found, np.asarray(Resize(side)(Image.open(wide))))
    assert found.shape == (12, 20, 3)


def test_resize_takes_the_whole_picture_with_pillows_default(wide):
    for side in (None, 3, 12):
        found = load_image(wide, side, "resize")
        expected = Image.open(wide).resize((side or 6, side or 6), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(found, np.asarray(expected))


def test_the_whole_picture_as_a_square_is_torchvisions_resize_of_both_sides(wide):
    from torchvision.transforms import Resize

    for side in (3, 12):
        found = load_image(wide, side, "resize_bilinear")
        np.testing.assert_array_equal(found, np.asarray(Resize((side, side))(Image.open(wide))))
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(wide)
    assert (load_image(wide, 12, "resize_bilinear") != load_image(wide, 12, "resize")).any()


def test_the_whole_picture_as_a_square_is_diffusers_resize(wide):
    from diffusers.image_processor import VaeImageProcessor

    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(wide)
    for side in (16, 48):
        found = load_image(wide, side, "resize_lanczos")
        expected = VaeImageProcessor().resize(Image.open(wide), side, side)
        np.testing.assert_array_equal(found, np.asarray(expected))
        assert (found != load_image(wide, side, "resize")).any()


def test_a_picture_in_its_own_size_is_cut_at_the_bottom_and_at_the_right(wide):
    whole = np.asarray(Image.open(wide))
    for resolution in (None, 12):
        np.testing.assert_array_equal(load_image(wide, resolution, "crop_to_multiple"), whole)
        cut = load_image(wide, resolution, "crop_to_multiple", multiple=4)
        np.testing.assert_array_equal(cut, whole[:4, :8])
    assert load_image(wide, loader="crop_to_multiple", multiple=16).shape == (0, 0, 3)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    Image.new(mode, (8, 8)).save(tmp_path / "picture.tiff")
    assert load_image(tmp_path / "picture.tiff").shape == (8, 8, 3)


def make_sample(file: Path, rle: tuple[int, ...]) -> Sample:
    return Sample("1", file.name, file, "", "", "", "0", "", rle)


def test_a_mask_follows_the_crop_and_the_size(wide):
    # Column 4 of 10 in every row is column 2 of the crop.
    sample = make_sample(wide, tuple(value for row in range(6) for value in (10 * row + 4, 1)))
    mask = load_mask(sample, frame=True)
    assert mask.shape == (6, 6)
    assert mask[2].tolist() == [True, False, True, False, False, True]
    larger = load_mask(sample, 12, frame=True)
    assert larger[4].tolist() == [True, False, False, False, True, True] + [False] * 5 + [True]


def test_summary_counts_full_and_empty_masks(wide):
    samples = [make_sample(wide, rle) for rle in ((), (0, 60), (22, 3), (5, 0))]
    (summary,) = summarise(samples)
    assert (summary.images, summary.full_masks, summary.empty_masks) == (4, 1, 2)
    assert 0.5 < summary.mean_mask_share < 1


def test_full_masks_are_put_into_words():
    assert full_mask_remark(0, 4) is None
    many = full_mask_remark(560, 700)
    assert many.startswith("560 of 700 masks cover the whole picture.") and "the other 140 samples" in many
    assert all(name in many for name in ("PSNR", "LPIPS", "MSE", "SSIM", "CLIP"))
    assert "1 of 2 masks covers" in full_mask_remark(1, 2)
    assert "the other sample only" in full_mask_remark(1, 2)
    assert "no sample at all" in full_mask_remark(3, 3)


@pytest.mark.parametrize("side", [None, 6, 9, 12, 128])
@pytest.mark.parametrize("loader", get_args(ImageLoader))
def test_a_mask_goes_where_its_picture_goes(tmp_path, loader, side):
    """Half of the picture, upright or lying, in every shape: the mask's edge is where the picture's is."""
    for height, width in ((6, 10), (10, 6), (7, 7)):
        mask = np.zeros((height, width), dtype=bool)
        mask[: height // 2], mask[:, : width // 3] = True, True
        Image.fromarray(np.uint8(mask)[..., None].repeat(3, axis=2) * 255).save(tmp_path / "picture.png")
        sample = make_sample(tmp_path / "picture.png", tuple(encode_rle(mask)))
        picture = load_image(sample.file, side, loader, multiple=3)[..., 0]
        found = load_mask(sample, side, loader=loader, multiple=3)
        assert found.shape == picture.shape == loaded_size((width, height), loader, side, 3)[::-1]
        sharp = (picture == 0) | (picture == 255)
        assert sharp.mean() > 0.2 and (found[sharp] == (picture[sharp] == 255)).all()
