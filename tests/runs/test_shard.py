"""Parts of a plan, as users and launchers name them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.errors import PiebenchError
from piebench_eval.runs.jobs import plan_jobs
from piebench_eval.runs.shard import Shard, parse_shard, shard_from_environment


@given(st.integers(1, 20), st.lists(st.integers(), unique=True))
def test_the_parts_are_all_items_and_share_none(count, items):
    parts = [parse_shard(f"{index}/{count}").part(items) for index in range(count)]
    assert sorted(item for part in parts for item in part) == sorted(items)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


SHARDS = st.integers(1, 12).flatmap(
    lambda count: st.lists(st.sampled_from([1, 2, 3, 4, 8, 16]), min_size=count, max_size=count)
)
"""The batch size of each shard."""


def edits(groups):
    return [job.key(sample) for group in groups for job in group.jobs for sample in job.wanted]


@given(samples=st.integers(0, 90), batch_sizes=SHARDS)
def test_shards_of_any_batch_sizes_make_every_edit_once(fake_recipe, sample, samples, batch_sizes):
    everything = [replace(sample, id=str(number)) for number in range(samples)]
    parts = [
        plan_jobs(fake_recipe, everything, batch_size, Shard(index, len(batch_sizes)))
        for index, batch_size in enumerate(batch_sizes)
    ]
    made = [key for groups in parts for key in edits(groups)]
    assert len(made) == len(set(made)) == samples * len(fake_recipe.pairs)
    for groups, batch_size in zip(parts, batch_sizes, strict=True):
        assert all(len(job.samples) <= batch_size for group in groups for job in group.jobs)
        assert all(group.jobs[0].samples == job.samples for group in groups for job in group.jobs)
    if samples >= len(batch_sizes):
        assert all(parts), "every shard has something to do"


def test_the_papers_samples_go_to_eight_shards_in_equal_parts(fake_recipe, sample):
    everything = [replace(sample, id=str(number)) for number in range(700)]
    for batch_size in (1, 8):
        parts = [plan_jobs(fake_recipe, everything, batch_size, Shard(index, 8)) for index in range(8)]
        assert {len(edits(groups)) // len(fake_recipe.pairs) for groups in parts} == {88, 84}


@given(count=st.integers(1, 10), batch_size=st.integers(1, 8))
def test_a_batch_is_the_same_whatever_the_number_of_shards(fake_recipe, sample, count, batch_size):
    everything = [replace(sample, id=str(number)) for number in range(85)]
    shards = [Shard(index, count) for index in range(count)]
    of_shards = [group for shard in shards for group in plan_jobs(fake_recipe, everything, batch_size, shard)]
    in_one = plan_jobs(fake_recipe, everything, batch_size)
    assert {group.jobs[0].samples for group in of_shards} == {group.jobs[0].samples for group in in_one}


@pytest.fixture(scope="session")
def sample(samples):
    return samples[0]


def test_none_is_the_whole_run():
    assert parse_shard("none") == Shard()


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
