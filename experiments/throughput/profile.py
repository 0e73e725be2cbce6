"""Where an epoch of fit goes: the epoch without its parts, one after the other, each as a scan of its own."""

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from experiments.common.peers.settings import Settings, glorot
from jaxmlp.training.shuffling import permutation

PARTS = (
    "matrix products",
    "biases, activations and loss",
    "update of the parameters",
    "fetching the batches",
    "shuffling",
    "the rest of fit",
)


class Profile:
    """Times the epochs that differ by one part."""

    def __init__(self, settings: Settings, x: np.ndarray, y: np.ndarray):
        """Move the examples and build the programs."""
        self._settings, self._key = settings, jax.random.key(0)
        self._batches = -(-len(x) // settings.batch_size)
        self._train = jax.device_put((x, y))
        self._params = tuple(jaxmlp.Layer(*map(jnp.asarray, layer)) for layer in glorot(settings, 0))
        self._loss_fn, self._in_bfloat16 = (
            jaxmlp.objective(jaxmlp.mlp(settings.layer_sizes, compute_dtype=dtype).apply)
            for dtype in (None, "bfloat16")
        )
        self._optimizer = jaxmlp.optimizers.OPTIMIZERS[settings.rule](settings.learning_rate)
        order = permutation(self._key, len(x))
        self._order, self._in_order = order, jnp.arange(len(x))

    def first(self) -> dict[str, Any]:
        """Compile."""
        self.turn(0)
        return {}

    def turn(self, seed: int) -> dict[str, Any]:
        """Return seconds of an epoch by part, which add up to those of fit, and of fit with products in bfloat16."""
        del seed
        fetch = self._time(_epoch, self._in_order, step=_only_fetch)
        products = self._time(_epoch, self._in_order, step=_only_products)
        gradient = self._time(_epoch, self._in_order, step=_only_gradient)
        ordered = self._time(_epoch, self._in_order, step=_whole)
        fetched = self._time(_epoch, self._order, step=_whole)
        shuffled = self._time(_epoch, self._key, step=_whole)
        fit, in_bfloat16 = (
            self._seconds(functools.partial(self._fit, loss_fn)) for loss_fn in (self._loss_fn, self._in_bfloat16)
        )
        # Batches in their own order are fetched as well, but faster than in a random one.
        seconds = products - fetch, gradient - products, ordered - gradient, fetched - ordered + fetch
        parts = dict(zip(PARTS, (*seconds, shuffled - fetched, fit - shuffled), strict=True))
        return {"seconds": parts, "fit": fit, "bfloat16": in_bfloat16}

    def _fit(self, loss_fn):
        settings = {"key": self._key, "epochs": 1, "batch_size": self._settings.batch_size}
        return jaxmlp.fit(loss_fn, self._params, self._optimizer, self._train, **settings)

    def _time(self, epoch, order, step):
        size = self._settings.batch_size
        call = functools.partial(epoch, self._optimizer, self._params, self._train, order, self._loss_fn, size, step)
        return self._seconds(call)

    def _seconds(self, call):
        started = time.perf_counter()
        jax.block_until_ready(call())
        return time.perf_counter() - started


@functools.partial(jax.jit, static_argnames=("loss_fn", "batch_size", "step"))
def _epoch(optimizer, params, train, order, loss_fn, batch_size, step) -> Any:
    """Pass over the batches; order: rows, or a key from which they are drawn."""
    n = len(train[0])
    if jnp.issubdtype(order.dtype, jax.dtypes.prng_key):
        order = permutation(order, n)
    steps = n // batch_size

    def body(carry, rows):
        batch = tuple(a.at[rows].get(mode="promise_in_bounds") for a in train)
        return step(optimizer, loss_fn, carry, batch)

    start = params, optimizer.init(params), jnp.zeros(())
    return jax.lax.scan(body, start, order[: steps * batch_size].reshape(steps, batch_size))


def _whole(optimizer, loss_fn, carry, batch):
    params, opt_state, total = carry
    loss, grads = jax.value_and_grad(loss_fn)(params, *batch)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return (jaxmlp.apply_updates(params, updates), opt_state, total), loss


def _only_gradient(optimizer, loss_fn, carry, batch):
    params, opt_state, total = carry
    loss, grads = jax.value_and_grad(loss_fn)(params, *batch)
    return (params, opt_state, total + _used(grads)), loss


def _only_products(optimizer, loss_fn, carry, batch):
    params, opt_state, total = carry
    inputs = [batch[0]]
    for layer in params:
        inputs.append(inputs[-1] @ layer.w)
    delta, grads = inputs.pop(), []
    for layer, h in zip(params[::-1], inputs[::-1], strict=True):
        grads.append(h.T @ delta)
        if h is not inputs[0]:
            delta = delta @ layer.w.T
    return (params, opt_state, total + _used(grads)), jnp.zeros(())


def _only_fetch(optimizer, loss_fn, carry, batch):
    params, opt_state, total = carry
    return (params, opt_state, total + _used(batch)), jnp.zeros(())


def _used(arrays):
    """Return a number that needs all entries of the arrays, at the cost of one each."""
    arrays = jax.lax.optimization_barrier(arrays)
    return sum(a.ravel()[0].astype(jnp.float32) for a in jax.tree.leaves(arrays))
