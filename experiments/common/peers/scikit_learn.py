"""The network as scikit-learn's MLPClassifier."""

import itertools
import warnings
from typing import Any

import numpy as np

from experiments.common.peers.settings import Layers, Settings


def classifier(settings: Settings, **further: Any) -> Any:
    """Build the MLPClassifier, with further constructor parameters."""
    from sklearn.neural_network import MLPClassifier

    # Plain gradient descent, where its own default is Nesterov's momentum.
    plain = {"momentum": 0.0, "nesterovs_momentum": False} if settings.rule == "sgd" else {}
    return MLPClassifier(
        settings.layer_sizes[1:-1],
        solver=settings.rule,  # pyright: ignore[reportArgumentType]
        alpha=0.0,
        batch_size=settings.batch_size,  # pyright: ignore[reportArgumentType]
        learning_rate_init=settings.learning_rate,
        **plain,
        **further,
    )


def fit(model: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """Fit without the warning that it has not converged: it has as many epochs as the others."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


class Trainer:
    """Trains by fit, which draws the order of the examples itself."""

    def __init__(self, settings: Settings, x: np.ndarray, y: np.ndarray):
        """Take the examples."""
        self._settings, self._x, self._y = settings, x, y

    def reset(self, layers: Layers, seed: int, learning_rate: float | None = None) -> None:
        """Start again from these weights."""
        rate = self._settings.learning_rate if learning_rate is None else learning_rate
        settings = self._settings._replace(learning_rate=rate, batch_size=1)
        self._model = classifier(settings, random_state=seed, max_iter=1, warm_start=True)
        # It takes weights only where it has been fitted before: here to one example of each class.
        rows = np.unique(self._y, return_index=True)[1]
        fit(self._model, self._x[rows], self._y[rows])
        self._model.coefs_, self._model.intercepts_ = ([p.copy() for p in part] for part in zip(*layers, strict=True))
        self._model.batch_size = self._settings.batch_size

    def train(self, epochs: int, *, shuffle: bool = True) -> float:
        """Train, and return the mean loss of the last epoch."""
        self._model.max_iter, self._model.shuffle = epochs, shuffle
        return float(fit(self._model, self._x, self._y).loss_)


def sweep(settings: Settings, x: np.ndarray, y: np.ndarray, rates: Any, seeds: int, epochs: int) -> np.ndarray:
    """Fit each rate with each seed on all cores, as GridSearchCV(n_jobs=-1) does; final losses (rates, seeds)."""
    from joblib import Parallel, delayed

    models = [
        classifier(settings._replace(learning_rate=float(rate)), random_state=seed, max_iter=epochs)
        for rate, seed in itertools.product(rates, range(seeds))
    ]
    fitted = Parallel(n_jobs=-1)(delayed(_loss)(model, x, y) for model in models)
    return np.reshape(np.array(fitted), (len(rates), seeds))


def _loss(model, x, y):
    return float(fit(model, x, y).loss_)
