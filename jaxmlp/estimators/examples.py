"""Examples on the device: padded to few sizes, so that few programs are compiled; sparse rows made dense per batch."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

__all__ = ["Csr", "Examples", "bucket", "dense_rows", "on_device", "padded_batch", "padded_features", "padded_rows"]


def bucket(n: int) -> int:
    """Return the padded size for n: a power of two from 32 to 4,096, above it one of four steps per power of two."""
    power = 1 << max(5, (n - 1).bit_length())
    step = power if power <= 4096 else power // 8
    return -(-n // step) * step


def padded_rows(n: int, features: int | None) -> int:
    """Return how many rows to keep on the device.

    Args:
        n: number of examples.
        features: per row, where batches are taken from the rows: up to 1,024 rows are then no matter. None where all
            rows are computed with.
    """
    return max(bucket(n), 256 if features is None else 1024 if features <= 1024 else 0)


def padded_features(features: int) -> int:
    """Return the padded number of features: 16, 32 or 64, and from there on the number itself."""
    return next((size for size in (16, 32, 64) if features <= size), features)


def padded_batch(batch_size: int | str, n: int, layer_sizes: Sequence[int]) -> int:
    """Return the padded size of a batch.

    "auto" is min(200, n) examples: 200 rows if the network is so small that they cost little more than a few.
    """
    if batch_size != "auto":
        return min(bucket(n), int(batch_size))
    small = sum(fan_in * fan_out for fan_in, fan_out in itertools.pairwise(layer_sizes)) <= 2**14
    return 200 if small else next((size for size in (32, 100) if n <= size), 200)


class Csr(NamedTuple):
    """A sparse matrix by rows, padded."""

    values: Any
    """(entries,)."""
    columns: Any
    """(entries,), int32."""
    starts: Any
    """(rows + 1,), int32: where each row's entries begin."""
    at_most: Any
    """Its length is the largest number of entries in a row, padded; it holds 0, 1, 2, ..."""
    features: Any
    """Its length is the number of features."""


class Examples(NamedTuple):
    """All rows that training and validation choose from."""

    x: Any
    """(rows, features), or Csr."""
    y: Any
    """(rows, outputs)."""
    weights: Any
    """(rows,), the sample weights."""


def on_device(x, y, weights, dtype, rows=None, features=None) -> Examples:
    """Pad examples and put them on the default device in the given dtype.

    Args:
        x: (n, features), an array or a sparse matrix.
        y: (n, outputs).
        weights: (n,), or None for ones.
        dtype: of all three.
        rows: the padded n; None for bucket(n).
        features: the padded number of features; None for as many as there are.
    """
    n = x.shape[0]
    rows = bucket(n) if rows is None else rows
    features = x.shape[1] if features is None else features
    if scipy.sparse.issparse(x):
        x = x.tocsr()
        widest = bucket(max(1, int(np.diff(x.indptr).max(initial=1))))
        entries = bucket(max(4096, x.nnz))
        padded_x = Csr(
            values=_padded(x.data, entries, dtype),
            columns=_padded(x.indices, entries, np.int32),
            starts=np.concatenate([x.indptr, np.full(rows - n, x.indptr[-1])]).astype(np.int32),
            at_most=np.arange(min(widest, features), dtype=np.int32),
            features=np.zeros(features, dtype),
        )
    else:
        padded_x = _padded(x, rows, dtype, features)
    weights = np.ones(n, dtype) if weights is None else weights
    return jax.device_put(Examples(padded_x, _padded(y, rows, dtype), _padded(weights, rows, dtype)))


def dense_rows(x, rows):
    """Return the given rows as a dense array."""
    if not isinstance(x, Csr):
        return x.at[rows].get(mode="promise_in_bounds")
    start = x.starts[rows][:, None]
    place = start + x.at_most[None, :]
    there = place < x.starts[rows + 1][:, None]
    place = jnp.where(there, place, 0)
    width = x.features.shape[0]
    columns = jnp.where(there, x.columns[place], width)  # one past the last: dropped
    across = jnp.broadcast_to(jnp.arange(rows.shape[0], dtype=columns.dtype)[:, None], columns.shape)
    return jnp.zeros((rows.shape[0], width), x.values.dtype).at[across, columns].add(x.values[place], mode="drop")


def _padded(array, rows, dtype, columns=None):
    shape = (rows, *array.shape[1:]) if columns is None else (rows, columns)
    # Where XLA wants an array to begin: the CPU then uses this memory instead of a copy of it.
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    out = memory[first : first + size].view(dtype).reshape(shape)
    if shape[1:] == array.shape[1:]:
        out[: len(array)] = array
    else:
        out[: len(array), : array.shape[1]] = array
        out[: len(array), array.shape[1] :] = 0
    out[len(array) :] = 0
    return out


_ALIGNMENT = 64  # bytes
