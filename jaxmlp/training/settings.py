"""The settings of JAX that belong to one thread, and how another thread takes them over."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax


def thread_settings() -> dict[str, Any]:
    """Return every setting that a context manager of JAX can change for one thread, with its value in this thread."""
    # jax.debug_nans(True) is the context manager of jax.config.jax_debug_nans, and so for all of them. Sorted, so that
    # jax.transfer_guard, which sets three directions at once, comes before the managers of each direction.
    return {
        name: getattr(jax.config, f"jax_{name}")
        for name, manager in sorted(vars(jax).items())
        if callable(manager) and hasattr(jax.config, f"jax_{name}")
    }


@contextlib.contextmanager
def applied(settings: dict[str, Any]) -> Iterator[None]:
    """Set what differs from settings in this thread."""
    with contextlib.ExitStack() as stack:
        for name, value in settings.items():
            if getattr(jax.config, f"jax_{name}") != value:
                stack.enter_context(getattr(jax, name)(value))
        yield
