"""A made-up record of a small comparison, for the examples in this package: nothing in it was measured."""

from typing import Any

import numpy as np

from jaxmlp.comparison import verdicts, wording

__docformat__ = "google"
__all__ = ["CURVES", "PROBLEM", "RECORD"]

_CONFIDENCE, _MARGIN = 0.95, 0.002
_TUNING_SEEDS, _SEEDS, _EPOCHS, _EXAMPLES = [0, 1, 2], [1000, 1001, 1002], 3, 360
_CHANCE = 0.137
# Candidate -> learning rates, the choice, validation accuracy of each rate, test accuracy, seconds of one epoch.
_CANDIDATES = {
    "sgd": ([0.01, 0.1, 1.0], 0.1, [0.90, 0.95, 0.10], 0.90, 0.020),
    "nesterov": ([0.001, 0.01, 0.1], 0.01, [0.92, 0.97, 0.94], 0.97, 0.021),
    "adam": ([0.001, 0.01, 0.1], 0.001, [0.97, 0.95, 0.93], 0.96, 0.024),
}


def _right(accuracy, random):
    """Right and wrong answers of every run; an example that is hard for one run is hard for the others."""
    hardness = random.random(_EXAMPLES)
    return np.array([hardness + 0.05 * random.standard_normal(_EXAMPLES) < accuracy for _ in _SEEDS])


def _tuning(rates, accuracies):
    """One short run of every learning rate, then three of full length of every rate that was not hopeless."""
    runs = []
    for rate, accuracy in zip(rates, accuracies, strict=True):
        failed = accuracy <= _CHANCE
        settings = [(0, 1)] if failed else [(0, 1), *((seed, _EPOCHS) for seed in _TUNING_SEEDS)]
        for seed, epochs in settings:
            reached = accuracy if failed else accuracy + 0.004 * (seed - 1) - 0.03 * (epochs == 1)
            runs.append(
                {
                    "split": 0,
                    "hyperparameters": {"learning_rate": rate},
                    "seed": seed,
                    "epochs": epochs,
                    "validation_score": reached,
                    "validation_loss": None if failed else 3 * (1 - reached),
                    "first_nonfinite_step": 7 if failed else -1,
                    "failed": failed,
                }
            )
    return runs


def _candidate(name, right):
    """The record's entry of one candidate."""
    rates, chosen, accuracies, _, seconds = _CANDIDATES[name]
    scores = right.mean(axis=1)
    return {
        "reference": name,
        "module": "jaxmlp.optimizers",
        "version": "0",
        "sha256": None,
        "schedule": None,
        "space": {"learning_rate": f"choice({', '.join(map(str, rates))})"},
        "search": "grid",
        "tries": len(rates),
        "tried": [{"learning_rate": rate} for rate in rates],
        "widened": 0,
        "choices": [
            {
                "hyperparameters": {"learning_rate": chosen},
                "at_edge": ["learning_rate"] if chosen in (rates[0], rates[-1]) else [],
            }
        ],
        "tuning": _tuning(rates, accuracies),
        "race": {
            "seeds": _SEEDS,
            "split": [0] * len(_SEEDS),
            "test_score": scores.tolist(),
            "test_loss": (3 * (1 - scores)).tolist(),
            "train_loss": (2 * (1 - scores)).tolist(),
            "first_nonfinite_step": [-1] * len(_SEEDS),
            "failed": [False] * len(_SEEDS),
        },
        "timing": {"seconds_per_epoch": [seconds, 1.02 * seconds, 0.99 * seconds]},
        "to_target": {"95 %": {"epochs": [None] * 3 if name == "sgd" else [1.5, 2.0, 1.6]}},
    }


def _curves(name, right):
    """The curves of one candidate."""
    end = right.mean(axis=1)[:, None]
    accuracy = end * np.array([0.9, 0.97, 1.0])
    return {
        f"{name}/race/test_score": accuracy,
        f"{name}/race/test_loss": 3 * (1 - accuracy),
        f"{name}/race/train_loss": 2 * (1 - accuracy),
        f"{name}/race/right": np.packbits(right, axis=1),
        f"{name}/race/early_test_score": end * np.linspace(0.5, 1, 5),
    }


_RANDOM = np.random.default_rng(0)
_RIGHT = {name: _right(accuracy, _RANDOM) for name, (_, _, _, accuracy, _) in _CANDIDATES.items()}
_RUNS = {name: verdicts.Runs(right.mean(axis=1), right) for name, right in _RIGHT.items()}
_LEVEL = verdicts.level_of_each_pair(len(_RUNS), _CONFIDENCE)

PROBLEM: dict[str, Any] = {
    "problem": {
        "batch_size": 32,
        "epochs": _EPOCHS,
        "targets": [0.95],
        "keep_validation": False,
        "loss": "softmax_cross_entropy",
        "score": "accuracy",
        "source": "made up",
        "differences": "",
    },
    "network": "64-64-10",
    "examples": {"train": 1150, "validation": 287, "test": _EXAMPLES},
    "steps_per_epoch": 45,
    "data_sha256": "0" * 64,
    "score": wording.ACCURACY,
    "confidence": _CONFIDENCE,
    "margin": _MARGIN,
    "chance": {"validation": 0.143, "test": _CHANCE},
    "tuning": {"coarse": {"seeds": [0], "epochs": 1}, "full": {"seeds": _TUNING_SEEDS, "epochs": _EPOCHS}},
    "race": {"epochs": _EPOCHS, "looks": [{"seeds": len(_SEEDS), "error": 1 - _CONFIDENCE}], "added_looks": 0},
    "splits": 1,
    "candidates": {name: _candidate(name, right) for name, right in _RIGHT.items()},
    "pairs": [pair._asdict() | {"look": 0} for pair in verdicts.all_pairs(_RUNS, margin=_MARGIN)],
    "power": {f"{size:g}": verdicts.power(size, 0.004, len(_SEEDS), level=_LEVEL) for size in (0.001, 0.002, 0.003)},
    "effort": {
        "epochs_trained": 87,
        "coarse": 9,
        "full": 51,
        "race": 27,
        "seconds_tuning": 2.0,
        "seconds_race": 1.0,
        "seconds_timing": 0.5,
    },
    "throughput": None,
}
"""One problem of the record: three candidates, each with three learning rates and three seeds."""

CURVES: dict[str, np.ndarray] = {"early_epochs": np.array([0.1, 0.5, 1.0, 2.0, 3.0])}
"""Curves of PROBLEM: candidate/race/quantity -> (seeds, epochs)."""
for _name, _answers in _RIGHT.items():
    CURVES |= _curves(_name, _answers)

RECORD: dict[str, Any] = {
    "experiment": "optimizers",
    "format": 3,
    "command": "python -m experiments.optimizers --problem digits --seeds 3",
    "problem_chosen_because": "named by --problem",
    "provenance": {
        "versions": {"jaxmlp": "0", "jax": "0", "optax": "0", "python": "3"},
        "device": "cpu (cpu)",
        "cpus": 2,
        "machine": "Linux x86_64",
        "commit": None,
    },
    "curves": {"file": "curves.npz", "crc32": 0},
    "problems": {"digits": PROBLEM},
    "seconds_of_last_call": 1.0,
}
"""The whole record."""
