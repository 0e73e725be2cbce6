"""The same network written by hand in NumPy, to compare times with: forward pass, backward pass and Adam.

    h_1 = x,  z_l = h_l w_l + b_l,  h_{l+1} = max(z_l, 0),  p = softmax(z_L)
    delta_L = (p - onehot(y)) / n,   delta_l = (delta_{l+1} w_{l+1}^T) * (z_l > 0)
    dw_l = h_l^T delta_l,            db_l = sum of delta_l over the batch

It is written to be fast, with whole-array operations, products by NumPy's BLAS on all cores, and updates in place.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]


def train(
    layer_sizes: Sequence[int],
    x: np.ndarray,
    y: np.ndarray,
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    dtype: Any,
) -> tuple[Layers, list[float]]:
    """Train a ReLU network with softmax cross entropy by Adam, from Glorot normal weights.

    Args:
        layer_sizes: units of input, hidden layers and output.
        x: examples, (n, features).
        y: labels, (n,).
        seed: of the weights and of the order of the examples.
        epochs: passes over the examples.
        batch_size: examples per step.
        learning_rate: of Adam, per step.
        dtype: of the computation: np.float32, or np.float64, which is NumPy's default.

    Returns:
        The layers, pairs (w, b), and the mean training loss of each epoch, nats per example.
    """
    generator = np.random.default_rng(seed)
    layers = [_glorot(generator, fan_in, fan_out, dtype) for fan_in, fan_out in itertools.pairwise(layer_sizes)]
    x, one_hot = x.astype(dtype), np.eye(layer_sizes[-1], dtype=dtype)[y]
    adam = Adam(layers, learning_rate)
    losses = []
    for _ in range(epochs):
        order, total = generator.permutation(len(x)), 0.0
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            loss, grads = loss_and_grads(layers, x[rows], one_hot[rows])
            adam.update(layers, grads)
            total += loss * len(rows)
        losses.append(total / len(x))
    return layers, losses


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


class Adam:
    """Adam by Kingma and Ba (2015), algorithm 1, in place."""

    def __init__(self, layers: Layers, learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8):
        """Start with moments of zero, shaped like the layers."""
        self.settings = learning_rate, b1, b2, eps
        self.moments = [tuple((np.zeros_like(p), np.zeros_like(p)) for p in layer) for layer in layers]
        self.count = 0

    def update(self, layers: Layers, grads: Layers) -> None:
        """Move the layers by one step."""
        learning_rate, b1, b2, eps = self.settings
        self.count += 1
        scale = learning_rate / (1 - b1**self.count)
        correction = 1 - b2**self.count
        for layer, layer_grads, moments in zip(layers, grads, self.moments, strict=True):
            for p, g, (mu, nu) in zip(layer, layer_grads, moments, strict=True):
                mu *= b1
                mu += (1 - b1) * g
                nu *= b2
                nu += (1 - b2) * g * g
                p -= scale * mu / (np.sqrt(nu / correction) + eps)


def _glorot(generator, fan_in, fan_out, dtype):
    w = generator.normal(0, np.sqrt(2 / (fan_in + fan_out)), size=(fan_in, fan_out))
    return w.astype(dtype), np.zeros(fan_out, dtype)
