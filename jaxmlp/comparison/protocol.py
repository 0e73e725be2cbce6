"""The protocol of a fair comparison: tune on a validation part, freeze the choice, rerun on fresh seeds, test once."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxmlp._checks import check_choice, in_range
from jaxmlp.comparison import speed, statistics
from jaxmlp.comparison.problems import Problem, ProblemData
from jaxmlp.comparison.store import RunStore
from jaxmlp.comparison.study import Study, phases
from jaxmlp.optimizers import OPTIMIZERS

__docformat__ = "google"
__all__ = ["DEFAULT_OPTIMIZERS", "Plan", "check_fits", "execute", "make_plan"]

DEFAULT_OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
"""What is compared unless the caller says otherwise."""


# Nine half-decades each. Rules whose step is proportional to the gradient and rules whose step has unit size need
# rates of different scales; fair is an equal number of tries. Four digits read the same in the table, in the record
# and on the command line.
def _log_grid(low, high, count):
    return [float(f"{rate:.4g}") for rate in np.logspace(low, high, count)]


_PROPORTIONAL, _UNIT = _log_grid(-3, 1, 9), _log_grid(-5, -1, 9)
_GRIDS: dict[str, list[float]] = dict.fromkeys(("rmsprop", "adam", "amsgrad"), _UNIT)  # all others: _PROPORTIONAL
_FULL_GRID = _log_grid(-5, 2, 36)  # as in DeepOBS (2019)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that decides the numbers of one comparison.

    Example:
        >>> from jaxmlp.comparison import problems
        >>> plan = make_plan(problems.get("digits"), ["sgd", "adam"])
        >>> plan.runs  # two grids of nine learning rates with three seeds each, then five fresh seeds each
        64
    """

    problem: Problem
    """The task, with the number of epochs and the batch size that are used."""

    grids: Mapping[str, tuple[float, ...]]
    """Optimizer -> learning rates, ascending."""

    tune_seeds: int
    """Runs of each learning rate while tuning."""

    seeds: int
    """Runs of each choice."""

    @property
    def runs(self) -> int:
        """The number of runs, without those that are only timed."""
        return sum(len(grid) * self.tune_seeds + self.seeds for grid in self.grids.values())

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain values; equal plans give equal numbers on the same machine and versions."""
        problem = dataclasses.asdict(self.problem)
        return {"problem": problem, "grids": dict(self.grids), "tune_seeds": self.tune_seeds, "seeds": self.seeds}


def make_plan(
    problem: Problem,
    optimizers: Sequence[str] = DEFAULT_OPTIMIZERS,
    *,
    learning_rates: Sequence[float] | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    full: bool = False,
) -> Plan:
    """Build a plan, with defaults for everything that is left out.

    Args:
        problem: the task; epochs and batch_size replace its own.
        optimizers: names in jaxmlp.optimizers.OPTIMIZERS.
        learning_rates: one grid for all optimizers, per step, > 0. Default: nine half-decades that depend on the rule.
        seeds: fresh seeds of each choice, >= 1. Default: 5, with full 10. Tuning takes 3 (full: 10), or fewer.
        epochs: epochs of each final run, and at most this many while tuning, >= 1.
        batch_size: examples per step, >= 1.
        full: 36 learning rates from 1e-5 to 1e2 and 10 seeds, as in DeepOBS.

    Raises:
        ValueError: a name is unknown, or a number is out of range.

    Example:
        >>> from jaxmlp.comparison import problems
        >>> make_plan(problems.get("digits"), ["sgd"], learning_rates=[1.0, 0.1], epochs=3).grids
        {'sgd': (0.1, 1.0)}
    """
    if len(set(optimizers)) != len(optimizers) or not optimizers:
        raise ValueError(f"optimizers must be different names, at least one, got {list(optimizers)}")
    for name in optimizers:
        check_choice("optimizer", name, OPTIMIZERS)
    for name, count in (("seeds", seeds), ("epochs", epochs), ("batch_size", batch_size)):
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    if learning_rates is not None:
        in_range("learning_rates", learning_rates, 0, open_low=True)
        if len(set(learning_rates)) != len(learning_rates) or not len(learning_rates):
            raise ValueError(f"learning_rates must be different, at least one, got {list(learning_rates)}")
    seeds = seeds or (10 if full else 5)
    changes: dict[str, Any] = {"batch_size": batch_size} if batch_size else {}
    if epochs:
        changes |= {"epochs": epochs, "tune_epochs": min(epochs, problem.tune_epochs)}
    grids = {}
    for name in optimizers:
        grid = learning_rates or (_FULL_GRID if full else _GRIDS.get(name, _PROPORTIONAL))
        grids[name] = tuple(sorted(map(float, grid)))
    return Plan(dataclasses.replace(problem, **changes), grids, min(seeds, 10 if full else 3), seeds)


def check_fits(plan: Plan, data: ProblemData) -> None:
    """Raise a ValueError if the plan cannot be run on the data.

    Example:
        >>> from jaxmlp.comparison import problems
        >>> plan = make_plan(problems.get("digits"), batch_size=5000)
        >>> check_fits(plan, problems.load(plan.problem))
        Traceback (most recent call last):
        ValueError: batch_size must be at most the 1150 training examples of digits, got 5000
    """
    n, problem = len(data.train[0]), plan.problem
    if problem.batch_size > n:
        raise ValueError(
            f"batch_size must be at most the {n} training examples of {problem.name}, got {problem.batch_size}"
        )


def execute(
    plan: Plan, data: ProblemData, store: RunStore, on_run: Callable[[str, int], None]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Run the whole protocol on one problem.

    Args:
        plan: what to run.
        data: the three parts of the problem's data.
        store: keeps finished runs; runs of this plan that it already holds are not repeated.
        on_run: called as on_run(what is being done, runs done since the last call).

    Returns:
        (record, curves). The record is plain values. curves maps a name to an array: (rates, seeds, epochs) for tuning,
        (seeds, epochs) for the final runs.

    Raises:
        ValueError: the plan does not fit the data; raised before anything is compiled.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxmlp.comparison import problems
        >>> plan = make_plan(problems.get("digits"), ["sgd"], learning_rates=[1e-4, 0.1], seeds=2, epochs=1)
        >>> store = RunStore(pathlib.Path(tempfile.mkdtemp()) / "runs", plan.describe(), resume=False)
        >>> record, curves = execute(plan, problems.load(plan.problem), store, lambda what, runs: None)
        >>> record["optimizers"]["sgd"]["chosen"], curves["sgd/tuning/train_loss"].shape
        (0.1, (2, 2, 1))
    """
    check_fits(plan, data)
    tuning, final = phases(plan.problem, data, plan.tune_seeds, plan.seeds)
    study = Study(plan.problem, store, on_run)
    record: dict[str, Any] = plan.describe() | {
        "examples": {name: len(part[0]) for name, part in zip(data._fields, data, strict=True)},
        "tuning_seeds": tuning.seeds,
        "fresh_seeds": final.seeds,
        "steps_per_epoch": -(-len(final.train[0]) // plan.problem.batch_size),
        "optimizers": {},
    }
    curves, tuning_seconds = {}, 0.0
    for optimizer, grid in plan.grids.items():
        tuned, seconds = study.train(tuning, optimizer, grid)
        tuning_seconds += seconds
        chosen = _choose(tuned)
        retrained, _ = study.train(final, optimizer, [grid[chosen]])
        retrained = {name: values[0] for name, values in retrained.items()}
        alone = study.seconds_alone(final, optimizer, grid[chosen])
        record["optimizers"][optimizer] = _entry(grid, tuned, chosen, retrained) | {
            "seconds_alone": alone,
            "to_target": _to_targets(plan.problem, retrained, alone, record["steps_per_epoch"]),
        }
        for phase, history in ((tuning, tuned), (final, retrained)):
            named = {f"{optimizer}/{phase.name}/{name}": values for name, values in history.items()}
            curves |= {name: values for name, values in named.items() if values.ndim > 1}
    record["seconds_tuning"] = tuning_seconds
    if jax.default_backend() == "cpu" and plan.problem.layer_sizes[0] * plan.problem.batch_size > 50_000:
        # A smaller network does not spend its time on matrix products, and their rate would mean nothing.
        record["seconds_speed"] = _speed(plan, record["examples"], tuning_seconds, store)
    return record, curves


def _choose(tuned):
    """The learning rate of the best mean validation accuracy at the end; ties go to the lower loss."""
    accuracy = tuned["validation_accuracy"][:, :, -1].mean(axis=1)
    loss = np.nan_to_num(tuned["validation_loss"][:, :, -1].mean(axis=1), nan=np.inf)
    return int(np.lexsort((loss, -accuracy))[0])


def _entry(grid, tuned, chosen, retrained):
    return {
        "learning_rates": grid,
        "chosen": grid[chosen],
        "chosen_at_edge": len(grid) > 1 and chosen in (0, len(grid) - 1),
        "tuning": {
            "validation_accuracy": tuned["validation_accuracy"][:, :, -1],
            "validation_loss": tuned["validation_loss"][:, :, -1],
            "first_nonfinite_step": tuned["first_nonfinite_step"],
        },
        "final": {
            **{name: values[:, -1] for name, values in retrained.items() if values.ndim > 1},
            "first_nonfinite_step": retrained["first_nonfinite_step"],
        },
    }


def _to_targets(problem, retrained, seconds_alone, steps_per_epoch):
    """What each seed needs to reach each target, None for never; on the validation part too where that is measured."""
    accuracy = retrained["test_accuracy"]
    if problem.keep_validation:
        accuracy = np.minimum(accuracy, retrained["validation_accuracy"])
    found = {}
    for target in problem.targets:
        epochs = [statistics.first_reaching(curve, target) for curve in accuracy]
        found[f"{100 * target:g} %"] = {
            "epochs": epochs,
            "steps": [None if e is None else e * steps_per_epoch for e in epochs],
            "seconds": [None if e is None else e * seconds_alone / problem.epochs for e in epochs],
        }
    return found


def _speed(plan, examples, tuning_seconds, store):
    """Operations per second of the tuning sweeps' matrix products, compilation included, and of the machine's own."""
    problem = plan.problem
    runs = sum(len(grid) for grid in plan.grids.values()) * plan.tune_seeds
    trained, measured = (
        runs * problem.tune_epochs * count * speed.products_per_example(problem.layer_sizes, training=training)
        for count, training in ((examples["train"], True), (examples["validation"], False))
    )
    # Measured once, beside the runs; a resumed run keeps the figure.
    machine = store.cached(f"{problem.name}-machine", lambda: {"rate": np.asarray(speed.machine_rate())})
    return {"sweep": (trained + measured) / tuning_seconds, "machine": float(machine["rate"])}
