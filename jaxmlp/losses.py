"""Losses from raw network outputs, and penalties over weights; each returns a scalar.

The losses are means over the batch (and over the outputs, where each output has its own term), work from logits, and
stay finite for logits of +-1e4. Outputs of less than 32 bits are computed in float32.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import at_least_float32, is_concrete
from jaxmlp._checks import check_choice

Loss = Callable[[jax.Array, jax.Array], jax.Array]


def get(loss: str | Loss) -> Loss:
    """Return the loss of that name, or the callable itself.

    Args:
        loss: a name in LOSSES, or a function (outputs, targets) -> scalar.

    Returns:
        A function (outputs, targets) -> scalar.

    Raises:
        ValueError: the name is unknown.
        TypeError: neither a name nor callable.
    """
    if isinstance(loss, str):
        return LOSSES[check_choice("loss", loss, LOSSES)]
    if not callable(loss):
        raise TypeError(f"loss must be a name or a function (outputs, targets) -> scalar, got {loss!r}")
    return loss


def softmax_cross_entropy(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Average the negative log likelihood of the targets under softmax(outputs).

    loss = mean over examples of -sum_k targets_k log softmax(outputs)_k

    Args:
        outputs: logits, (..., classes) with at least two classes.
        targets: integer labels (...) in [0, classes), or probabilities (..., classes), e.g. one-hot.

    Returns:
        The loss in nats per example, >= 0. A label out of range that is found only under a trace gives NaN.

    Raises:
        ValueError: shapes do not fit, or a label or probability is out of range.
    """
    check_classes(jnp.shape(outputs), targets)
    outputs, targets = _computable(outputs), jnp.asarray(targets)
    log_probabilities = jax.nn.log_softmax(outputs)
    if targets.ndim == outputs.ndim:
        return -jnp.mean(jnp.sum(targets.astype(outputs.dtype) * log_probabilities, axis=-1))
    hit = jax.nn.one_hot(targets, outputs.shape[-1], dtype=bool)  # all False for a label out of range
    picked = jnp.sum(jnp.where(hit, log_probabilities, 0), axis=-1)
    return -jnp.mean(jnp.where(jnp.any(hit, axis=-1), picked, jnp.nan))


