"""The training runs of a comparison: its three phases, as jobs that are kept as soon as they are done.

What the runs of a phase report is a table: arrays whose first axis is the run, with the columns split, seed and one for
each hyperparameter.
"""

import dataclasses
import functools
import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import jaxmlp
from jaxmlp.comparison import inside, speed, timing
from jaxmlp.comparison.candidates import Candidate
from jaxmlp.comparison.measures import Early, EarlyAfter, OfRows, early_steps
from jaxmlp.comparison.problems import Problem, ProblemData, resplit
from jaxmlp.comparison.schedule import Job
from jaxmlp.comparison.scores import Examples as ScoresOfExamples
from jaxmlp.comparison.scores import Measure
from jaxmlp.comparison.store import Arrays, quoted
from jaxmlp.comparison.tuning import Point
from jaxmlp.data import Examples
from jaxmlp.instruments import Readings

__docformat__ = "google"
__all__ = ["COARSE", "FULL", "RACE", "Phase", "Piece", "Study", "join"]

COARSE, FULL, RACE = "coarse", "full", "race"

# A job is what a kill loses on each core: about this much work, unless one run is more.
_JOB_OPERATIONS, _MOST_RUNS = 3e11, 9
# What is timed is long enough for a clock.
_TIMED_OPERATIONS, _MOST_TIMED_EPOCHS = 1e9, 5


class Phase(NamedTuple):
    """What the runs of one phase have in common."""

    name: str
    """COARSE, FULL (both tuning) or RACE."""

    epochs: int
    """Epochs of each run."""

    train: Examples
    """Training examples, on the device."""

    measured: Examples | None
    """Examples measured after every epoch, on the device; None: nothing is."""

    metrics: Mapping[str, Any]
    """Name -> fn(params, x, y), of the measured examples."""

    step_metrics: Mapping[str, Any]
    """Name -> fn(step), measured within epochs."""

    loss_name: str | None
    """Name of the loss over all measured examples; None to leave it out."""


class Piece(NamedTuple):
    """What decides the runs of one job: every point with every seed."""

    phase: str
    """COARSE, FULL or RACE."""

    split: int
    """Number of the split."""

    candidate: Candidate
    """What is trained."""

    points: list[Point]
    """Hyperparameters, those of training equal in all."""

    seeds: list[int]
    """Of the runs at each point."""


