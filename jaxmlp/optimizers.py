"""The classic update rules, written out from their equations.

Each factory returns an optax.GradientTransformation (init, update), so a rule drops into optax.chain,
optax.inject_hyperparams and optax.multi_transform, and computes the same function as its namesake in optax. Every
rule has the same three parts: a NamedTuple of state, `init`, and `update`, whose inner `rule` is the equation for one
leaf. Symbols: g gradient, t step counted from 1; the returned update is added to the parameters.

An optimizer is itself a pytree: its hyperparameters are leaves, so a compiled program takes them as arguments and a
new learning rate compiles nothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from jaxmlp._arrays import at_least_float32
from jaxmlp._checks import check_choice, one_number

PyTree = Any
Scalar = float | jax.Array
Schedule = Callable[[jax.Array], jax.Array]


def apply_updates(params: PyTree, updates: PyTree) -> PyTree:
    """Return params + updates, leaf by leaf, in the dtype of the parameters.

    Args:
        params: any pytree of arrays.
        updates: a pytree of the same structure and shapes.
    Raises: TypeError where structures or shapes differ.
    """
    _check_same_form("updates", updates, "params", params)
    return jax.tree.map(lambda p, u: p + jnp.asarray(u, p.dtype), params, updates)


class SGDState(NamedTuple):
    """What sgd carries from step to step."""

    count: jax.Array  # steps taken, int32 scalar


def sgd(learning_rate: Scalar | Schedule) -> optax.GradientTransformation:
    """Descend along the gradient.

    update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Source: Robbins and Monro (1951), "A stochastic approximation method".
    """
    settings = _hyperparameters(learning_rate=learning_rate)
    return optax.GradientTransformation(Partial(_sgd_init), Partial(_sgd_update, **settings))


def _sgd_init(params):
    _check_floating(params)
    return SGDState(count=jnp.zeros((), jnp.int32))


def _sgd_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, *, learning_rate):
        return (-learning_rate * g,)

    return _map_rule(rule, grads, state, hyperparameters)


class MomentumState(NamedTuple):
    """What momentum and nesterov carry from step to step."""

    count: jax.Array  # steps taken, int32 scalar
    velocity: PyTree  # decaying sum of the gradients, like params


def momentum(learning_rate: Scalar | Schedule, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along a decaying sum of the gradients (heavy ball).

    velocity = momentum * velocity + g
    update = -learning_rate * velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the velocity kept per step, in [0, 1).

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: Keras and scikit-learn keep the learning rate inside the velocity, which is the same only while
    it is constant; many course notes average, velocity = momentum * velocity + (1 - momentum) * g.

    Source: Polyak (1964), "Some methods of speeding up the convergence of iteration methods", equation 9.
    """
    settings = _hyperparameters(learning_rate=learning_rate, momentum=momentum)
    return optax.GradientTransformation(Partial(_momentum_init), Partial(_momentum_update, **settings))


def _momentum_init(params):
    return MomentumState(count=jnp.zeros((), jnp.int32), velocity=_full_like(params, 0.0))


def _momentum_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, velocity, *, learning_rate, momentum):
        velocity = momentum * velocity + g
        return -learning_rate * velocity, velocity

    return _map_rule(rule, grads, state, hyperparameters)


