"""The network written by hand in NumPy, to compare times with: forward pass, backward pass, and update rules.

    h_1 = x,  z_l = h_l w_l + b_l,  h_{l+1} = max(z_l, 0),  p = softmax(z_L)
    delta_L = (p - onehot(y)) / n,   delta_l = (delta_{l+1} w_{l+1}^T) * (z_l > 0)
    dw_l = h_l^T delta_l,            db_l = sum of delta_l over the batch

It is written to be fast, with whole-array operations, products by NumPy's BLAS on all cores, and updates in place.
"""

import itertools
from typing import Any

import numpy as np

from experiments.common.peers.numpy_rules import RULES
from experiments.common.peers.settings import Layers, Settings, glorot_layer


class Trainer:
    """Trains in float32, or in the dtype of the weights."""

    def __init__(self, settings: Settings, x: np.ndarray, y: np.ndarray):
        """Take the examples."""
        self._settings, self._x, self._one_hot = settings, x, np.eye(settings.layer_sizes[-1], dtype=x.dtype)[y]

    def reset(self, layers: Layers, seed: int, learning_rate: float | None = None) -> None:
        """Start again from these weights."""
        self._layers = [(w.copy(), b.copy()) for w, b in layers]
        rate = self._settings.learning_rate if learning_rate is None else learning_rate
        self._rule, self._generator = RULES[self._settings.rule](self._layers, rate), np.random.default_rng(seed)

    def train(self, epochs: int, *, shuffle: bool = True) -> float:
        """Train, and return the mean loss of the last epoch."""
        loss = np.nan
        for _ in range(epochs):
            order = self._generator.permutation(len(self._x)) if shuffle else np.arange(len(self._x))
            loss = epoch(self._layers, self._rule, self._x, self._one_hot, order, self._settings.batch_size)
        return loss


def train(
    settings: Settings, x: np.ndarray, y: np.ndarray, *, epochs: int, seed: int, dtype: Any
) -> tuple[Layers, list[float]]:
    """Train from Glorot's normal weights.

    Args:
        settings: of the network and its training.
        x: examples, (n, features).
        y: labels, (n,).
        epochs: passes over the examples.
        seed: of the weights and of the order of the examples.
        dtype: of the computation: np.float32, or np.float64, which is NumPy's default.

    Returns:
        The layers, pairs (w, b), and the mean training loss of each epoch, nats per example.
    """
    generator = np.random.default_rng(seed)
    sizes = itertools.pairwise(settings.layer_sizes)
    layers = [glorot_layer(generator, fan_in, fan_out, dtype) for fan_in, fan_out in sizes]
    x, one_hot = x.astype(dtype), np.eye(settings.layer_sizes[-1], dtype=dtype)[y]
    rule = RULES[settings.rule](layers, settings.learning_rate)
    orders = [generator.permutation(len(x)) for _ in range(epochs)]
    return layers, [epoch(layers, rule, x, one_hot, order, settings.batch_size) for order in orders]


def epoch(layers: Layers, rule: Any, x: np.ndarray, one_hot: np.ndarray, order: np.ndarray, batch_size: int) -> float:
    """Pass over the examples in an order, moving the layers; returns the mean loss."""
    total = 0.0
    for start in range(0, len(x), batch_size):
        rows = order[start : start + batch_size]
        loss, grads = loss_and_grads(layers, x[rows], one_hot[rows])
        rule.update(layers, grads)
        total += loss * len(rows)
    return total / len(x)


def loss_and_grads(layers: Layers, x: np.ndarray, one_hot: np.ndarray) -> tuple[float, Layers]:
    """Return the mean cross entropy and its gradient, pairs (dw, db)."""
    inputs = [x]
    for w, b in layers[:-1]:
        inputs.append(np.maximum(inputs[-1] @ w + b, 0))
    w, b = layers[-1]
    logits = inputs[-1] @ w + b
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits)
    sums = exponentials.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(sums[:, 0]) - np.sum(logits * one_hot, axis=1)))
    delta = (exponentials / sums - one_hot) / len(x)
    grads: Layers = []
    for index in range(len(layers) - 1, -1, -1):
        grads.append((inputs[index].T @ delta, delta.sum(axis=0)))
        if index:
            delta = (delta @ layers[index][0].T) * (inputs[index] > 0)
    return loss, grads[::-1]


def predict(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Return the most likely class of each row of x."""
    for w, b in layers[:-1]:
        x = np.maximum(x @ w + b, 0)
    w, b = layers[-1]
    return np.argmax(x @ w + b, axis=1)
