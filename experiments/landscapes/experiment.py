"""The experiment and its command line."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

import jaxmlp
from experiments.common import command
from experiments.common.command import Outcome
from experiments.landscapes import figures
from jaxmlp.comparison import record
from jaxmlp.comparison.store import save_arrays
from jaxmlp.optimizers import OPTIMIZERS

RULES = tuple(OPTIMIZERS)
PATHS = "paths.npz"

TARGET = 1e-6
"""Height that counts as the minimum, which is 0 on every surface."""

HOLD = 100
"""Steps for which a path must stay below TARGET: RMSProp's oscillates and passes through it by chance. Not for ever:
Adam's leaves again much later, when its nu has decayed to almost nothing."""

LEARNING_RATES = 10 ** (np.arange(-40, 5) / 8)
"""From 1e-5 to 3.2, eight for each factor of ten."""


class Landscape(NamedTuple):
    """A surface over two parameters whose minimum is 0."""

    equation: str
    """As text."""

    surface: Callable[[Any, Any], Any]
    """(x, y), numbers or arrays -> height."""

    start: tuple[float, float]
    """Where every path starts."""

    minima: tuple[tuple[float, float], ...]
    """Where the height is 0."""


LANDSCAPES = {
    "quadratic": Landscape(
        "(x^2 + 100 y^2) / 2, condition number 100",
        lambda x, y: (x**2 + 100 * y**2) / 2,
        (-2.0, 0.5),
        ((0.0, 0.0),),
    ),
    "rosenbrock": Landscape(
        "(1 - x)^2 + 100 (y - x^2)^2",
        lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        (-1.2, 1.0),
        ((1.0, 1.0),),
    ),
    "beale": Landscape(
        "(1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2",
        lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
        (1.0, 1.0),
        ((3.0, 0.5),),
    ),
    "saddle": Landscape(
        "x^2 / 2 + (y^2 - 1)^2 / 4, a saddle at (0, 0)",
        lambda x, y: x**2 / 2 + (y**2 - 1) ** 2 / 4,
        (1.5, 1e-3),
        ((0.0, 1.0), (0.0, -1.0)),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("landscapes", _experiment, _parser(), arguments)


def descend(landscape: Landscape, rule: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Follow a rule with every learning rate of the grid.

    Returns:
        (paths (rates, steps + 1, 2), heights along them (rates, steps + 1)).
    """

    def height(point):
        return landscape.surface(point[0], point[1])

    def path(rate):
        optimizer = jaxmlp.optimizers.OPTIMIZERS[rule](rate)

        def step(carry, _):
            point, state = carry
            updates, state = optimizer.update(jax.grad(height)(point), state, point)
            point = jaxmlp.apply_updates(point, updates)
            return (point, state), point

        start = jnp.asarray(landscape.start)
        _, points = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
        return jnp.concatenate([start[None], points])

    with jax.enable_x64(True):
        paths = jax.jit(jax.vmap(path))(jnp.asarray(LEARNING_RATES))
        heights = jax.vmap(jax.vmap(height))(paths)
    return np.asarray(paths), np.asarray(heights)


def arrivals(heights: np.ndarray) -> np.ndarray:
    """Return the number of steps after which each row stays within TARGET for at least HOLD steps; -1 for never.

    The last HOLD steps only show whether a path stays; no path arrives in them.

    Args:
        heights: (rates, steps + 1).
    """
    within = heights <= TARGET  # False for NaN
    so_far = np.cumsum(within, axis=1)
    held = within[:, :-HOLD] & (so_far[:, HOLD:] - so_far[:, :-HOLD] == HOLD)
    return np.where(held.any(axis=1), held.argmax(axis=1), -1)


def best(heights: np.ndarray) -> tuple[int, int | None]:
    """Return the row that arrives soonest and its number of steps; ties go to the smallest learning rate.

    If no row arrives, return the row that is lowest before the last HOLD steps, and None.
    """
    steps = arrivals(heights)
    if np.any(steps >= 0):
        row = int(np.argmin(np.where(steps < 0, heights.shape[1], steps)))
        return row, int(steps[row])
    last = heights[:, -1 - HOLD]
    last = np.where(np.isfinite(last), last, np.inf)
    return int(np.argmin(last)), None


def _experiment(options, console):
    runs: dict[str, Any] = {name: {} for name in LANDSCAPES}
    arrays = {}
    with command.progress(console) as bar:
        task = bar.add_task("", total=len(LANDSCAPES) * len(RULES))
        for name, landscape in LANDSCAPES.items():
            for rule in RULES:
                bar.update(task, description=f"{rule} on {name}")
                paths, heights = descend(landscape, rule, options.steps + HOLD)
                row, steps = best(heights)
                end = options.steps if steps is None else steps
                arrays[f"{name}/{rule}"] = paths[row, : end + 1]
                runs[name][rule] = {
                    "learning_rate": LEARNING_RATES[row],
                    "steps": steps,
                    "height": heights[row, end],
                    "rates_that_arrive": int((arrivals(heights) >= 0).sum()),
                    "at_end_of_grid": steps is not None and row in (0, len(LEARNING_RATES) - 1),
                }
                bar.advance(task)
    results = {
        "target": TARGET,
        "hold_steps": HOLD,
        "learning_rates": LEARNING_RATES,
        "most_steps": options.steps,
        "paths": PATHS,
        "landscapes": {
            name: {"equation": entry.equation, "start": entry.start, "minima": entry.minima, "runs": runs[name]}
            for name, entry in LANDSCAPES.items()
        },
    }
    save_arrays(options.output / PATHS, arrays)
    drawn = record.plain(results)
    pictures = {
        name: partial(figures.paths, name, landscape.surface, drawn, {rule: arrays[f"{name}/{rule}"] for rule in RULES})
        for name, landscape in LANDSCAPES.items()
    }
    note = (
        f"One start each, nothing random, float64; best of {len(LEARNING_RATES)} learning rates from "
        f"{LEARNING_RATES[0]:g} to {LEARNING_RATES[-1]:g}; at most {options.steps} steps, and {HOLD} more to stay."
    )
    return Outcome(results, notes=[note], pictures=pictures, tables=[_table(results)])


def _table(results):
    landscapes = results["landscapes"]
    title = (
        f"Steps until within {TARGET:g} of the minimum for {HOLD} steps (learning rate; number of rates that arrive)"
    )
    table = Table("optimizer", *landscapes, title=title)
    for rule in RULES:
        table.add_row(rule, *(_cell(entry["runs"][rule]) for entry in landscapes.values()))
    return table


def _cell(run):
    if run["steps"] is None:
        return f"never; {run['height']:.1e} ({run['learning_rate']:.2g})"
    return f"{run['steps']} ({run['learning_rate']:.2g}; {run['rates_that_arrive']})"


def _parser():
    parser = command.options(
        "landscapes",
        "Follow every optimizer over four surfaces of two parameters from one start, without clipping, at the best "
        "learning rate of a grid. Prints the number of steps to the minimum and draws the paths.",
    )
    text = f"most steps to the minimum; {HOLD} more show whether a path stays there"
    parser.add_argument("--steps", type=command.up_to(command.LARGEST), default=20_000, least=1, metavar="N", help=text)
    return parser
