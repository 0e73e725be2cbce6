"""What the instruments need of a step: vectors from pytrees, per-example losses and gradients, Hessian products."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import PyTree, at_least_float32

__docformat__ = "google"
__all__ = ["by_path", "dot", "example_grads", "example_losses", "flat", "hessian_product", "norm"]


def flat(tree: PyTree, axes: int = 0) -> jax.Array:
    """Return the arrays of a pytree as one vector in float32 or wider; the first axes are kept."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    dtype = max((at_least_float32(leaf.dtype) for leaf in leaves), key=lambda dtype: jnp.finfo(dtype).bits)
    return jnp.concatenate([leaf.astype(dtype).reshape(*leaf.shape[:axes], -1) for leaf in leaves], axis=axes)


def dot(a: PyTree, b: PyTree) -> jax.Array:
    """Return the inner product of two pytrees of equal structure."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return jnp.asarray(sum(jnp.vdot(flat(x), flat(y)) for x, y in pairs))


def norm(tree: PyTree) -> jax.Array:
    """Return the Euclidean norm over all arrays of a pytree."""
    return jnp.sqrt(dot(tree, tree))


def by_path(function: Callable[..., jax.Array], *trees: PyTree) -> dict[str, jax.Array]:
    """Apply a function to corresponding arrays, e.g. {"[0].w": 1.5, "[0].b": 0.1}."""
    leaves = [jax.tree.leaves(tree) for tree in trees]
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(trees[0])]
    return {path: function(*values) for path, *values in zip(paths, *leaves, strict=True)}


def example_losses(step: Any) -> Callable[[PyTree], jax.Array]:
    """Return the function params -> loss of each example of the batch, (batch,).

    Each example is a batch of one. Under dropout each draws its own mask. With weights each loss is multiplied by the
    example's weight relative to the mean weight, so that the mean over the examples is the loss of the batch.
    """
    one, examples = _one_example(step)
    return lambda params: jax.vmap(one, (None, 0, 0, 0, 0))(params, *examples)


def example_grads(step: Any) -> jax.Array:
    """Return the gradient of each example's loss at params as a vector, (batch, parameters)."""
    one, examples = _one_example(step)
    return flat(jax.vmap(jax.grad(one), (None, 0, 0, 0, 0))(step.params, *examples), axes=1)


def hessian_product(step: Any) -> Callable[[jax.Array], jax.Array]:
    """Return the function v -> H v for vectors (parameters,), H being the Hessian of the batch's loss at params.

    The gradient is linearised once, so that each product costs about as much as two more gradients.
    """
    batch = step.x, step.y, *(() if step.weight is None else (step.weight,))
    _, product = jax.linearize(jax.grad(lambda params: step.loss_fn(params, *batch, key=step.key)), step.params)
    return lambda v: flat(product(_unflat(v, step.params)))


def _one_example(step):
    """Return (params, x, y, weight, key) -> loss of one example, and the examples to map it over."""
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


def _unflat(vector, like):
    """Return the pytree like `like` of which `vector` holds the numbers."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([np.size(leaf) for leaf in leaves])[:-1].tolist()
    pieces = jnp.split(vector, ends)
    return structure.unflatten(
        [piece.reshape(jnp.shape(leaf)).astype(leaf.dtype) for piece, leaf in zip(pieces, leaves, strict=True)]
    )
