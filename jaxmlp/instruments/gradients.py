"""Instruments of the second column, gradients: their size, and how much the examples of a batch agree."""

import jax.numpy as jnp

from jaxmlp.instruments._trees import by_path, norm
from jaxmlp.instruments.instrument import Instrument
from jaxmlp.instruments.products import example_slopes, mean_grad, moments

__docformat__ = "google"
__all__ = [
    "gradient_norm",
    "gradient_norm_by_leaf",
    "inner_product_test",
    "norm_test",
    "orthogonality_test",
]


def gradient_norm(every: int = 1) -> Instrument:
    """Measure the size of the gradient, |grads|.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar.

    Example:
        >>> import jaxmlp
        >>> step = jaxmlp.Step(loss=0.0, params=None, grads=(jnp.array([3.0]), jnp.array([4.0])), updates=None)
        >>> print(gradient_norm()(step))
        5.0
    """
    return Instrument(_gradient_norm, every)


def _gradient_norm(step, key):
    return norm(step.grads)


def gradient_norm_by_leaf(every: int = 1) -> Instrument:
    """Measure the size of the gradient of each array of the parameters, in any pytree.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a dict from paths, such as "[0].w", to scalars.

    Example:
        >>> import jaxmlp
        >>> step = jaxmlp.Step(loss=0.0, params=None, grads={"w": jnp.array([3.0, 4.0])}, updates=None)
        >>> print({path: float(value) for path, value in gradient_norm_by_leaf()(step).items()})
        {"['w']": 5.0}
    """
    return Instrument(_gradient_norm_by_leaf, every)


def _gradient_norm_by_leaf(step, key):
    return by_path(norm, step.grads)


def norm_test(every: int = 1) -> Instrument:
    """Measure the standard error of the batch's gradient relative to its norm.

        g = mean of the g_i                                  (the gradients of the batch's B examples)
        theta = sqrt(sum |g_i - g|^2 / (B - 1) / B) / |g|

    The batch is large enough for a required theta, such as 0.9, if the reading is below it. Above 1 the noise is larger
    than the gradient.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar, NaN for a batch of one.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2  # gradient of an example: w - x
        >>> batch = jnp.array([[1.0], [2.0], [3.0], [4.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{norm_test()(step):.4f}")  # sqrt(5 / 3 / 4) / 2.5
        0.2582

    Source:
        Byrd, Chin, Nocedal and Wu (2012), "Sample size selection in optimization methods for machine learning",
        eq. 3.9.
    """
    return Instrument(_norm_test, every)


def _norm_test(step, key):
    mean, squares, count = moments(step)
    return jnp.sqrt(jnp.sum(squares) / (count - 1) / count) / jnp.linalg.norm(mean)


def inner_product_test(every: int = 1) -> Instrument:
    """Measure how much the examples' gradients differ along the batch's gradient.

        theta = sqrt(Var(g_i . g) / B) / |g|^2             (sample variance over the B examples)

    Below a required theta, the batch's gradient is a direction of descent with high probability.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar, NaN for a batch of one.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0, 5.0], [3.0, -5.0]]), None  # they differ most across the mean, (2, 0)
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(2), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{inner_product_test()(step):.4f} {orthogonality_test()(step):.4f}")
        0.5000 2.5000

    Source:
        Bollapragada, Byrd and Nocedal (2018), "Adaptive sampling strategies for stochastic optimization", eq. 2.6.
    """
    return Instrument(_inner_product_test, every)


def _inner_product_test(step, key):
    mean = mean_grad(step)
    along = example_slopes(step, mean)
    return jnp.sqrt(jnp.var(along, ddof=1) / len(along)) / jnp.sum(mean**2)


def orthogonality_test(every: int = 1) -> Instrument:
    """Measure how much the examples' gradients differ across the batch's gradient.

        o_i = g_i - g (g_i . g) / |g|^2                    (the part orthogonal to g)
        nu = sqrt(sum |o_i|^2 / (B - 1) / B) / |g|

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar, NaN for a batch of one. Its square and that of inner_product_test sum
        to that of norm_test.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0, 5.0], [3.0, -5.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(2), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{orthogonality_test()(step):.4f}")
        2.5000

    Source:
        Bollapragada, Byrd and Nocedal (2018), "Adaptive sampling strategies for stochastic optimization", eq. 3.3.
    """
    return Instrument(_orthogonality_test, every)


def _orthogonality_test(step, key):
    mean, squares, count = moments(step)
    length = jnp.sum(mean**2)
    along = example_slopes(step, mean) - length
    across = jnp.maximum(jnp.sum(squares) - jnp.sum(along**2) / length, 0)  # Pythagoras
    return jnp.sqrt(across / (count - 1) / count / length)
