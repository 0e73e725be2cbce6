"""Examples on the device: padded to few sizes, so that few programs are compiled; sparse rows made dense per batch."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

__all__ = ["Csr", "Examples", "bucket", "dense_rows", "on_device"]


def bucket(n: int) -> int:
    """Return the padded size for n: a power of two from 32 to 4,096, above it one of four steps per power of two."""
    power = 1 << max(5, (n - 1).bit_length())
    step = power if power <= 4096 else power // 8
    return -(-n // step) * step


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


def on_device(x, y, weights, dtype) -> Examples:
    """Pad examples and put them on the default device in the given dtype."""
    n = x.shape[0]
    rows = bucket(n)
    if scipy.sparse.issparse(x):
        x = x.tocsr()
        widest = bucket(max(1, int(np.diff(x.indptr).max(initial=1))))
        padded_x = Csr(
            values=_padded(x.data, bucket(max(1, x.nnz)), dtype),
            columns=_padded(x.indices, bucket(max(1, x.nnz)), np.int32),
            starts=np.concatenate([x.indptr, np.full(rows - n, x.indptr[-1])]).astype(np.int32),
            at_most=np.arange(min(widest, x.shape[1]), dtype=np.int32),
            features=np.zeros(x.shape[1], dtype),
        )
    else:
        padded_x = _padded(x, rows, dtype)
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


def _padded(array, rows, dtype):
    shape = (rows, *array.shape[1:])
    # Where XLA wants an array to begin: the CPU then uses this memory instead of a copy of it.
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    out = memory[first : first + size].view(dtype).reshape(shape)
    out[: len(array)] = array
    out[len(array) :] = 0
    return out


_ALIGNMENT = 64  # bytes
