"""Times that can be compared: candidates take turns, so that a slow spell of the machine hits all of them."""

import time
from collections.abc import Callable, Mapping

import jax

from jaxmlp._checks import check_count

__docformat__ = "google"
__all__ = ["in_turns"]


def in_turns(runs: Mapping[str, Callable[[], object]], turns: int = 5) -> dict[str, list[float]]:
    """Time several pieces of work in turns: every piece once per turn, the order reversed every other turn.

    Each piece runs once untimed first, so that compiling is not in the times.

    Args:
        runs: name -> function without arguments; arrays that it returns are waited for.
        turns: how many times each piece is timed, >= 1.

    Returns:
        Name -> seconds of each turn.

    Raises:
        ValueError: turns is not a positive integer.

    Example:
        >>> seconds = in_turns({"short": lambda: sum(range(10)), "long": lambda: sum(range(100_000))}, turns=3)
        >>> [len(values) for values in seconds.values()], min(seconds["long"]) > min(seconds["short"])
        ([3, 3], True)
    """
    check_count("turns", turns)
    for run in runs.values():
        jax.block_until_ready(run())
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    for _ in range(turns):
        for name in order:
            start = time.perf_counter()
            jax.block_until_ready(runs[name]())
            seconds[name].append(time.perf_counter() - start)
        order.reverse()
    return seconds
