"""The multilayer perceptron in pure JAX, with its classic optimizers written out by hand.

Every function is pure and works with `jax.jit`, `jax.grad` and `jax.vmap`. The parts:

- `mlp` builds a network, a pair of functions `init` and `apply`; `objective` makes a loss function of it.
- `jaxmlp.optimizers` has the update rules as optax defines them, `jaxmlp.dialects` as other libraries do;
  `jaxmlp.schedules` has learning rates that change with the step.
- `fit` trains one network, `sweep` a grid of hyperparameters times random keys, each as one compiled program.
- `jaxmlp.instruments` measure what training does: steps, gradients, curvature.
- `jaxmlp.datasets` loads data, `jaxmlp.data` prepares it, `jaxmlp.augment` changes images during training.
- `save` and `load` keep parameters and the state of a run in safetensors files.
- `jaxmlp.comparison` compares optimizers, `jaxmlp.estimators` has scikit-learn's interface. Both are imported only by
  their own names and need the extra of that name.

Example:
    >>> import jax, jaxmlp
    >>> digits = jaxmlp.datasets.load("digits")
    >>> net = jaxmlp.mlp((64, 32, 10))
    >>> loss_fn, params = jaxmlp.objective(net.apply), net.init(jax.random.key(0))
    >>> run = {"key": jax.random.key(1), "epochs": 5, "batch_size": 32}
    >>> result = jaxmlp.fit(loss_fn, params, jaxmlp.optimizers.adam(1e-2), digits.train, **run)
    >>> print(jaxmlp.accuracy(net.apply)(result.params, *digits.test) > 0.9)
    True
"""

import importlib.metadata

from jaxmlp import (
    activations,
    augment,
    checkpoint,
    data,
    datasets,
    dialects,
    instruments,
    losses,
    metrics,
    network,
    objectives,
    optimizers,
    schedules,
    training,
)
from jaxmlp.checkpoint import load, save
from jaxmlp.data import Dataset
from jaxmlp.metrics import binary_accuracy, exact_match, mean_squared_error, r2
from jaxmlp.network import Layer, Network, Params, mlp
from jaxmlp.objectives import accuracy, dead_units, gradient_norms, largest_weights, objective
from jaxmlp.optimizers import apply_updates
from jaxmlp.schedules import Schedule
from jaxmlp.training import Best, FitResult, History, Step, TrainState, fit, sweep, take_step

__all__ = [
    "Best",
    "Dataset",
    "FitResult",
    "History",
    "Layer",
    "Network",
    "Params",
    "Schedule",
    "Step",
    "TrainState",
    "accuracy",
    "activations",
    "apply_updates",
    "augment",
    "binary_accuracy",
    "checkpoint",
    "data",
    "datasets",
    "dead_units",
    "dialects",
    "exact_match",
    "fit",
    "gradient_norms",
    "instruments",
    "largest_weights",
    "load",
    "losses",
    "mean_squared_error",
    "metrics",
    "mlp",
    "network",
    "objective",
    "objectives",
    "optimizers",
    "r2",
    "save",
    "schedules",
    "sweep",
    "take_step",
    "training",
]

__docformat__ = "google"

try:
    __version__ = importlib.metadata.version("jaxmlp")
except importlib.metadata.PackageNotFoundError:  # a clone that is not installed
    __version__ = "0+unknown"
