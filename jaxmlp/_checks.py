"""Checks of arguments. Every error says what was received, what is expected and how to fix it."""

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import math
import operator
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

LARGEST = 2**31 - 1  # of a count: JAX counts in int32
LARGEST_SEED = 2**63 - 1


def need(extra: str, *modules: str) -> None:
    """Raise a ModuleNotFoundError that names the extra to install if one of its modules is missing."""
    for module in modules:
        try:
            if importlib.util.find_spec(module) is None:
                importlib.import_module(module)  # raises
        except ModuleNotFoundError as error:
            message = f"{error}; to fix this, install it with pip install 'jaxmlp[{extra}]'"
            raise ModuleNotFoundError(message, name=error.name) from error


def shown(value: Any) -> str:
    """Return value for a message: short, whatever it is."""
    if getattr(value, "size", 0) and np.size(value) > 8:
        return f"an array of {value.dtype} {value.shape}"
    try:
        text = repr(value)
    except Exception:  # of a broken object
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}..."


def check_choice(kind: str, name: str, choices: Collection[str]) -> str:
    """Return name if it is one of choices; if not, raise a ValueError that suggests the nearest one."""
    if not isinstance(name, str):
        raise TypeError(f"{kind} must be one of the names {', '.join(sorted(choices))}; got {shown(name)}")
    if name in choices:
        return name
    by_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    raise ValueError(f"unknown {kind} {shown(name)}; known: {', '.join(sorted(choices))}.{hint}")


def in_range(name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Raise a ValueError unless every element of value lies in [low, high), or in (low, high) with open_low.

    A traced value has no number yet, so it passes; inside a compiled program a bad value shows as a diverged run.
    """
    if isinstance(value, Tracer):
        return
    _check_kind(name, value, "a real number")
    array = np.asarray(value)
    if array.dtype.kind == "b":
        raise TypeError(f"{name} must be a real number; got {shown(value)}")
    array = array.astype(float)  # bfloat16 too, which NumPy itself cannot compare
    above = array > low if open_low else array >= low
    if not np.all(above & (array < high)):
        raise ValueError(f"{name} must be in {'(' if open_low else '['}{low:g}, {high:g}); got {_listed(array)}")


def one_number(name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False) -> None:
    """Raise a ValueError unless value is a single number in the range, which is that of in_range.

    The number must also be in the range once it is rounded to JAX's default floating dtype: 1e39 is infinite in
    float32, 0.99999999 is 1, and 1e-46 is 0.
    """
    in_range(name, value, low, high, open_low=open_low)
    if np.ndim(value):
        raise ValueError(f"{name} must be one number, got shape {np.shape(value)}; for several use jax.vmap")
    if isinstance(value, Tracer):
        return
    dtype = jnp.result_type(float)
    with np.errstate(over="ignore"):
        rounded = float(np.asarray(value).astype(dtype))
    least = float(jnp.finfo(dtype).smallest_normal) if open_low and low == 0 else low
    if not (least <= rounded < high and math.isfinite(rounded)):
        kind = f"rounds to {rounded:g}" if low < rounded < math.inf else f"is {rounded:g}"
        bounds = f"at least {least:g} and below {high:g}" if math.isfinite(high) else f"at least {least:g} and finite"
        raise ValueError(f"{name} must be {bounds} in {dtype}, where {shown(value)} {kind}")


def check_count(name: str, value: Any, least: int = 1, most: float = LARGEST) -> int:
    """Return value as an int; raise a TypeError or ValueError unless it is an integer in [least, most]."""
    dtype = getattr(value, "dtype", None)
    number = None
    if isinstance(value, Tracer):
        raise TypeError(f"{name} decides the program and must be an integer, got a traced value; keep it out of jit")
    whole = not isinstance(value, bool | np.ma.MaskedArray) and (dtype is None or jnp.issubdtype(dtype, jnp.integer))
    with contextlib.suppress(Exception):  # whatever a stranger raises when it is asked for its shape or __index__
        if whole and np.ndim(value) == 0:
            number = operator.index(value)
    if number is None:
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(number)}")
    if number > most:
        raise ValueError(f"{name} must be at most {most}, got {shown(number)}")
    return number


def check_path(name: str, value: Any) -> Path:
    """Return value as a Path; raise a TypeError or ValueError if it cannot be one."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be a path, a str or a pathlib.Path, got {shown(value)}")
    text = os.fspath(value)
    try:
        os.fsencode(text)
    except UnicodeError:  # half of a character
        raise ValueError(f"{name} must be a path that can be encoded, got {shown(text)}") from None
    if not text or "\0" in text:
        raise ValueError(f"{name} must be a path, which is not empty and has no NUL character; got {shown(text)}")
    return Path(text)


