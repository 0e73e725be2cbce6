"""Pytrees as vectors: their products and norms, whole and by leaf."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import PyTree, at_least_float32
from jaxmlp._rule import safe_sqrt

__docformat__ = "google"
__all__ = ["by_path", "dot", "flat", "norm", "unflat"]


def flat(tree: PyTree, axes: int = 0) -> jax.Array:
    """Return the arrays of a pytree as one vector in float32 or wider; the first axes are kept."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    dtype = max((at_least_float32(leaf.dtype) for leaf in leaves), key=lambda dtype: jnp.finfo(dtype).bits)
    return jnp.concatenate([leaf.astype(dtype).reshape(*leaf.shape[:axes], -1) for leaf in leaves], axis=axes)


def dot(a: PyTree, b: PyTree) -> jax.Array:
    """Return the inner product of two pytrees of equal structure."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    # Not jnp.vdot: XLA fuses a sum with what makes its operands, which takes half the time.
    return jnp.asarray(sum(jnp.sum(flat(x) * flat(y)) for x, y in pairs))


def norm(tree: PyTree) -> jax.Array:
    """Return the Euclidean norm over all arrays of a pytree."""
    return safe_sqrt(dot(tree, tree))


def by_path(function: Callable[..., jax.Array], *trees: PyTree) -> dict[str, jax.Array]:
    """Apply a function to corresponding arrays, e.g. {"[0].w": 1.5, "[0].b": 0.1}."""
    leaves = [jax.tree.leaves(tree) for tree in trees]
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(trees[0])]
    return {path: function(*values) for path, *values in zip(paths, *leaves, strict=True)}


def unflat(vector, like):
    """Return the pytree like `like` of which `vector` holds the numbers."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([np.size(leaf) for leaf in leaves])[:-1].tolist()
    pieces = jnp.split(vector, ends)
    return structure.unflatten(
        [piece.reshape(jnp.shape(leaf)).astype(leaf.dtype) for piece, leaf in zip(pieces, leaves, strict=True)]
    )
