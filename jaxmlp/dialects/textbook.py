"""The rules as textbooks and course notes write them, where no library settles the definition.

Papers and notes give no default learning rate, so it is always required. Each rule names its source.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from jaxmlp import optimizers
from jaxmlp._rule import AMSGradRawState, PyTree, Scalar, Schedule, apply_rule, nonzero, safe_sqrt, transformation
from jaxmlp.optimizers import MomentumState

__docformat__ = "google"
__all__ = [
    "AMSGradRawState",
    "MomentumAverageState",
    "adagrad",
    "adam",
    "amsgrad",
    "momentum",
    "nesterov",
    "rmsprop",
    "sgd",
]


def sgd(learning_rate: Scalar | Schedule) -> optax.GradientTransformation:
    """Descend along the gradient: optimizers.sgd, which is the same everywhere.

        update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).

    Raises:
        ValueError: the learning rate is out of its range.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.textbook.sgd(0.5)
        >>> updates, state = optimizer.update(3.0, optimizer.init(0.0))
        >>> print(updates)
        -1.5

    Source:
        Robbins and Monro (1951), "A stochastic approximation method".
    """
    return optimizers.sgd(learning_rate)


class MomentumAverageState(NamedTuple):
    """What momentum carries from step to step."""

    count: jax.Array
    """Steps taken, int32 scalar."""
    velocity: PyTree
    """Moving average of the gradients, from 0, like params."""


def momentum(learning_rate: Scalar | Schedule, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along a moving average of the gradients.

        velocity = momentum * velocity + (1 - momentum) * g
        update = -learning_rate * velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the average kept per step, in [0, 1). Notes call it beta, and use 0.8 to 0.99.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.momentum, whose updates at the same learning rate are 1 / (1 - momentum) times as large: ten times
        at momentum 0.9. optimizers.momentum at learning_rate * (1 - momentum) is the same function.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.textbook.momentum(0.5, momentum=0.5)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> print(updates)
        -0.25

    Source:
        course notes on deep learning, since about 2017; the average is that of Adam's mu, without its correction.
    """
    return transformation(_momentum_rule, MomentumAverageState, learning_rate=learning_rate, momentum=momentum)


def _momentum_rule(g, t, velocity, *, learning_rate, momentum):
    velocity = momentum * velocity + (1 - momentum) * g
    update = -learning_rate * velocity
    return update, velocity


def nesterov(learning_rate: Scalar | Schedule, momentum: Scalar = 0.9) -> optax.GradientTransformationExtraArgs:
    """Descend along a velocity whose gradient is taken where the velocity alone would lead.

        g = gradient at params - learning_rate * momentum * velocity
        velocity = momentum * velocity + g
        update = -learning_rate * velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the velocity kept per step, in [0, 1).

    Returns:
        An optax.GradientTransformationExtraArgs. Its update(grads, state, params, *, grad_fn) takes the gradient
        itself, by grad_fn(params) -> gradient on the step's batch, which fit passes. It ignores grads, so whatever is
        chained before this rule, such as clipping or weight decay, has no effect. Put it into the loss, or chain it
        after the rule.

    Raises:
        ValueError: a hyperparameter is out of its range, or update is called without params or grad_fn.

    Differs from:
        optimizers.nesterov, whose parameters are the look-ahead points of this rule, and whose gradient is therefore
        taken at its parameters. With a constant learning rate both follow the same path.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.textbook.nesterov(0.25, momentum=0.5)
        >>> updates, state = optimizer.update(None, optimizer.init(1.0), 1.0, grad_fn=lambda w: 2 * w)
        >>> print(updates)
        -0.5

    Source:
        Nesterov (1983), in the form of Sutskever et al. (2013), "On the importance of initialization and momentum in
        deep learning", equations 3 and 4, with the learning rate outside the velocity: the same path at a constant
        rate.
    """
    step = transformation(_nesterov_rule, MomentumState, learning_rate=learning_rate, momentum=momentum)
    return optax.GradientTransformationExtraArgs(step.init, Partial(_nesterov_update, step.update))


def _nesterov_update(step, grads, state, params=None, *, grad_fn=None, **other_extra_args):
    if params is None or grad_fn is None:
        raise ValueError(
            "textbook.nesterov takes the gradient at the look-ahead point, so its update needs the parameters and the "
            "gradient function: update(grads, state, params, grad_fn=jax.grad(loss))"
        )
    ahead, _ = apply_rule(_look_ahead, params, state, step.keywords)
    return step(grad_fn(ahead), state)


def _look_ahead(p, t, velocity, *, learning_rate, momentum):
    return p - learning_rate * momentum * velocity, velocity


def _nesterov_rule(g, t, velocity, *, learning_rate, momentum):
    velocity = momentum * velocity + g
    update = -learning_rate * velocity
    return update, velocity


def adagrad(
    learning_rate: Scalar | Schedule, initial_accumulator: Scalar = 0.0, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Divide each gradient by the root of the sum of its squares so far: optimizers.adagrad, started from 0.

        accumulator = accumulator + g^2
        update = -learning_rate * g / sqrt(accumulator + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        initial_accumulator: start of the accumulator, >= 0.
        eps: added under the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optax and Keras, which start from 0.1; PyTorch, the paper, and Goodfellow, Bengio and Courville (2016),
        algorithm 8.4, which add eps to the root.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.textbook.adagrad(1.0)
        >>> updates, state = optimizer.update(1e-3, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.9535

    Source:
        course notes; Ruder (2016), "An overview of gradient descent optimization algorithms", section 4.3.
    """
    return optimizers.adagrad(learning_rate, initial_accumulator, eps)


def rmsprop(learning_rate: Scalar | Schedule, decay: Scalar = 0.9, eps: Scalar = 1e-6) -> optax.GradientTransformation:
    """Divide each gradient by the root of a moving average of its squares: optimizers.rmsprop with a larger eps.

        nu = decay * nu + (1 - decay) * g^2
        update = -learning_rate * g / sqrt(nu + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        decay: fraction of the average kept per step, in [0, 1).
        eps: added under the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optax, whose eps is 1e-8; Keras, whose eps is 1e-7; PyTorch, which adds eps to the root.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.textbook.rmsprop(1.0)
        >>> updates, state = optimizer.update(1e-6, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.0010

    Source:
        Tieleman and Hinton (2012), lecture 6e, for decay; Goodfellow, Bengio and Courville (2016), "Deep learning",
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
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        b1: fraction of mu kept per step, in [0, 1).
        b2: fraction of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        the faster form at the end of the paper's section 2, which Keras and scikit-learn use.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.textbook.adam(1e-3)
        >>> updates, state = optimizer.update(2.0, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.0010

    Source:
        Kingma and Ba (2015), "Adam: a method for stochastic optimization", algorithm 1.
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
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        b1: fraction of mu kept per step, in [0, 1).
        b2: fraction of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        every library. They all correct both moments for their start; without it, the first step is larger, by a factor
        of (1 - b1) / sqrt(1 - b2) = 3.16.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.textbook.amsgrad(1.0)
        >>> updates, state = optimizer.update(2.0, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -3.1623

    Source:
        Reddi, Kale and Kumar (2018), "On the convergence of Adam and beyond", algorithm 2; eps is added here.
    """
    return transformation(_amsgrad_rule, AMSGradRawState, learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)


def _amsgrad_rule(g, t, mu, nu, nu_max, *, learning_rate, b1, b2, eps):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g**2
    nu_max = jnp.maximum(nu_max, nu)
    update = -learning_rate * mu / nonzero(safe_sqrt(nu_max) + eps)
    return update, mu, nu, nu_max
