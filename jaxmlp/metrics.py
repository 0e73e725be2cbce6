"""What is measured of a trained network: each function builds a metric for fit, fn(params, x, y, weight=None).

| targets | metrics |
|---|---|
| classes: labels or one-hot rows | `accuracy` |
| yes or no, one answer or several per example | `binary_accuracy`, `exact_match` |
| numbers | `r2`, `mean_squared_error` |

With weights of the examples every mean is sum(weight * value) / sum(weight), as in scikit-learn's metrics.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp import losses
from jaxmlp._arrays import as_array, at_least_float32, is_concrete
from jaxmlp._checks import shown
from jaxmlp.losses.targets import check_array, check_labels, check_weight

__docformat__ = "google"
__all__ = [
    "R2",
    "Accuracy",
    "BinaryAccuracy",
    "ExactMatch",
    "MeanSquaredError",
    "accuracy",
    "binary_accuracy",
    "exact_match",
    "mean_squared_error",
    "r2",
]

Apply = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The function that accuracy returns, (params, x, y) -> scalar. Equal settings compare and hash alike."""

    apply: Apply
    """The network, (params, x) -> outputs."""

    def __call__(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        """Return the fraction of correct predictions."""
        return _share(self.right(params, x, y), weight)

    def right(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return whether the prediction of each example is correct, (n,) booleans."""
        outputs = self.apply(params, x)
        check_labels(outputs.shape, y)
        labels = as_array(y)
        one_output = outputs.shape[-1] == 1
        if labels.shape == outputs.shape:
            labels = labels[..., 0] if one_output else jnp.argmax(labels, axis=-1)
        predicted = outputs[..., 0] > 0 if one_output else jnp.argmax(outputs, axis=-1)
        # As float32, which holds every class number: a label of 1.7 or of class 2 of 2 is never right.
        right = predicted.astype(jnp.float32) == labels.astype(jnp.float32)
        return right & ~jnp.any(jnp.isnan(outputs), axis=-1)

    def check(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> None:
        """Raise a ValueError if y cannot be labels for this network."""
        check_labels(jax.eval_shape(self.apply, params, x).shape, y)


def accuracy(apply: Apply) -> Accuracy:
    """Build the function that measures the fraction of correct predictions.

    The prediction is the class of the largest output, ties going to the first. With a single output it is 1 for a
    positive logit and 0 otherwise. NaN counts as wrong.

    Args:
        apply: (params, x) -> outputs, e.g. net.apply.

    Returns:
        fn(params, x, y, weight=None) -> float32 scalar in [0, 1], a metric for fit; y holds labels (n,), or one-hot
        rows or class probabilities shaped like the outputs. Other targets are a ValueError, where they are not traced:
        for several yes-or-no answers there are binary_accuracy and exact_match, for numbers r2 and mean_squared_error.
        Equal arguments give equal, hashable functions.

    Raises:
        TypeError: apply is not callable.

    Example:
        >>> import numpy as np
        >>> import jaxmlp
        >>> accuracy = jaxmlp.accuracy(lambda params, x: x @ params)
        >>> x, labels = np.array([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), np.array([0, 1, 1])
        >>> print(f"{accuracy(np.eye(2), x, labels):.4f}")
        0.6667
    """
    return Accuracy(_checked(apply))


@dataclasses.dataclass(frozen=True)
class BinaryAccuracy:
    """The function that binary_accuracy returns, (params, x, y) -> scalar. Equal settings compare and hash alike."""

    apply: Apply
    """The network, (params, x) -> outputs."""

    def __call__(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        """Return the fraction of right answers."""
        return _share(_right_answers("binary_accuracy", self.apply(params, x), y), weight)

    def check(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> None:
        """Raise a ValueError if y cannot be answers of this network."""
        _check_answers("binary_accuracy", jax.eval_shape(self.apply, params, x).shape, y)


def binary_accuracy(apply: Apply) -> BinaryAccuracy:
    """Build the function that measures the fraction of right yes-or-no answers, over examples and outputs.

    An output says yes if its logit is positive. NaN counts as wrong.

    Args:
        apply: (params, x) -> outputs, e.g. net.apply of a network trained by binary_cross_entropy.

    Returns:
        fn(params, x, y, weight=None) -> float32 scalar in [0, 1], a metric for fit; y holds 0 and 1 and is shaped like
        the outputs, or (n,) for outputs (n, 1).

    Raises:
        TypeError: apply is not callable.

    Example:
        >>> import numpy as np
        >>> import jaxmlp
        >>> logits = np.array([[9.0, -9.0, -9.0, 9.0], [9.0, 9.0, -9.0, -9.0]])
        >>> y = np.array([[1, 1, 1, 0], [1, 0, 1, 1]])
        >>> print(jaxmlp.binary_accuracy(lambda params, x: x)(None, logits, y))
        0.25
    """
    return BinaryAccuracy(_checked(apply))


@dataclasses.dataclass(frozen=True)
class ExactMatch:
    """The function that exact_match returns, (params, x, y) -> scalar. Equal settings compare and hash alike."""

    apply: Apply
    """The network, (params, x) -> outputs."""

    def __call__(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        """Return the fraction of examples whose answers are all right."""
        right = _right_answers("exact_match", self.apply(params, x), y)
        return _share(jnp.all(right, axis=-1), weight)

    def check(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> None:
        """Raise a ValueError if y cannot be answers of this network."""
        _check_answers("exact_match", jax.eval_shape(self.apply, params, x).shape, y)


def exact_match(apply: Apply) -> ExactMatch:
    """Build the function that measures the fraction of examples whose yes-or-no answers are all right.

    Args:
        apply: (params, x) -> outputs, e.g. net.apply of a network trained by binary_cross_entropy.

    Returns:
        fn(params, x, y, weight=None) -> float32 scalar in [0, 1], a metric for fit; y as for binary_accuracy.

    Raises:
        TypeError: apply is not callable.

    Example:
        >>> import numpy as np
        >>> import jaxmlp
        >>> logits, y = np.array([[9.0, -9.0], [9.0, 9.0]]), np.array([[1, 0], [1, 0]])
        >>> print(jaxmlp.exact_match(lambda params, x: x)(None, logits, y))
        0.5
    """
    return ExactMatch(_checked(apply))


@dataclasses.dataclass(frozen=True)
class R2:
    """The function that r2 returns, (params, x, y) -> scalar. Equal settings compare and hash alike."""

    apply: Apply
    """The network, (params, x) -> outputs."""

    def __call__(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        """Return the share of the targets' variance that the outputs explain."""
        outputs, targets = _numbers("r2", self.apply(params, x), y)
        outputs, targets = (a.reshape(a.shape[0], -1) for a in (outputs, targets))
        if weight is not None:
            check_weight(weight, len(outputs))
        weight = jnp.ones(len(outputs), outputs.dtype) if weight is None else jnp.asarray(weight, outputs.dtype)
        column = jnp.broadcast_to(weight[:, None], outputs.shape)
        mean = jnp.sum(column * targets, axis=0, keepdims=True) / jnp.sum(weight)
        unexplained = jnp.sum(column * (targets - outputs) ** 2, axis=0)
        variance = jnp.sum(column * (targets - jnp.broadcast_to(mean, targets.shape)) ** 2, axis=0)
        constant = variance == 0
        explained = 1 - unexplained / jnp.where(constant, 1, variance)
        return jnp.mean(jnp.where(constant, jnp.where(unexplained == 0, 1.0, 0.0).astype(outputs.dtype), explained))


def r2(apply: Apply) -> R2:
    """Build the function that measures the coefficient of determination.

        r2 = mean over outputs of 1 - sum (y - output)^2 / sum (y - mean of y)^2

    Args:
        apply: (params, x) -> outputs, e.g. net.apply.

    Returns:
        fn(params, x, y, weight=None) -> scalar, at most 1, a metric for fit; y is shaped like the outputs, or (n,) for
        outputs (n, 1). An output whose targets are all equal counts as 1 if it is right throughout, and as 0 otherwise.

    Raises:
        TypeError: apply is not callable.

    Example:
        >>> import numpy as np
        >>> import jaxmlp
        >>> outputs, y = np.array([[2.5], [0.0], [2.0], [8.0]]), np.array([3.0, -0.5, 2.0, 7.0])
        >>> print(f"{jaxmlp.r2(lambda params, x: x)(None, outputs, y):.4f}")
        0.9486
    """
    return R2(_checked(apply))


@dataclasses.dataclass(frozen=True)
class MeanSquaredError:
    """The function that mean_squared_error returns, (params, x, y) -> scalar. Equal settings compare and hash alike."""

    apply: Apply
    """The network, (params, x) -> outputs."""

    def __call__(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> jax.Array:
        """Return the mean of (outputs - y)^2."""
        return losses.mean_squared_error(*_numbers("mean_squared_error", self.apply(params, x), y), weight)


def mean_squared_error(apply: Apply) -> MeanSquaredError:
    """Build the function that measures the mean of (outputs - y)^2, without the penalties of an objective.

    Args:
        apply: (params, x) -> outputs, e.g. net.apply.

    Returns:
        fn(params, x, y, weight=None) -> scalar, a metric for fit; y as for r2.

    Raises:
        TypeError: apply is not callable.

    Example:
        >>> import numpy as np
        >>> import jaxmlp
        >>> outputs, y = np.array([[1.0], [3.0]]), np.array([1.0, 1.0])
        >>> print(jaxmlp.mean_squared_error(lambda params, x: x)(None, outputs, y))
        2.0
    """
    return MeanSquaredError(_checked(apply))


def _right_answers(name, outputs, y):
    _check_answers(name, outputs.shape, y)
    answers = as_array(y).reshape(outputs.shape)
    return ((outputs > 0).astype(jnp.float32) == answers.astype(jnp.float32)) & ~jnp.isnan(outputs)


def _numbers(name, outputs, y):
    """Return outputs and targets in one shape, as float32 or wider."""
    outputs = jnp.asarray(outputs)
    _check_shape(name, outputs.shape, y)
    outputs = outputs.astype(at_least_float32(outputs.dtype))
    return outputs, jnp.asarray(y, outputs.dtype).reshape(outputs.shape)


def _check_answers(name, outputs_shape, y):
    _check_shape(name, outputs_shape, y)
    if is_concrete(y) and not set(np.unique(np.asarray(y).astype(float))) <= {0, 1}:
        raise ValueError(f"{name} takes targets 0 and 1; for classes use accuracy, for numbers r2")


def _check_shape(name, outputs_shape, y):
    check_array(name, y)
    if np.shape(y) != outputs_shape and not (outputs_shape[-1:] == (1,) and np.shape(y) == outputs_shape[:-1]):
        raise ValueError(f"{name} of outputs {outputs_shape} takes targets of that shape, got y {np.shape(y)}")


def _share(right, weight):
    """Return the share of True, by the weights of the examples."""
    if weight is not None:
        return losses.weighted_mean(right.astype(jnp.float32), weight)
    # The barrier keeps XLA from multiplying by a rounded 1 / n: 9667 of 10,000 gives the float nearest to 0.9667.
    return jnp.sum(right).astype(jnp.float32) / jax.lax.optimization_barrier(jnp.float32(right.size))


def _checked(apply: Apply) -> Apply:
    if not callable(apply):
        raise TypeError(f"apply must be a function (params, x) -> outputs, got {shown(apply)}")
    return apply
