"""Questions about arrays: whether they have values now, whether those are finite, and which dtype to compute in."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

PyTree = Any
Scalar = float | jax.Array


class Schedule(Protocol):
    """A function of the number of steps taken that returns the learning rate; any schedule of optax is one."""

    def __call__(self, count: jax.Array, /) -> jax.typing.ArrayLike:
        """Return the learning rate after count steps."""
        ...


def is_concrete(value: object) -> bool:
    """Return whether value has numbers now, rather than being traced by jit, vmap or grad."""
    return not isinstance(value, Tracer)


def all_finite(array: Any) -> bool:
    """Return whether a floating-point array is free of NaN and infinity; traced arrays and other dtypes pass."""
    if not is_concrete(array) or not jnp.issubdtype(jnp.result_type(array), jnp.floating):
        return True
    # Computed on the device of the array, even while the program around this is being traced.
    with jax.ensure_compile_time_eval():
        return bool(_all_finite(array))


@jax.jit
def _all_finite(array):
    # 0 times a finite number is 0, else NaN: one pass that the compiler vectorises, three times as fast as isfinite.
    return jnp.isfinite(jnp.sum(array * 0))


def as_array(value: Any) -> jax.Array:
    """Return value as a JAX array, a list by NumPy: [1, 0.5, True] has no dtype under strict promotion."""
    on_device = isinstance(value, jax.Array) or hasattr(value, "__jax_array__")
    return jnp.asarray(value if on_device else np.asarray(value))


def floating(value: Any, dtype: Any = None) -> jax.Array:
    """Return value as a JAX array of dtype, by default its own floating dtype, or JAX's default one."""
    # By NumPy, which does not cut integers to 32 bits on the way; a number too large for the dtype becomes infinite.
    on_device = isinstance(value, jax.Array) or hasattr(value, "__jax_array__")
    value = jnp.asarray(value) if on_device else np.asarray(value)
    own = value.dtype if jnp.issubdtype(value.dtype, jnp.floating) else jnp.result_type(float)
    with np.errstate(over="ignore"):
        return jnp.asarray(value.astype(jax.dtypes.canonicalize_dtype(own if dtype is None else dtype)))


def at_least_float32(dtype: Any) -> Any:
    """Return the floating dtype, or float32 in place of a narrower one."""
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.dtype(jnp.float32)


def none_if_zero(strength: Any) -> Any:
    """Return strength, or None if it is the plain number 0, which leaves the term out of the program."""
    return None if isinstance(strength, int | float) and strength == 0 else strength


def vary_like(value: Any, like: Any) -> Any:
    """Mark value, inside shard_map, as varying over the same mesh axes as like."""
    missing = tuple(sorted(manual_axes(like) - manual_axes(value)))
    return jax.lax.pcast(value, missing, to="varying") if missing else value


def manual_axes(x: Any) -> frozenset[str]:
    """Return the mesh axes over which an array inside shard_map varies."""
    kind = (x if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x)).manual_axis_type
    return kind.varying if kind is not None else frozenset()
