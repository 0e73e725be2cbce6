"""The same training in PyTorch and Keras, if they are installed."""

import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.common.peers import keras_jax, pytorch
from experiments.common.peers.settings import Settings
from jaxmlp.data import Dataset


def pytorch_trainer(dataset: Dataset, settings: Settings, epochs: int) -> Callable[[int], Any] | None:
    """Return a function that trains in PyTorch, seed -> (seconds, training loss, predictions); None without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch: Any = importlib.import_module("torch")

    def train(seed):
        torch.manual_seed(seed)
        trainer = pytorch.Trainer(settings, *dataset.train)
        for layer in trainer.linear:
            torch.nn.init.xavier_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        started = time.perf_counter()
        loss = trainer.train(epochs)
        return time.perf_counter() - started, loss, trainer.predict(dataset.test[0])

    return train


def keras_trainer(dataset: Dataset, settings: Settings, epochs: int) -> Callable[[int], Any] | None:
    """Return a function that trains in Keras on JAX, with the results of pytorch_trainer; None without Keras."""
    if importlib.util.find_spec("keras") is None:
        return None

    def train(seed):
        keras_jax.set_seed(seed)
        trainer = keras_jax.Trainer(settings, *dataset.train)
        trainer.step()
        trainer.restart()
        started = time.perf_counter()
        loss = trainer.train(epochs)
        seconds = time.perf_counter() - started
        logits = np.asarray(trainer.model.predict(dataset.test[0], batch_size=1000, verbose=0))
        return seconds, loss, logits.argmax(axis=1)

    return train


PEERS = {"PyTorch": pytorch_trainer, "Keras": keras_trainer}
