"""Uploaded pictures: what is done to them, and what is refused with which words."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from piebench_eval.errors import PiebenchError
from piebench_eval.studio.intake import take_in


def saved(image, file, **options):
    image.save(file, **options)
    return file


def test_a_picture_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, :20] = 255
    taken = take_in(saved(Image.fromarray(picture), tmp_path / "a.png", exif=exif))
    assert taken.picture.shape == (40, 20, 3) and taken.picture[:20].min() == 255
    assert "upright" in taken.notes[0]


def test_transparency_is_put_onto_white(tmp_path):
    layers = np.zeros((8, 8, 4), np.uint8)
    layers[:4, :, 3] = 255
    taken = take_in(saved(Image.fromarray(layers), tmp_path / "a.png"))
    assert taken.picture[:4].max() == 0 and taken.picture[4:].min() == 255
    assert "white" in taken.notes[0]


def test_a_plain_picture_comes_without_notes(tmp_path):
    assert take_in(saved(Image.new("RGB", (8, 8)), tmp_path / "a.jpg")).notes == []


def test_a_picture_of_over_40_megapixels_is_refused(tmp_path):
    file = saved(Image.new("1", (8000, 5001)), tmp_path / "a.png")
    with pytest.raises(PiebenchError, match="8000x5001, 40 megapixels; make it smaller"):
        take_in(file)


def test_what_is_no_picture_is_refused_without_the_servers_path(tmp_path):
    file = tmp_path / "secret.png"
    file.write_bytes(b"<html>")
    with pytest.raises(PiebenchError, match="no picture that can be read") as refused:
        take_in(file)
    assert "secret" not in str(refused.value)
    whole = saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), file)
    file.write_bytes(whole.read_bytes()[:4000])
    with pytest.raises(PiebenchError):
        take_in(file)


def test_an_animation_is_refused(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    file = saved(frames[0], tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(PiebenchError, match="holds 2 pictures"):
        take_in(file)


def test_the_first_picture_of_a_phones_file_is_taken(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.new("RGB", (16, 8), color) for color in ("red", "blue")]
    file = saved(
        frames[0], tmp_path / "a.jpg", format="MPO", save_all=True, append_images=frames[1:], exif=exif
    )
    taken = take_in(file)
    assert taken.picture.shape == (16, 8, 3) and taken.picture[4, 4].argmax() == 0
    assert taken.notes == [
        "The picture was turned upright, as its EXIF orientation says.",
        "The first picture of this file was taken.",
    ]


def test_every_mode_becomes_rgb(tmp_path):
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    modes = {
        "grey.png": Image.fromarray((levels >> 8).astype(np.uint8)),
        "16.png": Image.fromarray(levels),
        "cmyk.jpg": Image.new("CMYK", (8, 8), (0, 255, 255, 0)),
        "palette.png": Image.new("RGB", (8, 8), "red").convert("P"),
        "bits.png": Image.new("1", (8, 8), 1),
        "pixel.png": Image.new("RGB", (1, 1), "red"),
        "webp.webp": Image.new("RGB", (8, 8), "red"),
    }
    for name, image in modes.items():
        file = saved(image, tmp_path / name)
        taken = take_in(file).picture
        assert taken.dtype == np.uint8 and taken.shape == (*image.size[::-1], 3), name
        assert (take_in(io.BytesIO(file.read_bytes())).picture == taken).all()
        if name in ("palette.png", "cmyk.jpg", "pixel.png", "webp.webp"):
            assert taken[0, 0, 0] > 200 and taken[0, 0, 2] < 60, name


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = b"".join(
        chunk(*one) for one in ((b"IHDR", header), (b"IDAT", zlib.compress(b"0")), (b"IEND", b""))
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(PiebenchError, match="megapixels; make it smaller"):
        take_in(tmp_path / "a.png")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
