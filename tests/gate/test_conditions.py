"""Which differences between a baseline and a run rule a comparison out."""

import pytest

from piebench_eval.gate.conditions import differences


def conditions(**settings):
    combinations = {"flowedit+plain": {"model": "org/flux", "steps": 28, **settings}}
    return {
        "recipe": {"combinations": combinations},
        "models": {"org/flux": "0" * 64},
        "samples": {"ids": ["1"], "fingerprint": None},
        "networks": {},
        "protocol": {"rules": {}},
        "precision": "fp32",
    }


@pytest.mark.parametrize("before", [{}, {"weights": "full"}])
def test_quantised_weights_are_not_compared_with_others(before):
    """A baseline from before there was a choice has full weights."""
    assert differences(conditions(**before), conditions(weights="full")) == []
    (found,) = differences(conditions(**before), conditions(weights="int8"))
    assert found == "flowedit+plain.weights: full -> int8"
    assert differences(conditions(weights="int8"), conditions(weights="int8")) == []
