"""Training as a function of its hyperparameters, its gradient, and the two ways of tuning."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

import jaxmlp
from jaxmlp.comparison.verdicts import Runs

TENTHS = 10


class Hyper(NamedTuple):
    """What is tuned, on scales without limits."""

    log_rate: jax.Array
    """Natural logarithm of the learning rate: a scalar, or (10, layers), one row per tenth of training."""
    logit: jax.Array
    """log(momentum / (1 - momentum)), likewise."""


class Problem(NamedTuple):
    """What is trained."""

    network: jaxmlp.Network
    """Its network."""
    train: Any
    """Examples to train on."""
    validation: Any
    """Examples whose loss after training is tuned."""
    test: Any
    """Examples for the verdict."""
    epochs: int
    """Passes over the training examples."""
    batch_size: int
    """Examples per step."""

    @property
    def steps(self) -> int:
        """Steps of a run."""
        return self.epochs * -(-len(self.train[0]) // self.batch_size)


class State(NamedTuple):
    """What the tuned optimizer carries from step to step."""

    count: jax.Array
    """Steps taken."""
    velocity: Any
    """Like params."""


def momentum(hyper: Hyper, steps: int, cosine: bool) -> optax.GradientTransformation:
    """Build gradient descent with a learning rate and a momentum per layer and tenth of training.

        velocity = momentum[tenth, layer] * velocity + g
        update = -rate[tenth, layer] * velocity        (cosine: times (1 + cos(pi step / steps)) / 2)

    Args:
        hyper: a scalar serves all layers and tenths. A layer is two arrays of parameters, weights and biases.
        steps: of the whole run.
        cosine: let the learning rate fall to 0 along a cosine.
    """
    return optax.GradientTransformation(Partial(_init), Partial(_update, hyper=hyper, form=_Form(steps, cosine)))


@jax.tree_util.register_static
class _Form(NamedTuple):
    steps: int
    cosine: bool


def _init(params):
    return State(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))


def _update(grads, state, params=None, *, hyper, form):
    leaves, structure = jax.tree.flatten(grads)
    tenth = jnp.minimum(state.count * TENTHS // form.steps, TENTHS - 1)
    rates, kept = (
        jnp.repeat(jnp.broadcast_to(table, (TENTHS, len(leaves) // 2))[tenth], 2)
        for table in (jnp.exp(hyper.log_rate), jax.nn.sigmoid(hyper.logit))
    )
    if form.cosine:
        rates = rates * (1 + jnp.cos(jnp.pi * state.count.astype(rates.dtype) / form.steps)) / 2
    old = jax.tree.leaves(state.velocity)
    velocity = [m.astype(g.dtype) * v + g for m, v, g in zip(kept, old, leaves, strict=True)]
    updates = [-rate.astype(v.dtype) * v for rate, v in zip(rates, velocity, strict=True)]
    return structure.unflatten(updates), State(state.count + 1, structure.unflatten(velocity))


def trained(problem: Problem, hyper: Hyper, key: jax.Array, cosine: bool = False) -> Any:
    """Train one run from its key and return its parameters."""
    init_key, fit_key = jax.random.split(key)
    loss_fn, rule = jaxmlp.objective(problem.network.apply), momentum(hyper, problem.steps, cosine)
    params = jax.tree.map(lambda p: p.astype(problem.train[0].dtype), problem.network.init(init_key))
    settings = {"key": fit_key, "epochs": problem.epochs, "batch_size": problem.batch_size}
    return jaxmlp.fit(loss_fn, params, rule, problem.train, **settings).params


def loss_after(problem: Problem, hyper: Hyper, key: jax.Array, cosine: bool = False) -> jax.Array:
    """Return the validation loss after a whole run."""
    params = trained(problem, hyper, key, cosine)
    return jaxmlp.objective(problem.network.apply)(params, *problem.validation)


def descend(problem: Problem, start: Hyper, steps: int, rate: float, keys: int = 2) -> tuple[Hyper, np.ndarray, Any]:
    """Tune by gradients through whole runs: adam on the mean loss over fresh keys at each step.

    A gradient that is not finite, or longer than 1, is cut to length 1, or to 0.

    Returns:
        (the hyperparameters at the end, (steps,) losses, the hyperparameters at each step).
    """
    rule = jaxmlp.optimizers.adam(rate, b1=0.8)

    def mean_loss(hyper, key):
        return jnp.mean(jax.vmap(lambda k: loss_after(problem, hyper, k))(jax.random.split(key, keys)))

    def step(carry, key):
        hyper, state = carry
        loss, grads = jax.value_and_grad(mean_loss)(hyper, key)
        norm = jnp.linalg.norm(ravel_pytree(grads)[0])
        scale = jnp.where(jnp.isfinite(norm), 1 / jnp.maximum(norm, 1), 0)
        grads = jax.tree.map(lambda g: jnp.where(jnp.isfinite(g), g, 0) * scale, grads)
        updates, state = rule.update(grads, state)
        return (jaxmlp.apply_updates(hyper, updates), state), (loss, hyper)

    run = jax.jit(lambda start, tuning_keys: jax.lax.scan(step, (start, rule.init(start)), tuning_keys))
    (hyper, _), (losses, path) = run(start, jax.random.split(jax.random.key(1000), steps))
    return hyper, np.asarray(losses), jax.tree.map(np.asarray, path)


def search(problem: Problem, runs: int, cosine: bool, keys: int = 2) -> tuple[Hyper, Hyper]:
    """Tune by random search, log-uniform in the learning rate from 1e-3 to 10.

    Half of the runs go to draws, each on a few keys; the other half to the best tenth of them, each on as many fresh
    keys as that pays for, so that a draw is not chosen for its luck.

    Returns:
        (the best draw, all draws).
    """
    draws = max(1, runs // 2 // keys)
    rng = np.random.default_rng(0)
    tried = Hyper(jnp.asarray(rng.uniform(np.log(1e-3), np.log(10), draws)), jnp.asarray(rng.uniform(-2, 4, draws)))
    losses = surface(problem, tried, jax.random.split(jax.random.key(2000), keys), cosine)
    kept = np.argsort(np.where(np.isfinite(losses), losses, np.inf))[: max(1, draws // 10)]
    finalists = jax.tree.map(lambda a: a[kept], tried)
    more = jax.random.split(jax.random.key(2001), max(1, runs // 2 // len(kept)))
    losses = surface(problem, finalists, more, cosine)
    best = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
    return jax.tree.map(lambda a: a[best], finalists), tried


def surface(problem: Problem, points: Hyper, keys: jax.Array, cosine: bool = False) -> np.ndarray:
    """Return the mean validation loss over keys at each of many points."""
    return np.asarray(_over(problem, cosine, loss_after)(points, keys)).mean(axis=1)


def slopes(problem: Problem, points: Hyper, key: jax.Array) -> np.ndarray:
    """Return the derivative of the loss after a run by the logarithm of the learning rate, at each point."""

    def slope(problem, hyper, key, cosine):
        return jax.grad(lambda rate: loss_after(problem, Hyper(rate, hyper.logit), key))(hyper.log_rate)

    return np.asarray(_over(problem, False, slope)(points, key[None]))[:, 0]


def _over(problem: Problem, cosine: bool, function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    def one(hyper, keys):
        return jax.vmap(lambda key: function(problem, hyper, key, cosine))(keys)

    return jax.jit(lambda points, keys: jax.lax.map(lambda hyper: one(hyper, keys), points))


def scores(problem: Problem, hyper: Hyper, keys: jax.Array, cosine: bool) -> tuple[Runs, Runs]:
    """Return what fresh runs score on the test set: accuracy, and loss."""
    loss_fn = jaxmlp.objective(problem.network.apply)
    x, y = problem.test

    def one(key):
        params = trained(problem, hyper, key, cosine)
        return problem.network.apply(params, x).argmax(axis=-1) == y, loss_fn(params, x, y)

    right, loss = map(np.asarray, jax.jit(jax.vmap(one))(keys))
    return Runs(right.mean(axis=1), right), Runs(loss)


def truth(problem: Problem, hyper: Hyper, width: float = 1e-5) -> float:
    """Return the relative error of the gradient by all numbers of hyper against central differences, in float64."""
    with jax.enable_x64(True):
        wide = problem._replace(train=_wide(problem.train), validation=_wide(problem.validation))
        point, unravel = ravel_pytree(jax.tree.map(lambda a: jnp.asarray(np.asarray(a, np.float64)), hyper))

        def loss(point):
            return loss_after(wide, unravel(point), jax.random.key(5))

        found, shifts = jax.jit(jax.grad(loss))(point), width * jnp.eye(len(point))
        ahead, behind = jax.jit(lambda points: jax.lax.map(jax.vmap(loss), points))(
            jnp.stack([point[None] + shifts, point[None] - shifts])
        )
        expected = (ahead - behind) / (2 * width)
        return float(jnp.max(jnp.abs(found - expected)) / jnp.max(jnp.abs(expected)))


def _wide(examples):
    x, y = examples
    return np.asarray(x, np.float64), y
