"""The statistics of a comparison: intervals, the value of a tuning budget, time to target over problems."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

__docformat__ = "google"
__all__ = [
    "Interval",
    "expected_best",
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
    """Return the expected best score of k points drawn at random with replacement from a grid, for k = 1 ... n.

        E_k = sum_i s_(i) ((i/n)^k - ((i-1)/n)^k),   s_(1) <= ... <= s_(n)

    Args:
        scores: scores of the grid's points (n,), higher is better.

    Returns:
        Expected best scores (n,), non-decreasing.

    Example:
        >>> expected_best([0.0, 1.0]).tolist()
        [0.5, 0.75]

    Source:
        Dodge et al. (2019), "Show your work", equation 2; used for optimizers by Sivaprasad et al. (2020).
    """
    ordered = np.sort(np.asarray(scores, float))
    n = len(ordered)
    k = np.arange(1, n + 1)[:, None]
    upper, lower = np.arange(1, n + 1) / n, np.arange(n) / n
    return np.sum(ordered * (upper**k - lower**k), axis=1)


def first_reaching(curve: Sequence[float], target: float) -> int | None:
    """Return the number of epochs after which a curve first reaches a target; None if it never does.

    Args:
        curve: a score after each epoch, (epochs,), higher is better.
        target: the score to reach.

    Example:
        >>> first_reaching([0.90, 0.96, 0.94, 0.97], 0.95)
        2
    """
    # Curves are float32: 950 right of 1,000 is stored as 0.94999999, which is 95 % all the same.
    reached = np.flatnonzero(np.asarray(curve, float) >= target - 1e-7)
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
