"""A made-up record of a small comparison, for the examples in this package: nothing in it was measured."""

from typing import Any

import numpy as np

__docformat__ = "google"
__all__ = ["CURVES", "PROBLEM", "RECORD"]


def _optimizer(learning_rates, chosen, accuracy, seconds):
    """The record's entry of one optimizer, with two seeds."""
    return {
        "learning_rates": learning_rates,
        "chosen": chosen,
        "chosen_at_edge": False,
        "tuning": {
            "validation_accuracy": [[0.90, 0.91], [0.97, 0.98], [0.10, 0.10]],
            "validation_loss": [[0.40, 0.39], [0.10, 0.09], [None, None]],
            "first_nonfinite_step": [[-1, -1], [-1, -1], [7, 9]],
        },
        "final": {
            "train_loss": [0.02, 0.03],
            "test_accuracy": accuracy,
            "test_loss": [0.11, 0.12],
            "first_nonfinite_step": [-1, -1],
        },
        "seconds_alone": seconds,
        "to_target": {"95 %": {"epochs": [1, 2], "steps": [36, 72], "seconds": [seconds / 2, seconds]}},
    }


PROBLEM: dict[str, Any] = {
    "problem": {
        "layer_sizes": [64, 64, 10],
        "batch_size": 32,
        "epochs": 2,
        "tune_epochs": 2,
        "targets": [0.95],
        "keep_validation": False,
        "source": "made up",
        "differences": "",
    },
    "examples": {"train": 1150, "validation": 287, "test": 360},
    "tuning_seeds": [0, 1],
    "fresh_seeds": [1000, 1001],
    "steps_per_epoch": 36,
    "optimizers": {
        "sgd": _optimizer([0.01, 0.1, 1.0], 0.1, [0.955, 0.965], 0.04),
        "adam": _optimizer([0.001, 0.01, 0.1], 0.01, [0.96, 0.975], 0.05),
    },
}
"""One problem of the record: sgd and adam with three learning rates and two seeds."""

CURVES = {
    f"{optimizer}/final/{name}": np.array(values)
    for optimizer in PROBLEM["optimizers"]
    for name, values in (("train_loss", [[0.3, 0.02], [0.4, 0.03]]), ("test_accuracy", [[0.95, 0.96], [0.94, 0.97]]))
}
"""Curves of the final runs of PROBLEM: optimizer/final/quantity -> (seeds, epochs)."""

RECORD: dict[str, Any] = {
    "experiment": "optimizers",
    "format": 1,
    "command": "python -m experiments.optimizers --problem digits",
    "problem_chosen_because": "named by --problem",
    "provenance": {
        "versions": {"jaxmlp": "0", "jax": "0", "optax": "0", "python": "3"},
        "device": "cpu (cpu)",
        "cpus": 2,
        "machine": "Linux x86_64",
        "commit": None,
    },
    "problems": {"digits": PROBLEM},
    "seconds_of_last_call": 1.0,
}
"""The whole record."""
