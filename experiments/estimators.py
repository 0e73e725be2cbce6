"""jaxmlp's MLPClassifier and MLPRegressor beside scikit-learn's: are they as good, and how much faster?

Takes 25 min. Run: python -m experiments.estimators --help
"""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import sklearn.datasets
from rich.table import Table
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import jaxmlp
from experiments.common import command
from experiments.common.command import Outcome, with_interval
from jaxmlp import estimators

FOLDS = 5
SIZES = (150, 300, 500, 1000, 2000)
GRID = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "learning_rate_init": [3e-4, 1e-3, 3e-3, 1e-2], "beta_1": [0.8, 0.9, 0.95]}
MNIST = {
    'MNIST 784-128-10, "sgd"': {"hidden_layer_sizes": (128,), "solver": "sgd", "learning_rate_init": 0.1},
    'MNIST 784-250-100-10, "adam"': {"hidden_layer_sizes": (250, 100), "solver": "adam"},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("estimators", _experiment, _parser(), arguments)


def _experiment(options, console):
    results, tables = {}, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if "quality" in options.parts:
            results["quality"] = _quality(options.seeds, console)
            tables.append(_quality_table(results["quality"]))
        if set(options.parts) - {"quality"}:
            results["speed"] = _speed(options, console)
            tables.append(_speed_table(results["speed"]))
    notes = [
        "Equal random_state gives both the same weights, batches and folds, so that differences of scores are paired.",
        "Seconds: median over the turns. scikit-learn ran with one BLAS thread and with as many as there are CPUs, in "
        "turns with jaxmlp; the faster one counts. The first fit includes compiling, with an empty cache.",
    ]
    return Outcome({"options": vars(options), **results}, notes=notes, tables=tables)


def _problems() -> dict[str, tuple[Any, Any, bool]]:
    """Return features, targets and whether they are classes, by name."""
    load = sklearn.datasets
    classes: dict[str, Any] = {
        "digits": load.load_digits(return_X_y=True),
        "iris": load.load_iris(return_X_y=True),
        "wine": load.load_wine(return_X_y=True),
        "breast cancer": load.load_breast_cancer(return_X_y=True),
        "synthetic classes": load.make_classification(600, 20, n_informative=8, n_classes=4, random_state=0),
    }
    numbers: dict[str, Any] = {
        "diabetes": load.load_diabetes(return_X_y=True),
        "synthetic numbers": load.make_friedman1(600, random_state=0),
    }
    found = {name: (x, y, True) for name, (x, y) in classes.items()}
    return found | {name: (x, (y - y.mean()) / y.std(), False) for name, (x, y) in numbers.items()}


def _quality(seeds, console):
    """Return, by data set, the mean score over the folds of each seed, of both libraries."""
    found = {}
    for name, (x, y, classes) in _problems().items():
        scores: dict[str, list[float]] = {"jaxmlp": [], "scikit-learn": []}
        for seed in range(seeds):
            folds = (StratifiedKFold if classes else KFold)(FOLDS, shuffle=True, random_state=seed)
            for library, module in (("jaxmlp", estimators), ("scikit-learn", neural_network)):
                model = (module.MLPClassifier if classes else module.MLPRegressor)(random_state=seed)
                with threadpool_limits(1):
                    scores[library].append(
                        cross_val_score(make_pipeline(StandardScaler(), model), x, y, cv=folds).mean()
                    )
        found[name] = {library: np.array(values) for library, values in scores.items()}
        console.print(f"  {name}: {found[name]['jaxmlp'].mean():.4f}, {found[name]['scikit-learn'].mean():.4f}")
    return found


def _quality_table(quality):
    table = Table(
        "data set", "jaxmlp", "scikit-learn", "difference", title=f"mean score of {FOLDS} folds (accuracy, R²)"
    )
    for name, scores in quality.items():
        ours, theirs = scores["jaxmlp"], scores["scikit-learn"]
        row = [with_interval(values, ".4f", count=False) for values in (ours, theirs, ours - theirs)]
        table.add_row(name, *row)
    return table


def _speed(options, console):
    """Return, by case, the seconds of jaxmlp's first and later fits and of scikit-learn's."""
    found = {}

    def measure(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], turns: int):
        jax.clear_caches()
        jax.config.update("jax_enable_compilation_cache", False)
        first = _seconds(ours)
        jax.config.update("jax_enable_compilation_cache", True)
        times = {"jaxmlp": [], "scikit-learn": [], "scikit-learn, 1 thread": []}
        for _ in range(turns):
            times["jaxmlp"].append(_seconds(ours))
            times["scikit-learn"].append(_seconds(theirs))
            with threadpool_limits(1):
                times["scikit-learn, 1 thread"].append(_seconds(theirs))
        found[name] = {"first": first, **{library: np.array(values) for library, values in times.items()}}
        console.print(f"  {name}: first {first:.2f} s, " + _ratio(found[name]), highlight=False)

    x: Any
    for n in SIZES if "small" in options.parts else ():
        x, y = sklearn.datasets.make_classification(n, 20, n_informative=8, n_classes=3, random_state=0)
        x = x.astype(np.float32)
        ours, theirs = (module.MLPClassifier(random_state=0) for module in (estimators, neural_network))
        measure(
            f"{n} examples, defaults", lambda x=x, y=y, m=ours: m.fit(x, y), lambda x=x, y=y, m=theirs: m.fit(x, y), 5
        )

    if "search" in options.parts:
        _searches(measure)
    if "mnist" in options.parts:
        x, y = jaxmlp.datasets.load("mnist", data_dir=options.data_dir, mirror=options.mirror).train
        for name, settings in MNIST.items():
            settings = {**settings, "batch_size": 64, "max_iter": options.epochs, "random_state": 0}
            ours, theirs = (module.MLPClassifier(**settings) for module in (estimators, neural_network))
            measure(name, lambda m=ours: m.fit(x, y), lambda m=theirs: m.fit(x, y), options.turns)
    return found


