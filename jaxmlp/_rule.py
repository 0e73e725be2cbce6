"""The skeleton of every optimizer: write the equation for one array, get an optimizer for any pytree.

A rule has three parts: a NamedTuple of state, a factory, and the equation. This is all of Lion (Chen et al. 2023):

    >>> from typing import NamedTuple
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from jaxmlp._rule import transformation
    >>> class LionState(NamedTuple):
    ...     count: jax.Array
    ...     mu: jax.Array
    >>> def lion(learning_rate, b1=0.9, b2=0.99):
    ...     return transformation(lion_rule, LionState, learning_rate=learning_rate, b1=b1, b2=b2)
    >>> def lion_rule(g, t, mu, *, learning_rate, b1, b2):
    ...     update = -learning_rate * jnp.sign(b1 * mu + (1 - b1) * g)
    ...     mu = b2 * mu + (1 - b2) * g
    ...     return update, mu

The optimizer takes any pytree, works with optax.chain, optax.inject_hyperparams and optax.multi_transform, and is
itself a pytree whose leaves are its numbers, so changing the learning rate does not recompile:

    >>> optimizer = lion(0.5)
    >>> params = {"w": jnp.zeros(2)}
    >>> updates, state = optimizer.update({"w": jnp.asarray([3.0, -2.0])}, optimizer.init(params))
    >>> print(updates["w"])
    [-0.5  0.5]
    >>> jax.tree.leaves(optimizer)
    [0.9, 0.99, 0.5]

The state: its first field is `count`. Each further field is a slot, a pytree like the parameters.

The equation: a function `(g, t, *slots, **hyperparameters) -> (update, *slots)` for one array of the pytree. It gets
the gradient g, the step t counted from 1, the slots in the order of the state's fields, and the hyperparameters by
name, all in the dtype of g, or in float32 if that is narrower. The update is added to the parameters. Define the
equation at module level: optimizers share a compiled program only if they share the function.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial

from jaxmlp._arrays import PyTree, Scalar, Schedule, at_least_float32, floating
from jaxmlp._checks import check_real, one_number, shown

__docformat__ = "google"
__all__ = [
    "AMSGradRawState",
    "PyTree",
    "Rule",
    "Scalar",
    "Schedule",
    "apply_rule",
    "apply_updates",
    "check_same_form",
    "nonzero",
    "safe_sqrt",
    "transformation",
]

Rule = Callable[..., tuple[jax.Array, ...]]

_BELOW_ONE = {"momentum", "decay", "b1", "b2"}


def transformation(
    rule: Rule,
    state_type: type[Any],
    start: Mapping[str, str] | None = None,
    **hyperparameters: Scalar | Schedule,
) -> optax.GradientTransformation:
    """Build an optimizer from the equation for one array.

    Args:
        rule: the equation, `(g, t, *slots, **hyperparameters) -> (update, *slots)`; see the module's docstring.
        state_type: the NamedTuple of the state: count, then the slots.
        start: slot -> name of the hyperparameter that it starts from, e.g. {"nu": "initial_scale"}. All other slots
            start from 0. The rule does not get the hyperparameters named here.
        hyperparameters: the numbers by the names of the factory's arguments. momentum, decay, b1 and b2 must be in
            [0, 1), all others >= 0. learning_rate may be a schedule (step count from 0 -> number).

    Returns:
        An optimizer whose leaves are its numbers. Equal arguments give equal pytree structures.

    Raises:
        ValueError: a hyperparameter is out of its range.
        TypeError: a hyperparameter is not a real number, or one other than learning_rate is a schedule.
    """
    numbers = _checked(hyperparameters)
    starts = {slot: numbers[name] for slot, name in (start or {}).items()}
    steps = {name: value for name, value in numbers.items() if name not in (start or {}).values()}
    return optax.GradientTransformation(Partial(_Init(state_type), **starts), Partial(_Update(rule), **steps))


def apply_rule(rule: Rule, grads: PyTree, state: Any, hyperparameters: Mapping[str, Any]) -> tuple[PyTree, Any]:
    """Apply a rule to every array of a pytree.

    For arrays narrower than 32 bits everything is computed, and the slots are kept, in float32: in bfloat16, b2 = 0.999
    rounds to 1 and a moving average never moves.

    Args:
        rule: the equation, `(g, t, *slots, **hyperparameters) -> (update, *slots)`.
        grads: a pytree of arrays, mapped to g.
        state: a NamedTuple of count and slots; each slot is a pytree like grads.
        hyperparameters: numbers by name; each is cast to the dtype that the rule computes in. A schedule for
            learning_rate is called with the count of steps taken.

    Returns:
        The updates, with the structure, shapes and dtypes of grads, and the next state.

    Raises:
        TypeError: grads and a slot differ in structure or shapes.
    """
    for name, slot in zip(state._fields[1:], state[1:], strict=True):
        check_same_form("gradients", grads, f"the optimizer's {name}", slot)
    count = jnp.asarray(optax.safe_increment(state.count))
    now = {name: value(state.count) if callable(value) else value for name, value in hyperparameters.items()}

    leaves, structure = jax.tree.flatten(grads)
    rows = []
    for g, *slots in zip(leaves, *map(jax.tree.leaves, state[1:]), strict=True):
        g = jnp.asarray(g)
        dtype = at_least_float32(g.dtype)
        numbers = {name: jnp.asarray(value, dtype) for name, value in now.items()}
        update, *slots = rule(g.astype(dtype), count.astype(dtype), *slots, **numbers)
        rows.append((update.astype(g.dtype), *slots))
    columns = list(zip(*rows, strict=True)) or [()] * len(state)  # a pytree may have no leaves
    updates, *slots = (structure.unflatten(column) for column in columns)
    return updates, type(state)(count, *slots)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Return the square root, with derivative 0 at 0 instead of infinity: gradients through training stay finite."""
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))


