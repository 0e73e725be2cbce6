"""The rules as Keras's keras.optimizers defines them (3.15), with its defaults.

Keras keeps the learning rate inside the velocity, and adds Adam's eps to the root before the correction ("eps hat").
keras.optimizers also has weight_decay, clipping and moving averages of the parameters (chain optax's), and the centred
RMSprop and RMSprop with momentum, which are other rules. They are not here.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmlp import optimizers
from jaxmlp._rule import AMSGradRawState, PyTree, Scalar, Schedule, nonzero, safe_sqrt, transformation
from jaxmlp.optimizers import AdamState

__docformat__ = "google"
__all__ = [
    "AMSGradRawState",
    "MomentumRateInsideState",
    "adagrad",
    "adam",
    "amsgrad",
    "momentum",
    "nesterov",
    "rmsprop",
    "sgd",
]


def sgd(learning_rate: Scalar | Schedule = 0.01) -> optax.GradientTransformation:
    """Descend along the gradient, as keras.optimizers.SGD does: optimizers.sgd with Keras's default.

        update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).

    Raises:
        ValueError: the learning rate is out of its range.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.keras.sgd()
        >>> updates, state = optimizer.update(2.0, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.0200

    Source:
        keras/src/optimizers/sgd.py.
    """
    return optimizers.sgd(learning_rate)


class MomentumRateInsideState(NamedTuple):
    """What momentum and nesterov carry from step to step."""

    count: jax.Array
    """Steps taken, int32 scalar."""
    velocity: PyTree
    """Minus the decaying sum of learning_rate * g, each at the rate of its own step, like params."""


def momentum(learning_rate: Scalar | Schedule = 0.01, momentum: Scalar = 0.0) -> optax.GradientTransformation:
    """Descend along a decaying sum of past steps, as keras.optimizers.SGD(momentum=...) does.

        velocity = momentum * velocity - learning_rate * g
        update = velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the velocity kept per step, in [0, 1). Keras's default, 0, is sgd.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.momentum, which multiplies every gradient by the learning rate of the current step, not of the step
        at which the gradient was taken. The two are the same only while the learning rate is constant.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.keras.momentum(0.5, momentum=0.5)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> updates, state = optimizer.update(1.0, state)
        >>> print(updates)
        -0.75

    Source:
        keras/src/optimizers/sgd.py.
    """
    return transformation(_momentum_rule, MomentumRateInsideState, learning_rate=learning_rate, momentum=momentum)


def _momentum_rule(g, t, velocity, *, learning_rate, momentum):
    velocity = momentum * velocity - learning_rate * g
    update = velocity
    return update, velocity


def nesterov(learning_rate: Scalar | Schedule = 0.01, momentum: Scalar = 0.0) -> optax.GradientTransformation:
    """Descend along the velocity one step ahead, as keras.optimizers.SGD(nesterov=True) does.

        velocity = momentum * velocity - learning_rate * g
        update = momentum * velocity - learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the velocity kept per step, in [0, 1). Keras's default, 0, is sgd.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.nesterov, as momentum does: the same only while the learning rate is constant.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.keras.nesterov(0.5, momentum=0.5)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> print(updates)
        -0.75

    Source:
        keras/src/optimizers/sgd.py.
    """
    return transformation(_nesterov_rule, MomentumRateInsideState, learning_rate=learning_rate, momentum=momentum)


def _nesterov_rule(g, t, velocity, *, learning_rate, momentum):
    velocity = momentum * velocity - learning_rate * g
    update = momentum * velocity - learning_rate * g
    return update, velocity


def adagrad(
    learning_rate: Scalar | Schedule = 1e-3, initial_accumulator: Scalar = 0.1, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Divide each gradient by the root of the sum of its squares, as keras.optimizers.Adagrad: optimizers.adagrad.

        accumulator = accumulator + g^2
        update = -learning_rate * g / sqrt(accumulator + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        initial_accumulator: start of the accumulator, >= 0.
        eps: added under the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        PyTorch, where eps is added to the root and the accumulator starts from 0. At eps 0 and initial_accumulator 0,
        a zero gradient gives NaN in Keras, and 0 here.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.keras.adagrad(1.0)
        >>> updates, state = optimizer.update(1e-3, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.0032

    Source:
        keras/src/optimizers/adagrad.py.
    """
    return optimizers.adagrad(learning_rate, initial_accumulator, eps)


def rmsprop(
    learning_rate: Scalar | Schedule = 1e-3, decay: Scalar = 0.9, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Divide each gradient by the root of an average of its squares, as keras.optimizers.RMSprop: optimizers.rmsprop.

        nu = decay * nu + (1 - decay) * g^2
        update = -learning_rate * g / sqrt(nu + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        decay: fraction of the average kept per step, in [0, 1); Keras calls it rho.
        eps: added under the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        PyTorch, where eps is added to the root and decay is 0.99.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.keras.rmsprop(1.0)
        >>> updates, state = optimizer.update(1e-6, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.0032

    Source:
        keras/src/optimizers/rmsprop.py.
    """
    return optimizers.rmsprop(learning_rate, decay, eps)


def adam(
    learning_rate: Scalar | Schedule = 1e-3, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Run Adam with eps added before the correction ("eps hat"), as keras.optimizers.Adam does.

        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g^2
        alpha = learning_rate * sqrt(1 - b2^t) / (1 - b1^t)
        update = -alpha * mu / (sqrt(nu) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        b1: fraction of mu kept per step, in [0, 1).
        b2: fraction of nu kept per step, in [0, 1).
        eps: added to the root of the raw second moment, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.adam and PyTorch, where eps is added after the correction. This eps has the effect of
        eps / sqrt(1 - b2^t) there, which is 32 times eps in the first step.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.keras.adam(1.0)
        >>> updates, state = optimizer.update(1e-6, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.2403

    Source:
        keras/src/optimizers/adam.py; Kingma and Ba (2015), end of section 2.
    """
    return transformation(_adam_rule, AdamState, learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)


def _adam_rule(g, t, mu, nu, *, learning_rate, b1, b2, eps):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g**2
    alpha = learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
    update = -alpha * mu / nonzero(safe_sqrt(nu) + eps)
    return update, mu, nu


def amsgrad(
    learning_rate: Scalar | Schedule = 1e-3, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Run Keras's Adam with the largest raw second moment so far, as keras.optimizers.Adam(amsgrad=True) does.

        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g^2
        nu_max = max(nu_max, nu)
        alpha = learning_rate * sqrt(1 - b2^t) / (1 - b1^t)
        update = -alpha * mu / (sqrt(nu_max) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        b1: fraction of mu kept per step, in [0, 1).
        b2: fraction of nu kept per step, in [0, 1).
        eps: added to the root of the raw second moment, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.amsgrad, which takes the maximum of the corrected moment and adds eps after the correction.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.keras.amsgrad(1.0)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> updates, state = optimizer.update(0.1, state)
        >>> print(f"{updates:.4f}")
        -0.7408

    Source:
        keras/src/optimizers/adam.py.
    """
    return transformation(_amsgrad_rule, AMSGradRawState, learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)


def _amsgrad_rule(g, t, mu, nu, nu_max, *, learning_rate, b1, b2, eps):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g**2
    nu_max = jnp.maximum(nu_max, nu)
    alpha = learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
    update = -alpha * mu / nonzero(safe_sqrt(nu_max) + eps)
    return update, mu, nu, nu_max
