"""The seven optimizer rules as their equations, in float64 NumPy: the oracle for the library's own.

Every rule is a function

    rule(grads_sequence, learning_rate, **settings) -> updates

and means what optax 0.2.8 means by that name, defaults included. Common to all of them:

    grads_sequence: g_1, ..., g_T, arrays of one shape, the gradients of T successive steps.
    learning_rate: per step, > 0: a number, or a function of the step, which is counted from 0.
    updates: a list of T arrays, to be added to the parameters.

The equations are those of jaxmlp.optimizers, symbol for symbol. t counts from 1; on the right of = stands the state
before the step, which starts from 0 where nothing else is said; products, powers and square roots go entry by entry.
"""

from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
LearningRate = float | Callable[[int], float]


def sgd(grads_sequence: Sequence[Array], learning_rate: LearningRate) -> list[Array]:
    """Step along the negative gradient.

    update = -learning_rate * g
    """
    return [-_rate(learning_rate, t) * g for t, g in _steps(grads_sequence)]


def momentum(grads_sequence: Sequence[Array], learning_rate: LearningRate, momentum: float = 0.9) -> list[Array]:
    """Step along a decaying sum of gradients (the heavy ball).

    velocity = momentum * velocity + g
    update = -learning_rate * velocity

    Args:
        momentum: decay of the velocity per step, in [0, 1).

    Differs from: the learning rate inside the velocity (keras, scikit-learn); a moving average of the gradients.
    Source: Polyak 1964.
    """
    velocity, updates = 0.0, []
    for t, g in _steps(grads_sequence):
        velocity = momentum * velocity + g
        updates.append(-_rate(learning_rate, t) * velocity)
    return updates


def nesterov(grads_sequence: Sequence[Array], learning_rate: LearningRate, momentum: float = 0.9) -> list[Array]:
    """Step along the velocity as it will be if the next gradient is 0, plus the gradient.

    velocity = momentum * velocity + g
    update = -learning_rate * (g + momentum * velocity)

    Args:
        momentum: decay of the velocity per step, in [0, 1).

    Differs from: the textbook form, with g taken at the look-ahead point.
    Source: Nesterov 1983, reparametrised as in Sutskever et al. 2013.
    """
    velocity, updates = 0.0, []
    for t, g in _steps(grads_sequence):
        velocity = momentum * velocity + g
        updates.append(-_rate(learning_rate, t) * (g + momentum * velocity))
    return updates


def adagrad(
    grads_sequence: Sequence[Array],
    learning_rate: LearningRate,
    initial_accumulator: float = 0.1,
    eps: float = 1e-7,
) -> list[Array]:
    """Divide the gradient by the root of the sum of all its squares.

    accumulator = accumulator + g^2
    update = -learning_rate * g / sqrt(accumulator + eps), and 0 where the accumulator is 0

    Args:
        initial_accumulator: what the accumulator starts from, in units of g^2, >= 0.
        eps: in units of g^2, inside the root, >= 0.

    Differs from: eps outside the root (torch, and Duchi, Hazan and Singer 2011).
    """
    accumulator, updates = initial_accumulator, []
    for t, g in _steps(grads_sequence):
        accumulator = accumulator + g**2
        # Where the accumulator is 0, every g so far was 0; dividing only elsewhere avoids 0 / 0 at eps = 0.
        scaled = np.divide(g, np.sqrt(accumulator + eps), out=np.zeros_like(g), where=accumulator > 0)
        updates.append(-_rate(learning_rate, t) * scaled)
    return updates


def rmsprop(
    grads_sequence: Sequence[Array],
    learning_rate: LearningRate,
    decay: float = 0.9,
    eps: float = 1e-8,
    initial_scale: float = 0.0,
) -> list[Array]:
    """Divide the gradient by the root of a moving average of its squares.

    nu = decay * nu + (1 - decay) * g^2
    update = -learning_rate * g / sqrt(nu + eps)

    Args:
        decay: of the average per step, in [0, 1).
        eps: in units of g^2, inside the root, > 0.
        initial_scale: what nu starts from, in units of g^2, >= 0.

    Differs from: eps outside the root (torch).
    Source: Tieleman and Hinton 2012.
    """
    nu, updates = initial_scale, []
    for t, g in _steps(grads_sequence):
        nu = decay * nu + (1 - decay) * g**2
        updates.append(-_rate(learning_rate, t) * g / np.sqrt(nu + eps))
    return updates


def adam(
    grads_sequence: Sequence[Array],
    learning_rate: LearningRate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> list[Array]:
    """Divide the mean gradient by the root of the mean squared one, both corrected for starting at 0.

    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g^2
    mu_hat = mu / (1 - b1^t)
    nu_hat = nu / (1 - b2^t)
    update = -learning_rate * mu_hat / (sqrt(nu_hat + eps_root) + eps)

    Args:
        b1, b2: decay of each average per step, in [0, 1).
        eps: in units of g, outside the root, > 0.
        eps_root: in units of g^2, inside the root, >= 0.

    Differs from: "eps hat", added to the uncorrected sqrt(nu) (keras, scikit-learn).
    Source: Kingma and Ba 2015, algorithm 1.
    """
    mu, nu, updates = 0.0, 0.0, []
    for t, g in _steps(grads_sequence):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g**2
        mu_hat, nu_hat = mu / (1 - b1**t), nu / (1 - b2**t)
        updates.append(-_rate(learning_rate, t) * mu_hat / (np.sqrt(nu_hat + eps_root) + eps))
    return updates


def amsgrad(
    grads_sequence: Sequence[Array],
    learning_rate: LearningRate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_root: float = 0.0,
) -> list[Array]:
    """Run Adam with the largest corrected second moment so far, so that the divisor never shrinks.

    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g^2
    mu_hat = mu / (1 - b1^t)
    nu_max = max(nu_max, nu / (1 - b2^t))
    update = -learning_rate * mu_hat / (sqrt(nu_max + eps_root) + eps)

    Args: as in adam.

    Differs from: the maximum of the uncorrected nu, corrected afterwards (torch, keras).
    Source: Reddi, Kale and Kumar 2018, with the bias correction that optax adds.
    """
    mu, nu, nu_max, updates = 0.0, 0.0, 0.0, []
    for t, g in _steps(grads_sequence):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g**2
        mu_hat, nu_hat = mu / (1 - b1**t), nu / (1 - b2**t)
        nu_max = np.maximum(nu_max, nu_hat)
        updates.append(-_rate(learning_rate, t) * mu_hat / (np.sqrt(nu_max + eps_root) + eps))
    return updates


def _steps(grads_sequence: Sequence[Array]) -> list[tuple[int, Array]]:
    """Pair every gradient, as float64, with its t = 1, 2, ..."""
    return [(t, np.asarray(g, dtype=np.float64)) for t, g in enumerate(grads_sequence, start=1)]


def _rate(learning_rate: LearningRate, t: int) -> float:
    """Return the learning rate of step t; a schedule counts steps from 0, the equations from 1."""
    return float(learning_rate(t - 1) if callable(learning_rate) else learning_rate)
