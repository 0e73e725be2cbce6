"""Instruments that weigh the gradient's signal against its noise, from the examples' own gradients."""

import jax.numpy as jnp

from jaxmlp.instruments.instrument import Instrument, positive
from jaxmlp.instruments.products import moments
from jaxmlp.instruments.step_size import effective_learning_rate

__docformat__ = "google"
__all__ = ["cabs_batch_size", "cabs_learning_rate", "early_stopping", "gradient_noise_scale", "mean_gsnr"]


def mean_gsnr(every: int = 1, eps: float = 1e-5) -> Instrument:
    """Measure the mean signal-to-noise ratio of the gradient over the parameters.

        GSNR_j = g_j^2 / (mean of g_ij^2 - g_j^2 + eps)
        reading = mean over j

    Args:
        every: interval in steps, >= 1.
        eps: keeps parameters without gradient finite, > 0; 1e-5 as in Cockpit.

    Returns:
        An instrument whose reading is a scalar, NaN for a batch of one.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> step = jaxmlp.take_step(
        ...     loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.1), (jnp.array([[1.0], [3.0]]), None)
        ... )
        >>> print(f"{mean_gsnr()(step):.4f}")  # 2^2 / 1
        4.0000

    Source:
        Liu, Bai, Jiang, Chen and Wang (2020), "Understanding why neural networks generalize well through GSNR of
        parameters", eq. 2.
    """
    return Instrument(_mean_gsnr, every, (("eps", positive("eps", eps)),))


def _mean_gsnr(step, key, eps):
    mean, squares, count = moments(step)
    return jnp.mean(mean**2 / (squares / count + eps))


def gradient_noise_scale(every: int = 1) -> Instrument:
    """Estimate the batch size at which the gradient's noise equals its signal, tr(covariance) / |true gradient|^2.

        t = sum |g_i - g|^2 / (B - 1)            (unbiased for the trace)
        s = |g|^2 - t / B                        (unbiased for the squared true gradient)
        reading = (t, s): noise scale t / s

    A ratio of means is less biased than a mean of ratios, so average both over many steps before you divide.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is {"trace": t, "signal": s, "scale": t / s}; scalars, NaN for a batch of one. The
        signal may be negative when the batch is much smaller than the scale.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> step = jaxmlp.take_step(
        ...     loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.1), (jnp.array([[1.0], [3.0]]), None)
        ... )
        >>> print({name: round(float(value), 4) for name, value in gradient_noise_scale()(step).items()})
        {'scale': 0.6667, 'signal': 3.0, 'trace': 2.0}

    Source:
        McCandlish, Kaplan, Amodei et al. (2018), "An empirical model of large-batch training", eq. 2.9
        and appendix A.1.
    """
    return Instrument(_gradient_noise_scale, every)


def _gradient_noise_scale(step, key):
    mean, squares, count = moments(step)
    trace = jnp.sum(squares) / (count - 1)
    signal = jnp.sum(mean**2) - trace / count
    return {"scale": trace / signal, "signal": signal, "trace": trace}


def cabs_batch_size(every: int = 1) -> Instrument:
    """Measure the batch size that suits the learning rate.

        batch size = learning rate * mean of |g_i - g|^2 / loss

    The loss should be one whose minimum is near 0. The learning rate is that of effective_learning_rate, the actual one
    for sgd.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar, NaN for a batch of one.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> step = jaxmlp.take_step(
        ...     loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.5), (jnp.array([[1.0], [3.0]]), None)
        ... )
        >>> print(f"{cabs_batch_size()(step):.4f} {cabs_learning_rate()(step):.4f}")  # 0.5 * 1 / 2.5, 2 * 2.5 / 1
        0.2000 5.0000

    Source:
        Balles, Romero and Hennig (2017), "Coupling adaptive batch sizes with learning rates", eq. 22.
    """
    return Instrument(_cabs_batch_size, every)


def _cabs_batch_size(step, key):
    _, squares, count = moments(step)
    return effective_learning_rate()(step) * jnp.sum(squares) / count / step.loss


def cabs_learning_rate(every: int = 1) -> Instrument:
    """Measure the learning rate that suits the batch size, the same equation as for cabs_batch_size.

        learning rate = B * loss / mean of |g_i - g|^2

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar, NaN for a batch of one.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> step = jaxmlp.take_step(
        ...     loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.5), (jnp.array([[1.0], [3.0]]), None)
        ... )
        >>> print(f"{cabs_learning_rate()(step):.4f}")
        5.0000

    Source:
        Balles, Romero and Hennig (2017), "Coupling adaptive batch sizes with learning rates", eq. 22.
    """
    return Instrument(_cabs_learning_rate, every)


def _cabs_learning_rate(step, key):
    _, squares, count = moments(step)
    return count * step.loss / (jnp.sum(squares) / count)


def early_stopping(every: int = 1, eps: float = 1e-5) -> Instrument:
    """Measure the evidence that what is left of the gradient is noise: above 0, training can stop.

        reading = 1 - B * mean over j of g_j^2 / (sample variance of g_ij over i + eps)

    Args:
        every: interval in steps, >= 1.
        eps: keeps parameters without gradient finite, > 0; 1e-5 as in Cockpit.

    Returns:
        An instrument whose reading is a scalar, on average 0 where the true gradient is 0 (slightly less for small
        batches), NaN for a batch of one.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0], [3.0]]), None
        >>> sgd = jaxmlp.optimizers.sgd(0.1)
        >>> steps = [jaxmlp.take_step(loss_fn, jnp.array([w]), sgd, batch) for w in (0.0, 2.0)]
        >>> print([f"{early_stopping()(step):.3f}" for step in steps])  # far from the minimum, and at it
        ['-3.000', '1.000']

    Source:
        Mahsereci, Balles, Lassner and Hennig (2017), "Early stopping without a validation set", eq. 7.
    """
    return Instrument(_early_stopping, every, (("eps", positive("eps", eps)),))


def _early_stopping(step, key, eps):
    mean, squares, count = moments(step)
    return 1 - count * jnp.mean(mean**2 / (squares / (count - 1) + eps))
