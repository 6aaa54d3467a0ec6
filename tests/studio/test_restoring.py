"""An edit that is dropped in again: what comes back, from where, and what is said where it cannot."""

import contextlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import PiebenchError
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.studio import actions, session
from piebench_eval.studio.actions import Shown
from piebench_eval.studio.recording import KEY, Recording, read_recording, with_recording
from piebench_eval.studio.session import Studio
from piebench_eval.studio.sources import Source, Texts

NOTHING = Shown(None, Texts("", ""), ("direct+p2p",))
CHOSEN = ("direct+p2p", "blended_latent_diffusion")
CONTROLS = {
    "steps": 5,
    "method.p2p.local_blend": False,
    "editor.blended_latent_diffusion.blending_start": 0.3,
}


@pytest.fixture
def studio_in(drawn):
    """Makes a studio in a folder, with a benchmark of its own or without one."""

    def made(folder, samples=True, **options):
        found = load_pie_bench(shutil.copytree(drawn, folder / "benchmark")) if samples else []
        return Studio("demo", MachineOptions(devices="cpu"), folder, found, **options)

    return made


@pytest.fixture
def studio(studio_in, tmp_path):
    return studio_in(tmp_path / "one")


def edit_of(studio, shown, file):
    """The PNG of an edit, without the editing: the picture itself is of no matter."""
    setup, (_, sample) = actions.setup_of(studio, shown), actions._sample(studio, shown)
    recipe = setup.recipe("direct+p2p")
    file.write_bytes(studio._png(np.zeros((8, 8, 3), np.uint8), setup, sample, "direct+p2p", recipe))
    return file


def of_sample(sample, mask=None, texts=None):
    return Shown(Source(sample.file, sample).with_mask(mask), texts or Texts.of(sample), CHOSEN, CONTROLS)


def painted(file):
    width, height = Image.open(file).size
    mask = np.zeros((height, width), bool)
    mask[3:9, 5:20] = True
    return mask


def test_a_sample_comes_back_with_its_texts_its_choice_and_its_settings(studio, tmp_path):
    shown = of_sample(studio.samples[4])
    restored = actions.upload(studio, edit_of(studio, shown, tmp_path / "a.png"), NOTHING)
    assert restored.shown == shown and "Its sample is chosen" in restored.message


def test_a_sample_with_other_texts_and_a_painted_mask_comes_back(studio, tmp_path):
    one = studio.samples[4]
    shown = of_sample(one, painted(one.file), Texts(one.source_prompt, "a [blue] thing", "", "paint it"))
    restored = actions.upload(studio, edit_of(studio, shown, tmp_path / "a.png"), NOTHING)
    assert restored.shown == shown


def test_a_picture_of_ones_own_travels_with_its_edit(studio, studio_in, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(
        tmp_path / "own.png"
    )
    texts = Texts("a [cat]", "a dog", "cat dog", 'it\'s a "dog"\n')
    own = actions.upload(studio, tmp_path / "own.png", NOTHING).shown.source
    shown = Shown(own.with_mask(painted(own.file)), texts, CHOSEN, CONTROLS)
    file = edit_of(studio, shown, tmp_path / "a.png")
    elsewhere = studio_in(tmp_path / "another", samples=False)
    restored = actions.upload(elsewhere, file, NOTHING)
    found = restored.shown.source
    assert found.file != own.file and found.file.read_bytes() == own.file.read_bytes()
    assert found.painted == shown.source.painted and "edited is back" in restored.message
    assert restored.shown.texts == Texts(texts.source_prompt, "a dog", "cat dog", texts.instruction.strip())


def test_a_picture_too_large_to_travel_is_asked_for_elsewhere(studio, studio_in, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "LARGEST_SOURCE", 10)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "own.png")
    own = actions.upload(studio, tmp_path / "own.png", NOTHING).shown.source
    file = edit_of(studio, Shown(own, Texts("a", "b"), CHOSEN), tmp_path / "a.png")
    assert actions.upload(studio, file, NOTHING).shown.source == own  # this studio has it still
    restored = actions.upload(studio_in(tmp_path / "another"), file, NOTHING)
    assert restored.shown.source is None and "drop the picture too" in restored.message


def test_a_sample_of_another_benchmark_is_asked_for(studio, studio_in, tmp_path):
    file = edit_of(studio, of_sample(studio.samples[4]), tmp_path / "a.png")
    restored = actions.upload(studio_in(tmp_path / "another", samples=False), file, NOTHING)
    assert restored.shown.source is None and "start the studio with its --data" in restored.message
    another = studio_in(tmp_path / "third")
    Image.new("RGB", (128, 128)).save(another.samples[4].file)  # the same id, and another picture
    assert "start the studio with its --data" in actions.upload(another, file, NOTHING).message


