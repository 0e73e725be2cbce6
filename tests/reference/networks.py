"""Random parameters of networks, by NumPy: to draw them by JAX would compile a program for each shape."""

import itertools

import numpy as np

from jaxmlp import Layer


def parameters(*sizes, dtype=np.float32, seed=0):
    """Random weights and biases of a network of those sizes."""
    rng = np.random.default_rng(seed)
    return tuple(
        Layer(rng.normal(size=pair).astype(dtype), rng.normal(size=pair[1]).astype(dtype))
        for pair in itertools.pairwise(sizes)
    )
