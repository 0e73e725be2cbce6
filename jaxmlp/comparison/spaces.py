"""Search spaces: the values that a hyperparameter may take, and how they are spread over the unit interval.

A dimension maps [0, 1) to values and back; its text is the call that makes it:

    log_uniform(low, high)              learning rates, weight decay
    uniform(low, high)
    one_minus_log_uniform(low, high)    momenta and decay rates: 1 - value is log-uniform between low and high
    choice(a, b, ...)                   a few values
"""

import ast
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from scipy.stats import qmc

from jaxmlp._checks import check_choice, check_count, one_number, shown

__docformat__ = "google"
__all__ = [
    "DIMENSIONS",
    "Choices",
    "Dimension",
    "LogUniform",
    "OneMinusLogUniform",
    "Uniform",
    "choice",
    "describe",
    "log_uniform",
    "one_minus_log_uniform",
    "parse",
    "parse_assignment",
    "sobol_points",
    "uniform",
]


class Dimension(Protocol):
    """What every dimension can do."""

    def at(self, place: float) -> float:
        """Return the value at a place in [0, 1), to a few digits, so that a table shows all of it."""
        ...

    def place(self, value: float) -> float:
        """Return where a value lies, in [0, 1]; values beyond an end lie at it."""
        ...


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Values whose logarithm is spread evenly.

    Example:
        >>> dimension = LogUniform(1e-4, 1.0)
        >>> dimension.at(0.5), dimension.place(0.01)
        (0.01, 0.5)
    """

    low: float
    """The smallest value, > 0."""

    high: float
    """The largest value."""

    def at(self, place: float) -> float:
        """Return the value at a place in [0, 1)."""
        return float(f"{self.low * (self.high / self.low) ** place:.4g}")

    def place(self, value: float) -> float:
        """Return where a value lies, in [0, 1]."""
        return _clip(math.log(max(value, self.low) / self.low) / math.log(self.high / self.low))

    def __str__(self) -> str:
        """Return the call that makes the dimension."""
        return f"log_uniform({self.low:g}, {self.high:g})"


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Values that are spread evenly.

    Example:
        >>> dimension = Uniform(0.0, 0.5)
        >>> dimension.at(0.5), dimension.place(0.125)
        (0.25, 0.25)
    """

    low: float
    """The smallest value."""

    high: float
    """The largest value."""

    def at(self, place: float) -> float:
        """Return the value at a place in [0, 1)."""
        return float(f"{self.low + (self.high - self.low) * place:.4g}")

    def place(self, value: float) -> float:
        """Return where a value lies, in [0, 1]."""
        return _clip((value - self.low) / (self.high - self.low))

    def __str__(self) -> str:
        """Return the call that makes the dimension."""
        return f"uniform({self.low:g}, {self.high:g})"


@dataclasses.dataclass(frozen=True)
class OneMinusLogUniform:
    """Values below 1 whose distance from 1 is spread evenly on a logarithmic axis, as momenta are best searched.

    Example:
        >>> dimension = OneMinusLogUniform(0.001, 0.1)
        >>> dimension.at(0.5), round(dimension.place(0.99), 9)
        (0.99, 0.5)
    """

    low: float
    """The smallest distance from 1, > 0."""

    high: float
    """The largest distance from 1, at most 1."""

    def at(self, place: float) -> float:
        """Return the value at a place in [0, 1): 0 is farthest from 1."""
        distance = float(f"{self.high * (self.low / self.high) ** place:.3g}")
        return round(1 - distance, 12)

    def place(self, value: float) -> float:
        """Return where a value lies, in [0, 1]."""
        distance = min(max(1 - value, self.low), self.high)
        return _clip(math.log(self.high / distance) / math.log(self.high / self.low))

    def __str__(self) -> str:
        """Return the call that makes the dimension."""
        return f"one_minus_log_uniform({self.low:g}, {self.high:g})"


@dataclasses.dataclass(frozen=True)
class Choices:
    """A few values, each as likely as the others.

    Example:
        >>> dimension = Choices((32.0, 64.0, 128.0))
        >>> dimension.at(0.5), dimension.place(64.0)
        (64.0, 0.5)
    """

    values: tuple[float, ...]
    """At least one, all different."""

    def at(self, place: float) -> float:
        """Return the value at a place in [0, 1)."""
        return self.values[min(int(place * len(self.values)), len(self.values) - 1)]

    def place(self, value: float) -> float:
        """Return the middle of the part of [0, 1] that the value owns."""
        return (self.values.index(value) + 0.5) / len(self.values)

    def __str__(self) -> str:
        """Return the call that makes the dimension."""
        return f"choice({', '.join(f'{value:g}' for value in self.values)})"


def log_uniform(low: float, high: float) -> LogUniform:
    """Return the dimension of values whose logarithm is spread evenly.

    Args:
        low: the smallest value, > 0.
        high: the largest value.

    Raises:
        ValueError: 0 < low < high does not hold.

    Example:
        >>> print(log_uniform(1e-5, 0.1))
        log_uniform(1e-05, 0.1)
    """
    return LogUniform(*_ends("log_uniform", low, high, 0.0))


def uniform(low: float, high: float) -> Uniform:
    """Return the dimension of values that are spread evenly.

    Args:
        low: the smallest value.
        high: the largest value.

    Raises:
        ValueError: low < high does not hold.

    Example:
        >>> print(uniform(0, 0.5))
        uniform(0, 0.5)
    """
    return Uniform(*_ends("uniform", low, high, -math.inf))