def host_array(name: str, value: Any) -> np.ndarray:
    """Return value as a NumPy array of real numbers; raise a TypeError where NumPy cannot make one of it."""
    check_real(name, value)
    return np.asarray(value)


def check_real(name: str, value: Any) -> None:
    """Raise a TypeError or ValueError unless value is an array, a number or nested lists that JAX takes as it is.

    A mask would be dropped, and an imaginary part too; JAX knows the machine's byte order alone, and cuts integers of
    64 bits to 32 without a word.
    """
    _check_kind(name, value, "an array of real numbers")
    if isinstance(value, jax.Array) or hasattr(value, "__jax_array__"):
        return
    host = np.asarray(value)
    if host.dtype.kind in "iu" and host.itemsize == 8 and host.size:
        known = np.iinfo(jax.dtypes.canonicalize_dtype(host.dtype))
        low, high = int(host.min()), int(host.max())
        if low < known.min or high > known.max:
            hint = f"convert it, by {name}.astype(float)"
            raise ValueError(f"{name} has integers from {low} to {high}, which JAX would cut to 32 bits; {hint}")


def _check_kind(name, value, expected):
    if isinstance(value, np.ma.MaskedArray):
        hint = "fill it first, by x.filled(value), or by x.filled(numpy.nan) and jaxmlp.data.fill_missing"
        raise TypeError(f"{name} is a masked array, whose mask would be lost; {hint}")
    dtype: Any = getattr(value, "dtype", None)
    if not isinstance(value, np.ndarray | np.generic | jax.Array):
        try:
            dtype = jnp.result_type(value) if hasattr(value, "__jax_array__") else np.asarray(value).dtype
        except Exception as error:  # ragged lists, traced entries, strangers
            raise TypeError(f"{name} must be {expected}; got {shown(value)}") from error
    if jnp.issubdtype(dtype, jnp.complexfloating):
        hint = "give real and imaginary part as two arrays or features"
        raise TypeError(f"{name} must be real, got {dtype}; {hint}")
    numbers = any(jnp.issubdtype(dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating))
    if not numbers or getattr(dtype, "kind", "") == "m":  # to NumPy, a span of time is an integer
        raise TypeError(f"{name} must be {expected}; got {shown(value)}")
    if getattr(dtype, "kind", "") == "f" and dtype.itemsize > 8:
        raise TypeError(f"{name} has dtype {dtype}, which JAX does not take; convert it, by {name}.astype(float)")
    if not getattr(dtype, "isnative", True):
        hint = f"convert it, by {name}.astype({dtype.newbyteorder('=').name!r})"
        raise TypeError(f"{name} has the byte order of another machine ({dtype.str}), which JAX does not take; {hint}")


def is_function(value: Any) -> bool:
    """Return whether value can serve as a function; a class, which makes objects, cannot."""
    return callable(value) and not isinstance(value, type)


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
        raise TypeError(f"key must be one key of jax.random, e.g. jax.random.key(0), got {shown(key)}")


def check_keys(keys: Any) -> None:
    """Raise a TypeError unless keys is a one-dimensional array of at least one random key."""
    if not _has_keys(keys, axes=1):
        example = "jax.random.split(jax.random.key(0), 5)"
        raise TypeError(f"keys must be an array of random keys, e.g. {example}, got {shown(keys)}")


def _listed(array):
    return shown(array) if array.size > 8 else repr(array.tolist())


def _has_keys(value, *, axes):
    """Return whether value is a non-empty array of random keys with that many axes, typed or as raw uint32."""
    if not isinstance(value, jax.Array | np.ndarray) or isinstance(value, np.ma.MaskedArray) or 0 in value.shape:
        return False
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value.ndim == axes
    words = _WORDS.get(jax.config.jax_default_prng_impl, value.shape[-1:])  # pyright: ignore[reportAttributeAccessIssue]
    return value.dtype == jnp.uint32 and value.dtype.isnative and value.ndim == axes + 1 and value.shape[-1:] == words


_WORDS = {"threefry2x32": (2,), "rbg": (4,), "unsafe_rbg": (4,)}  # of a raw key