def test_what_this_studio_does_not_know_is_named(studio, studio_in, tmp_path):
    shown = Shown(of_sample(studio.samples[0]).source, Texts("a", "b"), ("direct+p2p", "inpainting"))
    file = edit_of(studio, shown, tmp_path / "a.png")
    other = studio_in(tmp_path / "other", editor_models={"inpainting": "my/model"})
    other.combinations.remove("direct+p2p")
    message = actions.upload(other, file, NOTHING).message
    assert "does not know it: direct+p2p" in message
    assert "inpainting was made with demo, and has my/model here" in message


def test_an_enclosed_file_that_is_no_picture_is_passed_over(studio, tmp_path, monkeypatch):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "own.png")
    own = actions.upload(studio, tmp_path / "own.png", NOTHING).shown.source
    file = edit_of(studio, Shown(own, Texts("a", "b"), CHOSEN), tmp_path / "a.png")
    own.file.unlink()
    monkeypatch.setattr("piebench_eval.studio.restoring.read_source", lambda file: b"<html>")
    assert "drop the picture too" in actions.upload(studio, file, NOTHING).message


@pytest.mark.parametrize("wrong", [{"steps": "many"}, {"steps": {"a": 1}}, {"method.p2p.controller": 3}])
def test_settings_of_a_wrong_type_are_a_message(studio, tmp_path, wrong):
    recording = Recording(
        model="demo",
        combination="direct+p2p",
        combinations=["direct+p2p"],
        settings=wrong,
        source_prompt="a",
        target_prompt="b",
    )
    (tmp_path / "a.png").write_bytes(with_recording(np.zeros((8, 8, 3), np.uint8), recording))
    with pytest.raises(PiebenchError, match=next(iter(wrong)).rpartition(".")[2]):
        actions.upload(studio, tmp_path / "a.png", NOTHING)


def test_damaged_edits_are_taken_in_or_a_message(studio, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(
        tmp_path / "own.png"
    )
    own = actions.upload(studio, tmp_path / "own.png", NOTHING).shown.source
    shown = Shown(own.with_mask(painted(own.file)), Texts("a", "b"), CHOSEN, CONTROLS)
    whole = edit_of(studio, shown, tmp_path / "a.png").read_bytes()
    random = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(whole[: random.integers(20, len(whole) + 1)] if random.random() < 0.3 else whole)
        for place in random.integers(0, len(damaged), random.integers(1, 6)):
            damaged[place] = random.integers(0, 256)
        (tmp_path / "b.png").write_bytes(damaged)
        with contextlib.suppress(PiebenchError):
            actions.upload(studio, tmp_path / "b.png", NOTHING)


@pytest.mark.slow
def test_recordings_of_strangers_are_restored_or_a_message(studio, tmp_path):
    shown = of_sample(studio.samples[0])
    known = read_recording(edit_of(studio, shown, tmp_path / "a.png")).model_dump()
    odd = [
        None,
        True,
        -1,
        1e308,
        10**30,
        "",
        "x",
        "\x00",
        "[1",
        [],
        [[1]],
        {},
        {"a": None},
        "../../x",
        "demo",
    ]
    fields = [
        *known,
        "settings.steps",
        "settings.seed",
        "settings.timesteps",
        "settings.method.p2p.local_blend",
    ]
    for field in [*fields, "settings.resolution", "settings.editor.blended_latent_diffusion.blending_start"]:
        for value in odd:
            section, _, name = field.partition(".")
            changed = {**known, section: {**known["settings"], name: value} if name else value}
            about = PngImagePlugin.PngInfo()
            about.add_itxt(KEY, json.dumps(changed))
            Image.new("RGB", (4, 4)).save(tmp_path / "b.png", pnginfo=about)
            with contextlib.suppress(PiebenchError):
                restored = actions.upload(studio, tmp_path / "b.png", NOTHING).shown
                actions.commands(studio, restored)


def test_unequal_prompts_and_long_ones_are_messages(studio):
    one = studio.samples[0]
    shown = of_sample(one, texts=Texts("a red cat", "a very blue cat"))
    replaced = Shown(shown.source, shown.texts, ("direct+p2p",), {"method.p2p.controller": "replace"})
    with pytest.raises(PiebenchError, match="3 and 4 words"):
        actions.edits(studio, None, replaced)
    with pytest.raises(PiebenchError, match="instruction has 2001 characters"):
        actions.edits(studio, None, of_sample(one, texts=Texts("a", "b", "", "x" * 2001)))
    with pytest.raises(PiebenchError, match="target prompt holds half a character"):
        actions.edits(studio, None, of_sample(one, texts=Texts("a", "\ud800")))
