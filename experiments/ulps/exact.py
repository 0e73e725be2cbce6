"""The functions of the library with 50 digits, by mpmath, and the distance to them in units in the last place."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

try:
    import mpmath as mp
except ModuleNotFoundError as error:
    hint = "to fix this, install it with pip install 'jaxmlp[test]'"
    raise ModuleNotFoundError(f"{error}; {hint}", name=error.name) from error

DIGITS = 50
mp.mp.dps = DIGITS

Number = Any


def _sigmoid(x):
    return 1 / (1 + mp.exp(-x)) if x > 0 else mp.exp(x) / (1 + mp.exp(x))


def _softplus(x):
    return max(x, 0) + mp.log1p(mp.exp(-abs(x)))


def _normal(x):
    if abs(x) > 10_000:  # mpmath's own erfc overflows; the tail is below 1e-20000000
        return mp.mpf(x > 0)
    return mp.erfc(-x / mp.sqrt(2)) / 2


def _bell(x):
    return mp.exp(-(x**2) / 2) / mp.sqrt(2 * mp.pi)


def _inner(x):
    return mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)


def _gelu_tanh_slope(x):
    share = _sigmoid(2 * _inner(x))  # (1 + tanh u) / 2
    rise = mp.sqrt(2 / mp.pi) * (1 + 3 * mp.mpf("0.044715") * x**2)
    return share + 2 * x * share * _sigmoid(-2 * _inner(x)) * rise


ACTIVATIONS: dict[str, tuple[Callable[[Number], Number], Callable[[Number], Number]]] = {
    "relu": (lambda x: max(x, 0), lambda x: int(x > 0)),
    "leaky_relu": (lambda x: x if x >= 0 else x / 100, lambda x: 1 if x >= 0 else mp.mpf(1) / 100),
    "elu": (lambda x: x if x > 0 else mp.expm1(x), lambda x: 1 if x >= 0 else mp.exp(x)),
    "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "tanh": (mp.tanh, lambda x: 4 * _sigmoid(2 * x) * _sigmoid(-2 * x)),
    "softplus": (_softplus, _sigmoid),
    "silu": (lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1 + x * _sigmoid(-x))),
    "gelu": (lambda x: x * _normal(x), lambda x: _normal(x) + x * _bell(x)),
    "gelu_tanh": (lambda x: x * _sigmoid(2 * _inner(x)), _gelu_tanh_slope),
    "identity": (lambda x: x, lambda x: 1),
    "step": (lambda x: int(x >= 0), lambda x: 0),
}
"""Name -> value and slope."""


def softmax_cross_entropy(outputs: Sequence[Number], label: Number) -> tuple[Number, list[Number]]:
    """Return the loss of one example and its gradient."""
    # log sum exp(z - z_label) and p - 1 without the cancellation that 50 digits would not survive.
    others = mp.fsum(mp.exp(z - outputs[label]) for k, z in enumerate(outputs) if k != label)
    shares = [mp.exp(z - outputs[label]) / (1 + others) for z in outputs]
    return mp.log1p(others), [-others / (1 + others) if k == label else p for k, p in enumerate(shares)]


def binary_cross_entropy(outputs: Sequence[Number], target: Number) -> tuple[Number, list[Number]]:
    """Return the loss of one output and its gradient."""
    (z,) = outputs
    value = target * _softplus(-z) + (1 - target) * _softplus(z)
    return value, [(1 - target) * _sigmoid(z) - target * _sigmoid(-z)]


def mean_squared_error(outputs: Sequence[Number], target: Number) -> tuple[Number, list[Number]]:
    """Return the loss of one output and its gradient."""
    (z,) = outputs
    return (z - target) ** 2, [2 * (z - target)]


def mean_absolute_error(outputs: Sequence[Number], target: Number) -> tuple[Number, list[Number]]:
    """Return the loss of one output and its gradient."""
    (z,) = outputs
    return abs(z - target), [mp.sign(z - target)]


LOSSES = {f.__name__: f for f in (softmax_cross_entropy, binary_cross_entropy, mean_squared_error, mean_absolute_error)}
"""Name -> function of the outputs and the target of one example."""


def equations(factory: Callable[..., Any]) -> list[str]:
    """Return the equations of a rule's docstring as lines of Python, empty if they hold words."""
    # Cleaned, since Python 3.13 takes the common indentation off and older versions do not.
    text = inspect.cleandoc(factory.__doc__ or "").split("Args:")[0]
    lines = [line.strip() for line in text.splitlines() if re.match(r" {4}\w", line)]
    lines = [re.sub(r", and 0 where .*", "", line).replace("^", "**") for line in lines]
    return lines if lines and not any("," in line.replace("max(nu_max, ", "") for line in lines) else []


def one_step(lines: Sequence[str], g: Number, t: int, slots: dict[str, Number], numbers: dict[str, Number]) -> Number:
    """Return the update that a rule's equations give for one entry."""
    known = {"g": g, "t": t, "sqrt": mp.sqrt, "max": max, **slots, **numbers}
    for line in lines:
        name, _, formula = line.partition(" = ")
        known[name] = eval(formula, {"__builtins__": {}}, known)  # the text of our own docstrings
    return known["update"]


def number(value: Any) -> Number:
    """Return a floating-point number exactly."""
    return mp.mpf(float(value))


def ulps(found: np.ndarray, exact: Sequence[Number], dtype: Any) -> np.ndarray:
    """Return the distances in units in the last place of the exact values.

    A result below the smallest normal number counts as right if it comes out as 0 or below that number, since CPUs and
    GPUs flush such results to 0; one above the largest number counts as right if it comes out infinite.
    """
    info = jnp.finfo(dtype)
    tiny, largest, digits = mp.mpf(float(info.smallest_normal)), mp.mpf(float(info.max)), int(info.nmant)
    distances = np.zeros(len(exact))
    for i, (y, f) in enumerate(zip(np.asarray(found, np.float64), exact, strict=True)):
        if not np.isfinite(y):
            distances[i] = 0 if abs(f) > largest and np.isinf(y) and (y > 0) == (f > 0) else np.inf
        elif abs(f) >= tiny or abs(y) > tiny:
            unit = mp.ldexp(1, mp.frexp(max(abs(f), tiny))[1] - 1 - digits)
            distances[i] = float(abs(mp.mpf(y) - f) / unit)
    return distances
