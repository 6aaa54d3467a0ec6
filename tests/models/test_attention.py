"""The hook into attention: it changes nothing by itself, sees every layer, and refuses what does not fit."""

import copy

import pytest
import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from piebench_eval.errors import PiebenchError
from piebench_eval.models import attention
from piebench_eval.models.attention import (
    AttentionLayer,
    attention_layers,
    controlled_attention,
    plain_attention,
    unet_attention_layers,
    use_plain_attention,
)
from piebench_eval.models.flux import positions
from tests.support.tiny_flux import POOLED, new_flux
from tests.support.tiny_sd3 import WIDTH, new_transformer
from tests.support.weights import fill

PROMPT = "a cat sitting next to a mirror"
UNETS = ["sd1", "sdxl"]
GRID, TEXT = (4, 6), 5


class Recorder:
    """Plain attention that notes the layers and the positions of queries and keys."""

    def __init__(self):
        self.seen = []

    def attend(self, layer, query, key, value):
        self.seen.append((layer, query.shape[2], key.shape[2]))
        return plain_attention(query, key, value)


class Failing:
    def attend(self, layer, query, key, value):
        raise ValueError("lost")


@torch.no_grad()
def predict(model, shape=(16, 16), hook=None):
    latents = torch.randn(2, 4, *shape, generator=torch.Generator().manual_seed(0))
    conditioning = model.embed_prompts([PROMPT, ""])

    def call():
        return model.predict(latents, 500, conditioning, [0, 1])

    if hook is None:
        return call()
    with controlled_attention(model.denoiser, hook, attention_layers(model.denoiser, shape)):
        return call()


@pytest.mark.parametrize("family", UNETS)
def test_a_plain_hook_changes_no_bit(model_of, family):
    model, hook = model_of(family), Recorder()
    assert torch.equal(predict(model, hook=hook), predict(model))
    assert len(hook.seen) == len(model.denoiser.attn_processors)


@pytest.mark.parametrize(("family", "halvings"), [("sd1", 3), ("sdxl", 2)])
def test_layers_are_described_as_they_run(model_of, family, halvings):
    """Latents of 16x24: a grid that is not square."""
    model, hook = model_of(family), Recorder()
    predict(model, (16, 24), hook)
    for kind in ("self", "cross"):
        of_kind = [layer for layer, *_ in hook.seen if layer.kind == kind]
        assert [layer.index for layer in of_kind] == list(range(len(of_kind)))
        assert len(of_kind) == {"sd1": 10, "sdxl": 11}[family]  # with one layer per block
    for layer, queries, keys in hook.seen:
        rows, columns = layer.grid
        assert (rows * layer.downsampling, columns * layer.downsampling) == (16, 24)
        assert (queries, keys) == (rows * columns, 77 if layer.kind == "cross" else rows * columns)
        assert layer.text is None
    assert max(layer.downsampling for layer, *_ in hook.seen) == 2**halvings


def test_layers_that_do_not_divide_are_rounded_up(model):
    layers = unet_attention_layers(model.denoiser, (16, 20))
    assert {layer.grid for layer in layers.values() if layer.downsampling == 8} == {(2, 3)}


def joint(index, text):
    return AttentionLayer("joint", index, 2, GRID, text)


@torch.no_grad()
def hooked_and_not(transformer, layers, **inputs):
    hook = Recorder()
    without = transformer(**inputs, return_dict=False)[0]
    with controlled_attention(transformer, hook, layers):
        return transformer(**inputs, return_dict=False)[0], without, hook.seen


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def sd3_inputs():
    return {
        "hidden_states": draw(2, 16, 2 * GRID[0], 2 * GRID[1]),
        "encoder_hidden_states": draw(2, TEXT, WIDTH),
        "pooled_projections": draw(2, 40),
        "timestep": torch.tensor([500.0, 500.0]),
    }


