"""How much of the machine a sweep uses: the rate of its matrix products beside that of the machine's own."""

import itertools
import time
from collections.abc import Sequence

import numpy as np

__docformat__ = "google"
__all__ = ["machine_rate", "products_per_example"]


def products_per_example(layer_sizes: Sequence[int], *, training: bool) -> int:
    """Count the floating-point operations of the matrix products that one example needs.

        forward           h w
        training, also    h^T delta of every layer, delta w^T of every layer but the first

    The input needs no gradient. A product of shapes (1, m) and (m, n) is 2 m n operations.

    Args:
        layer_sizes: as for jaxmlp.mlp.
        training: count a training step; otherwise only the forward pass.

    Example:
        >>> products_per_example((784, 128, 10), training=True)
        409088
    """
    products = [2 * m * n for m, n in itertools.pairwise(layer_sizes)]
    return 3 * sum(products) - products[0] if training else sum(products)


def machine_rate(size: int = 2048, repeats: int = 5) -> float:
    """Measure the machine's own float32 matrix product, as NumPy computes it.

    Args:
        size: rows and columns of the matrices.
        repeats: products timed; the fastest counts, as the one least disturbed by other work.

    Returns:
        Floating-point operations per second.

    Example:
        >>> machine_rate(size=64, repeats=1) > 0
        True
    """
    a = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)

    def seconds():
        start = time.perf_counter()
        np.matmul(a, a)
        return time.perf_counter() - start

    seconds()
    return 2 * size**3 / min(seconds() for _ in range(repeats))
