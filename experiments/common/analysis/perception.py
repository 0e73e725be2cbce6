"""What an image classifier responds to: its most confident images, its answers to noise, its first-layer weights."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from experiments.common.analysis import measures
from jaxmlp import optimizers


class NoiseConfidence(NamedTuple):
    """The answers of a classifier to images of pure noise, none of which belongs to any class."""

    n: int
    """Number of images."""

    threshold: float
    """Probability above which an answer counts as confident."""

    share_above: float
    """Share of confident answers."""

    mean_top_probability: float
    """Mean probability of the predicted class."""

    answers: np.ndarray
    """How often each class is predicted, (classes,)."""


def surest_images(
    apply: measures.Apply,
    params: Any,
    features: int,
    *,
    key: jax.Array,
    low: Any = 0.0,
    high: Any = 1.0,
    steps: int = 500,
    learning_rate: float = 0.01,
    until: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Change images of uniform noise until the network takes them for each class, by Adam on the input.

    Ascends the log odds, which grow with p_k and whose gradient does not vanish as p_k approaches 1:

        log p_k - log(1 - p_k)

    Pixels that leave [low, high] are clipped.

    Args:
        apply: (params, x) -> outputs, e.g. net.apply.
        params: of the network.
        features: pixels of one image.
        key: of the noise; each class starts from its own, which steps=0 returns.
        low: smallest value of a feature as the network takes it, a number or (features,).
        high: largest value, like low.
        steps: of the ascent, at most.
        learning_rate: per step, as a share of high - low.
        until: the probability at which an image is no longer changed; 1 for never.

    Returns:
        Images (classes, features), and the probability of each image's class, (classes,).
    """
    dtype = jnp.result_type(float)
    low, high = (jnp.broadcast_to(jnp.asarray(bound, dtype), (features,)) for bound in (low, high))
    images, odds = _ascend(apply, params, key, low, high, learning_rate, float(scipy.special.logit(until)), steps)
    return np.asarray(images), scipy.special.expit(np.asarray(odds, np.float64))


def noise_confidence(
    apply: measures.Apply,
    params: Any,
    features: int,
    *,
    key: jax.Array,
    low: Any = 0.0,
    high: Any = 1.0,
    count: int = 10_000,
    threshold: float = 0.99,
) -> NoiseConfidence:
    """Classify images of uniform noise.

    Args:
        apply: (params, x) -> outputs, e.g. net.apply.
        params: of the network.
        features: pixels of one image.
        key: of the noise.
        low: as for surest_images.
        high: as for surest_images.
        count: number of images.
        threshold: probability above which an answer counts as confident.
    """
    unit = jax.random.uniform(key, (count, features))
    low, high = (jnp.broadcast_to(jnp.asarray(bound, unit.dtype), unit.shape) for bound in (low, high))
    probability = measures.probabilities(np.asarray(jax.jit(apply)(params, low + (high - low) * unit)))
    top, answers = probability.max(axis=1), np.bincount(probability.argmax(axis=1), minlength=probability.shape[1])
    return NoiseConfidence(count, threshold, float(np.mean(top > threshold)), float(np.mean(top)), answers)


def first_layer(params: Any) -> np.ndarray:
    """Return the weights of each unit of the first layer, largest norm first, (units, features)."""
    w = np.asarray(params[0][0]).T
    return w[np.argsort(-np.linalg.norm(w, axis=1), kind="stable")]


@partial(jax.jit, static_argnames="apply")
def _ascend(apply, params, key, low, high, learning_rate, limit, steps):
    optimizer = optimizers.adam(learning_rate)
    n_outputs = jax.eval_shape(apply, params, low).shape[-1]
    classes = max(n_outputs, 2)

    def image_of(unit):
        return low + (high - low) * unit

    def log_odds(unit, k):
        z = apply(params, image_of(unit))
        z = jnp.concatenate([jnp.zeros_like(z), z]) if n_outputs == 1 else z
        others = jnp.where(jnp.arange(classes) == k, -jnp.inf, z)
        return z[k] - jax.nn.logsumexp(others)

    def run(key, k):
        unit = jax.random.uniform(key, low.shape, low.dtype)

        def step(_, carry):
            unit, opt_state = carry
            odds, grads = jax.value_and_grad(log_odds)(unit, k)
            updates, opt_state = optimizer.update(-grads, opt_state)
            moved = jnp.clip(optimizers.apply_updates(unit, updates), 0, 1)
            return jnp.where(odds >= limit, unit, moved), opt_state

        unit, _ = jax.lax.fori_loop(0, steps, step, (unit, optimizer.init(unit)))
        return image_of(unit), log_odds(unit, k)

    return jax.vmap(run)(jax.random.split(key, classes), jnp.arange(classes))
