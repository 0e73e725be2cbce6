"""Training as pure, compiled functions: `fit` for one run, `sweep` for a grid of hyperparameters times random keys.

The types of the functions that they take:

- `LossFn`: (params, x, y, *, key=None) -> scalar
- `Metric`: (params, x, y) -> array
- `StepMetric`: (step) -> array, the step being a `Step`
- `Augment`: (key, x) -> x
- `EvalParams`: (opt_state, params) -> params
- `OnEpoch`: (epoch, losses, metrics) -> True to stop
- `Examples`: (x, y) or (x, y, weight)
- `Batched`: a re-iterable of batches of `Examples`, or a function that returns one
"""

from jaxmlp.training.forms import Augment, Batched, EvalParams, Examples, LossFn, Metric, OnEpoch, StepMetric
from jaxmlp.training.loop import fit
from jaxmlp.training.results import Best, FitResult, History, Step, TrainState
from jaxmlp.training.steps import take_step
from jaxmlp.training.sweeps import sweep
from jaxmlp.training.watching import Interrupted

__docformat__ = "google"
__all__ = [
    "Augment",
    "Batched",
    "Best",
    "EvalParams",
    "Examples",
    "FitResult",
    "History",
    "Interrupted",
    "LossFn",
    "Metric",
    "OnEpoch",
    "Step",
    "StepMetric",
    "TrainState",
    "fit",
    "sweep",
    "take_step",
]
