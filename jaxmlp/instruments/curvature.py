"""Instruments of the third column, curvature: traces of the Hessian, and the step and batch size that it suggests."""

import jax
import jax.numpy as jnp

from jaxmlp._checks import check_count
from jaxmlp.instruments._trees import flat
from jaxmlp.instruments.instrument import Instrument, positive
from jaxmlp.instruments.products import example_losses, hessian_product, mean_grad, moments

__docformat__ = "google"
__all__ = [
    "critical_batch_size",
    "hessian_trace",
    "optimal_learning_rate",
    "tic_diagonal",
    "tic_trace",
    "update_curvature",
]


def hessian_trace(every: int = 1, draws: int | None = 10) -> Instrument:
    """Estimate the trace of the Hessian without bias, by Hutchinson's method.

        reading = mean over draws of v . H v, v of random signs

    Args:
        every: interval in steps, >= 1.
        draws: Hessian-vector products, >= 1; the variance is 2 (|H|^2 - sum of H_jj^2) / draws. None: the trace itself,
            by as many products as there are parameters.

    Returns:
        An instrument whose reading is a scalar; it needs a key.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return (x * w**2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0, -5.0, 3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.ones(3), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{hessian_trace(draws=1)(step, jax.random.key(0)):.4f}")  # exact for a diagonal Hessian
        -1.0000

    Source:
        Hutchinson (1990), "A stochastic estimator of the trace of the influence matrix".
    """
    return Instrument(_hessian_trace, every, (("draws", _draws(draws)),))


def _hessian_trace(step, key, draws):
    return jnp.sum(_hessian_diagonal(step, key, draws))


def tic_trace(every: int = 1, draws: int | None = 10) -> Instrument:
    """Estimate Takeuchi's information criterion by a ratio of traces.

        reading = mean of |g_i|^2 / tr H

    Args:
        every: interval in steps, >= 1.
        draws: of Hutchinson's method for the trace, >= 1; None: the trace itself, as for hessian_trace.

    Returns:
        An instrument whose reading is a scalar; it needs a key.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean()  # H = 2
        >>> batch = jnp.array([[1.0], [3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{tic_trace()(step, jax.random.key(0)):.4f}")  # (2^2 + 6^2) / 2 / 2
        10.0000

    Source:
        Thomas, Pedregosa, van Merrienboer et al. (2020), "On the interplay between noise and curvature and its effect
        on optimization and generalization", section 4.
    """
    return Instrument(_tic_trace, every, (("draws", _draws(draws)),))


def _tic_trace(step, key, draws):
    mean, squares, count = moments(step)
    return jnp.sum(mean**2 + squares / count) / _hessian_trace(step, key, draws)


def tic_diagonal(every: int = 1, draws: int | None = 10, eps: float = 1e-7) -> Instrument:
    """Estimate Takeuchi's information criterion by the diagonals of both matrices.

        h_j = mean over draws of v_j (H v)_j, v of random signs
        reading = sum over j of (mean of g_ij^2) / (h_j + eps)

    Args:
        every: interval in steps, >= 1.
        draws: Hessian-vector products for the diagonal, >= 1. The ratio is exact for a diagonal Hessian, else
            consistent as draws grow, but dominated by entries near 0 as long as they are few. None: the diagonal
            itself, by as many products as there are parameters.
        eps: keeps parameters without curvature finite, > 0; 1e-7 as in Cockpit.

    Returns:
        An instrument whose reading is a scalar; it needs a key.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean()
        >>> batch = jnp.array([[1.0, 1.0], [3.0, 1.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(2), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{tic_diagonal()(step, jax.random.key(0)):.4f}")  # (4 + 36) / 2 / 2 + 4 / 2
        12.0000

    Source:
        Thomas et al. (2020), as for tic_trace; Bekas, Kokiopoulou and Saad (2007), "An estimator for the diagonal of a
        matrix".
    """
    return Instrument(_tic_diagonal, every, (("draws", _draws(draws)), ("eps", positive("eps", eps))))


