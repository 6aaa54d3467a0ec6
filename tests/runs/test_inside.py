"""An observer looks inside edits of the small models, and nothing of them changes."""

from functools import cache

import numpy as np
import pytest
import torch
from PIL import ImageOps

import piebench_eval as pb
from piebench_eval.diffusion import controller as controlling
from piebench_eval.diffusion import observer as observing
from piebench_eval.diffusion.observer import EditObserver
from piebench_eval.methods.p2p import P2PController
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs import inside as building
from piebench_eval.runs.batch_editing import edit_batch
from piebench_eval.runs.reconstruction import reconstruct

STEPS = 4
PARTS = {"source_words", "target_words", "masks", "reconstruction", "film"}


@pytest.fixture(scope="module")
def combination_of(model_of):
    def build(family, inversion, method, **fields):
        chosen = {"editors": [method]} if not inversion else {"inversions": [inversion], "methods": [method]}
        fields = {"model": "small", "family": family, "steps": STEPS, "resolution": 128, **chosen, **fields}
        return build_recipe(fields, {}, "test").combination(inversion, method)

    return build


@pytest.fixture(scope="module")
def observed(model_of, samples, combination_of):
    """Two samples, of which the second has no blended words; what was made without an observer too."""

    @cache
    def run(family, inversion, method):
        model, combination = model_of(family), combination_of(family, inversion, method)
        plain = edit_batch(model, samples[1:3], combination)
        observer = EditObserver()
        edited = edit_batch(model, samples[1:3], combination, observer=observer)
        return plain, edited, observer.insides

    return run


