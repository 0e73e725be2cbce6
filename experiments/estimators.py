"""MLPClassifier and MLPRegressor beside scikit-learn's: as good, and how much faster?

Takes 25 min. Run: python -m experiments.estimators --help
"""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import sklearn.datasets
from rich.table import Table
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
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

LIBRARIES = {"jaxmlp": estimators, "scikit-learn": neural_network}
_SGD = {"solver": "sgd", "learning_rate_init": 0.2}
STRATEGIES: dict[str, dict[str, Any]] = {
    "constant": {**_SGD, "momentum": 0.0},
    "constant, momentum": {**_SGD, "momentum": 0.9, "nesterovs_momentum": False},
    "constant, Nesterov": {**_SGD, "momentum": 0.9},
    "invscaling": {**_SGD, "learning_rate": "invscaling", "momentum": 0.0},
    "invscaling, momentum": {**_SGD, "learning_rate": "invscaling", "momentum": 0.9, "nesterovs_momentum": False},
    "invscaling, Nesterov": {**_SGD, "learning_rate": "invscaling", "momentum": 0.9},
    "adam": {"solver": "adam", "learning_rate_init": 0.01},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("estimators", _experiment, _parser(), arguments)


def _experiment(options, console):
    results, tables, pictures = {}, [], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if "quality" in options.parts:
            results["quality"] = _quality(options.seeds, console)
            tables.append(_quality_table(results["quality"]))
        if "gallery" in options.parts:
            curves, regions = _training_curves(), _regions()
            results["gallery"] = {"training_curves": curves}
            pictures["training_curves"] = lambda: _draw_curves(curves)
            pictures["alpha"] = lambda: _draw_regions(regions)
        if set(options.parts) - {"quality", "gallery"}:
            results["speed"] = _speed(options, console)
            tables.append(_speed_table(results["speed"]))
    notes = [
        "Equal random_state gives both the same weights, batches and folds, so that differences of scores are paired.",
        "Seconds: median over the turns. scikit-learn ran with one BLAS thread and with as many as there are CPUs, in "
        "turns with jaxmlp; the faster one counts. The first fit includes compiling, with an empty cache.",
    ]
    return Outcome({"options": vars(options), **results}, notes=notes, pictures=pictures, tables=tables)


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
            for library, module in LIBRARIES.items():
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


def _training_curves():
    """Return the loss curves of scikit-learn's gallery example "Compare stochastic learning strategies"."""
    load = sklearn.datasets
    problems: dict[str, Any] = {
        "iris": load.load_iris(return_X_y=True),
        "digits": load.load_digits(return_X_y=True),
        "circles": load.make_circles(noise=0.2, factor=0.5, random_state=1),
        "moons": load.make_moons(noise=0.3, random_state=0),
    }
    found = {}
    for name, (x, y) in problems.items():
        x = MinMaxScaler().fit_transform(x)
        for strategy, settings in STRATEGIES.items():
            for library, module in LIBRARIES.items():
                model = module.MLPClassifier(random_state=0, max_iter=15 if name == "digits" else 400, **settings)
                found[name, strategy, library] = np.array(model.fit(x, y).loss_curve_)
    return {" / ".join(key): curve for key, curve in found.items()}


def _draw_curves(curves):
    names = list(dict.fromkeys(key.split(" / ")[0] for key in curves))
    figure, axes = plt.subplots(2, len(names), figsize=(14, 6), sharex="col", sharey="col", layout="constrained")
    for row, library in zip(axes, LIBRARIES, strict=True):
        for axis, name in zip(row, names, strict=True):
            for strategy in STRATEGIES:
                axis.plot(curves[f"{name} / {strategy} / {library}"], label=strategy)
            axis.set(title=f"{name}, {library}", xlabel="epoch", ylabel="training loss")
    axes[0, 0].legend(fontsize=6)
    return figure


def _regions():
    """Return the probabilities over the plane of scikit-learn's gallery example "Varying regularization"."""
    load, found = sklearn.datasets, {}
    problems: dict[str, Any] = {
        "moons": load.make_moons(noise=0.3, random_state=0),
        "circles": load.make_circles(noise=0.2, factor=0.5, random_state=1),
    }
    line = np.linspace(-2.5, 2.5, 80)
    plane = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    for name, (x, y) in problems.items():
        x = StandardScaler().fit_transform(x)
        for alpha in (0.1, 1.0, 10.0):
            for library, module in LIBRARIES.items():
                settings = {"hidden_layer_sizes": (10, 10), "solver": "lbfgs", "max_iter": 2000, "random_state": 1}
                model = module.MLPClassifier(alpha=alpha, **settings).fit(x, y)
                found[name, alpha, library] = model.predict_proba(plane)[:, 1].reshape(80, 80), x, y
    return found


def _draw_regions(regions):
    figure, axes = plt.subplots(len(LIBRARIES), 6, figsize=(14, 5), layout="constrained")
    for (name, alpha, library), (surface, x, y) in regions.items():
        column = 3 * (name == "circles") + (0.1, 1.0, 10.0).index(alpha)
        axis = axes[list(LIBRARIES).index(library), column]
        axis.imshow(surface, origin="lower", extent=(-2.5, 2.5, -2.5, 2.5), cmap="RdBu", vmin=0, vmax=1)
        axis.scatter(*x.T, c=y, cmap="RdBu", s=8, edgecolors="black", linewidths=0.3)
        axis.set(title=f"{library}, alpha {alpha:g}", xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), xticks=[], yticks=[])
    return figure


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
    parts = ("quality", "gallery", "small", "search", "mnist")
    add("--parts", nargs="+", choices=parts, default=list(parts), metavar="PART", help=f"some of {', '.join(parts)}")
    add("--epochs", type=int, default=5, least=1, metavar="N", help="passes over MNIST per fit")
    add("--turns", type=int, default=3, least=1, metavar="N", help="turns of MNIST")
    return parser


if __name__ == "__main__":
    command.start(main)
