"""The same training in PyTorch and Keras, if they are installed."""

import importlib
import importlib.util
import itertools
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.data import Dataset


class Settings(NamedTuple):
    """What every system trains with."""

    layer_sizes: tuple[int, ...]
    """Units of input, hidden layers and output."""

    epochs: int
    """Passes over the training images."""

    batch_size: int
    """Images per step."""

    learning_rate: float
    """Of Adam, per step."""


def pytorch_trainer(dataset: Dataset, settings: Settings) -> Callable[[int], Any] | None:
    """Return a function that trains in PyTorch, seed -> (seconds, training loss, predictions); None without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch: Any = importlib.import_module("torch")

    def train(seed):
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(*sizes) for sizes in itertools.pairwise(settings.layer_sizes)]
        for layer in layers:
            torch.nn.init.xavier_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        model = torch.nn.Sequential(*[part for layer in layers for part in (layer, torch.nn.ReLU())][:-1])
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
        x, y = torch.from_numpy(dataset.train[0]), torch.from_numpy(dataset.train[1]).long()
        started = time.perf_counter()
        total = 0.0
        for _ in range(settings.epochs):
            total = 0.0
            # Indexed by hand, since a DataLoader collates image by image and is several times slower.
            for rows in torch.randperm(len(x)).split(settings.batch_size):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
        seconds = time.perf_counter() - started
        with torch.no_grad():
            predicted = model(torch.from_numpy(dataset.test[0])).argmax(dim=1).numpy()
        return seconds, total / len(x), predicted

    return train


def keras_trainer(dataset: Dataset, settings: Settings) -> Callable[[int], Any] | None:
    """Return a function that trains in Keras on JAX, with the results of pytorch_trainer; None without Keras."""
    if importlib.util.find_spec("keras") is None:
        return None
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras: Any = importlib.import_module("keras")

    def train(seed):
        keras.utils.set_random_seed(seed)
        hidden = [keras.layers.Dense(n, "relu", kernel_initializer="glorot_normal") for n in settings.layer_sizes[1:-1]]
        outputs = keras.layers.Dense(settings.layer_sizes[-1], kernel_initializer="glorot_normal")
        model = keras.Sequential([keras.layers.Input((settings.layer_sizes[0],)), *hidden, outputs])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(settings.learning_rate), loss)
        model.optimizer.build(model.trainable_variables)
        fit = {"batch_size": settings.batch_size, "verbose": 0}
        start = [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]
        # One step compiles it; then everything is reset.
        model.fit(*(part[: settings.batch_size] for part in dataset.train), epochs=1, **fit)
        for variable, value in zip((*model.variables, *model.optimizer.variables), start, strict=True):
            variable.assign(value)
        started = time.perf_counter()
        history = model.fit(*dataset.train, epochs=settings.epochs, **fit)
        seconds = time.perf_counter() - started
        logits = np.asarray(model.predict(dataset.test[0], batch_size=1000, verbose=0))
        return seconds, history.history["loss"][-1], logits.argmax(axis=1)

    return train


PEERS = {"PyTorch": pytorch_trainer, "Keras": keras_trainer}
