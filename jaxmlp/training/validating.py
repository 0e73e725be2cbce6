"""The validation loss and the metrics after an epoch, of the whole validation set at once or in pieces."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxmlp._arrays import at_least_float32
from jaxmlp.metrics import R2
from jaxmlp.objectives import DeadUnits


def validated(task, params, validation, size=None, layout=None) -> tuple[Any, dict[str, Any]]:
    """Return the validation loss, None without validation, and the metrics.

    Args:
        task: whose loss_fn and metrics are measured.
        params: where.
        validation: the examples, or None.
        size: the number of examples measured at a time; None for all.
        layout: of the examples on several devices.
    """
    n = 0 if validation is None else jnp.shape(jax.tree.leaves(validation)[0])[0]
    if size is None or n <= size:
        validation = validation if validation is None or layout is None else layout.divided(validation)
        validation_loss = None if validation is None else task.loss_fn(params, *validation)
        return validation_loss, {name: metric(params, *(validation or ())) for name, metric in task.metrics.items()}

    # Of examples on several devices a piece has as many of each, so that none is moved.
    parts = 1 if layout is None or n % layout.parts or size % layout.parts else layout.parts

    def rows(a, start, count):
        a = jnp.asarray(a)
        a = a.reshape(parts, n // parts, *a.shape[1:])
        found = jax.lax.dynamic_slice_in_dim(a, start // parts, count // parts, axis=1)
        return found.reshape(count, *a.shape[2:])

    def piece(start, count):
        """Measure examples; return the values and their weight."""
        part = jax.tree.map(lambda a: rows(a, start, count), tuple(validation or ()))
        part = part if layout is None else layout.divided(part)
        values = task.loss_fn(params, *part), {name: metric(params, *part) for name, metric in task.metrics.items()}
        values = jax.tree.map(_as_summand, values)
        weight = jnp.sum(part[2].astype(jnp.float32)) if len(part) == 3 else jnp.float32(count)
        # A piece whose examples have no weight has no mean.
        return jax.tree.map(lambda a: jnp.where(weight > 0, a * weight.astype(a.dtype), 0), values), weight

    whole, rest = divmod(n, size)
    values, weights = jax.lax.map(lambda index: piece(index * size, size), jnp.arange(whole))
    sums, weight = jax.tree.map(lambda a: jnp.sum(a, axis=0), (values, weights))
    if rest:
        last, its_weight = piece(whole * size, rest)
        sums, weight = jax.tree.map(jnp.add, sums, last), weight + its_weight
    return jax.tree.map(lambda a: a / weight.astype(a.dtype), sums)


def _as_summand(value):
    dtype = jnp.result_type(value)
    return jnp.asarray(value, at_least_float32(dtype) if jnp.issubdtype(dtype, jnp.floating) else jnp.float32)


def check_means(task) -> None:
    """Raise a ValueError if a function is known not to be a mean over examples, which pieces cannot give."""
    if getattr(task.loss_fn, "class_weight", None) is not None:
        raise ValueError(f"eval_batch_size {_MEAN}; a loss with class_weight is not, so leave eval_batch_size out")
    for name, metric in task.metrics.items():
        if isinstance(metric, R2 | DeadUnits):
            raise ValueError(f"eval_batch_size {_MEAN}; metric {name!r} is not, so leave one of them out")


_MEAN = "measures pieces of the validation set and averages them, for a loss and metrics that are means over examples"