def nesterov(learning_rate: Scalar | Schedule, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along the velocity as it will be one step ahead.

    velocity = momentum * velocity + g
    update = -learning_rate * (g + momentum * velocity)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the velocity kept per step, in [0, 1).

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: textbooks take the gradient at the look-ahead point, params - learning_rate * momentum * velocity.
    The parameters here are that point, so the gradient is taken where the parameters are.

    Source: Nesterov (1983) as in Sutskever et al. (2013), equations 3 and 4, with the change of variable of Bengio et
    al. (2013), section 3.5, and the learning rate outside the velocity: the same path at a constant rate.
    """
    settings = _hyperparameters(learning_rate=learning_rate, momentum=momentum)
    return optax.GradientTransformation(Partial(_momentum_init), Partial(_nesterov_update, **settings))


def _nesterov_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, velocity, *, learning_rate, momentum):
        velocity = momentum * velocity + g
        return -learning_rate * (g + momentum * velocity), velocity

    return _map_rule(rule, grads, state, hyperparameters)


class AdaGradState(NamedTuple):
    """What adagrad carries from step to step."""

    count: jax.Array  # steps taken, int32 scalar
    accumulator: PyTree  # sum of the squared gradients, like params


def adagrad(
    learning_rate: Scalar | Schedule, initial_accumulator: Scalar = 0.1, eps: Scalar = 1e-7
) -> optax.GradientTransformation:
    """Divide each gradient by the root of the sum of its squares so far.

    accumulator = accumulator + g^2
    update = -learning_rate * g / sqrt(accumulator + eps), and 0 where the accumulator is 0

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        initial_accumulator: what the accumulator starts from, >= 0.
        eps: added under the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: PyTorch and the paper add eps to the root, not under it, and start from 0.

    Source: Duchi, Hazan and Singer (2011), "Adaptive subgradient methods", figure 1, diagonal matrices.
    """
    return optax.GradientTransformation(
        Partial(_adagrad_init, **_hyperparameters(initial_accumulator=initial_accumulator)),
        Partial(_adagrad_update, **_hyperparameters(learning_rate=learning_rate, eps=eps)),
    )


def _adagrad_init(params, *, initial_accumulator):
    return AdaGradState(count=jnp.zeros((), jnp.int32), accumulator=_full_like(params, initial_accumulator))


def _adagrad_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, accumulator, *, learning_rate, eps):
        accumulator = accumulator + g**2
        # The inner where keeps a division 0 / 0 out of the branch not taken, whose derivative would be NaN.
        root = jnp.sqrt(jnp.where(accumulator == 0, 1, accumulator + eps))
        return jnp.where(accumulator == 0, 0, -learning_rate * g / root), accumulator

    return _map_rule(rule, grads, state, hyperparameters)


class RMSPropState(NamedTuple):
    """What rmsprop carries from step to step."""

    count: jax.Array  # steps taken, int32 scalar
    nu: PyTree  # moving average of the squared gradients, like params


def rmsprop(
    learning_rate: Scalar | Schedule, decay: Scalar = 0.9, eps: Scalar = 1e-8, initial_scale: Scalar = 0.0
) -> optax.GradientTransformation:
    """Divide each gradient by the root of a moving average of its squares.

    nu = decay * nu + (1 - decay) * g^2
    update = -learning_rate * g / sqrt(nu + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        decay: share of the average kept per step, in [0, 1).
        eps: added under the root, >= 0.
        initial_scale: what the average starts from, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: PyTorch adds eps to the root, not under it, and its decay is 0.99; Keras has eps 1e-7.

    Source: Tieleman and Hinton (2012), "Neural networks for machine learning", lecture 6e.
    """
    return optax.GradientTransformation(
        Partial(_rmsprop_init, **_hyperparameters(initial_scale=initial_scale)),
        Partial(_rmsprop_update, **_hyperparameters(learning_rate=learning_rate, decay=decay, eps=eps)),
    )


def _rmsprop_init(params, *, initial_scale):
    return RMSPropState(count=jnp.zeros((), jnp.int32), nu=_full_like(params, initial_scale))


def _rmsprop_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, nu, *, learning_rate, decay, eps):
        nu = decay * nu + (1 - decay) * g**2
        return -learning_rate * g / _sqrt(nu + eps), nu

    return _map_rule(rule, grads, state, hyperparameters)


class AdamState(NamedTuple):
    """What adam carries from step to step."""

    count: jax.Array  # steps taken, int32 scalar
    mu: PyTree  # moving average of the gradients, like params
    nu: PyTree  # moving average of the squared gradients, like params


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
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        b1: share of mu kept per step, in [0, 1).
        b2: share of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.
        eps_root: added under the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: Keras and scikit-learn correct after eps is added ("eps hat"): the learning rate is multiplied by
    sqrt(1 - b2^t) / (1 - b1^t) and the update is -learning_rate * mu / (sqrt(nu) + eps).

    Source: Kingma and Ba (2015), "Adam: a method for stochastic optimization", algorithm 1.
    """
    settings = _hyperparameters(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root)
    return optax.GradientTransformation(Partial(_adam_init), Partial(_adam_update, **settings))


def _adam_init(params):
    return AdamState(count=jnp.zeros((), jnp.int32), mu=_full_like(params, 0.0), nu=_full_like(params, 0.0))


def _adam_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, mu, nu, *, learning_rate, b1, b2, eps, eps_root):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g**2
        mu_hat = mu / (1 - b1**t)
        nu_hat = nu / (1 - b2**t)
        return -learning_rate * mu_hat / (_sqrt(nu_hat + eps_root) + eps), mu, nu

    return _map_rule(rule, grads, state, hyperparameters)


class AMSGradState(NamedTuple):
    """What amsgrad carries from step to step."""

    count: jax.Array  # steps taken, int32 scalar
    mu: PyTree  # moving average of the gradients, like params
    nu: PyTree  # moving average of the squared gradients, like params
    nu_max: PyTree  # largest corrected nu so far, like params


def amsgrad(
    learning_rate: Scalar | Schedule, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8, eps_root: Scalar = 0.0
) -> optax.GradientTransformation:
    """Adam with the largest second moment so far, so that a step size never grows back.

    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g^2
    mu_hat = mu / (1 - b1^t)
    nu_max = max(nu_max, nu / (1 - b2^t))
    update = -learning_rate * mu_hat / (sqrt(nu_max + eps_root) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        b1: share of mu kept per step, in [0, 1).
        b2: share of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.
        eps_root: added under the root, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: PyTorch and Keras take the maximum of nu itself and correct it afterwards; the paper corrects nothing.

    Source: Reddi, Kale and Kumar (2018), "On the convergence of Adam and beyond", algorithm 2.
    """
    settings = _hyperparameters(learning_rate=learning_rate, b1=b1, b2=b2, eps=eps, eps_root=eps_root)
    return optax.GradientTransformation(Partial(_amsgrad_init), Partial(_amsgrad_update, **settings))


def _amsgrad_init(params):
    zeros = _full_like(params, 0.0)
    return AMSGradState(count=jnp.zeros((), jnp.int32), mu=zeros, nu=zeros, nu_max=zeros)


def _amsgrad_update(grads, state, params=None, **hyperparameters):
    def rule(g, t, mu, nu, nu_max, *, learning_rate, b1, b2, eps, eps_root):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g**2
        mu_hat = mu / (1 - b1**t)
        nu_max = jnp.maximum(nu_max, nu / (1 - b2**t))
        return -learning_rate * mu_hat / (_sqrt(nu_max + eps_root) + eps), mu, nu, nu_max

    return _map_rule(rule, grads, state, hyperparameters)


def max_norm(limit: Scalar) -> optax.GradientTransformation:
    """Project each unit's incoming weights onto the ball of radius limit; chained after a rule, last.

    w = w + update
    w = w * min(1, limit / |w|), with the norm over each column of w (fan_in, fan_out)

    Args:
        limit: largest Euclidean norm of a unit's incoming weights, > 0. Leaves of fewer than two axes are not weights.

    Returns: an optax.GradientTransformation whose update needs params.
    Raises: ValueError where limit is out of its range, or update is called without params.

    Source: Srivastava et al. (2014), "Dropout", section 5.1.
    """
    one_number("limit", limit, 0, open_low=True)
    return optax.GradientTransformation(Partial(_max_norm_init), Partial(_max_norm_update, limit=limit))


def _max_norm_init(params):
    return optax.EmptyState()


def _max_norm_update(updates, state, params=None, *, limit):
    if params is None:
        raise ValueError("max_norm projects the parameters, so its update needs them: update(updates, state, params)")

    def project(u, w):
        if w.ndim < 2:
            return u
        moved = w + u
        norm, radius = _sqrt(jnp.sum(moved**2, axis=-2, keepdims=True)), jnp.asarray(limit, w.dtype)
        inside = norm <= radius
        return jnp.where(inside, u, moved * (radius / jnp.where(inside, 1, norm)) - w)

    return jax.tree.map(project, updates, params), state


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    factory.__name__: factory for factory in (sgd, momentum, nesterov, adagrad, rmsprop, adam, amsgrad)
}


