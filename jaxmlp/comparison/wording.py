"""Words for a report: display names, lists, counts and numbers as a sentence needs them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.comparison.statistics import Interval, interval

__docformat__ = "google"
__all__ = [
    "ACCURACY",
    "ScoreText",
    "capital",
    "count",
    "display",
    "in_places",
    "join",
    "loss_unit",
    "number",
    "percent",
    "plus_minus",
    "rate",
    "score_of",
    "seconds",
    "sentence",
    "target_name",
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


class ScoreText(NamedTuple):
    """How the score that candidates are compared by is written."""

    measure: str
    """Its own name, e.g. "accuracy"."""

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

    @property
    def name(self) -> str:
        """The score on the test set, in a sentence."""
        return f"test {self.measure}"

    @property
    def percent(self) -> bool:
        """Whether values are written in percent."""
        return self.unit == " %"

    @property
    def in_unit(self) -> str:
        """The unit in brackets, after a heading or the name of an axis, with a space before it."""
        return f" ({self.unit.strip()})" if self.unit else ""

    @property
    def drawn(self) -> str:
        """What is drawn on an axis after "test" or "validation": the error where the score is an accuracy."""
        if not (self.percent and self.higher_is_better):
            return self.measure + self.in_unit
        return self.measure.replace("accuracy", "error") + " (%)" if "accuracy" in self.measure else "error (%)"

    def value(self, value: float) -> str:
        """Write a value without its unit."""
        if not np.isfinite(value):
            return "not finite"
        text = self._write(value, "", self.digits)
        return "\u2212" + text[1:] if text.startswith("-") else text

    def difference(self, value: float, digits: int | None = None) -> str:
        """Write a difference with its sign, without its unit."""
        if not np.isfinite(value):
            return "not finite"
        text = self._write(value, "+", self.digits if digits is None else digits)
        return text.replace("-", "\u2212") if float(text) else text[1:]

    def bounds(self, low: float, high: float) -> str:
        """Write the ends of a difference's interval, with so many digits that an end beside 0 is not written as 0."""
        digits = self.digits
        smallest = min((abs(self.scale * end) for end in (low, high) if end), default=1)
        while digits < _MOST_DIGITS and 10**-_MOST_DIGITS < smallest < 0.5 * 10**-digits:
            digits += 1
        return f"{self.difference(low, digits)} to {self.difference(high, digits)}"

    def margin(self, value: float) -> str:
        """Write the size of a difference with its unit."""
        return f"{self.scale * value:.6g}{self.difference_unit}"

    def interval(self, value: Interval) -> str:
        """Write a mean and its 95 % interval without the unit."""
        if not np.isfinite(value.mean) or value.n == 1:
            return self.value(value.mean)
        return f"{self.value(value.mean)} ± {self.value(value.half_width)}"

    def _write(self, value, sign, digits):
        value = self.scale * value
        if digits > _MOST_DIGITS or abs(value) >= 10**_MOST_DIGITS:
            return f"{value:{sign}.3g}"
        return f"{value:{sign}.{digits}f}"


_MOST_DIGITS = 6  # a number with more of them is written with an exponent

ACCURACY: dict[str, Any] = {"name": "accuracy", "key": "accuracy", "unit": "%", "scale": 100, "higher_is_better": True}
"""The record's entry of the score of a classification."""


def score_of(problem: Mapping[str, Any]) -> ScoreText:
    """Return how the score of a problem is written.

    Shares have two decimals of a percent; other scores have those that the smallest interval of a candidate needs for
    two digits.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> score_of(toy.PROBLEM).name, score_of(toy.PROBLEM).margin(0.002)
        ('test accuracy', '0.2 points')
    """
    score = problem["score"]
    percent = score["unit"] == "%"
    unit = f" {score['unit']}" if score["unit"] else ""
    difference = " points" if percent else unit or f" in test {score['name']}"
    digits = 2 if percent else _digits(problem)
    return ScoreText(score["name"], score["scale"], digits, unit, difference, score["higher_is_better"])


def target_name(score: Mapping[str, Any], target: float) -> str:
    """Write a target.

    Args:
        score: the record's entry of the score.
        target: value of the score.

    Example:
        >>> target_name(ACCURACY, 0.97), target_name(ACCURACY | {"name": "R2", "unit": "", "scale": 1}, 0.5)
        ('97 %', 'R2 0.5')
    """
    if score["unit"] == "%":
        return f"{100 * target:g} %"
    return f"{score['name']} {target:g}{' ' * bool(score['unit'])}{score['unit']}"


def _digits(problem):
    """Decimals at which the smallest interval of a candidate has two digits, and no more than values need."""
    races = [[v for v in entry["race"]["test_score"] if v is not None] for entry in problem["candidates"].values()]
    halves = [half_width for values in races if len(values) > 1 for _, half_width, _ in [interval(values)]]
    sizes = [abs(value) for values in races for value in values if value]
    if not sizes:
        return 4
    smallest = max(min(halves, default=0.0), 1e-3 * float(np.median(sizes)))
    return max(0, 1 - math.floor(math.log10(smallest)))


def loss_unit(problem: Mapping[str, Any]) -> str:
    """Return the unit of the loss in brackets, with a space before it, or nothing where the loss has none.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> loss_unit({"problem": {"loss": "softmax_cross_entropy"}})
        ' (nats per example)'
    """
    return " (nats per example)" if problem["problem"]["loss"] == "softmax_cross_entropy" else ""


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
        >>> display("rmsprop"), display("my_rule"), display("adam (cosine)")
        ('RMSProp', 'my_rule', 'Adam (cosine)')
    """
    rule, bracket, schedule = name.partition(" (")
    return _NAMES.get(rule, rule) + bracket + schedule


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


def in_places(places: Sequence[Mapping[str, Any]], most: int = 5) -> str:
    """Write where pieces were done.

    Args:
        places: as record.of_places returns them.
        most: hosts that are named.

    Example:
        >>> in_places([{"host": "node1", "process": 7, "device": "cpu (cpu)", "pieces": 2}])
        'in 1 process on node1, cpu (cpu)'
    """
    hosts, devices = (list(dict.fromkeys(place[field] for place in places)) for field in ("host", "device"))
    on = join(hosts) if len(hosts) <= most else count(len(hosts), "machine")
    return f"in {count(len(places), 'process', 'processes')} on {on}, {join(devices)}"


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
    """Write a learning rate or another hyperparameter.

    Example:
        >>> rate(0.3162), rate(1e-05), rate(0.9998765)
        ('0.3162', '1e-5', '0.9998765')
    """
    return f"{value:.10g}".replace("e-0", "e-")


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
