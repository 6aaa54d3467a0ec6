"""Maps that several rows have are computed once, and the rows are what they are by maps of their own."""

import torch

from piebench_eval.models.attention import plain_attention
from piebench_eval.models.same_maps import attention_by_same_maps, maps_can_be_shared


def states(seed, rows=2, width=8):
    return torch.randn(rows, 3, 20, width, generator=torch.Generator().manual_seed(seed))


def test_every_row_has_what_its_own_map_gives():
    query, key, values = states(0), states(1), [states(2), states(3), states(4)]
    for found, value in zip(attention_by_same_maps(query, key, values), values, strict=True):
        torch.testing.assert_close(found, plain_attention(query, key, value), atol=1e-6, rtol=0)


def test_wide_heads_and_single_rows_do_not_share():
    assert maps_can_be_shared(states(0, width=40), 3)
    assert not maps_can_be_shared(states(0, width=80), 2)
    assert not maps_can_be_shared(states(0), 1)
