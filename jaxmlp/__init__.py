"""The multilayer perceptron in pure JAX, with its classic optimizers written out by hand."""

from jaxmlp import activations, augment, data, datasets, dialects, losses, optimizers
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
    "objective",
    "optimizers",
    "save",
    "sweep",
]
