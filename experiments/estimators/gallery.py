"""The pictures of perceptrons in scikit-learn's gallery, with either library's class."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import sklearn.datasets as load
from matplotlib.figure import Figure
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from experiments.estimators.quality import LIBRARIES

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
ALPHAS = np.logspace(-1, 1, 5)


def training_curves() -> dict[str, np.ndarray]:
    """Return the loss curves of "Compare Stochastic learning strategies for MLPClassifier"."""
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
                found[f"{name} / {strategy} / {library}"] = np.array(model.fit(x, y).loss_curve_)
    return found


def draw_curves(curves: dict[str, np.ndarray]) -> Figure:
    """Draw the loss curves, one library above the other."""
    names = list(dict.fromkeys(key.split(" / ")[0] for key in curves))
    figure, axes = plt.subplots(2, len(names), figsize=(14, 6), sharex="col", sharey="col", layout="constrained")
    for row, library in zip(axes, LIBRARIES, strict=True):
        for axis, name in zip(row, names, strict=True):
            for strategy in STRATEGIES:
                axis.plot(curves[f"{name} / {strategy} / {library}"], label=strategy)
            axis.set(title=f"{name}, {library}", xlabel="epoch", ylabel="training loss")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(STRATEGIES))
    return figure


class Regions(NamedTuple):
    """One row of "Varying regularization in Multi-layer Perceptron"."""

    train: Any
    """(x, y)."""
    test: Any
    """(x, y)."""
    mesh: tuple[np.ndarray, np.ndarray]
    surfaces: list[np.ndarray]
    """The probability of class 1 over the mesh, for each alpha."""
    scores: list[float]
    """On the test set, for each alpha."""


def regions() -> dict[str, Regions]:
    """Return what "Varying regularization in Multi-layer Perceptron" draws, by data set and library."""
    points: Any = load.make_classification(
        n_features=2, n_redundant=0, n_informative=2, random_state=0, n_clusters_per_class=1
    )
    x, y = points
    x += 2 * np.random.RandomState(2).uniform(size=x.shape)
    problems: dict[str, Any] = {
        "moons": load.make_moons(noise=0.3, random_state=0),
        "circles": load.make_circles(noise=0.2, factor=0.5, random_state=1),
        "separable": (x, y),
    }
    settings = {"hidden_layer_sizes": [10, 10], "max_iter": 2000, "early_stopping": True, "random_state": 1}
    found = {}
    for name, (x, y) in problems.items():
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, random_state=42)
        lines = [np.linspace(column.min() - 0.5, column.max() + 0.5, 150) for column in x.T]
        across, up = np.meshgrid(*lines)
        for library, module in LIBRARIES.items():
            surfaces, scores = [], []
            for alpha in ALPHAS:
                model = make_pipeline(
                    StandardScaler(), module.MLPClassifier(solver="lbfgs", alpha=float(alpha), **settings)
                ).fit(x_train, y_train)
                surfaces.append(model.predict_proba(np.c_[across.ravel(), up.ravel()])[:, 1].reshape(150, 150))
                scores.append(model.score(x_test, y_test))
            found[f"{name}, {library}"] = Regions((x_train, y_train), (x_test, y_test), (across, up), surfaces, scores)
    return found


def draw_regions(found: dict[str, Regions]) -> Figure:
    """Draw the decision regions, one row for each data set and library."""
    figure, axes = plt.subplots(len(found), len(ALPHAS), figsize=(11, 12), layout="constrained")
    for row, (name, one) in zip(axes, found.items(), strict=True):
        for axis, alpha, surface, score in zip(row, ALPHAS, one.surfaces, one.scores, strict=True):
            axis.contourf(*one.mesh, surface, levels=np.linspace(0, 1, 11), cmap="RdBu", alpha=0.8)
            for (x, y), strength in ((one.train, 1.0), (one.test, 0.6)):
                axis.scatter(*x.T, c=y, cmap="bwr_r", s=12, edgecolors="black", linewidths=0.4, alpha=strength)
            axis.set(title=f"alpha {alpha:.2f}", xticks=[], yticks=[])
            axis.text(0.97, 0.04, f"{score:.2f}".lstrip("0"), transform=axis.transAxes, ha="right", size=12)
        row[0].set_ylabel(name)
    return figure


class Filters(NamedTuple):
    """One half of "Visualization of MLP weights on MNIST"."""

    weights: np.ndarray
    """The first layer, (784, units)."""
    scores: dict[str, float]


def filters(mnist: Any) -> dict[str, Filters]:
    """Return what "Visualization of MLP weights on MNIST" draws, by library."""
    x, y = (np.concatenate(pair) for pair in zip(mnist.train, mnist.test, strict=True))
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0, test_size=0.7)
    settings = {"hidden_layer_sizes": (40,), "max_iter": 8, "solver": "sgd", "learning_rate_init": 0.2}
    found = {}
    for library, module in LIBRARIES.items():
        model = module.MLPClassifier(alpha=1e-4, random_state=1, **settings).fit(x_train, y_train)
        scores = {"train": model.score(x_train, y_train), "test": model.score(x_test, y_test), "loss": model.loss_}
        found[library] = Filters(model.coefs_[0], scores)
    return found


def draw_filters(found: dict[str, Filters]) -> Figure:
    """Draw sixteen units of each library beside each other, in one scale."""
    figure = plt.figure(figsize=(9, 4.8), layout="constrained")
    limit = max(float(np.abs(one.weights).max()) for one in found.values()) / 2
    parts: Any = figure.subfigures(1, len(found))
    for part, (library, one) in zip(parts, found.items(), strict=True):
        part.suptitle(f"{library}: test score {one.scores['test']:.4f}")
        for axis, column in zip(part.subplots(4, 4).ravel(), one.weights.T, strict=False):
            axis.matshow(column.reshape(28, 28), cmap="gray", vmin=-limit, vmax=limit)
            axis.set(xticks=[], yticks=[])
    return figure