def _tic_diagonal(step, key, draws, eps):
    mean, squares, count = moments(step)
    return jnp.sum((mean**2 + squares / count) / (_hessian_diagonal(step, key, draws) + eps))


def update_curvature(every: int = 1) -> Instrument:
    """Measure the curvature of the batch's loss along the update.

        u . H u / |u|^2, u = updates

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return (x * w**2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0, 3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.array([0.0, 1.0]), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{update_curvature()(step):.4f}")
        3.0000
    """
    return Instrument(_update_curvature, every)


def _update_curvature(step, key):
    updates = flat(step.updates)
    return updates @ hessian_product(step)(updates) / jnp.sum(updates**2)


def critical_batch_size(every: int = 1, draws: int = 10) -> Instrument:
    """Estimate the batch size beyond which larger batches stop paying, with the curvature taken into account.

        n = mean over draws of z . H z, z = sum of e_i (g_i - g) / sqrt(B - 1), e of random signs   (mean tr(H C))
        c = g . H g - n / B                                                   (unbiased for the true gradient)
        reading = n / c

    C is the covariance of the examples' gradients. H, if it is that of the batch, is not independent of g.

    Args:
        every: interval in steps, >= 1.
        draws: Hessian-vector products for n, >= 1.

    Returns:
        An instrument whose reading is {"noise": n, "curvature": c, "size": n / c}; scalars, NaN for a batch of one. It
        needs a key.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2  # H = 1: the same as gradient_noise_scale
        >>> batch = jnp.array([[1.0], [3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.1), batch)
        >>> reading = critical_batch_size(draws=1000)(step, jax.random.key(0))
        >>> print(f"{reading['size']:.1f}")
        0.7

    Source:
        McCandlish, Kaplan, Amodei et al. (2018), "An empirical model of large-batch training", eq. 2.8.
    """
    return Instrument(_critical_batch_size, every, (("draws", check_count("draws", draws)),))


def _critical_batch_size(step, key, draws):
    product, mean = hessian_product(step), mean_grad(step)
    losses, combined = jax.vjp(example_losses(step), step.params)
    count = len(losses)

    def noise(key):
        signs = jax.random.rademacher(key, (count,), losses.dtype)
        z = flat(*combined(signs - jnp.mean(signs)))  # sum of e_i (g_i - g)
        return z @ product(z) / (count - 1)

    n = jnp.mean(jax.lax.map(noise, jax.random.split(key, draws)))
    c = mean @ product(mean) - n / count
    return {"curvature": c, "noise": n, "size": n / c}


def optimal_learning_rate(every: int = 1) -> Instrument:
    """Measure the rate of the gradient descent step to the lowest point along the gradient, on the local quadratic.

        |g|^2 / (g . H g)

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar; negative where the loss curves downward along the gradient.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return 2 * ((w - x) ** 2).sum(axis=1).mean()
        >>> batch = jnp.array([[1.0], [3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{optimal_learning_rate()(step):.4f}")
        0.2500

    Source:
        McCandlish, Kaplan, Amodei et al. (2018), "An empirical model of large-batch training", eq. 2.6, at the batch's
        gradient.
    """
    return Instrument(_optimal_learning_rate, every)


def _optimal_learning_rate(step, key):
    grads = flat(step.grads)
    return jnp.sum(grads**2) / (grads @ hessian_product(step)(grads))


def _hessian_diagonal(step, key, draws):
    """Estimate the diagonal of the Hessian without bias; without draws compute it."""
    product, like = hessian_product(step), flat(step.params)

    def add(total, row):
        if draws is None:
            return total.at[row].set(product(jnp.zeros_like(like).at[row].set(1))[row]), None
        v = jax.random.rademacher(jax.random.fold_in(key, row), like.shape, like.dtype)
        return total + v * product(v) / draws, None

    return jax.lax.scan(add, jnp.zeros_like(like), jnp.arange(draws or like.size, dtype=jnp.int32))[0]


def _draws(draws):
    return draws if draws is None else check_count("draws", draws)
