"""A whole training run as one pure, compiled function: step -> epoch -> fit."""

from jaxmlp.training.arguments import check_arguments, check_count
from jaxmlp.training.loop import Augment, LossFn, Metric, StepMetric, fit, run, task_of
from jaxmlp.training.program import put_together, take_apart
from jaxmlp.training.results import Best, FitResult, History, Step, TrainState

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
    "check_arguments",
    "check_count",
    "fit",
    "put_together",
    "run",
    "take_apart",
    "task_of",
]
