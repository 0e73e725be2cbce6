"""Weights and parameters, from scikit-learn's estimators and to them."""

import copy
from typing import Any

from jaxmlp._checks import shown

__all__ = ["from_sklearn", "to_sklearn"]

_KNOWN_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
_KNOWN_SOLVERS = ("lbfgs", "sgd", "adam")
_PRIVATE = ("_label_binarizer", "_no_improvement_count")


def to_sklearn(estimator: Any, cls: type[Any]) -> Any:
    """Return an estimator of scikit-learn's class that predicts what this one predicts.

    Raises:
        ValueError: scikit-learn has no such activation.
    """
    activation = {"sigmoid": "logistic"}.get(estimator.activation, estimator.activation)
    if activation not in _KNOWN_ACTIVATIONS:
        raise ValueError(
            f"scikit-learn knows the activations {', '.join(_KNOWN_ACTIVATIONS)}; this estimator has {activation!r}"
        )
    known = cls().get_params()
    parameters = {name: value for name, value in estimator.get_params().items() if name in known}
    solver = estimator.solver if estimator.solver in _KNOWN_SOLVERS else known["solver"]
    parameters |= {"activation": activation, "solver": solver, "early_stopping": bool(estimator.early_stopping)}
    model = cls(**copy.deepcopy(parameters))
    _copy_fitted(estimator, model)
    model.__dict__.pop("validation_loss_curve_", None)
    if hasattr(model, "coefs_"):
        model._best_coefs, model._best_intercepts = copy.deepcopy((model.coefs_, model.intercepts_))
    return model


def from_sklearn(cls: type[Any], model: Any, expected: type[Any]) -> Any:
    """Return an estimator of this class that predicts what scikit-learn's predicts.

    Raises:
        TypeError: model is no instance of the expected class.
    """
    if not isinstance(model, expected):
        raise TypeError(f"from_sklearn takes an instance of scikit-learn's {expected.__name__}, got {shown(model)}")
    estimator = cls(**copy.deepcopy(model.get_params()))
    _copy_fitted(model, estimator)
    if hasattr(estimator, "coefs_") and estimator.solver != "lbfgs":
        scores = estimator.validation_scores_
        estimator.validation_loss_curve_ = None if scores is None else [float("nan")] * len(scores)
        estimator._best = estimator.best_loss_ if scores is None else estimator.best_validation_score_
    return estimator


def _copy_fitted(source, target):
    for name, value in vars(source).items():
        if name in _PRIVATE or (name.endswith("_") and not name.startswith("_")):
            setattr(target, name, copy.deepcopy(value))
