"""Learning rates that change with the step: constant, cosine, linear, and cosine after a warm-up.

Each function returns a `Curve`, a function of the number of steps taken, for the learning_rate of any rule here or of
optax. A curve is a pytree whose leaves are its rates: fit and sweep compile one program for all of them, and jit, vmap
and grad go through the peak. Only its lengths in steps decide the program.

The shapes are those of optax's schedules. Any other schedule of optax, or any function of the step, works as well.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxmlp._arrays import Scalar, Schedule
from jaxmlp._checks import check_choice, check_count, one_number

__docformat__ = "google"
__all__ = ["SCHEDULES", "Curve", "Schedule", "constant", "cosine", "get", "linear", "warmup_cosine"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Curve:
    """The function that every schedule here returns, step -> peak * share of the peak at that step.

    Equal settings compare and hash alike. As a pytree its leaves are peak, start and end.
    """

    peak: Any
    """The largest learning rate."""
    shape: str = dataclasses.field(metadata={"static": True})
    """The name in SCHEDULES."""
    start: Any = None
    """The rate at step 0 as a fraction of peak; None without a warm-up."""
    end: Any = None
    """The rate at the last step as a fraction of peak; None if it is constant."""
    warmup_steps: int = dataclasses.field(default=0, metadata={"static": True})
    """Steps over which the rate rises to peak."""
    steps: int = dataclasses.field(default=0, metadata={"static": True})
    """Steps after which the rate stays at the end's."""

    def __call__(self, count: jax.typing.ArrayLike) -> jax.Array:
        """Return the learning rate after count steps."""
        with jax.numpy_dtype_promotion("standard"):  # as optax expects
            share = jnp.asarray(self._share()(jnp.asarray(count, float)), float)
        return jnp.asarray(self.peak, share.dtype) * share

    def _share(self):
        if self.shape == "cosine":
            return optax.cosine_decay_schedule(1.0, self.steps, self.end)
        if self.shape == "linear":
            return optax.linear_schedule(1.0, self.end, self.steps)
        if self.shape == "warmup_cosine":
            return optax.warmup_cosine_decay_schedule(self.start, 1.0, self.warmup_steps, self.steps, self.end)
        return optax.constant_schedule(1.0)


def constant(peak: Scalar) -> Curve:
    """Keep the learning rate, so that a constant one can stand beside the others.

        rate(t) = peak

    Args:
        peak: the learning rate, >= 0.

    Returns:
        A schedule, step count from 0 -> learning rate.

    Raises:
        ValueError: peak is negative.

    Example:
        >>> import jaxmlp
        >>> print(jaxmlp.schedules.constant(0.5)(100))
        0.5
    """
    return Curve(_rate(peak), "constant")


def cosine(peak: Scalar, steps: int, *, end: Scalar = 0.0) -> Curve:
    """Lower the learning rate along half a period of the cosine.

        rate(t) = peak * (end + (1 - end) * (1 + cos(pi * min(t / steps, 1))) / 2)

    Args:
        peak: the learning rate at step 0, >= 0.
        steps: after which the rate stays at peak * end, >= 1; for a whole run epochs * ceil(n / batch_size).
        end: the last rate as a fraction of peak, in [0, 1].

    Returns:
        A schedule, step count from 0 -> learning rate.

    Raises:
        ValueError: an argument is out of its range.
        TypeError: steps is not an integer.

    Example:
        >>> import jaxmlp
        >>> schedule = jaxmlp.schedules.cosine(0.5, 100)
        >>> print([f"{schedule(step):.3f}" for step in (0, 50, 75, 100, 200)])
        ['0.500', '0.250', '0.073', '0.000', '0.000']
        >>> optimizer = jaxmlp.optimizers.adam(schedule)

    Source:
        Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", equation 5, one period.
    """
    return Curve(_rate(peak), "cosine", end=_fraction("end", end), steps=_steps("steps", steps))


