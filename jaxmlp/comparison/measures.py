"""What the runs of a comparison are measured by, beside losses and scores."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import jaxmlp
from jaxmlp.training import Step

__docformat__ = "google"
__all__ = ["Early", "EarlyAfter", "OfRows", "early_steps"]


@dataclasses.dataclass(frozen=True)
class OfRows:
    """A metric of some rows of the measured examples.

    Example:
        >>> OfRows(lambda params, x, y: x.sum(), 0, 2)(None, jnp.arange(4), jnp.arange(4)).item()
        1
    """

    metric: Callable[..., jax.Array]
    """fn(params, x, y)."""

    start: int
    """First row."""

    stop: int
    """The row after the last."""

    def __call__(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return the metric of the rows."""
        return self.metric(params, *jax.tree.map(lambda a: a[self.start : self.stop], (x, y)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Early:
    """A step metric that measures a set of examples before some steps and computes nothing at all others.

    Example:
        >>> import jaxmlp
        >>> x, labels = jnp.array([[2.0, 1.0], [0.0, 3.0]]), jnp.array([0, 0])
        >>> early = Early(x, labels, jaxmlp.accuracy(lambda params, x: x), (5,))
        >>> [early(Step(0.0, None, None, None, index=index)).item() for index in (4, 5)]
        [-1.0, 0.5]
    """

    x: jax.Array
    """Examples."""

    y: jax.Array
    """Their targets."""

    metric: Callable[..., jax.Array] = dataclasses.field(metadata={"static": True})
    """fn(params, x, y) -> float32 scalar."""

    at: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    """The steps, counted from 0 at epoch 0, before which it is measured."""

    def __call__(self, step: Step) -> jax.Array:
        """Return the metric, or -1 at a step at which it is not measured."""
        wanted = jnp.any(jnp.asarray(self.at, jnp.int32) == jnp.asarray(step.index, jnp.int32))
        return jax.lax.cond(
            wanted, lambda: self.metric(step.params, self.x, self.y), lambda: jnp.full((), -1.0, jnp.float32)
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EarlyAfter:
    """The same for rules that are evaluated at another point than their parameters, which a finished step knows.

    Example:
        >>> x, labels = jnp.array([[2.0, 1.0], [0.0, 3.0]]), jnp.array([0, 0])
        >>> early = EarlyAfter(x, labels, jaxmlp.accuracy(lambda w, x: w * x), (5,), lambda opt_state, w: opt_state)
        >>> one = jnp.ones(())
        >>> [early(Step(0.0, one, None, one, opt_state=-one, index=index)).item() for index in (4, 5)]
        [0.5, -1.0]
    """

    x: jax.Array
    """Examples."""

    y: jax.Array
    """Their targets."""

    metric: Callable[..., jax.Array] = dataclasses.field(metadata={"static": True})
    """fn(params, x, y) -> float32 scalar."""

    at: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    """Numbers of steps after which it is measured."""

    eval_params: Callable[[Any, Any], Any] = dataclasses.field(metadata={"static": True})
    """(opt_state, params) -> params to evaluate."""

    def __call__(self, step: Step) -> jax.Array:
        """Return the metric, or -1 after a step after which it is not measured."""

        def measured():
            params = self.eval_params(step.opt_state, jaxmlp.apply_updates(step.params, step.updates))
            return self.metric(params, self.x, self.y)

        wanted = jnp.any(jnp.asarray(self.at, jnp.int32) == jnp.asarray(step.index, jnp.int32) + 1)
        return jax.lax.cond(wanted, measured, lambda: jnp.full((), -1.0, jnp.float32))


def early_steps(steps: int) -> tuple[int, ...]:
    """Return the steps of an epoch before which a tenth, two tenths, ... of it are done; its two ends are left out.

    Args:
        steps: in the epoch, >= 1.

    Example:
        >>> early_steps(20)
        (2, 4, 6, 8, 10, 12, 14, 16, 18)
        >>> early_steps(3)
        (1, 2)
    """
    return tuple(sorted({round(tenth * steps / 10) for tenth in range(1, 10)} - {0, steps}))
