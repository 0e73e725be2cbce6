"""Losses of raw network outputs, and penalties on weights; each returns a scalar.

Every loss is a mean over the batch, and over the outputs where each output has a term of its own; with weights of the
examples it is sum(weight * loss of the example) / sum(weight). The losses take logits and stay finite for logits of
+-1e4. Outputs narrower than 32 bits are converted to float32 first.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import as_array, at_least_float32, floating
from jaxmlp._checks import check_choice, check_real, is_function, shown
from jaxmlp.losses.targets import check_classes, check_probabilities, check_weight

__docformat__ = "google"
__all__ = [
    "LOSSES",
    "binary_cross_entropy",
    "get",
    "l1",
    "l2",
    "mean_absolute_error",
    "mean_squared_error",
    "softmax_cross_entropy",
    "weighted_mean",
]

Loss = Callable[..., jax.Array]
"""(outputs, targets) -> scalar, or (outputs, targets, weight) -> scalar for weighted examples."""


def get(loss: str | Loss) -> Loss:
    """Return the loss of that name, or the callable itself.

    Args:
        loss: a name in LOSSES, or a function (outputs, targets) -> scalar.

    Returns:
        A function (outputs, targets) -> scalar; those of LOSSES take the examples' weights as a third argument.

    Raises:
        ValueError: the name is unknown.
        TypeError: loss is neither a name nor callable.

    Example:
        >>> import jaxmlp
        >>> jaxmlp.losses.get("mean_squared_error") is jaxmlp.losses.mean_squared_error
        True
    """
    if isinstance(loss, str):
        return LOSSES[check_choice("loss", loss, LOSSES)]
    if not is_function(loss):
        raise TypeError(f"loss must be a name or a function (outputs, targets) -> scalar, got {shown(loss)}")
    return loss


def softmax_cross_entropy(outputs: jax.Array, targets: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Average the negative log likelihood of the targets under softmax(outputs).

        loss = mean over examples of -sum_k targets_k log softmax(outputs)_k

    Args:
        outputs: logits, (..., classes) with at least two classes.
        targets: integer labels (...) in [0, classes), or probabilities (..., classes), e.g. one-hot.
        weight: of each example, (n,), >= 0.

    Returns:
        The loss in nats per example, >= 0. Inside jit, where values cannot be checked, a label out of range gives NaN.

    Raises:
        ValueError: the shapes do not match, there is no example, or a label or probability is out of range.
        TypeError: outputs or targets are not real numbers, or are masked.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.losses import softmax_cross_entropy
        >>> logits, labels = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), np.array([0, 1])
        >>> print(f"{softmax_cross_entropy(logits, labels):.4f}")
        0.6691
    """
    outputs = _computable(outputs)
    check_classes(outputs.shape, targets)
    targets = as_array(targets)
    log_probabilities = jax.nn.log_softmax(outputs)
    if targets.ndim == outputs.ndim:
        return -weighted_mean(jnp.sum(targets.astype(outputs.dtype) * log_probabilities, axis=-1), weight)
    hit = jax.nn.one_hot(targets, outputs.shape[-1], dtype=bool)  # all False for a label out of range
    picked = jnp.sum(jnp.where(hit, log_probabilities, 0), axis=-1)
    return -weighted_mean(jnp.where(jnp.any(hit, axis=-1), picked, jnp.nan), weight)