def binary_cross_entropy(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Average the negative log likelihood of yes-or-no targets under sigmoid(outputs).

    loss = mean of -targets log sigmoid(outputs) - (1 - targets) log sigmoid(-outputs)

    Args:
        outputs: logits, (n, outputs) or any other shape.
        targets: probabilities in [0, 1], e.g. labels 0 and 1, shaped like outputs; (n,) also fits (n, 1).

    Returns:
        The loss in nats per output, >= 0.

    Raises:
        ValueError: shapes do not fit, or a target lies outside [0, 1].
    """
    check_probabilities(targets)
    outputs, targets = _aligned(outputs, targets)
    # Each term is a softplus, so neither tail is a difference of large numbers.
    return jnp.mean(targets * jax.nn.softplus(-outputs) + (1 - targets) * jax.nn.softplus(outputs))


def mean_squared_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Average the squared differences.

    loss = mean of (outputs - targets)^2

    Args:
        outputs: (n, outputs) or any other shape.
        targets: shaped like outputs; (n,) also fits (n, 1).

    Returns:
        The loss in squared units of the targets, >= 0.

    Raises:
        ValueError: shapes do not fit.

    Differs from: course notes that carry a factor 1/2, which halves the gradient.
    """
    outputs, targets = _aligned(outputs, targets)
    return jnp.mean((outputs - targets) ** 2)


def mean_absolute_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Average the absolute differences; the derivative is 0 where a difference is 0.

    loss = mean of |outputs - targets|

    Args:
        outputs: (n, outputs) or any other shape.
        targets: shaped like outputs; (n,) also fits (n, 1).

    Returns:
        The loss in units of the targets, >= 0.

    Raises:
        ValueError: shapes do not fit.
    """
    outputs, targets = _aligned(outputs, targets)
    return jnp.mean(_absolute(outputs - targets))


def l1(params: Any) -> jax.Array:
    """Add up the sizes of all weights: sum |w|, with derivative 0 at 0.

    Args:
        params: a pytree whose weights are the leaves of two axes or more; biases (one axis) do not count.

    Returns:
        The penalty, >= 0.

    Raises:
        ValueError: params holds no weights.
    """
    return functools.reduce(operator.add, [jnp.sum(_absolute(w)) for w in _weights(params)])


def l2(params: Any) -> jax.Array:
    """Add up the squares of all weights: sum w^2.

    Args:
        params: a pytree whose weights are the leaves of two axes or more; biases (one axis) do not count.

    Returns:
        The penalty, >= 0.

    Raises:
        ValueError: params holds no weights.

    Differs from: libraries that mean sum w^2 / 2 by "weight decay" (its gradient is w, not 2 w).
    """
    return functools.reduce(operator.add, [jnp.sum(w**2) for w in _weights(params)])


LOSSES: dict[str, Loss] = {
    function.__name__: function
    for function in (softmax_cross_entropy, binary_cross_entropy, mean_squared_error, mean_absolute_error)
}


def check_classes(outputs_shape: tuple[int, ...], targets: Any) -> None:
    """Raise a ValueError unless targets can be labels or class probabilities for outputs of that shape."""
    targets = targets if hasattr(targets, "dtype") else np.asarray(targets)
    shape, dtype = jnp.shape(targets), jnp.result_type(targets)
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
                f"softmax_cross_entropy takes probabilities that sum to 1 over the classes; got sums from "
                f"{totals.min():g} to {totals.max():g}"
            )
        return
    low, high = _extremes(targets)
    if low < 0 or high >= outputs_shape[-1]:
        raise ValueError(f"labels must be in [0, {outputs_shape[-1]}), one per output; got {low:g} to {high:g}")


def check_probabilities(targets: Any) -> None:
    """Raise a ValueError if targets of binary_cross_entropy, where their values are known, lie outside [0, 1]."""
    if is_concrete(targets) and np.size(targets):
        _check_probabilities("binary_cross_entropy", targets)


def _check_probabilities(loss, targets):
    low, high = _extremes(targets)
    if not (low >= 0 and high <= 1):  # written so that NaN fails
        raise ValueError(f"{loss} takes targets in [0, 1]; got {low:g} to {high:g}")


def _extremes(targets):
    # By NumPy, so that known targets are looked at also while a program around them is being traced.
    host = np.asarray(targets)
    return float(host.min()), float(host.max())


def _aligned(outputs, targets):
    """Targets in the shape and dtype of outputs: (n,) fits (n, 1), nothing else is broadcast."""
    outputs, targets = _computable(outputs), jnp.asarray(targets)
    if outputs.ndim >= 1 and outputs.shape[-1] == 1 and targets.shape == outputs.shape[:-1]:
        targets = targets[..., None]
    if targets.shape != outputs.shape:
        raise ValueError(
            f"outputs {outputs.shape} and targets {targets.shape} differ in shape; give targets shaped like the outputs"
        )
    return outputs, targets.astype(outputs.dtype)


def _computable(outputs):
    """Outputs as floating point of 32 bits or more: a mean over many examples needs more digits than a half has."""
    outputs = jnp.asarray(outputs)
    if not jnp.issubdtype(outputs.dtype, jnp.floating):
        return outputs.astype(float)
    return outputs.astype(at_least_float32(outputs.dtype))


def _absolute(x):
    # jnp.abs has derivative 1 at 0 in JAX; the product with the sign has 0 there.
    return x * jnp.sign(x)


def _weights(params):
    weights = [leaf for leaf in jax.tree.leaves(params) if jnp.ndim(leaf) >= 2]
    if not weights:
        raise ValueError("a penalty is over weights, the leaves of two axes or more; params has none")
    return weights
