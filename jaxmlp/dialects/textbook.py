"""The rules as textbooks and course notes write them, where no library settles what is meant.

Papers and notes give no default learning rate, so it is always an argument. Each rule says whom it follows.
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
    _full_like,
    _hyperparameters,
    _map_rule,
    _sqrt,
)
from jaxmlp.optimizers import _momentum_init as _nesterov_init


def sgd(learning_rate: Scalar | Schedule) -> optax.GradientTransformation:
    """Descend along the gradient: optimizers.sgd, on which all agree.

    update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Source: Robbins and Monro (1951), "A stochastic approximation method".
    """
    return optimizers.sgd(learning_rate)


class MomentumAverageState(NamedTuple):
    """What momentum carries from step to step."""

    count: jax.Array  # steps taken, int32 scalar
    velocity: PyTree  # moving average of the gradients, from 0, like params


def momentum(learning_rate: Scalar | Schedule, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along a moving average of the gradients.

    velocity = momentum * velocity + (1 - momentum) * g
    update = -learning_rate * velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the average kept per step, in [0, 1); notes call it beta, and use 0.8 to 0.99.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.momentum, which this is at learning_rate / (1 - momentum): ten times there at 0.9.

    Source: course notes on deep learning, since about 2017; the average is that of Adam's mu, without its correction.
    """
    settings = _hyperparameters(learning_rate=learning_rate, momentum=momentum)
    return optax.GradientTransformation(Partial(_momentum_init), Partial(_momentum_update, **settings))


def _momentum_init(params):
    return MomentumAverageState(count=jnp.zeros((), jnp.int32), velocity=_full_like(params, 0.0))


def _momentum_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, velocity, *, learning_rate, momentum):
        velocity = momentum * velocity + (1 - momentum) * g
        return -learning_rate * velocity, velocity

    return _map_rule(rule, grads, state, hyperparameters)


def nesterov(learning_rate: Scalar | Schedule, momentum: Scalar = 0.9) -> optax.GradientTransformationExtraArgs:
    """Descend along a velocity whose gradient is taken where the velocity alone would lead.

    g = gradient at params - learning_rate * momentum * velocity
    velocity = momentum * velocity + g
    update = -learning_rate * velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the velocity kept per step, in [0, 1).

    Returns: an optax.GradientTransformationExtraArgs, whose update(grads, state, params, *, grad_fn) takes the gradient
        itself: grad_fn(params) -> gradient, on the step's batch. fit gives grad_fn. grads is not used, so that what is
        chained before this rule, such as clipping or weight decay, has no effect: put it into the loss, or after.
    Raises: ValueError where a hyperparameter is out of its range, or update is called without params and grad_fn.

    Differs from: optimizers.nesterov, whose parameters are this one's look-ahead points, and whose gradient is
    therefore the one at its parameters. With a constant learning rate the two paths are one.

    Source: Nesterov (1983), in the form of Sutskever et al. (2013), "On the importance of initialization and momentum
    in deep learning", equations 3 and 4, with the learning rate outside the velocity: the same path at a constant rate.
    """
    settings = _hyperparameters(learning_rate=learning_rate, momentum=momentum)
    return optax.GradientTransformationExtraArgs(Partial(_nesterov_init), Partial(_nesterov_update, **settings))


def _nesterov_update(grads, state, params=None, *, learning_rate, momentum, grad_fn=None, **other_extra_args):
    if params is None or grad_fn is None:
        raise ValueError(
            "textbook.nesterov takes the gradient at the look-ahead point, so its update needs the parameters and the "
            "gradient function: update(grads, state, params, grad_fn=jax.grad(loss))"
        )

    def look_ahead(p, t, velocity, *, learning_rate, momentum):
        return p - learning_rate * momentum * velocity, velocity

    def rule(g, t, velocity, *, learning_rate, momentum):
        velocity = momentum * velocity + g
        return -learning_rate * velocity, velocity

    hyperparameters = {"learning_rate": learning_rate, "momentum": momentum}
    ahead, _ = _map_rule(look_ahead, params, state, hyperparameters)
    return _map_rule(rule, grad_fn(ahead), state, hyperparameters)


def adagrad(
    learning_rate: Scalar | Schedule, initial_accumulator: Scalar = 0.0, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Divide each gradient by the root of the sum of its squares so far: optimizers.adagrad, started from 0.

    accumulator = accumulator + g^2
    update = -learning_rate * g / sqrt(accumulator + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        initial_accumulator: what the accumulator starts from, >= 0.
        eps: added under the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optax and Keras, which start from 0.1; PyTorch, the paper, and Goodfellow, Bengio and Courville
    (2016), algorithm 8.4, add eps to the root.

    Source: course notes; Ruder (2016), "An overview of gradient descent optimization algorithms", section 4.3.
    """
    return optimizers.adagrad(learning_rate, initial_accumulator, eps)


def rmsprop(learning_rate: Scalar | Schedule, decay: Scalar = 0.9, eps: Scalar = 1e-6) -> optax.GradientTransformation:
    """Divide each gradient by the root of a moving average of its squares: optimizers.rmsprop with a larger eps.

    nu = decay * nu + (1 - decay) * g^2
    update = -learning_rate * g / sqrt(nu + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        decay: share of the average kept per step, in [0, 1).
        eps: added under the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optax's eps is 1e-8 and Keras's 1e-7; PyTorch adds it to the root.

    Source: Tieleman and Hinton (2012), lecture 6e, for decay; Goodfellow, Bengio and Courville (2016), "Deep learning",
    algorithm 8.5, for eps, which the lecture does not have.
    """
    return optimizers.rmsprop(learning_rate, decay, eps)


def adam(
    learning_rate: Scalar | Schedule, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Run Adam as the paper's algorithm 1: optimizers.adam with eps_root = 0.

    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g^2
    mu_hat = mu / (1 - b1^t)
    nu_hat = nu / (1 - b2^t)
    update = -learning_rate * mu_hat / (sqrt(nu_hat) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        b1: share of mu kept per step, in [0, 1).
        b2: share of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: the faster form at the end of the paper's section 2, which is Keras's and scikit-learn's.

    Source: Kingma and Ba (2015), "Adam: a method for stochastic optimization", algorithm 1.
    """
    return optimizers.adam(learning_rate, b1, b2, eps)


def amsgrad(
    learning_rate: Scalar | Schedule, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Divide an average of the gradients by the root of the largest average of their squares, correcting neither.

    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g^2
    nu_max = max(nu_max, nu)
    update = -learning_rate * mu / (sqrt(nu_max) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        b1: share of mu kept per step, in [0, 1).
        b2: share of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: every library, all of which correct both moments for their start; the first step is larger here, by
    (1 - b1) / sqrt(1 - b2) = 3.16 times.

    Source: Reddi, Kale and Kumar (2018), "On the convergence of Adam and beyond", algorithm 2; eps added, which it
    does not have.
    """
    settings = _hyperparameters(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)
    return optax.GradientTransformation(Partial(_amsgrad_init), Partial(_amsgrad_update, **settings))


def _amsgrad_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, mu, nu, nu_max, *, learning_rate, b1, b2, eps):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g**2
        nu_max = jnp.maximum(nu_max, nu)
        return -learning_rate * mu / (_sqrt(nu_max) + eps), mu, nu, nu_max

    return _map_rule(rule, grads, state, hyperparameters)
