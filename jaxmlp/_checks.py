"""Checks of arguments. Every error says what was received, what is expected and how to fix it."""

import difflib
import importlib
import importlib.util
import inspect
import math
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def need(extra: str, *modules: str) -> None:
    """Raise a ModuleNotFoundError that names the extra to install if one of its modules is missing."""
    for module in modules:
        try:
            if importlib.util.find_spec(module) is None:
                importlib.import_module(module)  # raises
        except ModuleNotFoundError as error:
            message = f"{error}; to fix this, install it with pip install 'jaxmlp[{extra}]'"
            raise ModuleNotFoundError(message, name=error.name) from error


def check_choice(kind: str, name: str, choices: Collection[str]) -> str:
    """Return name if it is one of choices; if not, raise a ValueError that suggests the nearest one."""
    if name in choices:
        return name
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(sorted(choices))}.{hint}")


def in_range(name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Raise a ValueError unless every element of value lies in [low, high), or in (low, high) with open_low.

    A traced value has no number yet, so it passes; inside a compiled program a bad value shows as a diverged run.
    """
    if isinstance(value, Tracer):
        return
    array = np.asarray(value)
    if not (jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(array.dtype, jnp.floating)):
        raise TypeError(f"{name} must be a real number; got {value!r}")
    array = array.astype(float)  # bfloat16 too, which NumPy itself cannot compare
    above = array > low if open_low else array >= low
    if not np.all(above & (array < high)):
        raise ValueError(f"{name} must be in {'(' if open_low else '['}{low:g}, {high:g}); got {array.tolist()!r}")


def one_number(name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Raise a ValueError unless value is a single number in the range, which is that of in_range."""
    in_range(name, value, low, high, open_low=open_low)
    if np.ndim(value):
        raise ValueError(f"{name} must be one number, got shape {np.shape(value)}; for several use jax.vmap")


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raise a TypeError or ValueError unless value is an integer of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def takes(function: Callable[..., Any], name: str) -> bool:
    """Return whether function can be called with an argument of that name; True where Python cannot say."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


def check_key(key: Any) -> None:
    """Raise a TypeError unless key is a single random key."""
    if not _has_keys(key, axes=0):
        raise TypeError(f"key must be one key of jax.random, e.g. jax.random.key(0), got {key!r}")


def check_keys(keys: Any) -> None:
    """Raise a TypeError unless keys is a one-dimensional array of at least one random key."""
    if not _has_keys(keys, axes=1):
        example = "jax.random.split(jax.random.key(0), 5)"
        raise TypeError(f"keys must be an array of random keys, e.g. {example}, got {keys!r}")


def _has_keys(value, *, axes):
    """Return whether value is a non-empty array of random keys with that many axes, typed or as raw uint32."""
    if not (hasattr(value, "dtype") and hasattr(value, "shape")):
        return False
    typed = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    return (typed or value.dtype == jnp.uint32) and len(value.shape) == axes + (not typed) and 0 not in value.shape
