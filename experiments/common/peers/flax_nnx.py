"""The network in Flax NNX with optax: modules, nnx.Optimizer, a metric, and a Python loop."""

import itertools
from typing import Any

import numpy as np

from experiments.common.peers.optax_loop import batches, rule
from experiments.common.peers.settings import Layers, Settings


class Trainer:
    """Trains a module by a step under nnx.jit, its graph cached as Flax's guide to performance advises."""

    def __init__(self, settings: Settings, x: np.ndarray, y: np.ndarray, *, adjustable: bool = False):
        """Move the examples."""
        import jax
        import optax
        from flax import nnx  # pyright: ignore[reportMissingImports]

        self._jax, self._nnx, self._settings = jax, nnx, settings
        self._x, self._y, self._rule = jax.device_put(x), jax.device_put(y), rule(settings, adjustable)

        @nnx.jit
        def step(model, optimizer, metric, x, y, rows):
            def loss_fn(model):
                losses = optax.softmax_cross_entropy_with_integer_labels(model(x[rows]), y[rows])
                return losses.mean(), losses

            (_, losses), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model)
            metric.update(loss=losses)
            optimizer.update(model, grads)

        self._step: Any = step
        rngs = nnx.Rngs(0)
        linear = [nnx.Linear(*sizes, rngs=rngs) for sizes in itertools.pairwise(settings.layer_sizes)]
        self._linear: Any = linear
        self._model = nnx.Sequential(*[part for layer in linear for part in (layer, nnx.relu)][:-1])
        self._metric = nnx.metrics.Average("loss")

    def reset(self, layers: Layers, seed: int, learning_rate: float | None = None) -> None:
        """Start again from these weights; with a learning rate, only if it is adjustable."""
        jnp = self._jax.numpy
        for linear, (w, b) in zip(self._linear, layers, strict=True):
            linear.kernel[...], linear.bias[...] = jnp.asarray(w), jnp.asarray(b)
        self._optimizer = self._nnx.Optimizer(self._model, self._rule, wrt=self._nnx.Param)
        if learning_rate is not None:
            self._optimizer.opt_state.hyperparams["learning_rate"][...] = jnp.float32(learning_rate)
        self._cached = self._nnx.cached_partial(self._step, self._model, self._optimizer, self._metric)
        self._generator = np.random.default_rng(seed)

    def train(self, epochs: int, *, shuffle: bool = True) -> float:
        """Train, and return the mean loss of the last epoch."""
        for _ in range(epochs):
            self._metric.reset()
            for rows in batches(len(self._x), self._settings.batch_size, self._generator if shuffle else None):
                self._cached(self._x, self._y, rows)
        self._jax.block_until_ready(self._nnx.state(self._model))
        return float(self._metric.compute())
