"""What decides the numbers of a comparison, with defaults for everything that is left open."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jaxmlp._checks import LARGEST, check_count, in_range, one_number
from jaxmlp.comparison import candidates, spaces
from jaxmlp.comparison.candidates import Candidate
from jaxmlp.comparison.problems import Problem
from jaxmlp.comparison.spaces import Dimension

__docformat__ = "google"
__all__ = ["DEFAULT_OPTIMIZERS", "FIRST_SEED", "MARGIN", "MOST_SEEDS", "TRIES", "Plan", "make_plan"]

DEFAULT_OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
"""What is compared unless the caller says otherwise."""

FIRST_SEED = 1000
"""Where fresh seeds begin by default, far from those of tuning, which begin at 0."""

MOST_SEEDS = 100_000
"""Of each choice, and splits."""

MARGIN = 0.002
"""Differences in a test accuracy, or another score in percent, up to this size count as equal by default."""


TRIES = 32
"""Points of its space that every candidate is tried at, where one of them has several hyperparameters."""


# Nine half-decades each. Rules whose step is proportional to the gradient and rules whose step has unit size need
# rates of different scales; fair is an equal number of tries. Four digits read the same in the table, in the record
# and on the command line.
def _log_grid(low, high, count):
    return [float(f"{rate:.4g}") for rate in np.logspace(low, high, count)]


_UNKNOWN = _log_grid(-4, 0, 9)
_GRIDS = {(1e-3, 10.0): _log_grid(-3, 1, 9), (1e-5, 0.1): _log_grid(-5, -1, 9)}  # by the range of the learning rate
_FULL_GRID = _log_grid(-5, 2, 36)  # as in DeepOBS (2019)
_WIDEN = 4
_LARGEST_MARGIN = 0.05


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that decides the numbers of one comparison.

    Example:
        >>> from jaxmlp.comparison import problems
        >>> plan = make_plan(problems.get("digits"), ["sgd", "adam"])
        >>> plan.runs  # of each: nine in the coarse pass, nine at full length or a few more, ten in the race
        56
    """

    problem: Problem
    """The task, with the number of epochs and the batch size that are used."""

    candidates: Mapping[str, Candidate]
    """Name -> what competes."""

    spaces: Mapping[str, Mapping[str, Dimension]]
    """Candidate -> what is searched; of a grid, its learning rates."""

    grids: Mapping[str, tuple[float, ...]]
    """Candidate -> learning rates, ascending; empty where the spaces are sampled."""

    tries: int | None
    """Points of its space that every candidate is tried at; None where learning rates are searched along grids."""

    widen: int
    """Learning rates that tuning may add on each side of a default grid whose optimum lies at its edge."""

    tuning_seeds: int
    """Runs at full length of each choice and its neighbours while tuning, on each split."""

    seeds: int
    """Runs of each choice in the race, at its first look; on all splits together."""

    first_seed: int
    """Of the race."""

    splits: int
    """How often the training set is divided, and tuning and choice are repeated."""

    max_seeds: int | None
    """Runs of each choice at the last look of a race that goes on until every pair has a verdict; None for one look."""

    margin: float | None
    """Differences in the test score up to this size count as equal; None: none do."""

    @property
    def runs(self) -> int:
        """The number of runs, estimated: a search may need more."""
        if self.tries is not None:
            quarter = max(3, -(-self.tries // 4))
            tuning = len(self.candidates) * (self.tries + quarter + 3 * (self.tuning_seeds - 1))
        else:
            tuning = sum(len(grid) if len(grid) > 3 else 0 for grid in self.grids.values())
            tuning += sum(min(len(grid) + 2 * self.widen, 3) * self.tuning_seeds for grid in self.grids.values())
        return self.splits * tuning + len(self.candidates) * self.seeds

    def widen_of(self, name: str) -> int:
        """Return how many learning rates may be added to a candidate's grid; a declared range is kept."""
        return 0 if self.candidates[name].space else self.widen

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain values; equal plans give equal numbers on the same machine and versions."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        described = {
            name: candidate.describe() | {"space": spaces.describe(self.spaces[name])}
            for name, candidate in self.candidates.items()
        }
        changes = {"problem": self.problem.describe(), "grids": dict(self.grids), "candidates": described}
        return {name: value for name, value in (values | changes).items() if name != "spaces"}


def make_plan(
    problem: Problem,
    optimizers: Sequence[str | Candidate] | Mapping[str, Candidate] = DEFAULT_OPTIMIZERS,
    *,
    space: Sequence[tuple[str, str, Dimension]] = (),
    schedules: Sequence[str] = (),
    tries: int | None = None,
    learning_rates: Sequence[float] | None = None,
    seeds: int | None = None,
    first_seed: int = FIRST_SEED,
    epochs: int | None = None,
    batch_size: int | None = None,
    full: bool = False,
    splits: int = 1,
    tuning_seeds: int | None = None,
    decide: bool = False,
    max_seeds: int | None = None,
    margin: float | Literal["default"] | None = "default",
) -> Plan:
    """Build a plan, with defaults for everything that is left out.

    Args:
        problem: the task; epochs and batch_size replace its own.
        optimizers: names in jaxmlp.optimizers.OPTIMIZERS, references or Candidates, as for candidates.resolve; or
            what that returned.
        space: (candidate, argument, dimension), in place of its default space; the learning rate keeps its default
            unless it is named too.
        schedules: names in jaxmlp.schedules.SCHEDULES; every candidate competes with each.
        tries: points of its space that every candidate is tried at, >= 1. Default: the learning rate alone is searched,
            along a grid; or TRIES if a space that was declared has more.
        learning_rates: one grid for all optimizers, per step, > 0, which is not widened. Default: nine half-decades
            that depend on the rule, widened by up to four on each side where the optimum lies at the edge.
        seeds: fresh seeds of each choice, >= 1, rounded up to a multiple of splits. Default: 10.
        first_seed: the fresh seeds are first_seed, first_seed + 1, ...; none may be a seed of tuning.
        epochs: epochs of each run in the race, and while tuning after the coarse pass, >= 1.
        batch_size: examples per step, >= 1.
        full: 36 learning rates from 1e-5 to 1e2 and 10 seeds for tuning, as in DeepOBS.
        splits: tuning and choice are repeated on so many splits into training and validation part, with other seeds.
        tuning_seeds: seeds of each choice and its neighbours while tuning, >= 1. Default: 3, with full 10.
        decide: add seeds in batches of `seeds` until every pair has a verdict.
        max_seeds: with decide, the most seeds of each choice. Default: 4 times seeds.
        margin: differences in the test score up to this size count as equal, > 0, an accuracy as a fraction; None:
            none do. Default: 0.002 for scores in percent, none for others.

    Raises:
        ValueError: a name is unknown, or a number is out of range.

    Example:
        >>> from jaxmlp.comparison import problems
        >>> make_plan(problems.get("digits"), ["sgd"], learning_rates=[1.0, 0.1], epochs=3).grids
        {'sgd': (0.1, 1.0)}
    """
    resolved = isinstance(optimizers, Mapping)
    found = dict(optimizers) if resolved else candidates.resolve(optimizers, space, schedules)
    if tries is None and any(set(one.full_space()) != {"learning_rate"} for one in found.values() if one.space):
        tries = TRIES
    seeds, tuning_seeds = seeds if seeds is not None else 10, tuning_seeds or (10 if full else 3)
    counts = {"seeds": (seeds, MOST_SEEDS), "splits": (splits, MOST_SEEDS), "max_seeds": (max_seeds, MOST_SEEDS)}
    counts |= {"epochs": (epochs, LARGEST), "batch_size": (batch_size, LARGEST), "tries": (tries, MOST_SEEDS)}
    for name, (count, most) in counts.items():
        if count is not None:
            check_count(name, count, most=most)
    check_count("first_seed", first_seed, least=-LARGEST, most=2**30)
    if margin == "default":
        margin = MARGIN if problem.scored_by.unit == "%" else None
    if margin is not None:
        in_range("margin", margin, 0, open_low=True)
        if problem.scored_by.unit == "%" and margin > _LARGEST_MARGIN:
            raise ValueError(f"margin is a fraction, 0.002 for 0.2 points, at most {_LARGEST_MARGIN}; got {margin:g}")
    if learning_rates is not None and tries is not None:
        raise ValueError(
            "--learning-rates are a grid, and several hyperparameters are searched by samples of their space; leave it "
            'out, and give a range as in --space "adam.learning_rate=log_uniform(1e-4, 1e-2)"'
        )
    if learning_rates is not None:
        for rate in learning_rates:
            one_number("learning_rates", rate, 0, open_low=True)
        if len(set(learning_rates)) != len(learning_rates) or not len(learning_rates):
            raise ValueError(f"learning_rates must be different, at least one, got {list(learning_rates)}")
    if first_seed < splits * tuning_seeds:
        raise ValueError(
            f"first_seed must be at least {splits * tuning_seeds}, since the seeds before it are those of tuning; got "
            f"{first_seed}"
        )
    seeds = -(-seeds // splits) * splits
    if max_seeds is not None and not decide:
        raise ValueError("max_seeds is the limit of --decide; leave it out, or add --decide")
    if decide and splits > 1:
        raise ValueError("--decide adds seeds, and with --splits each split counts once; leave one of them out")
    if decide:
        max_seeds = 4 * seeds if max_seeds is None else max_seeds
        if max_seeds < seeds:
            raise ValueError(f"max_seeds must be at least the {seeds} seeds of the first look, got {max_seeds}")
    changes: dict[str, Any] = {"batch_size": batch_size} if batch_size else {}
    if epochs:
        changes |= {"epochs": epochs, "coarse_epochs": min(epochs, problem.coarse_epochs)}
    problem = dataclasses.replace(problem, **changes)
    settings = (tuning_seeds, seeds, first_seed, splits, max_seeds, margin)
    if tries is not None:
        sampled = {name: candidate.full_space() for name, candidate in found.items()}
        dropped = [
            name for name, one in found.items() if "dropout" in one.of_training(dict.fromkeys(sampled[name], 0.0))
        ]
        if dropped and problem.network is not None:
            raise ValueError(
                f"dropout is searched for {', '.join(dropped)}, but {problem.name} has a network of its own; leave it "
                "out of --space"
            )
        return Plan(problem, found, sampled, {}, tries, 0, *settings)
    grids = {name: _grid(candidate, learning_rates, full) for name, candidate in found.items()}
    lines = {name: {"learning_rate": spaces.choice(*grid)} for name, grid in grids.items()}
    return Plan(problem, found, lines, grids, None, 0 if learning_rates else _WIDEN, *settings)


def _grid(candidate, learning_rates, full):
    """The learning rates that a candidate is tried at, ascending."""
    declared = (candidate.space or {}).get("learning_rate")
    if learning_rates is not None:
        grid = learning_rates
    elif isinstance(declared, spaces.Choices):
        grid = declared.values
    elif declared is not None:
        count = len(_FULL_GRID) if full else 9
        grid = {declared.at(i / (count - 1)) for i in range(count)}
    elif full:
        grid = _FULL_GRID
    else:
        grid = _GRIDS.get(candidates.step_size_range(candidate), _UNKNOWN)
    return tuple(sorted(map(float, grid)))
