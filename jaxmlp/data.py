"""Data sets as NumPy arrays, and their preparation: splits, standardisation and missing values.

What standardisation and missing values need is measured on the training part alone and then applied to all parts.
"""

from typing import NamedTuple

import numpy as np

from jaxmlp._checks import LARGEST, LARGEST_SEED, check_count, check_real, host_array, shown

__docformat__ = "google"
__all__ = ["Dataset", "Moments", "fill_missing", "medians", "moments", "split", "standardise"]

Examples = tuple[np.ndarray, np.ndarray]


class Dataset(NamedTuple):
    """A named data set of NumPy arrays: x is float32 (n, features), y is (n,).

    Example:
        >>> import jaxmlp
        >>> xor = jaxmlp.datasets.load("xor")
        >>> print(xor.name, xor.train[0].shape, xor.train[1], xor.class_names)
        xor (4, 2) [0 1 1 0] ('false', 'true')
    """

    name: str
    """The name by which jaxmlp.datasets.load knows it."""
    train: Examples
    """(x, y), for training and for every choice."""
    test: Examples
    """(x, y), for the final evaluation."""
    image_shape: tuple[int, int] | None
    """(height, width) of a row of x; None where x is not an image."""
    class_names: tuple[str, ...]
    """The names of the labels 0, 1, ...; empty for regression."""


class Moments(NamedTuple):
    """Mean and standard deviation of the training part, for standardise."""

    mean: np.ndarray
    """(features,), or () for all features together."""
    deviation: np.ndarray
    """Like mean, > 0."""


def split(x: np.ndarray, y: np.ndarray, *, count: int, seed: int) -> tuple[Examples, Examples]:
    """Hold out count examples, chosen at random.

    Args:
        x: (n, ...).
        y: (n, ...).
        count: number of examples to hold out, in [1, n).
        seed: of the random choice; the same seed holds out the same examples.

    Returns:
        (kept, held out), each a pair (x, y) in the original order.

    Raises:
        ValueError: x and y differ in length, or count or seed is out of its range.
        TypeError: x or y is no NumPy array or is masked, or count or seed is not an integer.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.data import split
        >>> kept, held_out = split(np.ones((5, 2)), np.arange(5), count=2, seed=0)
        >>> print(kept[0].shape, held_out[0].shape)
        (3, 2) (2, 2)
    """
    for name, value in (("x", x), ("y", y)):
        _check_plain(name, value)
        if not isinstance(value, np.ndarray) or not value.ndim:
            raise TypeError(f"{name} must be a NumPy array (n, ...), got {shown(value)}; convert it by numpy.asarray")
    if len(x) != len(y):
        raise ValueError(f"x and y must have the same length, got {len(x)} and {len(y)}")
    count = check_count("count", count, least=-LARGEST)
    seed = check_count("seed", seed, least=0, most=LARGEST_SEED)
    if not 1 <= count < len(x):
        raise ValueError(f"count must be in [1, {len(x)}), got {count}")
    held_out = np.zeros(len(x), bool)
    held_out[np.random.default_rng(seed).choice(len(x), count, replace=False)] = True
    return (x[~held_out], y[~held_out]), (x[held_out], y[held_out])


def moments(x: np.ndarray, *, per_feature: bool = True) -> Moments:
    """Measure mean and standard deviation of the training part, for standardise.

        mean = 1/n sum_i x_i
        deviation = sqrt(1/n sum_i (x_i - mean)^2)

    Args:
        x: (n, features), of the training part alone, so that nothing leaks from the held-out parts.
        per_feature: True for one mean and deviation per feature; False for one over all entries, usual for images.

    Returns:
        Moments in the dtype of x, summed in float64. A constant feature gets deviation 1.

    Raises:
        ValueError: x has no examples, or contains NaN or infinity.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.data import moments
        >>> mean, deviation = moments(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> print(mean, deviation)
        [2. 5.] [1. 1.]
    """
    x = _rows(x)
    if not isinstance(per_feature, bool):
        raise TypeError(f"per_feature must be True or False, got {shown(per_feature)}")
    if not np.all(np.isfinite(x)):
        raise ValueError("x contains NaN or infinity; fill missing values first (jaxmlp.data.fill_missing)")
    axis = 0 if per_feature else None
    mean, deviation = x.mean(axis=axis, dtype=np.float64), x.std(axis=axis, dtype=np.float64)
    # The deviation of a constant feature is at most the rounding error of its mean.
    deviation = np.where(deviation > 1e-12 * np.abs(mean), deviation, 1.0)
    return Moments(mean.astype(x.dtype), deviation.astype(x.dtype))


def standardise(x: np.ndarray, moments: Moments) -> np.ndarray:
    """Return (x - mean) / deviation.

    Args:
        x: (n, features).
        moments: of the training part, as the function moments returns them.

    Returns:
        (n, features).

    Raises:
        ValueError: x and moments differ in the number of features.
        TypeError: x is no array of real numbers or is masked, or moments are no Moments.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.data import moments, standardise
        >>> train, test = np.array([[1.0], [3.0]]), np.array([[4.0]])
        >>> print(standardise(test, moments(train)))
        [[2.]]
    """
    x = host_array("x", x)
    for name in ("mean", "deviation"):
        check_real(f"moments.{name}", getattr(moments, name, None))
    if np.shape(moments.mean) not in ((), np.shape(x)[1:]):
        raise ValueError(
            f"moments have shape {np.shape(moments.mean)}, but a row of x has {np.shape(x)[1:]}; give those of the "
            "same features"
        )
    return (x - moments.mean) / moments.deviation


def medians(x: np.ndarray) -> np.ndarray:
    """Return the median of each feature, missing values left out, for fill_missing.

    Args:
        x: (n, features), of the training part alone; NaN where a value is missing.

    Returns:
        (features,), in the dtype of x.

    Raises:
        ValueError: a feature has no value at all.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.data import medians
        >>> print(medians(np.array([[1.0, np.nan], [2.0, 5.0], [6.0, 7.0]])))
        [2. 6.]
    """
    x = _rows(x)
    empty = np.flatnonzero(np.all(np.isnan(x), axis=0))
    if len(empty):
        raise ValueError(f"no training example in x has a value for feature {empty.tolist()}; leave it out")
    return np.nanmedian(x, axis=0).astype(x.dtype)


def fill_missing(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return x with every NaN replaced by the value of its feature.

    Args:
        x: (n, features); NaN where a value is missing.
        values: (features,), measured on the training part, e.g. by medians.

    Returns:
        (n, features), in the dtype of x.

    Raises:
        ValueError: values does not have one entry per feature.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.data import fill_missing
        >>> print(fill_missing(np.array([[1.0, np.nan]]), np.array([2.0, 6.0])))
        [[1. 6.]]
    """
    x, values = _rows(x), host_array("values", values)
    if np.shape(values) != np.shape(x)[1:]:
        raise ValueError(f"values must have one entry per feature, {np.shape(x)[1:]}, got {np.shape(values)}")
    return np.where(np.isnan(x), values, x).astype(x.dtype)


def _check_plain(name, value):
    """Raise a TypeError for a masked array: NumPy would drop the mask here and there."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; give {name}.filled(numpy.nan), whose NaN fill_missing replaces")


def _rows(x):
    _check_plain("x", x)
    x = host_array("x", x)
    if np.ndim(x) != 2 or len(x) == 0 or not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"x must be floating point (n, features) with n >= 1, got {x.dtype} {np.shape(x)}")
    return x
