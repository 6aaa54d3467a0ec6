"""How often a comparison claims what is not there."""

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test, ttest_1samp

from piebench_eval.tables.statistics.bootstrap import RESAMPLES
from piebench_eval.tables.statistics.paired import holm, interval_of_differences, p_of_differences
from tests.tables.statistics.test_bootstrap import quantile_range


def noise(pairs, repeats, seed=0):
    return np.random.default_rng(seed).normal(0, 5, (pairs, repeats))


@pytest.mark.parametrize("pairs", [2, 3, 5, 10, 20, 70, 99, 120])
def test_the_interval_leaves_out_0_in_one_of_twenty_cases_without_a_difference(pairs):
    repeats = 4000 if pairs < 100 else 400
    low, high = interval_of_differences(noise(pairs, repeats))
    wrong = np.mean((low > 0) | (high < 0))
    assert wrong == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / repeats))


def test_it_is_students_interval_and_p():
    differences = np.random.default_rng(1).normal(1, 5, (30, 3))
    differences[12:, 1] = np.nan
    low, high = interval_of_differences(differences)
    theirs = ttest_1samp(differences, 0, nan_policy="omit")
    interval = theirs.confidence_interval(0.95)
    assert low == pytest.approx(np.array(interval.low, dtype=float))
    assert high == pytest.approx(np.array(interval.high, dtype=float))
    assert p_of_differences(differences) == pytest.approx(np.array(theirs.pvalue, dtype=float))


def test_with_many_pairs_it_is_scipys_bootstrap_interval():
    differences = np.random.default_rng(2).exponential(5, (150, 2)) - 4
    theirs = bootstrap((differences,), np.mean, axis=0, n_resamples=RESAMPLES, method="percentile", rng=1)
    for end, level in zip(interval_of_differences(differences), (0.025, 0.975), strict=True):
        least, most = quantile_range(theirs.bootstrap_distribution, level)
        assert np.all((least <= end) & (end <= most))


def test_its_p_is_that_of_a_permutation_test():
    differences = np.random.default_rng(3).normal(1, 6, (100, 4))
    theirs = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=9999, axis=0, vectorized=True, rng=1
    )
    one_sided = theirs.pvalue / 2  # scipy doubles the smaller of both tails, and with it the sampling error
    allowed = 2 * 4 * np.sqrt(one_sided * (1 - one_sided) / 9999)
    assert np.all(np.abs(p_of_differences(differences) - theirs.pvalue) <= allowed)


@pytest.mark.filterwarnings("error")
def test_differences_that_are_all_alike():
    differences = np.stack([np.zeros(20), np.ones(20), np.full(20, np.nan), [1.0, *[np.nan] * 19]], axis=1)
    low, high = interval_of_differences(differences)
    assert low[:2].tolist() == high[:2].tolist() == [0, 1]
    assert np.isnan([low[2:], high[2:]]).all()
    p = p_of_differences(differences)
    assert p[:2].tolist() == [1, 0] and np.isnan(p[2:]).all()


def test_of_many_metrics_without_a_difference_one_is_claimed_in_one_of_twenty_cases():
    metrics, repeats = 7, 1000
    p = p_of_differences(noise(20, metrics * repeats)).reshape(repeats, metrics)
    assert np.mean(p.min(axis=1) < 0.05) > 0.2, "unadjusted, every third comparison claims something"
    wrong = np.mean([holm(each).min() < 0.05 for each in p])
    assert wrong == pytest.approx(0.05, abs=0.025)


def test_holms_adjustment_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
    assert np.isnan(holm(np.array([np.nan]))).all()
