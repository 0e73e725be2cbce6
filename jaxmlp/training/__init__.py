"""Training as pure, compiled functions: `fit` for one run, `sweep` for a grid of hyperparameters times random keys."""

from jaxmlp.training.loop import Augment, LossFn, Metric, StepMetric, fit
from jaxmlp.training.results import Best, FitResult, History, Step, TrainState
from jaxmlp.training.sweeps import sweep

__all__ = [
    "Augment",
    "Best",
    "FitResult",
    "History",
    "LossFn",
    "Metric",
    "Step",
    "StepMetric",
    "TrainState",
    "fit",
    "sweep",
]
