"""Runs of one setting that differ only by their seed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console

import jaxmlp
from experiments.common import command
from jaxmlp.data import Examples


def train_seeds(
    name: str,
    console: Console,
    loss_fn: Any,
    init_fn: Callable[[jax.Array], Any],
    optimizer: Callable[..., Any],
    learning_rate: float,
    train: Examples,
    *,
    seeds: int,
    **settings: Any,
) -> jaxmlp.FitResult:
    """Train the seeds 0 to seeds - 1 side by side, with a progress bar.

    Args:
        name: of the setting, for the progress bar.
        console: for the progress bar.
        loss_fn: as for jaxmlp.sweep.
        init_fn: as for jaxmlp.sweep.
        optimizer: as for jaxmlp.sweep.
        learning_rate: per step, > 0.
        train: as for jaxmlp.sweep.
        seeds: number of runs, >= 1.
        settings: further arguments of jaxmlp.sweep: epochs, batch_size, validation, ...

    Returns:
        FitResult whose leaves have the leading axis (seeds,).
    """
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    with command.progress(console) as bar:
        runs = bar.add_task(name, total=seeds)
        results = jaxmlp.sweep(
            loss_fn,
            init_fn,
            optimizer,
            {"learning_rate": [learning_rate]},
            train,
            keys=keys,
            on_run=lambda done, total: bar.update(runs, completed=done),
            **settings,
        )
    return _entry(results, 0)


def of_seed(results: jaxmlp.FitResult, seed: int) -> jaxmlp.FitResult:
    """Return the run of one seed."""
    return _entry(results, seed)


@jax.jit  # one program for all leaves and seeds; taken leaf by leaf, each would be a program of its own
def _entry(results, index):
    return jax.tree.map(lambda a: a[index], results)
