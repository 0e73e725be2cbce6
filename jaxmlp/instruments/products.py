"""What a step has to tell beyond its gradient: losses and gradients of its examples, and products with its Hessian."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxmlp._arrays import PyTree
from jaxmlp._checks import shown
from jaxmlp.instruments._trees import flat, unflat

__docformat__ = "google"
__all__ = ["example_grads", "example_losses", "hessian_product"]

_AT_ONCE = 2**20  # elements of gradients: what stays in the cache of a CPU


def example_losses(step: Any) -> Callable[[PyTree], jax.Array]:
    """Return the losses of a step's examples as a function of the parameters.

    Each example is a batch of one. Under dropout each draws its own mask. With weights each loss is multiplied by the
    example's weight relative to the mean weight, so that the mean over the examples is the loss of the batch.

    Args:
        step: a Step, as an instrument gets it or take_step returns it.

    Returns:
        params -> (batch,).

    Raises:
        TypeError: the step lacks its examples or its loss.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean()
        >>> batch = jnp.array([[1.0], [3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(example_losses(step)(step.params))
        [1. 9.]
    """
    one, examples = _one_example(step)
    return lambda params: jax.vmap(one, (None, 0, 0, 0, 0))(params, *examples)


def example_grads(step: Any) -> jax.Array:
    """Compute the gradient of each example's loss at the parameters of a step.

    Args:
        step: as for example_losses, which also says what an example's loss is.

    Returns:
        (batch, parameters): one vector per example, in the order of the leaves of params, in float32 or wider. It is
        large: where a sum over the examples is enough, take it of a few at a time.

    Raises:
        TypeError: the step lacks its examples or its loss.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return ((w - x) ** 2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0], [3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.zeros(1), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(example_grads(step).ravel())
        [-1. -3.]
    """
    one, examples = _one_example(step)
    return flat(jax.vmap(jax.grad(one), (None, 0, 0, 0, 0))(step.params, *examples), axes=1)


def hessian_product(step: Any) -> Callable[[jax.Array], jax.Array]:
    """Return the product with the Hessian of the batch's loss at the parameters of a step.

    The gradient is linearised once, so that each product costs about as much as two more gradients.

    Args:
        step: as for example_losses.

    Returns:
        v -> H v, from and to vectors (parameters,), in the order of the leaves of params.

    Raises:
        TypeError: the step lacks its examples or its loss.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return (x * w**2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0, -5.0, 3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.ones(3), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(hessian_product(step)(jnp.ones(3)))
        [ 1. -5.  3.]
    """
    _check_complete(step)
    batch = step.x, step.y, *(() if step.weight is None else (step.weight,))
    _, product = jax.linearize(jax.grad(lambda params: step.loss_fn(params, *batch, key=step.key)), step.params)
    return lambda v: flat(product(unflat(v, step.params)))


def mean_grad(step: Any) -> jax.Array:
    """Return the mean of the examples' gradients, (parameters,), at the cost of one gradient of the batch."""
    losses = example_losses(step)
    return flat(jax.grad(lambda params: jnp.mean(losses(params)))(step.params))


def example_slopes(step: Any, vector: jax.Array) -> jax.Array:
    """Return the products of the examples' gradients with a vector, (batch,), without computing these gradients."""
    return jax.jvp(example_losses(step), (step.params,), (unflat(vector, step.params),))[1]


def example_sum(step: Any, function: Callable[[jax.Array], PyTree]) -> PyTree:
    """Return the sum of function over all examples, a few at a time, so that their gradients stay in the cache.

    Args:
        step: as for example_losses.
        function: gradients (some, parameters) -> the sum over these.
    """
    one, examples = _one_example(step)
    count, size = _count(step), sum(jnp.size(leaf) for leaf in jax.tree.leaves(step.params))
    some = max(n for n in range(1, count + 1) if count % n == 0 and (n == 1 or n * size <= _AT_ONCE))

    def part(examples):
        return function(flat(jax.vmap(jax.grad(one), (None, 0, 0, 0, 0))(step.params, *examples), axes=1))

    parts = jax.tree.map(lambda a: a.reshape(count // some, some, *a.shape[1:]), examples)
    zero = jax.tree.map(jnp.zeros_like, part(jax.tree.map(lambda a: a[0], parts)))
    return jax.lax.scan(lambda total, each: (jax.tree.map(jnp.add, total, part(each)), None), zero, parts)[0]


def moments(step: Any) -> tuple[jax.Array, jax.Array, int]:
    """Return the mean of the examples' gradients, the sum of the squares of what they differ by, and their number.

    One example differs from no other: the squares are NaN.
    """
    mean = mean_grad(step)
    if _count(step) == 1:
        return mean, jnp.full_like(mean, jnp.nan), 1

    def squares(grads):
        # As a product: XLA's sum over the first axis takes thirty times as long on a CPU.
        return jnp.matmul(jnp.ones(len(grads), grads.dtype), (grads - mean[None]) ** 2, precision="highest")

    return mean, example_sum(step, squares), _count(step)


def _count(step):
    return jnp.shape(jax.tree.leaves(step.x)[0])[0]


def _one_example(step):
    """Return (params, x, y, weight, key) -> loss of one example, and the examples to map it over."""
    _check_complete(step)
    keys = None if step.key is None else jax.random.split(step.key, _count(step))
    weights_of = getattr(step.loss_fn, "weights", None)  # an objective multiplies them by those of the classes
    weight = step.weight if weights_of is None else weights_of(step.params, step.x, step.y, step.weight)
    share = None if weight is None else weight / jnp.mean(weight)

    def one(params, x, y, share, key):
        x, y = jax.tree.map(lambda a: a[None], (x, y))
        weight = () if step.weight is None else (jnp.ones_like(share)[None],)
        loss = step.loss_fn(params, x, y, *weight, key=key)
        return loss if share is None else share.astype(loss.dtype) * loss

    return one, (step.x, step.y, share, keys)


def _check_complete(step):
    if not callable(getattr(step, "loss_fn", None)) or getattr(step, "x", None) is None:
        raise TypeError(
            "step must have its examples and its loss, as steps of fit and of jaxmlp.take_step do; got "
            f"{shown(type(step).__name__)} without"
        )
