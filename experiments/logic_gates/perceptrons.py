"""Networks without a hidden layer: the published perceptrons, the best of all perceptrons, and trained ones."""

import functools
import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import jaxmlp
from experiments.logic_gates.settings import GATES, ROWS, TARGETS
from jaxmlp import activations

PERCEPTRONS = {"and": (1.0, -2.0), "or": (1.0, -1.0)}
"""The published ones: gate -> (both weights, bias)."""


def given_perceptron(gate: str) -> np.ndarray:
    """Return the answers of the published perceptron of "and" or "or" on the four rows: 0 or 1, (4,)."""
    weight, bias = PERCEPTRONS[gate]
    params = (jaxmlp.Layer(w=jnp.full((2, 1), weight), b=jnp.full(1, bias)),)
    logits = jaxmlp.mlp((2, 1)).apply(params, jnp.asarray(ROWS))
    return np.asarray(activations.step(logits))[:, 0].astype(int)


def separable(targets: Sequence[int] | np.ndarray) -> bool:
    """Return whether a perceptron can give these answers on the four rows: whether a line separates ones from zeros.

    This is a linear program, with sign_i = +1 for a one and -1 for a zero:

        sign_i (w . x_i + b) >= 1   for all four rows
    """
    signs = np.where(np.asarray(targets) > 0, 1.0, -1.0)[:, None]
    rows = np.concatenate([ROWS, np.ones((4, 1))], axis=1)
    found = scipy.optimize.linprog(np.zeros(3), A_ub=-signs * rows, b_ub=-np.ones(4), bounds=(None, None))
    return found.status == 0  # 2: infeasible


def best_without_hidden() -> dict[str, int]:
    """Return, for each gate, how many of the four rows the best of all perceptrons gets right."""
    possible = np.array([answers for answers in itertools.product((0, 1), repeat=4) if separable(answers)])
    return {gate: int((possible == y).sum(axis=1).max()) for gate, y in zip(GATES, TARGETS, strict=True)}


def train_without_hidden(keys: jax.Array, epochs: int, learning_rate: float) -> dict[str, np.ndarray]:
    """Train a perceptron on every gate from every key, by binary cross entropy and Adam.

    Returns:
        Gate -> rows right of 4, (seeds,).
    """
    rate = jnp.asarray(learning_rate, jnp.float32)
    right = _train_perceptrons(keys, jnp.asarray(TARGETS), rate, epochs=epochs)
    return dict(zip(GATES, np.rint(4 * np.asarray(right)).astype(int), strict=True))


@functools.partial(jax.jit, static_argnames="epochs")
def _train_perceptrons(keys, targets, learning_rate, *, epochs):
    net = jaxmlp.mlp((2, 1), initializer="glorot_normal")
    loss_fn = jaxmlp.objective(net.apply, "binary_cross_entropy")

    def one(y, key):
        init_key, _ = jax.random.split(key)
        examples, optimizer = (jnp.asarray(ROWS), y), jaxmlp.optimizers.adam(learning_rate)
        end = jaxmlp.fit(
            loss_fn, net.init(init_key), optimizer, examples, key=jax.random.key(0), epochs=epochs, batch_size=4
        )
        return jaxmlp.accuracy(net.apply)(end.params, *examples)

    return jax.vmap(lambda y: jax.vmap(lambda key: one(y, key))(keys))(targets)
