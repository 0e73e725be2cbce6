"""The statistics of a comparison: intervals, the value of a tuning budget, time to target over problems."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.special
import scipy.stats

from jaxmlp._checks import check_count, in_range

__docformat__ = "google"
__all__ = [
    "Interval",
    "chance_level",
    "common_window",
    "expected_best",
    "expected_best_band",
    "first_reaching",
    "interval",
    "paired_p_value",
    "performance_profile",
    "profile_score",
]


class Interval(NamedTuple):
    """A mean and its confidence interval, mean ± half_width."""

    mean: float
    """Mean of the values."""

    half_width: float
    """Half the width of the 95 % interval by Student's t; NaN for a single value."""

    n: int
    """Number of values."""


def interval(values: Sequence[float] | np.ndarray) -> Interval:
    """Return the mean of independent values and its 95 % confidence interval.

        half_width = t(0.975, n - 1) * s / sqrt(n)

    Args:
        values: (n,), at least one.

    Example:
        >>> mean, half_width, n = interval([1.0, 2.0, 3.0])
        >>> mean, round(half_width, 4), n
        (2.0, 2.4841, 3)

    Source:
        Student (1908), "The probable error of a mean".
    """
    values = np.asarray(values, float)
    n = len(values)
    if n == 1:
        return Interval(float(values[0]), float("nan"), 1)
    half_width = scipy.stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    return Interval(float(np.mean(values)), float(half_width), n)


