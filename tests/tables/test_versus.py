import numpy as np
import pandas as pd
import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import COLUMNS, PSNR
from piebench_eval.tables.versus import versus


def scores(shift, number=40):
    rng = np.random.default_rng(0)
    rows = []
    for sample in range(number):
        level = rng.normal(20, 5)
        for inversion, plus in (("direct", shift), ("ddim", 0.0)):
            values = dict.fromkeys(COLUMNS, level + plus + rng.normal(0, 0.5))
            rows.append({"id": str(sample), "inversion": inversion, "method": "p2p", **values})
    return pd.DataFrame(rows)


def row(table, metric):
    return table.set_index("metric").loc[metric]


def test_pairing_finds_a_shift_that_is_small_beside_the_spread():
    found = row(versus(scores(shift=1.0), "direct+p2p", "ddim+p2p"), "psnr")
    assert found.low < 1.0 < found.high
    assert found.low > 0.5 and found.high < 1.5
    assert found.pairs == 40


def test_no_shift_no_claim():
    found = row(versus(scores(shift=0.0), "direct+p2p", "ddim+p2p"), "psnr")
    assert found.low < 0 < found.high


def test_it_is_in_the_tables_units_and_turns_its_sign():
    table = scores(shift=1.0)
    there, back = (
        row(versus(table, *names), "structure_distance")
        for names in (("direct+p2p", "ddim+p2p"), ("ddim+p2p", "direct+p2p"))
    )
    assert there.difference == pytest.approx(-back.difference)
    assert there.difference == pytest.approx(1000, rel=0.2)


def test_values_that_are_no_numbers_and_lone_pictures_are_left_out():
    table = scores(shift=1.0)
    table.loc[0, PSNR] = np.inf
    table.loc[3, PSNR] = np.nan
    found = versus(table.iloc[:-1], "direct+p2p", "ddim+p2p")
    assert row(found, "psnr").pairs == 37
    assert row(found, "ssim").pairs == 39


def test_one_pair_has_no_interval():
    found = row(versus(scores(1.0, number=1), "direct+p2p", "ddim+p2p"), "lpips")
    assert np.isnan(found.low) and np.isfinite(found.difference)


def test_an_unknown_combination_is_named():
    with pytest.raises(PiebenchError, match=r"direct\+pnp.*there are: direct\+p2p, ddim\+p2p"):
        versus(scores(1.0), "direct+pnp", "ddim+p2p")
