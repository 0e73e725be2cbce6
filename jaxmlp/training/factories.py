"""How sweep builds optimizers: with numbers from outside the program, or inside it from traced hyperparameters.

A rule of jaxmlp.optimizers is a pytree whose leaves are its numbers, so optimizers built at two points share a program.
A closure, such as the result of optax.chain or a schedule that was built from the learning rate, hides its numbers:
built anew for each run it would be compiled anew. Such a factory is called inside the program instead, where its
arguments are traced.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxmlp._arrays import PyTree
from jaxmlp.training.partition import partition
from jaxmlp.training.updates import update


class Factory:
    """A factory of optimizers that compiled programs are looked up by; equal ones build the same computation."""

    def __init__(self, build: Callable[..., Any], identity: Any):
        self.build = build
        self.identity = identity

    def __call__(self, **point: Any) -> Any:
        """Return the optimizer at a point of the grid."""
        return self.build(**point)

    def __eq__(self, other: object) -> bool:
        """Return whether other builds the same computation."""
        return isinstance(other, Factory) and self.identity == other.identity

    def __hash__(self) -> int:
        """Hash like everything that is equal."""
        return hash(self.identity)


def by_point(build: Callable[..., Any], points: list[dict[str, float]], params: PyTree) -> tuple[list[Any], Any]:
    """Build the optimizer of each point, and the Factory to use instead where these would be compiled apart.

    Args:
        build: the factory.
        points: hyperparameters, name -> number.
        params: shapes and dtypes of the parameters.

    Returns:
        The optimizers, and a Factory or None.
    """
    built = [build(**point) for point in points]
    # The functions of optax are leaves, and closures. Our own rules hold a schedule in their structure.
    closure = any(callable(leaf) for leaf in jax.tree.leaves(built[0])) or not _alike(built[0], build(**points[0]))
    if not closure and all(_alike(built[0], other) for other in built[1:]):
        return built, None
    try:
        return built, _traced(build, points[0], params)
    except Exception as error:  # what is wrong with the optimizer itself is raised again when it is run
        if closure and len(points) > 1:
            warnings.warn(
                f"the optimizer cannot be built from traced hyperparameters ({_summary(error)}), so each of the "
                f"{len(points)} points of the grid is compiled on its own; to compile once, {_WAY_OUT}",
                stacklevel=4,
            )
        return built, None


def inside(build: Callable[..., Any], points: Mapping[str, Any], params: PyTree, *, concrete: bool) -> Factory:
    """Return the factory for use inside a program that traces the hyperparameters.

    Args:
        build: the factory.
        points: the grid.
        params: shapes and dtypes of the parameters.
        concrete: whether the sweep itself is not being traced.

    Raises:
        TypeError: the factory needs Python numbers.
    """
    try:
        if concrete:
            return _traced(build, {name: values[0] for name, values in points.items()}, params)
        build(**{name: values[0] for name, values in points.items()})
    except _NEEDS_NUMBERS as error:
        raise TypeError(
            f"the optimizer cannot be built from traced hyperparameters ({_summary(error)}); {_WAY_OUT}"
        ) from error
    except Exception:  # what is wrong with the optimizer itself is raised again when it is run
        pass
    return Factory(build, build)


_NEEDS_NUMBERS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
_WAY_OUT = (
    "use jax.numpy instead of float(), if, or math on a hyperparameter, and jaxmlp.schedules.warmup_cosine instead of "
    "optax.warmup_cosine_decay_schedule"
)


def _summary(error):
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"


def _alike(built, other):
    """Return whether two optimizers differ at most in the numbers that are their leaves."""
    try:
        return bool(partition(built)[1] == partition(other)[1])
    except Exception:  # what they hold cannot be compared, such as arrays
        return False


def _traced(build, point, params):
    """Return the factory identified by what it computes, or raise what it raises where it is given traced numbers.

    Identified by its address, a factory would be taken for what it was when it was compiled, though it may read a
    number that has changed since; and the same lambda, written again, would be compiled again.
    """

    def step(point, params, grads, opt_state):
        optimizer = build(**point)
        return optimizer.init(params), update(optimizer, _energy, _energy(params), grads, opt_state, params)

    numbers = {name: jax.ShapeDtypeStruct((), jnp.result_type(float)) for name in point}
    opt_state = jax.eval_shape(lambda point, params: build(**point).init(params), numbers, params)
    text = jax.jit(step).lower(numbers, params, params, opt_state).as_text()
    # A callback is a mere number in this text, so that two different ones may read alike.
    return Factory(build, (text, build if "callback" in text else None))


def _energy(params):
    """Return sum p^2 / 2, a loss for optimizers that ask for one."""
    dtype = jnp.result_type(float)
    return sum((jnp.sum(jnp.square(p.astype(dtype))) for p in jax.tree.leaves(params)), jnp.zeros((), dtype)) / 2
