"""The multilayer perceptron: two pure functions over a tuple of layers.

There is no batch normalisation. At test time it needs averages collected during training, so `apply` would have to
return a new state beside its outputs, and every function that takes an `apply` would have to carry that state. If you
want it without running averages, write your own `apply` that normalises by the mean and variance of the batch, with
scale and offset as two more leaves of the parameters: `objective`, `fit` and `sweep` take it as it is. If you need
running averages, use Flax or Equinox, which carry state.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp import activations
from jaxmlp._arrays import floating, vary_like
from jaxmlp._checks import check_choice, check_count, check_key, check_real, in_range, is_function, shown

__docformat__ = "google"
__all__ = ["INITIALIZERS", "Layer", "Network", "Params", "mlp"]

Initializer = Callable[..., jax.Array]


class Layer(NamedTuple):
    """The parameters of one affine map, x w + b.

    Example:
        >>> import jax, jaxmlp
        >>> hidden, output = jaxmlp.mlp((4, 8, 3)).init(jax.random.key(0))
        >>> print(hidden.w.shape, hidden.b.shape, output.w.shape)
        (4, 8) (8,) (8, 3)
    """

    w: jax.Array
    """Weights, (fan_in, fan_out)."""
    b: jax.Array
    """Biases, (fan_out,)."""


Params = tuple[Layer, ...]


class Network(NamedTuple):
    """A network as two pure functions. Equal settings give equal, hashable functions, so nothing is recompiled."""

    init: Callable[[jax.Array], Params]
    """key -> params."""
    apply: Callable[..., Any]
    """(params, x, *, key=None, with_hidden=False) -> outputs, or (outputs, hidden) with with_hidden=True."""


def mlp(
    layer_sizes: Sequence[int],
    *,
    activation: str | activations.Activation = "relu",
    initializer: str | Initializer = "he_normal",
    dropout: float | Sequence[float] = 0.0,
    dtype: Any = jnp.float32,
    compute_dtype: Any = None,
) -> Network:
    """Build a fully connected network.

        h_0 = x
        z_l = h_l w_l + b_l
        h_{l+1} = activation(z_l)
        outputs = z_L, of the last layer

    Args:
        layer_sizes: units of input, hidden layers and output, e.g. (784, 128, 10); at least two, each >= 1.
        activation: of the hidden layers; a name in jaxmlp.activations.ACTIVATIONS or a function array -> array.
        initializer: of the weights; a name (glorot_normal, glorot_uniform, he_normal, he_uniform, lecun_normal,
            lecun_uniform) or a function (key, shape, dtype) -> array such as jax.nn.initializers.normal(0.01).
            Biases start at 0.
        dropout: fraction of a layer's inputs dropped in training, in [0, 1): one number for every hidden layer (the
            input of the network is kept), or one number per layer input.
        dtype: of the parameters; float16, bfloat16, float32 or float64.
        compute_dtype: "bfloat16" rounds the factors of every matrix product, forward and backward, to bfloat16 and sums
            in float32: faster where the hardware multiplies bfloat16, as GPUs and some CPUs do. Parameters, gradients
            and the state of the optimizer stay in dtype. jax.jvp of apply raises a TypeError; jax.jvp of a gradient
            works. None computes in dtype.

    Returns:
        Network(init, apply). init(key) -> params, a tuple of Layer(w, b).

        apply(params, x, *, key=None) -> outputs: x (..., layer_sizes[0]) is cast to the dtype of the parameters;
        outputs (..., layer_sizes[-1]) are logits or regression values. Dropout is drawn from key; without a key nothing
        is dropped. With with_hidden=True apply returns (outputs, hidden); hidden is a tuple of the activations h of
        each hidden layer, (..., units), before dropout.

    Raises:
        ValueError: a size, a name or a rate is not allowed.
        TypeError: a setting is of the wrong type.

    Example:
        >>> import jax, jaxmlp
        >>> net = jaxmlp.mlp((4, 8, 3), activation="tanh")
        >>> params = net.init(jax.random.key(0))
        >>> print(net.apply(params, jax.numpy.ones((5, 4))).shape)
        (5, 3)
    """
    sizes = _checked_sizes(layer_sizes)
    activations.get(activation)
    if isinstance(initializer, str):
        check_choice("initializer", initializer, INITIALIZERS)
    elif not is_function(initializer):
        raise TypeError(
            f"initializer must be a name or a function (key, shape, dtype) -> array, got {shown(initializer)}"
        )
    dtype = _checked_dtype(dtype)
    if compute_dtype is not None:
        compute_dtype = _checked_compute_dtype(compute_dtype)
    rates = _checked_rates(dropout, len(sizes) - 1)
    return Network(_Init(sizes, initializer, dtype), _Apply(sizes, activation, rates, compute_dtype))


INITIALIZERS: dict[str, Callable[[], Initializer]] = {
    name: getattr(jax.nn.initializers, name)
    for name in (
        "glorot_normal",
        "glorot_uniform",
        "he_normal",
        "he_uniform",
        "lecun_normal",
        "lecun_uniform",
    )
}
"""The initializers by name, each a factory of jax.nn.initializers."""


# Frozen dataclasses rather than closures: they compare and hash by their settings, by which JAX looks up compiled
# programs, and they can be pickled.
@dataclasses.dataclass(frozen=True)
class _Init:
    layer_sizes: tuple[int, ...]
    initializer: str | Initializer
    dtype: Any

    def __call__(self, key: jax.Array) -> Params:
        check_key(key)
        draw = INITIALIZERS[self.initializer]() if isinstance(self.initializer, str) else self.initializer
        shapes = list(zip(self.layer_sizes, self.layer_sizes[1:], strict=False))
        keys = jax.random.split(key, len(shapes))
        weights = [draw(layer_key, shape, self.dtype) for layer_key, shape in zip(keys, shapes, strict=True)]
        if [getattr(w, "shape", None) for w in weights] != shapes:
            raise TypeError(
                f"initializer must return an array of the given shape, got {shown(weights[0])}; if it is a factory, "
                "call it first: jax.nn.initializers.he_normal()"
            )
        return tuple(Layer(w=w, b=jnp.zeros(w.shape[1], self.dtype)) for w in weights)


@dataclasses.dataclass(frozen=True)
class _Apply:
    layer_sizes: tuple[int, ...]
    activation: str | activations.Activation
    dropout: tuple[float, ...]
    compute_dtype: Any

    def __call__(
        self, params: Params, x: jax.Array, *, key: jax.Array | None = None, with_hidden: bool = False
    ) -> jax.Array | tuple[jax.Array, tuple[jax.Array, ...]]:
        h = self._checked_input(params, x)
        if not isinstance(with_hidden, bool):
            raise TypeError(f"with_hidden must be True or False, got {shown(with_hidden)}")
        if key is not None:
            check_key(key)
        hidden = []
        activate = activations.get(self.activation)
        keys = [None] * len(params) if key is None else jax.random.split(key, len(params))
        for index, (layer, rate, layer_key) in enumerate(zip(params, self.dropout, keys, strict=True)):
            if index > 0:
                h = activate(h)
                hidden.append(h)
            if rate and layer_key is not None:
                h = _drop(layer_key, h, rate)
            w, b = layer
            z = self._product(h, w)
            h = z + jnp.broadcast_to(b, z.shape)
        return (h, tuple(hidden)) if with_hidden else h

    def _product(self, h, w) -> Any:
        return h @ w if self.compute_dtype is None else _product(self.compute_dtype, vary_like(h, w), vary_like(w, h))

    def _checked_input(self, params, x):
        expected = [((m, n), (n,)) for m, n in zip(self.layer_sizes, self.layer_sizes[1:], strict=False)]
        for leaf in jax.tree.leaves(params):
            check_real("params", leaf)
        shapes = _shapes(params)
        if shapes != expected:
            raise ValueError(f"params of {self.layer_sizes} must have shapes {expected} of (w, b), got {shapes}")
        check_real("x", x)
        x = floating(x, params[0][0].dtype)
        if jnp.ndim(x) < 1 or jnp.shape(x)[-1] != self.layer_sizes[0]:
            raise ValueError(
                f"x must have shape (..., {self.layer_sizes[0]}), got {jnp.shape(x)}; "
                "flatten images to one row per example"
            )
        return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _product(dtype, h, w):
    """Return h @ w with factors rounded to dtype, in the gradient as well: by JAX's own, one factor would stay wide."""
    return _product_and_factors(dtype, h, w)[0]


