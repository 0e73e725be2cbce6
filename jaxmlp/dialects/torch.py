"""The rules as PyTorch's torch.optim means them (2.13), with its defaults.

PyTorch adds eps to a root, never under it, and AMSGrad keeps the largest raw second moment. What torch.optim offers
besides and is not here: weight_decay (add a penalty to the loss), lr_decay (give a schedule), maximize (negate the
loss), and the centred RMSprop and RMSprop with momentum, which are other rules.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from jaxmlp import optimizers
from jaxmlp._checks import in_range
from jaxmlp.optimizers import (
    PyTree,
    Scalar,
    Schedule,
    _adagrad_init,
    _full_like,
    _hyperparameters,
    _map_rule,
    _momentum_init,
    _rmsprop_init,
    _sqrt,
)


def sgd(learning_rate: Scalar | Schedule = 1e-3) -> optax.GradientTransformation:
    """Descend along the gradient, as torch.optim.SGD does: optimizers.sgd with PyTorch's default.

    update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Source: torch/optim/sgd.py.
    """
    return optimizers.sgd(learning_rate)


def momentum(
    learning_rate: Scalar | Schedule = 1e-3, momentum: Scalar = 0.0, dampening: Scalar = 0.0
) -> optax.GradientTransformation:
    """Descend along a decaying sum of the gradients, as torch.optim.SGD(momentum=...) does.

    velocity = momentum * velocity + share * g, with share = 1 in the first step and 1 - dampening afterwards
    update = -learning_rate * velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the velocity kept per step, in [0, 1). PyTorch's default, 0, is sgd, whatever dampening.
        dampening: what each gradient but the first is lessened by, as a share of itself, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.momentum, which this is at dampening 0; Keras and scikit-learn keep the learning rate
    inside the velocity.

    Source: torch/optim/sgd.py, _single_tensor_sgd.
    """
    settings = _hyperparameters(learning_rate=learning_rate, momentum=momentum, dampening=dampening)
    return optax.GradientTransformation(Partial(_momentum_init), Partial(_momentum_update, **settings))


def _momentum_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, velocity, *, learning_rate, momentum, dampening):
        # PyTorch makes its buffer of the first gradient itself, and makes none where momentum is 0.
        share = jnp.where((t == 1) | (momentum == 0), 1, 1 - dampening)
        velocity = momentum * velocity + share * g
        return -learning_rate * velocity, velocity

    return _map_rule(rule, grads, state, hyperparameters)


def nesterov(learning_rate: Scalar | Schedule = 1e-3, momentum: Scalar = 0.0) -> optax.GradientTransformation:
    """Descend along the velocity one step ahead, as torch.optim.SGD(nesterov=True) does: optimizers.nesterov.

    velocity = momentum * velocity + g
    update = -learning_rate * (g + momentum * velocity)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the velocity kept per step, in (0, 1). PyTorch's own default, 0, it refuses here itself.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Source: torch/optim/sgd.py.
    """
    in_range("momentum", momentum, 0, 1, open_low=True)
    return optimizers.nesterov(learning_rate, momentum)


def adagrad(
    learning_rate: Scalar | Schedule = 1e-2, initial_accumulator: Scalar = 0.0, eps: Scalar = 1e-10
) -> optax.GradientTransformation:
    """Divide each gradient by the root of the sum of its squares, as torch.optim.Adagrad does.

    accumulator = accumulator + g^2
    update = -learning_rate * g / (sqrt(accumulator) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        initial_accumulator: what the accumulator starts from, >= 0.
        eps: added to the root, >= 0; at 0, a gradient that has been 0 from the start gives NaN, as in PyTorch.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.adagrad and Keras, where eps is under the root and the accumulator starts from 0.1.

    Source: torch/optim/adagrad.py; Duchi, Hazan and Singer (2011), figure 1.
    """
    return optax.GradientTransformation(
        Partial(_adagrad_init, **_hyperparameters(initial_accumulator=initial_accumulator)),
        Partial(_adagrad_update, **_hyperparameters(learning_rate=learning_rate, eps=eps)),
    )


def _adagrad_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, accumulator, *, learning_rate, eps):
        accumulator = accumulator + g**2
        return -learning_rate * g / (_sqrt(accumulator) + eps), accumulator

    return _map_rule(rule, grads, state, hyperparameters)


def rmsprop(
    learning_rate: Scalar | Schedule = 1e-2, decay: Scalar = 0.99, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Divide each gradient by the root of a moving average of its squares, as torch.optim.RMSprop does.

    nu = decay * nu + (1 - decay) * g^2
    update = -learning_rate * g / (sqrt(nu) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        decay: share of the average kept per step, in [0, 1); PyTorch calls it alpha.
        eps: added to the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.rmsprop and Keras, where eps is under the root and decay is 0.9.

    Source: torch/optim/rmsprop.py.
    """
    settings = _hyperparameters(learning_rate=learning_rate, decay=decay, eps=eps)
    return optax.GradientTransformation(Partial(_rmsprop_init, initial_scale=0.0), Partial(_rmsprop_update, **settings))


def _rmsprop_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, nu, *, learning_rate, decay, eps):
        nu = decay * nu + (1 - decay) * g**2
        return -learning_rate * g / (_sqrt(nu) + eps), nu

    return _map_rule(rule, grads, state, hyperparameters)


def adam(
    learning_rate: Scalar | Schedule = 1e-3, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Run Adam as torch.optim.Adam does: optimizers.adam with eps_root = 0.

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

    Differs from: Keras and scikit-learn ("eps hat").

    Source: torch/optim/adam.py; Kingma and Ba (2015), algorithm 1.
    """
    return optimizers.adam(learning_rate, b1, b2, eps)


class AMSGradRawState(NamedTuple):
    """What amsgrad carries from step to step here, in Keras and in textbooks; optimizers.amsgrad corrects nu_max."""

    count: jax.Array  # steps taken, int32 scalar
    mu: PyTree  # moving average of the gradients, like params
    nu: PyTree  # moving average of the squared gradients, like params
    nu_max: PyTree  # largest raw nu so far, not corrected for the start, like params


def amsgrad(
    learning_rate: Scalar | Schedule = 1e-3, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Run Adam with the largest raw second moment so far, corrected afterwards, as torch.optim.Adam(amsgrad=True) does.

    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g^2
    nu_max = max(nu_max, nu)
    mu_hat = mu / (1 - b1^t)
    nu_hat = nu_max / (1 - b2^t)
    update = -learning_rate * mu_hat / (sqrt(nu_hat) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        b1: share of mu kept per step, in [0, 1).
        b2: share of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.amsgrad, which takes the maximum of the corrected moment; Keras corrects after eps.

    Source: torch/optim/adam.py, _single_tensor_adam.
    """
    settings = _hyperparameters(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)
    return optax.GradientTransformation(Partial(_amsgrad_init), Partial(_amsgrad_update, **settings))


def _amsgrad_init(params):
    zeros = _full_like(params, 0.0)
    return AMSGradRawState(count=jnp.zeros((), jnp.int32), mu=zeros, nu=zeros, nu_max=zeros)


def _amsgrad_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, mu, nu, nu_max, *, learning_rate, b1, b2, eps):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g**2
        nu_max = jnp.maximum(nu_max, nu)
        mu_hat = mu / (1 - b1**t)
        nu_hat = nu_max / (1 - b2**t)
        return -learning_rate * mu_hat / (_sqrt(nu_hat) + eps), mu, nu, nu_max

    return _map_rule(rule, grads, state, hyperparameters)
