"""The statistics of a comparison: intervals, ties, what a tuning budget buys, time to target over problems."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats


class Interval(NamedTuple):
    """A mean with what is known of it."""

    mean: float
    half_width: float  # of the 95 % interval by Student's t; NaN for a single value
    n: int


def interval(values: Sequence[float] | np.ndarray) -> Interval:
    """Return the mean of independent values and its 95 % confidence interval.

    half_width = t(0.975, n - 1) * s / sqrt(n)

    Args:
        values: (n,), at least one.

    Source: Student (1908), "The probable error of a mean".
    """
    values = np.asarray(values, float)
    n = len(values)
    if n == 1:
        return Interval(float(values[0]), float("nan"), 1)
    half_width = scipy.stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    return Interval(float(np.mean(values)), float(half_width), n)


def ties_with_best(scores: Mapping[str, Sequence[float]]) -> tuple[str, list[str]]:
    """Find the best of several methods by mean score, and those that cannot be told from it at the 5 % level.

    Differences are paired by seed and tested by Student's t, with Holm's correction for testing several.

    Args:
        scores: method -> scores (n,), higher is better, in the same order of seeds.

    Returns: (the best, the others that tie with it, best first).

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    ranked = sorted(scores, key=lambda name: -float(np.mean(scores[name])))
    best, others = ranked[0], ranked[1:]
    p_values = {name: paired_p_value(scores[best], scores[name]) for name in others}
    for passed, name in enumerate(sorted(others, key=lambda name: p_values[name])):
        if not p_values[name] < 0.05 / (len(others) - passed):
            # Holm stops here: this one and all less certain ones are not told apart.
            certain = sorted(others, key=lambda name: p_values[name])[:passed]
            return best, [name for name in others if name not in certain]
    return best, []


def paired_p_value(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the two-sided p-value of "a and b have the same mean", paired by seed.

    1 where a and b are equal; NaN where nothing can be said: a single pair, or differences that are all the same, which
    leave no spread to judge them by.
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
    """Return the expected best score of k points drawn at random with replacement from a grid, for k = 1 ... n.

    E_k = sum_i s_(i) ((i/n)^k - ((i-1)/n)^k), with s_(1) <= ... <= s_(n)

    Args:
        scores: (n,) of the grid's points, higher is better.

    Returns: (n,), non-decreasing.

    Source: Dodge et al. (2019), "Show your work", equation 2; used for optimizers by Sivaprasad et al. (2020).
    """
    ordered = np.sort(np.asarray(scores, float))
    n = len(ordered)
    k = np.arange(1, n + 1)[:, None]
    upper, lower = np.arange(1, n + 1) / n, np.arange(n) / n
    return np.sum(ordered * (upper**k - lower**k), axis=1)


def first_reaching(curve: Sequence[float], target: float) -> int | None:
    """Return the number of epochs after which curve first is at target or above, None for never."""
    # Curves are float32: 950 right of 1,000 is stored as 0.94999999, which is 95 % all the same.
    reached = np.flatnonzero(np.asarray(curve, float) >= target - 1e-7)
    return int(reached[0]) + 1 if len(reached) else None


def performance_profile(
    times: Mapping[str, Mapping[str, float | None]], ratios: Sequence[float] | np.ndarray
) -> dict[str, np.ndarray]:
    """Return, for each method, the share of problems that it solves within each ratio of the fastest method's time.

    Args:
        times: method -> {problem: seconds to the target, None for never}, the same problems for every method.
        ratios: (r,), >= 1.

    Returns: method -> shares (r,). A problem that nobody solves counts as unsolved for all.

    Source: Dolan and More (2002), "Benchmarking optimization software with performance profiles", equation 2.2.
    """
    problems = list(next(iter(times.values())))
    seconds = np.array([[np.inf if taken[p] is None else taken[p] for p in problems] for taken in times.values()])
    fastest = seconds.min(axis=0)
    # A problem that nobody solves has no fastest time; every ratio to 1 s is then infinite, as it should be.
    ratio = seconds / np.where(np.isfinite(fastest), fastest, 1.0)
    shares = np.mean(ratio[:, :, None] <= np.asarray(ratios), axis=1)
    return dict(zip(times, shares, strict=True))


def profile_score(times: Mapping[str, Mapping[str, float | None]], largest: float = 4.0) -> dict[str, float]:
    """Return each method's area under its performance profile from ratio 1 to largest, as a share of the whole.

    Source: Dahl et al. (2023), "Benchmarking neural network training algorithms", section 4.
    """
    ratios = np.linspace(1.0, largest, 3001)
    profiles = performance_profile(times, ratios)
    return {method: float(np.trapezoid(shares, ratios) / (largest - 1)) for method, shares in profiles.items()}
