import numpy as np
import pandas as pd
import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import COLUMNS, PSNR
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.statistics.paired_comparison import (
    compare_all_with,
    compare_pair,
    comparison_remarks,
)


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
    found = row(compare_pair(scores(shift=1.0), "direct+p2p", "ddim+p2p"), "psnr")
    assert found.low < 1.0 < found.high
    assert found.low > 0.5 and found.high < 1.5
    assert found.pairs == 40


def test_no_shift_no_claim():
    found = row(compare_pair(scores(shift=0.0), "direct+p2p", "ddim+p2p"), "psnr")
    assert found.low < 0 < found.high


def test_it_is_in_the_tables_units_and_turns_its_sign():
    table = scores(shift=1.0)
    there, back = (
        row(compare_pair(table, *names), "structure_distance")
        for names in (("direct+p2p", "ddim+p2p"), ("ddim+p2p", "direct+p2p"))
    )
    assert there.difference == pytest.approx(-back.difference)
    assert there.difference == pytest.approx(1000, rel=0.2)


def test_values_that_are_no_numbers_and_lone_pictures_are_left_out():
    table = scores(shift=1.0)
    table.loc[0, PSNR] = np.inf
    table.loc[3, PSNR] = np.nan
    found = compare_pair(table.iloc[:-1], "direct+p2p", "ddim+p2p")
    assert (row(found, "psnr").pairs, row(found, "psnr").skipped) == (37, 2)
    assert (row(found, "ssim").pairs, row(found, "ssim").skipped) == (39, 0)


def test_one_pair_has_no_interval():
    found = row(compare_pair(scores(1.0, number=1), "direct+p2p", "ddim+p2p"), "lpips")
    assert np.isnan(found.low) and np.isfinite(found.difference)


def test_an_unknown_combination_is_named():
    with pytest.raises(PiebenchError, match=r"direct\+pnp.*there are: ddim\+p2p, direct\+p2p"):
        compare_pair(scores(1.0), "direct+pnp", "ddim+p2p")


def test_two_rows_for_a_picture_are_refused():
    table = scores(1.0)
    with pytest.raises(PiebenchError, match=r"ddim\+p2p: the scores hold id 0 more than once"):
        compare_pair(pd.concat([table, table.iloc[[1]]]), "direct+p2p", "ddim+p2p")


def test_pictures_that_both_lack_a_score_of_leave_nothing_to_compare():
    found = row(compare_pair(scores(1.0).assign(**{PSNR: np.nan}), "direct+p2p", "ddim+p2p"), "psnr")
    assert (found.pairs, found.skipped) == (0, 40)
    assert np.isnan([found.difference, found.low, found.high]).all()


def test_any_metric_is_compared():
    table = scores(1.0)
    further = table[["id", "inversion", "method"]].assign(dino_similarity=table[PSNR])
    (found,) = compare_pair(further, "direct+p2p", "ddim+p2p").itertuples()
    assert found.metric == "dino_similarity"
    assert found.difference == pytest.approx(100, rel=0.2)


def with_a_twin(shift):
    """Direct Inversion, DDIM inversion below it by a shift, and a twin of DDIM inversion."""
    table = scores(shift)
    twin = table[table["inversion"] == "ddim"].assign(inversion="null_text")
    return pd.concat([table, twin], ignore_index=True)


def test_every_other_combination_is_held_against_one():
    found = compare_all_with(with_a_twin(1.0), "ddim+p2p")
    assert list(dict.fromkeys(found["combination"])) == ["null_text+p2p", "direct+p2p"]
    alone = compare_pair(with_a_twin(1.0), "direct+p2p", "ddim+p2p")
    together = found[found["combination"] == "direct+p2p"].reset_index(drop=True)
    pd.testing.assert_frame_equal(together[list(alone.columns)], alone)


def test_the_better_one_is_named_by_what_is_better_in_a_metric():
    found = compare_all_with(with_a_twin(1.0), "ddim+p2p").set_index(["combination", "metric"])["better"]
    assert found["direct+p2p", "psnr"] == "direct+p2p"
    assert found["direct+p2p", "lpips"] == "ddim+p2p"
    assert set(found["null_text+p2p"]) == {""}


def test_without_an_interval_nobody_is_better():
    assert set(compare_all_with(scores(1.0, number=1), "ddim+p2p")["better"]) == {""}


def test_alone_there_is_nothing_to_compare():
    table = scores(1.0)
    with pytest.raises(PiebenchError, match="no other combination"):
        compare_all_with(table[table["inversion"] == "ddim"], "ddim+p2p")


def test_few_pictures_name_no_winner_however_clear():
    few = compare_all_with(scores(5.0, number=19), "ddim+p2p")
    assert (few["low"] > 0).all() and (few["p_holm"] < 0.001).all()
    assert set(few["better"]) == {""}
    assert comparison_remarks(few)[-1].startswith("direct+p2p: fewer than 20 pairs")
    enough = compare_all_with(scores(5.0, number=20), "ddim+p2p")
    assert set(enough["better"]) == {"direct+p2p", "ddim+p2p"}
    assert not any("fewer than" in remark for remark in comparison_remarks(enough))


def test_two_pictures_without_a_difference_are_unsure():
    claims = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = [
            {"id": id_, "inversion": inversion, "method": "p2p", PSNR: rng.normal(20, 5)}
            for id_ in "ab"
            for inversion in ("direct", "ddim")
        ]
        (found,) = compare_pair(pd.DataFrame(rows), "direct+p2p", "ddim+p2p").itertuples()
        claims += not found.low <= 0 <= found.high
    assert claims <= 6


def test_a_winner_by_one_of_many_metrics_is_put_down_to_chance():
    table = scores(0.0, number=30)
    rng = np.random.default_rng(5)
    for column in COLUMNS[1:]:
        table[column] = rng.normal(0, 1, len(table))
    table[COLUMNS[0]] = [0.45 * (row["inversion"] == "direct") for _, row in table.iterrows()]
    table[COLUMNS[0]] += rng.normal(0, 0.7, len(table))
    everything = compare_all_with(table, "ddim+p2p").set_index("metric").iloc[0]
    assert not everything.low <= 0 <= everything.high and everything.p_holm > 0.05
    assert everything.better == ""
    alone = compare_all_with(table, "ddim+p2p", TABLE_METRICS[:1]).iloc[0]
    assert alone.p_holm == alone.p < 0.05 and alone.better == "ddim+p2p"
