"""What an image classifier takes for what: the image it is surest of, its answers to noise, its first weights."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from experiments.common.analysis import measures
from jaxmlp import optimizers


class NoiseConfidence(NamedTuple):
    """What a classifier says of images of pure noise, of which none is any class."""

    n: int  # images
    threshold: float
    share_above: float  # share of the images called something with a probability above threshold
    mean_top_probability: float  # mean probability of the class that is answered
    answers: np.ndarray  # (classes,) how often each class is answered


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
    """Change images of uniform noise until the network calls them each class, by Adam on the input.

    Ascends log p_k - log(1 - p_k), which grows with p_k and whose gradient does not vanish as p_k nears 1. Pixels that
    leave [low, high] are put back on its edge.

    Args:
        apply: (params, x) -> outputs, e.g. net.apply.
        features: of one image.
        key: of the noise; each class starts from its own, which steps=0 returns.
        low: least value of a feature as the network takes it; a number or (features,).
        high: greatest value, like low.
        steps: at most.
        learning_rate: per step, as a share of high - low.
        until: an image whose probability reaches it is changed no more; 1 for never.

    Returns: images (classes, features) and the probability of each one's class, (classes,).
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
    """Ask the network what count images of uniform noise show.

    Args: as surest_images takes them.
    """
    unit = jax.random.uniform(key, (count, features))
    low, high = (jnp.broadcast_to(jnp.asarray(bound, unit.dtype), unit.shape) for bound in (low, high))
    probability = measures.probabilities(np.asarray(jax.jit(apply)(params, low + (high - low) * unit)))
    top, answers = probability.max(axis=1), np.bincount(probability.argmax(axis=1), minlength=probability.shape[1])
    return NoiseConfidence(count, threshold, float(np.mean(top > threshold)), float(np.mean(top)), answers)


def first_layer(params: Any) -> np.ndarray:
    """Return the weights of each unit of the first layer, (units, features), the largest norm first."""
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
