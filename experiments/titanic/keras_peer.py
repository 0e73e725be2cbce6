"""The same network in Keras on JAX, if it is installed: its layers, initializers, loss, optimizers and fit."""

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.titanic.methods import Setting
from experiments.titanic.passengers import Part
from jaxmlp import activations


def keras() -> tuple[Any, str]:
    """Return the module Keras and an empty text, or None and why it cannot be used."""
    if importlib.util.find_spec("keras") is None:
        return None, "is not installed; to include it, pip install -e '.[peers]'"
    os.environ.setdefault("KERAS_BACKEND", "jax")  # Keras chooses its backend during its import
    try:
        module = importlib.import_module("keras")
    except Exception as error:  # whatever a broken installation raises is reported; the other methods still run
        return None, f"cannot be imported: {type(error).__name__}: {error}"
    backend = module.backend.backend()
    return (module, "") if backend == "jax" else (None, f"runs on {backend}; set KERAS_BACKEND=jax")


def network(module: Any, hidden: int, activation: str) -> Any:
    """Build 7-hidden-1 with a sigmoid output and Glorot's normal initial weights."""
    function = activation if activation in ("relu", "sigmoid", "tanh") else activations.get(activation)
    dense = module.layers.Dense
    return module.Sequential(
        [
            module.layers.Input((7,)),
            dense(hidden, function, kernel_initializer="glorot_normal"),
            dense(1, "sigmoid", kernel_initializer="glorot_normal"),
        ]
    )


def trainer(module: Any, hidden: int, activation: str) -> Callable[..., np.ndarray]:
    """Return what trains that network, as methods.by_a_peer takes it; its score is the probability minus 1/2."""
    rules = {"sgd": module.optimizers.SGD, "adam": module.optimizers.Adam}

    def train(part: Part, setting: Setting, rule: str, epochs: int, seed: int) -> np.ndarray:
        module.utils.set_random_seed(seed)
        model = network(module, hidden, activation)
        model.compile(rules[rule](setting.learning_rate), "binary_crossentropy")
        x, y = part.train
        model.fit(x, np.asarray(y, np.float32)[:, None], batch_size=setting.batch_size, epochs=epochs, verbose=0)
        return np.asarray(model(part.test[0]))[:, 0] - 0.5

    return train
