"""StyleDiffusion: the numbers of its published code, by its recipe.

Its training is chaotic: Adam turns the sign of a tiny gradient, which is noise, into a whole step. In float32
the published code itself ends elsewhere if the last digits of a picture's latent differ. So
``stylediffusion.npz`` was recorded in float64, with which updates agree to many digits.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from piebench_eval.diffusion import mapping_network
from piebench_eval.diffusion.inversion_result import InversionResult
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.value_texts import ValueTexts
from piebench_eval.inversions import INVERSIONS, stylediffusion
from piebench_eval.methods import METHODS
from piebench_eval.models import attention
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.models.sd1 import padded_tokens
from piebench_eval.runs.batch_editing import encode_inputs
from piebench_eval.runs.edit_inputs import plan_guidance, plan_schedule
from tests.golden.recordings import load_case, near
from tests.support.recipes import shipped
from tests.support.tiny_clip import save_tiny_image_encoder

pytestmark = [pytest.mark.golden, pytest.mark.slow]

STEPS, UPDATES = 3, 3
TARGETS = ("a dog sitting next to a mirror in a sunny room", "a dog sitting next to a mirror")
"""The second has as many letters as the source prompt, so that words are replaced."""


@pytest.fixture(scope="module")
def recording():
    return np.load(Path(__file__).parent / "stylediffusion.npz")


@pytest.fixture(scope="module")
def combination(golden, tmp_path_factory):
    encoder = save_tiny_image_encoder(tmp_path_factory.mktemp("models") / "clip")
    chosen = {"inversion.image_encoder": str(encoder), "inversion.inner_steps": UPDATES}
    recipe = shipped("stylediffusion", {"model": str(golden / "tiny-sd"), "steps": STEPS, **chosen})
    return recipe.combination("stylediffusion", "p2p")


@pytest.fixture(scope="module")
def samples(golden):
    return [replace(load_case(golden, "case2_cat"), marked_target_prompt=target) for target in TARGETS]


@pytest.fixture(scope="module")
def schedule(reference, combination):
    return plan_schedule(reference, combination.common)


@pytest.fixture(scope="module")
def inputs(reference, combination, samples):
    """Of both edits, one after the other."""
    guidance = plan_guidance(reference, combination.common)
    return [encode_inputs(reference, [sample], 512, guidance=guidance) for sample in samples]


def edited(model, combination, sample, inputs, inverted, schedule):
    method = METHODS.get("p2p")
    controller = method.prepare([sample], model, STEPS, combination.method_settings).controller
    return edit(model, inputs, inverted, controller, schedule)


def in_float64(model, inputs, samples):
    """What edits begin with, encoded by a model in float64."""
    pixels = torch.from_numpy(inputs[0].pictures[0]).permute(2, 0, 1)[None].double() / 127.5 - 1
    latents = model.vae.encode(pixels).latent_dist.mean * 0.18215

    def text(prompt):
        return Conditioning(model.text_encoder(padded_tokens(model.tokenizer, prompt)).last_hidden_state)

    source, uncond = text(samples[0].source_prompt), text("")
    same = {"latents": latents, "inversion_embeds": source, "source_embeds": source}
    same |= {"uncond_embeds": uncond, "negative_embeds": uncond}
    return [
        replace(of_one, target_embeds=text(sample.target_prompt), **same)
        for of_one, sample in zip(inputs, samples, strict=True)
    ]


@pytest.fixture(scope="module")
def computed(golden, combination, samples, inputs, schedule, recording):
    """The inversion in float64, its losses and rows, and both edits."""
    model, losses = load_model(str(golden / "tiny-sd")), []
    for network in (model.unet, model.vae, model.text_encoder):
        network.double()
    model.evaluations = EvaluationCounter()

    class Network(mapping_network.MappingNetwork):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            own = self.parameters.items()
            self.parameters = {name: each.detach().double().requires_grad_() for name, each in own}

    def maps(query, key):
        return (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(dim=-1)

    def noted(*arguments, compute=stylediffusion.loss_and_gradient):
        found = compute(*arguments)
        losses.append(found[0].item())
        return found

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(attention, "attention_maps", maps)
        patch.setattr(mapping_network, "MappingNetwork", Network)
        patch.setattr(stylediffusion, "loss_and_gradient", noted)
        patch.setattr(model, "image_tokens", lambda *_: torch.tensor(recording["tokens"])[None].double())
        exact = in_float64(model, inputs, samples)
        invert = INVERSIONS.get("stylediffusion").invert
        inverted = invert(model, exact[0], schedule, combination.inversion_settings)
        rows = model.evaluations.forward[0], model.evaluations.backward[0]
        finals = [
            edited(model, combination, *case, inverted, schedule) for case in zip(samples, exact, strict=True)
        ]
    return inverted, losses, rows, finals


def test_tokens_of_the_picture(reference, combination, inputs, recording):
    encoder = combination.inversion_settings.image_encoder
    near(reference.image_tokens(inputs[0].pictures, encoder)[0], recording["tokens_float32"], 2e-5)


def test_every_update_has_the_recorded_loss(computed, recording):
    _, losses, _, _ = computed
    np.testing.assert_allclose(losses, recording["losses"], rtol=1e-6)


def test_what_is_learned_and_where_it_leads(computed, recording):
    inverted, *_ = computed
    learned = torch.stack([inverted.values.scales, inverted.values.shifts], dim=2)
    near(learned[:, 0].flip(0), recording["maps"], 1e-4)
    near(inverted.trajectory[:-1].flip(0)[..., ::8, ::8], recording["reached_strided"], 1e-5)


@pytest.mark.parametrize("place", [0, 1], ids=["refined", "replaced"])
def test_edited_latents(computed, recording, place):
    *_, finals = computed
    near(finals[place][0, :, ::2, ::2], recording["finals_strided"][place], 1e-5)


def test_it_takes_fewer_evaluations_than_the_published_code(computed, recording):
    _, losses, rows, _ = computed
    # Its unconditional row of a step is evaluated once, not once more where the step is taken.
    assert rows == (recording["rows_of_inversion"][0] - STEPS, recording["rows_of_inversion"][1])
    assert rows == (3 * STEPS + len(losses), len(losses))


@pytest.mark.parametrize("place", [0, 1], ids=["refined", "replaced"])
def test_edited_latents_in_float32_by_what_was_learned(
    reference, combination, samples, inputs, schedule, recording, place
):
    scales, shifts = torch.tensor(recording["maps"]).flip(0)[:, None].unbind(2)
    start = torch.tensor(recording["xT"])[None, None].expand(STEPS + 1, -1, -1, -1, -1)
    inverted = InversionResult(start, "sampled", values=ValueTexts(scales, shifts, target_steps=2))
    found = edited(reference, combination, samples[place], inputs[place], inverted, schedule)
    apart = (found[0, :, ::2, ::2] - torch.tensor(recording["finals_strided"][place])).abs()
    assert apart.max() <= 1e-3 and apart.square().mean().sqrt() <= 1e-4


def test_first_updates_in_float32(reference, combination, inputs, schedule, recording):
    """Those of the first step; later ones go their own way."""
    losses = []

    def noted(*arguments, compute=stylediffusion.loss_and_gradient):
        found = compute(*arguments)
        losses.append(found[0].item())
        return found

    settings = combination.inversion_settings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stylediffusion, "loss_and_gradient", noted)
        INVERSIONS.get("stylediffusion").invert(reference, inputs[0], schedule, settings)
    np.testing.assert_allclose(losses[:UPDATES], recording["losses"][:UPDATES], rtol=1e-3)
