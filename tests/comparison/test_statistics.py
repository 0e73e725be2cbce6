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


def test_expected_best_is_the_mean_over_all_subsets():
    scores = [0.3, 0.9, 0.5, 0.5, 0.1]
    for k, expected in enumerate(statistics.expected_best(scores), 1):
        subsets = [max(subset) for subset in itertools.combinations(scores, k)]
        assert expected == pytest.approx(np.mean(subsets), rel=1e-14)  # sums of at most 10 float64 terms


def test_band_of_expected_best_narrows_with_the_number_of_points_and_holds_the_curve():
    rng = np.random.default_rng(0)
    few, many = rng.uniform(size=8), rng.uniform(size=200)
    widths = []
    for scores in (few, many):
        low, high = statistics.expected_best_band(scores)
        middle = statistics.expected_best(scores)
        assert np.all(low <= middle + 1e-12) and np.all(middle <= high + 1e-12)
        widths.append(high[0] - low[0])
    # The standard error of a mean of uniform draws is 0.289 / sqrt(n); the band is 3.92 of them wide.
    assert widths[1] == pytest.approx(3.92 * 0.289 / np.sqrt(200), rel=0.15)
    assert widths[1] < widths[0]


def test_common_window_has_the_same_steps_for_all_although_rates_are_rounded():
    grid = [float(f"{rate:.4g}") for rate in np.logspace(-3, 1, 9)]
    window = statistics.common_window(
        {"a": grid, "b": [rate / 100 for rate in grid], "c": grid}, {"a": grid[6], "b": grid[5] / 100, "c": grid[5]}
    )
    assert window == {"a": [1, 2, 3, 4, 5, 6, 7, 8], "b": list(range(8)), "c": list(range(8))}


def test_chance_level_is_the_largest_class_and_two_binomial_standard_errors():
    labels = [0] * 60 + [1] * 40
    assert statistics.chance_level(labels) == pytest.approx(0.6 + 2 * scipy.stats.binom.std(100, 0.6) / 100)
    assert statistics.chance_level([3, 3]) == 1.0


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
