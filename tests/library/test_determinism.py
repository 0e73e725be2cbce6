"""What jaxmlp/training/README.md promises to be bit-equal, as far as no other file tests it."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp

_RUN = """
import hashlib, sys
import jax, numpy as np, jaxmlp
digits = jaxmlp.datasets.load("xor")
net = jaxmlp.mlp((2, 16, 2), dropout=0.1)
loss_fn = jaxmlp.objective(net.apply, l2=1e-4)
run = {"key": jax.random.key(1), "epochs": 20, "batch_size": 3, "validation": digits.test}
result = jaxmlp.fit(loss_fn, net.init(jax.random.key(0)), jaxmlp.optimizers.adam(0.05), digits.train, **run)
kept = jax.tree.leaves((result.params, result.history))
print(hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in kept)).hexdigest())
"""


@pytest.mark.slow
def test_processes_give_the_same_bits_with_and_without_kept_programs(tmp_path):
    settings = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    printed = {
        subprocess.run([sys.executable, "-c", _RUN], env=env, capture_output=True, text=True, check=True).stdout
        for env in (dict(os.environ), settings, settings)  # the third finds the program of the second
    }
    assert len(printed) == 1 and any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def swept():
    xor, net = jaxmlp.datasets.load("xor"), jaxmlp.mlp((2, 8, 2))
    loss_fn, keys = jaxmlp.objective(net.apply), jax.random.split(jax.random.key(0), 2)

    def run(rates, keys=keys, **settings):
        grid = {"learning_rate": rates}
        how = {"epochs": 5, "batch_size": 3, "execution": "threads", **settings}
        return jaxmlp.sweep(loss_fn, net.init, jaxmlp.optimizers.adam, grid, xor.train, keys=keys, **how)

    return run


def test_the_order_and_the_company_of_candidates_do_not_matter(swept):
    rates = [0.003, 0.1, 0.03]
    forward, backward, alone = swept(rates), swept(rates[::-1]), swept(rates[1:2])
    for a, b, c in zip(*(jax.tree.leaves(found.history) for found in (forward, backward, alone)), strict=True):
        np.testing.assert_array_equal(a, b[::-1])
        np.testing.assert_array_equal(a[1:2], c)


def test_the_number_of_threads_does_not_matter(swept):
    one, many = (swept([0.01, 0.1], runs_at_once=threads) for threads in (1, 4))
    jax.tree.map(np.testing.assert_array_equal, one.history, many.history)


def test_a_number_and_an_array_of_it_give_the_same_bits(swept):
    a, b = swept([0.01, 0.1]), swept(jnp.asarray([0.01, 0.1]))
    jax.tree.map(np.testing.assert_array_equal, a.history, b.history)
