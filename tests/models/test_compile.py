"""Compiled blocks: the same numbers, nothing compiled twice, and hooks that are heeded."""

from types import SimpleNamespace

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D

from piebench_eval.diffusion.controller import AttentionController, controlled
from piebench_eval.models.compile import compile_blocks
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents

METHODS = ["p2p", "pnp", "masactrl"]
STEPS = 3


@pytest.fixture(scope="module")
def compiled(tiny_model):
    """A model whose blocks are traced and guarded as for any compiler, and then run as they are."""
    torch._dynamo.reset()
    model = load_model(str(tiny_model))
    compile_blocks(model.unet, backend="eager")
    yield model
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def combinations():
    fields = {"model": "unused", "inversions": ["direct"], "methods": METHODS, "steps": STEPS}
    recipe = build_recipe(fields, {}, "test")
    return {method: recipe.combination("direct", method) for method in METHODS}


def graphs():
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@torch.no_grad()
def test_no_limit_of_pytorch_stops_the_compiling():
    torch._dynamo.reset()
    blocks = torch.nn.ModuleList(
        ResnetBlock2D(in_channels=width, temb_channels=None, groups=4) for width in (4, 8, 16)
    )
    before = graphs()
    with torch._dynamo.config.patch(recompile_limit=1, accumulated_recompile_limit=1):
        compile_blocks(blocks, backend="eager")
        for rows in (1, 2):
            for block in blocks:
                block(torch.zeros(rows, block.in_channels, 8, 8), None)
    assert graphs() - before >= 2 * 3, "every shape of every block"
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "names",
    [
        ("recompile_limit", "accumulated_recompile_limit"),
        ("cache_size_limit", "accumulated_cache_size_limit"),
        (),
    ],
)
def test_limits_go_by_the_names_that_pytorch_has(monkeypatch, names):
    config = SimpleNamespace(**dict.fromkeys(names, 8))
    monkeypatch.setattr(torch._dynamo, "config", config)
    compile_blocks(torch.nn.Identity())
    assert set(vars(config)) == set(names) and all(limit >= 256 for limit in vars(config).values())


@pytest.mark.parametrize(
    "method", [METHODS[0], *(pytest.param(method, marks=pytest.mark.slow) for method in METHODS[1:])]
)
def test_edits_are_the_same(compiled, model, combinations, samples, method):
    one, _ = edit_latents(model, samples[:2], combinations[method])
    other, _ = edit_latents(compiled, samples[:2], combinations[method])
    torch.testing.assert_close(other, one, atol=1e-4, rtol=0)
    before = graphs()
    edit_latents(compiled, samples[:2], combinations[method])
    assert graphs() == before > 0, "nothing is compiled twice"


@pytest.mark.slow  # of one method after the other; of one alone the test above
def test_nothing_is_compiled_from_step_to_step(compiled, combinations, samples):
    for method in METHODS:
        edit_latents(compiled, samples[:2], combinations[method])
    before = graphs()
    assert before > 0
    for method in METHODS:
        edit_latents(compiled, samples[:2], combinations[method])
    assert graphs() == before


def test_a_hook_in_a_compiled_block_is_heeded_and_leaves_nothing_behind(compiled):
    class Hooked(AttentionController):
        hooked_modules = ("up_blocks.1.resnets.1.conv2",)

        def module_output(self, name, output):
            return torch.zeros_like(output)

    latents, text = torch.ones(1, 4, 16, 16), torch.ones(1, 77, compiled.unet.config.cross_attention_dim)
    with torch.no_grad():
        plain = compiled.predict(latents, 1, Conditioning(text), [0])
        with controlled(compiled.unet, Hooked(1), (16, 16)):
            hooked = compiled.predict(latents, 1, Conditioning(text), [0])
        again = compiled.predict(latents, 1, Conditioning(text), [0])
    assert not torch.equal(plain, hooked)
    assert torch.equal(plain, again)
    assert compiled.unet.up_blocks[1].resnets[1]._compiled_call_impl is not None
