"""A transformer's blocks are on the device only while they compute, and nothing else changes."""

import pytest
import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.models import loading
from piebench_eval.models.base import HOST
from piebench_eval.models.loading import load_model
from piebench_eval.models.quantization import blocks_of
from piebench_eval.models.sequential_offload import (
    check_sequential_offload,
    offload_blocks,
    offloads_blocks,
)
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.plan import Selection, plan_run
from tests.runs.test_combinations import run as edited
from tests.support.fake_cuda import CUDA, fake_device
from tests.support.tiny_flux import new_flux
from tests.support.tiny_sd3 import new_transformer


def places(block):
    return {tensor.device.type for tensor in (*block.parameters(), *block.buffers())}


@torch.no_grad()
@pytest.mark.parametrize("new", [new_flux, new_transformer])
def test_a_block_is_on_the_device_only_while_it_computes(monkeypatch, new):
    """On a GPU that is not there: tensors know their device and no numbers."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    with fake_device():
        denoiser = new().requires_grad_(False)
        offload_blocks(denoiser, CUDA)
        blocks, seen = blocks_of(denoiser), []
        assert len(pinned) == sum(len(list(block.parameters())) for block in blocks)
        of_blocks = {id(parameter) for block in blocks for parameter in block.parameters()}
        rest = [parameter for parameter in denoiser.parameters() if id(parameter) not in of_blocks]
        assert {parameter.device for parameter in rest} == {CUDA} == {denoiser.device}
        for block in blocks:
            block.register_forward_pre_hook(lambda *_: seen.append([places(each) for each in blocks]))
        call(denoiser, CUDA)
    for number, found in enumerate(seen):
        assert [place == {"cuda"} for place in found] == [index == number for index in range(len(blocks))]
    assert len(seen) == len(blocks) and all(places(block) == {"cpu"} for block in blocks)


def call(denoiser, device):
    """Call a small transformer on 8x8 latents and three tokens of text."""
    config, make = denoiser.config, lambda *shape: torch.zeros(*shape, device=device)
    conditions = {
        "encoder_hidden_states": make(1, 3, config.joint_attention_dim),
        "pooled_projections": make(1, config.pooled_projection_dim),
        "timestep": make(1),
    }
    if hasattr(denoiser, "single_transformer_blocks"):
        ids = {"img_ids": make(16, 3), "txt_ids": make(3, 3), "guidance": make(1)}
        return denoiser(make(1, 16, config.in_channels), **ids, **conditions)
    return denoiser(make(1, config.in_channels, 8, 8), **conditions)


@torch.no_grad()
def test_a_block_that_fails_leaves_too(monkeypatch):
    """A batch that does not fit is made again in halves."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    with fake_device():
        denoiser = new_flux().requires_grad_(False)
        offload_blocks(denoiser, CUDA)
        broken = denoiser.single_transformer_blocks[0]
        broken.norm.register_forward_hook(lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
        with pytest.raises(torch.OutOfMemoryError):
            call(denoiser, CUDA)
    assert all(places(block) == {"cpu"} for block in blocks_of(denoiser))


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_edits_are_the_same_to_the_bit(request, model_of, samples, monkeypatch, family):
    asked = []
    monkeypatch.setattr(loading, "offloads_blocks", lambda device, wanted: wanted)
    monkeypatch.setattr(loading, "offloads_text_encoders", lambda device, wanted: asked.append(wanted))
    model = load_model(str(request.getfixturevalue(f"tiny_{family}")), sequential_offload=True)
    assert asked == [True], "text encoders leave the GPU too"
    block = blocks_of(model.denoiser)[0]
    assert block._forward_pre_hooks and block._forward_hooks
    found, *_ = edited(model, samples[:1], "direct", "value_sharing", guidance=2.0)
    expected, *_ = edited(model_of(family), samples[:1], "direct", "value_sharing", guidance=2.0)
    assert torch.equal(found, expected)


def test_only_a_gpu_has_anything_to_leave(tiny_flux):
    assert offloads_blocks(torch.device("cuda:1"), True) and not offloads_blocks(
        torch.device("cuda:1"), False
    )
    assert not offloads_blocks(HOST, True)
    blocks = blocks_of(load_model(str(tiny_flux), sequential_offload=True).denoiser)
    assert not any(block._forward_pre_hooks for block in blocks)


@pytest.mark.parametrize(
    ("family", "fields", "machine", "words"),
    [
        ("model", {}, {}, "Stable Diffusion 1.x has a UNet; leave it out"),
        ("flux", {"weights": "int8"}, {}, "not those of weights=int8"),
        ("flux", {}, {"compile": True}, "does not go with --compile"),
    ],
)
def test_what_cannot_be_offloaded_is_refused_while_planning(
    request, photo_bench, tmp_path, monkeypatch, family, fields, machine, words
):
    monkeypatch.setattr("piebench_eval.models.quantization.find_spec", lambda name: object())
    folder = str(request.getfixturevalue(f"tiny_{family}"))
    recipe = build_recipe(
        {"model": folder, "inversions": ["euler"], "methods": ["plain"], "guidance": 1, **fields}, {}, "test"
    )
    machine = MachineOptions(devices="cpu", sequential_offload=True, **machine)
    with pytest.raises(PiebenchError) as refused:
        plan_run(recipe, photo_bench, tmp_path / "run", Selection(limit=1), machine)
    assert str(refused.value).startswith("--sequential-offload: ") and words in str(refused.value)


def test_a_model_that_is_not_here_yet_passes():
    check_sequential_offload(None, "full")