def _searches(measure):
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    settings: dict[str, Any] = {"hidden_layer_sizes": (50,), "max_iter": 20, "random_state": 0}
    ours = estimators.SweepSearchCV(estimators.MLPClassifier(**settings), GRID, FOLDS)
    for name, n_jobs in (("digits, 48 points, 5 folds", None), ("the same, n_jobs=2", 2)):
        theirs = GridSearchCV(neural_network.MLPClassifier(**settings), GRID, cv=FOLDS, n_jobs=n_jobs)
        measure(name, lambda: ours.fit(x, y), lambda m=theirs: m.fit(x, y), 1)


def _seconds(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _ratio(case):
    ours, theirs = _median(case, "jaxmlp"), _best(case)
    return f"then {ours:.3f} s; scikit-learn {theirs:.3f} s; ratio {ours / theirs:.2f}"


def _median(case, library):
    return float(np.median(case[library]))


def _best(case):
    return min(_median(case, "scikit-learn"), _median(case, "scikit-learn, 1 thread"))


def _speed_table(speed):
    table = Table("case", "first fit (s)", "later fits (s)", "scikit-learn (s)", "later / scikit-learn", title="speed")
    for name, case in speed.items():
        ours, theirs = _median(case, "jaxmlp"), _best(case)
        ratios = case["jaxmlp"] / np.minimum(case["scikit-learn"], case["scikit-learn, 1 thread"])
        spread = f" ({ratios.min():.2f} to {ratios.max():.2f}, n = {len(ratios)})"
        table.add_row(name, f"{case['first']:.2f}", f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs:.2f}{spread}")
    return table


def _parser():
    parser = command.options(
        "estimators",
        "Compare jaxmlp.estimators with scikit-learn's perceptrons: scores on seven data sets, and seconds.",
        seeds=10,
        data=True,
    )
    add = parser.add_argument
    parts = ("quality", "small", "search", "mnist")
    add("--parts", nargs="+", choices=parts, default=list(parts), metavar="PART", help=f"some of {', '.join(parts)}")
    add("--epochs", type=int, default=5, least=1, metavar="N", help="passes over MNIST per fit")
    add("--turns", type=int, default=3, least=1, metavar="N", help="turns of MNIST")
    return parser


if __name__ == "__main__":
    command.start(main)
