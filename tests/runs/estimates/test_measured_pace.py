"""The time of a run before its first edit: by a pace of the bench, where that is the run's own."""

from types import SimpleNamespace

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.runs.estimates.measured_pace import MeasuredPace, find_pace, read_paces, time_of
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.runs.shard import Shard
from tests.support.recipes import shipped

FLUX = "black-forest-labs/FLUX.1-dev"


def test_what_was_measured_as_it_is_comes_before_what_has_a_note():
    common = shipped("fireflow-flux", {"precision": "bf16"}).combination("fireflow", "feature_sharing").common
    compiled = MeasuredPace("card", FLUX, "bf16", 512, 0.3, 3.0, note="with --compile")
    slow, fast = (MeasuredPace("card", FLUX, "bf16", 512, seconds, 3.0) for seconds in (0.5, 0.4))
    assert find_pace([compiled, slow, fast], "card", common, 512) is fast
    assert find_pace([compiled], "card", common, 512) is compiled


def test_a_place_without_a_pace_is_none(tmp_path):
    for place in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(PiebenchError, match=rf"--pace {place}: .*scripts/bench.py --out"):
            read_paces(place)


@pytest.mark.parametrize(
    ("weights", "offloaded", "unmeasured"),
    [
        ("full", False, None),
        ("full", True, "--sequential-offload"),
        ("int8", False, "weights=int8"),
    ],
)
def test_the_bench_says_nothing_of_other_weights_nor_of_offloaded_blocks(weights, offloaded, unmeasured):
    """Both are several times slower; and no command of the bench would tell how much."""
    recipe = shipped("fireflow-flux", {"precision": "bf16", "resolution": 512, "weights": weights})
    machine = MachineOptions(devices="cpu", sequential_offload=offloaded)
    plan = SimpleNamespace(machine=machine, recipe=recipe, shard=Shard(), samples=())
    part = SimpleNamespace(seconds=None, combination="+".join(*recipe.pairs), nfe_to_compute=100, missing=2)
    found = time_of(plan, part, [MeasuredPace("card", FLUX, "bf16", 512, 0.5, 3.0)], "card")
    if unmeasured is None:
        assert (found.seconds, found.source) == (56, "bench")
    else:
        assert found.seconds is None
        assert f"the bench does not measure {unmeasured}; try --limit 2" in found.unknown
        assert "scripts/bench.py" not in found.unknown
