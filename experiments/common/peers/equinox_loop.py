"""The network in Equinox with optax: modules, filtered transformations, and a Python loop."""

import itertools
from typing import Any

import numpy as np

from experiments.common.peers.optax_loop import batches, rule
from experiments.common.peers.settings import Layers, Settings


class Trainer:
    """Trains a module by a step under eqx.filter_jit."""

    def __init__(self, settings: Settings, x: np.ndarray, y: np.ndarray, *, adjustable: bool = False):
        """Build the model and move the examples."""
        import equinox as eqx  # pyright: ignore[reportMissingImports]
        import jax
        import optax

        self._jax, self._eqx, self._settings = jax, eqx, settings
        self._x, self._y, self._optimizer = jax.device_put(x), jax.device_put(y), rule(settings, adjustable)
        keys = jax.random.split(jax.random.key(0), len(settings.layer_sizes) - 1)
        sizes = itertools.pairwise(settings.layer_sizes)
        linear = [eqx.nn.Linear(*pair, key=key) for pair, key in zip(sizes, keys, strict=True)]
        between = [part for layer in linear for part in (layer, eqx.nn.Lambda(jax.nn.relu))][:-1]
        self._model: Any = eqx.nn.Sequential(between)

        def loss_fn(model, x, y):
            return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(x), y).mean()

        @eqx.filter_jit
        def step(model, opt_state, total, x, y, rows):
            loss, grads = eqx.filter_value_and_grad(loss_fn)(model, x[rows], y[rows])
            updates, opt_state = self._optimizer.update(grads, opt_state, eqx.filter(model, eqx.is_array))
            return eqx.apply_updates(model, updates), opt_state, total + loss * len(rows)

        self._step = step

    def reset(self, layers: Layers, seed: int, learning_rate: float | None = None) -> None:
        """Start again from these weights; with a learning rate, only if it is adjustable."""
        count, jnp = len(layers), self._jax.numpy
        given = [jnp.asarray(p) for w, b in layers for p in (w.T, b)]
        self._model = self._eqx.tree_at(
            lambda model: [p for i in range(count) for p in (model.layers[2 * i].weight, model.layers[2 * i].bias)],
            self._model,
            given,
        )
        self._opt_state = self._optimizer.init(self._eqx.filter(self._model, self._eqx.is_array))
        if learning_rate is not None:
            self._opt_state.hyperparams["learning_rate"] = jnp.float32(learning_rate)
        self._generator = np.random.default_rng(seed)

    def train(self, epochs: int, *, shuffle: bool = True) -> float:
        """Train, and return the mean loss of the last epoch."""
        total, n = np.float32(0), len(self._x)
        for _ in range(epochs):
            total = self._jax.numpy.zeros(())
            for rows in batches(n, self._settings.batch_size, self._generator if shuffle else None):
                self._model, self._opt_state, total = self._step(
                    self._model, self._opt_state, total, self._x, self._y, rows
                )
        self._jax.block_until_ready(self._eqx.filter(self._model, self._eqx.is_array))
        return float(total) / n
