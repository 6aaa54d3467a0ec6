"""The averaging rules of a protocol."""

import numpy as np
import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS, CLIP_TARGET, COLUMNS, LPIPS, MSE, PSNR
from piebench_eval.metrics.protocol import AverageRules
from piebench_eval.tables.aggregate import aggregate, omission_remarks
from tests.tables.test_tables import scores


def row(rules=None, **columns):
    """The means of one combination of four pictures with these scores."""
    table = scores(4, inversions=("direct",), **columns)
    return (aggregate(table, rules) if rules else aggregate(table)).iloc[0]


def counts(found, metric):
    return tuple(int(found[f"{metric}_{what}"]) for what in ("n", "nan", "inf"))


MIXED = {PSNR: [20.0, 22.0, np.nan, np.inf]}


@pytest.mark.parametrize(
    ("rules", "mean", "counted"),
    [
        (AverageRules(), 21, (2, 1, 1)),
        (AverageRules(nan="zero"), 14, (3, 0, 1)),
        (AverageRules(inf="100"), 142 / 3, (3, 1, 0)),
        (AverageRules(inf="kept"), np.inf, (3, 1, 0)),
        (AverageRules(nan="zero", inf="100"), 142 / 4, (4, 0, 0)),
    ],
)
def test_nan_and_inf_count_as_the_rules_say(rules, mean, counted):
    found = row(rules, **MIXED)
    assert found["psnr"] == pytest.approx(mean)
    assert counts(found, "psnr") == counted


def test_an_infinite_mean_has_no_interval():
    found = row(AverageRules(inf="kept"), **MIXED)
    assert np.isnan([found["psnr_low"], found["psnr_high"], found["psnr_sem"]]).all()


def test_the_rule_for_inf_is_of_psnr_alone():
    found = row(AverageRules(inf="100"), **{LPIPS: [0.1, 0.3, np.inf, np.inf]})
    assert found["lpips"] == pytest.approx(200)
    assert counts(found, "lpips") == (2, 0, 2)


@pytest.mark.parametrize("values", [[np.inf] * 4, [np.nan, np.inf, np.inf, np.nan]])
def test_where_every_picture_is_identical_the_mean_is_inf(values):
    for psnr in ("mean", "pooled"):
        found = row(AverageRules(psnr=psnr), **{PSNR: values})
        assert found["psnr"] == np.inf
        assert found["psnr_n"] == 0 and np.isnan(found["psnr_low"])


def test_nothing_to_average_is_nan():
    found = row(**{PSNR: np.nan})
    assert np.isnan(found["psnr"]) and counts(found, "psnr") == (0, 4, 0)


def test_pooled_psnr_is_that_of_the_mean_mse():
    mse = np.array([0.01, 0.02, 0.0005, 0.004])
    found = row(AverageRules(psnr="pooled"), **{PSNR: -10 * np.log10(mse), MSE: mse})
    assert found["psnr"] == pytest.approx(-10 * np.log10(mse.mean()))
    # Of the mean MSE's interval, turned round: the table has it in 1e-4.
    assert found["psnr_low"] == pytest.approx(-10 * np.log10(found["mse_high"] / 1e4), rel=1e-6)
    assert found["psnr_high"] == pytest.approx(-10 * np.log10(found["mse_low"] / 1e4), rel=1e-6)
    assert np.isnan(found["psnr_sem"]) and counts(found, "psnr") == (4, 0, 0)


def test_pooled_psnr_counts_an_identical_picture_as_no_error():
    rules = AverageRules(psnr="pooled", inf="kept")
    found = row(rules, **{PSNR: [20.0, 20.0, np.inf, np.inf]})
    assert found["psnr"] == pytest.approx(-10 * np.log10(0.005))


def test_every_psnr_is_pooled_and_nothing_else():
    columns = {"psnr": [20.0, 20.0, 30.0, 30.0], "psnr_edit_part": [20.0, 20.0, 30.0, 30.0]}
    found = row(AverageRules(psnr="pooled"), **columns)
    assert found["psnr_everywhere"] == found["psnr_edit_part"] == pytest.approx(-10 * np.log10(0.0055))
    plain = row(**columns)
    assert plain["psnr_everywhere"] == pytest.approx(25)
    assert found["ssim"] == plain["ssim"]


def test_an_interval_holds_its_mean_in_the_tables_unit():
    found = aggregate(scores(100)).iloc[0]
    for metric in ("structure_distance", "mse", "ssim", "clip_whole"):
        low, mean, high = (found[f"{metric}{end}"] for end in ("_low", "", "_high"))
        assert low < mean < high
        assert high - low == pytest.approx(2 * 1.96 * found[f"{metric}_sem"], rel=0.1)


