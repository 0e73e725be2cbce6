"""The network in plain JAX with optax: a step compiled by jax.jit, called in a Python loop."""

from typing import Any

import numpy as np

from experiments.common.peers.settings import Layers, Settings


def rule(settings: Settings, adjustable: bool) -> Any:
    """Return optax's rule; if adjustable, its learning rate is part of its state, so that another compiles nothing."""
    import optax

    factory = {"sgd": optax.sgd, "adam": optax.adam}[settings.rule]
    return (optax.inject_hyperparams(factory) if adjustable else factory)(learning_rate=settings.learning_rate)


def batches(n: int, batch_size: int, generator: np.random.Generator | None) -> list[np.ndarray]:
    """Return the rows of each step of an epoch, in a new random order or, without a generator, in their own."""
    order = np.arange(n) if generator is None else generator.permutation(n)
    return [order[start : start + batch_size].astype(np.int32) for start in range(0, n, batch_size)]


class Trainer:
    """Trains parameters, a list of pairs, by a pure step."""

    def __init__(self, settings: Settings, x: np.ndarray, y: np.ndarray, *, adjustable: bool = False):
        """Move the examples."""
        import jax
        import optax

        self._jax, self._settings, optimizer = jax, settings, rule(settings, adjustable)
        self._x, self._y, self._init = jax.device_put(x), jax.device_put(y), jax.jit(optimizer.init)

        def loss_fn(params, x, y):
            for w, b in params[:-1]:
                x = jax.nn.relu(x @ w + b)
            w, b = params[-1]
            return optax.softmax_cross_entropy_with_integer_labels(x @ w + b, y).mean()

        @jax.jit
        def step(params, opt_state, total, x, y, rows):
            loss, grads = jax.value_and_grad(loss_fn)(params, x[rows], y[rows])
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return optax.apply_updates(params, updates), opt_state, total + loss * len(rows)

        self._step = step

    def reset(self, layers: Layers, seed: int, learning_rate: float | None = None) -> None:
        """Start again from these weights; with a learning rate, only if it is adjustable."""
        self._params, self._generator = self._jax.device_put(layers), np.random.default_rng(seed)
        self._opt_state = self._init(self._params)
        if learning_rate is not None:
            self._opt_state.hyperparams["learning_rate"] = self._jax.numpy.float32(learning_rate)

    def train(self, epochs: int, *, shuffle: bool = True) -> float:
        """Train, and return the mean loss of the last epoch."""
        total, n = np.float32(0), len(self._x)
        for _ in range(epochs):
            total = self._jax.numpy.zeros(())
            for rows in batches(n, self._settings.batch_size, self._generator if shuffle else None):
                self._params, self._opt_state, total = self._step(
                    self._params, self._opt_state, total, self._x, self._y, rows
                )
        self._jax.block_until_ready(self._params)
        return float(total) / n
