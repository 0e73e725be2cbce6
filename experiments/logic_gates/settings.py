"""What is trained: the Boolean functions of two inputs, networks with one hidden layer, and how they are trained."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmlp import activations
from jaxmlp.datasets.synthetic import LOGIC_GATES, logic_gate

ROWS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], np.float32)
GATES = tuple(LOGIC_GATES)
TARGETS = np.stack([logic_gate(gate).train[1] for gate in GATES])  # (gates, rows)

STEEP = "steep sigmoid"
ACTIVATIONS = ("sigmoid", STEEP, "tanh", "relu", "leaky_relu")
WIDTHS = (2, 3, 4, 8)
PUBLISHED, USUAL = "0.75 ± 0.01", "usual"  # initial weights; usual: He normal for both ReLUs, else Glorot normal
SQUARED, BINARY = "one sigmoid output, squared error", "one sigmoid output, cross entropy"
ONE_HOT, SOFTMAX = "one-hot, two sigmoids, squared error", "one-hot, softmax, cross entropy"
FORMS = (SQUARED, BINARY, ONE_HOT, SOFTMAX)


class Setting(NamedTuple):
    """A network with one hidden layer, and how it is trained."""

    gate: str
    """In GATES."""

    activation: str
    """Of the hidden layer, in ACTIVATIONS."""

    width: int
    """Hidden units, 1 to 8."""

    weights: str
    """The initial ones: PUBLISHED or USUAL."""

    form: str
    """Of outputs and loss, in FORMS."""

    learning_rate: float
    """Of Adam, per step."""

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return 2 if self.form in (ONE_HOT, SOFTMAX) else 1

    @property
    def initializer(self) -> Any:
        """What draws the initial weights, as jaxmlp.mlp takes it."""
        if self.weights == PUBLISHED:
            return near_published
        return "he_normal" if "relu" in self.activation else "glorot_normal"


def near_published(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Draw initial weights as published: uniform in [0.74, 0.76)."""
    return jax.random.uniform(key, shape, dtype, 0.74, 0.76)


def function_of(activation: str, steepness: float) -> activations.Activation:
    """Return the activation of that name in ACTIVATIONS."""
    return activations.steep_sigmoid(steepness) if activation == STEEP else activations.get(activation)
