"""Instruments that count: how the elements of the examples' gradients are distributed."""

import jax.numpy as jnp

from jaxmlp._checks import check_count, shown
from jaxmlp.instruments._trees import flat
from jaxmlp.instruments.instrument import Instrument, positive
from jaxmlp.instruments.products import example_sum

__docformat__ = "google"
__all__ = ["gradient_histogram", "gradient_histogram_2d"]


def gradient_histogram(every: int = 1, bins: int = 100, limit: float = 2.0) -> Instrument:
    """Count the elements of all examples' gradients in bins of equal width over [-limit, limit].

    Elements beyond count in the first or last bin. NaN is not counted.

    Args:
        every: interval in steps, >= 1.
        bins: number of bins, >= 1.
        limit: largest element that the bins tell apart, > 0; the default is Cockpit's.

    Returns:
        An instrument whose reading is int32 (bins,); the sum is examples * parameters. The edges are
        numpy.linspace(-limit, limit, bins + 1).

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.5], [0.5], [0.6], [-9.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.5), batch)
        >>> print(gradient_histogram(bins=4)(step))
        [1 2 0 1]

    Source:
        Schneider, Dangel and Hennig (2021), "Cockpit", section 2.2.
    """
    settings = ("bins", _bins("bins", bins)), ("limit", positive("limit", limit))
    return Instrument(_gradient_histogram, every, settings)


def _gradient_histogram(step, key, bins, limit):
    return example_sum(step, lambda grads: _count(_bin(grads, bins, limit), ~jnp.isnan(grads), bins))


def gradient_histogram_2d(
    every: int = 1, bins: tuple[int, int] = (40, 40), limits: tuple[float, float] = (1.0, 1.0)
) -> Instrument:
    """Count the elements of all examples' gradients by their value and by that of their parameter.

    Args:
        every: interval in steps, >= 1.
        bins: numbers of bins for gradients and for parameters, >= 1.
        limits: largest absolute values that the bins tell apart, > 0; elements beyond count in the outer bins.

    Returns:
        An instrument whose reading is int32 (bins of gradients, bins of parameters).

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[0.0, 0.0], [0.0, 0.1]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.array([0.5, -0.5]), jaxmlp.optimizers.sgd(0.5), batch)
        >>> print(gradient_histogram_2d(bins=(2, 2))(step))  # gradients below and above 0 by parameters below and above
        [[2 0]
         [0 2]]

    Source:
        Schneider, Dangel and Hennig (2021), "Cockpit", section 2.2.
    """
    settings = ("bins", _pair("bins", bins, _bins)), ("limits", _pair("limits", limits, positive))
    return Instrument(_gradient_histogram_2d, every, settings)


def _gradient_histogram_2d(step, key, bins, limits):
    columns = _bin(flat(step.params), bins[1], limits[1])

    def count(grads):
        cells = _bin(grads, bins[0], limits[0]) * bins[1] + columns[None]
        return _count(cells, ~jnp.isnan(grads), bins[0] * bins[1])

    return example_sum(step, count).reshape(bins)


def _bins(name, value):
    return check_count(name, value, most=10_000)


def _pair(name, value, checked):
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name} must be a pair, for gradients and for parameters, got {shown(value)}")
    return checked(name, value[0]), checked(name, value[1])


def _bin(values, bins, limit):
    """Return the bin of each value, in [0, bins)."""
    inside = jnp.clip((jnp.nan_to_num(values) + limit) * (bins / (2 * limit)), 0, bins - 1)
    return jnp.floor(inside).astype(jnp.int32)


def _count(cells, counted, length):
    return jnp.zeros(length, jnp.int32).at[cells].add(counted.astype(jnp.int32))