def one_minus_log_uniform(low: float, high: float) -> OneMinusLogUniform:
    """Return the dimension of momenta: 1 - value is spread evenly on a logarithmic axis.

    Args:
        low: the smallest distance from 1, > 0; 0.001 for momenta up to 0.999.
        high: the largest distance from 1, at most 1; 0.5 for momenta from 0.5.

    Raises:
        ValueError: 0 < low < high <= 1 does not hold.

    Example:
        >>> [one_minus_log_uniform(0.001, 0.1).at(place) for place in (0, 0.5, 0.999)]
        [0.9, 0.99, 0.999]
    """
    low, high = _ends("one_minus_log_uniform", low, high, 0.0)
    if high > 1:
        raise ValueError(f"one_minus_log_uniform takes distances from 1, at most 1; got high = {high:g}")
    return OneMinusLogUniform(low, high)


def choice(*values: float) -> Choices:
    """Return the dimension of a few values.

    Args:
        values: numbers, all different.

    Raises:
        ValueError: there is none, or one is given twice.

    Example:
        >>> print(choice(32, 64))
        choice(32, 64)
    """
    for value in values:
        one_number("a value of choice", value, -math.inf)
    if not values or len(set(values)) != len(values):
        raise ValueError(f"choice takes different numbers, at least one, e.g. choice(32, 64); got {list(values)}")
    return Choices(tuple(map(float, values)))


DIMENSIONS: dict[str, Callable[..., Dimension]] = {
    function.__name__: function for function in (log_uniform, uniform, one_minus_log_uniform, choice)
}
"""The dimensions by name."""


def parse(text: str) -> Dimension:
    """Read a dimension as its text shows it; nothing in the text is executed.

    Args:
        text: e.g. "log_uniform(1e-5, 0.1)".

    Raises:
        ValueError: the text is not a dimension.

    Example:
        >>> parse("one_minus_log_uniform(1e-3, 0.5)")
        OneMinusLogUniform(low=0.001, high=0.5)
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
        raise ValueError(f"{shown(text)} is not a dimension; write one of {', '.join(_EXAMPLES)}")
    name = check_choice("dimension", tree.func.id, DIMENSIONS)
    try:
        values = [ast.literal_eval(node) for node in tree.args]
    except (ValueError, TypeError, RecursionError):
        values = ["not a number"]
    if tree.keywords or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise ValueError(f"{shown(text)}: {name} takes numbers, as in {_example(name)}")
    if name != "choice" and len(values) != 2:
        raise ValueError(f"{shown(text)}: {name} takes two numbers, low and high, as in {_example(name)}")
    return DIMENSIONS[name](*values)


def parse_assignment(text: str) -> tuple[str, str, Dimension]:
    """Read what --space takes.

    Args:
        text: "CANDIDATE.ARGUMENT=DIMENSION".

    Returns:
        (candidate, argument, dimension).

    Raises:
        ValueError: the text has another form.

    Example:
        >>> parse_assignment("mine.beta=uniform(0, 0.5)")
        ('mine', 'beta', Uniform(low=0.0, high=0.5))
    """
    head, equals, tail = text.rpartition("=")
    candidate, dot, argument = head.strip().rpartition(".")
    if not (equals and dot and candidate and argument.isidentifier()):
        raise ValueError(
            f'--space takes CANDIDATE.ARGUMENT=DIMENSION, as in "mine.beta=one_minus_log_uniform(1e-3, 0.5)"; got '
            f"{shown(text)}"
        )
    return candidate, argument, parse(tail)


def describe(space: Mapping[str, Dimension]) -> dict[str, str]:
    """Return a space as plain text, argument -> dimension.

    Example:
        >>> describe({"learning_rate": log_uniform(1e-5, 0.1)})
        {'learning_rate': 'log_uniform(1e-05, 0.1)'}
    """
    return {name: str(dimension) for name, dimension in space.items()}


def sobol_points(space: Mapping[str, Dimension], count: int, seed: int) -> list[dict[str, float]]:
    """Return scrambled Sobol points of a space: random ones that leave no gaps.

    Args:
        space: argument -> dimension, at least one.
        count: of points, >= 1; a power of 2 is spread most evenly.
        seed: of the scrambling; equal seeds give equal points.

    Example:
        >>> sobol_points({"learning_rate": log_uniform(1e-4, 1), "b1": choice(0.8, 0.9)}, 2, seed=0)
        [{'learning_rate': 0.004363, 'b1': 0.9}, {'learning_rate': 0.07721, 'b1': 0.8}]

    Source:
        Owen (1998), "Scrambling Sobol' and Niederreiter-Xing points".
    """
    check_count("count", count)
    sobol: Any = qmc.Sobol  # SciPy calls its argument rng from 1.15 on, and knows both names
    sampler = sobol(len(space), scramble=True, seed=np.random.default_rng(seed))
    unit = sampler.random_base2(math.ceil(math.log2(count)))[:count]
    # The points must not depend on the order in which a space was written down.
    column = {name: i for i, name in enumerate(sorted(space, key=lambda name: (name != "learning_rate", name)))}
    return [{name: d.at(float(row[column[name]])) for name, d in space.items()} for row in unit]


_EXAMPLES = (
    "log_uniform(1e-5, 0.1)",
    "uniform(0, 0.5)",
    "one_minus_log_uniform(1e-3, 0.5)",
    "choice(32, 64)",
)


def _example(name):
    return next(example for example in _EXAMPLES if example.startswith(f"{name}("))


def _ends(name: str, low: float, high: float, above: float) -> Sequence[float]:
    for end in (low, high):
        one_number(f"{name}'s end", end, -math.inf)
    if not above < low < high:
        bound = f"{above:g} < " if math.isfinite(above) else ""
        raise ValueError(f"{name} takes {bound}low < high, as in {_example(name)}; got {low:g} and {high:g}")
    return float(low), float(high)


def _clip(place):
    return min(1.0, max(0.0, place))
