"""From a candidate's hyperparameters to an optimizer: its schedule, its weight decay, and where it is evaluated."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

import jaxmlp
from jaxmlp import schedules

__docformat__ = "google"
__all__ = ["Recipe", "ScheduleFreeParams", "decoupled_weight_decay", "schedule_of"]

_WARMUP = 20  # a warm-up takes one step in so many


def schedule_of(name: str, peak: Any, steps: int) -> Any:
    """Return a schedule over a whole run; the warm-up, where there is one, takes a twentieth of it.

    Args:
        name: in jaxmlp.schedules.SCHEDULES.
        peak: the learning rate.
        steps: of the run.

    Example:
        >>> print(f"{schedule_of('cosine', 0.5, 100)(50):.2f}")
        0.25
    """
    if name == "constant":
        return peak
    if name == "warmup_cosine":
        return schedules.warmup_cosine(peak, max(1, steps // _WARMUP), max(2, steps))
    return schedules.get(name)(peak, steps)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A factory with what a candidate adds to it: point -> optimizer. Equal recipes compare and hash alike.

    Example:
        >>> recipe = Recipe(jaxmlp.optimizers.adam, schedule="cosine", steps=100, decays=True)
        >>> isinstance(recipe(learning_rate=0.1, weight_decay=1e-4), optax.GradientTransformation)
        True
    """

    factory: Callable[..., Any]
    """The rule."""

    schedule: str | None = None
    """Name of the schedule whose peak is the learning rate; None for a constant rate."""

    steps: int = 0
    """Steps of the run, for the schedule."""

    decays: bool = False
    """Whether weight_decay is decoupled weight decay after the rule, which has no such argument."""

    max_norm: float | None = None
    """Limit on the norm of each unit's incoming weights, kept by a projection at the end; None for no limit."""

    rebuilds: bool = False
    """Whether the rule is built anew at every step, with the learning rate of that step, since it takes no schedule."""

    def __call__(self, **point: Any) -> Any:
        """Return the optimizer at a point of the space."""
        decay = point.pop("weight_decay") if self.decays else None
        if self.schedule is not None and self.schedule != "constant":
            point["learning_rate"] = schedule_of(self.schedule, point["learning_rate"], self.steps)
        rule = optax.inject_hyperparams(self.factory)(**point) if self.rebuilds else self.factory(**point)
        parts = [rule]
        if decay is not None:
            parts.append(decoupled_weight_decay(point["learning_rate"], decay))
        if self.max_norm is not None:
            parts.append(jaxmlp.optimizers.max_norm(self.max_norm))
        return rule if len(parts) == 1 else optax.chain(*parts)


class _DecayState(NamedTuple):
    count: jax.Array


def decoupled_weight_decay(learning_rate: Any, weight_decay: Any) -> optax.GradientTransformation:
    """Shrink the weights beside the steps of a rule: chained after it, not part of its gradient.

        update = update - learning_rate * weight_decay * w

    Biases, and all other arrays of fewer than two axes, are left alone.

    Args:
        learning_rate: a number or a schedule, that of the rule.
        weight_decay: >= 0.

    Example:
        >>> rule = decoupled_weight_decay(0.5, 0.1)
        >>> params = {"w": jnp.ones((1, 1)), "b": jnp.ones(1)}
        >>> zeros = jax.tree.map(jnp.zeros_like, params)
        >>> print(rule.update(zeros, rule.init(params), params)[0]["w"])
        [[-0.05]]

    Source:
        Loshchilov and Hutter (2019), "Decoupled weight decay regularization", algorithm 1.
    """
    return optax.GradientTransformation(_decay_init, Partial(_decay_update, learning_rate, weight_decay))


def _decay_init(params):
    return _DecayState(jnp.zeros((), jnp.int32))


def _decay_update(learning_rate, weight_decay, updates, state, params=None):
    rate = learning_rate(state.count) if callable(learning_rate) else learning_rate

    def shrunk(update, weight):
        if jnp.ndim(weight) < 2:
            return update
        return update - (jnp.asarray(rate, float) * jnp.asarray(weight_decay, float)).astype(update.dtype) * weight

    return jax.tree.map(shrunk, updates, params), _DecayState(state.count + 1)


@dataclasses.dataclass(frozen=True)
class ScheduleFreeParams:
    """Where a schedule-free rule is to be evaluated: the average, not the point at which it takes gradients.

    Example:
        >>> rule, params = optax.contrib.schedule_free_sgd(0.5), {"w": jnp.ones(1)}
        >>> print(ScheduleFreeParams()(rule.init(params), params)["w"])
        [1.]

    Source:
        Defazio et al. (2024), "The road less scheduled".
    """

    def __call__(self, opt_state: Any, params: Any) -> Any:
        """Return the parameters to evaluate."""
        [state, *_] = _schedule_free(opt_state)
        with jax.numpy_dtype_promotion("standard"):
            return optax.contrib.schedule_free_eval_params(state, params)

    @staticmethod
    def serves(opt_state: Any) -> bool:
        """Return whether a state is that of a schedule-free rule, alone or within a chain."""
        return bool(_schedule_free(opt_state))


def _schedule_free(opt_state):
    kind = optax.contrib.ScheduleFreeState
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kind))
    return [leaf for leaf in leaves if isinstance(leaf, kind)]