def get(optimizer: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return the factory of that name, or the callable itself.

    Args:
        optimizer: a name in OPTIMIZERS, or a factory of numbers that returns an optax.GradientTransformation.

    Returns:
        A factory.

    Raises:
        ValueError: the name is unknown.
        TypeError: neither a name nor callable.
    """
    if isinstance(optimizer, str):
        return OPTIMIZERS[check_choice("optimizer", optimizer, OPTIMIZERS)]
    if not callable(optimizer):
        raise TypeError(f"optimizer must be a name or a factory such as adam, got {optimizer!r}")
    return optimizer


def _map_rule(rule, grads, state, hyperparameters):
    """Apply rule to every leaf: (g, t, *slots, **hyperparameters) -> (update, *slots), slots being state[1:].

    Hyperparameters are cast to the leaf's dtype. For leaves of less than 32 bits all is computed, and the slots are
    kept, in float32: in bfloat16, b2 = 0.999 is 1 and a moving average stands still.
    """
    for name, slot in zip(state._fields[1:], state[1:], strict=True):
        _check_same_form("gradients", grads, f"the optimizer's {name}", slot)
    count = jnp.asarray(optax.safe_increment(state.count))
    if callable(hyperparameters["learning_rate"]):
        hyperparameters = hyperparameters | {"learning_rate": hyperparameters["learning_rate"](state.count)}

    leaves, structure = jax.tree.flatten(grads)
    rows = []
    for g, *slots in zip(leaves, *map(jax.tree.leaves, state[1:]), strict=True):
        g = jnp.asarray(g)
        dtype = at_least_float32(g.dtype)
        settings = {name: jnp.asarray(value, dtype) for name, value in hyperparameters.items()}
        update, *slots = rule(g.astype(dtype), count.astype(dtype), *slots, **settings)
        rows.append((update.astype(g.dtype), *slots))
    columns = list(zip(*rows, strict=True)) or [()] * len(state)  # a pytree may have no leaves
    updates, *slots = (structure.unflatten(column) for column in columns)
    return updates, type(state)(count, *slots)


def _hyperparameters(**values: Scalar | Schedule) -> dict[str, Any]:
    """Check each value's range; wrap a schedule so that it is a pytree without leaves, or with its own."""
    for name, value in values.items():
        if not callable(value):
            one_number(name, value, 0, 1 if name in {"momentum", "decay", "b1", "b2"} else float("inf"))
        elif name != "learning_rate":
            raise TypeError(f"{name} must be a number, got {value!r}; only the learning rate takes a schedule")
    return {n: Partial(v) if callable(v) and not isinstance(v, Partial) else v for n, v in values.items()}


def _full_like(params, value):
    _check_floating(params)

    def slot(p):
        return jnp.full(jnp.shape(p), jnp.asarray(value, at_least_float32(jnp.result_type(p))))

    return jax.tree.map(slot, params)


def _check_floating(params):
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            where = f"params{jax.tree_util.keystr(path)}"
            raise TypeError(f"{where} must be real floating point to be updated, got {jnp.result_type(leaf)}")


def _check_same_form(name, tree, other_name, other):
    (shapes, structure), (other_shapes, other_structure) = (
        jax.tree.flatten(jax.tree.map(jnp.shape, t)) for t in (tree, other)
    )
    if structure != other_structure or shapes != other_shapes:
        raise TypeError(
            f"{name} must have the structure and shapes of {other_name}, {jax.tree.map(jnp.shape, other)}; "
            f"got {jax.tree.map(jnp.shape, tree)}"
        )


def _sqrt(x):
    """The square root, with derivative 0 at 0 in place of infinity: gradients through training stay finite."""
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))
