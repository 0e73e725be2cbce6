"""The parameters that training starts from."""

import functools
import itertools
from typing import Any

import jax
import numpy as np

import jaxmlp

__all__ = ["parameters"]


def parameters(
    sizes: tuple[int, ...], activation: Any, initializer: Any, random_state: np.random.RandomState, dtype: Any
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw coefficients and intercepts: without an initializer, the numbers that scikit-learn draws.

    w, b uniform in [-limit, limit), limit = sqrt(6 / (fan_in + fan_out)), or sqrt(2 / ...) for logistic
    """
    if initializer is not None:
        params = jax.device_get(_drawn(sizes, initializer, np.uint32(random_state.randint(2**31 - 1))))
        return [np.asarray(layer.w, dtype) for layer in params], [np.asarray(layer.b, dtype) for layer in params]
    coefs, intercepts = [], []
    for fan_in, fan_out in itertools.pairwise(sizes):
        limit = np.sqrt((2 if activation == "logistic" else 6) / (fan_in + fan_out))
        coefs.append(random_state.uniform(-limit, limit, (fan_in, fan_out)).astype(dtype, copy=False))
        intercepts.append(random_state.uniform(-limit, limit, fan_out).astype(dtype, copy=False))
    return coefs, intercepts


@functools.partial(jax.jit, static_argnums=(0, 1))
def _drawn(sizes, initializer, seed):
    return jaxmlp.mlp(sizes, initializer=initializer).init(jax.random.key(seed))
