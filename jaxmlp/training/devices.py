"""What a sweep has at hand: devices, the memory that they have free, and CPUs."""

import os
from collections.abc import Callable
from typing import Any

import jax

from jaxmlp.training.memory import bytes_needed


def local_devices() -> list[Any]:
    """Return the devices that runs are divided over: all of this process, or the one that is set as the default."""
    chosen = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(chosen, jax.Device):
        return [chosen]
    return jax.local_devices() if chosen is None else jax.local_devices(backend=chosen)


def runs_that_fit(one: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
    """Return how many runs use half of the free memory of a device; a large number where it does not tell.

    Args:
        one: the function that trains one run.
        arguments: of it, of which only shapes matter.
    """
    free = [_free_bytes(device) for device in local_devices()]
    known = [number for number in free if number is not None]
    if len(known) < len(free):
        return 2**31
    return max(1, int(min(known) / 2 // bytes_needed(jax.make_jaxpr(one)(*arguments))))


def _free_bytes(device):
    stats = device.memory_stats() or {}
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0) if "bytes_limit" in stats else None


def cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
