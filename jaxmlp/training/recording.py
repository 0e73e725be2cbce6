"""Instruments inside a run: measured at their intervals by lax.cond, and kept in rows of a buffer."""

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import vary_like
from jaxmlp._checks import shown
from jaxmlp.instruments import Instrument, Readings


def checked(instruments: Any) -> dict[str, Instrument]:
    """Return instruments, a mapping from names to instruments or None, as a dict; raise a TypeError if it is not."""
    fits = isinstance(instruments, Mapping) and all(
        isinstance(name, str) and isinstance(one, Instrument) for name, one in instruments.items()
    )
    if instruments is not None and not fits:
        raise TypeError(
            "instruments must be a dict from names to instruments, e.g. {'gradient': "
            f"jaxmlp.instruments.gradient_norm(every=10)}}, got {shown(instruments)}"
        )
    return dict(instruments or {})


def record(instruments: Mapping[str, Instrument], readings: Any, step: Any, first_step: jax.Array) -> Any:
    """Write what is due at this step to the readings of the epoch, whose first step has the index first_step.

    Without readings, return what all instruments measure, by name; this serves to find the shapes.
    """
    if readings is None:
        return {name: _measure(name, one, step) for name, one in instruments.items()}
    # Instruments of one interval share a branch, in which XLA computes what they have in common once.
    groups: dict[int, list[str]] = {}
    for name, one in instruments.items():
        groups.setdefault(one.every, []).append(name)
    for every, names in groups.items():
        like = {name: jax.tree.map(lambda rows: rows[0], readings[name].values) for name in names}

        def measure(names=names, like=like):
            return {name: _like(name, _measure(name, instruments[name], step), like[name]) for name in names}

        due = step.index % every == 0
        values = measure() if every == 1 else jax.lax.cond(in_any_run(due), measure, lambda like=like: _zeros(like))
        # The last row takes what is not due.
        row = jnp.where(due, step.index // every - (first_step + every - 1) // every, -1)
        for name in names:
            steps, kept = readings[name]
            kept = jax.tree.map(lambda rows, value, row=row: rows.at[row].set(value), kept, values[name])
            readings = {**readings, name: Readings(steps.at[row].set(step.index), kept)}
    return readings


def blank(instruments: Mapping[str, Instrument], step: Any, state: Any, inputs: Any, steps: int) -> dict[str, Readings]:
    """Return the readings of an epoch of so many steps before its first step, with one spare row."""
    if not instruments:
        return {}
    sample = (state.params, state.opt_state, None), inputs
    shapes = jax.eval_shape(lambda *sample: step(*sample)[0][2], *sample)

    def rows(name):
        count = -(-steps // instruments[name].every) + 1
        values = jax.tree.map(lambda s: vary_like(jnp.zeros((count, *s.shape), s.dtype), s), shapes[name])
        return Readings(jnp.full(count, -1, jnp.int32), values)

    return {name: rows(name) for name in instruments}


def without_spare_row(readings: Any) -> Any:
    """Return the readings of an epoch after its last step."""
    return jax.tree.map(lambda rows: rows[:-1], readings)


def joined(instruments: Mapping[str, Instrument], readings: Any, steps: int) -> dict[str, Readings]:
    """Return the readings of all epochs in one row after another; those that were not due go last."""

    def join(name):
        found = jax.tree.map(lambda rows: rows.reshape(-1, *rows.shape[2:]), readings[name])
        first = jnp.argsort(found.steps < 0, stable=True)[: -(-steps // instruments[name].every)]
        return jax.tree.map(lambda rows: rows[first], found)

    return {name: join(name) for name in instruments}


@jax.custom_batching.custom_vmap
def in_any_run(due):
    """Return due; under vmap one flag for all runs, so that cond stays a branch."""
    return due


@in_any_run.def_vmap
def _over_runs(size, mapped, due):
    return in_any_run(jnp.any(due)), False


def _measure(name, instrument, step):
    """Measure with a key of the instrument's own, which neither training nor another instrument uses."""
    own = jax.random.fold_in(step.key, np.uint32(zlib.crc32(name.encode()) | 1 << 31))
    return jax.tree.map(jnp.asarray, instrument(step, own))


def _like(name, values, like):
    """Return the values; raise a ValueError if they differ in form from those at the first step."""
    forms = [jax.tree.map(lambda a: (a.shape, str(a.dtype)), tree) for tree in (values, like)]
    if forms[0] != forms[1]:
        raise ValueError(
            f"instrument {name!r} must return arrays of the same shapes for every batch, also for the shorter last "
            f"batch of an epoch; got {forms[0]} after {forms[1]}"
        )
    return jax.tree.map(vary_like, values, like)


def _zeros(like):
    return jax.tree.map(lambda a: vary_like(jnp.zeros_like(a), a), like)