class Study:
    """The training runs on one problem.

    Example:
        >>> from jaxmlp.comparison import candidates, problems
        >>> digits = dataclasses.replace(problems.get("digits"), coarse_epochs=1)
        >>> study = Study(digits, problems.load(digits))
        >>> sgd = candidates.load("sgd")
        >>> jobs = study.jobs(COARSE, sgd, 0, [({"learning_rate": rate}, 0) for rate in (0.1, 1.0)])
        >>> table = join([job.compute() | job.columns for job in jobs])
        >>> table["learning_rate"], table["validation_score"].shape
        (array([0.1, 1. ]), (2, 1))
    """

    def __init__(self, problem: Problem, data: ProblemData, early: Sequence[float] | None = None):
        """Prepare to train.

        Args:
            problem: the task.
            data: its three parts; other splits of the first two are derived from them.
            early: the fractions of an epoch after which runs are measured early; None: those of early_steps.
        """
        self.problem, self.data = problem, data
        self.network = problem.build(data)
        self.loss_fn = jaxmlp.objective(self.network.apply, problem.loss)
        self.score = Measure(problem.scored_by, self.network.apply)
        self._phases: dict[tuple[str, int], Phase] = {}
        self._early = early
        self._variants: dict[tuple[tuple[str, float], ...], Study] = {}
        self._lock = threading.RLock()  # of phases and variants, which are made when they are first used

    def phase(self, name: str, split: int) -> Phase:
        """Return what the runs of a phase have in common on one split of the training data."""
        shared = name == RACE and not self.problem.keep_validation  # the same examples, however they are split
        split = 0 if shared else split
        if (name, split) not in self._phases:
            # One split at a time is on the device.
            self._phases = {k: p for k, p in self._phases.items() if k[1] == split or k == (RACE, 0)}
            made = [self._race(split)] if name == RACE else self._tuning(split)
            self._phases |= {(phase.name, split): phase for phase in made}
        return self._phases[name, split]

    def jobs(self, phase: str, candidate: Candidate, split: int, runs: Sequence[tuple[Point, int]]) -> list[Job]:
        """Divide runs into jobs.

        Args:
            phase: COARSE, FULL or RACE.
            candidate: what is trained.
            split: number of the split.
            runs: the hyperparameters and the seed of each.
        """
        found = []
        for of_training, group in _by_training(candidate, runs):
            with self._lock:
                study = self._variant(of_training)
                most = study._runs_of_a_job(study.phase(phase, split))
            for points, seeds in _rectangles(group):
                many = max(1, most // len(seeds))
                for some in _batched(points, many):
                    for few in _batched(seeds, most):
                        piece = Piece(phase, split, candidate, some, few)
                        found.append(study._job(piece, functools.partial(self.train, piece)))
        return found

    def train(self, piece: Piece) -> Arrays:
        """Do the runs of a piece, in any thread."""
        with self._lock:
            study = self._variant(piece.candidate.of_training(piece.points[0]))
            phase = study.phase(piece.phase, piece.split)
        return study._train(phase, piece.candidate, piece.points, piece.seeds)

    def _variant(self, of_training):
        """The study with another batch size or dropout, whose programs are compiled apart."""
        kinds = {"batch_size": int, "dropout": float}
        changes = {name: kinds[name](value) for name, value in of_training.items() if name in kinds}
        if not changes:
            return self
        key = tuple(sorted(changes.items()))
        if key not in self._variants:
            steps = self.steps_per_epoch(self.phase(RACE, 0))
            early = [at / steps for at in early_steps(steps)]
            problem = dataclasses.replace(self.problem, **changes)
            self._variants[key] = Study(problem, self.data, early)
        return self._variants[key]

    def _early_steps(self, steps, after):
        """The steps of an epoch before which it is measured; after a step, that is one step earlier."""
        if self._early is None:
            return early_steps(steps)
        return tuple(min(max(round(at * steps), after), steps - 1 + after) for at in self._early)

    def early_epochs(self) -> np.ndarray:
        """Return after how many epochs, with fractions, each early measurement of the race is taken."""
        phase = self.phase(RACE, 0)
        steps = self.steps_per_epoch(phase)
        inside = [epoch + at / steps for epoch in range(_early_of(phase)) for at in (*early_steps(steps), steps)]
        return np.asarray(inside)

    def steps_per_epoch(self, phase: Phase) -> int:
        """Return the number of steps in an epoch, the last of them on a partial batch if need be."""
        return -(-_count(phase.train) // self.problem.batch_size)

    def seconds_per_epoch(self, chosen: Sequence[tuple[Candidate, Point]], seed: int) -> dict[str, list[float]]:
        """Time the candidates at their choices, in turns, without compiling and without metrics.

        Args:
            chosen: every candidate with its choice.
            seed: of the runs.

        Returns:
            Name -> seconds of an epoch, one for each turn.
        """
        phase = self.phase(RACE, 0)
        operations = _count(phase.train) * self._products(training=True)
        epochs = int(np.clip(_TIMED_OPERATIONS // operations, 1, min(_MOST_TIMED_EPOCHS, phase.epochs)))
        init_key, fit_key = jax.random.split(jax.random.key(seed))
        params = self.network.init(init_key)
        runs = {}
        for candidate, point in chosen:
            study = self._variant(candidate.of_training(point))
            runs[candidate.name] = functools.partial(
                jaxmlp.fit,
                study._loss(candidate, point),
                params,
                study._recipe(candidate, phase, point)(**candidate.of_rule(point)),
                phase.train,
                key=fit_key,
                epochs=epochs,
                batch_size=study.problem.batch_size,
            )
        return {name: [s / epochs for s in seconds] for name, seconds in timing.in_turns(runs).items()}

    def operations(self, phase: Phase, runs: int) -> float:
        """Count the floating-point operations of the matrix products of some runs, measurements included."""
        measurements = phase.epochs * _count(phase.measured)
        if phase.step_metrics:
            measurements += _early_of(phase) * len(early_steps(self.steps_per_epoch(phase))) * _count(phase.measured)
        trained = phase.epochs * _count(phase.train)
        return runs * (trained * self._products(training=True) + measurements * self._products(training=False))

    def describe_network(self) -> str:
        """Say what the network is: its layers, or how many parameters it has."""
        sizes = self.problem.sizes(self.data)
        if sizes is not None:
            return "-".join(map(str, sizes))
        count = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(self.network.init, jax.random.key(0))))
        return f"{count:,} parameters"

    def _products(self, *, training):
        """The operations of one example: of an MLP exactly, of another network from the sizes of its matrices."""
        sizes = self.problem.sizes(self.data)
        if sizes is not None:
            return speed.products_per_example(sizes, training=training)
        shapes = jax.tree.leaves(jax.eval_shape(self.network.init, jax.random.key(0)))
        return (6 if training else 2) * max(1, sum(leaf.size for leaf in shapes))

    def _tuning(self, split):
        data = resplit(self.problem, self.data, split)
        train, validation = jax.device_put((data.train, data.validation))
        for name, epochs in ((COARSE, self.problem.coarse_epochs), (FULL, self.problem.epochs)):
            metrics = {"validation_score": self.score}
            yield Phase(name, epochs, train, validation, metrics, {}, "validation_loss")

    def _race(self, split):
        test: dict[str, Any] = {"test_score": self.score, "test_loss": self.loss_fn}
        kept = self._kept_of_examples()
        if kept:
            test[kept] = ScoresOfExamples(self.score.score, self.network.apply)
        if self.problem.keep_validation:
            data = resplit(self.problem, self.data, split)
            train, validation = jax.device_put((data.train, data.validation))
            measured = _joined(data.validation, data.test)
            first, last = _count(data.validation), _count(measured)
            metrics = {name: OfRows(metric, first, last) for name, metric in test.items()}
            metrics["validation_score"] = OfRows(self.score, 0, first)
            early = {"early_validation_score": validation, "early_test_score": data.test}
        else:
            train, measured, metrics = (
                jax.device_put(_joined(self.data.train, self.data.validation)),
                self.data.test,
                test,
            )
            early = {"early_test_score": self.data.test}
        steps, epochs = -(-_count(train) // self.problem.batch_size), self.problem.epochs
        inside = self._early_steps(steps, 0)
        at = tuple(epoch * steps + step for epoch in range(min(_EARLY, epochs)) for step in inside)
        step_metrics = {}
        for name, part in early.items() if at else ():
            x, y = jax.device_put(part)
            step_metrics[name] = Early(x, y, self.score, at)
        return Phase(RACE, epochs, train, jax.device_put(measured), metrics, step_metrics, None)

    def _kept_of_examples(self):
        """The column of what each test example scores; None for a score that is not a mean over examples."""

        def scores(key, x, y):
            return self.score.score.function(self.network.apply(self.network.init(key), x), y)

        found = jax.eval_shape(scores, jax.random.key(0), *self.data.test)
        return None if not found.ndim else "right" if found.dtype == bool else "examples_score"

    def _runs_of_a_job(self, phase):
        if jax.default_backend() != "cpu":
            return 2**31  # sweep vectorises them, in pieces that fit the memory
        return int(np.clip(_JOB_OPERATIONS // self.operations(phase, 1), 1, _MOST_RUNS))

    def _job(self, piece, compute):
        phase, split, candidate, points, seeds = piece
        runs = [(point, seed) for point in points for seed in seeds]
        columns = {
            "split": np.full(len(runs), split),
            "seed": np.array([seed for _, seed in runs]),
            **{name: np.array([float(point[name]) for point, _ in runs]) for name in points[0]},
        }
        # Names of candidates may hold anything; a digest tells points apart that look alike when they are rounded.
        told = hashlib.sha256(f"{candidate.name} {points}".encode()).hexdigest()[:12]
        name = f"{self.problem.name}-{quoted(candidate.name)[:40]}-{phase}-{split}-{seeds[0]}-{told}"
        program = (candidate.name, phase, self.problem.batch_size, self.problem.dropout)
        return Job(name, program, len(runs), columns, compute, piece)

    def _loss(self, candidate, point):
        """The loss to train by: with a penalty if one is searched."""
        of_training = candidate.of_training(point)
        if "l2" not in of_training:
            return self.loss_fn
        return jaxmlp.objective(self.network.apply, self.problem.loss, l2=of_training["l2"])

    def _recipe(self, candidate, phase, point):
        steps = phase.epochs * self.steps_per_epoch(phase)
        return candidate.recipe(point, steps, self.problem.max_norm)

    def inside(self, candidate: Candidate, point: Point, seed: int, measurements: int = 100) -> dict[str, Readings]:
        """Repeat a run of the race with instruments.

        Args:
            candidate: what is trained.
            point: its hyperparameters.
            seed: of the run.
            measurements: how often the costly instruments measure, about.

        Returns:
            Instrument -> what it measured.
        """
        with self._lock:
            study = self._variant(candidate.of_training(point))
            phase = study.phase(RACE, 0)
        every = max(1, phase.epochs * study.steps_per_epoch(phase) // measurements)
        alone = phase._replace(metrics={}, step_metrics={}, measured=None)
        history = study._sweep(alone, candidate, [point], [seed], inside.panel(every)).history
        return jax.tree.map(lambda values: np.asarray(values)[0, 0], history.instruments)

    def _train(self, phase, candidate, points, seeds):
        history = self._sweep(phase, candidate, points, seeds).history
        return self._table(phase, history, candidate.eval_params is not None)

    def _sweep(self, phase, candidate, points, seeds, instruments=None):
        of_training = candidate.of_training(points[0])  # the same at all points
        metrics, step_metrics = phase.metrics, phase.step_metrics
        if "l2" in of_training and phase.loss_name is not None:
            metrics = {**metrics, phase.loss_name: self.loss_fn}  # without the penalty
        if candidate.eval_params is not None:
            steps = self.steps_per_epoch(phase)
            inside = self._early_steps(steps, 1)
            at = tuple(epoch * steps + step for epoch in range(_early_of(phase)) for step in inside)
            step_metrics = {
                name: EarlyAfter(early.x, early.y, early.metric, at, candidate.eval_params)
                for name, early in step_metrics.items()
            }
        init = self.network.init
        if "initial_scale" in of_training:
            init = Partial(_scaled_init, init, of_training["initial_scale"])
        rules = [candidate.of_rule(point) for point in points]
        return jaxmlp.sweep(
            self._loss(candidate, points[0]),
            init,
            self._recipe(candidate, phase, points[0]),
            {name: [point[name] for point in rules] for name in rules[0]},
            phase.train,
            keys=jax.vmap(jax.random.key)(jnp.asarray(seeds)),
            epochs=phase.epochs,
            batch_size=self.problem.batch_size,
            validation=phase.measured,
            metrics=metrics,
            step_metrics=step_metrics,
            eval_params=candidate.eval_params,
            history_only=True,
            # The jobs run side by side already.
            runs_at_once=1 if jax.default_backend() == "cpu" else None,
            instruments=instruments,
        )

    def _table(self, phase, history, after):
        """The history as a table, one row for each run; after: early measurements were made after steps."""
        found = {"train_loss": history.train_loss, "first_nonfinite_step": history.first_nonfinite_step}
        if phase.loss_name is not None:
            found[phase.loss_name] = history.validation_loss
        table = {name: np.asarray(values) for name, values in (found | history.metrics).items()}
        table = {name: values.reshape(-1, *values.shape[2:]) for name, values in table.items()}
        for kept in ("right", "examples_score"):
            if kept in table:
                table[kept] = table[kept][:, -1]  # at the end
        if phase.name == RACE:
            inside = [step - after for step in self._early_steps(self.steps_per_epoch(phase), int(after))]
            for name in ("test_score", "validation_score"):
                if name in table:
                    ends = table[name][:, : _early_of(phase), None]
                    if inside:
                        early = np.asarray(history.step_metrics[f"early_{name}"])
                        early = early.reshape(-1, *early.shape[2:])[:, : _early_of(phase), inside]
                        ends = np.concatenate([early, ends], axis=2)
                    table[f"early_{name}"] = ends.reshape(len(ends), -1)
        return table


def join(tables: Sequence[Arrays]) -> Arrays:
    """Put tables with equal columns one below the other.

    Example:
        >>> join([{"seed": np.array([0, 1])}, {"seed": np.array([2])}])
        {'seed': array([0, 1, 2])}
    """
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


_EARLY = 3  # epochs in which the test set is measured more than once


def _early_of(phase):
    return min(_EARLY, phase.epochs)


def _scaled_init(init, scale, key):
    """The initial weights times a factor; biases and other vectors are left alone."""
    return jax.tree.map(lambda a: a if jnp.ndim(a) < 2 else a * jnp.asarray(scale, a.dtype), init(key))


def _by_training(candidate, runs):
    """Runs that share what belongs to training (l2, batch size, ...), which one call of sweep has in common."""
    groups: dict[tuple[tuple[str, float], ...], list[tuple[Point, int]]] = {}
    for point, seed in runs:
        groups.setdefault(tuple(candidate.of_training(point).items()), []).append((point, seed))
    return [(dict(key), group) for key, group in groups.items()]


def _joined(first, second):
    return jax.tree.map(lambda *parts: np.concatenate(parts), first, second)


def _count(examples):
    return len(jax.tree.leaves(examples)[0])


def _rectangles(runs):
    """Runs as (points, seeds) whose products they are; points with the same seeds go together."""
    seeds_of: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for point, seed in runs:
        seeds_of.setdefault(tuple(point.items()), []).append(seed)
    points_of: dict[tuple[int, ...], list[Point]] = {}
    for point, seeds in seeds_of.items():
        points_of.setdefault(tuple(seeds), []).append(dict(point))
    return [(points, list(seeds)) for seeds, points in points_of.items()]


def _batched(values, size):
    return [values[start : start + size] for start in range(0, len(values), size)]
