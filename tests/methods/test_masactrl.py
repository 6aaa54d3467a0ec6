"""MasaCtrl's masks (equations 8 to 10) and its prompts."""

import dataclasses

import pytest
import torch
from pydantic import ValidationError

from piebench_eval.methods.masactrl import MASACTRL, MasaCtrlSettings, foreground, masked_attention
from tests.runs.test_combinations import BLENDED, UNBLENDED, run

MASKED = {"mask_guided": True, "source_prompt": "sample", "start_step": 1, "start_layer": 7}


def attention(query, key, value, keep):
    """Attention over the kept keys alone, written out."""
    logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return logits.masked_fill(~keep, float("-inf")).softmax(-1) @ value


def test_masked_attention_is_equations_8_to_10():
    query, key, value = torch.randn(3, 2, 4, 9, 8, generator=torch.Generator().manual_seed(0))
    source, target = torch.rand(2, 2, 9, generator=torch.Generator().manual_seed(1)) > 0.5
    foreground_only = attention(query, key, value, source[:, None, None])
    background_only = attention(query, key, value, ~source[:, None, None])
    blend = target[:, None, :, None].float()
    expected = foreground_only * blend + background_only * (1 - blend)
    torch.testing.assert_close(masked_attention(query, key, value, source, target), expected)


def test_a_kind_that_the_source_lacks_attends_to_all_of_it():
    query, key, value = torch.randn(3, 1, 2, 4, 8, generator=torch.Generator().manual_seed(0))
    everything = torch.ones(1, 4, dtype=torch.bool)
    target = torch.tensor([[True, False, True, False]])
    found = masked_attention(query, key, value, everything, target)
    torch.testing.assert_close(found, attention(query, key, value, everything[:, None, None]))


def test_a_flat_map_has_no_foreground():
    assert not foreground(torch.full((1, 2, 4, 4), 0.3), 0.1).any()


def test_masks_change_the_edits_of_samples_with_a_blended_word(model, samples):
    batch = [samples[BLENDED], samples[UNBLENDED]]
    plain = run(model, batch, "direct", "masactrl", **{**MASKED, "mask_guided": False})[0]
    masked = run(model, batch, "direct", "masactrl", **MASKED, mask_threshold=0.5)[0]
    assert (masked[0] - plain[0]).abs().max() > 1e-3
    torch.testing.assert_close(masked[1], plain[1], atol=1e-4, rtol=0)


def test_a_sample_without_the_words_is_edited_without_masks_and_says_so(model, samples):
    lost = dataclasses.replace(samples[BLENDED], blended_word="zebra cat")
    prepared = MASACTRL.prepare([lost], model, 5, MasaCtrlSettings(**MASKED))
    assert prepared.controller.word_maps.samples == []
    assert "without masks" in prepared.notes[0][0]


def test_masks_need_a_source_prompt():
    with pytest.raises(ValidationError, match="source_prompt=sample"):
        MasaCtrlSettings(mask_guided=True)


def test_the_source_prompt_is_empty_unless_asked_for(samples):
    sample = samples[BLENDED]
    empty = MASACTRL.prompts(sample, MasaCtrlSettings())
    assert (empty.inversion, empty.source, empty.target) == ("", "", sample.target_prompt)
    asked = MASACTRL.prompts(sample, MasaCtrlSettings(source_prompt="sample"))
    assert asked.inversion == asked.source == sample.source_prompt
