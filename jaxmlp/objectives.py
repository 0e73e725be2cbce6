"""From a network's `apply` to what training needs: one pure loss function, and functions that measure a run."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp import losses
from jaxmlp._arrays import as_array, at_least_float32, none_if_zero
from jaxmlp._checks import one_number, shown, takes
from jaxmlp.losses.targets import check_classes, check_probabilities, check_weight
from jaxmlp.metrics import Accuracy, accuracy

__docformat__ = "google"
__all__ = [
    "Accuracy",
    "DeadUnits",
    "Objective",
    "accuracy",
    "dead_units",
    "gradient_norms",
    "largest_weights",
    "objective",
]

Apply = Callable[..., jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Objective:
    """The function that objective returns, (params, x, y, *, key=None) -> scalar.

    Equal settings compare and hash alike. As a pytree its leaves are the strengths of the penalties, so that fit passes
    them to the compiled program as numbers.
    """

    apply: Apply = dataclasses.field(metadata={"static": True})
    """The network, (params, x, *, key=None) -> outputs."""
    loss: str | losses.Loss = dataclasses.field(metadata={"static": True})
    """A name in jaxmlp.losses.LOSSES, or a function (outputs, targets) -> scalar."""
    l1: Any = None
    """Strength of the L1 penalty; None leaves the term out of the program."""
    l2: Any = None
    """Strength of the L2 penalty; None leaves the term out of the program."""
    class_weight: tuple[Any, ...] | None = None
    """Weight of the examples of each class; None weighs all classes alike."""

    def __call__(
        self,
        params: Any,
        x: jax.Array,
        y: jax.Array,
        weight: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Return loss(apply(params, x, key=key), y, weight) + l1 * sum |w| + l2 * sum w^2."""
        # An apply without randomness need not take a key.
        given = {} if key is None or not takes(self.apply, "key") else {"key": key}
        outputs = self.apply(params, x, **given)
        weight = self._weights(outputs, y, weight)
        value = losses.get(self.loss)(outputs, y, *(() if weight is None else (weight,)))
        for strength, penalty in ((self.l1, losses.l1), (self.l2, losses.l2)):
            if strength is not None:
                value = value + jnp.asarray(strength, value.dtype) * penalty(params).astype(value.dtype)
        return value

    def weights(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> jax.Array | None:
        """Return the weight of each example, (n,), times that of its class; None if all count alike."""
        return self._weights(jax.eval_shape(self.apply, params, x), y, weight)

    def _weights(self, outputs, y, weight):
        return weight if self.class_weight is None else _by_class(self.class_weight, outputs, y, weight)

    def check(self, params: Any, x: jax.Array, y: jax.Array, weight: jax.Array | None = None) -> None:
        """Raise a ValueError if x and y cannot be examples for this network and loss."""
        outputs = jax.eval_shape(self.apply, params, x)
        loss = losses.get(self.loss)
        if loss is losses.softmax_cross_entropy:
            check_classes(outputs.shape, y)
        if loss is losses.binary_cross_entropy:
            check_probabilities(y)


def objective(
    apply: Apply,
    loss: str | losses.Loss = "softmax_cross_entropy",
    *,
    l1: Any = 0.0,
    l2: Any = 0.0,
    class_weight: Any = None,
) -> Objective:
    """Combine a network, a loss and penalties into one pure function.

        loss_fn(params, x, y) = loss(apply(params, x), y) + l1 * sum |w| + l2 * sum w^2

    With weights of the examples, loss_fn(params, x, y, weight), the loss is the mean by these weights,
    sum(weight * loss of the example) / sum(weight).

    Args:
        apply: (params, x, *, key=None) -> outputs, e.g. net.apply.
        loss: a name in jaxmlp.losses.LOSSES, or a function (outputs, targets) -> scalar.
        l1: strength of the L1 penalty, >= 0; a number or a traced array.
        l2: strength of the L2 penalty, >= 0; a number or a traced array.
        class_weight: a tuple, list or NumPy array of a number >= 0 for each class, in their order, or for 0 and 1 with
            a single output; the weight of an example is multiplied by that of its class, or by the mean of them that
            its class probabilities give.

    Returns:
        loss_fn(params, x, y, weight=None, *, key=None) -> scalar. Equal arguments give equal, hashable functions.

    Raises:
        ValueError: the name is unknown or a strength is negative.
        TypeError: apply or loss is not callable, or class_weight is no sequence.

    Example:
        >>> import jax, jaxmlp
        >>> xor, net = jaxmlp.datasets.load("xor"), jaxmlp.mlp((2, 4, 2))
        >>> loss_fn = jaxmlp.objective(net.apply, "softmax_cross_entropy", l2=1e-4)
        >>> params = jax.tree.map(jax.numpy.zeros_like, net.init(jax.random.key(0)))
        >>> print(f"{loss_fn(params, *xor.train):.4f}")
        0.6931
    """
    if not callable(apply):
        raise TypeError(f"apply must be a function (params, x, *, key=None) -> outputs, got {shown(apply)}")
    losses.get(loss)
    for name, strength in (("l1", l1), ("l2", l2)):
        one_number(name, strength, 0)
    if class_weight is not None:
        if not isinstance(class_weight, list | tuple | np.ndarray) or getattr(class_weight, "ndim", 1) != 1:
            kinds = "a tuple, list or NumPy array of one number per class, in their order"
            raise TypeError(f"class_weight must be {kinds}; got {shown(class_weight)}")
        class_weight = tuple(class_weight.tolist() if isinstance(class_weight, np.ndarray) else class_weight)
        for number in class_weight:
            one_number("class_weight", number, 0)
    return Objective(apply, loss, none_if_zero(l1), none_if_zero(l2), class_weight)


def _by_class(class_weight, outputs, y, weight):
    """Return the weights of the examples times those of their classes."""
    classes = 2 if outputs.shape[-1] == 1 else outputs.shape[-1]
    if len(class_weight) != classes:
        raise ValueError(
            f"class_weight must hold one number per class; outputs {outputs.shape} have {classes} classes, "
            f"got {len(class_weight)}"
        )
    if outputs.shape[-1] == 1:
        check_probabilities(y)
    else:
        check_classes(outputs.shape, y)
    if weight is not None:
        check_weight(weight, outputs.shape[0])
    table, y = jnp.stack([jnp.asarray(w, float) for w in class_weight]), as_array(y)
    if outputs.shape[-1] == 1:
        y = y.reshape(y.shape[0]).astype(table.dtype)
        own = (1 - y) * table[0] + y * table[1]
    elif y.shape == outputs.shape:
        own = y.astype(table.dtype) @ table
    else:
        own = table[y]
    return own if weight is None else own * jnp.asarray(weight, own.dtype)


@dataclasses.dataclass(frozen=True)
class DeadUnits:
    """The function that dead_units returns, (params, x, y) -> array. Equal settings compare and hash alike."""

    apply: Apply
    """The network, (params, x, *, with_hidden) -> (outputs, hidden)."""

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return the fraction of dead units in each hidden layer."""
        _, hidden = self.apply(params, x, with_hidden=True)
        if not hidden:
            raise ValueError("dead_units measures hidden layers, and this network has none")
        flat = [h.reshape(-1, h.shape[-1]) for h in hidden]
        return jnp.stack([jnp.mean((h == h[:1]).all(axis=0).astype(jnp.float32)) for h in flat])


def dead_units(apply: Apply) -> DeadUnits:
    """Build the function that measures the fraction of dead units in each hidden layer.

    A unit is dead if its value is bit for bit the same for every example, such as a ReLU that is 0 for all of them. No
    example has a gradient through such a ReLU, so it cannot recover. With one example every unit counts as dead.

    Args:
        apply: net.apply of a network with a hidden layer, or another function (params, x, *, with_hidden).

    Returns:
        fn(params, x, y) -> float32 (hidden layers,) in [0, 1], a metric for fit; y is ignored. Equal arguments give
        equal, hashable functions.

    Raises:
        TypeError: apply is not callable or does not return its hidden activations.
        ValueError: the network has no hidden layer; raised when it is measured.

    Example:
        >>> import jax, jaxmlp
        >>> xor, net = jaxmlp.datasets.load("xor"), jaxmlp.mlp((2, 4, 2))
        >>> params = jax.tree.map(jax.numpy.zeros_like, net.init(jax.random.key(0)))
        >>> print(jaxmlp.dead_units(net.apply)(params, *xor.train))
        [1.]
    """
    if not callable(apply) or not takes(apply, "with_hidden"):
        raise TypeError(
            f"apply must take with_hidden=True and return (outputs, hidden), as net.apply does; got {shown(apply)}"
        )
    return DeadUnits(apply)


def largest_weights(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Measure max |w| of each layer, a metric for fit.

    Args:
        params: of an mlp.
        x: ignored.
        y: ignored.

    Returns:
        (layers,).

    Raises:
        TypeError: params are not those of an mlp.

    Example:
        >>> import jax, jaxmlp
        >>> net = jaxmlp.mlp((2, 4, 2), initializer=jax.nn.initializers.constant(0.5))
        >>> print(jaxmlp.largest_weights(net.init(jax.random.key(0)), None, None))
        [0.5 0.5]
    """
    if not isinstance(params, Sequence) or not params or not all(hasattr(layer, "w") for layer in params):
        raise TypeError(f"params must be those of an mlp, a tuple of Layer(w, b), got {shown(params)}")
    return jnp.stack([jnp.max(jnp.abs(layer.w)) for layer in params])


def gradient_norms(step: Any) -> jax.Array | dict[str, jax.Array]:
    """Measure the Euclidean norm of each layer's gradient, sqrt(sum of g^2 over w and b), a step metric for fit.

    Args:
        step: a Step whose grads are those of an mlp, any other sequence of layers, or any pytree.

    Returns:
        (layers,), float32 or wider. If the gradients are no sequence, a dict from the path of each array, such as
        "dense/kernel", to its norm.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxmlp
        >>> grads = (jaxmlp.Layer(w=jnp.array([[3.0]]), b=jnp.array([4.0])),)
        >>> step = jaxmlp.Step(loss=0.0, params=None, grads=grads, updates=None)
        >>> print(jaxmlp.gradient_norms(step))
        [5.]
    """
    grads = getattr(step, "grads", None)
    if grads is None:
        raise TypeError(f"step must be a Step, as fit passes it to step_metrics, got {shown(step)}")
    if not isinstance(grads, Sequence) or not grads:
        leaves = jax.tree_util.tree_leaves_with_path(grads)
        return {jax.tree_util.keystr(p, simple=True, separator="/"): jnp.linalg.norm(g.ravel()) for p, g in leaves}
    layers = [[jnp.asarray(g, at_least_float32(g.dtype)) for g in jax.tree.leaves(one)] for one in grads]
    return jnp.stack([jnp.sqrt(sum(jnp.sum(g**2) for g in layer)) for layer in layers])
