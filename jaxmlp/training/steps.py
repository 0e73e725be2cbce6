"""One step of training, taken by hand."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxmlp._arrays import PyTree
from jaxmlp.training.arguments import check_step
from jaxmlp.training.forms import Examples, LossFn
from jaxmlp.training.results import Step
from jaxmlp.training.updates import initial, update


def take_step(
    loss_fn: LossFn,
    params: PyTree,
    optimizer: Any,
    batch: Examples,
    *,
    key: jax.Array | None = None,
    opt_state: PyTree = None,
    start: PyTree = None,
    index: int | jax.Array = 0,
) -> Step:
    """Compute one step as fit does, without applying it, so that instruments can measure it in any training loop.

    Args:
        loss_fn: (params, x, y, *, key=None) -> scalar.
        params: any pytree of floating-point arrays; new ones are jaxmlp.apply_updates(params, step.updates).
        optimizer: any optax.GradientTransformation, as for fit.
        batch: (x, y) or (x, y, weight).
        key: for the loss.
        opt_state: of the steps before; None at the first step. That of the next is step.opt_state.
        start: the parameters with which the run began, for instruments of distance; None: params.
        index: steps taken before this one.

    Returns:
        Step, of which every field is set.

    Raises:
        ValueError: shapes, sizes or values do not match.
        TypeError: an argument is of the wrong type.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((x @ w - y) ** 2).mean()
        >>> step = take_step(loss_fn, jnp.zeros(2), jaxmlp.optimizers.sgd(0.1), (jnp.eye(2), jnp.ones(2)))
        >>> print(step.loss, step.grads, step.updates)
        1.0 [-1. -1.] [0.1 0.1]
    """
    check_step(loss_fn, params, optimizer, batch, key, opt_state, start, index)
    x, y, *weight = batch

    def step_loss(params):
        return loss_fn(params, x, y, *weight, key=key)

    loss, grads = jax.value_and_grad(step_loss)(params)
    before = initial(optimizer, params) if opt_state is None else opt_state
    updates, after = update(optimizer, step_loss, loss, grads, before, params)
    start = params if start is None else start
    taken = jnp.asarray(index, jnp.int32)
    first = next(iter(weight), None)
    return Step(loss, params, grads, updates, after, taken, x, y, first, key, loss_fn, optimizer, start)