def _product_and_factors(dtype, h, w):
    rounded = h.astype(dtype), w.astype(dtype)
    return _summed_in_float32(*rounded).astype(w.dtype), (*rounded, w)


def _product_gradient(dtype, factors, gradient):
    h, w, wide = factors
    gradient = gradient.astype(dtype)
    rows = h.reshape(-1, h.shape[-1])
    # The barrier keeps the transpose apart from the product: XLA's fast product on a CPU takes no transposed factor.
    transposed = jax.lax.optimization_barrier(rows.T)
    by_w = _summed_in_float32(transposed, gradient.reshape(len(rows), w.shape[1]))
    return _summed_in_float32(gradient, w.T).astype(wide.dtype), by_w.astype(wide.dtype)


def _summed_in_float32(a, b):
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)


_product.defvjp(_product_and_factors, _product_gradient)


def _drop(key, h, rate):
    """Zero each entry with probability rate and scale the others up, so that the mean stays (inverted dropout)."""
    keep = jax.random.bernoulli(key, 1 - rate, h.shape)
    return jnp.where(keep, h / (1 - rate), 0)


def _shapes(params):
    try:
        return [(jnp.shape(w), jnp.shape(b)) for w, b in params]
    except (TypeError, ValueError):  # not a sequence of pairs of arrays
        return jax.tree.map(jnp.shape, params)


