"""How an error is worded: what was received, what is expected, how to mend it."""

import difflib
import math
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def known(kind: str, name: str, choices: Collection[str]) -> str:
    """Return name if it is one of choices; raise a ValueError that suggests the nearest one if not."""
    if name in choices:
        return name
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(sorted(choices))}.{hint}")


def in_range(name: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Raise a ValueError unless every element of value lies in [low, high), or in (low, high) with open_low.

    A traced value has no number yet, so it passes: inside a compiled program a bad one shows as a diverged run.
    """
    if not is_concrete(value):
        return
    array = np.asarray(value)
    if not (jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(array.dtype, jnp.floating)):
        raise TypeError(f"{name} must be a real number; got {value!r}")
    array = array.astype(float)  # bfloat16 too, which NumPy itself cannot compare
    above = array > low if open_low else array >= low
    if not np.all(above & (array < high)):
        raise ValueError(f"{name} must be in {'(' if open_low else '['}{low:g}, {high:g}); got {array.tolist()!r}")


def unless_zero(strength: Any) -> Any:
    """Return strength, or None where it is the plain number 0: a term that is left out of the program."""
    return None if isinstance(strength, int | float) and strength == 0 else strength


def at_least_float32(dtype: Any) -> Any:
    """Return the floating dtype, or float32 in place of a narrower one."""
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.dtype(jnp.float32)


def all_finite(array: Any) -> bool:
    """Tell whether a floating-point array holds no NaN or infinity; a traced one and other dtypes count as finite."""
    if not is_concrete(array) or not jnp.issubdtype(jnp.result_type(array), jnp.floating):
        return True
    # Computed where the array lies, also while a program around this is being traced.
    with jax.ensure_compile_time_eval():
        return bool(jnp.isfinite(array).all())


def is_concrete(value: object) -> bool:
    """Tell whether value holds numbers now, rather than being traced by jit, vmap or grad."""
    return not isinstance(value, Tracer)
