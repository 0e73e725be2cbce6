"""The classic update rules, written out from their equations.

Each factory returns an optax.GradientTransformation (init, update), which works with optax.chain,
optax.inject_hyperparams and optax.multi_transform, and computes the same function as its namesake in optax. A rule is
a NamedTuple of state, a factory, and the equation for one array; jaxmlp/_rule.py shows how to write another.

In the equations, g is the gradient and t the step counted from 1. The update is added to the parameters. Where a
denominator is 0 (eps 0 and gradients that were always 0) the update is 0; in optax, PyTorch and Keras it is NaN.

Limits of float32, in which narrower dtypes are computed: a gradient above 1.8e19 has an infinite square, so adagrad,
rmsprop, adam and amsgrad never move its entry again; one below 1e-19 has the square 0, so eps alone is the denominator;
learning_rate * g overflows above 3.4e38. In float64 these are 1.3e154, 1.5e-154 and 1.8e308.

An optimizer is itself a pytree: its hyperparameters are leaves, so a compiled program takes them as arguments and
changing the learning rate does not recompile.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from jaxmlp._checks import check_choice, one_number, shown
from jaxmlp._rule import PyTree, Scalar, Schedule, apply_updates, nonzero, safe_sqrt, transformation

__docformat__ = "google"
__all__ = [
    "OPTIMIZERS",
    "AMSGradState",
    "AdaGradState",
    "AdamState",
    "MomentumState",
    "RMSPropState",
    "SGDState",
    "adagrad",
    "adam",
    "amsgrad",
    "apply_updates",
    "get",
    "max_norm",
    "momentum",
    "nesterov",
    "rmsprop",
    "sgd",
]


class SGDState(NamedTuple):
    """What sgd carries from step to step."""

    count: jax.Array
    """Steps taken, int32 scalar."""


def sgd(learning_rate: Scalar | Schedule) -> optax.GradientTransformation:
    """Descend along the gradient.

        update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).

    Raises:
        ValueError: the learning rate is out of its range.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.optimizers.sgd(0.5)
        >>> updates, state = optimizer.update({"w": 3.0}, optimizer.init({"w": 1.0}))
        >>> print(updates["w"])
        -1.5

    Source:
        Robbins and Monro (1951), "A stochastic approximation method".
    """
    return transformation(_sgd_rule, SGDState, learning_rate=learning_rate)


def _sgd_rule(g, t, *, learning_rate):
    update = -learning_rate * g
    return (update,)


class MomentumState(NamedTuple):
    """What momentum and nesterov carry from step to step."""

    count: jax.Array
    """Steps taken, int32 scalar."""
    velocity: PyTree
    """Decaying sum of the gradients, like params."""


def momentum(learning_rate: Scalar | Schedule, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along a decaying sum of the gradients (heavy ball).

        velocity = momentum * velocity + g
        update = -learning_rate * velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the velocity kept per step, in [0, 1).

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        Keras and scikit-learn, which keep the learning rate inside the velocity: the same function only while the
        learning rate is constant; many course notes, which average: momentum * velocity + (1 - momentum) * g.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.optimizers.momentum(0.5, momentum=0.5)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> updates, state = optimizer.update(1.0, state)
        >>> print(updates)
        -0.75

    Source:
        Polyak (1964), "Some methods of speeding up the convergence of iteration methods", equation 9.
    """
    return transformation(_momentum_rule, MomentumState, learning_rate=learning_rate, momentum=momentum)


def _momentum_rule(g, t, velocity, *, learning_rate, momentum):
    velocity = momentum * velocity + g
    update = -learning_rate * velocity
    return update, velocity


