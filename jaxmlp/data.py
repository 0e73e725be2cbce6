"""Examples as arrays: the data set, its split, and what is learnt from the training part alone to prepare all parts."""

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


class Moments(NamedTuple):
    """What standardise needs to know of the training examples."""

    mean: np.ndarray  # (features,), or () of all features together
    deviation: np.ndarray  # like mean, > 0


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


def moments(x: np.ndarray, *, per_feature: bool = True) -> Moments:
    """Measure mean and standard deviation of the training examples, for standardise.

    mean = 1/n sum_i x_i,   deviation = sqrt(1/n sum_i (x_i - mean)^2)

    Args:
        x: (n, features), the training part alone: what is held out must not leak into what is learnt.
        per_feature: one mean and deviation per feature; False: one of all entries, as is usual for images.

    Returns: Moments, in the dtype of x, summed in float64. A feature that never changes gets deviation 1.
    Raises: ValueError where x has no examples, or holds NaN or infinity.
    """
    x = _rows(x)
    if not np.all(np.isfinite(x)):
        raise ValueError("x holds NaN or infinity; fill missing values first (jaxmlp.data.fill_missing)")
    axis = 0 if per_feature else None
    mean, deviation = x.mean(axis=axis, dtype=np.float64), x.std(axis=axis, dtype=np.float64)
    # A feature of one value has at most the rounding of its mean as deviation.
    deviation = np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)
    return Moments(mean.astype(x.dtype), deviation.astype(x.dtype))


def standardise(x: np.ndarray, moments: Moments) -> np.ndarray:
    """Return (x - mean) / deviation, with the moments of the training part.

    Args:
        x: (n, features).
        moments: of the training part, by moments.

    Returns: (n, features).
    Raises: ValueError where the moments are of another number of features.
    """
    if np.shape(moments.mean) not in ((), np.shape(x)[1:]):
        raise ValueError(f"moments are of {np.shape(moments.mean)} features, x has {np.shape(x)[1:]}")
    return (x - moments.mean) / moments.deviation


def medians(x: np.ndarray) -> np.ndarray:
    """Return the median of each feature over the training examples that have it, for fill_missing.

    Args:
        x: (n, features), the training part alone; NaN where a value is missing.

    Returns: (features,), in the dtype of x.
    Raises: ValueError where a feature has no value at all.
    """
    x = _rows(x)
    empty = np.flatnonzero(np.all(np.isnan(x), axis=0))
    if len(empty):
        raise ValueError(f"no training example has a value for feature {empty.tolist()}; leave it out")
    return np.nanmedian(x, axis=0).astype(x.dtype)


def fill_missing(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return x with every NaN replaced by the value of its feature.

    Args:
        x: (n, features); NaN where a value is missing.
        values: (features,), from the training part, e.g. by medians.

    Returns: (n, features), in the dtype of x.
    Raises: ValueError where values has another length than a row of x.
    """
    x = _rows(x)
    if np.shape(values) != np.shape(x)[1:]:
        raise ValueError(f"values must have one entry per feature, {np.shape(x)[1:]}, got {np.shape(values)}")
    return np.where(np.isnan(x), values, x).astype(x.dtype)


def _rows(x):
    x = np.asarray(x)
    if np.ndim(x) != 2 or len(x) == 0 or not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"x must be floating point (n, features) with n >= 1, got {x.dtype} {np.shape(x)}")
    return x
