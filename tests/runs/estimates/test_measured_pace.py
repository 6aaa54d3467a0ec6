"""The time of a run before its first edit."""

from types import SimpleNamespace

import pytest

from piebench_eval.runs.estimates.measured_pace import time_of
from piebench_eval.runs.machine import MachineOptions
from tests.support.recipes import shipped


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("full", "python scripts/bench.py --size flux --resolution 512 --precision bf16"),
        ("int8", "with weights=int8, and the bench measures full ones alone"),
    ],
)
def test_the_bench_is_named_only_where_it_can_tell_the_time(weights, told):
    recipe = shipped("rf-solver-edit-flux", {"weights": weights, "precision": "bf16", "resolution": 512})
    plan = SimpleNamespace(
        machine=MachineOptions(), shard=SimpleNamespace(count=1), recipe=recipe, samples=[]
    )
    part = SimpleNamespace(seconds=None, combination="rf_solver+feature_sharing")
    found = time_of(plan, part, [], "a GPU")
    assert found.seconds is None and told in found.unknown
    assert ("scripts/bench.py" in found.unknown) == (weights == "full")