def paired_p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the two-sided p-value of the hypothesis that a and b have the same mean, paired by seed.

    It is 1 if a and b are equal. It is NaN if nothing can be said: with a single pair, or if all differences are
    equal, so that they have no spread.

    Args:
        a: scores, (n,).
        b: scores of the same seeds, (n,).

    Example:
        >>> round(paired_p_value([0.97, 0.98, 0.99], [0.95, 0.97, 0.96]), 4)
        0.0742

    Source:
        Student (1908), "The probable error of a mean".
    """
    difference = np.asarray(a, float) - np.asarray(b, float)
    if not difference.any():
        return 1.0
    spread = np.std(difference, ddof=1) if len(difference) > 1 else 0.0
    if not spread > 1e-9 * np.max(np.abs(difference)):
        return float("nan")
    t = np.mean(difference) / (spread / np.sqrt(len(difference)))
    return float(2 * scipy.stats.t.sf(abs(t), len(difference) - 1))


def expected_best(scores: Sequence[float]) -> np.ndarray:
    """Return the expected best score of k different points drawn at random from n, for k = 1 ... n.

        E_k = sum_i s_(i) C(i - 1, k - 1) / C(n, k),   s_(1) <= ... <= s_(n)

    Args:
        scores: scores of the points, (n,), n >= 1, higher is better.

    Returns:
        Expected best scores (n,), non-decreasing; the last is the best score.

    Differs from:
        Dodge et al. (2019), "Show your work", equation 2, which draws with replacement: an expectation that is too low,
        and with k = n does not reach the best score.

    Example:
        >>> expected_best([0.0, 1.0]).tolist()
        [0.5, 1.0]

    Source:
        Tang et al. (2020), "Showing your work doesn't always work", section 3.
    """
    return _weights_of_best(len(scores)) @ np.sort(np.asarray(scores, float))


def expected_best_band(
    scores: Sequence[float], *, draws: int = 2000, seed: int = 0, confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return a bootstrap band around expected_best.

    The points that were tried are a sample of the space. Each draw takes n of them with replacement; the band holds
    the middle `confidence` of the draws at each k.

    Args:
        scores: as for expected_best.
        draws: bootstrap samples, >= 1.
        seed: of the draws.
        confidence: share of the draws inside the band, in (0, 1).

    Returns:
        (low, high), each (n,).

    Example:
        >>> low, high = expected_best_band([0.5, 0.5, 0.5])
        >>> low.tolist(), high.tolist()
        ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])

    Source:
        Efron (1979), "Bootstrap methods: another look at the jackknife".
    """
    check_count("draws", draws)
    in_range("confidence", confidence, 0, 1, open_low=True)
    sample = np.random.default_rng(seed).choice(np.asarray(scores, float), (draws, len(scores)))
    curves = np.sort(sample, axis=1) @ np.transpose(_weights_of_best(len(scores)))
    low, high = np.quantile(curves, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def common_window(learning_rates: Mapping[str, Sequence[float]], optima: Mapping[str, float]) -> dict[str, list[int]]:
    """Return which learning rates of each candidate lie in a window of the same width around its optimum.

    The window reaches as many decades below and above the optimum as every candidate has been tried. Outside such a
    window the value of a few tries is decided by where a grid ends.

    Args:
        learning_rates: candidate -> learning rates that were tried, ascending, per step.
        optima: candidate -> the best of them.

    Returns:
        Candidate -> indices into its learning rates, ascending.

    Example:
        >>> common_window({"a": [0.01, 0.1, 1.0, 10.0], "b": [0.1, 1.0, 10.0]}, {"a": 0.1, "b": 1.0})
        {'a': [0, 1, 2], 'b': [0, 1, 2]}
    """
    decades = {name: np.log10(np.asarray(rates, float) / optima[name]) for name, rates in learning_rates.items()}
    low, high = max(d.min() for d in decades.values()), min(d.max() for d in decades.values())
    # Rates are kept with four digits, so that the same number of steps gives decades that differ by as much.
    return {name: [int(i) for i in np.flatnonzero((d > low - 1e-3) & (d < high + 1e-3))] for name, d in decades.items()}


def chance_level(labels: Sequence[int] | np.ndarray) -> float:
    """Return the accuracy that a constant answer hardly exceeds: a run at or below it has learnt nothing.

        p + 2 sqrt(p (1 - p) / n),   p the share of the largest class

    Args:
        labels: the class of each of n examples, integers, (n,).

    Example:
        >>> round(chance_level([0, 1] * 50), 2)
        0.6
    """
    labels = np.asarray(labels)
    share = np.unique(labels, return_counts=True)[1].max() / labels.size
    return float(share + 2 * np.sqrt(share * (1 - share) / labels.size))


def first_reaching(curve: Sequence[float], target: float, *, higher_is_better: bool = True) -> int | None:
    """Return the number of epochs after which a curve first reaches a target; None if it never does.

    Args:
        curve: a score after each epoch, (epochs,).
        target: the score to reach.
        higher_is_better: False for a score such as a loss.

    Example:
        >>> first_reaching([0.90, 0.96, 0.94, 0.97], 0.95)
        2
    """
    # Curves are float32: 950 right of 1,000 is stored as 0.94999999, which is 95 % all the same.
    sign = 1 if higher_is_better else -1
    reached = np.flatnonzero(sign * np.asarray(curve, float) >= sign * target - 1e-7 * abs(target))
    return int(reached[0]) + 1 if len(reached) else None


def performance_profile(
    times: Mapping[str, Mapping[str, float | None]], ratios: Sequence[float] | np.ndarray
) -> dict[str, np.ndarray]:
    """Return, for each method, the share of problems that it solves within each multiple of the fastest time.

    A problem that no method solves counts as unsolved for all.

    Args:
        times: method -> {problem: seconds to the target, None for never}, the same problems for every method.
        ratios: multiples of the fastest method's time (r,), >= 1.

    Returns:
        Method -> shares (r,).

    Example:
        >>> times = {"a": {"p": 1.0, "q": 3.0}, "b": {"p": 2.0, "q": None}}
        >>> {method: shares.tolist() for method, shares in performance_profile(times, [1.0, 2.0]).items()}
        {'a': [1.0, 1.0], 'b': [0.0, 0.5]}

    Source:
        Dolan and More (2002), "Benchmarking optimization software with performance profiles", equation 2.2.
    """
    problems = list(next(iter(times.values())))
    seconds = np.array([[np.inf if taken[p] is None else taken[p] for p in problems] for taken in times.values()])
    fastest = seconds.min(axis=0)
    # A problem that no method solves has no fastest time; with 1 s in its place every ratio is infinite, as it should.
    ratio = seconds / np.where(np.isfinite(fastest), fastest, 1.0)
    shares = np.mean(ratio[:, :, None] <= np.asarray(ratios), axis=1)
    return dict(zip(times, shares, strict=True))


def profile_score(times: Mapping[str, Mapping[str, float | None]], largest: float = 4.0) -> dict[str, float]:
    """Return each method's area under its performance profile, as a share of the whole.

    Args:
        times: as for performance_profile.
        largest: the area reaches from ratio 1 to this one.

    Example:
        >>> profile_score({"a": {"p": 1.0}, "b": {"p": 5.0}})
        {'a': 1.0, 'b': 0.0}

    Source:
        Dahl et al. (2023), "Benchmarking neural network training algorithms", section 4.
    """
    ratios = np.linspace(1.0, largest, 3001)
    profiles = performance_profile(times, ratios)
    return {method: float(np.trapezoid(shares, ratios) / (largest - 1)) for method, shares in profiles.items()}


def _weights_of_best(n):
    """Weight of the i-th smallest of n scores in the expected best of k, (n, n): row k - 1, column i - 1."""
    k, i = np.arange(1, n + 1)[:, None], np.arange(1, n + 1)
    return scipy.special.comb(i - 1, k - 1) / scipy.special.comb(n, k)