@pytest.mark.parametrize("newer", [False, True])
def test_sd3_is_left_as_it_is(newer):
    """Image first, then text; SD3.5's first blocks have a second attention, of the image alone."""
    transformer = fill(new_transformer(newer=newer), seed=1)
    positions = GRID[0] * GRID[1]
    layers = attention_layers(transformer, (2 * GRID[0], 2 * GRID[1]))
    assert layers.keys() == transformer.attn_processors.keys()
    for name, layer in layers.items():
        is_joint = ".attn." in name
        assert layer.kind == ("joint" if is_joint else "self")
        assert layer.index == int(name.split(".")[1])
        assert (layer.downsampling, layer.grid) == (2, GRID)
        assert layer.text == (slice(positions, None) if is_joint else None)
        assert layer.image == slice(0, positions)
    hooked, without, seen = hooked_and_not(transformer, layers, **sd3_inputs())
    assert torch.equal(hooked, without)
    duals = int(newer)
    assert [(layer.kind, queries) for layer, queries, _ in seen] == [
        *[("joint", positions + TEXT), ("self", positions)] * duals,
        *[("joint", positions + TEXT)] * (3 - duals),
    ]


class TextShifted:
    """Adds to a joint layer's values at the text's places, or at the image's."""

    def __init__(self, block, part):
        self.block, self.part = block, part

    def attend(self, layer, query, key, value):
        if layer.kind == "joint" and layer.index == self.block:
            value = value.clone()
            value[:, :, getattr(layer, self.part)] += 1
        return plain_attention(query, key, value)


@torch.no_grad()
@pytest.mark.parametrize("block", [0, 2])
def test_the_texts_places_are_the_texts(block):
    """What the text adds to values is what its projection's bias adds, in the last block too."""
    transformer, inputs = fill(new_transformer(), seed=1), sd3_inputs()
    layers = attention_layers(transformer, (2 * GRID[0], 2 * GRID[1]))
    attention = transformer.transformer_blocks[block].attn
    assert attention.context_pre_only == (block == 2)
    for part, projection in (("text", attention.add_v_proj), ("image", attention.to_v)):
        with controlled_attention(transformer, TextShifted(block, part), layers):
            shifted = transformer(**inputs).sample
        projection.bias += 1
        expected = transformer(**inputs).sample
        projection.bias -= 1
        torch.testing.assert_close(shifted, expected, atol=1e-5, rtol=0)
        assert (shifted - transformer(**inputs).sample).abs().max() > 1e-3


def test_flux_is_left_as_it_is():
    """Text first, then image; the rotary embeddings of its positions arrive at the processor."""
    transformer = fill(
        FluxTransformer2DModel(
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 6, 6),
        ),
        seed=1,
    )
    places = torch.tensor([[0.0, row, column] for row in range(GRID[0]) for column in range(GRID[1])])
    layers = {name: joint(index, slice(0, TEXT)) for index, name in enumerate(transformer.attn_processors)}
    inputs = {
        "hidden_states": draw(2, len(places), 4),
        "encoder_hidden_states": draw(2, TEXT, 16),
        "pooled_projections": draw(2, 16),
        "timestep": torch.tensor([0.5, 0.5]),
        "txt_ids": torch.zeros(TEXT, 3),
    }
    hooked, without, seen = hooked_and_not(transformer, layers, **inputs, img_ids=places)
    torch.testing.assert_close(hooked, without, atol=1e-6, rtol=0)
    assert [queries for _, queries, _ in seen] == [TEXT + len(places)] * 2
    assert all(layer.image == slice(TEXT, TEXT + len(places)) for layer in layers.values())
    moved, *_ = hooked_and_not(transformer, layers, **inputs, img_ids=places * 3)
    assert (moved - hooked).abs().max() > 1e-3