def nonzero(x: jax.Array) -> jax.Array:
    """Return x, and infinity where it is 0: an update divided by it is 0 there instead of NaN."""
    return jnp.where(x == 0, jnp.inf, x)


def apply_updates(params: PyTree, updates: PyTree) -> PyTree:
    """Return params + updates, leaf by leaf, in the dtype of the parameters.

    Args:
        params: any pytree of arrays.
        updates: a pytree of the same structure and shapes.

    Raises:
        TypeError: structures or shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxmlp
        >>> print(jaxmlp.apply_updates({"w": jnp.ones(2)}, {"w": jnp.asarray([0.5, -0.5])})["w"])
        [1.5 0.5]
    """
    check_same_form("updates", updates, "params", params)
    return jax.tree.map(lambda p, u: p + floating(u, jnp.result_type(p)), params, updates)


def check_same_form(name: str, tree: PyTree, other_name: str, other: PyTree) -> None:
    """Raise a TypeError that shows both pytrees' shapes unless their structures and shapes are equal."""
    for called, leaf in ((n, leaf) for n, t in ((name, tree), (other_name, other)) for leaf in jax.tree.leaves(t)):
        _check_leaf(called, leaf)
    (shapes, structure), (other_shapes, other_structure) = (
        jax.tree.flatten(jax.tree.map(jnp.shape, t)) for t in (tree, other)
    )
    if structure != other_structure or shapes != other_shapes:
        raise TypeError(
            f"{name} must have the structure and shapes of {other_name}, {jax.tree.map(jnp.shape, other)}; "
            f"got {jax.tree.map(jnp.shape, tree)}"
        )


def _check_leaf(name, leaf):
    """Raise a TypeError unless a leaf of a pytree is an array or a number; JAX takes no other sequences there."""
    check_real(name, leaf)
    if not (hasattr(leaf, "dtype") or hasattr(leaf, "__jax_array__") or isinstance(leaf, int | float)):
        raise TypeError(f"{name} must be arrays or numbers; got {shown(leaf)}, which numpy.asarray can convert")


class AMSGradRawState(NamedTuple):
    """What the amsgrad of PyTorch, Keras and textbooks carries from step to step.

    Differs from:
        optimizers.AMSGradState, whose nu_max is the largest corrected nu.
    """

    count: jax.Array
    """Steps taken, int32 scalar."""
    mu: PyTree
    """Moving average of the gradients, like params."""
    nu: PyTree
    """Moving average of the squared gradients, like params."""
    nu_max: PyTree
    """Largest nu so far, not corrected for its start, like params."""


# Frozen dataclasses rather than closures: they compare and hash by what they hold, so that optimizers of one rule have
# equal pytree structures, and they can be pickled.
@dataclasses.dataclass(frozen=True)
class _Init:
    state_type: type[Any]

    def __call__(self, params, **starts):
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            where = f"params{jax.tree_util.keystr(path)}"
            _check_leaf(where, leaf)
            dtype = jnp.result_type(leaf)
            if not jnp.issubdtype(dtype, jnp.floating) or jnp.finfo(dtype).bits < 16:
                raise TypeError(f"{where} must be real floating point of 16 bits or more to be updated, got {dtype}")
        _, *names = self.state_type._fields
        slots = {name: _full_like(params, starts.get(name, 0.0)) for name in names}
        return self.state_type(count=jnp.zeros((), jnp.int32), **slots)


@dataclasses.dataclass(frozen=True)
class _Update:
    rule: Rule

    def __call__(self, grads, state, params=None, **hyperparameters):
        return apply_rule(self.rule, grads, state, hyperparameters)


def _full_like(params, value):
    def slot(p):
        return jnp.full(jnp.shape(p), jnp.asarray(value, at_least_float32(jnp.result_type(p))))

    return jax.tree.map(slot, params)


def _checked(hyperparameters):
    """Check each number's range, and wrap a schedule that is no pytree as one without leaves."""
    for name, value in hyperparameters.items():
        if not callable(value):
            one_number(name, value, 0, 1 if name in _BELOW_ONE else float("inf"))
        elif isinstance(value, type):
            raise TypeError(f"{name} must be a number or a schedule, got {shown(value)}")
        elif name != "learning_rate":
            raise TypeError(f"{name} must be a number, got {shown(value)}; only the learning rate takes a schedule")
    return {n: Partial(v) if callable(v) and _is_leaf(v) else v for n, v in hyperparameters.items()}


def _is_leaf(value):
    """Return whether value is no pytree of its own; a Partial and a Curve are."""
    return jax.tree_util.all_leaves([value])
