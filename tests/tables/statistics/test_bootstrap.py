import numpy as np
import pytest
from scipy.stats import bootstrap

from piebench_eval.tables.statistics.bootstrap import CONFIDENCE, RESAMPLES, interval_of_means


def normals(*shape, seed=0):
    return np.random.default_rng(seed).normal(20, 5, shape)


def quantile_range(resamples, level):
    """Where a second bootstrap's quantile is to be expected: 4 standard errors of the difference of two."""
    reach = 4 * np.sqrt(2 * level * (1 - level) / resamples.shape[-1])
    return np.quantile(resamples, (level - reach, level + reach), axis=-1)


def test_it_is_scipys_percentile_interval():
    values = np.concatenate([normals(300, 2), np.random.default_rng(1).exponential(3, (300, 1))], axis=1)
    ends = interval_of_means(values)
    theirs = bootstrap((values,), np.mean, axis=0, n_resamples=RESAMPLES, method="percentile", rng=1)
    for end, level in zip(ends, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), strict=True):
        least, most = quantile_range(theirs.bootstrap_distribution, level)
        assert np.all((least <= end) & (end <= most))


def test_it_holds_the_true_mean_about_as_often_as_it_says():
    low, high = interval_of_means(normals(50, 200, seed=3))
    assert 0.88 <= np.mean((low < 20) & (high > 20)) <= 0.99


def test_missing_values_count_no_more_than_rows_that_are_not_there():
    values = normals(300, 1)
    holed = np.concatenate([values, np.full((300, 1), np.nan)])
    (low, high), (holed_low, holed_high) = interval_of_means(values), interval_of_means(holed)
    assert holed_low == pytest.approx(low, abs=0.1)
    assert holed_high == pytest.approx(high, abs=0.1)


def test_the_columns_of_a_matrix_do_not_know_of_each_other():
    values = normals(40, 3)
    values[5:, 1] = np.nan
    together = interval_of_means(values)
    for column in range(3):
        alone = interval_of_means(values[:, [column]])
        assert np.allclose(np.ravel(alone), [ends[column] for ends in together], rtol=0, atol=1e-5)


def test_fewer_than_two_values_have_no_interval():
    values = np.array([[1.0, np.nan, 1.0], [np.nan, np.nan, 3.0]])
    low, high = interval_of_means(values)
    assert np.isnan(low[:2]).all() and np.isnan(high[:2]).all()
    assert (low[2], high[2]) == (1, 3)
    assert np.isnan(interval_of_means(values[:1])).all()


@pytest.mark.filterwarnings("error")
def test_two_values_among_many_pictures():
    values = np.full((700, 1), np.nan)
    values[:2, 0] = 1, 3
    low, high = interval_of_means(values)
    assert (low[0], high[0]) == (1, 3)


def test_a_constant_is_sure_however_large():
    low, high = interval_of_means(np.full((10, 1), 12345.678))
    assert low[0] == high[0] == 12345.678


def test_it_is_the_same_every_time():
    values = normals(30, 2)
    assert np.array_equal(interval_of_means(values), interval_of_means(values.copy()))
