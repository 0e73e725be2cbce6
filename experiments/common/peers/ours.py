"""The network in jaxmlp: fit, and sweep."""

from typing import Any

import numpy as np

from experiments.common.peers.settings import Layers, Settings


class Trainer:
    """Trains by jaxmlp.fit, which draws the order of the examples itself."""

    def __init__(self, settings: Settings, x: np.ndarray, y: np.ndarray):
        """Move the examples."""
        import jax

        import jaxmlp

        self._jax, self._jaxmlp, self._settings = jax, jaxmlp, settings
        self._train = jax.device_put((x, y))
        self._loss_fn = jaxmlp.objective(jaxmlp.mlp(settings.layer_sizes).apply)

    def reset(self, layers: Layers, seed: int, learning_rate: float | None = None) -> None:
        """Start again from these weights."""
        rate = self._settings.learning_rate if learning_rate is None else learning_rate
        self._optimizer = self._jaxmlp.optimizers.OPTIMIZERS[self._settings.rule](rate)
        self._params = tuple(self._jaxmlp.Layer(*map(self._jax.numpy.asarray, layer)) for layer in layers)
        self._key = self._jax.random.key(seed)

    def train(self, epochs: int, *, shuffle: bool = True) -> float:
        """Train, and return the mean loss of the last epoch."""
        result = self._jaxmlp.fit(
            self._loss_fn,
            self._params,
            self._optimizer,
            self._train,
            key=self._key,
            epochs=epochs,
            batch_size=self._settings.batch_size,
            shuffle=shuffle,
        )
        self._jax.block_until_ready(result)
        return float(result.history.train_loss[-1])


def sweep(settings: Settings, x: Any, y: Any, rates: Any, seeds: int, epochs: int) -> np.ndarray:
    """Train each rate with each seed; final losses (rates, seeds)."""
    import jax

    import jaxmlp

    net = jaxmlp.mlp(settings.layer_sizes, initializer="glorot_normal")
    result = jaxmlp.sweep(
        jaxmlp.objective(net.apply),
        net.init,
        jaxmlp.optimizers.OPTIMIZERS[settings.rule],
        {"learning_rate": rates},
        (x, y),
        keys=jax.random.split(jax.random.key(0), seeds),
        epochs=epochs,
        batch_size=settings.batch_size,
    )
    return np.asarray(jax.block_until_ready(result).history.train_loss[..., -1])