def binary_cross_entropy(outputs: jax.Array, targets: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Average the negative log likelihood of yes-or-no targets under sigmoid(outputs).

        loss = mean of -targets log sigmoid(outputs) - (1 - targets) log sigmoid(-outputs)

    Args:
        outputs: logits, (n, outputs) or any other shape.
        targets: probabilities in [0, 1], e.g. labels 0 and 1, shaped like outputs; outputs (n, 1) also take (n,).
        weight: of each example, (n,), >= 0.

    Returns:
        The loss in nats per output, >= 0.

    Raises:
        ValueError: the shapes do not match, there is no example, or a target is outside [0, 1].
        TypeError: outputs or targets are not real numbers, or are masked.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.losses import binary_cross_entropy
        >>> logits, targets = np.array([[2.0], [0.0]]), np.array([1, 0])
        >>> print(f"{binary_cross_entropy(logits, targets):.4f}")
        0.4100
    """
    check_probabilities(targets)
    outputs, targets = _aligned(outputs, targets)
    # Each term is a softplus, so neither tail is a difference of large numbers.
    return weighted_mean(targets * jax.nn.softplus(-outputs) + (1 - targets) * jax.nn.softplus(outputs), weight)


def mean_squared_error(outputs: jax.Array, targets: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Average the squared differences.

        loss = mean of (outputs - targets)^2

    Args:
        outputs: (n, outputs) or any other shape.
        targets: shaped like outputs; outputs (n, 1) also take (n,).
        weight: of each example, (n,), >= 0.

    Returns:
        The loss in squared units of the targets, >= 0.

    Raises:
        ValueError: the shapes do not match, or there is no example.
        TypeError: outputs or targets are not real numbers, or are masked.

    Differs from:
        course notes with a factor 1/2, which halves the gradient.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.losses import mean_squared_error
        >>> print(mean_squared_error(np.array([[1.0], [3.0]]), np.array([1.0, 1.0])))
        2.0
    """
    outputs, targets = _aligned(outputs, targets)
    return weighted_mean((outputs - targets) ** 2, weight)


def mean_absolute_error(outputs: jax.Array, targets: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Average the absolute differences; the derivative is 0 where a difference is 0.

        loss = mean of |outputs - targets|

    Args:
        outputs: (n, outputs) or any other shape.
        targets: shaped like outputs; outputs (n, 1) also take (n,).
        weight: of each example, (n,), >= 0.

    Returns:
        The loss in units of the targets, >= 0.

    Raises:
        ValueError: the shapes do not match, or there is no example.
        TypeError: outputs or targets are not real numbers, or are masked.

    Example:
        >>> import numpy as np
        >>> from jaxmlp.losses import mean_absolute_error
        >>> print(mean_absolute_error(np.array([[1.0], [3.0]]), np.array([1.0, 1.0])))
        1.0
    """
    outputs, targets = _aligned(outputs, targets)
    return weighted_mean(_absolute(outputs - targets), weight)


def weighted_mean(values: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Average over examples by their weights, and evenly over all other axes.

        mean = sum(weight * mean of the example) / sum(weight), and 0 if all weights are 0

    Args:
        values: (n, ...).
        weight: of each example, (n,), >= 0; None weighs all alike.

    Returns:
        Scalar.

    Raises:
        ValueError: the shapes do not match, or a weight is negative.
        TypeError: values or weights are not real numbers.

    Example:
        >>> import numpy as np
        >>> import jaxmlp
        >>> print(jaxmlp.losses.weighted_mean(np.array([1.0, 5.0]), np.array([3.0, 1.0])))
        2.0
    """
    check_real("values", values)
    values = as_array(values)
    if not values.size:
        raise ValueError(f"values must be of at least one example, got shape {values.shape}")
    if weight is None:
        return jnp.mean(values)
    if not values.ndim:
        raise ValueError("weight needs examples (n, ...), got a scalar; leave weight out")
    check_weight(weight, len(values))
    if not jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(float)  # weights are fractions
    weight = jnp.asarray(weight, values.dtype)
    by_example = jnp.mean(values.reshape(values.shape[0], -1), axis=1)
    total = jnp.sum(weight)
    return jnp.sum(weight * by_example) / jnp.where(total == 0, 1, total)


def l1(params: Any) -> jax.Array:
    """Sum the absolute values of all weights, sum |w|; the derivative at 0 is 0.

    Args:
        params: a pytree; its weights are the leaves with two axes or more. Biases (one axis) are left out.

    Returns:
        The penalty, >= 0.

    Raises:
        ValueError: params has no weights.

    Example:
        >>> import numpy as np
        >>> import jaxmlp
        >>> print(jaxmlp.losses.l1({"w": np.array([[3.0, -4.0]]), "b": np.array([5.0])}))
        7.0
    """
    return functools.reduce(operator.add, [jnp.sum(_absolute(w)) for w in _weights(params)])


def l2(params: Any) -> jax.Array:
    """Sum the squares of all weights, sum w^2.

    Args:
        params: a pytree; its weights are the leaves with two axes or more. Biases (one axis) are left out.

    Returns:
        The penalty, >= 0.

    Raises:
        ValueError: params has no weights.

    Differs from:
        libraries whose "weight decay" is sum w^2 / 2, with gradient w rather than 2 w.

    Example:
        >>> import numpy as np
        >>> import jaxmlp
        >>> print(jaxmlp.losses.l2({"w": np.array([[3.0, -4.0]]), "b": np.array([5.0])}))
        25.0
    """
    return functools.reduce(operator.add, [jnp.sum(w**2) for w in _weights(params)])


LOSSES: dict[str, Loss] = {
    function.__name__: function
    for function in (softmax_cross_entropy, binary_cross_entropy, mean_squared_error, mean_absolute_error)
}
"""The losses by name, as objective takes them."""


def _aligned(outputs, targets):
    """Return outputs and targets in one shape and dtype; (n,) matches (n, 1), nothing else is broadcast."""
    check_real("targets", targets)
    outputs = _computable(outputs)
    targets = targets if isinstance(targets, jax.Array) else np.asarray(targets)
    if outputs.ndim >= 1 and outputs.shape[-1] == 1 and targets.shape == outputs.shape[:-1]:
        targets = targets[..., None]
    if targets.shape != outputs.shape:
        raise ValueError(
            f"outputs {outputs.shape} and targets {targets.shape} differ in shape; give targets shaped like the outputs"
        )
    return outputs, floating(targets, outputs.dtype)


def _computable(outputs):
    """Return outputs as float32 or wider: a mean over many examples needs more digits than half precision has."""
    check_real("outputs", outputs)
    outputs = floating(outputs)
    if not outputs.size:
        raise ValueError(f"outputs of shape {outputs.shape} have no entry to average over; give at least one example")
    return outputs.astype(at_least_float32(outputs.dtype))


def _absolute(x):
    # In JAX the derivative of jnp.abs at 0 is 1; that of the product with the sign is 0.
    return x * jnp.sign(x)


def _weights(params):
    leaves = jax.tree.leaves(params)
    for leaf in leaves:
        check_real("params", leaf)
    weights = [leaf for leaf in leaves if np.ndim(leaf) >= 2]
    if any(jnp.issubdtype(jnp.result_type(leaf), jnp.bool_) for leaf in weights):
        raise TypeError("params must have weights that are numbers, got booleans")
    if not weights:
        raise ValueError("a penalty is over weights, the leaves with two axes or more; give params that have one")
    return weights
