"""The network in Keras on JAX: its layers, loss, optimizers and fit."""

import importlib
import os
from typing import Any

import numpy as np

from experiments.common.peers.settings import Layers, Settings


class Trainer:
    """Trains by model.fit, which draws the order of the examples itself."""

    def __init__(self, settings: Settings, x: np.ndarray, y: np.ndarray):
        """Build and compile the model, with weights drawn from Glorot's normal distribution."""
        keras, self._settings, self._x, self._y = _keras(), settings, x, y
        hidden = [keras.layers.Dense(n, "relu", kernel_initializer="glorot_normal") for n in settings.layer_sizes[1:-1]]
        outputs = keras.layers.Dense(settings.layer_sizes[-1], kernel_initializer="glorot_normal")
        self.model = keras.Sequential([keras.layers.Input((settings.layer_sizes[0],)), *hidden, outputs])
        rules = {"sgd": keras.optimizers.SGD, "adam": lambda rate: keras.optimizers.Adam(rate, epsilon=1e-8)}
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(rules[settings.rule](settings.learning_rate), loss)
        self.model.optimizer.build(self.model.trainable_variables)
        self._start = [np.array(variable.value) for variable in self._state()]

    def restart(self) -> None:
        """Go back to the first weights and the first state of the optimizer."""
        for variable, value in zip(self._state(), self._start, strict=True):
            variable.assign(value)

    def reset(self, layers: Layers, seed: int, learning_rate: float | None = None) -> None:
        """Start again from these weights."""
        set_seed(seed)
        self.restart()
        self.model.set_weights([parameter for layer in layers for parameter in layer])
        if learning_rate is not None:
            self.model.optimizer.learning_rate = learning_rate

    def step(self) -> None:
        """Train on the first batch, which compiles."""
        rows = slice(self._settings.batch_size)
        self.model.fit(self._x[rows], self._y[rows], batch_size=self._settings.batch_size, epochs=1, verbose=0)

    def train(self, epochs: int, *, shuffle: bool = True) -> float:
        """Train, and return the mean loss of the last epoch."""
        given = {"batch_size": self._settings.batch_size, "epochs": epochs, "shuffle": shuffle, "verbose": 0}
        return float(self.model.fit(self._x, self._y, **given).history["loss"][-1])

    def _state(self):
        return (*self.model.variables, *self.model.optimizer.variables)


def set_seed(seed: int) -> None:
    """Seed the weights and the order of the examples."""
    _keras().utils.set_random_seed(seed)


def _keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")  # Keras chooses its backend during its import
    return importlib.import_module("keras")
