"""What every library trains with."""

import itertools
from typing import NamedTuple

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Pairs (w, b): w (fan_in, fan_out), b (fan_out,)."""


class Settings(NamedTuple):
    """A ReLU network with softmax cross entropy, and how it is trained."""

    layer_sizes: tuple[int, ...]
    """Units of input, hidden layers and output."""

    batch_size: int
    """Examples per step; the remainder of an epoch is a step of its own."""

    learning_rate: float
    """Per step."""

    rule: str = "adam"
    """"sgd" or "adam"; Adam with b1 = 0.9, b2 = 0.999, eps = 1e-8."""


def glorot(settings: Settings, seed: int, dtype: type = np.float32) -> Layers:
    """Draw weights from Glorot's normal distribution, with biases of zeros."""
    generator = np.random.default_rng(seed)
    return [glorot_layer(generator, *sizes, dtype) for sizes in itertools.pairwise(settings.layer_sizes)]


def glorot_layer(generator: np.random.Generator, fan_in: int, fan_out: int, dtype: type) -> tuple:
    """Draw one layer."""
    w = generator.normal(0, np.sqrt(2 / (fan_in + fan_out)), size=(fan_in, fan_out))
    return w.astype(dtype), np.zeros(fan_out, dtype)