@torch.no_grad()
def test_flux_layers_are_described_as_they_run():
    """Text first, as many tokens as there are; the double block's layer, then those of the single ones."""
    transformer = fill(new_flux(), seed=1)
    count = GRID[0] * GRID[1]
    layers = attention_layers(transformer, (2 * GRID[0], 2 * GRID[1]))
    assert list(layers) == [
        "transformer_blocks.0.attn.processor",
        "single_transformer_blocks.0.attn.processor",
        "single_transformer_blocks.1.attn.processor",
    ]
    for index, layer in enumerate(layers.values()):
        assert (layer.kind, layer.index, layer.downsampling, layer.grid) == ("joint", index, 2, GRID)
        assert layer.single == (None, 0, 1)[index]
        sequence = list(range(TEXT + count))
        assert sequence[layer.text] == sequence[:TEXT] and sequence[layer.image] == sequence[TEXT:]
    inputs = {
        "hidden_states": draw(2, count, 64),
        "encoder_hidden_states": draw(2, TEXT, WIDTH),
        "pooled_projections": draw(2, POOLED),
        "timestep": torch.tensor([0.5, 0.5]),
        "guidance": torch.tensor([1.0, 3.5]),
        "txt_ids": torch.zeros(TEXT, 3),
        "img_ids": positions(GRID, torch.device("cpu")),
    }
    hooked, without, seen = hooked_and_not(transformer, layers, **inputs)
    assert torch.equal(hooked, without)
    assert [(layer.index, queries) for layer, queries, _ in seen] == [(k, TEXT + count) for k in range(3)]
    assert (hooked[0] - hooked[1]).abs().max() > 1e-3


def test_a_hook_that_fails_leaves_the_processors(model):
    before = dict(model.denoiser.attn_processors)
    with pytest.raises(ValueError, match="lost"):
        predict(model, hook=Failing())
    after = model.denoiser.attn_processors
    assert after.keys() == before.keys() and all(after[name] is before[name] for name in before)


class TwiceProcessor(AttnProcessor2_0):
    def __call__(self, attn, hidden_states, *args, **kwargs):
        return super().__call__(attn, super().__call__(attn, hidden_states, *args, **kwargs), *args, **kwargs)


@pytest.mark.parametrize(("processor", "times"), [(AttnProcessor(), 0), (TwiceProcessor(), 2)])
def test_a_processor_of_another_way_of_attention_is_refused(model, monkeypatch, processor, times):
    unet = copy.deepcopy(model.unet)
    unet.set_attn_processor(processor)
    monkeypatch.setattr(model, "unet", unet)
    with pytest.raises(PiebenchError) as caught:
        predict(model, hook=Recorder())
    said = str(caught.value)
    assert f"{type(processor).__name__} called scaled_dot_product_attention {times} times, not once" in said
    assert "use diffusers' default attention processors" in said


def test_a_mask_is_refused(model):
    unet, tokens = model.unet, model.embed_prompts([PROMPT]).tokens
    layers = unet_attention_layers(unet, (16, 16))
    refused = pytest.raises(PiebenchError, match="attention has a mask")
    with refused, torch.no_grad(), controlled_attention(unet, Recorder(), layers):
        unet(torch.zeros(1, 4, 16, 16), 500, tokens, encoder_attention_mask=torch.ones(1, 77))


@torch.no_grad()
@pytest.mark.parametrize("processor", [AttnProcessor2_0(), AttnProcessor(), TwiceProcessor()])
def test_without_a_hook_any_processor_attends_plainly_or_as_it_does(model, monkeypatch, processor):
    unet, latents = copy.deepcopy(model.unet), torch.randn(1, 4, 16, 16)
    tokens, counted = model.embed_prompts([PROMPT]).tokens, []
    unet.set_attn_processor(processor)
    masks = [{}, {"encoder_attention_mask": torch.arange(77)[None] < 5}]
    expected = [unet(latents, 500, tokens, **mask).sample for mask in masks]
    use_plain_attention(unet)
    monkeypatch.setattr(attention, "plain_attention", lambda *of: counted.append(1) or plain_attention(*of))
    for mask, own in zip(masks, expected, strict=True):
        torch.testing.assert_close(unet(latents, 500, tokens, **mask).sample, own, atol=1e-5, rtol=0)
    assert not torch.equal(*expected) and bool(counted) == isinstance(processor, AttnProcessor2_0)
