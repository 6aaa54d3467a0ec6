"""Parts of a plan, as users and launchers name them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.errors import PiebenchError
from piebench_eval.runs.shard import Shard, parse_shard, shard_from_environment


@given(st.integers(1, 20), st.lists(st.integers(), unique=True))
def test_the_parts_are_all_items_and_share_none(count, items):
    parts = [parse_shard(f"{index}/{count}").part(items) for index in range(count)]
    assert sorted(item for part in parts for item in part) == sorted(items)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["4/4", "1", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(PiebenchError, match="counted from 0"):
        parse_shard(text)


def slurm(task, count, **more):
    names = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": count, **more}
    return {name: str(value) for name, value in names.items()}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (slurm(3, 8), Shard(3, 8)),
        (slurm(1, 4, SLURM_ARRAY_TASK_MIN=1), Shard(0, 4)),
        (slurm(5, 3, SLURM_ARRAY_TASK_MIN=1, SLURM_ARRAY_TASK_STEP=2), Shard(2, 3)),
        ({"RANK": "2", "WORLD_SIZE": "4"}, Shard(2, 4)),
        ({**slurm(0, 2), "RANK": "5", "WORLD_SIZE": "8"}, Shard(0, 2)),
    ],
)
def test_launchers_name_the_shard(environment, expected):
    assert shard_from_environment(environment)[0] == expected


@pytest.mark.parametrize("environment", [{}, {"RANK": "0", "WORLD_SIZE": "1"}, slurm(0, 1), {"RANK": "1"}])
def test_one_process_alone_has_no_shard(environment):
    assert shard_from_environment(environment) is None


@pytest.mark.parametrize("environment", [slurm(7, 3), slurm("x", 3), {"RANK": "4", "WORLD_SIZE": "4"}])
def test_a_launcher_that_makes_no_sense_is_named(environment):
    with pytest.raises(PiebenchError, match="give --shard INDEX/COUNT"):
        shard_from_environment(environment)
