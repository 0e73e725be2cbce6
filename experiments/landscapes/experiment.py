"""The experiment and its command line."""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

import jaxmlp
from experiments.common import command
from experiments.landscapes import figures
from jaxmlp.comparison import drawing, record
from jaxmlp.comparison.store import save_arrays
from jaxmlp.optimizers import OPTIMIZERS

RULES = tuple(OPTIMIZERS)
TARGET = 1e-6  # above the minimum, which is 0 on every surface
# For so many steps a path must stay there: RMSProp's chatters, and passes through the target by chance. Not for ever:
# Adam's leaves again, much later, when its nu has decayed to nothing.
HOLD = 100
LEARNING_RATES = 10 ** (np.arange(-40, 5) / 8)  # 1e-5 to 3.2, eight to a factor of ten


class Landscape(NamedTuple):
    """A surface over two parameters, its minimum 0."""

    equation: str
    surface: Callable[[Any, Any], Any]  # (x, y), numbers or arrays -> height
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]


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
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)

    def body(console):
        _run(options, words, console)
        return 0

    return command.guarded(body)


def descend(landscape: Landscape, rule: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Follow a rule with every learning rate of the grid; return paths (rates, steps + 1, 2) and heights there."""

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
    """Return after how many steps each row comes within TARGET for at least HOLD steps; -1 where it does not.

    The last HOLD steps only show whether what has arrived stays: nothing arrives in them.
    """
    within = heights <= TARGET  # False for NaN
    so_far = np.cumsum(within, axis=1)
    held = within[:, :-HOLD] & (so_far[:, HOLD:] - so_far[:, :-HOLD] == HOLD)
    return np.where(held.any(axis=1), held.argmax(axis=1), -1)


def best(heights: np.ndarray) -> tuple[int, int | None]:
    """Return the row that arrives soonest, and after how many steps; of equals, the smallest rate.

    Where none arrives, the row that is lowest before the last HOLD steps, and None.
    """
    steps = arrivals(heights)
    if np.any(steps >= 0):
        row = int(np.argmin(np.where(steps < 0, heights.shape[1], steps)))
        return row, int(steps[row])
    last = heights[:, -1 - HOLD]
    last = np.where(np.isfinite(last), last, np.inf)
    return int(np.argmin(last)), None


def _run(options, words, console):
    started = time.perf_counter()
    if options.steps < 1:
        raise ValueError(f"--steps must be at least 1, got {options.steps}")
    options.output.mkdir(parents=True, exist_ok=True)
    runs: dict[str, Any] = {name: {} for name in LANDSCAPES}
    arrays = {}
    with command.progress(console, "runs") as progress:
        bar = progress.add_task("", total=len(LANDSCAPES) * len(RULES))
        for name, landscape in LANDSCAPES.items():
            for rule in RULES:
                progress.update(bar, description=f"{rule} on {name}")
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
                progress.advance(bar)
    results = {
        "experiment": "landscapes",
        "format": 1,
        "command": "python -m experiments.landscapes " + shlex.join(words),
        "provenance": record.provenance(),
        "target": TARGET,
        "hold_steps": HOLD,
        "learning_rates": LEARNING_RATES,
        "most_steps": options.steps,
        "paths": "paths.npz",
        "landscapes": {
            name: {"equation": entry.equation, "start": entry.start, "minima": entry.minima, "runs": runs[name]}
            for name, entry in LANDSCAPES.items()
        },
        "seconds_in_all": time.perf_counter() - started,
    }
    save_arrays(options.output / "paths.npz", arrays)
    record.write(options.output / "results.json", results)
    for name, landscape in LANDSCAPES.items():
        paths = {rule: arrays[f"{name}/{rule}"] for rule in RULES}
        figure = figures.landscape(name, landscape.surface, record.plain(results), paths)
        drawing.save(figure, options.output / f"{name}.png")
    console.print(_table(results))
    origin = results["provenance"]
    console.print(
        f"  One start each, nothing random, float64; best of {len(LEARNING_RATES)} learning rates from "
        f"{LEARNING_RATES[0]:g} to {LEARNING_RATES[-1]:g}, at most {options.steps} steps, and {HOLD} more to stay. "
        f"jax {origin['versions']['jax']}; {origin['device']}; commit {origin['commit'] or 'unknown'}; "
        f"{results['seconds_in_all']:.0f} s in all.\n  Record, paths and pictures: {options.output}",
        highlight=False,
        soft_wrap=True,
    )


def _table(results):
    landscapes = results["landscapes"]
    title = f"Steps until within {TARGET:g} of the minimum for {HOLD} steps (learning rate; rates that arrive)"
    table = Table("optimizer", *landscapes, title=title)
    for rule in RULES:
        table.add_row(rule, *(_cell(entry["runs"][rule]) for entry in landscapes.values()))
    return table


def _cell(run):
    if run["steps"] is None:
        return f"never; {run['height']:.1e} ({run['learning_rate']:.2g})"
    return f"{run['steps']} ({run['learning_rate']:.2g}; {run['rates_that_arrive']})"


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m experiments.landscapes",
        description="Follow every optimizer over four surfaces of two parameters from one start, unclipped, at the "
        "best learning rate of a grid. Prints the steps each takes to the minimum; draws the paths.",
    )
    add = parser.add_argument
    add(
        "--steps",
        type=int,
        default=20_000,
        metavar="N",
        help=f"most steps to arrive in (default 20000); {HOLD} more show who stays",
    )
    add(
        "--output",
        type=Path,
        default=Path("results") / "landscapes",
        metavar="DIR",
        help="where to write record, paths and pictures (default results/landscapes)",
    )
    return parser
