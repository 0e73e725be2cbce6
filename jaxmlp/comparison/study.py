"""The training runs of a comparison: its two phases, and sweeps in pieces that are kept as soon as they are done."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from jaxmlp.comparison import speed
from jaxmlp.comparison.problems import Problem, ProblemData
from jaxmlp.comparison.store import Arrays, RunStore
from jaxmlp.data import Examples

__docformat__ = "google"
__all__ = ["Phase", "Study", "phases"]

_FIRST_TUNING_SEED, _FIRST_FRESH_SEED = 0, 1000  # far apart, so that the phases never share a seed

# A piece is what a kill loses at most: about this much work, but no more runs than keep all cores busy, and no fewer
# than run side by side.
_PIECE_OPERATIONS, _MOST_RUNS, _FEWEST_RUNS = 5e12, 9, 2


class Phase(NamedTuple):
    """What the runs of one phase, tuning or the final runs, have in common."""

    name: str
    """"tuning" or "final", part of the name under which a piece is kept."""

    activity: str
    """What a progress bar shows, with {optimizer} in it."""

    seeds: list[int]
    """One run of each learning rate for each seed."""

    epochs: int
    """Epochs of each run."""

    train: Examples
    """Training examples, on the device."""

    measured: Examples
    """Examples measured after every epoch, on the device."""

    metrics: Mapping[str, Any]
    """Name -> fn(params, x, y), of the measured examples."""

    loss_name: str | None
    """Name of the loss over all measured examples; None to leave it out."""


def phases(problem: Problem, data: ProblemData, tune_seeds: int, seeds: int) -> tuple[Phase, Phase]:
    """Divide the data between tuning, measured on the validation part, and the final runs, measured on the test part.

    Args:
        problem: the task; says whether the final runs train on the validation part as well.
        data: its three parts.
        tune_seeds: runs of each learning rate while tuning.
        seeds: final runs of each choice.

    Returns:
        (tuning, final).

    Example:
        >>> from jaxmlp.comparison import problems
        >>> digits = problems.get("digits")
        >>> tuning, final = phases(digits, problems.load(digits), tune_seeds=3, seeds=5)
        >>> tuning.seeds, final.seeds
        ([0, 1, 2], [1000, 1001, 1002, 1003, 1004])
        >>> len(tuning.train[0]), len(final.train[0])
        (1150, 1437)
    """
    apply = problem.network().apply
    accuracy, loss_fn = jaxmlp.accuracy(apply), jaxmlp.objective(apply)
    # On the device once, not once for each of hundreds of runs.
    train, validation = jax.device_put((data.train, data.validation))
    tuning = Phase(
        name="tuning",
        activity="tuning {optimizer}",
        seeds=list(range(_FIRST_TUNING_SEED, _FIRST_TUNING_SEED + tune_seeds)),
        epochs=problem.tune_epochs,
        train=train,
        measured=validation,
        metrics={"validation_accuracy": accuracy},
        loss_name="validation_loss",
    )
    if problem.keep_validation:
        measured = _joined(data.validation, data.test)
        first, last = len(data.validation[0]), len(measured[0])
        metrics = {
            "validation_accuracy": _OfRows(accuracy, 0, first),
            "test_accuracy": _OfRows(accuracy, first, last),
            "test_loss": _OfRows(loss_fn, first, last),
        }
    else:
        train, measured = jax.device_put(_joined(data.train, data.validation)), data.test
        metrics = {"test_accuracy": accuracy, "test_loss": loss_fn}
    final = Phase(
        name="final",
        activity="{optimizer} on fresh seeds",
        seeds=list(range(_FIRST_FRESH_SEED, _FIRST_FRESH_SEED + seeds)),
        epochs=problem.epochs,
        train=train,
        measured=jax.device_put(measured),
        metrics=metrics,
        loss_name=None,
    )
    return tuning, final


class Study:
    """Train the optimizers of one problem, taking from a store what it already holds.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxmlp.comparison import problems
        >>> digits = dataclasses.replace(problems.get("digits"), tune_epochs=1)
        >>> store = RunStore(pathlib.Path(tempfile.mkdtemp()) / "runs", {}, resume=False)
        >>> tuning, _ = phases(digits, problems.load(digits), tune_seeds=2, seeds=1)
        >>> history, _ = Study(digits, store, lambda what, runs: None).train(tuning, "sgd", [0.1, 1.0])
        >>> history["validation_accuracy"].shape
        (2, 2, 1)
    """

    def __init__(self, problem: Problem, store: RunStore, on_run: Callable[[str, int], None]):
        """Prepare to train.

        Args:
            problem: the task.
            store: where finished pieces are kept.
            on_run: called as on_run(what is being done, runs done since the last call).
        """
        self.problem, self.store, self.on_run = problem, store, on_run
        self.network = problem.network()
        self.loss_fn = jaxmlp.objective(self.network.apply)

    def train(self, phase: Phase, optimizer: str, rates: Sequence[float]) -> tuple[Arrays, float]:
        """Train with every learning rate and every seed of a phase.

        Args:
            phase: data, seeds, epochs and metrics.
            optimizer: a name in jaxmlp.optimizers.OPTIMIZERS.
            rates: learning rates, per step.

        Returns:
            The history as arrays (rates, seeds) or (rates, seeds, epochs), and the seconds it took.
        """
        points, keys = self._piece_size(phase, len(rates))
        rows, seconds = [], 0.0
        for first in range(0, len(rates), points):
            row = []
            for start in range(0, len(phase.seeds), keys):
                piece = (rates[first : first + points], phase.seeds[start : start + keys])
                name = f"{self.problem.name}-{optimizer}-{phase.name}-{first:03d}-{start:03d}"
                history = self._piece(name, phase, optimizer, *piece)
                seconds += float(history.pop("seconds"))
                row.append(history)
            rows.append({name: np.concatenate([part[name] for part in row], axis=1) for name in row[0]})
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}, seconds

    def seconds_alone(self, phase: Phase, optimizer: str, learning_rate: float) -> float:
        """Time one run by itself, without compilation and without metrics: the median of three, in seconds."""

        def measure():
            rule = self.problem.factory(optimizer)(learning_rate)
            init_key, fit_key = jax.random.split(jax.random.key(phase.seeds[0]))
            params = self.network.init(init_key)
            # Every epoch is the same work, so that a few stand for all.
            epochs = min(phase.epochs, 5)
            fit = functools.partial(jaxmlp.fit, self.loss_fn, params, rule, phase.train, key=fit_key)

            def train():
                start = time.perf_counter()
                jax.block_until_ready(fit(epochs=epochs, batch_size=self.problem.batch_size))
                return time.perf_counter() - start

            train()
            return {"seconds": np.asarray(np.median([train() for _ in range(3)]) * phase.epochs / epochs)}

        return float(self.store.cached(f"{self.problem.name}-{optimizer}-seconds", measure)["seconds"])

    def _piece_size(self, phase, points):
        """Points and seeds of a piece: several points with all their seeds, or some seeds of one point."""
        seeds = len(phase.seeds)
        if jax.default_backend() != "cpu":
            return points, seeds  # sweep vectorises them, in pieces that fit the memory
        products = speed.products_per_example(self.problem.layer_sizes, training=True)
        operations = phase.epochs * len(phase.train[0]) * products
        runs = int(np.clip(_PIECE_OPERATIONS // operations, _FEWEST_RUNS, _MOST_RUNS))
        return (max(1, runs // seeds), seeds) if runs >= seeds else (1, runs)

    def _piece(self, name, phase, optimizer, rates, seeds):
        """The history of some learning rates and seeds, with the seconds it took."""
        activity = f"{self.problem.name}: {phase.activity.format(optimizer=optimizer)}"
        report = _Report(self.on_run, activity)

        def train():
            start = time.perf_counter()
            results = jaxmlp.sweep(
                self.loss_fn,
                self.network.init,
                self.problem.factory(optimizer),
                {"learning_rate": list(rates)},
                phase.train,
                keys=jax.vmap(jax.random.key)(jnp.asarray(seeds)),
                epochs=phase.epochs,
                batch_size=self.problem.batch_size,
                validation=phase.measured,
                metrics=phase.metrics,
                history_only=True,
                on_run=lambda done, total: report.up_to(done),
            )
            return _arrays(results.history, phase) | {"seconds": np.asarray(time.perf_counter() - start)}

        report.up_to(0)
        history = self.store.cached(name, train)
        report.up_to(len(rates) * len(seeds))  # all of them at once where they were kept
        return history


class _Report:
    """Turns the number of runs done in a piece into the number done since the last call."""

    def __init__(self, on_run, activity):
        self.on_run, self.activity, self.reported = on_run, activity, 0

    def up_to(self, done):
        self.on_run(self.activity, done - self.reported)
        self.reported = done


@dataclasses.dataclass(frozen=True)
class _OfRows:
    """A metric of some rows of the measured examples."""

    metric: Any
    start: int
    stop: int

    def __call__(self, params, x, y):
        return self.metric(params, x[self.start : self.stop], y[self.start : self.stop])


def _joined(first, second):
    return tuple(np.concatenate(parts) for parts in zip(first, second, strict=True))


def _arrays(history, phase):
    arrays = {"train_loss": history.train_loss, "first_nonfinite_step": history.first_nonfinite_step}
    if phase.loss_name is not None:
        arrays[phase.loss_name] = history.validation_loss
    return {name: np.asarray(values) for name, values in (arrays | history.metrics).items()}
