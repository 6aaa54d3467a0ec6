"""What made an edit, in its PNG: restored from one's own, refused from a stranger's."""

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from piebench_eval.errors import PiebenchError
from piebench_eval.studio.recording import KEY, Recording, read_recording, with_recording

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
    setup = RECORDING.setup("demo", ["direct+p2p"], ["steps", "method.p2p.local_blend"])
    assert setup.combinations == ("direct+p2p",)
    assert setup.settings == {"steps": 10, "method.p2p.local_blend": False}


def test_another_model_is_never_loaded_for_a_picture():
    with pytest.raises(PiebenchError, match="model demo, and the studio has mine"):
        RECORDING.setup("mine", ["direct+p2p"], [])
    with pytest.raises(PiebenchError, match="does not go with"):
        RECORDING.setup("demo", ["sdedit"], [])


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
        (json.dumps({**RECORDING.model_dump(), "settings": {"steps": {"a": 1}}}), "settings"),
        (json.dumps({**RECORDING.model_dump(), "plugins": ["evil.py"]}), "plugins: no such field"),
        (json.dumps({**RECORDING.model_dump(), "source_prompt": "x" * 2001}), "source_prompt"),
        ("[]", "cannot be restored"),
    ],
    ids=["text", "deep", "long", "nested", "plugins", "prompt", "list"],
)
def test_a_damaged_or_hostile_recording_is_refused(tmp_path, text, message):
    with pytest.raises(PiebenchError, match=message):
        read_recording(png(tmp_path / "a.png", text))
