"""The examples of scikit-learn's user guide and docstrings on perceptrons, with either library's classes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from rich.table import Table
from sklearn.datasets import make_classification, make_regression
from sklearn.model_selection import train_test_split

from experiments.estimators.quality import LIBRARIES


def answers() -> dict[str, dict[str, str]]:
    """Return, by example, what is published and what each library prints."""
    found: dict[str, dict[str, str]] = {}
    for library, module in LIBRARIES.items():
        for example in EXAMPLES:
            for name, published, value in example(module):
                found.setdefault(name, {"published": published})[library] = _text(value)
    return found


def table(guide: dict[str, dict[str, str]]) -> Table:
    """Set what is printed beside what is published."""
    made = Table("example", "published", *LIBRARIES, title="scikit-learn's user guide and docstrings")
    for name, row in guide.items():
        made.add_row(name, row["published"], *(row[library] for library in LIBRARIES))
    return made


def _two_points(module: Any):
    model = module.MLPClassifier(solver="lbfgs", alpha=1e-5, hidden_layer_sizes=(5, 2), random_state=1)
    model.fit([[0.0, 0.0], [1.0, 1.0]], [0, 1])
    yield "two points: predict", "[1 0]", model.predict([[2.0, 2.0], [-1.0, -2.0]])
    yield "two points: shapes of coefs_", "[(2, 5), (5, 2), (2, 1)]", [coef.shape for coef in model.coefs_]
    yield (
        "two points: predict_proba > 0.999",
        "[[False True] [False True]]",
        model.predict_proba([[2.0, 2.0], [1.0, 2.0]]) > 0.999,
    )


def _two_labels(module: Any):
    model = module.MLPClassifier(solver="lbfgs", alpha=1e-5, hidden_layer_sizes=(15,), random_state=1)
    model.fit([[0.0, 0.0], [1.0, 1.0]], [[0, 1], [1, 1]])
    yield "two labels: predict", "[[1 1]]", model.predict([[1.0, 2.0]])
    yield "two labels: predict at the origin", "[[0 1]]", model.predict([[0.0, 0.0]])


def _classifier(module: Any):
    x, y = make_classification(n_samples=100, random_state=1)
    x, x_test, y, y_test = train_test_split(x, y, stratify=y, random_state=1)
    model = module.MLPClassifier(random_state=1, max_iter=300).fit(x, y)
    yield "MLPClassifier: predict_proba", "[[0.0383 0.961]]", model.predict_proba(x_test[:1])
    yield "MLPClassifier: predict", "[1 0 1 0 1]", model.predict(x_test[:5])
    yield "MLPClassifier: score", "0.8...", model.score(x_test, y_test)


def _regressor(module: Any):
    problem: Any = make_regression(n_samples=200, n_features=20, random_state=1)
    x, x_test, y, y_test = train_test_split(*problem, random_state=1)
    model = module.MLPRegressor(random_state=1, max_iter=2000, tol=0.1).fit(x, y)
    yield "MLPRegressor: predict", "[28.98 -291]", model.predict(x_test[:2])
    yield "MLPRegressor: score", "0.98", model.score(x_test, y_test)


EXAMPLES: tuple[Callable[[Any], Any], ...] = (_two_points, _two_labels, _classifier, _regressor)


def _text(value):
    with np.printoptions(precision=4, suppress=True):
        return f"{value:.3f}" if isinstance(value, float) else " ".join(str(value).split())
