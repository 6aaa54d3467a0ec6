"""The edit loop against the plain implementation, and its bookkeeping."""

import dataclasses

import pytest
import torch

from piebench_eval.diffusion.controller import AttentionController, controlled
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.methods.p2p import P2PSettings
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.quirks import Quirks
from piebench_eval.runs.batch_editing import encode_inputs
from tests.support.plain import plain_edit

BLENDED, INSERTED, UNBLENDED, HALF_FOUND = range(4)

# The tiny model's maps are flat and 4x4: at this threshold a blend's mask is a part of the picture.
SETTINGS = P2PSettings(blend_threshold=0.8)


def run_edit(model, samples, inversion, steps, settings=SETTINGS):
    model.evaluations = EvaluationCounter()
    schedule = ddim_schedule(model.alphas_cumprod, steps)
    inputs = encode_inputs(model, samples, 128)
    entry = INVERSIONS.get(inversion)
    inverted = entry.invert(model, inputs, schedule, entry.settings())
    controller = METHODS.get("p2p").prepare(samples, model, steps, settings).controller
    return edit(model, inputs, inverted, controller, schedule)


def repeats(inversion, case):
    return pytest.param(inversion, case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("inversion", "case"),
    [
        ("ddim", UNBLENDED),
        ("direct", BLENDED),
        repeats("ddim", BLENDED),
        repeats("direct", UNBLENDED),
        *(repeats(inversion, case) for inversion in ("ddim", "direct") for case in (INSERTED, HALF_FOUND)),
    ],
)
def test_leaving_rows_out_changes_nothing(model, samples, inversion, case):
    sample = samples[case]
    # Ten steps: at twenty, a picture that is 1e-7 brighter moves these latents by 8e-4 (at ten by 7e-5).
    schedule = ddim_schedule(model.alphas_cumprod, 10)
    z0 = encode_inputs(model, [sample], 128).latents
    expected = plain_edit(model, schedule, sample, z0, inversion, SETTINGS)
    edited = run_edit(model, [sample], inversion, 10)
    torch.testing.assert_close(edited, expected, atol=3e-4, rtol=0)
    assert expected.std() > 0.1


@pytest.mark.parametrize("inversion", ["direct", pytest.param("ddim", marks=pytest.mark.slow)])
def test_replace_controller_against_plain(model, samples, inversion):
    settings = P2PSettings(controller="auto", blend_threshold=0.8)
    sample = samples[HALF_FOUND]
    schedule = ddim_schedule(model.alphas_cumprod, 5)
    z0 = encode_inputs(model, [sample], 128).latents
    expected = plain_edit(model, schedule, sample, z0, inversion, settings)
    edited = run_edit(model, [sample], inversion, 5, settings)
    torch.testing.assert_close(edited, expected, atol=5e-4, rtol=0)
    refined = run_edit(model, [sample], inversion, 5)
    assert (edited - refined).abs().max() > 0.01


@pytest.mark.slow  # as in tests/runs/test_combinations.py
@pytest.mark.parametrize("inversion", ["ddim", "direct"])
def test_a_batch_gives_what_its_samples_give_alone(model, samples, inversion):
    together = run_edit(model, samples, inversion, 10)
    rows = dict(model.evaluations.forward)
    for place, sample in enumerate(samples):
        alone = run_edit(model, [sample], inversion, 10)
        assert (together[place] - alone[0]).abs().max() <= 1e-4
        assert rows[place] == model.evaluations.forward[0]


def test_blend_matters_in_these_cases(model, samples):
    """Otherwise the comparisons above would not notice a missing blend."""
    blended = run_edit(model, [samples[BLENDED]], "direct", 5)
    unblended = run_edit(model, [samples[BLENDED]], "direct", 5, P2PSettings(local_blend=False))
    assert (blended - unblended).abs().max() > 0.1


def test_words_that_are_not_there_edit_without_blend(model, samples):
    lost = dataclasses.replace(samples[BLENDED], blended_word="zebra giraffe")
    without = dataclasses.replace(samples[BLENDED], blended_word="")
    torch.testing.assert_close(run_edit(model, [lost], "direct", 5), run_edit(model, [without], "direct", 5))


def test_lost_words_may_turn_the_edit_into_the_source_as_the_papers_code_does(model, samples):
    lost = dataclasses.replace(samples[BLENDED], blended_word="zebra giraffe")
    edited = run_edit(model, [lost], "direct", 5, P2PSettings(quirks=Quirks(lost_blend_word="reconstruct")))
    torch.testing.assert_close(edited, encode_inputs(model, [lost], 128).latents, atol=1e-6, rtol=0)


def test_the_blend_may_read_raw_maps(model, samples):
    edits = [
        run_edit(
            model,
            [samples[INSERTED]],
            "direct",
            5,
            P2PSettings(blend_threshold=0.95, quirks=Quirks(blend_maps=maps)),
        )
        for maps in ("edited", "raw")
    ]
    assert (edits[0] - edits[1]).abs().max() > 0.1


def test_processors_are_put_back_after_an_error(model, samples):
    before = dict(model.unet.attn_processors)

    class Broken(Exception):
        pass

    class BrokenController(AttentionController):
        hooked_modules = ("mid_block",)

        def module_output(self, name, output):
            assert name == "mid_block"
            assert model.unet.attn_processors != before
            raise Broken

    schedule = ddim_schedule(model.alphas_cumprod, 2)
    inputs = encode_inputs(model, samples[:1], 128)
    entry = INVERSIONS.get("direct")
    inverted = entry.invert(model, inputs, schedule, entry.settings())
    with pytest.raises(Broken):
        edit(model, inputs, inverted, BrokenController(num_samples=1), schedule)
    assert model.unet.attn_processors == before
    assert not model.unet.mid_block._forward_hooks


def test_a_module_that_the_unet_lacks_is_named(model, samples):
    class Hopeful(AttentionController):
        hooked_modules = ("up_blocks.9",)

    with (
        pytest.raises(PiebenchError, match=r"no module up_blocks\.9"),
        controlled(model.unet, Hopeful(1), (16, 16)),
    ):
        pass


def test_guidance_one_needs_no_unconditional_row(model, samples):
    schedule = ddim_schedule(model.alphas_cumprod, 10)
    inputs = encode_inputs(model, [samples[UNBLENDED]], 128, guidance=Guidance(1.0))
    entry = INVERSIONS.get("direct")
    inverted = entry.invert(model, inputs, schedule, entry.settings())
    controller = METHODS.get("p2p").prepare([samples[UNBLENDED]], model, 10, SETTINGS).controller
    model.evaluations = EvaluationCounter()
    edit(model, inputs, inverted, controller, schedule)
    assert model.evaluations.forward[0] == 6 * 2 + 4


@pytest.mark.parametrize("resolution", [64, 192])
def test_other_resolutions(model, samples, resolution):
    """Latents of 8 and 24: blend maps of 2x2 and 6x6."""
    schedule = ddim_schedule(model.alphas_cumprod, 3)
    inputs = encode_inputs(model, samples[:2], resolution)
    entry = INVERSIONS.get("ddim")
    inverted = entry.invert(model, inputs, schedule, entry.settings())
    controller = METHODS.get("p2p").prepare(samples[:2], model, 3, SETTINGS).controller
    edited = edit(model, inputs, inverted, controller, schedule)
    assert edited.shape == (2, 4, resolution // 8, resolution // 8)
    assert edited.isfinite().all()
