"""Scores: what candidates are compared by, and how a network's outputs are measured by them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp import losses, metrics
from jaxmlp._checks import check_choice, shown
from jaxmlp.comparison import statistics

__docformat__ = "google"
__all__ = ["SCORES", "Examples", "Measure", "Score", "get"]


@dataclasses.dataclass(frozen=True)
class Score:
    """What the candidates of a comparison are compared by.

    Example:
        >>> error = Score("absolute error", lambda outputs, targets: abs(outputs - targets), higher_is_better=False)
        >>> error.key, error.better(0.2, 0.3)
        ('absolute_error', True)
    """

    name: str
    """As a sentence says it: "accuracy", "R2"."""

    function: Callable[..., jax.Array]
    """(outputs, targets) -> one value for each example, whose mean is the score, or a scalar.

    With one value for each example, (n,), the intervals of a comparison cover other test examples too. Booleans are
    right and wrong answers.
    """

    higher_is_better: bool = True
    """False for a score such as a loss."""

    chance: float | Callable[[np.ndarray], float] | None = None
    """What an untrained network reaches, or a function of the targets that returns it: a run that is no better has
    failed. None: only a run whose loss or score is not finite has failed."""

    unit: str = ""
    """After a value; "%" for a share in [0, 1], which is written in percent."""

    @property
    def key(self) -> str:
        """The name as part of a column's name."""
        return "_".join("".join(c if c.isalnum() else " " for c in self.name.lower()).split())

    @property
    def scale(self) -> int:
        """What a value is multiplied by before it is written."""
        return 100 if self.unit == "%" else 1

    @property
    def worst(self) -> float:
        """What a run with a loss or score that is not finite counts as in a choice."""
        if self.higher_is_better:
            return 0.0 if self.unit == "%" else -np.inf
        return np.inf

    def better(self, a: Any, b: Any) -> Any:
        """Return whether a is a better score than b; arrays are compared one by one."""
        return a > b if self.higher_is_better else a < b

    def chance_of(self, targets: np.ndarray) -> float | None:
        """Return the chance level for these targets."""
        return float(self.chance(targets)) if callable(self.chance) else self.chance

    def describe(self) -> dict[str, Any]:
        """Return what a record says of the score."""
        return {
            "name": self.name,
            "key": self.key,
            "unit": self.unit,
            "scale": self.scale,
            "higher_is_better": self.higher_is_better,
        }


@dataclasses.dataclass(frozen=True)
class Measure:
    """A score as a metric for fit, (params, x, y) -> float32 scalar. Equal settings compare and hash alike.

    Example:
        >>> x, labels = jnp.array([[2.0, 1.0], [0.0, 3.0]]), jnp.array([0, 0])
        >>> Measure(get("accuracy"), lambda params, x: x)(None, x, labels).item()
        0.5
    """

    score: Score
    """To measure."""

    apply: Callable[..., Any]
    """The network, (params, x) -> outputs."""

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return the score of the examples."""
        return _mean(self.score.function(self.apply(params, x), y))


@dataclasses.dataclass(frozen=True)
class Examples:
    """What each example scores, as a metric for fit: right answers eight to a byte, other scores as float32.

    Example:
        >>> right = Examples(get("accuracy"), lambda params, x: x)
        >>> x, labels = jnp.array([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), jnp.array([0, 1, 1])
        >>> jnp.unpackbits(right(None, x, labels), count=3).tolist()
        [1, 1, 0]
    """

    score: Score
    """To measure, with one value for each example."""

    apply: Callable[..., Any]
    """The network, (params, x) -> outputs."""

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return uint8 (ceil(n / 8),), as numpy.packbits makes it, or float32 (n,)."""
        values = jnp.asarray(self.score.function(self.apply(params, x), y))
        return jnp.packbits(values) if values.dtype == bool else values.astype(jnp.float32)


def get(score: str | Score, loss: str | losses.Loss = "softmax_cross_entropy") -> Score:
    """Return the score of that name, or the score itself.

    Args:
        score: a name in SCORES, or "loss", or a Score.
        loss: what "loss" stands for: a name in jaxmlp.losses.LOSSES, or a function (outputs, targets) -> scalar.

    Raises:
        ValueError: the name is unknown.
        TypeError: score is neither a name nor a Score.

    Example:
        >>> get("accuracy").chance_of(np.array([0, 1] * 50))
        0.6
    """
    if isinstance(score, str):
        check_choice("score", score, (*SCORES, "loss"))
        return Score("loss", _Loss(loss), higher_is_better=False) if score == "loss" else SCORES[score]
    if not isinstance(score, Score):
        raise TypeError(f"score must be a name ({', '.join(SCORES)}, loss) or a Score, got {shown(score)}")
    return score


@dataclasses.dataclass(frozen=True)
class _Loss:
    """A loss as the function of a score: of each example where it is known to be a mean over them."""

    loss: str | losses.Loss

    def __call__(self, outputs, targets):
        loss = losses.get(self.loss)
        if not isinstance(self.loss, str):
            return loss(outputs, targets)
        return jax.vmap(lambda output, target: loss(output[None], target[None]))(outputs, jnp.asarray(targets))


def _mean(values):
    values = jnp.asarray(values)
    if not values.ndim:
        return values.astype(jnp.float32)
    if values.dtype != bool:
        return jnp.mean(values.astype(jnp.float32))
    # The barrier keeps XLA from multiplying by a rounded 1 / n: 9667 of 10,000 gives the float nearest to 0.9667.
    return jnp.sum(values).astype(jnp.float32) / jax.lax.optimization_barrier(jnp.float32(values.size))


def _itself(params, outputs):
    return outputs


def _accuracy(outputs, targets):
    return metrics.accuracy(_itself).right(None, outputs, targets)


def _binary_accuracy(outputs, targets):
    right = _answers("binary_accuracy", outputs, targets)
    return right[..., 0] if right.shape[-1] == 1 else jnp.mean(right.astype(jnp.float32), axis=-1)


def _exact_match(outputs, targets):
    return jnp.all(_answers("exact_match", outputs, targets), axis=-1)


def _answers(name, outputs, targets):
    """Which answers are right, shaped like the outputs; an output says yes if its logit is positive."""
    getattr(metrics, name)(_itself).check(None, outputs, targets)
    return ((outputs > 0) == (jnp.asarray(targets) > 0).reshape(outputs.shape)) & ~jnp.isnan(outputs)


def _r2(outputs, targets):
    return metrics.r2(_itself)(None, outputs, targets)


def _errors(outputs, targets):
    """The mean squared error of each example."""
    targets = jnp.asarray(targets, outputs.dtype).reshape(outputs.shape)
    return jnp.mean((outputs - targets) ** 2, axis=tuple(range(1, outputs.ndim)))


def _often(targets):
    """The share of answers that the more frequent one of each column gets right, and two standard errors."""
    targets = np.asarray(targets).reshape(len(targets), -1)
    shares = np.maximum(targets.mean(axis=0), 1 - targets.mean(axis=0))
    error = np.sqrt((shares * (1 - shares)).mean() / targets.size)
    return float(shares.mean() + 2 * error)


SCORES: dict[str, Score] = {
    "accuracy": Score("accuracy", _accuracy, chance=statistics.chance_level, unit="%"),
    "binary_accuracy": Score("binary accuracy", _binary_accuracy, chance=_often, unit="%"),
    "exact_match": Score("exact match", _exact_match, unit="%"),
    "r2": Score("R2", _r2, chance=0.0),
    "mean_squared_error": Score("mean squared error", _errors, higher_is_better=False),
}
"""The scores that have a name; with "loss", a problem's own loss is its score."""
