"""Limited-memory BFGS over all examples at once, by optax, as one compiled program that stops as SciPy's does."""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from jaxmlp.estimators.examples import Csr, dense_rows
from jaxmlp.estimators.losses import LOSSES
from jaxmlp.losses import l1 as sum_of_sizes
from jaxmlp.losses import l2 as sum_of_squares
from jaxmlp.network import Layer

__all__ = ["Descent", "loss_and_gradient", "minimize", "params_of", "start"]

_SMALLEST_DECREASE = 1e7 * 2.220446049250313e-16
"""SciPy's ftol: relative to the loss, or to 1 where that is larger."""
_BLOCK = 1024  # rows of a sparse matrix that are dense at one time
_OPTIMIZER = optax.lbfgs()


class Descent(NamedTuple):
    """What the solver carries from iteration to iteration."""

    flat: Any
    """The parameters in one vector, which makes the program a third as large."""
    opt_state: Any
    loss: Any
    slope: Any
    """The largest entry of the gradient."""
    iterations: Any
    calls: Any
    """Evaluations of the loss."""
    stopped: Any


@functools.partial(jax.jit, static_argnames=("plan",))
def loss_and_gradient(plan, numbers, params, examples):
    """Return the loss that is reported and the gradient that is followed, with all examples as one batch."""
    flat, unravel = ravel_pytree(params)
    value, grads = jax.value_and_grad(_loss(plan, numbers, examples))(flat)
    return _shown(plan, numbers, flat, value, examples), unravel(grads)


def start(params):
    """Return the descent before its first iteration."""
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    far = flat.dtype.type(np.inf)
    return jax.device_put(Descent(flat, _init(flat), far, far, np.int32(0), np.int32(1), np.bool_(False)))


_init = jax.jit(_OPTIMIZER.init)


@functools.partial(jax.jit, static_argnames=("plan",))
def minimize(plan, numbers, descent, examples, limit, max_calls):
    """Take iterations until converged, until there are `limit` of them, or until the loss was called too often.

    Returns:
        The descent, and its loss as it is reported.

    Converged: no entry of the gradient is larger than tol, or an iteration lowers the loss by less than 2.2e-9 of it.
    """
    loss_fn = _loss(plan, numbers, examples)
    evaluate = optax.value_and_grad_from_state(loss_fn)

    def unfinished(descent):
        return ~descent.stopped & (descent.iterations < limit) & (descent.calls < max_calls)

    def iterate(descent):
        value, grads = evaluate(descent.flat, state=descent.opt_state)
        updates, opt_state = _OPTIMIZER.update(
            grads, descent.opt_state, descent.flat, value=value, grad=grads, value_fn=loss_fn
        )
        flat = descent.flat + updates
        loss, slope = optax.tree.get(opt_state, "value"), jnp.max(jnp.abs(optax.tree.get(opt_state, "grad")))
        scale = jnp.maximum(jnp.maximum(jnp.abs(value), jnp.abs(loss)), 1)
        done = (slope <= numbers["tol"]) | (value - loss <= _SMALLEST_DECREASE * scale)
        tried = jnp.asarray(optax.tree.get(opt_state, "num_linesearch_steps"), jnp.int32)
        return Descent(
            flat, opt_state, loss, slope, descent.iterations + 1, descent.calls + tried, done | ~jnp.isfinite(loss)
        )

    descent = jax.lax.while_loop(unfinished, iterate, descent)
    return descent, _shown(plan, numbers, descent.flat, descent.loss, examples)


def params_of(plan, flat):
    """Return the vector's parameters as layers."""
    layers, first = [], 0
    for fan_in, fan_out in itertools.pairwise(plan.layer_sizes):
        middle, last = first + fan_in * fan_out, first + fan_in * fan_out + fan_out
        layers.append(Layer(w=flat[first:middle].reshape(fan_in, fan_out), b=flat[middle:last]))
        first = last
    return tuple(layers)


def _loss(plan, numbers, examples):
    total = jnp.sum(examples.weights)
    rows = jnp.arange(examples.y.shape[0], dtype=jnp.int32)
    apply = plan.network.apply

    def loss_fn(flat):
        params = params_of(plan, flat)
        if isinstance(examples.x, Csr):
            # The backward pass computes each block again: only one is dense at a time.
            size = min(_BLOCK, rows.shape[0])
            padded = jnp.pad(rows, (0, -rows.shape[0] % size), mode="edge").reshape(-1, size)
            last = jnp.arange(padded.size).reshape(padded.shape) < rows.shape[0]

            def block(params, rows, real):
                x, weights = dense_rows(examples.x, rows), jnp.where(real, examples.weights[rows], 0)
                return jnp.sum(weights * LOSSES[plan.loss](apply(params, x), examples.y[rows]))

            def add(sum_so_far, block_rows):
                return sum_so_far + jax.checkpoint(block)(params, *block_rows), None

            data, _ = jax.lax.scan(add, jnp.zeros((), total.dtype), (padded, last))
        else:
            data = jnp.sum(examples.weights * LOSSES[plan.loss](apply(params, examples.x), examples.y))
        penalty = numbers["alpha"] / 2 * sum_of_squares(params)
        if numbers["l1"] is not None:
            penalty = penalty + numbers["l1"] * sum_of_sizes(params)
        return (data + penalty) / total

    return loss_fn


def _shown(plan, numbers, flat, value, examples):
    """Return the loss as scikit-learn reports it: several squared errors as their mean."""
    if plan.loss != "squared_error" or plan.layer_sizes[-1] == 1:
        return value
    nothing = {**numbers, "alpha": jnp.zeros_like(numbers["alpha"]), "l1": None}
    data = _loss(plan, nothing, examples)(flat)
    return value - data + data / plan.layer_sizes[-1]
