"""Split a pytree into its numbers, the arguments of a compiled program, and the rest, which decides the program."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import PyTree, is_concrete


class Program(NamedTuple):
    """The part of a pytree that decides the program: its structure, its callables and other objects."""

    structure: Any
    """The treedef."""
    objects: tuple[Any, ...]
    """One per leaf, None for a number."""


def partition(tree: PyTree) -> tuple[list[jax.Array], Program]:
    """Split tree into its numbers, the arguments of a compiled program, and the rest, which decides the program."""
    leaves, structure = jax.tree.flatten(tree)
    numbers = [_as_argument(leaf) for leaf in leaves if _is_number(leaf)]
    return numbers, Program(structure, tuple(None if _is_number(leaf) else leaf for leaf in leaves))


def combine(numbers: list[jax.Array], program: Program) -> PyTree:
    """Return the tree that partition has split."""
    rest = iter(numbers)
    return program.structure.unflatten([next(rest) if leaf is None else leaf for leaf in program.objects])


def _is_number(leaf):
    return isinstance(leaf, int | float) or hasattr(leaf, "dtype")


def _as_argument(leaf):
    """Return a number as an array of one dtype, so that the learning rates 1, 0.5 and jnp.array(1) share a program."""
    if not is_concrete(leaf) or (
        isinstance(leaf, jax.Array) and not leaf.weak_type and jnp.issubdtype(leaf.dtype, jnp.floating)
    ):
        return leaf
    floating = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
    # By NumPy, which compiles nothing.
    return jnp.asarray(np.asarray(leaf), leaf.dtype if floating else jnp.result_type(float))
