"""The multilayer perceptron in pure JAX, with its classic optimizers written out by hand.

Every function is pure and works with `jax.jit`, `jax.grad` and `jax.vmap`. The parts:

- `mlp` builds a network, a pair of functions `init` and `apply`; `objective` makes a loss function of it.
- `jaxmlp.optimizers` has the update rules as optax defines them, `jaxmlp.dialects` as other libraries do.
- `fit` trains one network, `sweep` a grid of hyperparameters times random keys, each as one compiled program.
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
    losses,
    network,
    objectives,
    optimizers,
    training,
)
from jaxmlp.checkpoint import load, save
from jaxmlp.data import Dataset
from jaxmlp.network import Layer, Network, mlp
from jaxmlp.objectives import accuracy, dead_units, gradient_norms, largest_weights, objective
from jaxmlp.optimizers import apply_updates
from jaxmlp.training import Best, FitResult, History, Step, TrainState, fit, sweep

__all__ = [
    "Best",
    "Dataset",
    "FitResult",
    "History",
    "Layer",
    "Network",
    "Step",
    "TrainState",
    "accuracy",
    "activations",
    "apply_updates",
    "augment",
    "checkpoint",
    "data",
    "datasets",
    "dead_units",
    "dialects",
    "fit",
    "gradient_norms",
    "largest_weights",
    "load",
    "losses",
    "mlp",
    "network",
    "objective",
    "objectives",
    "optimizers",
    "save",
    "sweep",
    "training",
]

__docformat__ = "google"

try:
    __version__ = importlib.metadata.version("jaxmlp")
except importlib.metadata.PackageNotFoundError:  # a clone that is not installed
    __version__ = "0+unknown"
