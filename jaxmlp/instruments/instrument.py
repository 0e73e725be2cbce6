"""What an instrument is, and what a run keeps of it."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxmlp._arrays import PyTree, is_concrete
from jaxmlp._checks import check_count, one_number, shown

__docformat__ = "google"
__all__ = ["Instrument", "Readings"]


@dataclasses.dataclass(frozen=True)
class Instrument:
    """A pure function of a step of training, and how often fit calls it.

    Equal fields make equal, hashable instruments, so that building one again recompiles nothing. A measurement of your
    own is Instrument(measure, every=10), with measure defined once.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> def largest_update(step, key):
        ...     return jnp.max(jnp.abs(step.updates))
        >>> instrument = Instrument(largest_update, every=10)
        >>> step = jaxmlp.Step(loss=0.0, params=None, grads=None, updates=jnp.array([1.0, -3.0]))
        >>> print(instrument(step))
        3.0
    """

    measure: Callable[..., PyTree]
    """(step, key, **settings) -> array or pytree of arrays, whose shapes do not depend on the batch."""
    every: int = 1
    """Interval in steps, >= 1: measured at the steps 0, every, 2 every, ..."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Further arguments of measure as (name, value), hashable."""

    def __post_init__(self):
        if not callable(self.measure):
            raise TypeError(f"measure must be a function (step, key) -> array, got {shown(self.measure)}")
        object.__setattr__(self, "every", check_count("every", self.every))
        try:
            dict(self.settings)
            hash(self.settings)
        except Exception:
            raise TypeError(
                f"settings must be a tuple of (name, value), both hashable, got {shown(self.settings)}"
            ) from None

    def __call__(self, step: Any, key: jax.Array | None = None) -> PyTree:
        """Return the measurement of one step; only the random estimators need a key."""
        return self.measure(step, key, **dict(self.settings))


class Readings(NamedTuple):
    """What one instrument has measured in a run."""

    steps: jax.Array
    """(measurements,) int32: the index of the step of each measurement, counted from 0 at epoch 0, ascending. A run
    that continues between two measurements, or that stops early, may have fewer measurements than there are rows: the
    last rows are then -1, and their values mean nothing."""
    values: PyTree
    """What the instrument returns, each array with the leading axis (measurements,)."""


def positive(name: str, value: Any) -> float:
    """Return a setting as a float; raise a TypeError or ValueError unless it is one number above 0."""
    if not is_concrete(value):
        raise TypeError(f"{name} decides the program and must be a number, got a traced value; keep it out of jit")
    one_number(name, value, 0, open_low=True)
    return float(value)
