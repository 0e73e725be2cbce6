"""Time to target: epochs to a target times seconds per epoch, with the noise of both."""

import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from jaxmlp.comparison import findings, verdicts
from jaxmlp.comparison.wording import count, display, join, seconds, unit_of

__docformat__ = "google"
__all__ = ["Duration", "cost_of_an_epoch", "durations", "in_words", "median_seconds"]

# With fewer, the bootstrap of a median calls one of six equal candidates slower in 11 % of cases or more.
_FEWEST_RUNS = 5
_DRAWS = 4000


class Duration(NamedTuple):
    """How long one candidate takes to one target."""

    epochs: list[float]
    """Of each run; infinite where it never gets there."""

    seconds: float
    """Median over the runs; infinite if half of them or more never get there."""

    low: float
    """Lower end of the 95 % interval of the median."""

    high: float
    """Upper end; infinite where never is within the noise."""

    draws: np.ndarray
    """Resampled medians of the epochs, for comparisons."""


def durations(problem: Mapping[str, Any], target: str) -> dict[str, Duration]:
    """Return how long every candidate takes to a target.

    The interval resamples the runs (bootstrap of the median) and, for the seconds of an epoch, draws from Student's t
    around the mean logarithm over the turns. With one turn it covers the runs alone.

    Args:
        problem: the record's entry of the problem.
        target: a key of to_target, e.g. "97 %".

    Example:
        >>> from jaxmlp.comparison import toy
        >>> found = durations(toy.PROBLEM, "95 %")
        >>> found["sgd"].seconds, round(found["adam"].seconds, 3)
        (inf, 0.039)

    Source:
        Efron (1979), "Bootstrap methods: another look at the jackknife".
    """
    found = {}
    for name, entry in problem["candidates"].items():
        random = np.random.default_rng(zlib.crc32(f"{name} {target}".encode()))
        epochs = _epochs(entry, target)
        draws = np.median(random.choice(epochs, (_DRAWS, len(epochs))), axis=1)
        logs = np.log(entry["timing"]["seconds_per_epoch"])
        taken = draws * np.exp(logs.mean() + _noise(logs, random))
        low, high = (float(np.quantile(taken, q, method="inverted_cdf")) for q in (0.025, 0.975))
        middle = float(np.median(epochs)) * float(np.exp(logs.mean()))
        found[name] = Duration(epochs.tolist(), middle, low, high, draws)
    return found


def in_words(problem: Mapping[str, Any], target: str, found: Mapping[str, Duration]) -> str:
    """Say who is fastest to a target, and who cannot be told from the fastest.

    All pairs are compared at a common 95 %, each by the ratio of its times; seconds of an epoch are paired by turn.

    Args:
        problem: the record's entry of the problem.
        target: a key of to_target.
        found: as durations returns it.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> print(in_words(toy.PROBLEM, "95 %", durations(toy.PROBLEM, "95 %")))
        To 95 %: Nesterov has the shortest median; 3 seeds are too few to say whether others take longer.
    """
    reaching = sorted((name for name in found if np.isfinite(found[name].seconds)), key=lambda n: found[n].seconds)
    if not reaching:
        return f"To {target}: no candidate gets there in half of its runs or more."
    if len(found) == 1:
        return f"To {target}: the median is {seconds(found[reaching[0]].seconds)} s."
    first, runs = reaching[0], findings.units(problem)
    if runs < _FEWEST_RUNS:
        unit = count(runs, unit_of(problem))
        few = f"{unit} {'is' if runs == 1 else 'are'} too few to say whether others take longer"
        return f"To {target}: {display(first)} has the shortest median; {few}."
    level = verdicts.level_of_each_pair(len(found))
    tied = [name for name in reaching[1:] if not _slower(problem, found, name, first, level)]
    slower = [name for name in found if name != first and name not in tied]
    text = f"To {target}: {display(first)} is fastest"
    if tied:
        text += f", but {join([display(name) for name in tied])} cannot be told from it: at a level of 95 % for all "
        text += "pairs together, the difference is within the noise of runs and clock"
    if slower:
        text += f"; {'every other candidate takes' if len(slower) > 1 else display(slower[0]) + ' takes'} longer"
        never = [display(name) for name in slower if name not in reaching]
        if never:
            text += f" ({join(never)} {'misses it in half of its' if len(never) == 1 else 'miss it in half of their'} "
            text += "runs or more)"
    return text + "."


