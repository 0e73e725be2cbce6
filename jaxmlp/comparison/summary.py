"""The results of a comparison in numbers and sentences, read from its record."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.comparison import durations, findings, points, statistics, wording
from jaxmlp.comparison.durations import Duration
from jaxmlp.comparison.statistics import Interval
from jaxmlp.comparison.verdicts import Pair

__docformat__ = "google"
__all__ = ["Row", "Summary", "summarise", "unit_values"]


class Row(NamedTuple):
    """One candidate on one problem."""

    name: str
    """As in the record."""

    label: str
    """As a reader knows it."""

    choice: str
    """The hyperparameters that were chosen, in words: those of each split, without repetition."""

    score: Interval
    """What candidates are compared by, over the seeds (or splits)."""

    train_loss: Interval
    """In the last epoch; NaN if a run is not finite."""

    test_loss: Interval
    """After the last epoch; NaN if a run is not finite."""

    failed: tuple[int, int]
    """Failed runs of the race, and its runs in all."""

    failed_tuning: tuple[int, int]
    """The same of the tuning runs."""

    seconds_per_epoch: Interval
    """Over the turns in which candidates were timed."""


class Summary(NamedTuple):
    """The results on one problem."""

    answer: list[str]
    """The verdict in two sentences."""

    rows: list[Row]
    """One for each candidate, best mean first."""

    pairs: list[Pair]
    """The difference of every two candidates; empty with one candidate or one run of each."""

    times: dict[str, dict[str, Duration]]
    """Target -> candidate -> how long it takes."""

    warnings: list[str]
    """Sentences on what may be wrong."""

    findings: list[str]
    """Sentences on the rest: coverage, failed runs, times, inclusion."""


def summarise(name: str, problem: Mapping[str, Any]) -> Summary:
    """Summarise one problem from its part of the record.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> summary = summarise("digits", toy.PROBLEM)
        >>> [row.label for row in summary.rows], summary.pairs[0].verdict
        (['Nesterov', 'Adam', 'SGD'], 'worse')
    """
    sign = -1 if wording.score_of(problem).higher_is_better else 1
    rows = [_row(candidate, entry, problem) for candidate, entry in problem["candidates"].items()]
    rows.sort(key=lambda row: sign * row.score.mean if np.isfinite(row.score.mean) else np.inf)
    pairs = _pairs(problem)
    targets = next(iter(problem["candidates"].values()))["to_target"]
    times = {target: durations.durations(problem, target) for target in targets}
    race, tuning = findings.failures(problem)
    worse, remarks = findings.inclusion(pairs, problem)
    failed = any(row.failed[0] for row in rows)
    warnings = [*([race] if failed else []), *findings.edges(problem), *worse]
    return Summary(
        findings.answer(name, problem, [row.name for row in rows], pairs, rows[0].score),
        rows,
        pairs,
        times,
        warnings,
        [
            *([] if not pairs else [findings.coverage(problem, pairs)]),
            *([] if failed else [race]),
            tuning,
            *findings.close_calls(problem),
            *(durations.in_words(problem, target, found) for target, found in times.items()),
            durations.cost_of_an_epoch(problem),
            *remarks,
        ],
    )


def unit_values(problem: Mapping[str, Any], race: Mapping[str, Any], key: str) -> np.ndarray:
    """Return what a mean is taken over: one value per run, or the mean of each split's runs if there are several.

    Args:
        problem: the record's entry of the problem.
        race: the record's entry of a candidate's race.
        key: the quantity, e.g. "test_score".

    Returns:
        (runs,) or (splits,); NaN where a run has no finite value.

    Example:
        >>> race = {"split": [0, 0, 1, 1], "test_score": [0.5, 0.7, 0.8, 1.0]}
        >>> unit_values({"splits": 2}, race, "test_score").round(2).tolist()
        [0.6, 0.9]
    """
    values = np.array([np.nan if value is None else value for value in race[key]], float)
    if problem["splits"] == 1:
        return values
    splits = np.asarray(race["split"])
    return np.array([values[splits == split].mean() for split in np.unique(splits)])


def _row(name, entry, problem):
    race, tuning = entry["race"], entry["tuning"]
    return Row(
        name,
        wording.display(name),
        points.chosen(entry, problem),
        statistics.interval(unit_values(problem, race, "test_score")),
        statistics.interval(unit_values(problem, race, "train_loss")),
        statistics.interval(unit_values(problem, race, "test_loss")),
        (sum(race["failed"]), len(race["failed"])),
        (sum(run["failed"] for run in tuning), len(tuning)),
        statistics.interval(entry["timing"]["seconds_per_epoch"]),
    )


def _pairs(problem):
    """The pairs of the record; what JSON cannot say (NaN, infinity) is null there."""
    if len(problem["candidates"]) == 1 or findings.units(problem) == 1:
        return []
    numbers = {"difference", "low", "high", "runs_variance", "degrees_of_freedom"}
    known: list[dict[str, Any]] = [
        {f: np.nan if pair[f] is None and f in numbers else pair[f] for f in Pair._fields} for pair in problem["pairs"]
    ]
    return [Pair(**pair) for pair in known]
