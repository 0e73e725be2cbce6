"""Every number of a comparison in one table, runs.csv: one row per run, epoch and metric.

The columns are

    problem          name
    candidate        name; "a - b" in the rows of a pair
    hyperparameters  what the run was trained with, "name=value", separated by "; "
    phase            coarse, full (both tuning), race, timing or pair
    split            index of the division into training and validation part
    seed             of the run; of timing, the turn
    epoch            after which the value was measured, may be a fraction; empty for a value of the whole run
    metric           name; that of the score is test_accuracy, or test_ and the score's own name
    value            number; empty where it is not finite or not reached

A pair's rows hold what a verdict needs beside the race: the level of its interval, how many runs of each candidate it
saw (split means, with more than one split), the margin, and the variance that the test examples add with its degrees
of freedom.
"""

import csv
import io
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp import _files
from jaxmlp.comparison import verdicts
from jaxmlp.comparison.store import quoted

__docformat__ = "google"
__all__ = ["COLUMNS", "rows", "write"]

COLUMNS = ("problem", "candidate", "hyperparameters", "phase", "split", "seed", "epoch", "metric", "value")
"""Names of the columns."""


def write(path: Path, problems: Mapping[str, Any], curves: Mapping[str, np.ndarray]) -> None:
    """Write the table as CSV, whole or not at all.

    Args:
        path: of the file; its folder is created if missing.
        problems: the record's problems by name.
        curves: problem/candidate/phase/metric -> array, as in curves.npz.

    Raises:
        OSError: the file cannot be written; an older file at path stays as it was.

    Example:
        >>> import tempfile
        >>> from jaxmlp.comparison import toy
        >>> path = Path(tempfile.mkdtemp()) / "runs.csv"
        >>> write(path, {"digits": toy.PROBLEM}, {f"digits/{name}": values for name, values in toy.CURVES.items()})
        >>> path.read_text().splitlines()[1].split(",")[:-1]
        ['digits', 'sgd', 'learning_rate=0.1', 'race', '0', '1000', '1', 'train_loss']
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, problem in problems.items():
        of_problem = {path.split("/", 1)[1]: v for path, v in curves.items() if path.split("/", 1)[0] == name}
        writer.writerows(rows(name, problem, of_problem))
    _files.write(path, text.getvalue())


def rows(name: str, problem: Mapping[str, Any], curves: Mapping[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of one problem.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        curves: those of the problem, candidate/phase/metric -> array.

    Yields:
        A tuple with the fields of COLUMNS.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> {row[3] for row in rows("digits", toy.PROBLEM, toy.CURVES)} == {"race", "timing", "pair"}
        True
    """
    for candidate, entry in problem["candidates"].items():
        key = problem["score"]["key"]
        path = quoted(candidate)
        found = itertools.chain(_tuning(path, entry, curves, key), _race(path, entry, curves, key), _times(entry))
        yield from ((name, candidate, *row[:-1], _number(row[-1])) for row in found)
    yield from ((name, *row[:-1], _number(row[-1])) for row in _pairs(problem))


def _tuning(candidate, entry, curves, key):
    for phase in ("coarse", "full"):
        if f"{candidate}/{phase}/seed" not in curves:
            continue
        columns = zip(*(curves[f"{candidate}/{phase}/{name}"] for name in entry["space"]), strict=True)
        points = [dict(zip(entry["space"], values, strict=True)) for values in columns]
        runs = [points, *(curves[f"{candidate}/{phase}/{name}"] for name in ("split", "seed"))]
        for metric in ("train_loss", "validation_loss", "validation_score"):
            shown = metric.replace("score", key)
            for point, split, seed, curve in zip(*runs, curves[f"{candidate}/{phase}/{metric}"], strict=True):
                setting = _setting(point)
                yield from ((setting, phase, split, seed, epoch, shown, value) for epoch, value in enumerate(curve, 1))


def _race(candidate, entry, curves, key):
    race = entry["race"]
    settings = [_setting(choice["hyperparameters"]) for choice in entry["choices"]]
    runs = [(settings[split], "race", split, seed) for split, seed in zip(race["split"], race["seeds"], strict=True)]
    for metric in ("train_loss", "test_loss", "test_score"):
        for run, curve in zip(runs, curves[f"{candidate}/race/{metric}"], strict=True):
            yield from ((*run, epoch, metric.replace("score", key), value) for epoch, value in enumerate(curve, 1))
    if "early_epochs" in curves:
        for run, curve in zip(runs, curves[f"{candidate}/race/early_test_score"], strict=True):
            for epoch, value in zip(curves["early_epochs"], curve, strict=True):
                if epoch % 1:  # whole epochs are above
                    yield *run, float(f"{epoch:.6g}"), f"test_{key}", value
    for target, reached in entry["to_target"].items():
        for run, epochs in zip(runs, reached["epochs"], strict=True):
            yield *run, "", f"epochs to {target}", epochs


def _times(entry):
    for turn, seconds in enumerate(entry["timing"]["seconds_per_epoch"]):
        yield _setting(entry["choices"][0]["hyperparameters"]), "timing", 0, turn, "", "seconds_per_epoch", seconds


def _pairs(problem):
    for pair in problem["pairs"]:
        look = problem["race"]["looks"][pair["look"]]
        numbers = {
            "level": verdicts.level_of_each_pair(len(problem["candidates"]), 1 - look["error"]),
            "runs": problem["splits"] if problem["splits"] > 1 else look["seeds"],
            "margin": problem["margin"],
            "examples_variance": pair["examples_variance"],
            "examples_degrees_of_freedom": problem["examples"]["test"] - 1,
        }
        for metric, value in numbers.items():
            yield f"{pair['a']} - {pair['b']}", "", "pair", "", "", "", metric, value


def _setting(hyperparameters):
    return "; ".join(f"{name}={value:.10g}" for name, value in hyperparameters.items())


def _number(value):
    """The shortest text that stands for the number; empty where there is none."""
    if value is None or not np.isfinite(value):
        return ""
    return str(value)
