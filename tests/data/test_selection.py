from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.data.sample import Sample
from piebench_eval.data.selection import select_samples
from piebench_eval.errors import PiebenchError


def make(*types):
    return [Sample(str(i), f"{i}.png", Path(), "", "", "", t, "", ()) for i, t in enumerate(types)]


def ids(selected):
    return [sample.id for sample in selected]


def test_all_by_default():
    assert ids(select_samples(make("0", "1"))) == ["0", "1"]


def test_types_and_ids():
    samples = make("0", "1", "8", "1")
    assert ids(select_samples(samples, types=["1"])) == ["1", "3"]
    assert ids(select_samples(samples, ids=["2", "0"])) == ["0", "2"]


def test_a_limit_takes_turns_over_the_types():
    samples = make("0", "0", "0", "0", "1", "1", "9")
    assert ids(select_samples(samples, limit=3)) == ["0", "4", "6"]
    assert ids(select_samples(samples, limit=5)) == ["0", "1", "4", "5", "6"]


@given(st.lists(st.sampled_from("0123"), min_size=1, max_size=30), st.integers(1, 30))
def test_a_limit_is_balanced_and_keeps_the_order(types, limit):
    chosen = select_samples(make(*types), limit=limit)
    assert len(chosen) == min(limit, len(types))
    assert ids(chosen) == sorted(ids(chosen), key=int)
    counts = {t: sum(sample.type_id == t for sample in chosen) for t in set(types)}
    for t, count in counts.items():
        assert count == types.count(t) or count >= max(counts.values()) - 1


@pytest.mark.parametrize("choice", [{"types": ["7"]}, {"ids": ["99"]}, {"types": ["1"], "ids": ["0"]}])
def test_selections_that_choose_nothing(choice):
    with pytest.raises(PiebenchError):
        select_samples(make("0", "1"), **choice)
