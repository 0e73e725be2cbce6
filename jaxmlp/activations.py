"""Elementwise activation functions, by name; most are jax.nn's, with the derivative at each kink stated.

All take and return an array of any shape and floating dtype.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmlp._checks import check_choice, in_range

Activation = Callable[[jax.Array], jax.Array]


def get(activation: str | Activation) -> Activation:
    """Return the activation of that name, or the callable itself.

    Args:
        activation: a name in ACTIVATIONS, or a function array -> array.

    Returns:
        A function array -> array.

    Raises:
        ValueError: the name is unknown.
        TypeError: neither a name nor callable.
    """
    if isinstance(activation, str):
        return ACTIVATIONS[check_choice("activation", activation, ACTIVATIONS)]
    if not callable(activation):
        raise TypeError(f"activation must be a name or a function, got {activation!r}")
    return activation


def relu(x: jax.Array) -> jax.Array:
    """Return max(x, 0); derivative 0 at 0."""
    return jax.nn.relu(x)


def leaky_relu(x: jax.Array) -> jax.Array:
    """Return x for x >= 0, 0.01 x below; derivative 1 at 0."""
    return jax.nn.leaky_relu(x, negative_slope=0.01)


def elu(x: jax.Array) -> jax.Array:
    """Return x for x > 0, exp(x) - 1 below; derivative 1 at 0."""
    return jax.nn.elu(x)


def sigmoid(x: jax.Array) -> jax.Array:
    """Return 1 / (1 + exp(-x))."""
    return jax.nn.sigmoid(x)


def tanh(x: jax.Array) -> jax.Array:
    """Return the hyperbolic tangent of x."""
    return jnp.tanh(x)


def softplus(x: jax.Array) -> jax.Array:
    """Return log(1 + exp(x)), the antiderivative of sigmoid."""
    return jax.nn.softplus(x)


def silu(x: jax.Array) -> jax.Array:
    """Return x sigmoid(x), also called swish."""
    return jax.nn.silu(x)


def gelu(x: jax.Array) -> jax.Array:
    """Return x Phi(x) with the exact normal distribution function, as PyTorch and Keras mean it by default.

    Differs from: jax.nn.gelu and Flax, whose default is the approximation gelu_tanh.
    Source: Hendrycks and Gimpel (2016), "Gaussian error linear units", equation 1.
    """
    return jax.nn.gelu(x, approximate=False)


def gelu_tanh(x: jax.Array) -> jax.Array:
    """Return x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the usual approximation of gelu.

    Source: Hendrycks and Gimpel (2016), "Gaussian error linear units", section 2.
    """
    return jax.nn.gelu(x, approximate=True)


def identity(x: jax.Array) -> jax.Array:
    """Return x itself, so that the network is linear."""
    return x


def step(x: jax.Array) -> jax.Array:
    """Return 1 for x >= 0, 0 below; its derivative is 0 everywhere, so nothing before it learns by gradient.

    Source: Rosenblatt (1958), "The perceptron".
    """
    # A comparison has no derivative, which JAX reads as zero; NaN passes through, so that a diverged run shows.
    return jnp.where(jnp.isnan(x), x, (x >= 0).astype(x.dtype))


def steep_sigmoid(steepness: float) -> Activation:
    """Build the sigmoid 1 / (1 + exp(-steepness x)), whose derivative is steepness s (1 - s) at the value s.

    At steepness 1 it is sigmoid; the steeper it is, the nearer it comes to step.

    Args:
        steepness: one number, finite and > 0; four times the slope at 0.

    Returns:
        A function array -> array. Equal steepness gives equal, hashable functions. It takes a number, so it has no
        place among the names: give the function itself, mlp(..., activation=steep_sigmoid(4.0)).

    Raises:
        ValueError: steepness is out of its range.
        TypeError: steepness is not a plain number.
    """
    in_range("steepness", steepness, 0, open_low=True)
    return _SteepSigmoid(float(steepness))


# A frozen dataclass rather than a closure: it compares and hashes by its number, which a compiled program is found by.
@dataclasses.dataclass(frozen=True)
class _SteepSigmoid:
    steepness: float

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(self.steepness * x)


ACTIVATIONS: dict[str, Activation] = {
    function.__name__: function
    for function in (relu, leaky_relu, elu, sigmoid, tanh, softplus, silu, gelu, gelu_tanh, identity, step)
}