def linear(peak: Scalar, steps: int, *, end: Scalar = 0.0) -> Curve:
    """Lower the learning rate along a straight line.

        rate(t) = peak * (1 - (1 - end) * min(t / steps, 1))

    Args:
        peak: the learning rate at step 0, >= 0.
        steps: after which the rate stays at peak * end, >= 1; for a whole run epochs * ceil(n / batch_size).
        end: the last rate as a fraction of peak, in [0, 1].

    Returns:
        A schedule, step count from 0 -> learning rate.

    Raises:
        ValueError: an argument is out of its range.
        TypeError: steps is not an integer.

    Example:
        >>> import jaxmlp
        >>> schedule = jaxmlp.schedules.linear(0.5, 100, end=0.2)
        >>> print([f"{schedule(step):.2f}" for step in (0, 50, 100, 200)])
        ['0.50', '0.30', '0.10', '0.10']
    """
    return Curve(_rate(peak), "linear", end=_fraction("end", end), steps=_steps("steps", steps))


def warmup_cosine(peak: Scalar, warmup_steps: int, steps: int, *, start: Scalar = 0.0, end: Scalar = 0.0) -> Curve:
    """Raise the learning rate along a straight line, then lower it along half a period of the cosine.

        t < warmup_steps:   rate(t) = peak * (start + (1 - start) * t / warmup_steps)
        afterwards:         rate(t) = cosine from peak to peak * end over the remaining steps

    Args:
        peak: the largest learning rate, reached after warmup_steps, >= 0.
        warmup_steps: length of the rise, >= 1.
        steps: of rise and fall together, > warmup_steps; for a whole run epochs * ceil(n / batch_size).
        start: the rate at step 0 as a fraction of peak, in [0, 1].
        end: the last rate as a fraction of peak, in [0, 1].

    Returns:
        A schedule, step count from 0 -> learning rate.

    Raises:
        ValueError: an argument is out of its range.
        TypeError: a number of steps is not an integer.

    Differs from:
        optax.warmup_cosine_decay_schedule, whose first and last rates are absolute, and whose peak must be a Python
        number.

    Example:
        >>> import jaxmlp
        >>> schedule = jaxmlp.schedules.warmup_cosine(0.5, 10, 110)
        >>> print([f"{schedule(step):.2f}" for step in (0, 5, 10, 60, 110)])
        ['0.00', '0.25', '0.50', '0.25', '0.00']

    Source:
        Goyal et al. (2017), "Accurate, large minibatch SGD", section 2.2, for the rise.
    """
    warmup_steps, steps = _steps("warmup_steps", warmup_steps), _steps("steps", steps)
    if steps <= warmup_steps:
        raise ValueError(
            f"steps must be more than warmup_steps, {warmup_steps}, since it counts the warm-up too; got {steps}"
        )
    fractions = {name: _fraction(name, value) for name, value in (("start", start), ("end", end))}
    return Curve(_rate(peak), "warmup_cosine", **fractions, warmup_steps=warmup_steps, steps=steps)


SCHEDULES: dict[str, Callable[..., Curve]] = {
    function.__name__: function for function in (constant, cosine, linear, warmup_cosine)
}
"""The schedules by name."""


def get(schedule: str) -> Callable[..., Curve]:
    """Return the schedule of that name.

    Args:
        schedule: a name in SCHEDULES.

    Raises:
        ValueError: the name is unknown.

    Example:
        >>> import jaxmlp
        >>> schedule = jaxmlp.schedules.get("cosine")(0.1, 1000)
    """
    return SCHEDULES[check_choice("schedule", schedule, SCHEDULES)]


def _rate(peak):
    one_number("peak", peak, 0)
    return peak


def _fraction(name, value):
    one_number(name, value, 0)
    if isinstance(value, int | float) and value > 1:
        raise ValueError(f"{name} is a fraction of peak and must be in [0, 1]; got {value!r}")
    return value


def _steps(name, value):
    check_count(name, value)
    return int(value)
