"""What the published slope and intercept can tell of the settings that were not published, and what is a test instead.

The publication gives y = 1837.5 x + 14376.52 + uniform(0, 10000), 50 steps of gradient descent, and the line at their
end. It gives neither x nor the learning rate. Here the range of x is inferred from the slope and the rate from the
intercept, so that the two numbers cannot confirm what was fitted to them. What can fail is where least squares lies,
and how a descent with known x and rate moves: the eigenvalues of the Hessian predict it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.linear_regression.descent import Problem, closed_form, closed_forms, descend

SLOPE, INTERCEPT = 1837.5, 14376.52 + 10_000 / 2
"""Of the data, as published; the mean of the noise belongs to the intercept."""

NOISE = 10_000 / np.sqrt(12)
"""Standard deviation of the noise."""


CONVERGED = 1e-3
"""The slope has settled when less than this share of the way along the fast direction is left."""


def implied_x_max(slope: float) -> float:
    """Return the end of the range of x for which the first steps of gradient descent lead to a slope, above SLOPE.

    They lead to the line through the origin that fits best, for infinitely many examples

        slope = sum x y / sum x^2 = SLOPE + INTERCEPT * 1.5 / x_max
    """
    return 1.5 * INTERCEPT / (slope - SLOPE)


def possible_intercepts(x_max: float, steps: int) -> tuple[float, float]:
    """Return the lowest and the highest intercept that some learning rate gives while the slope has settled."""
    found = endless(x_max)
    highest = np.linalg.eigvalsh(found.hessian)[-1]
    edge = CONVERGED ** (1 / steps)
    low, high = (closed_form(found, share / highest, steps)[1] for share in (1 - edge, 1 + edge))
    return float(low), float(high)


def endless(x_max: float) -> Problem:
    """Return the problem of infinitely many examples, x uniform in [0, x_max)."""
    hessian = 2 * np.array([[x_max**2 / 3, x_max / 2], [x_max / 2, 1]])
    return Problem(np.empty((0, 1)), np.empty(0), (0.0, 1.0), np.array([SLOPE, INTERCEPT]), NOISE**2, hessian)


def standard_errors(found: Problem) -> np.ndarray:
    """Return by how many standard errors least squares misses slope and intercept of the data, (2,).

    covariance = NOISE^2 (design^T design)^-1
    """
    covariance = NOISE**2 * np.linalg.inv(len(found.y) / 2 * found.hessian)
    return (found.optimum - (SLOPE, INTERCEPT)) / np.sqrt(np.diag(covariance))


class Prediction(NamedTuple):
    """What the eigenvalues predict of a descent, beside what the descent did."""

    name: str
    """Of the learning rate."""

    learning_rate: float
    """Mean over the problems."""

    predicted: np.ndarray
    """(1 - rate * eigenvalue)^steps, the share left of the fast and of the slow direction, mean over problems, (2,)."""

    followed: np.ndarray
    """The share that was left, likewise, (2,)."""

    largest_difference: float
    """Between path and closed form, over all steps and problems, as a share of the optimum's norm."""


def predictions(problems: Sequence[Problem], inferred_rate: float | None, steps: int) -> list[Prediction]:
    """Follow gradient descent by automatic differentiation with rates around the stable ones, and predict it.

    Args:
        problems: raw ones.
        inferred_rate: one of the rates, the same for all problems; None: without it.
        steps: of each descent.
    """
    chosen = {} if inferred_rate is None else {"inferred": lambda high: inferred_rate}
    chosen |= {
        "1 / largest eigenvalue": lambda high: 1 / high,
        "1 % below the stable limit": lambda high: 0.99 * 2 / high,
        "1 % above the stable limit": lambda high: 1.01 * 2 / high,
    }
    rates, predicted, followed, differences = [], [], [], []
    for found in problems:
        values, vectors = np.linalg.eigh(found.hessian)
        rate = np.array([of(values[-1]) for of in chosen.values()])
        paths = descend("sgd", [found], rate, steps).paths[:, 0]
        exact = np.stack([closed_forms(found, r, steps) for r in rate])
        left = (paths[:, -1] - found.optimum) @ vectors / -(found.optimum @ vectors)
        rates.append(rate)
        predicted.append((1 - rate[:, None] * values[::-1]) ** steps)
        followed.append(left[:, ::-1])
        differences.append(np.abs(paths - exact).max(axis=(1, 2)) / np.linalg.norm(found.optimum))
    means = (np.mean(values, axis=0) for values in (rates, predicted, followed))
    return [
        Prediction(name, float(rate), before, after, float(difference))
        for name, rate, before, after, difference in zip(chosen, *means, np.max(differences, axis=0), strict=True)
    ]
