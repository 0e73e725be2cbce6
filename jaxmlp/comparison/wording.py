"""Words for a report: display names, lists, counts and numbers as a sentence needs them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.comparison.statistics import Interval

__docformat__ = "google"
__all__ = [
    "ACCURACY",
    "Score",
    "capital",
    "count",
    "display",
    "join",
    "number",
    "percent",
    "plus_minus",
    "rate",
    "score_of",
    "seconds",
    "sentence",
    "unit_of",
]

_NAMES = {
    "sgd": "SGD",
    "momentum": "Momentum",
    "nesterov": "Nesterov",
    "adagrad": "AdaGrad",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "amsgrad": "AMSGrad",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
}
_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


class Score(NamedTuple):
    """What the candidates are compared by, and how it is written."""

    key: str
    """Its name in the record's race."""

    name: str
    """In a sentence."""

    scale: float
    """What a value is multiplied by before it is written."""

    digits: int
    """Decimals."""

    unit: str
    """After a value, with a space before it where there is one."""

    difference_unit: str
    """After a difference, with a space before it."""

    higher_is_better: bool
    """Whether a larger value is better."""

    def value(self, value: float) -> str:
        """Write a value without its unit."""
        return f"{self.scale * value:.{self.digits}f}" if np.isfinite(value) else "not finite"

    def difference(self, value: float, digits: int | None = None) -> str:
        """Write a difference with its sign, without its unit."""
        if not np.isfinite(value):
            return "not finite"
        text = f"{self.scale * value:+.{self.digits if digits is None else digits}f}"
        return text.replace("-", "\u2212") if float(text) else text[1:]

    def margin(self, value: float) -> str:
        """Write the size of a difference with its unit."""
        return f"{self.scale * value:.6g}{self.difference_unit}"

    def interval(self, value: Interval) -> str:
        """Write a mean and its 95 % interval without the unit."""
        if not np.isfinite(value.mean) or value.n == 1:
            return self.value(value.mean)
        return f"{self.value(value.mean)} ± {self.value(value.half_width)}"


ACCURACY = Score("test_accuracy", "test accuracy", 100, 2, " %", " points", True)
"""The score of a classification."""


def score_of(problem: Mapping[str, Any]) -> Score:
    """Return the score that a problem's candidates are compared by: test accuracy, unless the record names another.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> score_of({}).name, score_of({"score": "test_loss"}).higher_is_better
        ('test accuracy', False)
    """
    key = problem.get("score", ACCURACY.key)
    name = key.replace("_", " ")
    return ACCURACY if key == ACCURACY.key else Score(key, name, 1, 4, "", f" in {name}", "accuracy" in key)


def unit_of(problem: Mapping[str, Any]) -> str:
    """Return what a verdict counts, in the singular: seeds, or splits where the whole procedure was repeated.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> unit_of({"splits": 1}), unit_of({"splits": 5})
        ('seed', 'split')
    """
    return "split" if problem["splits"] > 1 else "seed"


def display(name: str) -> str:
    """Return a name as a reader knows it.

    Example:
        >>> display("rmsprop"), display("my_rule")
        ('RMSProp', 'my_rule')
    """
    return _NAMES.get(name, name)


def join(words: Sequence[str], last: str = "and") -> str:
    """Write a list.

    Args:
        words: at least one.
        last: the word before the last one.

    Example:
        >>> join(["SGD", "Adam", "RMSProp"])
        'SGD, Adam and RMSProp'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def number(value: int) -> str:
    """Write a count in words up to twelve, in digits above.

    Example:
        >>> number(6), number(15)
        ('six', '15')
    """
    return _NUMBERS[value] if 0 <= value < len(_NUMBERS) else f"{value:,}"


def count(value: int, noun: str, plural: str | None = None) -> str:
    """Write a count and its noun.

    Example:
        >>> count(1, "seed"), count(10, "seed")
        ('1 seed', '10 seeds')
    """
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def percent(probability: float) -> str:
    """Write a probability in percent, without claiming certainty.

    Example:
        >>> percent(0.708), percent(0.9999), percent(0.0012)
        ('71 %', 'more than 99 %', 'less than 1 %')
    """
    if probability > 0.99:
        return "more than 99 %"
    return "less than 1 %" if probability < 0.01 else f"{100 * probability:.0f} %"


def plus_minus(value: Interval, digits: int = 4) -> str:
    """Write a mean and its 95 % interval.

    Example:
        >>> plus_minus(Interval(0.0891, 0.0012, 5)), plus_minus(Interval(float("nan"), 0.0, 5))
        ('0.0891 ± 0.0012', 'not finite')
    """
    if not np.isfinite(value.mean):
        return "not finite"
    return f"{value.mean:.{digits}f}" + (f" ± {value.half_width:.{digits}f}" if value.n > 1 else "")


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning and a full stop at its end.

    Example:
        >>> sentence("named by --problem")
        'Named by --problem.'
    """
    return capital(text) + ("" if text.endswith(".") else ".")


def capital(text: str) -> str:
    """Return a text with a capital at its beginning.

    Example:
        >>> capital("digits: 64-10")
        'Digits: 64-10'
    """
    return text[:1].upper() + text[1:]


def rate(value: float) -> str:
    """Write a learning rate.

    Example:
        >>> rate(0.3162), rate(1e-05)
        ('0.3162', '1e-5')
    """
    return f"{value:g}".replace("e-0", "e-")


def seconds(value: float, of: float | None = None) -> str:
    """Write a time with two digits, or with as many decimals as its noise has one digit.

    Args:
        value: to write, finite, >= 0.
        of: half the width of its interval.

    Example:
        >>> seconds(0.6), seconds(123.4), seconds(0.1204, of=0.0031)
        ('0.60', '123', '0.120')
    """
    size, digits = (value, 1) if of is None or not of > 0 else (of, 0)
    return f"{value:.{max(0, digits - math.floor(math.log10(size))) if size > 0 else 0}f}"
