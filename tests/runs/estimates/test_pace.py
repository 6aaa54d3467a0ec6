"""The pace of work that is finished in bursts."""

import pytest

from piebench_eval.runs.estimates.pace import Pace, joint_speed


def bursts(count, start=0.0, spread=0.01, seconds=40.0, size=8):
    """A worker's batches, each of whose edits are told one after the other, within a moment."""
    pace = Pace()
    for batch in range(1, count + 1):
        for place in range(size):
            pace.add(start + 40 * batch + spread * place, 1, seconds)
    return pace


@pytest.mark.parametrize("count", [1, 2, 3, 30])
@pytest.mark.parametrize("spread", [0, 0.001, 0.5])
def test_batches_of_8_every_40_seconds_are_12_a_minute(count, spread):
    assert bursts(count, spread=spread).per_second() * 60 == pytest.approx(12, rel=0.1)


def test_without_the_batches_seconds_two_bursts_are_needed():
    assert bursts(1, spread=0, seconds=0).per_second() is None
    assert bursts(2, spread=0, seconds=0).per_second() * 60 == pytest.approx(12)


def test_work_whose_beginning_is_known_has_a_pace_after_the_first_burst():
    pace = Pace(began=100)
    pace.add(140, 8)
    assert pace.per_second() == pytest.approx(8 / 40)
    pace.add(150, 8)  # the first needed the networks to be loaded
    assert pace.per_second() == pytest.approx(8 / 10)


def test_the_pace_is_that_of_the_last_quarter_of_an_hour():
    pace = Pace()
    for minute in range(60):
        pace.add(60 * minute, 1)
    for second in range(1, 1001):
        pace.add(59 * 60 + second, 1)
    assert pace.per_second() == pytest.approx(1, rel=0.01)


def test_batches_longer_than_the_window_still_make_a_pace():
    pace = Pace()
    for hour in range(1, 5):
        pace.add(3600 * hour, 8, 3600)
    assert pace.per_second() == pytest.approx(8 / 3600) and pace.timeout == 3 * 3600


def test_workers_add_up_and_one_at_its_first_batch_is_as_fast_as_the_others():
    one, other = bursts(2), bursts(2, start=3)
    assert joint_speed([one, other], 2) * 60 == pytest.approx(24, rel=0.01)
    assert joint_speed([one], 2) * 60 == pytest.approx(24, rel=0.01)
    assert joint_speed([], 2) is None
    # One of two has died; another did in its place what came after.
    assert joint_speed([bursts(1), bursts(3)], 1) * 60 == pytest.approx(12, rel=0.01)
