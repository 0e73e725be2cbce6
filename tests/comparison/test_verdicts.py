"""Verdicts over all pairs: intervals recomputed by scipy, error rates by simulation, the words by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxmlp.comparison import verdicts
from jaxmlp.comparison.verdicts import Runs, all_pairs, compare


def normal_runs(seed, deviations, n, means=0.0):
    rng = np.random.default_rng(seed)
    means = np.broadcast_to(means, len(deviations))
    return {f"c{i}": Runs(rng.normal(m, s, n)) for i, (m, s) in enumerate(zip(means, deviations, strict=True))}


def crossed_answers(rng, n, examples, runs_deviation=0.1, mean=1.5):
    """Right and wrong answers of n runs to the same examples, some of which are harder than others."""
    run_effect = rng.normal(0, runs_deviation, (n, 1))
    return rng.normal(size=(n, len(examples))) < mean + examples + run_effect


def claimed(scores, examples_variance=0.0):
    """Whether any pair of (draws, 6, n) scores gets a verdict, by the equations, given the variance over examples."""
    level, n = verdicts.level_of_each_pair(6), scores.shape[2]
    mean, part = scores.mean(axis=2), scores.var(axis=2, ddof=1) / n
    i, j = np.triu_indices(6, 1)
    variance = part[:, i] + part[:, j]
    df = variance**2 / ((part[:, i] ** 2 + part[:, j] ** 2) / (n - 1))
    runs, examples = stats.t.ppf((1 + level) / 2, df) ** 2 * variance, stats.norm.ppf((1 + level) / 2) ** 2
    return (np.abs(mean[:, i] - mean[:, j]) > np.sqrt(runs + examples * examples_variance)).any(axis=1)


def test_without_answers_each_interval_is_scipys_welch_interval_at_sidaks_level():
    candidates = normal_runs(0, (1.0, 2.0, 0.5, 3.0), 6)
    level = 0.95 ** (1 / 6)
    for pair in all_pairs(candidates):
        a, b = candidates[pair.a].scores, candidates[pair.b].scores
        expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(level)
        # Two implementations of the same formula in float64.
        np.testing.assert_allclose((pair.low, pair.high), expected, rtol=1e-12)
        assert pair.difference == pytest.approx(a.mean() - b.mean(), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("examples", [0.0, 2.0])  # standard deviation of a candidate's score over test sets
@pytest.mark.parametrize("deviations", [(1.0,) * 6, (0.05, 0.1, 0.2, 0.25, 0.25, 0.28), (0.01, 0.1, 1, 1, 1, 1)])
def test_family_wise_error_is_at_most_five_percent_and_a_half(n, deviations, examples):
    draws = 4000
    rng = np.random.default_rng(n)
    scores = rng.normal(size=(draws, 6, n)) * np.array(deviations)[:, None]
    scores = scores + examples * rng.normal(size=(draws, 6, 1))
    found = claimed(scores, 2 * examples**2)
    if not examples:  # the same verdicts as the function gives, on the first draws: it takes too long for all of them
        for draw in range(20):
            pairs = all_pairs({str(i): Runs(scores[draw, i]) for i in range(6)})
            assert found[draw] == any(pair.verdict != verdicts.UNDECIDED for pair in pairs)
    # 0.055, and three standard errors of a share over 4,000 draws.
    assert np.mean(found) <= 0.055 + 3 * np.sqrt(0.055 * 0.945 / draws)


def test_the_margins_of_seeds_and_examples_are_combined_by_their_squares():
    rng = np.random.default_rng(0)
    examples = rng.normal(size=80)
    answers = [crossed_answers(rng, 3, examples + rng.normal(0, 0.5, 80)) for _ in range(2)]
    a, b = (Runs(right.mean(axis=1), right) for right in answers)
    pair = compare("a", a, "b", b, level=0.9, margin=None)
    of_runs, of_examples = stats.t.ppf(0.95, [pair.degrees_of_freedom, 79])
    assert pair.examples_variance is not None and pair.examples_variance > 0
    half = np.hypot(of_runs * np.sqrt(pair.runs_variance), of_examples * np.sqrt(pair.examples_variance))
    assert pair.high - pair.difference == pytest.approx(half, rel=1e-12)
    welch = stats.ttest_ind(a.scores, b.scores, equal_var=False)
    assert pair.degrees_of_freedom == pytest.approx(welch.df, rel=1e-12)


def test_runs_that_share_a_seed_do_not_hide_the_variance_over_examples():
    # Candidates that answer alike because they share seeds: their noise is common, and leaves the difference alone.
    rng, n, count = np.random.default_rng(0), 5, 200
    estimates, differences = [], []
    for _ in range(300):
        hardness, apart = rng.normal(size=count), rng.normal(0, 0.5, size=(2, count))
        noise = rng.normal(size=(n, count))
        answers = [noise + 0.3 * rng.normal(size=(n, count)) < 1.5 + hardness + own for own in apart]
        a, b = (Runs(right.mean(axis=1), right) for right in answers)
        pair = compare("a", a, "b", b, level=0.95, margin=None)
        differences.append(pair.difference)
        estimates.append((pair.examples_variance or 0.0) + (a.scores - b.scores).var(ddof=1) / n)
    # The standard error of a variance from 300 draws is 8 %; three of them.
    assert np.mean(estimates) == pytest.approx(np.var(differences), rel=0.25)


@pytest.mark.slow
def test_the_variance_over_seeds_and_examples_is_that_of_repeated_experiments():
    rng, n, count = np.random.default_rng(0), 5, 300
    differences, estimates = [], []
    for _ in range(1500):
        examples = rng.normal(size=count)
        answers = [crossed_answers(rng, n, examples + rng.normal(0, 0.5, count)) for _ in range(2)]
        a, b = (Runs(right.mean(axis=1), right) for right in answers)
        pair = compare("a", a, "b", b, level=0.95, margin=None)
        differences.append(pair.difference)
        estimates.append(pair.runs_variance + (pair.examples_variance or 0.0))
    # The standard error of a variance from 1,500 draws is 3.7 %; three of them.
    assert np.mean(estimates) == pytest.approx(np.var(differences), rel=0.11)


def test_identical_answers_leave_no_variance_over_examples():
    rng = np.random.default_rng(1)
    right = crossed_answers(rng, 4, rng.normal(size=50))
    pair = compare("a", Runs(right.mean(axis=1), right), "b", Runs(right.mean(axis=1), right), level=0.9, margin=0.1)
    assert pair.difference == 0 and pair.examples_variance == 0


def test_one_pair_by_hand():
    # s_a^2 = 1, s_b^2 = 4, n = 2 each: variance 2.5, df = 2.5^2 / (0.5^2 + 2^2) = 1.4706, mean difference 3.
    half = np.sqrt(2)
    a, b = Runs(np.array([4 - half / 2, 4 + half / 2])), Runs(np.array([1 - half, 1 + half]))
    pair = compare("a", a, "b", b, level=0.9, margin=None)
    assert pair.difference == pytest.approx(3)
    assert pair.runs_variance == pytest.approx(2.5)
    assert pair.degrees_of_freedom == pytest.approx(6.25 / 4.25)


@pytest.mark.parametrize(
    ("shift", "margin", "higher", "word"),
    [
        (1.0, None, True, "better"),
        (1.0, None, False, "worse"),
        (-1.0, None, True, "worse"),
        (-1.0, None, False, "better"),
        (0.0, 1.0, True, "equal"),
        (0.0, None, True, "undecided"),
        (0.0, 0.01, True, "undecided"),
        (1.0, 5.0, True, "better"),  # real, though smaller than the margin
    ],
)
def test_the_four_words(shift, margin, higher, word):
    base = np.array([0.0, 0.1, -0.1, 0.05, -0.05])
    pair = compare("a", Runs(base + shift), "b", Runs(base[::-1]), level=0.95, margin=margin, higher_is_better=higher)
    assert pair.verdict == word
    assert (pair.more_runs is not None) == (word == "undecided" and (margin is not None))


def test_the_runs_that_are_asked_for_decide_the_pair_at_the_same_spreads():
    a, b = np.array([0.0, 1.0, -1.0, 0.5, -0.5]), np.array([0.3, 1.3, -0.7, 0.8, -0.2])
    pair = compare("a", Runs(a), "b", Runs(b), level=0.95, margin=None)
    assert pair.verdict == verdicts.UNDECIDED and pair.more_runs is not None
    n, variance = 5 + pair.more_runs, a.var(ddof=1)

    def decided(n):
        return stats.t.ppf(0.975, 2 * (n - 1)) * np.sqrt(2 * variance / n) < 0.3  # equal spreads: Welch's df

    assert decided(n) and not decided(n - 1)


def test_no_number_of_runs_decides_what_the_test_examples_leave_open():
    # Each candidate answers its own half of the examples, but for one answer per run.
    halves = np.arange(40) < 20
    a = np.array([halves ^ (np.arange(40) == run) for run in range(5)])
    b = np.array([~halves ^ (np.arange(40) == 2 * run) for run in range(5)])
    pair = compare("a", Runs(a.mean(axis=1), a), "b", Runs(b.mean(axis=1), b), level=0.95, margin=0.01)
    assert pair.verdict == verdicts.UNDECIDED and pair.more_runs is None
    assert pair.examples_variance is not None and pair.examples_variance > pair.runs_variance


def test_runs_without_a_score_leave_a_pair_undecided_and_no_other():
    candidates = normal_runs(3, (0.01, 0.01, 0.01), 5, means=(0.0, 1.0, 2.0))
    candidates["c1"] = Runs(np.append(candidates["c1"].scores[:4], np.nan))
    words = {(p.a, p.b): p.verdict for p in all_pairs(candidates)}
    assert words == {("c0", "c1"): "undecided", ("c0", "c2"): "worse", ("c1", "c2"): "undecided"}


def test_a_constant_difference_is_decided_and_equal_constants_are_not():
    constant = {"a": Runs(np.full(3, 0.9)), "b": Runs(np.full(3, 0.8)), "c": Runs(np.full(3, 0.8))}
    words = {(p.a, p.b): p.verdict for p in all_pairs(constant)}
    assert words == {("a", "b"): "better", ("a", "c"): "better", ("b", "c"): "undecided"}
    assert {p.verdict for p in all_pairs(constant, margin=0.2)} == {"better", "equal"}


def test_power_is_the_share_of_simulated_comparisons_that_find_the_difference():
    draws, n, level = 2000, 10, 0.99
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.3, 0.2, (draws, n)), rng.normal(0.0, 0.2, (draws, n))
    found = np.mean(
        [
            compare("a", Runs(x), "b", Runs(y), level=level, margin=None).verdict == "better"
            for x, y in zip(a, b, strict=True)
        ]
    )
    # Three standard errors of a share, and Welch's degrees of freedom, which are fewer than the 2 (n - 1) assumed.
    assert verdicts.power(0.3, 0.2, n, level=level) == pytest.approx(found, abs=3 * 0.5 / np.sqrt(draws) + 0.01)


@pytest.mark.parametrize("runs", [3, 10, 51])
def test_power_grows_to_1_with_the_difference(runs):
    found = [verdicts.power(size, 1.0, runs, level=0.99) for size in np.linspace(0, 60, 13)]
    assert found[0] == pytest.approx(0.01) and found[-1] == pytest.approx(1)  # under no difference: the error allowed
    assert np.all(np.diff(found) > -1e-9)


def test_looking_often_spends_no_more_than_the_error_allowed():
    shares = verdicts.spend([0.25, 0.5, 0.75, 1.0])
    assert sum(shares) == pytest.approx(0.05) and all(a < b for a, b in itertools.pairwise(shares))
    with pytest.raises(ValueError, match="ascending"):
        verdicts.spend([0.5, 0.5])


def test_too_few_candidates_and_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="at least two candidates"):
        all_pairs({"a": Runs(np.zeros(3))})
    with pytest.raises(ValueError, match="margin"):
        all_pairs(normal_runs(0, (1.0, 1.0), 3), margin=0.0)
    with pytest.raises(ValueError, match="confidence"):
        all_pairs(normal_runs(0, (1.0, 1.0), 3), confidence=1.0)


def test_a_single_run_has_no_interval():
    (pair,) = all_pairs({"a": Runs(np.array([1.0])), "b": Runs(np.array([0.0]))})
    assert pair.verdict == "undecided" and np.isnan(pair.low) and pair.more_runs is None
