"""What targets must be, checked before anything is compiled."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import is_concrete
from jaxmlp._checks import check_real, shown

__docformat__ = "google"
__all__ = ["check_array", "check_classes", "check_labels", "check_probabilities", "check_weight"]


def check_classes(outputs_shape: tuple[int, ...], targets: Any) -> None:
    """Raise a ValueError unless targets can be labels or class probabilities for outputs of that shape.

    Args:
        outputs_shape: the shape of the logits, (..., classes).
        targets: as softmax_cross_entropy takes them. Traced targets are checked by shape and dtype alone.

    Raises:
        ValueError: the shapes do not match, or a label or probability is out of range.
        TypeError: outputs_shape is no shape, or targets are not real numbers.

    Example:
        >>> check_classes((2, 3), [0, 3])
        Traceback (most recent call last):
            ...
        ValueError: labels must be in [0, 3), one per output; got 0 to 3
    """
    if not isinstance(outputs_shape, tuple) or not all(isinstance(axis, int) for axis in outputs_shape):
        raise TypeError(f"outputs_shape must be a tuple of integers, got {shown(outputs_shape)}")
    check_real("targets", targets)
    targets = targets if hasattr(targets, "dtype") else np.asarray(targets)
    shape, dtype = np.shape(targets), targets.dtype
    labels = jnp.issubdtype(dtype, jnp.integer) and shape == outputs_shape[:-1]
    if len(outputs_shape) < 1 or outputs_shape[-1] < 2:
        raise ValueError(
            f"softmax_cross_entropy needs outputs (..., classes) of at least two classes, got {outputs_shape}; "
            "for one output use binary_cross_entropy"
        )
    if not labels and shape != outputs_shape:
        raise ValueError(
            f"softmax_cross_entropy of outputs {outputs_shape} takes integer labels {outputs_shape[:-1]} or "
            f"probabilities {outputs_shape}, got targets {shape} of {dtype}"
        )
    if not is_concrete(targets) or not np.size(targets):
        return
    if not labels:
        _check_probabilities("softmax_cross_entropy", targets)
        totals = np.asarray(targets, float).sum(axis=-1)
        if np.abs(totals - 1).max() > 1e-2:  # wide enough for sums of half-precision probabilities
            raise ValueError(
                f"targets y of softmax_cross_entropy must be probabilities that sum to 1 over the classes; got sums "
                f"from {totals.min():g} to {totals.max():g}"
            )
        return
    low, high = _extremes(targets)
    if low < 0 or high >= outputs_shape[-1]:
        raise ValueError(f"labels must be in [0, {outputs_shape[-1]}), one per output; got {low:g} to {high:g}")


def check_probabilities(targets: Any) -> None:
    """Raise a ValueError unless all targets are in [0, 1]; traced targets pass.

    Args:
        targets: as binary_cross_entropy takes them.

    Raises:
        ValueError: a target is outside [0, 1] or NaN.

    Example:
        >>> check_probabilities([0.0, 1.5])
        Traceback (most recent call last):
            ...
        ValueError: binary_cross_entropy takes targets in [0, 1]; got 0 to 1.5
    """
    check_real("targets", targets)
    if is_concrete(targets) and np.size(targets):
        _check_probabilities("binary_cross_entropy", targets)


def check_labels(outputs_shape: tuple[int, ...], y: Any) -> None:
    """Raise a ValueError unless y can be labels, one-hot rows or class probabilities for outputs of that shape.

    Args:
        outputs_shape: (..., classes).
        y: the targets. Where they are traced, their shape alone is checked.

    Raises:
        ValueError: the shapes do not match, or the targets are numbers or several answers each.
        TypeError: outputs_shape is no shape, or y is not an array of real numbers.

    Example:
        >>> import numpy as np
        >>> check_labels((2, 3), np.array([0, 2]))
    """
    if not isinstance(outputs_shape, tuple) or not all(isinstance(axis, int) for axis in outputs_shape):
        raise TypeError(f"outputs_shape must be a tuple of integers, got {shown(outputs_shape)}")
    check_array("accuracy", y)
    shape = np.shape(y)
    if shape not in (outputs_shape, outputs_shape[:-1]):
        raise ValueError(
            f"accuracy of outputs {outputs_shape} takes labels {outputs_shape[:-1]}, or targets shaped like the "
            f"outputs, got y {shape}"
        )
    if not is_concrete(y):
        return
    host = np.asarray(y).astype(float)
    if shape == outputs_shape and outputs_shape[-1] > 1:
        totals = host.sum(axis=-1)
        if host.min() < 0 or host.max() > 1 or not np.abs(totals - 1).max() <= 1e-2:  # half-precision probabilities
            several = "several yes-or-no answers each: use binary_accuracy or exact_match"
            hint = several if set(np.unique(host)) <= {0, 1} else "numbers: use r2 or mean_squared_error"
            raise ValueError(
                f"accuracy takes labels or one-hot rows, got rows that sum to {totals.min():g} to "
                f"{totals.max():g}; if they are {hint}"
            )
    elif not (host == np.round(host)).all():
        raise ValueError(
            "accuracy takes labels, whole numbers; got fractions. For regression use r2 or mean_squared_error"
        )


def check_array(name: str, y: Any) -> None:
    """Raise a TypeError or ValueError unless y is an array of real numbers that is not empty; name is what takes it.

    Example:
        >>> check_array("accuracy", np.array([0, 1]))
    """
    if not hasattr(y, "shape") and isinstance(y, tuple | dict):
        raise TypeError(
            f"{name} takes an array as y, got {type(y).__name__}; give weights as a third part of the examples: "
            "(x, y, weight)"
        )
    check_real("y", y)
    if not np.size(y):
        raise ValueError(f"{name} needs at least one example, got y of shape {np.shape(y)}")


def check_weight(weight: Any, count: int) -> None:
    """Raise a TypeError or ValueError unless weight is one number >= 0 for each of count examples.

    Example:
        >>> check_weight(np.array([0.5, 2.0]), 2)
    """
    check_real("weight", weight)
    if np.shape(weight) != (count,):
        raise ValueError(f"weight must be one number per example, ({count},); got shape {np.shape(weight)}")
    if is_concrete(weight) and not np.all(np.asarray(weight, float) >= 0):
        raise ValueError(f"weight must be at least 0, got {shown(weight)}")


def _check_probabilities(loss, targets):
    low, high = _extremes(targets)
    if not (low >= 0 and high <= 1):  # written so that NaN fails
        raise ValueError(f"{loss} takes targets in [0, 1]; got {low:g} to {high:g}")


def _extremes(targets):
    # By NumPy, so that known targets are checked even while the program around them is being traced.
    host = np.asarray(targets)
    return float(host.min()), float(host.max())
