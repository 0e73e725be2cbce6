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
        (batch, parameters): one vector per example, in the order of the leaves of params, in float32 or wider.

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


def _one_example(step):
    """Return (params, x, y, weight, key) -> loss of one example, and the examples to map it over."""
    _check_complete(step)
    count = jnp.shape(jax.tree.leaves(step.x)[0])[0]
    keys = None if step.key is None else jax.random.split(step.key, count)
    share = None if step.weight is None else step.weight / jnp.mean(step.weight)

    def one(params, x, y, share, key):
        x, y = jax.tree.map(lambda a: a[None], (x, y))
        if share is None:
            return step.loss_fn(params, x, y, key=key)
        loss = step.loss_fn(params, x, y, jnp.ones_like(share)[None], key=key)
        return share.astype(loss.dtype) * loss

    return one, (step.x, step.y, share, keys)


def _check_complete(step):
    if not callable(getattr(step, "loss_fn", None)) or getattr(step, "x", None) is None:
        raise TypeError(
            "step must have its examples and its loss, as steps of fit and of jaxmlp.take_step do; got "
            f"{shown(type(step).__name__)} without"
        )
