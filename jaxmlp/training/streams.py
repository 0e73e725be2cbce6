"""Training examples that need not fit into memory: memory-mapped arrays, and any re-iterable of batches.

A stream gives chunks of some megabytes, each of several batches; a thread prepares the next one while the device
computes. Memory-mapped arrays are shuffled as arrays in memory are, with the same permutation of all examples; a chunk
is read in ascending order, at once, and the step picks its rows from it.
"""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import is_concrete
from jaxmlp._checks import check_count, shown
from jaxmlp.training.arguments import check_lengths
from jaxmlp.training.rows import scaled

CHUNK_BYTES = 2**24
"""What a chunk should take; two or three are in memory at a time."""


class Chunk(NamedTuple):
    """Some batches that follow each other."""

    examples: Any
    """(x, y) or (x, y, weight) with at least the rows of the batches."""
    rows: Any
    """(steps, batch), where the rows of each batch are in examples; int32. Steps after count are to be left out."""
    count: int
    """The number of batches."""


class Mapped:
    """Memory-mapped arrays."""

    def __init__(self, train: Any, batch_size: int):
        self.train = tuple(train)
        self.batch_size = batch_size
        check_lengths("train", self.train)
        self.n = len(jax.tree.leaves(self.train)[0])

    def head(self) -> Any:
        """Return some examples as arrays in memory."""
        return jax.tree.map(lambda a: np.array(a[: max(1024, self.batch_size)]), self.train)

    def sample(self) -> Any:
        """Return what tells these examples from others."""
        rows = np.unique(np.linspace(0, self.n - 1, 256).astype(int))
        return np.int64(self.n), jax.tree.map(lambda a: np.array(a[rows]), self.train)

    def like(self) -> Chunk:
        """Return the shapes of a chunk."""
        size = min(self.n // self.batch_size, _batches(self.train, self.batch_size))
        return _like(self.train, self.batch_size, size)

    def chunks(self, order: np.ndarray, first: int) -> Iterator[Chunk]:
        """Yield the batches of an epoch from that with the index first on; the remainder is a chunk of its own."""
        steps, remainder = divmod(self.n, self.batch_size)
        size = min(steps, _batches(self.train, self.batch_size))
        for start in range(first, steps, size):
            count = min(size, steps - start)
            yield self._read(order[start * self.batch_size : (start + count) * self.batch_size], count, size)
        if remainder:
            yield self._read(order[steps * self.batch_size :], 1, 1)

    def _read(self, rows, count, size):
        """Read rows in ascending order; the arrays and the index have the size of size batches."""
        ascending = np.argsort(rows)
        batch = len(rows) // count
        places = np.zeros((size, batch), np.int32)
        places.reshape(-1)[ascending] = np.arange(len(rows), dtype=np.int32)
        wanted = np.pad(rows[ascending], (0, size * batch - len(rows)), "edge")
        return Chunk(jax.tree.map(lambda a: np.take(a, wanted, axis=0), self.train), places, count)


class Batches:
    """A re-iterable of batches, or a function without arguments that returns an iterable of them."""

    def __init__(self, source: Any, batch_size: int):
        self.source = source
        self.batch_size = batch_size
        self.forms = None

    def _iterate(self):
        try:
            given: Any = self.source() if callable(self.source) else self.source
            return iter(given)
        except TypeError as error:
            raise TypeError(f"train must be a pair (x, y), or {_GIVE}, got {shown(self.source)} ({error})") from error

    def head(self) -> Any:
        """Return the first batch."""
        for batch in self._iterate():
            found = self._checked(batch)
            size = len(jax.tree.leaves(found)[0])
            if size != self.batch_size:
                raise ValueError(
                    f"train gives batches of {size} examples; batch_size must be the same, got {self.batch_size}"
                )
            return found
        raise ValueError("train must give at least one batch, and it is empty")

    def sample(self) -> Any:
        """Return what tells these examples from others."""
        return self.head()

    def like(self) -> Chunk:
        """Return the shapes of a chunk."""
        head = self.head()
        return _like(head, self.batch_size, _batches(head, self.batch_size))

    def chunks(self, order: Any, first: int) -> Iterator[Chunk]:
        """Yield the batches of an epoch from that with the index first on; the remainder is a chunk of its own."""
        waiting, size = [], None
        for batch in map(self._checked, itertools.islice(self._iterate(), first, None)):
            if size == 0:
                raise ValueError(f"train gave a batch of less than batch_size={self.batch_size} before the last one")
            size = size or _batches(batch, self.batch_size)
            if len(jax.tree.leaves(batch)[0]) < self.batch_size:
                if waiting:
                    yield self._joined(waiting, size)
                yield self._joined([batch], 1)
                waiting, size = [], 0
                continue
            waiting.append(batch)
            if len(waiting) == size:
                yield self._joined(waiting, size)
                waiting = []
        if waiting:
            yield self._joined(waiting, size)

    def _joined(self, batches, size):
        count, batch = len(batches), len(jax.tree.leaves(batches[0])[0])
        batches = batches + batches[-1:] * (size - count)
        rows = np.arange(size * batch, dtype=np.int32).reshape(size, batch)
        return Chunk(jax.tree.map(lambda *parts: np.concatenate(parts), *batches), rows, count)

    def _checked(self, batch):
        """Return a batch as a tuple of arrays; raise a TypeError or ValueError if it does not fit the first one."""
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise TypeError(f"train must be a pair (x, y), or {_GIVE}; it gives {shown(batch)}")
        batch = jax.tree.map(np.asarray, tuple(batch))
        forms = jax.tree.map(lambda a: (a.shape[1:], str(a.dtype)), batch)
        self.forms = forms if self.forms is None else self.forms
        if forms != self.forms:
            raise ValueError(f"all batches of train must be alike, got {forms} after {self.forms}")
        size = len(jax.tree.leaves(batch)[0])
        if not 0 < size <= self.batch_size:
            raise ValueError(f"train gave a batch of {size} examples, batch_size is {self.batch_size}")
        return batch


_GIVE = "a re-iterable or a function without arguments that gives batches (x, y) or (x, y, weight)"
Stream = Mapped | Batches


def stream_of(train: Any, batch_size: Any, others: Any) -> Stream | None:
    """Return the stream that train is, None if it is arrays in memory or nothing known.

    Args:
        train: the argument of fit.
        batch_size: examples per step.
        others: the other arguments; under a trace memory-mapped arrays are read as a whole.
    """
    concrete = all(is_concrete(leaf) for leaf in jax.tree.leaves(others))
    if isinstance(train, tuple | list):
        if train and all(isinstance(batch, tuple | list) and len(batch) in (2, 3) for batch in train):
            raise TypeError("train is a list of batches; give a function that returns it: train=lambda: batches")
        plain = all(isinstance(leaf, np.ndarray) and leaf.ndim for leaf in jax.tree.leaves(train))
        return (
            Mapped(train, check_count("batch_size", batch_size)) if plain and _is_mapped(train) and concrete else None
        )
    if isinstance(train, Iterator):
        raise TypeError(
            f"train is an iterator, which one epoch uses up: {shown(train)}; give what makes it, such as the generator "
            "function itself or a loader"
        )
    iterable = isinstance(train, Iterable) and not isinstance(train, dict | str | np.ndarray | jax.Array)
    if not iterable and not callable(train):
        return None
    if not concrete:
        raise ValueError("train must be arrays inside jit, vmap, grad and shard_map, which cannot read batches")
    return Batches(train, check_count("batch_size", batch_size))


def scale_of(params: Any) -> Any:
    """Return the dtype in which bytes are scaled: that of the parameters."""
    dtypes = (jnp.result_type(leaf) for leaf in jax.tree.leaves(params))
    return next((dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)), jnp.dtype(jnp.float32))


