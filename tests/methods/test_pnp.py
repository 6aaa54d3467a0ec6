"""Plug-and-Play's prompts and what it copies."""

import dataclasses

import torch

from piebench_eval.diffusion.rows import GuidedBranches, RowBatch, plan_rows
from piebench_eval.methods.pnp import (
    FEATURE_MODULES,
    FIRST_ATTENTION_LAYERS,
    PNP,
    PnPController,
    PnPSettings,
)
from piebench_eval.models.attention import AttentionLayer, plain_attention
from piebench_eval.quirks import Quirks


def control_at(step):
    controller = PnPController(2, 8, 5, FEATURE_MODULES["sd1"], FIRST_ATTENTION_LAYERS["sd1"])
    reads = [[read] for read in controller.source_reads(step)]
    rows = RowBatch.of_step([plan_rows(read, True, GuidedBranches(True, True))[0] for read in reads])
    controller.begin_step(step, rows, (8, 8))
    return controller


def states(seed):
    return torch.randn(6, 2, 4, 8, generator=torch.Generator().manual_seed(seed))


def test_features_and_attention_come_from_the_source_in_their_steps():
    rows = states(0)  # sources, then unconditional, then conditional targets of two samples
    assert torch.equal(control_at(7).module_output(FEATURE_MODULES["sd1"], rows), rows[[0, 1, 0, 1, 0, 1]])
    query, key, value = (states(seed) for seed in (1, 2, 3))
    copied = [0, 1, 0, 1, 0, 1]
    injected = plain_attention(query[copied], key[copied], value)
    assert torch.equal(
        control_at(4).attend(AttentionLayer("self", 8, 1, (8, 8)), query, key, value), injected
    )
    own = plain_attention(query, key, value)
    for step, layer in ((5, ("self", 8)), (4, ("self", 7)), (4, ("cross", 9))):
        assert torch.equal(control_at(step).attend(AttentionLayer(*layer, 1, (8, 8)), query, key, value), own)


def test_after_the_windows_the_source_is_not_read():
    assert not any(any(read) for read in control_at(7).source_reads(8))


def test_prompts(samples):
    prompts = PNP.prompts(samples[0], PnPSettings())
    assert (prompts.inversion, prompts.source) == (samples[0].source_prompt, "")
    assert prompts.negative == "ugly, blurry, black, low res, unrealistic"
    apostrophe = dataclasses.replace(samples[0], marked_target_prompt="the [cat]'s mirror")
    settings = PnPSettings(quirks=Quirks(split_punctuation=True))
    assert PNP.prompts(apostrophe, settings).target == "the cat ' s mirror"
