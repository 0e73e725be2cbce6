"""Elementwise activation functions, each also by its name.

Every function takes and returns an array of any shape and floating dtype; whole numbers are converted to JAX's default
floating dtype, and anything else is a TypeError. Most are those of `jax.nn`; the derivative at
each kink is stated.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmlp._arrays import floating
from jaxmlp._checks import check_choice, check_real, is_function, one_number, shown

__docformat__ = "google"
__all__ = [
    "ACTIVATIONS",
    "elu",
    "gelu",
    "gelu_tanh",
    "get",
    "identity",
    "leaky_relu",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
    "steep_sigmoid",
    "step",
    "tanh",
]

Activation = Callable[[jax.Array], jax.Array]


def get(activation: str | Activation) -> Activation:
    """Return the activation of that name, or the callable itself.

    Args:
        activation: a name in ACTIVATIONS, or a function array -> array.

    Returns:
        A function array -> array.

    Raises:
        ValueError: the name is unknown.
        TypeError: activation is neither a name nor callable.

    Example:
        >>> import jaxmlp
        >>> jaxmlp.activations.get("relu") is jaxmlp.activations.relu
        True
    """
    if isinstance(activation, str):
        return ACTIVATIONS[check_choice("activation", activation, ACTIVATIONS)]
    if not is_function(activation):
        raise TypeError(f"activation must be a name or a function, got {shown(activation)}")
    return activation


def relu(x: jax.Array) -> jax.Array:
    """Return max(x, 0); the derivative at 0 is 0.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import relu
        >>> print(relu(np.array([-2.0, 0.0, 2.0])))
        [0. 0. 2.]
    """
    return jax.nn.relu(_floating(x))


def leaky_relu(x: jax.Array) -> jax.Array:
    """Return x for x >= 0 and 0.01 x below; the derivative at 0 is 1.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import leaky_relu
        >>> print(np.asarray(leaky_relu(np.array([-2.0, 0.0, 2.0]))).round(3))
        [-0.02  0.    2.  ]
    """
    return jax.nn.leaky_relu(_floating(x), negative_slope=0.01)


def elu(x: jax.Array) -> jax.Array:
    """Return x for x > 0 and exp(x) - 1 below; the derivative at 0 is 1.

    Differs from:
        jax.nn.elu, whose derivative far below 0 is exp(x) rounded to a multiple of 6e-8 in float32.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import elu
        >>> print(np.asarray(elu(np.array([-2.0, 0.0, 2.0]))).round(3))
        [-0.865  0.     2.   ]
    """
    x = _floating(x)
    return jnp.where(x > 0, x, _expm1(jnp.where(x > 0, 0, x)))


@jax.custom_jvp
def _expm1(x):
    return jnp.expm1(x)


_expm1.defjvps(lambda tangent, answer, x: tangent * jnp.exp(x))  # JAX's own is answer + 1, which cancels


def sigmoid(x: jax.Array) -> jax.Array:
    """Return the logistic function 1 / (1 + exp(-x)).

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import sigmoid
        >>> print(np.asarray(sigmoid(np.array([-2.0, 0.0, 2.0]))).round(3))
        [0.119 0.5   0.881]
    """
    return jax.nn.sigmoid(_floating(x))


def tanh(x: jax.Array) -> jax.Array:
    """Return the hyperbolic tangent of x.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import tanh
        >>> print(np.asarray(tanh(np.array([-2.0, 0.0, 2.0]))).round(3))
        [-0.964  0.     0.964]
    """
    return jnp.tanh(_floating(x))


def softplus(x: jax.Array) -> jax.Array:
    """Return log(1 + exp(x)), whose derivative is the sigmoid.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import softplus
        >>> print(np.asarray(softplus(np.array([-2.0, 0.0, 2.0]))).round(3))
        [0.127 0.693 2.127]
    """
    return jax.nn.softplus(_floating(x))


def silu(x: jax.Array) -> jax.Array:
    """Return x sigmoid(x), also called swish.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import silu
        >>> print(np.asarray(silu(np.array([-2.0, 0.0, 2.0]))).round(3))
        [-0.238  0.     1.762]
    """
    return jax.nn.silu(_floating(x))


def gelu(x: jax.Array) -> jax.Array:
    """Return x Phi(x), Phi being the exact normal distribution function; the default of PyTorch and Keras.

    Differs from:
        jax.nn.gelu and Flax, whose default is the approximation gelu_tanh.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import gelu
        >>> print(np.asarray(gelu(np.array([-2.0, 0.0, 2.0]))).round(3))
        [-0.046  0.     1.954]

    Source:
        Hendrycks and Gimpel (2016), "Gaussian error linear units", equation 1.
    """
    return jax.nn.gelu(_floating(x), approximate=False)


def gelu_tanh(x: jax.Array) -> jax.Array:
    """Return the usual approximation of gelu, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).

    Differs from:
        jax.nn.gelu and PyTorch, which lose all digits below -6 in float32, and whose derivative at -1e24 is not finite.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import gelu_tanh
        >>> print(np.asarray(gelu_tanh(np.array([-2.0, 0.0, 2.0]))).round(3))
        [-0.045  0.     1.955]

    Source:
        Hendrycks and Gimpel (2016), "Gaussian error linear units", section 2.
    """
    x = _floating(x)
    # Beyond 30 it is x or 0 to the last bit, and the derivative of x^3 would overflow and give NaN.
    inside = jnp.abs(x) < 30
    z = jnp.where(inside, x, 0)
    # (1 + tanh u) / 2 = sigmoid(2 u), without the cancellation below 0.
    near = z * jax.nn.sigmoid(math.sqrt(8 / math.pi) * (z + 0.044715 * z**3))
    return jnp.where(inside, near, jnp.where(x > 0, x, x * 0))


def identity(x: jax.Array) -> jax.Array:
    """Return x itself; a network of identities is linear.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import identity
        >>> print(identity(np.array([-2.0, 0.0, 2.0])))
        [-2.  0.  2.]
    """
    return _floating(x)


def step(x: jax.Array) -> jax.Array:
    """Return 1 for x >= 0 and 0 below; the derivative is 0 everywhere, so no layer before a step gets a gradient.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import step
        >>> print(step(np.array([-2.0, 0.0, 2.0])))
        [0. 1. 1.]

    Source:
        Rosenblatt (1958), "The perceptron".
    """
    # A comparison has no derivative, which JAX reads as zero; NaN passes through, so that a diverged run shows.
    x = _floating(x)
    return jnp.where(jnp.isnan(x), x, (x >= 0).astype(x.dtype))


def steep_sigmoid(steepness: float) -> Activation:
    """Build the sigmoid 1 / (1 + exp(-steepness x)).

    With steepness 1 it is sigmoid; with growing steepness it approaches step. Since it takes a number it is not in
    ACTIVATIONS: pass the function itself, mlp(..., activation=steep_sigmoid(4.0)).

    Args:
        steepness: one finite number > 0; four times the slope at 0.

    Returns:
        A function array -> array. Equal steepness gives equal, hashable functions.

    Raises:
        ValueError: steepness is out of its range.
        TypeError: steepness is not a plain number.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.activations import steep_sigmoid
        >>> print(np.asarray(steep_sigmoid(4.0)(np.array([-2.0, 0.0, 2.0]))).round(3))
        [0.  0.5 1. ]
    """
    one_number("steepness", steepness, 0, open_low=True)
    return _SteepSigmoid(float(steepness))


# A frozen dataclass rather than a closure: it compares and hashes by its number, and so finds its compiled program.
@dataclasses.dataclass(frozen=True)
class _SteepSigmoid:
    steepness: float

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.sigmoid(self.steepness * _floating(x))


ACTIVATIONS: dict[str, Activation] = {
    function.__name__: function
    for function in (relu, leaky_relu, elu, sigmoid, tanh, softplus, silu, gelu, gelu_tanh, identity, step)
}
"""The activations by name, as mlp takes them."""


def _floating(x):
    """Return x as a JAX array of a floating dtype."""
    check_real("x", x)
    found = floating(x)
    if jnp.finfo(found.dtype).bits < 16:  # XLA has no such functions
        raise TypeError(f"x must have 16 bits or more, got {found.dtype}; convert it, by x.astype('float32')")
    return found