CASES = [
    ("sd1", "direct", "p2p"),
    ("sd1", "ddim", "p2p"),
    ("sd1", "edict", "p2p"),  # whose latents are a pair in double precision
    ("sd1", "", "sdedit"),
    ("sd3", "euler", "p2p"),
    pytest.param(("flux", "euler", "plain"), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("case", CASES, ids="+".join)
def test_no_bit_and_no_evaluation_depends_on_it(observed, case):
    plain, edited, insides = observed(*case)
    for without, with_it in zip(plain, edited, strict=True):
        assert torch.equal(without.latents, with_it.latents)
        assert (without.image == with_it.image).all() and without.notes == with_it.notes
        assert (without.nfe_forward, without.nfe_backward) == (with_it.nfe_forward, with_it.nfe_backward)
    assert len(insides) == 2


@pytest.mark.parametrize("case", CASES, ids="+".join)
def test_words_have_maps_and_the_film_leads_to_the_edit(observed, samples, case):
    _, edited, insides = observed(*case)
    for result, inside in zip(edited, insides, strict=True):
        assert [word.word for word in inside.target_words] == result.sample.target_prompt.split()
        total = sum(word.map for word in inside.target_words)
        assert inside.target_words[0].map.shape == (16, 16) and total.min() > 0 and total.max() < 1
        assert inside.target_steps == inside.steps == (3 if {"sdedit", "edict"} & {*case} else STEPS)
        steps = [frame.step for frame in inside.film]
        assert (steps[0], steps[-1]) == (0, inside.steps) and steps == sorted(set(steps))
        assert (inside.film[-1].picture == result.image).all()
        shown = {"reconstruction": inside.reconstruction}
        shown |= {part: getattr(inside, part) for part in PARTS - {"reconstruction"}}
        assert {part for part, value in shown.items() if not value} == set(inside.missing)


def test_masks_are_those_of_the_local_blend(model, samples, combination_of, monkeypatch):
    noted, blend = [], P2PController.on_step_end

    def on_step_end(self, step, source, target):
        blended = blend(self, step, source, target)
        kept = (blended[0] == target[0]).all(dim=0)
        noted.append(kept.numpy())
        return blended

    monkeypatch.setattr(P2PController, "on_step_end", on_step_end)
    observer = EditObserver()
    edit_batch(model, samples[1:3], combination_of("sd1", "direct", "p2p"), observer=observer)
    first, second = observer.insides
    assert second.masks == [] and "mask" in second.missing["masks"]
    assert first.masks and not second.masks
    for mask in first.masks:
        assert mask.mask.dtype == np.uint8 and ((mask.mask == 255) == noted[mask.step - 1]).all()
    assert {mask.step for mask in first.masks} == {
        step for step, kept in enumerate(noted, 1) if step > STEPS - len(first.masks)
    }


def test_maps_that_a_method_puts_in_the_place_of_the_targets_are_shown(model, samples, combination_of):
    """With the source's maps everywhere, words that both prompts have look alike in both branches."""
    combination = combination_of(
        "sd1", "direct", "p2p", methods={"p2p": {"cross_replace_steps": 1, "local_blend": False}}
    )
    observer = EditObserver()
    edit_batch(model, samples[1:2], combination, observer=observer)
    (inside,) = observer.insides
    assert inside.source_steps == STEPS
    pairs = list(zip(inside.source_words, inside.target_words, strict=False))
    for source, target in (pairs[0], pairs[2], pairs[3]):
        assert source.word == target.word
        np.testing.assert_array_equal(source.map, target.map)
    assert (pairs[1][0].map != pairs[1][1].map).any()


def test_reconstructions_are_where_the_source_branch_ends(model, samples, observed, combination_of):
    of_direct = [inside.reconstruction for inside in observed("sd1", "direct", "p2p")[2]]
    assert all(found.is_picture for found in of_direct)
    blended, unblended = observed("sd1", "ddim", "p2p")[2]
    assert unblended.reconstruction is None and "source branch" in unblended.missing["reconstruction"]
    assert not blended.reconstruction.is_picture
    nothing = observed("sd1", "", "sdedit")[2][0]
    assert nothing.missing["reconstruction"].startswith("sdedit inverts nothing")
    alone = reconstruct(model, samples[1:3], combination_of("sd1", "ddim", "p2p"))
    assert abs(alone[0].picture.astype(int) - blended.reconstruction.picture).max() <= 1
    assert alone[0].psnr == pytest.approx(blended.reconstruction.psnr, abs=0.01)
    assert alone[1].picture.shape == (128, 128, 3) and not alone[1].is_picture


def test_stylediffusion_reconstructs_by_the_sources_values(
    model, samples, combination_of, tiny_image_encoder
):
    settings = {"inner_steps": 2, "value_steps": 0.5, "image_encoder": str(tiny_image_encoder)}
    combination = combination_of(
        "sd1", "stylediffusion", "plain", steps=2, inversions={"stylediffusion": settings}
    )
    (alone,) = reconstruct(model, samples[1:2], combination)
    observer = EditObserver()
    edit_batch(model, samples[1:2], combination, observer=observer)
    assert abs(alone.picture.astype(int) - observer.insides[0].reconstruction.picture).max() <= 1


def test_psnr_is_of_the_whole_picture():
    source = np.zeros((4, 4, 3), np.uint8)
    picture = source.copy()
    picture[0, 0] = 255
    assert building.reconstruction(picture, source).psnr == pytest.approx(-10 * np.log10(1 / 16))
    assert building.reconstruction(source, source).psnr == np.inf


def test_frames_and_joint_layers_are_few(monkeypatch, model_of, samples, combination_of):
    monkeypatch.setattr(building, "FRAME_SIDE", 32)
    monkeypatch.setattr(controlling, "JOINT_LAYERS", 1)
    monkeypatch.setattr(observing, "FRAMES", 3)
    seen = []
    attended = EditObserver.attended

    def note(self, layer, *others):
        seen.append((layer.kind, layer.index))
        attended(self, layer, *others)

    monkeypatch.setattr(EditObserver, "attended", note)
    observer = EditObserver()
    edit_batch(model_of("sd3"), samples[1:2], combination_of("sd3", "euler", "plain"), observer=observer)
    (inside,) = observer.insides
    assert set(seen) == {("joint", 0)}
    assert [frame.step for frame in inside.film] == [0, 2, 4]
    assert {frame.picture.shape for frame in inside.film} == {(32, 32, 3)}


def test_masactrls_foreground_is_shown(model, samples, combination_of):
    settings = {"mask_guided": True, "source_prompt": "sample", "start_step": 1}
    combination = combination_of("sd1", "ddim", "masactrl", methods={"masactrl": settings})
    observer = EditObserver()
    edit_batch(model, samples[1:2], combination, observer=observer)
    assert [mask.step for mask in observer.insides[0].masks] == [2, 3, 4]


def test_python_hands_an_observer_on(tiny_model, samples):
    observer = pb.EditObserver()
    prompts = "a cat next to a mirror", "a dog next to a mirror"
    how = {"model": str(tiny_model), "device": "cpu", "settings": {"steps": 2}}
    pb.edit(samples[1].file, *prompts, observer=observer, **how)
    (inside,) = observer.insides
    assert inside.target_words[1].word == "dog" and inside.steps == 2


def test_an_editor_of_pictures_shows_nothing_and_says_why(samples):
    observer = pb.EditObserver()
    pb.edit(samples[1].file, "a cat", "a dog", editor=mirrored, observer=observer, device="cpu")
    (inside,) = observer.insides
    assert set(inside.missing) == PARTS and "mirrored edits by what it loads itself" in inside.missing["film"]


def mirrored(image, sample):
    """Mirror the picture."""
    return ImageOps.mirror(image)
