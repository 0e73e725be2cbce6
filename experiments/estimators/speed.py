"""Seconds of both libraries, in turns, and the programs that are compiled."""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import sklearn.datasets as load
from rich.console import Console
from rich.table import Table
from sklearn import neural_network
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from experiments.estimators.quality import FOLDS, LIBRARIES
from jaxmlp import estimators

SIZES = (150, 300, 500, 1000, 2000)
GRID = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [3e-4, 1e-3, 3e-3, 1e-2], "beta_1": [0.8, 0.9, 0.95]}
MNIST = {
    'MNIST 784-128-10, "sgd"': {"hidden_layer_sizes": (128,), "solver": "sgd", "learning_rate_init": 0.1},
    'MNIST 784-250-100-10, "adam"': {"hidden_layer_sizes": (250, 100), "solver": "adam"},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "batch_size=32": {"batch_size": 32},
    "early_stopping=True": {"early_stopping": True},
    "lbfgs": {"solver": "lbfgs"},
}


class Timings:
    """Seconds by case."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.found: dict[str, dict[str, Any]] = {}

    def take(
        self, name: str, ours: Callable[[], Any], theirs: Mapping[str, Callable[[], Any]], turns: int, *, goal: float
    ) -> None:
        """Time the first call, with nothing compiled, and then all in turns.

        Args:
            name: of the case.
            ours: what jaxmlp does.
            theirs: what scikit-learn does, in several ways; the fastest counts.
            turns: number of turns.
            goal: the largest ratio of our seconds to theirs that is hoped for.
        """
        jax.clear_caches()
        jax.config.update("jax_enable_compilation_cache", False)
        first = _seconds(ours)
        jax.config.update("jax_enable_compilation_cache", True)
        seconds = {way: [] for way in ("jaxmlp", *theirs)}
        for _ in range(turns):
            for way, call in {"jaxmlp": ours, **theirs}.items():
                seconds[way].append(_seconds(call))
        medians = {way: float(np.median(values)) for way, values in seconds.items()}
        fastest = min(theirs, key=lambda way: medians[way])
        case = {
            "first": first,
            "seconds": {way: np.array(values) for way, values in seconds.items()},
            "fastest": fastest,
            "ratio": medians["jaxmlp"] / medians[fastest],
            "goal": goal,
        }
        self.found[name] = case
        self._console.print(
            f"  {name}: first {first:.2f} s, then {medians['jaxmlp']:.3f} s; scikit-learn {medians[fastest]:.3f} s "
            f"({fastest}); ratio {case['ratio']:.2f}",
            highlight=False,
        )

    def table(self) -> Table:
        """Set the seconds beside each other."""
        made = Table(
            "case",
            "first (s)",
            "later (s)",
            "scikit-learn (s)",
            "ratio",
            "goal",
            title="speed: jaxmlp and scikit-learn",
        )
        for name, case in self.found.items():
            ours, theirs = case["seconds"]["jaxmlp"], case["seconds"][case["fastest"]]
            ratios = ours / theirs
            made.add_row(
                name,
                f"{case['first']:.2f}",
                f"{np.median(ours):.3f}",
                f"{np.median(theirs):.3f}, {case['fastest']}",
                f"{case['ratio']:.2f} ({ratios.min():.2f} to {ratios.max():.2f}, n = {len(ratios)})",
                f"{case['goal']:g}",
            )
        return made


def small(timings: Timings) -> None:
    """Time fits of few examples with default parameters."""
    for n in SIZES:
        problem: Any = load.make_classification(n, 20, n_informative=8, n_classes=3, random_state=0)
        x, y = problem
        _time_fits(timings, f"{n} examples, defaults", x.astype(np.float32), y, {}, 5, goal=1)


def on_mnist(timings: Timings, mnist: Any, epochs: int, turns: int) -> None:
    """Time fits on MNIST with batches of 64."""
    x, y = mnist.train
    for name, settings in MNIST.items():
        _time_fits(timings, name, x, y, {**settings, "batch_size": 64, "max_iter": epochs}, turns, goal=0.5)


def searches(timings: Timings) -> None:
    """Time a grid search of 48 points and five folds."""
    x, y = load.load_digits(return_X_y=True)
    settings: dict[str, Any] = {"hidden_layer_sizes": (50,), "max_iter": 20, "random_state": 0}
    ours = estimators.SweepSearchCV(estimators.MLPClassifier(**settings), GRID, FOLDS)
    one, two = (
        GridSearchCV(neural_network.MLPClassifier(**settings), GRID, cv=FOLDS, n_jobs=n_jobs) for n_jobs in (None, 2)
    )
    ways = {"n_jobs=None": lambda: one.fit(x, y), "n_jobs=None, 1 BLAS thread": lambda: _alone(one, x, y)}
    timings.take("digits, 48 points, 5 folds", lambda: ours.fit(x, y), ways, 1, goal=0.25)
    timings.take("the same", lambda: ours.fit(x, y), {"n_jobs=2": lambda: two.fit(x, y)}, 1, goal=0.25)


def programs(counts: Sequence[int] = range(30, 1030)) -> dict[str, Any]:
    """Fit so many examples and count the programs of training that are compiled."""
    x, y = load.make_classification(1029, 20, n_informative=8, n_classes=3, random_state=0)
    y[:3] = range(3)
    found = {}
    for name, settings in VARIANTS.items():
        jax.clear_caches()
        started = time.perf_counter()
        with _compiled() as log:
            for n in counts:
                estimators.MLPClassifier(max_iter=1, random_state=0, **settings).fit(x[:n], y[:n])
        found[name] = {"fits": len(counts), "programs": log.count, "seconds": time.perf_counter() - started}
    return found


def table_of_programs(found: dict[str, Any]) -> Table:
    """Say how many programs were compiled."""
    made = Table("parameters", "fits", "compiled", "seconds", title="programs for 30 to 1,029 examples, one epoch each")
    for name, row in found.items():
        made.add_row(name, str(row["fits"]), str(row["programs"]), f"{row['seconds']:.1f}")
    return made


@contextlib.contextmanager
def _compiled():
    log, logger = _Log(), logging.getLogger("jax")
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(log)
    try:
        with jax.log_compiles():
            yield log
    finally:
        logger.removeHandler(log)
        logger.propagate = propagates


class _Log(logging.Handler):
    """Counts the programs of training that XLA compiles, from JAX's own log."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def emit(self, record):
        self.count += bool(re.match(r"Finished XLA compilation of jit\((run_epochs|minimize)\)", record.getMessage()))


def _time_fits(timings, name, x, y, settings, turns, goal):
    ours, theirs = (module.MLPClassifier(random_state=0, **settings) for module in LIBRARIES.values())
    ways = {"all BLAS threads": lambda: theirs.fit(x, y), "1 BLAS thread": lambda: _alone(theirs, x, y)}
    timings.take(name, lambda: ours.fit(x, y), ways, turns, goal=goal)


def _alone(model, x, y):
    with threadpool_limits(1):
        model.fit(x, y)


def _seconds(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
