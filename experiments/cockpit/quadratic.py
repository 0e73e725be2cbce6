"""A quadratic with known noise and spectrum, and what every instrument must read on it.

The loss of example i is (w - x_i) . A (w - x_i) / 2 with A = Q diag(lambda) Q^T. The examples come in pairs
x = +- s_j q_j along the eigenvectors, so that their mean is 0 and the covariance of their gradients is
Q diag(lambda^2 s^2 / P) Q^T, P being the number of parameters. At w = Q c the batch's gradient is Q (lambda c).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from jaxmlp import instruments
from jaxmlp.instruments import Instrument

LAMBDA = np.array([9.0, 4.0, 2.0, 1.0, 0.5, 0.25])
SPREAD = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
WEIGHTS = np.array([0.3, -0.7, 0.4, 1.1, -0.2, 0.9])
LEARNING_RATE = 0.15
DRAWS = 10_000


class Expected(NamedTuple):
    """What an instrument reads on the quadratic."""

    instrument: Instrument
    """With the settings that make the closed form exact, where there are any."""

    value: Any
    """The closed form, shaped like the reading."""

    random: bool = False
    """Whether the reading is a random estimate whose mean over keys is value."""


def step(dtype: Any = jnp.float64) -> jaxmlp.Step:
    """Return the step of gradient descent on the whole data, with parameters in a nested pytree."""
    q = _eigenvectors()
    curvature, weights = (q * LAMBDA) @ q.T, q @ WEIGHTS
    x = np.concatenate([(q * SPREAD).T, -(q * SPREAD).T])
    a = jnp.asarray(curvature, dtype)

    def loss_fn(params, x, y, *, key=None):
        away = jnp.concatenate([params["a"].ravel(), params["b"]])[None] - x
        return ((away @ a) * away).sum(axis=1).mean() / 2

    params = {"a": jnp.asarray(weights[:4].reshape(2, 2), dtype), "b": jnp.asarray(weights[4:], dtype)}
    rule = jaxmlp.optimizers.sgd(LEARNING_RATE)
    start = jax.tree.map(lambda p: p + 1, params)
    return jaxmlp.take_step(loss_fn, params, rule, (jnp.asarray(x, dtype), None), start=start)


def expected() -> dict[str, Expected]:
    """Return the closed form of every instrument, by name, from spectrum and noise alone."""
    q, size, count = _eigenvectors(), len(LAMBDA), 2 * len(LAMBDA)
    grad = LAMBDA * WEIGHTS  # in the basis of eigenvectors
    noise = LAMBDA**2 * SPREAD**2 / size
    sample = count / (count - 1)
    g, w, norm = q @ grad, q @ WEIGHTS, np.linalg.norm(grad)
    loss = np.sum(LAMBDA * WEIGHTS**2) / 2 + np.sum(LAMBDA * SPREAD**2) / size / 2
    variances, diagonal = q**2 @ noise, q**2 @ LAMBDA
    along = np.sum(noise * grad**2)
    rayleigh = np.sum(LAMBDA * grad**2) / norm**2
    trace = np.sum(noise) * sample
    curved = np.sum(LAMBDA * noise) * sample
    examples = np.concatenate([g + s * (q * (LAMBDA * SPREAD)).T for s in (1, -1)])
    rate, here = LEARNING_RATE, instruments

    def leaves(vector):
        return {"['a']": np.linalg.norm(vector[:4]), "['b']": np.linalg.norm(vector[4:])}

    ratios = {path: rate * value / leaves(w)[path] for path, value in leaves(g).items()}
    return {
        "loss": Expected(here.loss(), loss),
        "parameters": Expected(here.parameters(), {"a": w[:4].reshape(2, 2), "b": w[4:]}),
        "learning_rate": Expected(here.learning_rate(), rate),
        "effective_learning_rate": Expected(here.effective_learning_rate(), rate),
        "update_norm": Expected(here.update_norm(), rate * norm),
        "update_norm_by_leaf": Expected(here.update_norm_by_leaf(), leaves(rate * g)),
        "update_ratio": Expected(here.update_ratio(), rate * norm / np.linalg.norm(WEIGHTS)),
        "update_ratio_by_leaf": Expected(here.update_ratio_by_leaf(), ratios),
        "distance": Expected(here.distance(), np.sqrt(size)),
        "distance_by_leaf": Expected(here.distance_by_leaf(), {"['a']": 2.0, "['b']": np.sqrt(2)}),
        "alpha": Expected(here.alpha(), rate * rayleigh - 1),
        "gradient_norm": Expected(here.gradient_norm(), norm),
        "gradient_norm_by_leaf": Expected(here.gradient_norm_by_leaf(), leaves(g)),
        "gradient_histogram": Expected(here.gradient_histogram(), _histogram(examples)),
        "gradient_histogram_2d": Expected(here.gradient_histogram_2d(), _histogram_2d(examples, w)),
        "norm_test": Expected(here.norm_test(), np.sqrt(trace / count) / norm),
        "inner_product_test": Expected(here.inner_product_test(), np.sqrt(along * sample / count) / norm**2),
        "orthogonality_test": Expected(
            here.orthogonality_test(), np.sqrt((np.sum(noise) - along / norm**2) * sample / count) / norm
        ),
        "mean_gsnr": Expected(here.mean_gsnr(), np.mean(g**2 / (variances + 1e-5))),
        "gradient_noise_scale": Expected(
            here.gradient_noise_scale(),
            {"trace": trace, "signal": norm**2 - trace / count, "scale": trace / (norm**2 - trace / count)},
        ),
        "cabs_batch_size": Expected(here.cabs_batch_size(), rate * np.sum(noise) / loss),
        "cabs_learning_rate": Expected(here.cabs_learning_rate(), count * loss / np.sum(noise)),
        "early_stopping": Expected(here.early_stopping(), 1 - count * np.mean(g**2 / (variances * sample + 1e-5))),
        "largest_eigenvalue": Expected(here.largest_eigenvalue(), LAMBDA.max()),
        "smallest_eigenvalue": Expected(here.smallest_eigenvalue(), LAMBDA.min()),
        "hessian_spectrum": Expected(Instrument(_nodes), np.sort(LAMBDA)),
        "hessian_trace": Expected(here.hessian_trace(draws=1), np.sum(LAMBDA), random=True),
        # Ratios of estimates are not unbiased: by the trace and the diagonal themselves.
        "tic_trace": Expected(here.tic_trace(draws=None), (norm**2 + np.sum(noise)) / np.sum(LAMBDA)),
        "tic_diagonal": Expected(here.tic_diagonal(draws=None), np.sum((g**2 + variances) / (diagonal + 1e-7))),
        "critical_batch_size": Expected(Instrument(_noise), curved, random=True),
        "optimal_learning_rate": Expected(here.optimal_learning_rate(), 1 / rayleigh),
        "update_curvature": Expected(here.update_curvature(), rayleigh),
    }


def _eigenvectors():
    return np.linalg.qr(np.random.default_rng(0).normal(size=(len(LAMBDA), len(LAMBDA))))[0]


def _nodes(step, key):
    return instruments.hessian_spectrum()(step, key)["nodes"]


def _noise(step, key):
    return instruments.critical_batch_size(draws=1)(step, key)["noise"]


def _histogram(examples):
    return np.histogram(np.clip(examples, -2, 2), np.linspace(-2, 2, 101))[0]


def _histogram_2d(examples, weights):
    edges = np.linspace(-1, 1, 41)
    pairs = np.clip(examples, -1, 1).ravel(), np.clip(np.tile(weights, (len(examples), 1)), -1, 1).ravel()
    return np.histogram2d(*pairs, [edges, edges])[0]
