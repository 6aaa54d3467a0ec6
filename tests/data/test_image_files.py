import io
import struct
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.images import image_size, load_image, read_image
from piebench_eval.data.masks import load_mask
from piebench_eval.data.sample import Sample
from piebench_eval.errors import PiebenchError

RGB = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


def save(folder, image, suffix="png", **options):
    file = folder / f"picture.{suffix}"
    image.save(file, **options)
    return file


def refusal(file):
    with pytest.raises(PiebenchError) as caught:
        read_image(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ") and ";" in message
    return message


def png(width, height, bits, colour, rows, key=None):
    """A PNG written by hand, for what Pillow does not write."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    transparent = b"" if key is None else chunk(b"tRNS", key)
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + transparent + chunk(b"IDAT", zlib.compress(rows)) + end


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
def test_rgb_is_what_pillow_reads(tmp_path, suffix):
    file = save(tmp_path, Image.fromarray(RGB), suffix)
    found = read_image(file)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.asarray(Image.open(file).convert("RGB")))


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", "png"), ("1", "png"), ("P", "png"), ("CMYK", "jpg"), ("CMYK", "tiff"), ("YCbCr", "jpg")],
)
def test_other_modes_become_rgb_as_they_look(tmp_path, mode, suffix):
    file = save(tmp_path, Image.fromarray(RGB).convert(mode), suffix)
    np.testing.assert_array_equal(read_image(file), np.asarray(Image.open(file).convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opaque_alpha_is_dropped_and_any_other_refused(tmp_path, mode):
    image = Image.fromarray(RGB).convert("L" if mode == "LA" else "RGB")
    expected = np.asarray(image.convert("RGB"))
    image.putalpha(255)
    np.testing.assert_array_equal(read_image(save(tmp_path, image)), expected)
    alpha = Image.new("L", image.size, 255)
    alpha.putpixel((3, 4), 254)
    image.putalpha(alpha)
    assert "transparent" in refusal(save(tmp_path, image))


@pytest.mark.parametrize("transparency", [3, bytes([255, 255, 255, 128])])
def test_transparent_palette_colours_count_where_they_are_used(tmp_path, transparency):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    file = save(tmp_path, image, transparency=transparency)
    assert (read_image(file) == [200, 0, 0]).all()
    image.putpixel((0, 0), 3)
    assert "transparent" in refusal(save(tmp_path, image, transparency=transparency))


@pytest.mark.parametrize(
    ("bits", "colour", "row", "key"),
    [
        (1, 0, b"\x00\x80", b"\x00\x01"),
        (2, 0, b"\x00\x40", b"\x00\x01"),
        (4, 0, b"\x00\x10", b"\x00\x01"),
        (8, 0, b"\x00\x01\x00", b"\x00\x01"),
        (16, 0, b"\x00\x12\x34\x00\x00", b"\x12\x34"),
        (8, 2, b"\x00\x01\x02\x03\x00\x00\x00", b"\x00\x01\x00\x02\x00\x03"),
    ],
)
def test_transparent_colours_are_found_at_every_depth(tmp_path, bits, colour, row, key):
    (tmp_path / "key.png").write_bytes(png(2, 1, bits, colour, row, key))
    assert "transparent" in refusal(tmp_path / "key.png")
    if bits >= 8:
        (tmp_path / "key.png").write_bytes(png(2, 1, bits, colour, row, b"\x00\x07" * (len(key) // 2)))
        assert read_image(tmp_path / "key.png").shape == (1, 2, 3)


@pytest.mark.parametrize("kind", ["png", "little-endian tiff", "big-endian tiff"])
def test_16_bit_grey_is_scaled_not_cut(tmp_path, kind):
    grey = np.array([[0, 128, 129, 257], [32768, 65406, 65407, 65535]], dtype=np.uint16)
    file = tmp_path / "grey"
    if kind == "big-endian tiff":
        offset = 8 + 2 + 12 * 8 + 4
        tags = [(256, 4), (257, 2), (258, 16), (259, 1), (262, 1), (273, offset), (277, 1), (279, 16)]
        fields = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
        content = b"MM\x00\x2a" + struct.pack(">IH", 8, len(tags)) + fields + bytes(4)
        file.write_bytes(content + grey.astype(">u2").tobytes())
    else:
        Image.fromarray(grey).save(file, "png" if kind == "png" else "tiff")
    expected = np.round(grey / 257).astype(np.uint8)
    np.testing.assert_array_equal(read_image(file), np.stack([expected] * 3, axis=2))


def test_32_bit_grey_is_read_within_16_bits_only(tmp_path):
    grey = np.array([[0, 257], [65535, 514]], dtype=np.int32)
    file = save(tmp_path, Image.fromarray(grey), "tiff")
    assert read_image(file)[..., 0].tolist() == [[0, 1], [255, 2]]
    for value in (65536, -1):
        grey[0, 0] = value
        assert "16 bits" in refusal(save(tmp_path, Image.fromarray(grey), "tiff"))


def test_floating_point_is_refused(tmp_path):
    image = Image.fromarray(np.zeros((4, 4), dtype=np.float32))
    assert "floating point" in refusal(save(tmp_path, image, "tiff"))


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_animations_and_pages_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    file = save(tmp_path, frames[0], suffix, save_all=True, append_images=frames[1:])
    assert "holds 2 pictures" in refusal(file)


def test_a_jpeg_with_a_preview_is_its_first_frame(tmp_path):
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    file = save(tmp_path, frames[0], "jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert Image.open(file).format == "MPO"
    np.testing.assert_array_equal(read_image(file), np.asarray(Image.open(file).convert("RGB")))


@pytest.mark.parametrize("side", [8_001, 12_000, 100_000])
def test_a_header_that_claims_too_much_is_not_believed(tmp_path, side, recwarn):
    (tmp_path / "bomb.png").write_bytes(png(side, side, 8, 2, bytes(100)))
    assert "64 megapixels" in refusal(tmp_path / "bomb.png")
    with pytest.raises(PiebenchError, match="64 megapixels"):
        image_size(tmp_path / "bomb.png")
    assert not recwarn.list


def test_other_formats_and_files_that_are_none(tmp_path):
    gif = save(tmp_path, Image.fromarray(RGB), "gif")
    gif.rename(tmp_path / "renamed.png")
    assert "PNG, JPEG" in refusal(tmp_path / "renamed.png")
    assert "no such file" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "nowhere.png")


def test_sizes_for_masks_are_read_as_carefully(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    sample = Sample("1", "picture.png", tmp_path / "picture.png", "", "", "", "0", "", ())
    for read in (lambda: load_mask(sample), lambda: load_image(sample.file)):
        with pytest.raises(PiebenchError, match=r"picture\.png"):
            read()


def test_warnings_are_back_after_overlapping_threads(tmp_path):
    """Filters belong to the process: the last thread to leave must restore what the first found."""
    file = save(tmp_path, Image.fromarray(RGB))
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [read_image(file) for _ in range(50)]) for _ in range(4)]
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(switch)
    assert list(warnings.filters) == before


def test_streams_of_pictures_are_closed_after_an_error(tmp_path):
    file = tmp_path / "cut.png"
    whole = io.BytesIO()
    Image.fromarray(RGB).save(whole, "PNG")
    file.write_bytes(whole.getvalue()[:200])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        assert "cannot be read" in refusal(file)
