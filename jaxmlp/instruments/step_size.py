"""Instruments of the first column, step size: how far each step goes."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxmlp.instruments._trees import by_path, dot, norm
from jaxmlp.instruments.instrument import Instrument

__docformat__ = "google"
__all__ = [
    "distance",
    "distance_by_leaf",
    "effective_learning_rate",
    "learning_rate",
    "loss",
    "parameters",
    "update_norm",
    "update_norm_by_leaf",
    "update_ratio",
    "update_ratio_by_leaf",
]


def loss(every: int = 1) -> Instrument:
    """Read the loss of the batch, before the update.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar.

    Example:
        >>> import jaxmlp
        >>> print(loss()(jaxmlp.Step(loss=0.5, params=None, grads=None, updates=None)))
        0.5
    """
    return Instrument(_loss, every)


def _loss(step, key):
    return step.loss


def parameters(every: int = 1) -> Instrument:
    """Read the parameters before the update; choose an interval that the memory allows.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a pytree like params.

    Example:
        >>> import jaxmlp
        >>> print(parameters(every=100)(jaxmlp.Step(loss=0.5, params={"w": 1.0}, grads=None, updates=None)))
        {'w': 1.0}
    """
    return Instrument(_parameters, every)


def _parameters(step, key):
    return step.params


def learning_rate(every: int = 1) -> Instrument:
    """Read the learning rate as it was used: the number, or the schedule's value at this step.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar, for rules of jaxmlp and for one optax.inject_hyperparams. It is NaN for
        other optimizers, which hide their learning rate in a closure; effective_learning_rate works for all.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).mean()
        >>> step = jaxmlp.take_step(loss_fn, jnp.ones(1), jaxmlp.optimizers.adam(0.25), (jnp.zeros((3, 1)), None))
        >>> print(learning_rate()(step))
        0.25
    """
    return Instrument(_learning_rate, every)


def _learning_rate(step, key):
    states = jax.tree.leaves(step.opt_state, is_leaf=lambda state: hasattr(state, "hyperparams"))
    injected = [state.hyperparams for state in states if "learning_rate" in getattr(state, "hyperparams", {})]
    given = getattr(getattr(step.optimizer, "update", None), "keywords", {})
    rate = injected[0]["learning_rate"] if len(injected) == 1 else given.get("learning_rate", jnp.nan)
    if callable(rate):
        rate = rate(step.opt_state.count - 1)
    return jnp.asarray(rate, step.loss.dtype)


def effective_learning_rate(every: int = 1) -> Instrument:
    """Measure the learning rate of the gradient descent step that goes as far along the gradient.

        -<updates, grads> / |grads|^2

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar: exactly the learning rate for sgd, comparable for all other rules.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> step = jaxmlp.Step(loss=0.0, params=None, grads=jnp.array([2.0, 0.0]), updates=jnp.array([-1.0, -1.0]))
        >>> print(effective_learning_rate()(step))
        0.5
    """
    return Instrument(_effective_learning_rate, every)


def _effective_learning_rate(step, key):
    return -dot(step.updates, step.grads) / dot(step.grads, step.grads)


def update_norm(every: int = 1) -> Instrument:
    """Measure the size of the update, |updates|.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> step = jaxmlp.Step(loss=0.0, params=None, grads=None, updates=(jnp.array([3.0]), jnp.array([4.0])))
        >>> print(update_norm()(step))
        5.0
    """
    return Instrument(_update_norm, every)


def _update_norm(step, key):
    return norm(step.updates)


def update_norm_by_leaf(every: int = 1) -> Instrument:
    """Measure the size of the update of each array of the parameters.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a dict from paths, such as "[0].w", to scalars.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> step = jaxmlp.Step(loss=0.0, params=None, grads=None, updates={"w": jnp.array([3.0, 4.0])})
        >>> print({path: float(value) for path, value in update_norm_by_leaf()(step).items()})
        {"['w']": 5.0}
    """
    return Instrument(_update_norm_by_leaf, every)


def _update_norm_by_leaf(step, key):
    return by_path(norm, step.updates)


def update_ratio(every: int = 1) -> Instrument:
    """Measure the size of the update relative to the parameters, |updates| / |params|.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar; infinite where all parameters are 0.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> step = jaxmlp.Step(loss=0.0, params=jnp.array([10.0]), grads=None, updates=jnp.array([-0.5]))
        >>> print(f"{update_ratio()(step):.2f}")
        0.05
    """
    return Instrument(_update_ratio, every)


def _update_ratio(step, key):
    return norm(step.updates) / norm(step.params)


def update_ratio_by_leaf(every: int = 1) -> Instrument:
    """Measure the size of each array's update relative to the array, |update| / |parameter|.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a dict from paths to scalars; infinite where an array is 0, as biases are at
        first.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> step = jaxmlp.Step(loss=0.0, params=[jnp.array([2.0])], grads=None, updates=[jnp.array([1.0])])
        >>> print({path: float(value) for path, value in update_ratio_by_leaf()(step).items()})
        {'[0]': 0.5}
    """
    return Instrument(_update_ratio_by_leaf, every)


def _update_ratio_by_leaf(step, key):
    return by_path(lambda update, param: norm(update) / norm(param), step.updates, step.params)


def distance(every: int = 1) -> Instrument:
    """Measure how far the parameters are from where the run began, |params - start|.

    The start is that of the first run with instruments: the state of a run without them does not keep it.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a scalar.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> step = jaxmlp.Step(loss=0.0, params=jnp.array([3.0, 4.0]), grads=None, updates=None, start=jnp.zeros(2))
        >>> print(distance()(step))
        5.0
    """
    return Instrument(_distance, every)


def _distance(step, key):
    return norm(_moved(step))


def distance_by_leaf(every: int = 1) -> Instrument:
    """Measure how far each array of the parameters is from where the run began.

    Args:
        every: interval in steps, >= 1.

    Returns:
        An instrument whose reading is a dict from paths to scalars.

    Example:
        >>> import jax.numpy as jnp, jaxmlp
        >>> step = jaxmlp.Step(loss=0.0, params=[jnp.array([3.0])], grads=None, updates=None, start=[jnp.array([1.0])])
        >>> print({path: float(value) for path, value in distance_by_leaf()(step).items()})
        {'[0]': 2.0}
    """
    return Instrument(_distance_by_leaf, every)


def _distance_by_leaf(step, key):
    return by_path(norm, _moved(step))


def _moved(step: Any):
    return jax.tree.map(lambda now, start: now - start, step.params, step.start)