def nesterov(learning_rate: Scalar | Schedule, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along the velocity as it will be one step ahead.

        velocity = momentum * velocity + g
        update = -learning_rate * (g + momentum * velocity)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the velocity kept per step, in [0, 1).

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        textbooks, which take the gradient at the look-ahead point, params - learning_rate * momentum * velocity.
        The parameters here are that point, so the gradient is taken at the parameters.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.optimizers.nesterov(0.5, momentum=0.5)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> print(updates)
        -0.75

    Source:
        Nesterov (1983), as in Sutskever et al. (2013), equations 3 and 4, with the change of variable of Bengio et al.
        (2013), section 3.5, and the learning rate outside the velocity: the same path at a constant rate.
    """
    return transformation(_nesterov_rule, MomentumState, learning_rate=learning_rate, momentum=momentum)


def _nesterov_rule(g, t, velocity, *, learning_rate, momentum):
    velocity = momentum * velocity + g
    update = -learning_rate * (g + momentum * velocity)
    return update, velocity


class AdaGradState(NamedTuple):
    """What adagrad carries from step to step."""

    count: jax.Array
    """Steps taken, int32 scalar."""
    accumulator: PyTree
    """Sum of the squared gradients, like params."""


def adagrad(
    learning_rate: Scalar | Schedule, initial_accumulator: Scalar = 0.1, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Divide each gradient by the root of the sum of its squares so far.

        accumulator = accumulator + g^2
        update = -learning_rate * g / sqrt(accumulator + eps), and 0 where the accumulator is 0

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        initial_accumulator: start of the accumulator, >= 0.
        eps: added under the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        PyTorch and the paper, which add eps to the root, not under it, and start from 0.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.optimizers.adagrad(0.5, initial_accumulator=16.0)
        >>> updates, state = optimizer.update(3.0, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.3000

    Source:
        Duchi, Hazan and Singer (2011), "Adaptive subgradient methods", figure 1, diagonal matrices.
    """
    numbers = {"learning_rate": learning_rate, "initial_accumulator": initial_accumulator, "eps": eps}
    return transformation(_adagrad_rule, AdaGradState, {"accumulator": "initial_accumulator"}, **numbers)


def _adagrad_rule(g, t, accumulator, *, learning_rate, eps):
    accumulator = accumulator + g**2
    # The inner where keeps a division 0 / 0 out of the branch not taken, whose derivative would be NaN.
    root = jnp.sqrt(jnp.where(accumulator == 0, 1, accumulator + eps))
    update = jnp.where(accumulator == 0, 0, -learning_rate * g / root)
    return update, accumulator


class RMSPropState(NamedTuple):
    """What rmsprop carries from step to step."""

    count: jax.Array
    """Steps taken, int32 scalar."""
    nu: PyTree
    """Moving average of the squared gradients, like params."""


def rmsprop(
    learning_rate: Scalar | Schedule, decay: Scalar = 0.9, eps: Scalar = 1e-8, initial_scale: Scalar = 0.0
) -> optax.GradientTransformation:
    """Divide each gradient by the root of a moving average of its squares.

        nu = decay * nu + (1 - decay) * g^2
        update = -learning_rate * g / sqrt(nu + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        decay: fraction of the average kept per step, in [0, 1).
        eps: added under the root, >= 0.
        initial_scale: start of the average, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        PyTorch, which adds eps to the root, not under it, and whose decay is 0.99; Keras, whose eps is 1e-7.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.optimizers.rmsprop(0.5, decay=0.75)
        >>> updates, state = optimizer.update(3.0, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -1.0000

    Source:
        Tieleman and Hinton (2012), "Neural networks for machine learning", lecture 6e.
    """
    numbers = {"learning_rate": learning_rate, "decay": decay, "eps": eps, "initial_scale": initial_scale}
    return transformation(_rmsprop_rule, RMSPropState, {"nu": "initial_scale"}, **numbers)


def _rmsprop_rule(g, t, nu, *, learning_rate, decay, eps):
    nu = decay * nu + (1 - decay) * g**2
    update = -learning_rate * g / nonzero(safe_sqrt(nu + eps))
    return update, nu


class AdamState(NamedTuple):
    """What adam carries from step to step."""

    count: jax.Array
    """Steps taken, int32 scalar."""
    mu: PyTree
    """Moving average of the gradients, like params."""
    nu: PyTree
    """Moving average of the squared gradients, like params."""


def adam(
    learning_rate: Scalar | Schedule, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8, eps_root: Scalar = 0.0
) -> optax.GradientTransformation:
    """Divide an average of the gradients by the root of an average of their squares, both corrected for their start.

        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g^2
        mu_hat = mu / (1 - b1^t)
        nu_hat = nu / (1 - b2^t)
        update = -learning_rate * mu_hat / (sqrt(nu_hat + eps_root) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        b1: fraction of mu kept per step, in [0, 1).
        b2: fraction of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.
        eps_root: added under the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        Keras and scikit-learn, which correct after eps is added ("eps hat"): they multiply the learning rate by
        sqrt(1 - b2^t) / (1 - b1^t), and the update is -learning_rate * mu / (sqrt(nu) + eps).

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.optimizers.adam(1e-3)
        >>> updates, state = optimizer.update({"w": 3.0, "b": -0.1}, optimizer.init({"w": 0.0, "b": 0.0}))
        >>> print(f"{updates['w']:.4f} {updates['b']:.4f}")
        -0.0010 0.0010

    Source:
        Kingma and Ba (2015), "Adam: a method for stochastic optimization", algorithm 1.
    """
    numbers = {"learning_rate": learning_rate, "b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    return transformation(_adam_rule, AdamState, **numbers)


def _adam_rule(g, t, mu, nu, *, learning_rate, b1, b2, eps, eps_root):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g**2
    mu_hat = mu / (1 - b1**t)
    nu_hat = nu / (1 - b2**t)
    update = -learning_rate * mu_hat / nonzero(safe_sqrt(nu_hat + eps_root) + eps)
    return update, mu, nu


class AMSGradState(NamedTuple):
    """What amsgrad carries from step to step."""

    count: jax.Array
    """Steps taken, int32 scalar."""
    mu: PyTree
    """Moving average of the gradients, like params."""
    nu: PyTree
    """Moving average of the squared gradients, like params."""
    nu_max: PyTree
    """Largest corrected nu so far, like params."""


def amsgrad(
    learning_rate: Scalar | Schedule, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8, eps_root: Scalar = 0.0
) -> optax.GradientTransformation:
    """Run Adam with the largest second moment so far, so that a step size never grows again.

        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g^2
        mu_hat = mu / (1 - b1^t)
        nu_max = max(nu_max, nu / (1 - b2^t))
        update = -learning_rate * mu_hat / (sqrt(nu_max + eps_root) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        b1: fraction of mu kept per step, in [0, 1).
        b2: fraction of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.
        eps_root: added under the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        PyTorch and Keras, which correct after taking the maximum of nu itself; the paper, which corrects nothing.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.optimizers.amsgrad(1e-3)
        >>> updates, state = optimizer.update(3.0, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.0010

    Source:
        Reddi, Kale and Kumar (2018), "On the convergence of Adam and beyond", algorithm 2.
    """
    numbers = {"learning_rate": learning_rate, "b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    return transformation(_amsgrad_rule, AMSGradState, **numbers)


def _amsgrad_rule(g, t, mu, nu, nu_max, *, learning_rate, b1, b2, eps, eps_root):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g**2
    mu_hat = mu / (1 - b1**t)
    nu_max = jnp.maximum(nu_max, nu / (1 - b2**t))
    update = -learning_rate * mu_hat / nonzero(safe_sqrt(nu_max + eps_root) + eps)
    return update, mu, nu, nu_max


def max_norm(limit: Scalar) -> optax.GradientTransformation:
    """Project each unit's incoming weights onto the ball of radius limit; chain it last, after a rule.

        w = w + update
        w = w * min(1, limit / |w|), with the norm over each column of w (fan_in, fan_out)

    Args:
        limit: largest Euclidean norm of a unit's incoming weights, > 0. Leaves of fewer than two axes are not weights.

    Raises:
        ValueError: limit is out of its range, or update is called without params.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxmlp
        >>> project, w = jaxmlp.optimizers.max_norm(2.0), jnp.asarray([[0.0, 0.0], [4.0, 0.5]])
        >>> updates, _ = project.update(jnp.zeros((2, 2)), project.init(w), w)
        >>> print((w + updates).tolist())
        [[0.0, 0.0], [2.0, 0.5]]

    Source:
        Srivastava et al. (2014), "Dropout", section 5.1.
    """
    one_number("limit", limit, 0, open_low=True)
    return optax.GradientTransformation(Partial(optax.init_empty_state), Partial(_max_norm_update, limit=limit))


def _max_norm_update(updates, state, params=None, *, limit):
    if params is None:
        raise ValueError("max_norm projects the parameters, so its update needs them: update(updates, state, params)")

    def project(u, w):
        if w.ndim < 2:
            return u
        moved = w + u
        norm, radius = safe_sqrt(jnp.sum(moved**2, axis=-2, keepdims=True)), jnp.asarray(limit, w.dtype)
        inside = norm <= radius
        return jnp.where(inside, u, moved * (radius / jnp.where(inside, 1, norm)) - w)

    return jax.tree.map(project, updates, params), state


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    factory.__name__: factory for factory in (sgd, momentum, nesterov, adagrad, rmsprop, adam, amsgrad)
}
"""The factories of the seven rules by name."""


def get(optimizer: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return the factory of that name, or the callable itself.

    Args:
        optimizer: a name in OPTIMIZERS, or a factory of numbers that returns an optax.GradientTransformation.

    Raises:
        ValueError: the name is unknown.
        TypeError: neither a name nor callable.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.optimizers.get("adam")(1e-3, b1=0.8)
    """
    if isinstance(optimizer, str):
        return OPTIMIZERS[check_choice("optimizer", optimizer, OPTIMIZERS)]
    if not callable(optimizer):
        raise TypeError(f"optimizer must be a name or a factory such as adam, got {shown(optimizer)}")
    return optimizer
