"""Prediction: by NumPy, which compiles nothing, or by JAX on padded rows where NumPy lacks the activation."""

import functools
from typing import Any

import jax
import numpy as np
from scipy.special import expit, softmax
from sklearn.utils.extmath import safe_sparse_dot

import jaxmlp
from jaxmlp.estimators.examples import bucket

__all__ = ["outputs", "probabilities"]


def outputs(x: Any, coefs: list[np.ndarray], intercepts: list[np.ndarray], activation: Any) -> np.ndarray:
    """Return the outputs of the last layer, (n, outputs), before their own activation."""
    hidden = _HIDDEN.get(activation) if isinstance(activation, str) else None
    if hidden is None:
        return _by_jax(x, coefs, intercepts, activation)
    for index, (w, b) in enumerate(zip(coefs, intercepts, strict=True)):
        if index:
            x = hidden(x)
        x = safe_sparse_dot(x, w, dense_output=True)
        x += b
    return x


def probabilities(name: str, z: np.ndarray) -> np.ndarray:
    """Apply the activation of the output layer."""
    if name == "softmax":
        return softmax(z, axis=1)
    return {"logistic": expit, "exp": np.exp, "identity": np.asarray}[name](z)


def _relu(h):
    return np.maximum(h, 0, out=h)


def _same(h):
    return h


_HIDDEN = {
    "relu": _relu,
    "identity": _same,
    "tanh": functools.partial(np.tanh),
    "sigmoid": functools.partial(expit),
}


def _by_jax(x, coefs, intercepts, activation):
    """Return the outputs by JAX, in float32 unless x and the coefficients are float64, in blocks of few sizes."""
    dtype = np.result_type(x.dtype, coefs[0].dtype)
    params = tuple(jaxmlp.Layer(w, b) for w, b in zip(coefs, intercepts, strict=True))
    sizes = (coefs[0].shape[0], *(w.shape[1] for w in coefs))
    blocks = []
    with jax.enable_x64(bool(dtype == np.float64)):
        for first in range(0, x.shape[0], 4096):
            rows = x[first : first + 4096]
            rows = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype)
            padded = np.zeros((bucket(len(rows)), rows.shape[1]), dtype)
            padded[: len(rows)] = rows
            blocks.append(np.asarray(_apply(sizes, activation, params, padded))[: len(rows)])
    return np.concatenate(blocks)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _apply(sizes, activation, params, x):
    return jaxmlp.mlp(sizes, activation=activation).apply(params, x)
