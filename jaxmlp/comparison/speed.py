"""How much of the machine a sweep uses: its matrix products against the machine's own."""

import itertools
import time
from collections.abc import Sequence

import numpy as np


def products_per_example(layer_sizes: Sequence[int], *, training: bool) -> int:
    """Count the floating-point operations of the matrix products that one example needs.

    Forward h w; in training also h^T delta for each layer, and delta w^T for each but the first, whose input needs no
    gradient. A product of (1, m) and (m, n) is 2 m n operations.

    Args:
        layer_sizes: as for jaxmlp.mlp.
        training: a step, or a measurement alone.
    """
    products = [2 * m * n for m, n in itertools.pairwise(layer_sizes)]
    return 3 * sum(products) - products[0] if training else sum(products)


def machine_rate(size: int = 2048, repeats: int = 5) -> float:
    """Measure the machine's own float32 matrix product, by NumPy.

    Args:
        size: of the square matrices.
        repeats: products timed, the fastest counts: what the machine can do, undisturbed.

    Returns: floating-point operations per second.
    """
    a = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)

    def once():
        start = time.perf_counter()
        np.matmul(a, a)
        return time.perf_counter() - start

    once()
    return 2 * size**3 / min(once() for _ in range(repeats))
