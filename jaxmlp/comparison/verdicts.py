"""Verdicts over all pairs of candidates: simultaneous intervals of the differences, and what each of them says.

A candidate is trained n times, and each run answers the same T test examples. The difference of two candidates' mean
scores varies for two reasons: other seeds, and other test examples. Both are in the interval where the score of each
example was kept; otherwise it covers the seeds alone.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from jaxmlp._checks import check_count, in_range

__docformat__ = "google"
__all__ = [
    "BETTER",
    "EQUAL",
    "UNDECIDED",
    "WORSE",
    "Pair",
    "Runs",
    "all_pairs",
    "beaten",
    "compare",
    "level_of_each_pair",
    "power",
    "spend",
]

BETTER, WORSE, EQUAL, UNDECIDED = "better", "worse", "equal", "undecided"
_MOST_RUNS = 10_000  # beyond so many seeds per candidate, a pair counts as undecidable


class Runs(NamedTuple):
    """What the runs of one candidate scored."""

    scores: np.ndarray
    """(n,), one score per run, e.g. test accuracy as a fraction."""

    examples: np.ndarray | None = None
    """(n, T), what each test example scores in each run, e.g. whether it is answered right; None where the score is not
    a mean over examples."""


class Pair(NamedTuple):
    """What is known of the difference between two candidates."""

    a: str
    """Name of the first candidate."""

    b: str
    """Name of the second candidate."""

    difference: float
    """Mean score of a minus mean score of b; NaN where a run has no finite score."""

    low: float
    """Lower end of the simultaneous interval."""

    high: float
    """Upper end of the simultaneous interval."""

    verdict: str
    """What a is, compared with b: better, worse, equal (within the margin) or undecided."""

    more_runs: int | None
    """Further runs of each candidate that would decide an undecided pair at the present spreads; None where the pair is
    decided, or where no number of runs would decide it."""

    runs_variance: float
    """Variance of the difference over seeds."""

    examples_variance: float | None
    """Variance of the difference that test examples add; None where the scores of the examples were not kept."""

    degrees_of_freedom: float
    """Of the t distribution behind the interval."""


def all_pairs(
    candidates: Mapping[str, Runs],
    *,
    margin: float | None = None,
    higher_is_better: bool = True,
    confidence: float = 0.95,
) -> list[Pair]:
    """Compare every candidate with every other one.

    With a probability of at least `confidence`, all intervals hold at once: each has the level
    confidence^(1 / pairs) (Sidak). A verdict reads the interval: better or worse where it excludes 0, equal where it
    lies within +-margin, undecided otherwise. Where both apply, the difference is real but smaller than the margin,
    and the verdict is better or worse.

    Args:
        candidates: name -> runs, at least two candidates.
        margin: differences up to this size count as equal, > 0, in units of the score; None: nothing counts as equal.
        higher_is_better: False for a score such as a loss.
        confidence: of all intervals together, in (0, 1).

    Returns:
        One Pair for each two candidates, in the order of the candidates.

    Raises:
        ValueError: fewer than two candidates, or a number out of its range.

    Example:
        >>> import numpy as np
        >>> a, b = Runs(np.array([0.980, 0.981, 0.979])), Runs(np.array([0.950, 0.951, 0.949]))
        >>> [(pair.verdict, round(pair.difference, 3)) for pair in all_pairs({"a": a, "b": b})]
        [('better', 0.03)]

    Source:
        Sidak (1967), "Rectangular confidence regions for the means of multivariate normal distributions".
    """
    if len(candidates) < 2:
        raise ValueError(f"a comparison needs at least two candidates, got {list(candidates)}")
    level = level_of_each_pair(len(candidates), confidence)
    settings = {"level": level, "margin": margin, "higher_is_better": higher_is_better}
    return [compare(a, candidates[a], b, candidates[b], **settings) for a, b in itertools.combinations(candidates, 2)]


def beaten(best: str, pairs: Sequence[Pair]) -> list[str]:
    """Return the names of the candidates that one candidate is better than.

    Args:
        best: name of that candidate.
        pairs: as all_pairs returns them.

    Example:
        >>> import numpy as np
        >>> a, b = Runs(np.array([0.980, 0.981, 0.979])), Runs(np.array([0.950, 0.951, 0.949]))
        >>> beaten("a", all_pairs({"a": a, "b": b}))
        ['b']
    """
    after = [pair.b for pair in pairs if pair.a == best and pair.verdict == BETTER]
    return after + [pair.a for pair in pairs if pair.b == best and pair.verdict == WORSE]


def level_of_each_pair(candidates: int, confidence: float = 0.95) -> float:
    """Return the confidence level of each pair's interval at which all pairs together have `confidence`.

    Args:
        candidates: how many are compared, >= 2.
        confidence: of all intervals together, in (0, 1).

    Example:
        >>> round(level_of_each_pair(6), 4)
        0.9966
    """
    check_count("candidates", candidates, least=2)
    in_range("confidence", confidence, 0, 1, open_low=True)
    return confidence ** (1 / (candidates * (candidates - 1) // 2))


def compare(
    a: str,
    runs_a: Runs,
    b: str,
    runs_b: Runs,
    *,
    level: float,
    margin: float | None,
    higher_is_better: bool = True,
    next_level: float | None = None,
) -> Pair:
    """Compare two candidates.

        difference = mean(scores_a) - mean(scores_b)
        runs_variance = s_a^2 / n_a + s_b^2 / n_b
        examples_variance = Var_t(p_a[t] - p_b[t]) / T - noise, at least 0
        noise = (e_a^2 / n_a + e_b^2 / n_b - 2 c m / (n_a n_b)) / T
        half = sqrt(t(level, df)^2 runs_variance + t(level, T - 1)^2 examples_variance)
        interval = difference +- half

    s^2 is the variance of the scores and df Welch and Satterthwaite's for runs_variance. p[t] is the mean over the runs
    of what test example t scores, e^2 the variance that neither run nor example explains, and c the covariance of these
    residuals over the m runs that both have, which share a seed. The noise is in runs_variance already and is counted
    once.

    Each source of variation keeps its own t, and the two margins are combined by the root of the sum of their squares.
    A common t, with degrees of freedom for the sum of the variances, claims too much with few runs: whenever their
    spread is small by luck, the examples dominate and the interval takes the runs to be as well known as they are.

    Args:
        a: name of the first candidate.
        runs_a: its runs.
        b: name of the second candidate.
        runs_b: its runs.
        level: confidence level of this interval, in (0, 1).
        margin: differences up to this size count as equal, > 0; None: nothing counts as equal.
        higher_is_better: False for a score such as a loss.
        next_level: the level at which further runs would be tested, for more_runs; None: the same.

    Example:
        >>> import numpy as np
        >>> runs = Runs(np.array([0.97, 0.98])), Runs(np.array([0.97, 0.98]))
        >>> compare("a", runs[0], "b", runs[1], level=0.95, margin=None).verdict
        'undecided'

    Source:
        Welch (1947), "The generalization of Student's problem when several different population variances are
        involved"; Owen (2007), "The pigeonhole bootstrap", for the variance of two crossed random effects; Zou and
        Donner (2008), "Construction of confidence limits about effect measures", for combining two margins.
    """
    in_range("level", level, 0, 1, open_low=True)
    if margin is not None:
        in_range("margin", margin, 0, open_low=True)
    scores = [np.asarray(runs.scores, float) for runs in (runs_a, runs_b)]
    difference = float(scores[0].mean() - scores[1].mean())
    if not np.isfinite(difference) or min(len(values) for values in scores) < 2:
        return Pair(a, b, difference, np.nan, np.nan, UNDECIDED, None, np.nan, None, np.nan)
    variances, counts = [float(values.var(ddof=1)) for values in scores], [len(values) for values in scores]
    runs_variance, df = _welch(variances, counts)
    examples_variance = _examples_variance(runs_a.examples, runs_b.examples)
    examples = (examples_variance or 0.0, np.inf if runs_a.examples is None else runs_a.examples.shape[1] - 1)
    half = _half_width((runs_variance, df), examples, level)
    verdict = _verdict(difference, half, margin, higher_is_better)
    more = None
    if verdict == UNDECIDED:
        reach = max(abs(difference), 0.0 if margin is None else margin - abs(difference))
        more = _more_runs(reach, variances, max(counts), examples, next_level or level)
    low, high = difference - half, difference + half
    return Pair(a, b, difference, low, high, verdict, more, runs_variance, examples_variance, df)


def power(difference: float, deviation: float, runs: int, *, level: float, examples_variance: float = 0.0) -> float:
    """Return the probability that a true difference is found, so that the verdict is better or worse.

    Args:
        difference: true difference of the two means, in units of the score.
        deviation: standard deviation of the scores over seeds, the same for both candidates, > 0.
        runs: of each candidate, >= 2.
        level: confidence level of the pair's interval, in (0, 1).
        examples_variance: variance of the difference that test examples add, >= 0, taken as known.

    Returns:
        A probability: the interval's half width varies with the runs' estimated variance, which has 2 (runs - 1)
        degrees of freedom, and the difference is normal.

    Example:
        >>> round(power(0.002, 0.002, 20, level=0.95), 2)
        0.87
    """
    check_count("runs", runs, least=2)
    df, variance = 2 * (runs - 1), 2 * deviation**2 / runs
    of_runs, of_examples = (stats.t.ppf((1 + level) / 2, freedom) ** 2 for freedom in (df, np.inf))
    error = np.sqrt(variance + examples_variance)

    def found(chi):
        half = np.sqrt(of_runs * variance * chi**2 / df + of_examples * examples_variance)
        return stats.norm.sf((half - difference) / error) + stats.norm.cdf((-half - difference) / error)

    return float(stats.chi.expect(found, (df,), epsabs=1e-10))


def spend(looks: Sequence[float], error: float = 0.05) -> list[float]:
    """Divide an error probability over several looks at growing data, little at first (O'Brien and Fleming's shape).

        spent(f) = 2 - 2 Phi(z / sqrt(f)),   z = Phi^-1(1 - error / 2)

    Look k may err with probability spent(f_k) - spent(f_(k-1)). These add up to `error` at most, so that by the union
    bound looking often never claims more than it should.

    Args:
        looks: share of the largest number of runs that is there at each look, ascending, in (0, 1].
        error: probability of any false claim over all looks, in (0, 1).

    Returns:
        The error probability of each look.

    Raises:
        ValueError: looks do not ascend, or lie outside (0, 1].

    Example:
        >>> [round(share, 4) for share in spend([0.5, 1.0])]
        [0.0056, 0.0444]

    Source:
        Lan and DeMets (1983), "Discrete sequential boundaries for clinical trials", first spending function.
    """
    shares = np.asarray(looks, float)
    in_range("error", error, 0, 1, open_low=True)
    if shares.size == 0 or not (np.all(shares > 0) and np.all(shares <= 1) and np.all(np.diff(shares) > 0)):
        raise ValueError(f"looks must be ascending shares in (0, 1], got {shares.tolist()}")
    spent = 2 * stats.norm.sf(stats.norm.isf(error / 2) / np.sqrt(shares))
    return [float(value) for value in np.diff(spent, prepend=0.0)]


def _examples_variance(examples_a, examples_b):
    if examples_a is None or examples_b is None:
        return None
    a, b = np.asarray(examples_a, float), np.asarray(examples_b, float)
    count, common = a.shape[1], min(len(a), len(b))
    rest_a, rest_b = _residuals(a), _residuals(b)
    noise = _covariance(rest_a, rest_a) / len(a) + _covariance(rest_b, rest_b) / len(b)
    if common > 1:
        shared = _covariance(_residuals(a[:common]), _residuals(b[:common]))
        noise -= 2 * shared * common / (len(a) * len(b))
    total = (a.mean(axis=0) - b.mean(axis=0)).var(ddof=1)
    return max(0.0, float(total - noise) / count)


def _residuals(scores):
    """What neither the run nor the example explains, of scores (n, T)."""
    return scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0, keepdims=True) + scores.mean()


def _covariance(residuals_a, residuals_b):
    n, count = residuals_a.shape
    return float((residuals_a * residuals_b).sum() / ((n - 1) * (count - 1)))


def _welch(variances, counts):
    """The variance of the difference of two means over runs, and its degrees of freedom."""
    parts = [variance / n for variance, n in zip(variances, counts, strict=True)]
    uncertain = sum(part**2 / (n - 1) for part, n in zip(parts, counts, strict=True))
    return sum(parts), sum(parts) ** 2 / uncertain if uncertain else np.inf


def _half_width(runs, examples, level):
    """Half the width of the interval, from (variance, degrees of freedom) of its two parts."""
    margins = [stats.t.ppf((1 + level) / 2, df) * np.sqrt(variance) for variance, df in (runs, examples) if variance]
    return float(np.sqrt(sum(margin**2 for margin in margins)))


def _verdict(difference, half, margin, higher_is_better):
    if abs(difference) > half:
        return BETTER if (difference > 0) == higher_is_better else WORSE
    if margin is not None and abs(difference) + half <= margin:
        return EQUAL
    return UNDECIDED


def _more_runs(reach, variances, now, examples, level):
    """Further runs of each candidate until half the width of the interval falls below reach, at the same spreads."""

    def half_at(runs):
        return _half_width(_welch(variances, (runs, runs)), examples, level)

    low, high = now, now
    while half_at(high) >= reach:
        low, high = high, 2 * high
        if low > _MOST_RUNS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if half_at(middle) < reach:
            high = middle
        else:
            low = middle
    return max(1, high - now)
