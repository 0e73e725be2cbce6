"""The statistics of a comparison, against hand calculation, enumeration and SciPy."""

import itertools

import numpy as np
import pytest
import scipy.stats

from jaxmlp.comparison import statistics


def test_interval_of_three_values_by_hand():
    # Mean 2, s = 1, t(0.975, 2) = 4.302653 (any table): 4.302653 / sqrt(3) = 2.484138.
    mean, half_width, n = statistics.interval([1.0, 2.0, 3.0])
    assert (mean, n) == (2.0, 3) and half_width == pytest.approx(2.484138, abs=1e-6)


def test_interval_of_one_value_has_no_width():
    assert np.isnan(statistics.interval([0.5]).half_width)


def test_interval_covers_the_mean_in_95_of_100_samples():
    rng = np.random.default_rng(0)
    samples = rng.normal(3.0, 2.0, size=(4000, 5))
    hits = [abs(s.mean - 3.0) <= s.half_width for s in map(statistics.interval, samples)]
    # 4,000 trials: standard deviation of the share is 0.0034; four of them.
    assert np.mean(hits) == pytest.approx(0.95, abs=0.014)


def test_paired_p_value_is_the_one_of_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 8))
    # Both evaluate the same closed form in float64.
    assert statistics.paired_p_value(a, b) == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, rel=1e-12)
    assert statistics.paired_p_value([1, 2], [1, 2]) == 1.0
    assert np.isnan(statistics.paired_p_value([0.95, 0.9528], [0.9472, 0.95]))


def test_expected_best_is_the_mean_over_all_draws():
    scores = [0.3, 0.9, 0.5]
    for k, expected in enumerate(statistics.expected_best(scores), 1):
        draws = [max(draw) for draw in itertools.product(scores, repeat=k)]
        assert expected == pytest.approx(np.mean(draws), rel=1e-14)  # sums of at most 27 float64 terms


def test_first_reaching_counts_epochs_from_one_and_reads_float32_as_it_is_meant():
    assert statistics.first_reaching([0.5, 0.9, 0.8, 0.95], 0.9) == 2
    assert statistics.first_reaching(np.array([0.5, 950 / 1000], np.float32), 0.95) == 2
    assert statistics.first_reaching([0.5, np.nan], 0.9) is None


def test_profile_and_score_by_hand():
    times = {"a": {"p": 1.0, "q": 4.0, "r": None}, "b": {"p": 2.0, "q": 2.0, "r": None}}
    profile = statistics.performance_profile(times, [1, 2, 4])
    np.testing.assert_allclose(profile["a"], [1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(profile["b"], [1 / 3, 2 / 3, 2 / 3])
    # a: 1/3 on [1, 2), 2/3 on [2, 4]: (1/3 + 4/3) / 3 = 5/9; the grid of 3,001 ratios blurs the jump by 1/3000.
    assert statistics.profile_score(times)["a"] == pytest.approx(5 / 9, abs=1e-3)
