"""``piebench_eval.edit``: one picture."""

import numpy as np
import pytest
from PIL import Image

import piebench_eval as pb
from piebench_eval.data.images import load_image
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.builtin import DEMO_RECIPE
from tests.support.runs import run

PROMPTS = ("a round cake with orange frosting on a wooden plate", "a square cake with blue frosting")
STEPS = {"steps": 2}


@pytest.fixture
def edit(tiny_model):
    def edited(image, *prompts, settings=STEPS, **options):
        options = {"model": str(tiny_model), "device": "cpu", **options}
        return np.asarray(pb.edit(image, *(prompts or PROMPTS), settings=settings, **options))

    return edited


def test_a_file_a_picture_and_an_array_are_the_same(edit, samples):
    file = samples[0].file
    of_file = edit(file)
    assert of_file.dtype == np.uint8 and of_file.shape == (128, 128, 3)
    assert np.array_equal(of_file, edit(Image.open(file)))
    assert np.array_equal(of_file, edit(load_image(file)))
    assert np.array_equal(of_file, edit(str(file)))


def test_it_is_the_edit_of_a_run(edit, samples, photo_bench, tiny_model, tmp_path):
    from piebench_eval.recipes.recipe import build_recipe

    fields = {"model": str(tiny_model), "inversions": ["ddim"], "methods": ["pnp"], **STEPS}
    recipe = build_recipe(fields, {}, "test")
    run(recipe, photo_bench, tmp_path / "run")
    for sample in samples[:2]:
        alone = edit(sample.file, sample.source_prompt, sample.target_prompt, inversion="ddim", method="pnp")
        saved = tmp_path / "run/images/ddim+pnp" / sample.image_path
        assert np.array_equal(alone, np.asarray(Image.open(saved.with_suffix(".png"))))


def test_settings_and_words_matter(edit, samples):
    file = samples[0].file
    plain = edit(file)
    assert not np.array_equal(plain, edit(file, settings={**STEPS, "guidance": 2}))
    assert not np.array_equal(plain, edit(file, settings={**STEPS, "method.cross_replace_steps": 0.0}))
    assert not np.array_equal(plain, edit(file, blended_word="cake cake"))


def test_a_second_edit_of_a_picture_inverts_nothing(edit, samples):
    edit(samples[0].file)
    tallies = []
    original = EvaluationCounter.count_reused

    def count(self, sample, forward, backward):
        tallies.append(forward)
        original(self, sample, forward, backward)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluationCounter, "count_reused", count)
        edit(samples[0].file, PROMPTS[0], "a cake of stone")
        assert 2 in tallies, "the trajectory of two steps is there already"
        tallies.clear()
        edit(samples[1].file)
        assert 2 not in tallies, "another picture is inverted anew"


def test_the_embedded_model_is_edited_as_in_the_demo(samples):
    picture = pb.edit(samples[0].file, *PROMPTS, model="demo", settings=STEPS, device="cpu")
    again = pb.edit(samples[0].file, *PROMPTS, model="demo", settings=STEPS, device="cpu", config=DEMO_RECIPE)
    assert np.array_equal(np.asarray(picture), np.asarray(again))


def test_what_does_not_fit_is_said(edit, samples, tmp_path):
    file = samples[0].file
    for wrong, needle in (
        (lambda: edit(tmp_path / "lost.png"), "lost.png"),
        (lambda: edit(np.zeros((8, 8), np.uint8)), r"\[8, 8\]"),
        (lambda: edit(np.zeros((8, 8, 3))), "float64"),
        (lambda: edit(file, inversion="dimm"), "dimm"),
        (lambda: edit(file, settings={"method.cross": 1}), "method.cross"),
        (
            lambda: edit(file, "one", "two words", settings={**STEPS, "method.controller": "replace"}),
            "picture",
        ),
        (lambda: edit(file, model="nowhere/at-all/there"), "nowhere"),
    ):
        with pytest.raises(pb.PiebenchError, match=needle):
            wrong()


@pytest.mark.parametrize("family", ["sdxl", "instaflow", "lcm"])
def test_models_of_other_families_are_edited_with_alike(edit, samples, request, family):
    folder = str(request.getfixturevalue(f"tiny_{family}"))
    settings = {**STEPS, "output_resolution": 64}
    edited, other = (
        edit(samples[0].file, *PROMPTS[:1], target, model=folder, settings=settings)
        for target in (PROMPTS[1], "a dog")
    )
    assert edited.shape == (64, 64, 3) and not np.array_equal(edited, other)


def test_the_numbers_of_tokens_are_settings(edit, samples, tiny_sd3):
    options = {"model": str(tiny_sd3), "inversion": "euler", "method": "plain"}
    settings = {**STEPS, "guidance": 5}
    edited = edit(samples[0].file, *PROMPTS, settings=settings, **options)
    for length in ("clip_length", "t5_length"):
        other = edit(samples[0].file, *PROMPTS, settings={**settings, length: 10}, **options)
        assert not np.array_equal(edited, other)
