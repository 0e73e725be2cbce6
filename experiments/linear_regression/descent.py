"""Fitting a line by descent: the loss surface in closed form, and the path of every rule over it."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import jaxmlp
from jaxmlp.data import moments, standardise

TARGET = 0.01
"""A path has arrived when its loss stays within 1 % of the least-squares loss."""


class Problem(NamedTuple):
    """The data of one seed in float64, and its mean squared error in closed form."""

    x: np.ndarray
    """Raw or standardised, (n, 1)."""

    y: np.ndarray
    """Targets, (n,)."""

    scale: tuple[float, float]
    """Mean and deviation with which x was standardised; (0, 1) if it is raw."""

    optimum: np.ndarray
    """Least squares: slope and intercept in the units of x, (2,)."""

    least: float
    """The loss at the optimum, squared units of y."""

    hessian: np.ndarray
    """Of the loss, the same everywhere, (2, 2)."""


class Descent(NamedTuple):
    """Paths of one rule with every learning rate of the grid on every seed."""

    paths: np.ndarray
    """w and b in the units of x, (rates, seeds, steps + 1, 2)."""

    losses: np.ndarray
    """Mean squared error along them, (rates, seeds, steps + 1)."""


def problem(x: np.ndarray, y: np.ndarray, inputs: str = "raw") -> Problem:
    """Fit the least-squares line and measure the loss surface around it.

        loss(w, b) = 1/n sum (w x_i + b - y_i)^2
        Hessian = 2/n [[sum x^2, sum x], [sum x, n]]

    Args:
        x: inputs, (n, 1).
        y: targets, (n,).
        inputs: "raw", or "standardised" for (x - mean) / deviation.
    """
    x, y, scale = np.asarray(x, float), np.asarray(y, float), (0.0, 1.0)
    if inputs == "standardised":
        found = moments(x)
        x, scale = standardise(x, found), (float(found.mean[0]), float(found.deviation[0]))
    design = np.concatenate([x, np.ones_like(x)], axis=1)
    optimum = np.linalg.lstsq(design, y)[0]
    return Problem(x, y, scale, optimum, float(np.mean((design @ optimum - y) ** 2)), 2 / len(y) * design.T @ design)


def condition_number(hessian: np.ndarray) -> float:
    """Return the largest eigenvalue divided by the smallest; gradient descent needs steps in proportion to it."""
    low, high = np.linalg.eigvalsh(hessian)
    return float(high / low)


def raw_line(point: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Return slope and intercept in units of the raw x, for points (..., 2) in units of the standardised x."""
    mean, deviation = scale
    slope = point[..., 0] / deviation
    return np.stack([slope, point[..., 1] - slope * mean], axis=-1)


def descend(rule: str, problems: Sequence[Problem], rates: np.ndarray, steps: int) -> Descent:
    """Follow a rule from (0, 0) by batch descent, with every learning rate on every problem."""
    with jax.enable_x64(True):
        x, y = (jnp.asarray(np.stack(parts)) for parts in zip(*((p.x, p.y) for p in problems), strict=True))
        return Descent(*map(np.asarray, _paths(x, y, jnp.asarray(rates), rule=rule, steps=steps)))


def closed_form(found: Problem, learning_rate: float, steps: int) -> np.ndarray:
    """Return where gradient descent from (0, 0) is after a number of steps, (2,).

    point_t = optimum - (1 - learning_rate * Hessian)^t optimum
    """
    values, vectors = np.linalg.eigh(found.hessian)
    shrunk = (1 - learning_rate * values) ** steps
    return found.optimum - vectors @ (shrunk * (vectors.T @ found.optimum))


def closed_forms(found: Problem, learning_rate: float, steps: int) -> np.ndarray:
    """Return where gradient descent from (0, 0) is before and after each step, (steps + 1, 2)."""
    return np.stack([closed_form(found, learning_rate, step) for step in range(steps + 1)])


def implied_rate(problems: Sequence[Problem], intercept: float, steps: int) -> float | None:
    """Return the learning rate with which gradient descent has this intercept after these steps, mean over problems.

    Returns:
        The learning rate; None if no stable one gives the intercept.
    """
    highest = 1 / max(np.linalg.eigvalsh(found.hessian)[-1] for found in problems)

    def off(rate):
        return float(np.mean([closed_form(found, rate, steps)[1] for found in problems])) - intercept

    low = 1e-6 * highest
    if not off(low) < 0 < off(highest):
        return None
    return float(scipy.optimize.root_scalar(off, bracket=(low, highest), xtol=1e-18).root)


def arrivals(rule: str, found: Problem, rates: np.ndarray, most_steps: int) -> np.ndarray:
    """Return the number of steps after which each rate stays within TARGET of the least-squares loss; -1 for never.

    A path stays if it does until most_steps. The loss is written by its Hessian, without the examples, so that
    thousands of steps take a second.
    """
    with jax.enable_x64(True):
        arguments = (found.optimum, found.least, found.hessian, rates)
        steps = np.asarray(_arrivals(*map(jnp.asarray, arguments), rule=rule, most_steps=most_steps))
    return np.where(steps > most_steps, -1, steps)


def steps_along_slow_direction(found: Problem) -> float:
    """Return the steps that gradient descent with rate 1 / (largest eigenvalue) needs to come within TARGET.

    The fast direction takes one step. What remains falls as

        gap_t = (1 - low / high)^(2 t) gap_0
    """
    (low, high), vectors = np.linalg.eigh(found.hessian)
    gap = low * (vectors[:, 0] @ found.optimum) ** 2 / 2 / found.least
    return np.ceil(np.log(gap / TARGET) / -2 / np.log1p(-low / high)) if gap > TARGET and low < high else 1


@functools.partial(jax.jit, static_argnames=("rule", "steps"))
def _paths(x, y, rates, *, rule, steps):
    net = jaxmlp.mlp((1, 1), dtype=jnp.float64)
    loss_fn = jaxmlp.objective(net.apply, "mean_squared_error")

    def path(rate, x, y):
        optimizer = jaxmlp.optimizers.OPTIMIZERS[rule](rate)
        params = (jaxmlp.Layer(w=jnp.zeros((1, 1)), b=jnp.zeros(1)),)

        def step(carry, _):
            params, state = carry
            loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
            updates, state = optimizer.update(grads, state, params)
            # The loss is that of the point before the step: one step more gives the last point's.
            return (jaxmlp.apply_updates(params, updates), state), (jnp.append(params[0].w, params[0].b), loss)

        return jax.lax.scan(step, (params, optimizer.init(params)), length=steps + 1)[1]

    return jax.vmap(lambda rate: jax.vmap(lambda x, y: path(rate, x, y))(x, y))(rates)


@functools.partial(jax.jit, static_argnames=("rule", "most_steps"))
def _arrivals(optimum, least, hessian, rates, *, rule, most_steps):
    def one(rate):
        optimizer = jaxmlp.optimizers.OPTIMIZERS[rule](rate)

        def step(carry, count):
            point, state, outside = carry
            gradient = hessian @ (point - optimum)
            within = (point - optimum) @ gradient / 2 <= TARGET * least  # False for NaN
            updates, state = optimizer.update(gradient, state, point)
            return (jaxmlp.apply_updates(point, updates), state, jnp.where(within, outside, count)), None

        point = jnp.zeros_like(optimum)
        carry = (point, optimizer.init(point), jnp.asarray(-1))
        (_, _, outside), _ = jax.lax.scan(step, carry, jnp.arange(most_steps + 1))
        return outside + 1

    return jax.vmap(one)(rates)
