"""Training as pure, compiled functions: `fit` for one run, `sweep` for a grid of hyperparameters times random keys.

The types of the functions that they take:

- `LossFn`: (params, x, y, *, key=None) -> scalar
- `Metric`: (params, x, y) -> array
- `StepMetric`: (step) -> array, the step being a `Step`
- `Augment`: (key, x) -> x
- `EvalParams`: (opt_state, params) -> params
- `Examples`: (x, y) or (x, y, weight)
"""

from jaxmlp.training.forms import Augment, EvalParams, Examples, LossFn, Metric, StepMetric
from jaxmlp.training.loop import fit
from jaxmlp.training.results import Best, FitResult, History, Step, TrainState
from jaxmlp.training.steps import take_step
from jaxmlp.training.sweeps import sweep

__docformat__ = "google"
__all__ = [
    "Augment",
    "Best",
    "EvalParams",
    "Examples",
    "FitResult",
    "History",
    "LossFn",
    "Metric",
    "Step",
    "StepMetric",
    "TrainState",
    "fit",
    "sweep",
    "take_step",
]
