"""The machine's own rates: of a product of 2048 x 2048 matrices, and of copying."""

import functools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxmlp.comparison.speed import machine_rate

SIZE = 2048
LARGE = 256e6  # bytes, more than caches hold


class Machine:
    """Measures the rates: with NumPy on a CPU, with JAX on an accelerator."""

    def __init__(self, platform: str, small: float):
        """Choose the way.

        Args:
            platform: jax.default_backend().
            small: bytes of the arrays that are copied to find the rate of what caches hold.
        """
        self._accelerator, self._small = platform != "cpu", small

    def turn(self, seed: int) -> dict[str, float]:
        """Measure: operations per second, bytes read and written per second for large and for small arrays."""
        del seed
        if self._accelerator:
            copied = _device_copy_rate()
            return {"products": _device_rate(), "large": copied, "small": copied}
        return {"products": machine_rate(SIZE), "large": _copy_rate(LARGE), "small": _copy_rate(self._small)}


def _copy_rate(size):
    """Copy by as many threads as there are cores, each its part of the array."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, int(size / 4 / cores))
    pairs = [(np.ones(count, np.float32), np.ones(count, np.float32)) for _ in range(cores)]
    repeats = max(1, int(1e9 / size))

    def copy(pair):
        for _ in range(repeats):
            np.copyto(*pair)

    with ThreadPoolExecutor(cores) as pool:

        def seconds():
            started = time.perf_counter()
            list(pool.map(copy, pairs))
            return time.perf_counter() - started

        return 2 * 4 * count * cores * repeats / min(seconds() for _ in range(5))


def _device_rate():
    import jax

    # In float32 throughout, as the systems compute; some accelerators round the factors otherwise.
    product = functools.partial(jax.numpy.matmul, precision="highest")
    a: Any = jax.random.normal(jax.random.key(0), (SIZE, SIZE)) / SIZE**0.5
    times = 20
    chain = jax.jit(lambda a: jax.lax.fori_loop(0, times, lambda _, b: product(a, b), a))
    return 2 * times * SIZE**3 / _fastest(chain, a)


def _device_copy_rate():
    import jax.numpy as jnp
    from jax import jit

    a = jnp.ones(int(LARGE / 4))
    return 2 * a.nbytes / _fastest(jit(lambda a: a + 1), a)


def _fastest(function, argument):
    def seconds():
        started = time.perf_counter()
        function(argument).block_until_ready()
        return time.perf_counter() - started

    seconds()
    return min(seconds() for _ in range(5))
