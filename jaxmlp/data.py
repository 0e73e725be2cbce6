"""Examples as arrays: the data set, and its split into a training and a validation part."""

from typing import NamedTuple

import numpy as np

Examples = tuple[np.ndarray, np.ndarray]


class Dataset(NamedTuple):
    """A named data set of NumPy arrays; x is float32 (n, features), y is (n,)."""

    name: str
    train: Examples  # (x, y) to learn and to choose from
    test: Examples  # (x, y) to be looked at once
    image_shape: tuple[int, int] | None  # (height, width) of a row of x, None where x is no image
    class_names: tuple[str, ...]  # the name of label 0, 1, ...; empty for regression


def split(x: np.ndarray, y: np.ndarray, *, count: int, seed: int) -> tuple[Examples, Examples]:
    """Hold out count examples, chosen at random.

    Args:
        x: (n, ...). y: (n, ...).
        count: examples to hold out, in [1, n).
        seed: of the choice; the same seed holds out the same examples.

    Returns: (kept, held out), each a pair (x, y); both parts keep the order of the examples.
    Raises: ValueError where x and y differ in length or count is out of its range.
    """
    if len(x) != len(y):
        raise ValueError(f"x and y must have the same length, got {len(x)} and {len(y)}")
    if not 1 <= count < len(x):
        raise ValueError(f"count must be in [1, {len(x)}), got {count}")
    held_out = np.zeros(len(x), bool)
    held_out[np.random.default_rng(seed).choice(len(x), count, replace=False)] = True
    return (x[~held_out], y[~held_out]), (x[held_out], y[held_out])
