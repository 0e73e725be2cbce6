"""scikit-learn's losses, one number per example, and the penalties as it divides them.

    objective = sum_i s_i loss_i / sum_i s_i + (alpha / 2 * sum w^2 + l1 * sum |w|) / sum_i s_i

The sums run over the examples of one batch, s_i are the sample weights. Padded examples have weight 0.
"""

import jax
import jax.numpy as jnp

from jaxmlp import losses

__all__ = ["LOSSES", "objective", "outcome"]


def _softmax(outputs, targets):
    return -jnp.sum(targets * jax.nn.log_softmax(outputs), axis=-1)


def _logistic(outputs, targets):
    return jnp.sum(targets * jax.nn.softplus(-outputs) + (1 - targets) * jax.nn.softplus(outputs), axis=-1)


def _squared_error(outputs, targets):
    return jnp.sum(jnp.square(outputs - targets), axis=-1) / 2


def _poisson(outputs, targets):
    # A deviance: 0 where exp(output) is the target.
    return jnp.sum(jax.scipy.special.xlogy(targets, targets) - targets * outputs - targets + jnp.exp(outputs), axis=-1)


LOSSES = {"softmax": _softmax, "logistic": _logistic, "squared_error": _squared_error, "poisson": _poisson}
"""Loss by name: (outputs, targets), both (n, outputs), -> (n,)."""


def objective(name, outputs, targets, weights, params, alpha, l1):
    """Return (what is differentiated, what is reported).

    They differ in one case: for several squared errors scikit-learn reports the mean over the outputs and follows the
    gradient of the sum.
    """
    total = jnp.sum(weights)
    total = jnp.where(total > 0, total, 1)  # a batch of weights 0 takes no step along its loss
    data = jnp.sum(weights * LOSSES[name](outputs, targets)) / total
    penalty = alpha / 2 * losses.l2(params)
    if l1 is not None:
        penalty = penalty + l1 * losses.l1(params)
    penalty = penalty / total
    shown = data / outputs.shape[-1] if name == "squared_error" else data
    return data + penalty, shown + penalty


def outcome(name, outputs, targets):
    """Return what a score sums over the examples: hits (n, 1) of a classifier, squared errors (n, outputs) else."""
    if name == "softmax":
        hit = jnp.argmax(outputs, axis=-1) == jnp.argmax(targets, axis=-1)
        return jnp.where(jnp.isfinite(outputs).all(axis=-1), hit.astype(outputs.dtype), jnp.nan)[:, None]
    if name == "logistic":
        hit = jnp.all((outputs > 0) == (targets > 0.5), axis=-1)
        return jnp.where(jnp.isfinite(outputs).all(axis=-1), hit.astype(outputs.dtype), jnp.nan)[:, None]
    predicted = jnp.exp(outputs) if name == "poisson" else outputs
    return jnp.square(predicted - targets)
