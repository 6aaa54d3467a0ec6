"""What made an edit, in its PNG: restored from one's own, refused from a stranger's."""

import json
import time
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from piebench_eval.errors import PiebenchError
from piebench_eval.studio.recording import (
    KEY,
    Recording,
    read_mask,
    read_recording,
    read_source,
    with_recording,
)
from piebench_eval.studio.setup import Setup

RECORDING = Recording(
    model="demo",
    combination="direct+p2p",
    combinations=["direct+p2p", "ddim+p2p"],
    settings={"steps": 10, "method.p2p.local_blend": False, "inversion.flowedit.timesteps": [3, 2]},
    source_prompt="a [cat] — schön",
    target_prompt="a dog",
)


def png(file, text):
    about = PngImagePlugin.PngInfo()
    about.add_itxt(KEY, text)
    Image.new("RGB", (4, 4)).save(file, pnginfo=about)
    return file


def test_what_is_written_is_read_and_the_pixels_are_kept(tmp_path):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    file = tmp_path / "a.png"
    file.write_bytes(with_recording(picture, RECORDING))
    assert read_recording(file) == RECORDING
    assert (np.array(Image.open(file)) == picture).all()


def test_only_what_this_studio_knows_is_restored():
    setup = RECORDING.setup(Setup("demo", ("direct+p2p",)), ["steps", "method.p2p.local_blend"])
    assert setup.combinations == ("direct+p2p",)
    assert setup.settings == {"steps": 10, "method.p2p.local_blend": False}
    (line,) = RECORDING.left_out(setup)
    assert "ddim+p2p, inversion.flowedit.timesteps" in line


def test_another_model_is_never_loaded_for_a_picture():
    with pytest.raises(PiebenchError, match="model demo, and the studio has mine"):
        RECORDING.setup(Setup("mine", ("direct+p2p",)), [])
    with pytest.raises(PiebenchError, match="does not go with"):
        RECORDING.setup(Setup("demo", ("sdedit",)), [])


def test_a_picture_without_recording_has_none(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert [read_recording(tmp_path / name) for name in ("a.png", "a.jpg", "b.png")] == [None] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "no JSON"),
        ("[" * 50_000, "no JSON"),
        ("x" * 100_001, "longer than"),
        (json.dumps({**RECORDING.model_dump(), "settings": {"a": eval("[" * 9 + "]" * 9)}}), "too deep"),
        (json.dumps({**RECORDING.model_dump(), "settings": {"a": 1}})[:-9] + "NaN}}", "settings|no JSON"),
        (json.dumps({**RECORDING.model_dump(), "source_prompt": "\ud800"}), "source_prompt"),
        (json.dumps({**RECORDING.model_dump(), "picture": "../../etc/passwd"}), "picture"),
        (json.dumps({**RECORDING.model_dump(), "combinations": "all"}), "combinations"),
        (json.dumps({**RECORDING.model_dump(), "plugins": ["evil.py"]}), "plugins: no such field"),
        (json.dumps({**RECORDING.model_dump(), "source_prompt": "x" * 4001}), "source_prompt"),
        ("[]", "cannot be restored"),
    ],
    ids=["text", "deep", "long", "nested", "cut", "surrogate", "path", "type", "plugins", "prompt", "list"],
)
def test_a_damaged_or_hostile_recording_is_refused(tmp_path, text, message):
    with pytest.raises(PiebenchError, match=message):
        read_recording(png(tmp_path / "a.png", text))


def test_source_and_mask_travel_in_the_picture(tmp_path):
    mask = np.zeros((6, 9), bool)
    mask[2, 3:5] = True
    picture, file = np.zeros((4, 4, 3), np.uint8), tmp_path / "a.png"
    file.write_bytes(with_recording(picture, RECORDING, b"any bytes", mask))
    assert read_source(file) == b"any bytes" and (read_mask(file, (6, 9)) == mask).all()
    assert read_mask(file, (9, 6)) is None and read_recording(file) == RECORDING
    file.write_bytes(with_recording(picture, RECORDING))
    assert read_source(file) is None and read_mask(file, (6, 9)) is None


def compressed_text(size):
    """A chunk of compressed text that unpacks to a size."""
    return KEY.encode() + b"\0\0" + zlib.compress(b"x" * size)


def with_packed_text(file, packed):
    about = PngImagePlugin.PngInfo()
    about.add(b"zTXt", packed)
    Image.new("RGB", (4, 4)).save(file, pnginfo=about)
    return file


def test_a_text_that_cannot_be_unpacked_is_no_recording(tmp_path):
    bomb = with_packed_text(tmp_path / "a.png", compressed_text(30_000_000))
    began = time.process_time()
    assert read_recording(bomb) is None
    assert time.process_time() - began < 1
    cut = png(tmp_path / "b.png", RECORDING.model_dump_json())
    cut.write_bytes(cut.read_bytes()[:200])
    assert read_recording(cut) is None
    with pytest.raises(PiebenchError, match="no JSON"):
        read_recording(with_packed_text(tmp_path / "c.png", compressed_text(90_000)[:50]))
