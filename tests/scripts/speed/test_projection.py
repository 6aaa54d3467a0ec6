"""Table 1 from what was measured of it."""

import pytest

from piebench_eval.runs.forecast import Forecast
from scripts.speed.measure import Measured, Timing
from scripts.speed.projection import hours, project, seconds_per_row
from scripts.speed.tables import batch_rows

ENDS = {1: 1.0, 2: 0.5}
P2P = Measured("direct+p2p", 40, 0, [Timing(1, 5.0, None), Timing(2, 2.5, None)])
NULL_TEXT = Measured("null_text+p2p", 160, 100, [Timing(1, 60.0, None), Timing(2, 52.5, None)])


def planned(name, forward, backward=0, shared=0):
    return Forecast(name, 0, 0, 0, forward, backward, shared, 0, None, 0)


def test_a_row_takes_what_is_left_without_encoding_and_decoding():
    assert seconds_per_row(P2P, ENDS) == pytest.approx((2.5 - 0.5) / 40)


def test_more_steps_take_more_rows_and_no_more_encoding():
    (found,) = project([planned("direct+p2p", 200)], [P2P], ENDS)
    assert found.seconds == pytest.approx(0.5 + 200 * 0.05)


@pytest.mark.parametrize(
    ("plan", "pace_of"),
    [
        (planned("ddim+p2p", 250), "direct+p2p"),
        (planned("null_text+masactrl", 796, 500, shared=50), "null_text+p2p"),
        # The optimisation was another combination's: what is left differentiates nothing.
        (planned("null_text+p2p", 790, 500, shared=1150), "direct+p2p"),
    ],
)
def test_the_pace_is_that_of_the_nearest(plan, pace_of):
    (found,) = project([plan], [NULL_TEXT, P2P], ENDS)
    assert found.pace_of == pace_of
    assert found.rows == plan.nfe_forward + plan.nfe_backward - plan.nfe_reused


def test_nothing_is_projected_from_another_method():
    assert project([planned("direct+p2p", 200), planned("direct+pnp", 200)], [P2P, NULL_TEXT], ENDS) == []


def test_hours_are_of_all_pictures():
    found = project([planned("direct+p2p", 200), planned("ddim+p2p", 250)], [P2P], ENDS)
    assert hours(found) == pytest.approx(700 * (10.5 + 13) / 3600)


def test_an_edit_that_is_all_encoding_has_no_rate():
    quick = Measured("direct+p2p", 40, 0, [Timing(1, 0.9, None, peak=7)])
    (row,) = batch_rows([quick], ENDS, per_row=10, peak=100.0)
    assert (row["seconds_in_steps"], row["flops_per_second"], row["share_of_peak"]) == (0, None, None)
    assert row["peak_memory"] == 7
