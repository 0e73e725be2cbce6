"""Counting the work of a sweep."""

import jax
import numpy as np

import jaxmlp
from jaxmlp.comparison import speed


def test_products_are_those_that_xla_counts():
    sizes, n = (50, 40, 30, 10), 64
    net = jaxmlp.mlp(sizes, activation="identity")
    loss_fn = jaxmlp.objective(net.apply, "mean_squared_error")
    arguments = (
        jax.eval_shape(net.init, jax.random.key(0)),
        np.ones((n, 50), np.float32),
        np.ones((n, 10), np.float32),
    )
    for function, training in ((loss_fn, False), (jax.grad(loss_fn), True)):
        flops = jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]
        counted = n * speed.products_per_example(sizes, training=training)
        # XLA also counts biases, the loss and the sums of the deltas: a few operations per unit, not per weight.
        assert counted <= flops <= 1.15 * counted


def test_the_machine_has_a_rate():
    assert speed.machine_rate(size=64, repeats=2) > 1e6
