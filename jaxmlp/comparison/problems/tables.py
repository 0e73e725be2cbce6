"""Tables: regressions and the Titanic, their numbers standardised on all examples but the test set."""

import numpy as np

import jaxmlp
from jaxmlp._checks import need
from jaxmlp.comparison.problems.problem import Problem
from jaxmlp.data import moments, standardise

__docformat__ = "google"
__all__ = ["PROBLEMS"]


def _diabetes():
    need("comparison", "sklearn")
    from sklearn.datasets import load_diabetes

    return _regression(*load_diabetes(return_X_y=True, scaled=False))


def _friedman():
    need("comparison", "sklearn")
    from sklearn.datasets import make_friedman1

    return _regression(*make_friedman1(n_samples=2500, n_features=10, noise=1.0, random_state=0))


def _titanic(data_dir=None, mirror=None):
    """The passengers, missing values filled by jaxmlp.datasets."""
    data = jaxmlp.datasets.load("titanic", data_dir=data_dir, mirror=mirror)
    of_train = moments(data.train[0])
    return tuple((standardise(x, of_train), y) for x, y in (data.train, data.test))


def _regression(x, y):
    """Hold out a fifth for the test, and standardise inputs and targets."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(x, y[:, None], test_size=0.2, random_state=0)
    x_train, x_test, y_train, y_test = (np.asarray(part, np.float32) for part in parts)
    of_x, of_y = moments(x_train), moments(y_train)
    train = standardise(x_train, of_x), standardise(y_train, of_y)
    return train, (standardise(x_test, of_x), standardise(y_test, of_y))


PROBLEMS: tuple[Problem, ...] = (
    Problem(
        name="diabetes",
        data=_diabetes,
        layer_sizes=(10, 32, 1),
        batch_size=32,
        validation_count=71,
        epochs=40,
        coarse_epochs=4,
        targets=(0.25,),
        loss="mean_squared_error",
        score="r2",
        source="scikit-learn's diabetes, 442 patients (Efron et al. 2004); our own settings",
    ),
    Problem(
        name="friedman",
        data=_friedman,
        layer_sizes=(10, 64, 64, 1),
        batch_size=32,
        validation_count=400,
        epochs=40,
        coarse_epochs=4,
        targets=(0.9, 0.93),
        loss="mean_squared_error",
        score="r2",
        source="Friedman's first function (1991) of 10 inputs, 5 of them idle, with noise of variance 1 beside a "
        "variance of about 24 of the function, so that R2 is at most about 0.96; our own settings",
    ),
    Problem(
        name="titanic",
        data=_titanic,
        layer_sizes=(7, 16, 2),
        batch_size=32,
        validation_count=209,
        epochs=40,
        coarse_epochs=4,
        targets=(0.78,),
        source="1,309 passengers (Harrell and Cason 2017), missing values filled with medians; our own settings",
    ),
)
"""Every problem of this room."""
