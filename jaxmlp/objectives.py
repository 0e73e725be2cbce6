"""From a network's apply to what training needs: one pure loss function, and what is measured on the way."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxmlp import losses
from jaxmlp._arrays import at_least_float32, none_if_zero
from jaxmlp._checks import one_number

Apply = Callable[..., jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Objective:
    """loss(apply(params, x, key=key), y) + l1 sum |w| + l2 sum w^2, as a function (params, x, y, *, key=None).

    Equal settings compare and hash alike. As a pytree its leaves are the strengths of the penalties, so that fit passes
    them to the compiled program as numbers.
    """

    apply: Apply = dataclasses.field(metadata={"static": True})
    loss: str | losses.Loss = dataclasses.field(metadata={"static": True})
    l1: Any = None  # strength, None for no such term in the program
    l2: Any = None

    def __call__(self, params: Any, x: jax.Array, y: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
        # An apply without randomness need not take a key.
        given = {} if key is None or not takes_key(self.apply) else {"key": key}
        outputs = self.apply(params, x, **given)
        value = losses.get(self.loss)(outputs, y)
        for strength, penalty in ((self.l1, losses.l1), (self.l2, losses.l2)):
            if strength is not None:
                value = value + jnp.asarray(strength, value.dtype) * penalty(params).astype(value.dtype)
        return value

    def check(self, params: Any, x: jax.Array, y: jax.Array) -> None:
        """Raise a ValueError if the values of x and y cannot be examples for this network and loss."""
        outputs = jax.eval_shape(self.apply, params, x)
        loss = losses.get(self.loss)
        if loss is losses.softmax_cross_entropy:
            losses.check_classes(outputs.shape, y)
        if loss is losses.binary_cross_entropy:
            losses.check_probabilities(y)


def objective(
    apply: Apply, loss: str | losses.Loss = "softmax_cross_entropy", *, l1: Any = 0.0, l2: Any = 0.0
) -> Objective:
    """Join a network, a loss and penalties to one pure function.

    loss_fn(params, x, y) = loss(apply(params, x), y) + l1 * sum |w| + l2 * sum w^2

    Args:
        apply: (params, x, *, key=None) -> outputs, e.g. net.apply.
        loss: a name in jaxmlp.losses, or a function (outputs, targets) -> scalar.
        l1: strength of the L1 penalty, >= 0; a number or a traced array.
        l2: strength of the L2 penalty, >= 0; a number or a traced array.

    Returns:
        loss_fn(params, x, y, *, key=None) -> scalar. Equal arguments give equal, hashable functions.

    Raises:
        ValueError: the name is unknown or a strength is negative.
        TypeError: apply or loss is not callable.
    """
    if not callable(apply):
        raise TypeError(f"apply must be a function (params, x, *, key=None) -> outputs, got {apply!r}")
    losses.get(loss)
    for name, strength in (("l1", l1), ("l2", l2)):
        one_number(name, strength, 0)
    return Objective(apply, loss, none_if_zero(l1), none_if_zero(l2))


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The share of right answers of apply, as a function (params, x, y)."""

    apply: Apply

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        outputs, labels = self.apply(params, x), jnp.asarray(y)
        one_output = outputs.shape[-1] == 1
        if labels.shape == outputs.shape:
            labels = labels[..., 0] if one_output else jnp.argmax(labels, axis=-1)
        if labels.shape != outputs.shape[:-1]:
            raise ValueError(
                f"accuracy of outputs {outputs.shape} takes labels {outputs.shape[:-1]}, or targets shaped like the "
                f"outputs, got y {jnp.shape(y)}"
            )
        predicted = outputs[..., 0] > 0 if one_output else jnp.argmax(outputs, axis=-1)
        # As float32, which holds every class number: a label of 1.7 or of class 2 of 2 is never right.
        right = predicted.astype(jnp.float32) == labels.astype(jnp.float32)
        right = jnp.sum(right & ~jnp.any(jnp.isnan(outputs), axis=-1)).astype(jnp.float32)
        # The barrier keeps XLA from multiplying by a rounded 1 / n: 9667 of 10,000 is the float nearest 0.9667.
        return right / jax.lax.optimization_barrier(jnp.float32(labels.size))


def accuracy(apply: Apply) -> Accuracy:
    """Build the function that measures the share of examples that apply gets right.

    The answer is the largest output; with one output, yes where the logit is > 0. On a tie the first class counts;
    an answer that is not a number is wrong.

    Args:
        apply: (params, x) -> outputs, e.g. net.apply.

    Returns:
        fn(params, x, y) -> float32 scalar in [0, 1]; y holds labels (n,), or one-hot rows shaped like the outputs.
        Equal arguments give equal, hashable functions.

    Raises:
        TypeError: apply is not callable.
    """
    if not callable(apply):
        raise TypeError(f"apply must be a function (params, x) -> outputs, got {apply!r}")
    return Accuracy(apply)


@dataclasses.dataclass(frozen=True)
class DeadUnits:
    """The share of dead units in each hidden layer of apply, as a function (params, x, y)."""

    apply: Apply

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        _, hidden = self.apply(params, x, with_hidden=True)
        if not hidden:
            raise ValueError("dead_units measures hidden layers, and this network has none")
        flat = [h.reshape(-1, h.shape[-1]) for h in hidden]
        return jnp.stack([jnp.mean((h == h[:1]).all(axis=0).astype(jnp.float32)) for h in flat])


def dead_units(apply: Apply) -> DeadUnits:
    """Build the function that measures which share of each hidden layer is dead.

    A unit is dead if it gives bit for bit the same value for every example, as a ReLU does that is 0 on all of them. No
    gradient of any example passes through such a ReLU, so it does not come back. Of a single example every unit is.

    Args:
        apply: net.apply of a network with a hidden layer, or a function (params, x, *, with_hidden) like it.

    Returns:
        fn(params, x, y) -> float32 (hidden layers,) in [0, 1], a metric for fit; y is not looked at. Equal arguments
        give equal, hashable functions.

    Raises:
        TypeError: apply is not callable or does not give its hidden activations.
        ValueError: the network has no hidden layer; raised when it is measured.
    """
    if not callable(apply) or not _takes(apply, "with_hidden"):
        raise TypeError(
            f"apply must take with_hidden=True and return (outputs, hidden), as net.apply does; got {apply!r}"
        )
    return DeadUnits(apply)


def largest_weights(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Measure max |w| of each layer, a metric for fit.

    Args:
        params: of an mlp. x, y: not looked at.

    Returns: (layers,).
    """
    return jnp.stack([jnp.max(jnp.abs(layer.w)) for layer in params])


def gradient_norms(step: Any) -> jax.Array:
    """Measure the Euclidean norm of each layer's gradient, sqrt(sum of g^2 over w and b), a step metric for fit.

    Args:
        step: a Step; its grads those of an mlp, or any sequence of layers.

    Returns: (layers,), in float32 at least.
    Raises: TypeError where the gradients are no sequence of layers.
    """
    if not isinstance(step.grads, Sequence):
        kind = type(step.grads).__name__
        raise TypeError(
            f"gradient_norms takes gradients in a sequence of layers, got {kind}; write your own step metric"
        )
    layers = [[jnp.asarray(g, at_least_float32(g.dtype)) for g in jax.tree.leaves(one)] for one in step.grads]
    return jnp.stack([jnp.sqrt(sum(jnp.sum(g**2) for g in layer)) for layer in layers])


def takes_key(function: Callable[..., Any]) -> bool:
    """Tell whether function can be called with key=...; True where Python cannot say."""
    return _takes(function, "key")


def _takes(function, name):
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
