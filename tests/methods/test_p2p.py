"""Prompt-to-Prompt's edit of cross-attention, against maps that are written out."""

import pytest
import torch

from piebench_eval.methods.p2p import CrossAttentionEdit
from piebench_eval.models.attention import attention_maps, plain_attention

SAMPLES, HEADS, POSITIONS, TOKENS, WIDTH = 2, 3, 10, 7, 4
SOURCE, TARGET = torch.tensor([0, 1]), torch.tensor([4, 5])


@pytest.fixture
def edit():
    return CrossAttentionEdit(
        matrix=torch.rand(SAMPLES, TOKENS, TOKENS),
        use_source_map=torch.tensor([[1.0, 0, 0.5, 1, 0, 1, 1], [0.0, 1, 1, 1, 1, 1, 0.25]]),
        equalizer=torch.tensor([[1.0, 2, 1, 1, -1, 1, 1], [1.0, 1, 1, 3, 1, 1, 1]]),
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.05)])
def test_edited_values_give_what_edited_maps_give(edit, dtype, tolerance):
    query = torch.randn(3 * SAMPLES, HEADS, POSITIONS, WIDTH).to(dtype)
    key, value = torch.randn(2, 3 * SAMPLES, HEADS, TOKENS, WIDTH).to(dtype)
    given = value.clone()
    expected = plain_attention(query, key, value)
    edited = edit(*(attention_maps(query[rows], key[rows]) for rows in (SOURCE, TARGET)))
    expected[TARGET] = edited.to(dtype) @ value[TARGET]
    found = edit.attend(query, key, value, SOURCE, TARGET, plain_attention)
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    assert found.dtype == dtype and torch.equal(value, given)
