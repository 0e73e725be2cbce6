"""The protocol of a fair comparison: tune on a validation part, freeze the choice, rerun on fresh seeds, test once."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from jaxmlp._checks import check_choice, in_range
from jaxmlp.comparison import speed, statistics
from jaxmlp.comparison.problems import Problem, ProblemData
from jaxmlp.comparison.store import RunStore

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
_TUNING_SEED, _FRESH_SEED = 0, 1000  # first seed of each phase; the phases never share one
# Runs are kept piece by piece. A piece is what a kill loses at the most: about so much work, but no more runs than keep
# all cores busy, and no fewer than go side by side.
_PIECE_OPERATIONS, _MOST_RUNS, _FEWEST_RUNS = 5e12, 9, 2


# Nine half-decades each: rules whose step is proportional to the gradient, and rules whose step is of unit size, live
# at different scales; what is fair is an equal number of tries. Four digits read the same in the table, in the record
# and on the command line.
def _log_grid(low, high, count):
    return [float(f"{rate:.4g}") for rate in np.logspace(low, high, count)]


_PROPORTIONAL, _UNIT = _log_grid(-3, 1, 9), _log_grid(-5, -1, 9)
_GRIDS = {name: _UNIT if name in ("rmsprop", "adam", "amsgrad") else _PROPORTIONAL for name in (*OPTIMIZERS, "amsgrad")}
_FULL_GRID = _log_grid(-5, 2, 36)  # DeepOBS (2019)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that decides the numbers of one comparison."""

    problem: Problem
    grids: Mapping[str, tuple[float, ...]]  # optimizer -> learning rates, ascending
    tune_seeds: int  # runs of each learning rate while choosing
    seeds: int  # runs of each choice

    @property
    def runs(self) -> int:
        """Runs in all, without the timed ones."""
        return sum(len(grid) * self.tune_seeds + self.seeds for grid in self.grids.values())

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain values; equal plans give equal numbers on the same machine and versions."""
        problem = dataclasses.asdict(self.problem)
        return {"problem": problem, "grids": dict(self.grids), "tune_seeds": self.tune_seeds, "seeds": self.seeds}


def make_plan(
    problem: Problem,
    optimizers: Sequence[str] = OPTIMIZERS,
    *,
    learning_rates: Sequence[float] | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    full: bool = False,
) -> Plan:
    """Fill in what the caller leaves open.

    Args:
        problem: the task; epochs and batch_size replace its own.
        optimizers: names of factories in jaxmlp.optimizers.
        learning_rates: one grid for all optimizers, per step, > 0; by default nine half-decades that depend on the
            rule.
        seeds: fresh seeds of each choice, >= 1; by default 5, with full 10. Tuning takes 3 (full: 10), or fewer.
        epochs: of each run, while tuning (at most) and of the choice, >= 1.
        batch_size: examples per step, >= 1.
        full: 36 learning rates from 1e-5 to 1e2 and 10 seeds, as DeepOBS has it.

    Raises: ValueError where a name or a number is not allowed.
    """
    if len(set(optimizers)) != len(optimizers) or not optimizers:
        raise ValueError(f"optimizers must be different names, at least one, got {list(optimizers)}")
    for name in optimizers:
        check_choice("optimizer", name, tuple(_GRIDS))
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
        grids[name] = tuple(sorted(map(float, learning_rates or (_FULL_GRID if full else _GRIDS[name]))))
    return Plan(dataclasses.replace(problem, **changes), grids, min(seeds, 10 if full else 3), seeds)


def check_fits(plan: Plan, data: ProblemData) -> None:
    """Raise a ValueError where the plan cannot be run on the data."""
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
        data: the problem's three parts.
        store: keeps finished runs; what it already holds of this plan is not run again.
        on_run: called as on_run(what is being done, runs done just now).

    Returns: (record, curves). The record is plain values; curves maps a name to an array, (points, seeds, epochs) for
        tuning and (seeds, epochs) for the choice.
    Raises: ValueError where the plan does not fit the data, before anything is compiled.
    """
    check_fits(plan, data)
    study = _Study(plan, data, store, on_run)
    record: dict[str, Any] = plan.describe() | {
        "examples": {name: len(part[0]) for name, part in zip(data._fields, data, strict=True)},
        "tuning_seeds": study.tuning_seeds,
        "fresh_seeds": study.fresh_seeds,
        "steps_per_epoch": -(-len(study.final_train[0]) // plan.problem.batch_size),
        "optimizers": {},
    }
    curves, tuning_seconds = {}, 0.0
    for optimizer, grid in plan.grids.items():
        tuning, seconds = study.tune(optimizer, grid)
        tuning_seconds += seconds
        chosen = _choose(tuning)
        final = study.rerun(optimizer, grid[chosen])
        alone = study.seconds_alone(optimizer, grid[chosen])
        record["optimizers"][optimizer] = _entry(grid, tuning, chosen, final) | {
            "seconds_alone": alone,
            "to_target": _to_targets(plan.problem, final, alone, record["steps_per_epoch"]),
        }
        for phase, history in (("tuning", tuning), ("final", final)):
            curves |= {f"{optimizer}/{phase}/{name}": values for name, values in history.items() if values.ndim > 1}
    record["seconds_tuning"] = tuning_seconds
    if jax.default_backend() == "cpu" and plan.problem.layer_sizes[0] * plan.problem.batch_size > 50_000:
        # On a network too small for its products to take the time, their rate would say nothing.
        record["seconds_speed"] = _speed(plan, record["examples"], tuning_seconds, store)
    return record, curves


class _Study:
    """The runs of one plan, each taken from the store where it is there."""

    def __init__(self, plan, data, store, on_run):
        self.plan, self.store, self.on_run = plan, store, on_run
        self.problem, self.network = plan.problem, plan.problem.network()
        self.loss_fn = jaxmlp.objective(self.network.apply)
        self.tuning_seeds = list(range(_TUNING_SEED, _TUNING_SEED + plan.tune_seeds))
        self.fresh_seeds = list(range(_FRESH_SEED, _FRESH_SEED + plan.seeds))
        # On the device once, not once for each of hundreds of runs.
        self.train, self.validation = jax.device_put((data.train, data.validation))
        accuracy = jaxmlp.accuracy(self.network.apply)
        self.tuning_metrics = {"validation_accuracy": accuracy}
        joined = [np.concatenate(parts) for parts in zip(data.validation, data.test, strict=True)]
        first_test = len(data.validation[0])
        if self.problem.keep_validation:
            self.final_train, measured = self.train, tuple(joined)
            self.final_metrics: dict[str, Any] = {
                "validation_accuracy": _Rows(accuracy, 0, first_test),
                "test_accuracy": _Rows(accuracy, first_test, len(joined[0])),
                "test_loss": _Rows(self.loss_fn, first_test, len(joined[0])),
            }
        else:
            both = tuple(np.concatenate(parts) for parts in zip(data.train, data.validation, strict=True))
            self.final_train, measured = jax.device_put(both), data.test
            self.final_metrics = {"test_accuracy": accuracy, "test_loss": self.loss_fn}
        self.measured = jax.device_put(measured)

    def tune(self, optimizer: str, grid: Sequence[float]) -> tuple[dict[str, np.ndarray], float]:
        """Train every learning rate with every tuning seed; arrays (points, seeds[, epochs]), and the seconds."""
        what = f"{self.problem.name}: tuning {optimizer}"
        return self._sweep(f"{optimizer}-tuning", what, optimizer, grid, self.tuning_seeds, final=False)

    def rerun(self, optimizer: str, learning_rate: float) -> dict[str, np.ndarray]:
        """Train the choice with every fresh seed; arrays (seeds[, epochs])."""
        what = f"{self.problem.name}: {optimizer} on fresh seeds"
        history, _ = self._sweep(f"{optimizer}-final", what, optimizer, [learning_rate], self.fresh_seeds, final=True)
        return {name: values[0] for name, values in history.items()}

    def seconds_alone(self, optimizer: str, learning_rate: float) -> float:
        """Seconds of one run of the choice, by itself and compiled before, without measuring: median of three."""

        def measure():
            rule = self.problem.factory(optimizer)(learning_rate)
            init_key, fit_key = jax.random.split(jax.random.key(self.fresh_seeds[0]))
            params = self.network.init(init_key)
            # A few epochs stand for all: every epoch is the same work.
            epochs = min(self.problem.epochs, 5)
            settings = {"epochs": epochs, "batch_size": self.problem.batch_size}

            def train():
                start = time.perf_counter()
                result = jaxmlp.fit(self.loss_fn, params, rule, self.final_train, key=fit_key, **settings)
                jax.block_until_ready(result)
                return time.perf_counter() - start

            train()
            return {"seconds": np.median([train() for _ in range(3)]) * self.problem.epochs / epochs}

        return float(self.store.cached(f"{self.problem.name}-{optimizer}-seconds", measure)["seconds"])

    def _sweep(self, name, what, optimizer, rates, seeds, *, final):
        """Run rates x seeds in pieces; the history as arrays (points, seeds[, epochs]), and the seconds."""
        points, keys = self._piece_size(len(rates), len(seeds), final)
        rows, seconds = [], 0.0
        for first in range(0, len(rates), points):
            row = []
            for start in range(0, len(seeds), keys):
                piece = (rates[first : first + points], seeds[start : start + keys])
                kept = f"{self.problem.name}-{name}-{first:03d}-{start:03d}"
                history = self._piece(kept, what, optimizer, *piece, final=final)
                seconds += float(history.pop("seconds"))
                row.append(history)
            rows.append({name: np.concatenate([part[name] for part in row], axis=1) for name in row[0]})
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}, seconds

    def _piece_size(self, points, seeds, final):
        """Points and seeds of a piece: several points with all their seeds, or some seeds of one point."""
        if jax.default_backend() != "cpu":
            return points, seeds  # vectorised, and cut into pieces that fit the memory, by sweep
        epochs, examples = (self.problem.epochs, self.final_train) if final else (self.problem.tune_epochs, self.train)
        operations = epochs * len(examples[0]) * speed.products_per_example(self.problem.layer_sizes, training=True)
        runs = int(np.clip(_PIECE_OPERATIONS // operations, _FEWEST_RUNS, _MOST_RUNS))
        return (max(1, runs // seeds), seeds) if runs >= seeds else (1, runs)

    def _piece(self, kept, what, optimizer, rates, seeds, *, final):
        def train():
            start = time.perf_counter()
            results = jaxmlp.sweep(
                self.loss_fn,
                self.network.init,
                self.problem.factory(optimizer),
                {"learning_rate": list(rates)},
                self.final_train if final else self.train,
                keys=jax.vmap(jax.random.key)(jnp.asarray(seeds)),
                epochs=self.problem.epochs if final else self.problem.tune_epochs,
                batch_size=self.problem.batch_size,
                validation=self.measured if final else self.validation,
                metrics=self.final_metrics if final else self.tuning_metrics,
                history_only=True,
                on_run=advance,
            )
            return _arrays(results.history, final) | {"seconds": np.asarray(time.perf_counter() - start)}

        reported = 0

        def advance(done, total):
            nonlocal reported
            self.on_run(what, done - reported)
            reported = done

        self.on_run(what, 0)
        history = self.store.cached(kept, train)
        self.on_run(what, len(rates) * len(seeds) - reported)
        return history


@dataclasses.dataclass(frozen=True)
class _Rows:
    """A metric on some rows of the measured examples."""

    metric: Any
    start: int
    stop: int

    def __call__(self, params, x, y):
        return self.metric(params, x[self.start : self.stop], y[self.start : self.stop])


def _arrays(history, final):
    arrays = {"train_loss": history.train_loss, "first_nonfinite_step": history.first_nonfinite_step}
    # In the final runs what is measured is the test part, whose loss is among the metrics under its own name.
    arrays |= history.metrics if final else {"validation_loss": history.validation_loss, **history.metrics}
    return {name: np.asarray(values) for name, values in arrays.items()}


def _choose(tuning):
    """The learning rate of the best mean validation accuracy at the end; of equals, the one of lower loss."""
    accuracy = tuning["validation_accuracy"][:, :, -1].mean(axis=1)
    loss = np.nan_to_num(tuning["validation_loss"][:, :, -1].mean(axis=1), nan=np.inf)
    return int(np.lexsort((loss, -accuracy))[0])


def _entry(grid, tuning, chosen, final):
    return {
        "learning_rates": grid,
        "chosen": grid[chosen],
        "chosen_at_edge": len(grid) > 1 and chosen in (0, len(grid) - 1),
        "tuning": {
            "validation_accuracy": tuning["validation_accuracy"][:, :, -1],
            "validation_loss": tuning["validation_loss"][:, :, -1],
            "first_nonfinite_step": tuning["first_nonfinite_step"],
        },
        "final": {
            **{name: values[:, -1] for name, values in final.items() if values.ndim > 1},
            "first_nonfinite_step": final["first_nonfinite_step"],
        },
    }


def _to_targets(problem, final, seconds_alone, steps_per_epoch):
    """For each target, what each seed needs to reach it, None for never; on validation too where that is kept."""
    curves = final["test_accuracy"]
    if problem.keep_validation:
        curves = np.minimum(curves, final["validation_accuracy"])
    found = {}
    for target in problem.targets:
        epochs = [statistics.first_reaching(curve, target) for curve in curves]
        found[f"{100 * target:g} %"] = {
            "epochs": epochs,
            "steps": [None if e is None else e * steps_per_epoch for e in epochs],
            "seconds": [None if e is None else e * seconds_alone / problem.epochs for e in epochs],
        }
    return found


def _speed(plan, examples, tuning_seconds, store):
    """Matrix products per second over the tuning sweeps, compiling included, and the machine's own."""
    problem = plan.problem
    runs = sum(len(grid) for grid in plan.grids.values()) * plan.tune_seeds
    trained, measured = (
        runs * problem.tune_epochs * count * speed.products_per_example(problem.layer_sizes, training=training)
        for count, training in ((examples["train"], True), (examples["validation"], False))
    )
    # Measured once, beside the runs; a resumed run keeps the figure.
    machine = store.cached(f"{problem.name}-machine", lambda: {"rate": np.asarray(speed.machine_rate())})
    return {"sweep": (trained + measured) / tuning_seconds, "machine": float(machine["rate"])}
