"""Hyperparameters as a report writes them: their names, their values, and the axes that they are drawn on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxmlp.comparison import spaces
from jaxmlp.comparison.wording import rate

__docformat__ = "google"
__all__ = ["Axis", "article", "axis_of", "chosen", "heading", "in_words", "named", "names", "rate_only"]


def names(problem: Mapping[str, Any]) -> list[str]:
    """Return every hyperparameter that some candidate's search went through, the learning rate first.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> names({"candidates": {"a": {"space": {"b1": "", "learning_rate": ""}}}})
        ['learning_rate', 'b1']
    """
    found = dict.fromkeys(name for entry in problem["candidates"].values() for name in entry["space"])
    return sorted(found, key=lambda name: name != "learning_rate")


def rate_only(problem: Mapping[str, Any]) -> bool:
    """Return whether the learning rate is all that was searched.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> rate_only({"candidates": {"a": {"space": {"learning_rate": ""}}}})
        True
    """
    return names(problem) == ["learning_rate"]


def heading(problem: Mapping[str, Any]) -> str:
    """Return the heading of the column of choices.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> heading({"candidates": {"a": {"space": {"learning_rate": "", "b1": ""}}}})
        'Choice'
    """
    return "Learning rate" if rate_only(problem) else "Choice"


def named(name: str) -> str:
    """Return a hyperparameter's name in a sentence.

    Example:
        >>> named("learning_rate"), named("b1")
        ('learning rate', 'b1')
    """
    return name.replace("_", " ")


def article(name: str) -> str:
    """Return the article that a sentence puts before a hyperparameter: none before a symbol.

    Example:
        >>> article("learning_rate"), article("b1")
        ('the ', '')
    """
    return "the " if "_" in name else ""


def in_words(point: Mapping[str, float], problem: Mapping[str, Any]) -> str:
    """Write a point: the rate alone where nothing else was searched.

    Args:
        point: hyperparameter -> value.
        problem: the record's entry of the problem.

    Example:
        >>> two = {"candidates": {"a": {"space": {"learning_rate": "", "b1": ""}}}}
        >>> in_words({"learning_rate": 0.01, "b1": 0.95}, two)
        'learning rate 0.01, b1 0.95'
    """
    if rate_only(problem):
        return rate(point["learning_rate"])
    return ", ".join(f"{named(name)} {rate(value)}" for name, value in point.items())


def chosen(entry: Mapping[str, Any], problem: Mapping[str, Any]) -> str:
    """Write the choices of a candidate: one for each split, without repetition.

    Args:
        entry: the record's entry of the candidate.
        problem: the record's entry of the problem.

    Example:
        >>> one = {"space": {"learning_rate": ""}, "choices": [{"hyperparameters": {"learning_rate": 0.1}}]}
        >>> chosen(one, {"candidates": {"a": one}})
        '0.1'
    """
    between = ", " if rate_only(problem) else "; "
    return between.join(dict.fromkeys(in_words(choice["hyperparameters"], problem) for choice in entry["choices"]))


class Axis(NamedTuple):
    """How a hyperparameter is drawn."""

    label: str
    """Of the axis."""

    logarithmic: bool
    """Whether equal ratios have equal lengths."""

    from_one: bool
    """Whether the distance from 1 is drawn, as it is of a momentum."""

    def place(self, value: float) -> float:
        """Return what is drawn of a value."""
        return 1 - value if self.from_one else value


def axis_of(name: str, problem: Mapping[str, Any]) -> Axis:
    """Return the axis of a hyperparameter: as the first candidate that has it was searched.

    Args:
        name: of the hyperparameter.
        problem: the record's entry of the problem.

    Example:
        >>> axis_of("b1", {"candidates": {"a": {"space": {"b1": "one_minus_log_uniform(0.01, 0.5)"}}}}).from_one
        True
    """
    kinds = [spaces.parse(entry["space"][name]) for entry in problem["candidates"].values() if name in entry["space"]]
    from_one = isinstance(kinds[0], spaces.OneMinusLogUniform)
    values: Sequence[float] = [value for kind in kinds if isinstance(kind, spaces.Choices) for value in kind.values]
    spread = name == "learning_rate" or from_one or isinstance(kinds[0], spaces.LogUniform)
    logarithmic = spread and all(value > 0 and math.isfinite(value) for value in values)
    return Axis(f"1 \u2212 {named(name)}" if from_one else named(name), logarithmic, from_one)
