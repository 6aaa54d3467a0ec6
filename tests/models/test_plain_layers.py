"""Layers without options give the bits of diffusers' own, with fewer operations."""

import copy
import inspect
from collections import Counter

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D
from torch.utils._python_dispatch import TorchDispatchMode

from piebench_eval.models.attention import (
    AttentionLayer,
    controlled_attention,
    plain_attention,
    unet_attention_layers,
)
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.loading import PRECISIONS, load_model
from piebench_eval.models.plain_layers import PlainAttention, PlainResidualBlock, use_plain_layers
from scripts.speed.models import SIZES, new_unet
from scripts.speed.sdxl import new_xl_unet

SIDE = 8


class Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


class Hook:
    """Attention that is as a hook must leave it."""

    def attend(self, layer: AttentionLayer, query, key, value):
        return plain_attention(query, key, value)


@pytest.fixture(scope="module", params=["tiny", "tiny-sdxl"])
def unets(request):
    """A UNet as diffusers makes it, and the same with plain layers."""
    torch.manual_seed(0)
    make = new_xl_unet if "sdxl" in request.param else new_unet
    unet = make(SIZES[request.param]).requires_grad_(False)
    plain = copy.deepcopy(unet)
    use_plain_layers(plain)
    return unet, plain


def call(unet, dtype=torch.float32, text=None, **options):
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(2, 4, SIDE, SIDE, generator=generator).to(dtype)
    tokens = torch.randn(2, 5, unet.config.cross_attention_dim, generator=generator)
    further = {}
    if unet.config.addition_embed_type is not None:
        width = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        pooled = torch.randn(2, width, generator=generator).to(dtype)
        further = {"text_embeds": pooled, "time_ids": torch.ones(2, 6, dtype=dtype)}
    text = tokens.to(dtype) if text is None else text
    return unet(sample, 7, text, added_cond_kwargs=further, return_dict=False, **options)[0]


@torch.no_grad()
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bits_are_those_of_diffusers_layers(unets, dtype, layout):
    found, expected = (
        call(copy.deepcopy(unet).to(memory_format=layout).to(dtype), dtype) for unet in reversed(unets)
    )
    assert torch.equal(found, expected) and found.std() > 0.01


def test_gradients_are_too(unets):
    unet = unets[0]
    gradients = []
    for each in unets:
        text = torch.ones(2, 5, unet.config.cross_attention_dim).requires_grad_()
        call(each, text=text).square().sum().backward()
        gradients.append(text.grad)
    assert torch.equal(*gradients) and gradients[0].abs().max() > 0


@torch.no_grad()
def test_hooked_layers_give_them_too(unets):
    plain = unets[1]
    with controlled_attention(plain, Hook(), unet_attention_layers(plain, (SIDE, SIDE))):
        assert all(isinstance(each, PlainAttention) for each in plain.attn_processors.values())
        found = call(plain)
    assert torch.equal(found, call(unets[0]))


@torch.no_grad()
def test_a_mask_is_heeded(unets):
    mask = torch.tensor([[True, True, False, False, False]] * 2)
    found, expected = (call(unet, encoder_attention_mask=mask) for unet in reversed(unets))
    assert torch.equal(found, expected) and not torch.equal(found, call(unets[1]))


@torch.no_grad()
def test_nothing_is_divided_by_one(unets):
    counts = []
    for unet in unets:
        with Operations() as operations:
            call(unet)
        counts.append(operations.counts)
    own, plain = counts
    divisions = sum(isinstance(module, Attention | ResnetBlock2D) for module in unets[0].modules())
    assert own["div"] - plain["div"] == divisions > 40
    assert own - plain == Counter(div=divisions)


def test_the_signature_that_diffusers_reads_is_the_processors_own():
    processor = PlainAttention()
    own = inspect.signature(PlainAttention.__call__.__get__(processor))
    assert inspect.signature(processor.__call__).parameters.keys() == own.parameters.keys()


RESIDUAL = {"in_channels": 8, "temb_channels": 8, "groups": 2}
ATTENTION = {"query_dim": 32, "heads": 2, "dim_head": 16}
OPTIONS_OF_BLOCKS = [
    {"output_scale_factor": 2.0},
    {"time_embedding_norm": "scale_shift"},
    {"temb_channels": None},
    {"skip_time_act": True},
    {"dropout": 0.1},
    {"up": True},
    {"down": True},
]
OPTIONS_OF_ATTENTION = [
    {"rescale_output_factor": 2.0},
    {"residual_connection": True},
    {"norm_num_groups": 2},
    {"qk_norm": "layer_norm"},
    {"cross_attention_dim": 8, "cross_attention_norm": "layer_norm"},
    {"spatial_norm_dim": 8},
    {"dropout": 0.1},
    {"processor": AttnProcessor()},
]


def made_plain(module):
    use_plain_layers(torch.nn.Sequential(module))
    return module


@pytest.mark.parametrize("options", OPTIONS_OF_BLOCKS, ids=lambda options: next(iter(options)))
def test_a_residual_block_with_an_option_stays_as_it_is(options):
    assert type(made_plain(ResnetBlock2D(**RESIDUAL))) is PlainResidualBlock
    assert type(made_plain(ResnetBlock2D(**{**RESIDUAL, **options}))) is ResnetBlock2D


@pytest.mark.parametrize("options", OPTIONS_OF_ATTENTION, ids=lambda options: list(options)[-1])
def test_attention_with_an_option_stays_as_it_is(options):
    assert type(made_plain(Attention(**ATTENTION)).processor) is PlainAttention
    kind = AttnProcessor if "processor" in options else AttnProcessor2_0
    assert type(made_plain(Attention(**{**ATTENTION, **options})).processor) is kind


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_loaded_model_has_them_and_its_type(tiny_model, precision):
    model = load_model(str(tiny_model), precision=precision)
    blocks = [module for module in model.unet.modules() if isinstance(module, ResnetBlock2D)]
    assert {type(block) for block in blocks} == {PlainResidualBlock}
    assert {type(each) for each in model.unet.attn_processors.values()} == {PlainAttention}
    assert model.dtype == model.unet.dtype == PRECISIONS[precision]


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_transformers_have_the_type_that_they_say(family, request):
    model = load_model(str(request.getfixturevalue(f"tiny_{family}")), precision="bf16")
    assert FAMILIES[family] is model.family and model.dtype == model.denoiser.dtype == torch.bfloat16