def cost_of_an_epoch(problem: Mapping[str, Any]) -> str:
    """Say whether the candidates' seconds per epoch differ by more than the timing noise.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> print(cost_of_an_epoch(toy.PROBLEM))
        An epoch takes 0.020 s (SGD) to 0.024 s (Adam); 3 of the 3 pairs differ by more than the timing noise (3 turns).
    """
    logs = {name: np.log(entry["timing"]["seconds_per_epoch"]) for name, entry in problem["candidates"].items()}
    order = sorted(logs, key=lambda name: logs[name].mean())
    turns = min(map(len, logs.values()))
    text = f"An epoch takes {seconds(np.exp(logs[order[0]].mean()))} s ({display(order[0])})"
    if len(order) == 1:
        return text + "."
    text += f" to {seconds(np.exp(logs[order[-1]].mean()))} s ({display(order[-1])})"
    if turns == 1:
        return text + "; with a single turn, the noise of these times is unknown."
    level = verdicts.level_of_each_pair(len(order))
    pairs = list(itertools.combinations(order, 2))
    differ = sum(_ratio_bounds(logs[a], logs[b], level)[0] > 0 for b, a in pairs)
    if not differ:
        return text + f"; these differences are within the timing noise ({turns} turns)."
    return text + f"; {differ} of the {len(pairs)} pairs differ by more than the timing noise ({turns} turns)."


def median_seconds(problems: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return the median time to every target of every problem, for the candidates that all problems have.

    Args:
        problems: the record's problems by name.

    Returns:
        Candidate -> {"problem, target": seconds; None if half the runs or more never reach it}.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> round(median_seconds(toy.RECORD["problems"])["nesterov"]["digits, 95 %"], 3)
        0.034
    """
    common = set.intersection(*(set(problem["candidates"]) for problem in problems.values()))
    first = next(iter(problems.values()))["candidates"]
    times: dict[str, dict[str, float | None]] = {name: {} for name in first if name in common}
    for name, problem in problems.items():
        for candidate, found in times.items():
            entry = problem["candidates"][candidate]
            for target in entry["to_target"]:
                logs = np.log(entry["timing"]["seconds_per_epoch"])
                median = float(np.median(_epochs(entry, target)) * np.exp(logs.mean()))
                found[f"{name}, {target}"] = median if np.isfinite(median) else None
    return times


def _epochs(entry: Mapping[str, Any], target: str) -> np.ndarray:
    return np.array([np.inf if value is None else value for value in entry["to_target"][target]["epochs"]], float)


def _noise(logs: np.ndarray, random: np.random.Generator) -> np.ndarray | float:
    if len(logs) < 2:
        return 0.0
    return random.standard_t(len(logs) - 1, _DRAWS) * logs.std(ddof=1) / np.sqrt(len(logs))


def _slower(problem, found, name, first, level):
    """Whether the interval of the ratio of two times lies above 1."""
    random = np.random.default_rng(0)
    a, b = (np.log(problem["candidates"][n]["timing"]["seconds_per_epoch"]) for n in (name, first))
    turns = min(len(a), len(b))
    difference = a[:turns] - b[:turns]
    with np.errstate(invalid="ignore"):
        ratio = np.log(found[name].draws) - np.log(found[first].draws)
    ratio = np.nan_to_num(ratio, nan=0.0, posinf=np.inf, neginf=-np.inf)  # never against never: no difference
    ratio = ratio + difference.mean() + _noise(difference, random)
    return float(np.quantile(ratio, (1 - level) / 2, method="inverted_cdf")) > 0


def _ratio_bounds(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray, level: float):
    """The interval of the mean difference of logarithms, paired by turn."""
    turns = min(len(a), len(b))
    difference = np.asarray(a[:turns]) - np.asarray(b[:turns])
    half = scipy.stats.t.ppf((1 + level) / 2, turns - 1) * difference.std(ddof=1) / np.sqrt(turns)
    return difference.mean() - half, difference.mean() + half