def typed():
    table = scores(6, inversions=("direct", "ddim"))
    table["type"] = ["9", "1", "1", "10", "9", "1"] * 2
    table[MSE] = [0.0009, 0.0001, 0.0001, 0.0010, 0.0009, 0.0001] * 2
    return table


def test_only_types_of_the_rules_count():
    means = aggregate(typed(), AverageRules(types=("1",)))
    assert means["images"].tolist() == [3, 3]
    assert means["mse"].tolist() == pytest.approx([1, 1])


def test_a_row_per_type_in_their_order():
    means = aggregate(typed(), by_type=True)
    assert means["inversion"].tolist() == ["ddim"] * 3 + ["direct"] * 3
    assert means["type"].tolist() == ["1 change object", "9 change style", "10 other"] * 2
    assert means["images"].tolist() == [3, 2, 1] * 2
    assert means["mse"].tolist() == pytest.approx([1, 9, 10] * 2)


def test_types_that_are_not_there():
    with pytest.raises(PiebenchError, match=r"no row of editing type 5; there are: 1, 9, 10"):
        aggregate(typed(), AverageRules(types=("5",)))
    with pytest.raises(PiebenchError, match="no column type"):
        aggregate(scores(3), by_type=True)
    with pytest.raises(PiebenchError, match="no column type"):
        aggregate(scores(3), AverageRules(types=("5",)))


def test_what_is_left_out_is_said_of_every_metric():
    table = scores(4, inversions=("direct",), **MIXED, ssim=[0.5, np.nan, 0.5, 0.5])
    (line,) = omission_remarks(aggregate(table))
    assert line == "direct+p2p: means leave out psnr 1 nan, psnr 1 inf, ssim_everywhere 1 nan of 4 values"
    assert omission_remarks(aggregate(table[["id", "inversion", "method", COLUMNS[0]]])) == []


def test_a_mean_of_category_means_gives_every_type_the_same_weight():
    found = row(AverageRules(over="types"), type=["0", "0", "0", "9"], **{PSNR: [20.0, 22.0, 24.0, 30.0]})
    assert found["psnr"] == pytest.approx(26) and np.isnan(found["psnr_sem"]), "one picture has no spread"
    assert counts(found, "psnr") == (4, 0, 0)
    # Type 9 has one value: the interval is that of type 0's mean with it, or of either alone.
    assert 20 < found["psnr_low"] < 26 < found["psnr_high"] <= 30


def test_the_error_of_a_mean_of_category_means_is_that_of_both():
    found = row(AverageRules(over="types"), type=["0", "0", "9", "9"], **{PSNR: [20.0, 22.0, 30.0, 34.0]})
    assert found["psnr"] == pytest.approx(26.5)
    assert found["psnr_sem"] == pytest.approx(np.hypot(1.0, 2.0) / 2)
    alike = row(AverageRules(over="types"), type=["0", "0", "0", "0"], **{PSNR: [20.0, 22.0, 30.0, 34.0]})
    plain = row(**{PSNR: [20.0, 22.0, 30.0, 34.0]})
    same = ["psnr", "psnr_sem", "psnr_low", "psnr_high"]
    assert list(alike[same]) == list(plain[same]), "of one type, it is the mean"


def test_a_type_without_values_is_in_no_mean():
    found = row(AverageRules(over="types"), type=["0", "1", "9", "9"], **{PSNR: [20.0, np.nan, 30.0, 34.0]})
    assert found["psnr"] == pytest.approx((20 + 32) / 2) and counts(found, "psnr") == (3, 1, 0)


def test_pictures_without_background_can_be_left_out_of_all_means():
    values = {
        **{column: [1.0, 2.0, np.nan, np.nan] for column in BACKGROUND_COLUMNS},
        CLIP_TARGET: [20.0, 22.0, 30.0, 40.0],
    }
    found = row(AverageRules(pictures="with_background"), **values)
    assert found["clip_whole"] == pytest.approx(21) and found["images"] == 2
    assert row(**values)["clip_whole"] == pytest.approx(28)


def test_scores_that_do_not_tell_which_pictures_have_a_background():
    rules = AverageRules(pictures="with_background")
    table = scores(4, inversions=("direct",))
    with pytest.raises(PiebenchError, match="score psnr_unedit_part as well"):
        aggregate(table.drop(columns=list(BACKGROUND_COLUMNS)), rules)
    with pytest.raises(PiebenchError, match="no picture of the scores has a background"):
        aggregate(table.assign(**dict.fromkeys(BACKGROUND_COLUMNS, np.nan)), rules)
