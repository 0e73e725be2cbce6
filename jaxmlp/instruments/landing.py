"""The instrument that says where on the local quadratic each step landed."""

import jax
import jax.numpy as jnp

from jaxmlp.instruments.instrument import Instrument
from jaxmlp.instruments.products import example_losses

__docformat__ = "google"
__all__ = ["alpha"]


def alpha(every: int = 1) -> Instrument:
    """Measure where on the local quadratic the step landed: -1 no progress, 0 at the minimum, 1 on the other side.

        f0, f1 = loss at params and at params + updates, means over the batch
        d0, d1 = the slopes there along updates, likewise
        r = f1 - f0 - (d0 + d1) / 2                        (0 for a quadratic)
        s = Var f0 + Var f1 + (Var d0 + Var d1) / 4        (variances over the examples)
        d0, d1 = d0 + Var d0 r / (2 s), d1 + Var d1 r / (2 s)
        alpha = -d1 / d0, or -1 if d1 < d0: there is no minimum ahead, or if d0 = 0: no step was taken

    The corrected slopes are those of the quadratic fitted to the four noisy observations by generalised least squares,
    which has one residual, r. On a quadratic gradient descent has alpha = learning rate * curvature along the gradient
    - 1. It costs two forward passes and their derivatives along the step.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar.

    Differs from:
        Cockpit, which takes f1 and d1 from the next step's batch; here both ends have the same batch, so that the
        reading says where the step landed on the loss that it was made for.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return 2 * ((w - x) ** 2).sum(axis=1).mean()  # curvature 4
        >>> batch = jnp.array([[1.0], [3.0]]), None
        >>> steps = [jaxmlp.take_step(loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(rate), batch) for rate in (0.1, 0.4)]
        >>> print([f"{alpha()(step):.2f}" for step in steps])
        ['-0.60', '0.60']

    Source:
        Schneider, Dangel and Hennig (2021), "Cockpit", section 2.1 and the appendix on alpha; Mahsereci and Hennig
        (2017), "Probabilistic line searches for stochastic optimization".
    """
    return Instrument(_alpha, every)


def _alpha(step, key):
    end = jax.tree.map(lambda p, u: p + u.astype(p.dtype), step.params, step.updates)
    along = jax.tree.map(lambda p, u: u.astype(p.dtype), step.params, step.updates)
    pairs = [jax.jvp(example_losses(step), (params,), (along,)) for params in (step.params, end)]
    (f0, d0), (f1, d1) = ((jnp.mean(f), jnp.mean(d)) for f, d in pairs)
    (vf0, vd0), (vf1, vd1) = ((jnp.var(f), jnp.var(d)) for f, d in pairs)
    residual, spread = f1 - f0 - (d0 + d1) / 2, vf0 + vf1 + (vd0 + vd1) / 4
    share = jnp.where(spread > 0, residual / (2 * jnp.where(spread > 0, spread, 1)), 0)
    d0, d1 = d0 + vd0 * share, d1 + vd1 * share
    return jnp.where((d1 < d0) | (d0 == 0), -1, -d1 / jnp.where(d0 == 0, 1, d0))
