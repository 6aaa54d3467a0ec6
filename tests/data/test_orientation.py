"""Pictures that a camera stored turned, with a tag that says how."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from piebench_eval.api.editing import _file
from piebench_eval.data.images import image_size, load_image, read_image
from piebench_eval.data.masks import encode_rle, load_mask
from piebench_eval.data.sample import Sample


def stored(file, orientation):
    """Save a picture of 40 x 24 with an orientation tag; as a viewer shows it, [height, width, 3]."""
    image = Image.new("RGB", (40, 24), (20, 20, 20))
    image.paste((250, 120, 60), (0, 0, 16, 8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"quality": 95, "subsampling": 0} if file.suffix == ".jpg" else {}
    image.save(file, exif=exif, **options)
    with Image.open(file) as opened:
        return np.array(ImageOps.exif_transpose(opened).convert("RGB"))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_read_as_they_are_seen(tmp_path, orientation, suffix):
    file = tmp_path / f"a.{suffix}"
    seen = stored(file, orientation)
    np.testing.assert_array_equal(read_image(file), seen)
    assert image_size(file) == seen.shape[1::-1]
    np.testing.assert_array_equal(load_image(file, loader="shorter_side"), seen)


def test_masks_are_of_the_picture_that_is_seen(tmp_path):
    file = tmp_path / "a.jpg"
    seen = stored(file, 6)
    mask = seen[..., 0] > 128
    sample = Sample("a", "a.jpg", file, "a", "b", "", "0", "", tuple(encode_rle(mask)))
    np.testing.assert_array_equal(load_mask(sample, loader="shorter_side"), mask)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_a_tag_without_meaning_turns_nothing(tmp_path, orientation):
    assert stored(tmp_path / "a.jpg", orientation).shape == read_image(tmp_path / "a.jpg").shape


def test_damaged_tags_turn_nothing(tmp_path):
    stored(tmp_path / "a.jpg", 6)
    content = (tmp_path / "a.jpg").read_bytes()
    start = content.index(b"Exif") + 6
    (tmp_path / "a.jpg").write_bytes(content[:start] + b"\xff" * 20 + content[start + 20 :])
    assert read_image(tmp_path / "a.jpg").shape == (24, 40, 3)


def test_a_pil_picture_is_edited_as_it_is_seen(tmp_path):
    seen = stored(tmp_path / "a.jpg", 6)
    with Image.open(tmp_path / "a.jpg") as opened:
        np.testing.assert_array_equal(read_image(_file(opened, tmp_path)), seen)
