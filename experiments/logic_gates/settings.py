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
# Initial weights. Published: the hidden layer's normal with mean 0.75 and standard deviation 0.01, the output layer's
# Glorot uniform, which is Keras's default. Usual: He normal for both ReLUs, else Glorot normal.
PUBLISHED, USUAL = "published", "usual"
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
    """Of Keras's Adam, per step."""

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return 2 if self.form in (ONE_HOT, SOFTMAX) else 1

    @property
    def initializers(self) -> tuple[Any, Any]:
        """What draws the initial weights of the hidden and of the output layer, as jaxmlp.mlp takes it."""
        if self.weights == PUBLISHED:
            return near_three_quarters, "glorot_uniform"
        usual = "he_normal" if "relu" in self.activation else "glorot_normal"
        return usual, usual


def near_three_quarters(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Draw the hidden layer's initial weights as published: normal, mean 0.75, standard deviation 0.01."""
    return 0.75 + 0.01 * jax.random.normal(key, shape, dtype)


def function_of(activation: str, steepness: float) -> activations.Activation:
    """Return the activation of that name in ACTIVATIONS."""
    return activations.steep_sigmoid(steepness) if activation == STEEP else activations.get(activation)
