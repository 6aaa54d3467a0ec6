"""Runs that are killed at random and resumed: pytest -m chaos."""

import pytest

from scripts import chaos

RUNS = 30


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_runs_that_are_killed_and_resumed_end_like_one_that_was_not(tmp_path):
    chaos.finish(tmp_path / "whole")
    expected = chaos.pictures(tmp_path / "whole")
    assert len(expected) == chaos.EDITS
    for seed in range(RUNS):
        chaos.disturb_and_resume(tmp_path / f"run{seed}", expected, kills=3, seed=seed)
