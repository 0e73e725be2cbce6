"""What instruments see inside one run of each candidate, as arrays of the record's curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxmlp import instruments
from jaxmlp.comparison.store import Arrays, quoted
from jaxmlp.instruments import Instrument, Readings

__docformat__ = "google"
__all__ = ["INSIDE", "arrays_of", "panel", "readings"]

INSIDE = "inside"
"""In names of curves: candidate/INSIDE/instrument/steps, and .../values with the path of a leaf."""


def panel(every: int) -> dict[str, Instrument]:
    """Return the instruments of the page: cheap ones at every step, the others at an interval.

    Args:
        every: the interval in steps, >= 1.

    Example:
        >>> panel(10)["largest_eigenvalue"].every
        10
    """
    return {
        "loss": instruments.loss(),
        "alpha": instruments.alpha(every),
        "update_ratio": instruments.update_ratio(),
        "distance": instruments.distance(),
        "gradient_norm": instruments.gradient_norm(),
        "gradient_norm_by_leaf": instruments.gradient_norm_by_leaf(every),
        "norm_test": instruments.norm_test(every),
        "gradient_histogram": instruments.gradient_histogram(every, limit=0.1),
        "largest_eigenvalue": instruments.largest_eigenvalue(every, iterations=10),
        "hessian_trace": instruments.hessian_trace(every, draws=4),
        "effective_learning_rate": instruments.effective_learning_rate(),
        "gradient_noise_scale": instruments.gradient_noise_scale(every),
    }


def arrays_of(readings: Mapping[str, Readings]) -> Arrays:
    """Return readings as arrays with names; rows without a measurement are left out.

    Args:
        readings: instrument -> what it measured.

    Example:
        >>> sorted(arrays_of({"loss": Readings(np.array([0, -1]), np.array([0.5, 0.0]))}).items())
        [('loss/steps', array([0])), ('loss/values', array([0.5]))]
    """
    found = {}
    for name, (steps, values) in readings.items():
        steps = np.asarray(steps)
        parts = values if isinstance(values, dict) else {"": values}
        found[f"{name}/steps"] = steps[steps >= 0]
        found |= {f"{name}/values{path}": np.asarray(part)[steps >= 0] for path, part in parts.items()}
    return found


def readings(candidate: str, curves: Mapping[str, Any]) -> dict[str, Any]:
    """Return the readings of one candidate; empty if there are none.

    Args:
        candidate: its name.
        curves: those of the problem.

    Example:
        >>> readings("sgd", {"sgd/inside/loss/steps": np.array([0]), "sgd/inside/loss/values": np.array([0.5])})
        {'loss': Readings(steps=array([0]), values=array([0.5]))}
    """
    start = f"{quoted(candidate)}/{INSIDE}/"
    of_one = {path.removeprefix(start): values for path, values in curves.items() if path.startswith(start)}
    found = {}
    for path, steps in of_one.items():
        name, _, last = path.partition("/")
        if last != "steps":
            continue
        values = {p.removeprefix(f"{name}/values"): v for p, v in of_one.items() if p.startswith(f"{name}/values")}
        found[name] = Readings(steps, values[""] if list(values) == [""] else values)
    return found
