"""The results of a comparison as cells of text, for every kind of table."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.comparison import findings, points
from jaxmlp.comparison.summary import Summary
from jaxmlp.comparison.verdicts import EQUAL, UNDECIDED
from jaxmlp.comparison.wording import capital, count, display, plus_minus, score_of, seconds, unit_of

__docformat__ = "google"
__all__ = ["Cells", "all_cells", "pair_cells", "result_cells", "seeds", "time_cells", "title", "word"]


class Cells(NamedTuple):
    """A table as text."""

    caption: str
    """What it shows."""

    headings: list[str]
    """One for each column; the first column is text, the others are numbers or single words."""

    rows: list[list[str]]
    """A cell for each heading."""


def all_cells(name: str, problem: Mapping[str, Any], summary: Summary) -> list[Cells]:
    """Return the tables of results, pairs and times; without pairs where there is one candidate or one run of each.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> len(all_cells("digits", toy.PROBLEM, summary.summarise("digits", toy.PROBLEM)))
        3
    """
    tables = [result_cells(name, problem, summary)]
    if summary.pairs:
        tables.append(pair_cells(name, problem, summary))
    return [*tables, time_cells(name, problem, summary)]


def result_cells(name: str, problem: Mapping[str, Any], summary: Summary) -> Cells:
    """Return the table of results, best first.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> result_cells("digits", toy.PROBLEM, summary.summarise("digits", toy.PROBLEM)).rows[0][:3]
        ['Nesterov', '96.48 ± 0.80', '0.01']
    """
    score = score_of(problem)
    shown = capital(score.name) + score.in_unit
    failed = any(row.failed[0] for row in summary.rows)
    losses = [key for key in ("test_loss", "train_loss") if key != "test_loss" or score.measure != "loss"]
    names = {"test_loss": "Test loss", "train_loss": "Training loss"}
    return Cells(
        title(name, problem),
        [
            "Optimizer",
            shown,
            points.heading(problem),
            *(names[key] for key in losses),
            *(["Failed runs"] if failed else []),
        ],
        [
            [
                row.label,
                score.interval(row.score),
                row.choice,
                *(plus_minus(getattr(row, key)) for key in losses),
                *([f"{row.failed[0]} of {row.failed[1]}"] if failed else []),
            ]
            for row in summary.rows
        ],
    )


def pair_cells(name: str, problem: Mapping[str, Any], summary: Summary) -> Cells:
    """Return the table of pairwise differences, the better candidate of each pair first.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> pair_cells("digits", toy.PROBLEM, summary.summarise("digits", toy.PROBLEM)).rows[0][:3]
        ['Nesterov', 'Adam', 'undecided']
    """
    score, unit = score_of(problem), unit_of(problem)
    both = findings.oriented(summary.pairs)
    ranking = [row.name for row in summary.rows]
    pairs = [both[a, b] for i, a in enumerate(ranking) for b in ranking[i + 1 :]] if summary.pairs else []
    measured = f"{score.name}{' (points)' if score.percent else score.in_unit}"
    return Cells(
        f"{display(name)}: differences in {measured}, with intervals that hold for "
        f"all pairs together with {100 * problem['confidence']:g} %",
        ["Optimizer", "Compared with", "Verdict", "Difference", "Interval", f"{unit.capitalize()}s to add"],
        [
            [
                display(pair.a),
                display(pair.b),
                pair.verdict,
                score.difference(pair.difference),
                score.bounds(pair.low, pair.high) if np.isfinite(pair.low) else "",
                f"{pair.more_runs:,}" if pair.more_runs else "no number" if pair.verdict == UNDECIDED else "",
            ]
            for pair in pairs
        ],
    )


def time_cells(name: str, problem: Mapping[str, Any], summary: Summary) -> Cells:
    """Return the table of times to each target.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> time_cells("digits", toy.PROBLEM, summary.summarise("digits", toy.PROBLEM)).headings
        ['Optimizer', 'Seconds to 95 %', 'Epochs to 95 %', 'Seconds per epoch']
    """
    measured = "validation and test" if problem["problem"]["keep_validation"] else "test"
    headings = [f"{unit} to {target}" for target in summary.times for unit in ("Seconds", "Epochs")]
    what = "time of an epoch"
    if summary.times:
        measure = score_of(problem).measure
        what = f"time to a {measured} {measure}, median over the runs; never counts as longest"
    return Cells(
        f"{display(name)}: {what} ({problem['steps_per_epoch']} steps per epoch)",
        ["Optimizer", *headings, "Seconds per epoch"],
        [
            [
                row.label,
                *(cell for found in summary.times.values() for cell in _duration(found[row.name])),
                _seconds(row.seconds_per_epoch),
            ]
            for row in summary.rows
        ],
    )


def word(pair: Any, problem: Mapping[str, Any]) -> tuple[str, str]:
    """Return the verdict of a pair as a matrix shows it: the word, and what follows it.

    Args:
        pair: a verdicts.Pair.
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> word(summary.summarise("digits", toy.PROBLEM).pairs[0], toy.PROBLEM)
        ('worse', '')
    """
    if pair.verdict == EQUAL:
        return pair.verdict, f"within {score_of(problem).margin(problem['margin'])}"
    if pair.verdict != UNDECIDED or not np.isfinite(pair.difference):
        return pair.verdict, ""
    unit = unit_of(problem)
    return pair.verdict, f"+{count(pair.more_runs, unit)}" if pair.more_runs else f"no number of {unit}s decides"


def title(name: str, problem: Mapping[str, Any]) -> str:
    """Say in one line what was run.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> title("digits", toy.PROBLEM)
        'digits: 64-64-10, batch 32, 3 epochs, n = 3 seeds'
    """
    settings = problem["problem"]
    runs = f"n = {_number_of_runs(problem)}"
    epochs = count(problem["race"]["epochs"], "epoch")
    return f"{display(name)}: {problem['network']}, batch {settings['batch_size']}, {epochs}, {runs}"


def seeds(problem: Mapping[str, Any]) -> str:
    """Say which seeds the race ran with.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> seeds(toy.PROBLEM)
        'seeds 1000 to 1002'
    """
    found = sorted({seed for entry in problem["candidates"].values() for seed in entry["race"]["seeds"]})
    return f"seeds {found[0]} to {found[-1]}" if len(found) > 1 else f"seed {found[0]}"


def _number_of_runs(problem):
    """The number of runs of each candidate, or of splits; from the fewest to the most where they differ."""
    fewest = findings.units(problem)
    most = fewest if problem["splits"] > 1 else max(len(e["race"]["seeds"]) for e in problem["candidates"].values())
    return count(fewest, unit_of(problem)) if most == fewest else f"{fewest} to {count(most, unit_of(problem))}"


def _duration(found):
    reached = int(np.sum(np.isfinite(found.epochs)))
    share = "" if reached in (0, len(found.epochs)) else f" ({reached}/{len(found.epochs)})"
    if not np.isfinite(found.seconds):
        return ["never" + share] * 2
    epochs = f"{np.median(found.epochs):.3g}{share}"
    high = seconds(found.high) if np.isfinite(found.high) else "never"
    ends = "" if found.low == found.high else f" ({seconds(found.low)} to {high})"
    return [f"{seconds(found.seconds)}{ends}", epochs]


def _seconds(value):
    if value.n == 1 or not value.half_width > 0:
        return seconds(value.mean)
    half = value.half_width
    return f"{seconds(value.mean, of=half)} ± {seconds(half, of=half)}"
