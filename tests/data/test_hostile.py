"""Files that somebody damaged or made up: each is refused by name, or read right; nothing else happens.

Every mutation follows from a fixed seed, so a failure can be repeated.
"""

import io
import json
import random
import shutil
import stat
import struct
import time
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.archive import import_archive
from piebench_eval.data.images import read_image
from piebench_eval.data.masks import load_mask
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import PiebenchError
from tests.data.test_image_files import png
from tests.support.photos import ANNOTATIONS

SECONDS = 3  # for one file, on a machine that does other things too
ID = "111000000002"
RGB = np.random.default_rng(1).integers(0, 256, (24, 20, 3), dtype=np.uint8)


def outcome(read, name):
    """What reading gives, or None if it is refused as it should be; anything else fails."""
    started = time.monotonic()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = read()
        except PiebenchError as error:
            assert name in str(error)
            str(error).encode()  # half a surrogate pair could not be printed
            found = None
    assert time.monotonic() - started < SECONDS
    assert not warned, warned[0].message
    return found


@pytest.fixture(autouse=True)
def nothing_on_stderr(capfd):
    yield
    assert capfd.readouterr().err == ""


def flip(content, rng):
    """Change one to twenty bytes."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 3, 20])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


# --- annotations -----------------------------------------------------------------------------------------

VALUES = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1",
    "1.5",
    "9" * 5000,
    "-" + "9" * 5000,
    "9" * 4000,
    "true",
    "null",
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"../../etc/passwd"',
    '"' + "x" * 100_000 + '"',
    "{}",
    "[]",
    "[NaN]",
    "[true, false]",
    "[1, 2.0]",
    "[-1, 5]",
    "[1, 2, 3]",
    "[0, " + "9" * 5000 + "]",
    "[" * 900 + "]" * 900,
    '{"a": ' * 900 + "1" + "}" * 900,
    '{"x": [{"y": NaN}]}',
]
IDS = ["", " ", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "\ud800", "x" * 300, "é" * 150, "/"]


@pytest.fixture(scope="module")
def bench(photo_bench, tmp_path_factory):
    return shutil.copytree(photo_bench, tmp_path_factory.mktemp("hostile") / "bench")


def load(bench, content):
    (bench / "mapping_file.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    return outcome(lambda: load_pie_bench(bench), str(bench))


@pytest.mark.parametrize("field", [*ANNOTATIONS[ID], "unknown"])
def test_values_of_every_kind_in_every_field(bench, field):
    whole = json.dumps({ID: ANNOTATIONS[ID] | {field: "HERE"}})
    for value in VALUES:
        samples = load(bench, whole.replace('"HERE"', value))
        if field == "unknown":
            no_number = any(sign in value for sign in ("NaN", "Infinity", "9" * 5000))
            assert (samples is None) == no_number, value[:50]
        elif samples is None:
            continue
        elif field == "mask":
            assert value == "[]"
        elif field == "blended_word" and value == "[]":
            assert samples[0].blend_words is None
        elif field == "editing_instruction" and value == "null":
            assert samples[0].instruction == ""
        else:
            assert value.startswith('"') and field not in ("image_path", "editing_type_id"), (
                field,
                value[:50],
            )


def test_values_of_every_kind_for_annotations_and_files(bench):
    for value in VALUES:
        assert load(bench, f'{{"{ID}": {value}}}') is None
        assert load(bench, value) is None
    for depth in (10_000, 1_000_000):
        assert load(bench, "[" * depth) is None
        assert load(bench, f'{{"{ID}": ' * depth) is None


def test_ids(bench):
    for sample_id in IDS:
        assert load(bench, json.dumps({sample_id: ANNOTATIONS[ID]})) is None


def test_keys_that_occur_twice(bench):
    one = json.dumps(ANNOTATIONS[ID])
    assert load(bench, f'{{"{ID}": {one}, "{ID}": {one}}}') is None
    for field, value in ANNOTATIONS[ID].items():
        again = f'{one[:-1]}, "{field}": {json.dumps(value)}}}'
        assert load(bench, f'{{"{ID}": {again}}}') is None


def test_encodings(bench):
    text = json.dumps({ID: ANNOTATIONS[ID] | {"editing_prompt": "a [dög]"}}, ensure_ascii=False)
    for encoding, good in {"utf-8": True, "utf-8-sig": True, "latin-1": False, "utf-16": False}.items():
        samples = load(bench, text.encode(encoding))
        assert (samples is not None) == good, encoding
        assert not good or samples[0].marked_target_prompt == "a [dög]"


def test_damaged_mapping_files(bench):
    rng = random.Random(0)
    whole = json.dumps(ANNOTATIONS).encode()
    for _ in range(60):
        assert load(bench, whole[: rng.randrange(len(whole))]) is None
    for _ in range(60):
        for sample in load(bench, flip(whole, rng)) or ():
            assert load_mask(sample).shape == (128, 128)


def test_masks_of_any_numbers(bench):
    rng = random.Random(1)
    numbers = [0, 1, 127, 128, 16_383, 16_384, 10**9, 2**63, 10**30, 10**4000]
    for _ in range(40):
        mask = [rng.choice(numbers) for _ in range(rng.randrange(8))]
        samples = load(bench, json.dumps({ID: ANNOTATIONS[ID] | {"mask": mask}}))
        assert (samples is None) == (len(mask) % 2 == 1)
        if samples:
            expected = np.zeros(128 * 128, dtype=bool)
            for start, length in zip(mask[::2], mask[1::2], strict=True):
                expected[min(start, 20_000) : min(start + length, 20_000)] = True
            np.testing.assert_array_equal(
                load_mask(samples[0])[1:-1, 1:-1], expected.reshape(128, 128)[1:-1, 1:-1]
            )


# --- pictures --------------------------------------------------------------------------------------------


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(tmp_path, content):
    file = tmp_path / "picture"
    file.write_bytes(content)
    return outcome(lambda: read_image(file), str(file))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_damaged_pictures(tmp_path, kind):
    rng = random.Random(kind)
    whole = encoded(Image.fromarray(RGB), kind)
    expected = np.asarray(Image.open(io.BytesIO(whole)).convert("RGB"))
    for _ in range(30):
        found = read(tmp_path, whole[: rng.randrange(len(whole))])
        assert found is None or (found == expected).all()  # only an end mark was missing
    for _ in range(30):
        found = read(tmp_path, flip(whole, rng))
        assert found is None or (found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3)


def test_pictures_of_other_modes(tmp_path):
    rng = np.random.default_rng(2)
    for mode, kind in [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("L", "PNG"), ("P", "PNG"), ("1", "BMP")]:
        whole = encoded(Image.fromarray(RGB).convert(mode), kind)
        expected = np.asarray(Image.open(io.BytesIO(whole)).convert("RGB"))
        np.testing.assert_array_equal(read(tmp_path, whole), expected)
    for _ in range(5):
        grey = rng.integers(0, 65536, (9, 7), dtype=np.uint16)
        for kind in ("PNG", "TIFF"):
            found = read(tmp_path, encoded(Image.fromarray(grey), kind))
            np.testing.assert_array_equal(found[..., 1], np.round(grey / 257))
    for _ in range(5):
        alpha = np.full((24, 20, 1), 255, dtype=np.uint8)
        opaque = np.concatenate([RGB, alpha], axis=2)
        assert (read(tmp_path, encoded(Image.fromarray(opaque), "PNG")) == RGB).all()
        opaque[rng.integers(24), rng.integers(20), 3] = rng.integers(255)
        for kind in ("PNG", "TIFF"):
            assert read(tmp_path, encoded(Image.fromarray(opaque), kind)) is None
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    for kind in ("PNG", "WEBP", "TIFF", "GIF"):
        assert read(tmp_path, encoded(frames[0], kind, save_all=True, append_images=frames[1:])) is None


def bombs():
    """Small files that claim to be large pictures, or to hold large texts."""
    for side in (10_000, 14_000, 100_000, 2**31 - 1):
        yield png(side, side, 8, 2, bytes(1000))
    bmp = bytearray(encoded(Image.fromarray(RGB), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    yield bytes(bmp)
    jpeg = bytearray(encoded(Image.fromarray(RGB), "JPEG"))
    start = jpeg.find(b"\xff\xc0")
    jpeg[start + 5 : start + 9] = struct.pack(">HH", 65_500, 65_500)
    yield bytes(jpeg)
    tiff = bytearray(encoded(Image.fromarray(RGB), "TIFF"))
    for tag in (256, 257):
        start = tiff.find(struct.pack("<HH", tag, 4))
        start = tiff.find(struct.pack("<HH", tag, 3)) if start < 0 else start
        tiff[start + 2 : start + 12] = struct.pack("<HII", 4, 1, 90_000)
    yield bytes(tiff)
    text = b"a\0\0" + zlib.compress(bytes(200 * 2**20))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    whole = encoded(Image.fromarray(RGB), "PNG")
    yield whole[:33] + chunk + whole[33:]


def test_bombs(tmp_path):
    for content in bombs():
        assert read(tmp_path, content) is None


def test_noise(tmp_path):
    rng = random.Random(3)
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"RIFF\0\0\0\0WEBP"):
        for size in (0, 10, 1000):
            assert read(tmp_path, start + rng.randbytes(size)) is None


# --- archives --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed():
    """A small archive with one sample."""
    rgb = encoded(Image.fromarray(RGB), "PNG")
    annotation = ANNOTATIONS[ID] | {"mask": [0, 5]}
    return {
        "PIE-Bench_v1/mapping_file.json": json.dumps({ID: annotation}).encode(),
        f"PIE-Bench_v1/annotation_images/{annotation['image_path']}": rgb,
    }


def archive(entries, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as written:
        for info, content in entries.items():
            written.writestr(info, content)
    return buffer.getvalue()


def unpack(tmp_path, content):
    """Import an archive; whatever comes of it, nothing lies outside the new folder."""
    file, out = tmp_path / "PIE.zip", tmp_path / "out"
    file.write_bytes(content)
    found = outcome(lambda: import_archive(file, out, lambda *_: None), str(file))
    assert {path.name for path in tmp_path.iterdir()} == {"PIE.zip"} | ({"out"} if found else set())
    if found:
        (sample,) = load_pie_bench(out)
        assert read_image(sample.file).shape == RGB.shape
        shutil.rmtree(out)
    return found


def test_entries_that_lead_elsewhere(tmp_path, packed):
    assert unpack(tmp_path, archive(packed))
    for name in ("../x", "a/../../x", "/x", "//x", "C:/x", "c:x", "..\\x", "\\x", "PIE-Bench_v1/..", "../"):
        assert unpack(tmp_path, archive({**packed, name: b"x"})) is None, name
        assert unpack(tmp_path, archive({name: b"x", **packed})) is None, name
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK):
        info = zipfile.ZipInfo("PIE-Bench_v1/link")
        info.create_system, info.external_attr = 3, kind << 16
        assert unpack(tmp_path, archive({info: b"/etc/passwd", **packed})) is None
    for name in ("PIE-Bench_v1/mapping_file.json/x", "PIE-Bench_v1/annotation_images"):
        assert unpack_or_disk_error(tmp_path, archive({**packed, name: b"x"}))


def unpack_or_disk_error(tmp_path, content):
    """A file where a folder must be: the disk refuses, and the message names the new folder."""
    (tmp_path / "PIE.zip").write_bytes(content)
    out = tmp_path / "out"
    read = outcome(lambda: import_archive(tmp_path / "PIE.zip", out, lambda *_: None), str(out))
    return read is None and not out.exists()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_damaged_archives(tmp_path, packed, method):
    rng = random.Random(method)
    whole = archive(packed, method)
    for _ in range(15):
        assert unpack(tmp_path, whole[: rng.randrange(len(whole))]) is None
    for _ in range(25):
        unpack(tmp_path, flip(whole, rng))


def test_sizes_that_lie(tmp_path, packed):
    whole = archive(packed)
    for size in (0, 1, 100, 2**31, 2**32 - 2):
        for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            lying = bytearray(whole)
            start = lying.rfind(signature) + place
            lying[start : start + 4] = struct.pack("<I", size)
            found = unpack(tmp_path, bytes(lying))
            assert found is None or signature == b"PK\x03\x04"  # only the directory's size counts
