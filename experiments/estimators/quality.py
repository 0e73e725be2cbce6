"""Scores of both libraries on seven data sets."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sklearn.datasets as load
from rich.console import Console
from rich.table import Table
from sklearn import neural_network
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from experiments.common.command import with_interval
from jaxmlp import estimators
from jaxmlp.comparison import statistics

FOLDS = 5
LIBRARIES = {"jaxmlp": estimators, "scikit-learn": neural_network}

PROBLEMS: dict[str, Callable[[], Any]] = {
    "digits": lambda: load.load_digits(return_X_y=True),
    "iris": lambda: load.load_iris(return_X_y=True),
    "wine": lambda: load.load_wine(return_X_y=True),
    "breast_cancer": lambda: load.load_breast_cancer(return_X_y=True),
    "synthetic_classes": lambda: load.make_classification(600, 20, n_informative=8, n_classes=4, random_state=0),
    "diabetes": lambda: _standard(*load.load_diabetes(return_X_y=True)),
    "synthetic_numbers": lambda: _standard(*load.make_friedman1(600, random_state=0)),
}
NUMBERS = ("diabetes", "synthetic_numbers")

SOLVERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "lbfgs": {"solver": "lbfgs"},
    "early_stopping": {"early_stopping": True, "learning_rate_init": 0.01},
}
"""Parameters by name of the row; all others have their defaults."""


def measure(problems: Sequence[str], solvers: Sequence[str], seeds: int, console: Console) -> dict[str, Any]:
    """Return, by data set and solver, the mean score over the folds of each seed, of both libraries."""
    found: dict[str, Any] = {}
    for problem in problems:
        x, y = PROBLEMS[problem]()
        for solver in solvers:
            scores = {library: np.zeros(seeds) for library in LIBRARIES}
            for seed in range(seeds):
                folds = (KFold if problem in NUMBERS else StratifiedKFold)(FOLDS, shuffle=True, random_state=seed)
                for library, module in LIBRARIES.items():
                    cls = module.MLPRegressor if problem in NUMBERS else module.MLPClassifier
                    model = make_pipeline(StandardScaler(), cls(random_state=seed, **SOLVERS[solver]))
                    with threadpool_limits(1):
                        scores[library][seed] = cross_val_score(model, x, y, cv=folds).mean()
            found[f"{problem}, {solver}"] = scores
            means = ", ".join(f"{library} {values.mean():.4f}" for library, values in scores.items())
            console.print(f"  {problem}, {solver}: {means}", highlight=False)
    return found


def table(quality: dict[str, Any]) -> Table:
    """Set the means beside each other, and say whether the difference is real.

    It is, at the 5 % level for all rows together, if p < 0.05 / rows.
    """
    made = Table(
        "data set",
        *LIBRARIES,
        "difference",
        "verdict",
        title=f"mean score of {FOLDS} folds (accuracy, or R² of diabetes and synthetic_numbers)",
    )
    for name, scores in quality.items():
        ours, theirs = scores["jaxmlp"], scores["scikit-learn"]
        real = statistics.paired_p_value(ours, theirs) < 0.05 / len(quality)
        verdict = ("better" if ours.mean() > theirs.mean() else "worse") if real else "no difference"
        row = [with_interval(values, ".4f", count=False) for values in (ours, theirs, ours - theirs)]
        made.add_row(name, *row, verdict)
    return made


def _standard(x, y):
    return x, (y - y.mean()) / y.std()