def in_memory(examples: tuple[Any, Any], dtype: Any) -> tuple[Any, Any]:
    """Return (train, validation) for a program that reads no stream; bytes are scaled as those of a stream are."""
    if not any(_is_mapped(each) for each in examples):
        return examples
    train, validation = jax.tree.map(jnp.asarray, examples)
    return scaled(tuple(train), dtype), None if validation is None else scaled(tuple(validation), dtype)


def _is_mapped(examples):
    return any(isinstance(leaf, np.memmap) for leaf in jax.tree.leaves(examples))


def prefetched(chunks: Iterator[Chunk], put: Callable[[Any], Any]) -> Iterator[Chunk]:
    """Yield the chunks with their examples put on the device; a thread prepares the next one meanwhile."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="jaxmlp-stream")

    def following():
        chunk = next(chunks, None)
        return None if chunk is None else chunk._replace(examples=put(chunk.examples))

    ahead = collections.deque([pool.submit(following)])
    try:
        while (chunk := ahead.popleft().result()) is not None:
            ahead.append(pool.submit(following))
            yield chunk
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _like(examples, batch_size, size):
    def form(a):
        return jax.ShapeDtypeStruct((size * batch_size, *a.shape[1:]), jax.dtypes.canonicalize_dtype(a.dtype))

    return Chunk(jax.tree.map(form, examples), jax.ShapeDtypeStruct((size, batch_size), np.int32), size)


def _batches(examples, batch_size):
    """Return how many batches make a chunk."""
    row = sum(int(np.prod(leaf.shape[1:])) * leaf.dtype.itemsize for leaf in jax.tree.leaves(examples))
    return max(1, CHUNK_BYTES // max(row * batch_size, 1))
