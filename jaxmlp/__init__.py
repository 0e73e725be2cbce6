"""The multilayer perceptron in pure JAX, with its classic optimizers written out by hand."""

from jaxmlp import activations, data, datasets, dialects, losses, optimizers
from jaxmlp.checkpoint import load, save
from jaxmlp.data import Dataset
from jaxmlp.network import Layer, Network, mlp
from jaxmlp.objectives import accuracy, objective
from jaxmlp.optimizers import apply_updates
from jaxmlp.sweeps import sweep
from jaxmlp.training import FitResult, History, TrainState, fit

__all__ = [
    "Dataset",
    "FitResult",
    "History",
    "Layer",
    "Network",
    "TrainState",
    "accuracy",
    "activations",
    "apply_updates",
    "data",
    "datasets",
    "dialects",
    "fit",
    "load",
    "losses",
    "mlp",
    "objective",
    "optimizers",
    "save",
    "sweep",
]
