"""Runs that span processes (jax.distributed): checks that agree, and what is said when a process is lost."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxmlp._arrays import is_concrete


def checked_together(check: Callable[[], None], examples: Any) -> None:
    """Call check, which raises a ValueError or TypeError; if the examples span processes, raise in all or in none."""
    leaves = [leaf for leaf in jax.tree.leaves(examples) if isinstance(leaf, jax.Array)]
    if jax.process_count() == 1 or all(not is_concrete(x) or x.is_fully_addressable for x in leaves):
        check()
        return
    from jax.experimental import multihost_utils

    error = None
    try:
        check()
    except (ValueError, TypeError) as raised:
        error = raised
    wrong = np.flatnonzero(multihost_utils.process_allgather(np.int32(error is not None)))
    if error is not None:
        raise error
    if wrong.size:
        raise ValueError(f"the arguments of process {wrong[0]} are wrong; its own error says what to change")


@contextlib.contextmanager
def losses_named(path: Path | None = None) -> Iterator[None]:
    """Raise a RuntimeError with the way out where the loss of another process ends the run."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        way = f"{path} keeps the run, which goes on from there" if path else "with checkpoint=... a run can go on"
        raise RuntimeError(
            f"process {jax.process_index()} of {jax.process_count()} cannot go on, most likely because another one has "
            f"ended ({str(error).partition(chr(10))[0][:200]}); start all of them again: {way}"
        ) from error
