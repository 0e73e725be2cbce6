"""The rules as Keras's keras.optimizers means them (3.15), with its defaults.

Keras keeps the learning rate inside the velocity, and adds Adam's eps to the root before the correction ("eps hat").
What keras.optimizers offers besides and is not here: weight_decay, clipping and moving averages of the parameters
(chain optax's), and the centred RMSprop and RMSprop with momentum, which are other rules.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from jaxmlp import optimizers
from jaxmlp.dialects.torch import _amsgrad_init
from jaxmlp.optimizers import (
    PyTree,
    Scalar,
    Schedule,
    _adam_init,
    _full_like,
    _hyperparameters,
    _map_rule,
    _sqrt,
)


def sgd(learning_rate: Scalar | Schedule = 0.01) -> optax.GradientTransformation:
    """Descend along the gradient, as keras.optimizers.SGD does: optimizers.sgd with Keras's default.

    update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Source: keras/src/optimizers/sgd.py.
    """
    return optimizers.sgd(learning_rate)


class MomentumRateInsideState(NamedTuple):
    """What momentum and nesterov carry from step to step."""

    count: jax.Array  # steps taken, int32 scalar
    velocity: PyTree  # minus the decaying sum of learning_rate * g, each at its own step's rate, like params


def momentum(learning_rate: Scalar | Schedule = 0.01, momentum: Scalar = 0.0) -> optax.GradientTransformation:
    """Descend along a decaying sum of past steps, as keras.optimizers.SGD(momentum=...) does.

    velocity = momentum * velocity - learning_rate * g
    update = velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the velocity kept per step, in [0, 1). Keras's default, 0, is sgd.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.momentum, which multiplies by the learning rate of the step in which it moves, not of the
    step in which each gradient was taken. The same only while the learning rate is constant.

    Source: keras/src/optimizers/sgd.py.
    """
    settings = _hyperparameters(learning_rate=learning_rate, momentum=momentum)
    return optax.GradientTransformation(Partial(_momentum_init), Partial(_momentum_update, **settings))


def _momentum_init(params):
    return MomentumRateInsideState(count=jnp.zeros((), jnp.int32), velocity=_full_like(params, 0.0))


def _momentum_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, velocity, *, learning_rate, momentum):
        velocity = momentum * velocity - learning_rate * g
        return velocity, velocity

    return _map_rule(rule, grads, state, hyperparameters)


def nesterov(learning_rate: Scalar | Schedule = 0.01, momentum: Scalar = 0.0) -> optax.GradientTransformation:
    """Descend along the velocity one step ahead, as keras.optimizers.SGD(nesterov=True) does.

    velocity = momentum * velocity - learning_rate * g
    update = momentum * velocity - learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the velocity kept per step, in [0, 1). Keras's default, 0, is sgd.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.nesterov, as momentum does: the same only while the learning rate is constant.

    Source: keras/src/optimizers/sgd.py.
    """
    settings = _hyperparameters(learning_rate=learning_rate, momentum=momentum)
    return optax.GradientTransformation(Partial(_momentum_init), Partial(_nesterov_update, **settings))


def _nesterov_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, velocity, *, learning_rate, momentum):
        velocity = momentum * velocity - learning_rate * g
        return momentum * velocity - learning_rate * g, velocity

    return _map_rule(rule, grads, state, hyperparameters)


def adagrad(
    learning_rate: Scalar | Schedule = 1e-3, initial_accumulator: Scalar = 0.1, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Divide each gradient by the root of the sum of its squares, as keras.optimizers.Adagrad: optimizers.adagrad.

    accumulator = accumulator + g^2
    update = -learning_rate * g / sqrt(accumulator + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        initial_accumulator: what the accumulator starts from, >= 0.
        eps: added under the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: PyTorch, where eps is added to the root and the accumulator starts from 0. At eps 0 and
    initial_accumulator 0 Keras gives NaN on a zero gradient, and this gives 0.

    Source: keras/src/optimizers/adagrad.py.
    """
    return optimizers.adagrad(learning_rate, initial_accumulator, eps)


def rmsprop(
    learning_rate: Scalar | Schedule = 1e-3, decay: Scalar = 0.9, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Divide each gradient by the root of an average of its squares, as keras.optimizers.RMSprop: optimizers.rmsprop.

    nu = decay * nu + (1 - decay) * g^2
    update = -learning_rate * g / sqrt(nu + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        decay: share of the average kept per step, in [0, 1); Keras calls it rho.
        eps: added under the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: PyTorch, where eps is added to the root and decay is 0.99.

    Source: keras/src/optimizers/rmsprop.py.
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
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        b1: share of mu kept per step, in [0, 1).
        b2: share of nu kept per step, in [0, 1).
        eps: added to the root of the raw second moment, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.adam and PyTorch, where eps is added after the correction. This eps is like one of
    eps / sqrt(1 - b2^t) there: 32 times as large in the first step.

    Source: keras/src/optimizers/adam.py; Kingma and Ba (2015), end of section 2.
    """
    settings = _hyperparameters(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)
    return optax.GradientTransformation(Partial(_adam_init), Partial(_adam_update, **settings))


def _adam_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, mu, nu, *, learning_rate, b1, b2, eps):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g**2
        alpha = learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        return -alpha * mu / (_sqrt(nu) + eps), mu, nu

    return _map_rule(rule, grads, state, hyperparameters)


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
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        b1: share of mu kept per step, in [0, 1).
        b2: share of nu kept per step, in [0, 1).
        eps: added to the root of the raw second moment, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.amsgrad, which takes the maximum of the corrected moment and adds eps after it.

    Source: keras/src/optimizers/adam.py.
    """
    settings = _hyperparameters(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)
    return optax.GradientTransformation(Partial(_amsgrad_init), Partial(_amsgrad_update, **settings))


def _amsgrad_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, mu, nu, nu_max, *, learning_rate, b1, b2, eps):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g**2
        nu_max = jnp.maximum(nu_max, nu)
        alpha = learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        return -alpha * mu / (_sqrt(nu_max) + eps), mu, nu, nu_max

    return _map_rule(rule, grads, state, hyperparameters)
