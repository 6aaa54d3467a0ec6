"""The covering arrays that test matrices are made of."""

import random
from itertools import combinations, product

import pytest

from tests.support.pairwise import pairwise


def all_pairs(rows):
    return {frozenset(pair) for row in rows for pair in combinations(row.items(), 2)}


@pytest.mark.parametrize("seed", range(40))
def test_every_pair_that_can_stand_in_a_row_does_and_no_other(seed):
    """By trying out all rows of small options, of which pairs drawn at random do not fit."""
    draw = random.Random(seed)
    options = {f"option {number}": range(draw.randint(1, 4)) for number in range(draw.randint(2, 5))}
    items = [(name, value) for name, values in options.items() for value in values]
    share = draw.choice([0, 0.1, 0.3])
    apart = {frozenset(pair) for pair in combinations(items, 2) if draw.random() < share}
    possible = [
        row
        for values in product(*options.values())
        if not all_pairs([row := dict(zip(options, values, strict=True))]) & apart
    ]
    found = pairwise(options, lambda one, other: frozenset([one, other]) not in apart)
    assert all(row in possible for row in found)
    assert all_pairs(found) == all_pairs(possible)


def test_rows_are_few_and_always_the_same():
    options = dict.fromkeys("abcdefghij", "xyz")
    found = pairwise(options, lambda one, other: True)
    assert found == pairwise(options, lambda one, other: True)
    assert len(found) <= 20, "of 59,049; nobody does with less than 9"
