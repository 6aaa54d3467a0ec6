"""Conditionings as batches of rows: taking, joining and comparing them, part by part."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from piebench_eval.models.conditioning import Conditioning

VECTORS = {"time_ids": (6,), "guidance": (), "another": (2, 2)}


@st.composite
def conditionings(draw, least=0):
    """One to four rows, with and without pooled embeddings and further vectors; all numbers differ."""
    rows = draw(st.integers(least, 4))
    names = draw(st.permutations(draw(st.lists(st.sampled_from([*VECTORS]), unique=True))))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def drawn(*shape):
        return torch.randn((rows, *shape), generator=generator)

    pooled = drawn(5) if draw(st.booleans()) else None
    return Conditioning(drawn(3, 4), pooled, {name: drawn(*VECTORS[name]) for name in names})


def same(one, other):
    """Whether both have the same parts under the same names."""
    assert (one.pooled is None) == (other.pooled is None)
    assert set(one.vectors) == set(other.vectors)
    assert all(torch.equal(one.vectors[name], other.vectors[name]) for name in one.vectors)
    pooled = one.pooled is None or torch.equal(one.pooled, other.pooled)
    return pooled and torch.equal(one.tokens, other.tokens)


@given(conditionings(least=1), st.data())
def test_rows_are_taken_of_every_part(batch, data):
    rows = data.draw(st.lists(st.integers(0, len(batch) - 1), max_size=6))
    taken = batch.take(rows)
    assert len(taken) == len(rows)
    assert set(taken.vectors) == set(batch.vectors)
    for found, whole in zip(taken.parts, batch.parts, strict=True):
        assert torch.equal(found, torch.stack([whole[row] for row in rows]) if rows else whole[:0])


@given(conditionings())
def test_all_rows_in_order_are_the_object_itself(batch):
    assert batch.take(range(len(batch))) is batch
    assert Conditioning.cat([batch]) is batch


@given(conditionings(least=1), st.data())
def test_what_is_joined_can_be_taken_apart(batch, data):
    assert same(Conditioning.cat([batch.take([row]) for row in range(len(batch))]), batch)
    rows = data.draw(st.permutations(range(len(batch))))
    cut = data.draw(st.integers(0, len(batch)))
    joined = Conditioning.cat([batch.take(rows[:cut]), batch.take(rows[cut:])])
    assert same(joined, batch.take(rows))
    assert same(joined.take([rows.index(row) for row in range(len(batch))]), batch)


@given(conditionings())
def test_parts_come_in_one_order_whatever_the_order_of_the_vectors(batch):
    backwards = Conditioning(batch.tokens, batch.pooled, dict(reversed(batch.vectors.items())))
    assert all(one is other for one, other in zip(batch.parts, backwards.parts, strict=True))
    assert batch.equals(backwards)
    assert len(batch.parts) == 1 + (batch.pooled is not None) + len(batch.vectors)


@given(conditionings(least=1), st.data())
def test_one_other_number_in_any_part_makes_a_difference(batch, data):
    copy = Conditioning.cat([batch.take([]), batch])
    assert copy is not batch and copy.equals(batch) and batch.equals(copy)
    changed = data.draw(st.sampled_from(copy.parts)).view(-1)
    changed[data.draw(st.integers(0, changed.numel() - 1))] += 1
    assert not copy.equals(batch) and not batch.equals(copy)


@given(conditionings(least=1))
def test_so_do_missing_parts_and_rows(batch):
    assert not batch.equals(batch.take(range(len(batch) - 1)))
    for name in batch.vectors:
        fewer = {other: vector for other, vector in batch.vectors.items() if other != name}
        assert not batch.equals(Conditioning(batch.tokens, batch.pooled, fewer))


@given(conditionings(), st.floats(0, 20), st.floats(0, 20))
def test_a_guidance_scale_is_in_every_row_and_changes_nothing_else(batch, scale, other):
    guided = batch.with_guidance(scale)
    expected = torch.full((len(batch),), scale)
    assert torch.equal(guided.vectors["guidance"], expected) and expected.dtype == torch.float32
    assert guided.tokens is batch.tokens and guided.pooled is batch.pooled
    assert all(guided.vectors[name] is batch.vectors[name] for name in batch.vectors if name != "guidance")
    assert guided.with_guidance(other).equals(batch.with_guidance(other))
    assume(len(batch) and torch.tensor(scale) != torch.tensor(other))
    assert not guided.equals(batch.with_guidance(other))


@given(conditionings())
def test_other_tokens_leave_the_rest(batch):
    changed = batch.with_tokens(batch.tokens + 1)
    assert torch.equal(changed.tokens, batch.tokens + 1)
    assert changed.pooled is batch.pooled and changed.vectors is batch.vectors


def test_batches_with_other_parts_cannot_be_joined():
    plain, guided = Conditioning(torch.zeros(1, 3, 4)), Conditioning(torch.zeros(1, 3, 4)).with_guidance(2)
    with pytest.raises(ValueError, match="guidance"):
        Conditioning.cat([guided, plain])
