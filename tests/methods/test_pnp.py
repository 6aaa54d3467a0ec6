"""Plug-and-Play's prompts and what it copies."""

import dataclasses

import torch

from piebench_eval.diffusion.rows import Branch, EndedRows, GuidedBranches, Row, RowBatch, plan_rows
from piebench_eval.methods import pnp
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
    found = control_at(4).attend(AttentionLayer("self", 8, 1, (8, 8)), query, key, value)
    torch.testing.assert_close(found, injected, atol=1e-6, rtol=0)  # values side by side round otherwise
    own = plain_attention(query, key, value)
    for step, layer in ((5, ("self", 8)), (4, ("self", 7)), (4, ("cross", 9))):
        assert torch.equal(control_at(step).attend(AttentionLayer(*layer, 1, (8, 8)), query, key, value), own)


def test_shared_maps_and_the_maps_of_every_row_give_the_same(monkeypatch):
    query, key, value = (states(seed) for seed in (1, 2, 3))
    layer = AttentionLayer("self", 8, 1, (8, 8))
    rows = RowBatch({row: [0, 1] for row in (Row.SOURCE_UNCOND, Row.SOURCE_COND, Row.TARGET_COND)})

    def attended(ended=None):
        controller = control_at(4)
        controller.rows, controller.ended = rows, ended
        return controller.attend(layer, query, key, value)

    shared = attended()
    assert torch.equal(shared[:2], plain_attention(query, key, value)[:2]), "it has maps of its own"
    without_end = EndedRows("any", layer, rows.without(Branch.SOURCE, []), slice(4, 6))
    ending = attended(without_end)
    monkeypatch.setattr(pnp, "maps_can_be_shared", lambda *_: False)
    torch.testing.assert_close(shared, attended(), atol=1e-6, rtol=0)
    torch.testing.assert_close(ending[4:], shared[4:], atol=1e-6, rtol=0)


def test_after_the_windows_the_source_is_not_read():
    assert not any(any(read) for read in control_at(7).source_reads(8))


def test_prompts(samples):
    prompts = PNP.prompts(samples[0], PnPSettings())
    assert (prompts.inversion, prompts.source) == (samples[0].source_prompt, "")
    assert prompts.negative == "ugly, blurry, black, low res, unrealistic"
    apostrophe = dataclasses.replace(samples[0], marked_target_prompt="the [cat]'s mirror")
    settings = PnPSettings(quirks=Quirks(split_punctuation=True))
    assert PNP.prompts(apostrophe, settings).target == "the cat ' s mirror"
