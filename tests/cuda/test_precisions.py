"""bf16 and fp16 against float32 on the same GPU."""

from functools import cache

import pytest
import torch

from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.loading import PRECISIONS
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from tests.cuda.conftest import SIDE

pytestmark = pytest.mark.cuda

ROUNDINGS = 45
"""How far latents may be from float32's as root mean square, in the format's spacing of numbers (``eps``)
times what the edit moves them. Rounding alone makes 9 to 23 on a CPU, in both formats, over the combinations
below; a GPU adds in another order and with as many bits, so that twice the most is allowed. A method that
does not act is off by about what it moves: 128 in bf16, 1024 in fp16."""

NULL_TEXT_SHARE = 0.75
"""Tuning brings null-text's path nearer to the inversion: in the half precisions by at least this share of
what it does in float32. On a CPU bf16 reaches 0.99 of it; gradients that vanish leave nothing of it."""

NULL_TEXT_STEPS = 5

COMBINATIONS = ["direct+p2p", "direct+masactrl", "direct+pnp", "ddim+p2p", "edit_friendly+p2p", "ddim+pnp"]


@pytest.fixture(scope="module")
def exact(load, pictures, combination):
    """float32's latents, and how far the edit has moved them."""

    def edited(name):
        latents, _ = edit_latents(load(), pictures[:2], combination(name))
        return latents, rms(latents - encode_inputs(load(), pictures[:2], SIDE).latents)

    return cache(edited)


def rms(difference):
    return float(difference.square().mean().sqrt())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_latents_are_off_by_rounding_alone(
    load, exact, pictures, combination, precision, name, record_property
):
    expected, moved = exact(name)
    found, _ = edit_latents(load(precision), pictures[:2], combination(name, precision=precision))
    roundings = rms(found - expected) / moved / torch.finfo(PRECISIONS[precision]).eps
    record_property("rms off, in roundings", f"{roundings:.0f} of {ROUNDINGS}")
    assert 0 < roundings <= ROUNDINGS


@pytest.fixture(scope="module")
def tuned(load, pictures, combination):
    """How far null-text is from the inversion in a precision, untuned and tuned; and its edit."""

    def measure(precision):
        model = load(precision)
        combined = combination("null_text+p2p", precision=precision, steps=NULL_TEXT_STEPS)
        schedule = ddim_schedule(model.alphas_cumprod, NULL_TEXT_STEPS)
        inputs = encode_inputs(model, pictures[:2], SIDE)
        ddim, null_text = INVERSIONS.get("ddim"), INVERSIONS.get("null_text")
        wanted = ddim.invert(model, inputs, schedule, ddim.settings())

        def distance(settings):
            reached = null_text.invert(model, inputs, schedule, settings)
            return rms(reached.trajectory - wanted.trajectory)

        settings = combined.inversion_settings
        untuned = distance(settings.model_copy(update={"inner_steps": 0}))
        return untuned, distance(settings), edit_latents(model, pictures[:2], combined)[0]

    return cache(measure)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_null_text_follows_the_inversion(tuned, precision, record_property):
    """Latents, in which Adam makes whole steps of noise, are not compared; what is optimised is."""
    (before, after, _), (untuned, found, edited) = tuned("fp32"), tuned(precision)
    record_property("rms off the inversion, untuned and tuned", f"{untuned:.3g}, {found:.3g}")
    record_property("in float32", f"{before:.3g}, {after:.3g}")
    assert edited.isfinite().all()
    assert untuned - found >= NULL_TEXT_SHARE * (before - after)
