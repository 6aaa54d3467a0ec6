"""A UNet's pass in which rows end: the other rows stay what they are, wherever that is."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.sd1 import StableDiffusion
from piebench_eval.models.unet_pass import KeptBeginning, RowEnd, RowFork, fork_place, row_places

ROWS = 3


def inputs(model, shape=(16, 16)):
    torch.manual_seed(0)
    texts = model.embed_prompts(["a cat", "a dog", "a photo of a cake"], (128, 128))
    return torch.randn(ROWS, 4, *shape), 500, texts, [0] * ROWS


def ending(place, going_on, reached=lambda: None):
    return RowEnd(place, going_on, reached)


@torch.no_grad()
def assert_others_stay(model, place, going_on, shape=(16, 16)):
    whole, reached = model.predict(*inputs(model, shape)), []
    with model.rows_changing(ending(place, going_on, lambda: reached.append(place))):
        others = model.predict(*inputs(model, shape))
    torch.testing.assert_close(others, whole[going_on], atol=1e-5, rtol=0)
    assert reached == [place]


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_rows_that_go_on_are_not_changed_wherever_the_others_end(model_of, family):
    model = model_of(family)
    places = model.row_places()
    for place in places[:: len(places) // 3]:
        assert_others_stay(model, place, slice(1, 3))
    assert_others_stay(model, places[-1], torch.tensor([0, 2]))


FORK = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"


@torch.no_grad()
def test_rows_of_the_same_latents_begin_as_one(model):
    latents, *rest = inputs(model)
    latents, seen = latents[[0, 1, 1]], []
    plain = model.predict(latents, *rest)
    first, of_rows = torch.tensor([0, 1]), torch.tensor([0, 1, 1])
    handle = model.unet.conv_in.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with model.rows_changing(None, RowFork(FORK, first, of_rows)):
        torch.testing.assert_close(model.predict(latents, *rest), plain, atol=1e-5, rtol=0)
    with model.rows_changing(ending("mid_block.resnets.0", slice(1, 3)), RowFork(FORK, first, of_rows)):
        torch.testing.assert_close(model.predict(latents, *rest), plain[1:], atol=1e-5, rtol=0)
    handle.remove()
    assert seen == [2, 2]
    assert (plain[1] - plain[2]).abs().max() > 1e-3, "their texts differ"


def test_calls_at_the_same_latents_begin_once(model):
    latents, time, texts, samples = inputs(model)
    with torch.no_grad():
        plain = model.predict(latents, time, texts, samples)
    kept, seen = KeptBeginning(), []
    handle = model.unet.conv_in.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with torch.no_grad(), model.beginning_kept(kept, [0, 1, 2]):
        torch.testing.assert_close(model.predict(latents, time, texts, samples), plain, atol=1e-5, rtol=0)
    further = texts.take([2, 0])
    tokens = further.tokens.clone().requires_grad_()
    with model.beginning_kept(kept, [2, 0]):
        output = model.predict(latents[[2, 0]], time, further.with_tokens(tokens), [2, 0])
    handle.remove()
    assert seen == [3], "the second call goes on from the first one's beginning"
    torch.testing.assert_close(output, plain[[2, 0]], atol=1e-5, rtol=0)
    (gradient,) = torch.autograd.grad(output.square().sum(), tokens)
    of_plain = model.predict(latents[[2, 0]], time, further.with_tokens(tokens), [2, 0])
    (expected,) = torch.autograd.grad(of_plain.square().sum(), tokens)
    torch.testing.assert_close(gradient, expected)


def test_where_the_text_counts_from_the_beginning_nothing_is_kept(model_of):
    kept = KeptBeginning()
    with torch.no_grad(), model_of("sdxl").beginning_kept(kept, [0, 1, 2]):
        model_of("sdxl").predict(*inputs(model_of("sdxl")))
    assert kept.states is None


def test_rows_part_where_a_text_is_first_read(model_of):
    assert fork_place(model_of("sd1").unet) == fork_place(model_of("instaflow").unet) == FORK
    assert fork_place(model_of("sdxl").unet) is fork_place(model_of("lcm").unet) is None


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sd1", "instaflow", "lcm", "sdxl"])
def test_every_place(model_of, family):
    for place in model_of(family).row_places():
        assert_others_stay(model_of(family), place, slice(1, 3))


def test_sides_that_the_unet_cannot_halve_so_often(model):
    assert_others_stay(model, "up_blocks.0.resnets.0", slice(2, 3), (20, 12))
    assert_others_stay(model, "down_blocks.1.attentions.0.transformer_blocks.0.attn2", slice(2, 3), (20, 12))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_places_are_in_the_order_in_which_they_run(model_of, family):
    model, ran = model_of(family), []
    handles = [
        model.unet.get_submodule(place).register_forward_hook(lambda *_, place=place: ran.append(place))
        for place in model.row_places()
    ]
    model.predict(*inputs(model))
    for handle in handles:
        handle.remove()
    assert ran == model.row_places()
    attention = [name.removesuffix(".processor") for name in model.unet.attn_processors]
    assert set(attention) <= set(ran)


def test_rows_are_left_out_of_what_follows(model):
    seen = []
    place = "up_blocks.1.resnets.1"
    later = model.unet.get_submodule("up_blocks.1.attentions.1")
    handle = later.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with model.rows_changing(ending(place, slice(1, 3))):
        model.predict(*inputs(model))
    handle.remove()
    assert seen == [2]


@pytest.mark.parametrize("option", ["class_embed_type", "addition_embed_type"])
def test_a_unet_of_other_parts_has_no_place(model, option):
    assert row_places(model.unet)
    config = SimpleNamespace(**{**model.unet.config, option: "image"})
    blocks = {part: getattr(model.unet, part) for part in ("down_blocks", "mid_block", "up_blocks")}
    assert row_places(SimpleNamespace(config=config, **blocks)) == []


def test_families_that_have_no_place(model_of):
    assert model_of("sd3").row_places() == model_of("flux").row_places() == []


def test_a_family_that_calls_its_unet_itself_is_told_so(model):
    class Other(StableDiffusion):
        def denoise(self, latents, time, conditioning):
            return self.unet(latents, time, conditioning.tokens, return_dict=False)[0]

    parts = {name: getattr(model, name) for name in ("unet", "vae", "tokenizer", "text_encoder", "device")}
    other = Other(**parts)
    place = other.row_places()[0]
    with (
        pytest.raises(PiebenchError, match=r"must call self\.network"),
        other.rows_changing(ending(place, slice(1, 3))),
    ):
        other.predict(*inputs(model))


def test_gradients_reach_the_rows_that_go_on(model):
    latents, time, texts, samples = inputs(model)
    tokens = texts.tokens.clone().requires_grad_()
    with model.rows_changing(ending("mid_block.resnets.0", slice(1, 3))):
        output = model.predict(latents, time, replace(texts, tokens=tokens), samples)
    (gradient,) = torch.autograd.grad(output.square().sum(), tokens)
    assert not gradient[0].any() and gradient[1:].any()
    assert isinstance(texts, Conditioning)