def _checked_sizes(layer_sizes):
    scalar = isinstance(layer_sizes, np.ndarray) and layer_sizes.ndim == 0
    if scalar or isinstance(layer_sizes, str) or not isinstance(layer_sizes, Sequence | np.ndarray):
        raise TypeError(f"layer_sizes must be a sequence such as (784, 128, 10), got {shown(layer_sizes)}")
    sizes = tuple(layer_sizes)
    if len(sizes) < 2:
        raise ValueError(f"layer_sizes needs at least an input and an output size, got {sizes}")
    return tuple(check_count("each of layer_sizes", size) for size in sizes)


def _checked_dtype(dtype):
    try:
        found = jnp.dtype(dtype)
    except Exception as error:  # NumPy raises several kinds
        raise TypeError(f"dtype must be floating point, got {shown(dtype)}") from error
    # float8 has no room for a mean or an update: its outputs soon are NaN.
    if dtype is None or not jnp.issubdtype(found, jnp.floating) or not 16 <= jnp.finfo(found).bits <= 64:
        known = "float16, bfloat16, float32 or float64"
        raise TypeError(f"dtype must be floating point, got {None if dtype is None else found.name}; take {known}")
    return found


def _checked_compute_dtype(dtype):
    try:
        found = jnp.dtype(dtype)
    except TypeError as error:
        raise TypeError(f'compute_dtype must be "bfloat16" or None, got {shown(dtype)}') from error
    if found != jnp.bfloat16:
        raise ValueError(f'compute_dtype must be "bfloat16" or None, got "{found.name}"')
    return found


def _checked_rates(dropout, layers):
    in_range("dropout", dropout, 0, 1)
    rates = (0.0, *[dropout] * (layers - 1)) if np.ndim(dropout) == 0 else tuple(dropout)
    if len(rates) != layers:
        raise ValueError(f"dropout needs one rate per layer input, {layers} of them, got {rates}")
    return tuple(float(rate) for rate in rates)
