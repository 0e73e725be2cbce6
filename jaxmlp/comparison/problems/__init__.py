"""Problems to compare optimizers on: data, a network, a loss, a score, a batch size and a budget.

- problem: what a problem is; loading: its data, their parts and the check before anything is trained.
- Built in: networks (on images), tables (regressions and the Titanic), exact (whose right answers are known).
- One's own: Problem in a file or a package, named by get; tabular, a CSV file with a target column.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxmlp._checks import shown
from jaxmlp.comparison import references
from jaxmlp.comparison.problems import exact, loading, networks, problem, tables, tabular
from jaxmlp.comparison.problems.loading import check, load, resplit
from jaxmlp.comparison.problems.problem import Problem, ProblemData
from jaxmlp.comparison.problems.tabular import from_csv

__docformat__ = "google"
__all__ = [
    "PROBLEMS",
    "Problem",
    "ProblemData",
    "check",
    "exact",
    "from_csv",
    "get",
    "load",
    "loading",
    "networks",
    "problem",
    "resplit",
    "tables",
    "tabular",
]

PROBLEMS: dict[str, Problem] = {found.name: found for room in (networks, tables, exact) for found in room.PROBLEMS}
"""Every problem by its name."""


def get(name: str) -> Problem:
    """Return the problem that a name or a reference stands for.

    Args:
        name: a key of PROBLEMS, or FILE.py:NAME, or package.module:NAME. What is named there is a Problem, or a
            function without arguments that returns one.

    Raises:
        ValueError: there is no such thing, or its file raises an exception.
        TypeError: it is not a problem.

    Example:
        >>> get("digits").layer_sizes
        (64, 64, 10)
    """
    if name in PROBLEMS:
        return PROBLEMS[name]
    found = references.load(name, "problem", PROBLEMS)
    value: Problem | Callable[[], Any] | Any = found.value
    if not isinstance(value, Problem) and callable(value):
        try:
            value = value()
        except Exception as error:  # whatever a user's function raises
            raise ValueError(f"{name} raises {type(error).__name__}: {error}") from error
    if not isinstance(value, Problem):
        raise TypeError(
            f"{name} must be a jaxmlp.comparison.Problem, or a function without arguments that returns one; got "
            f"{shown(value)}"
        )
    return dataclasses.replace(value, reference=name, origin=found.origin)
