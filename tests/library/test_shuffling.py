"""The order of the examples: each number once, and distributed as an order drawn from all."""

import math

import jax
import numpy as np
import pytest

from jaxmlp.training.shuffling import SORTED, permutation

N, DRAWS, BATCH = 2600, 2000, 64


@pytest.mark.parametrize("n", [1, 2, SORTED, SORTED + 1, 2116, 2117, 2162, 10_007, 60_000])
def test_every_number_appears_once(n):
    order = jax.jit(permutation, static_argnums=1)(jax.random.key(3), n)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.fixture(scope="module")
def orders():
    """(DRAWS, N), and as many drawn by NumPy."""
    ours = jax.jit(jax.vmap(lambda key: permutation(key, N)))(jax.random.split(jax.random.key(11), DRAWS))
    rng = np.random.default_rng(11)
    return np.asarray(ours), np.array([rng.permutation(N) for _ in range(DRAWS)])


def of_a_batch(kinds):
    """Return how unevenly ten kinds are spread over the batches of each order: the mean square from the mean."""
    batches = kinds[:, : N // BATCH * BATCH].reshape(DRAWS, -1, BATCH)
    counts = np.stack([(batches == kind).sum(axis=2) for kind in range(10)], axis=-1)
    return ((counts - BATCH / 10) ** 2).mean(axis=(1, 2))


COLUMNS = -(-N // (math.isqrt(N - 1) + 1))
MEASURES = {
    "numbers at their own place": lambda order: (order == np.arange(N)).sum(axis=1),
    "neighbours that stay neighbours": lambda order: (abs(np.diff(order)) == 1).sum(axis=1),
    "neighbours of one row": lambda order: (np.diff(order // COLUMNS) == 0).sum(axis=1),
    "neighbours of one column": lambda order: (np.diff(order % COLUMNS) == 0).sum(axis=1),
    "batches of sorted examples": lambda order: of_a_batch(order * 10 // N),
    "batches of examples in turns": lambda order: of_a_batch(order % COLUMNS * 10 // COLUMNS),
    "way from the own place": lambda order: abs(order - np.arange(N)).mean(axis=1),
    "correlation with the own place": lambda order: (order * (np.arange(N) - (N - 1) / 2)).mean(axis=1),
    "the first before the last": lambda order: (np.argsort(order)[:, 0] < np.argsort(order)[:, -1]).astype(float),
}


@pytest.mark.parametrize("name", MEASURES)
def test_it_is_distributed_as_one_drawn_from_all_orders(orders, name):
    ours, uniform = (MEASURES[name](order) for order in orders)
    errors = math.sqrt(ours.var() / DRAWS + uniform.var() / DRAWS)
    assert abs(ours.mean() - uniform.mean()) < 4 * errors
    assert ours.var() == pytest.approx(uniform.var(), rel=0.2)  # five standard errors of a ratio of two variances


def test_every_number_comes_to_every_place_as_often(orders):
    bins = 26
    places = np.broadcast_to(np.arange(N) * bins // N, (DRAWS, N))
    counts = np.zeros((bins, bins))
    np.add.at(counts, (places.ravel(), (orders[0] * bins // N).ravel()), 1)
    # Sums of rows and columns are given: (bins - 1)^2 degrees of freedom. Each order takes its numbers without
    # replacement, which is what makes the expected statistic that of independent counts.
    statistic, degrees = ((counts - counts.mean()) ** 2 / counts.mean()).sum(), (bins - 1) ** 2
    assert abs(statistic - degrees) < 4 * math.sqrt(2 * degrees)


def test_orders_of_two_keys_are_unrelated(orders):
    one, other = orders[0][:-1], orders[0][1:]
    assert (one == other).sum(axis=1).mean() == pytest.approx(1, abs=4 / math.sqrt(DRAWS))
