"""Validation in pieces: the numbers of one call, up to rounding."""

import jax
import numpy as np
import pytest

import jaxmlp
from jaxmlp.training import program
from jaxmlp.training.validating import validated

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 5)).astype(np.float32), RNG.integers(0, 3, 50)
WEIGHT = np.maximum(RNG.normal(size=50), 0).astype(np.float32)
WEIGHT[:8] = 0.0  # the first piece weighs nothing
NET = jaxmlp.mlp((5, 7, 3))
METRICS = {"accuracy": jaxmlp.accuracy(NET.apply)}


def run(validation, metrics=METRICS, loss_fn=None, **options):
    loss_fn = loss_fn or jaxmlp.objective(NET.apply, l2=1e-2)
    start = loss_fn, NET.init(jax.random.key(0)), jaxmlp.optimizers.sgd(0.1), (X, Y)
    settings = {"key": jax.random.key(1), "epochs": 2, "batch_size": 25, "keep_best": True}
    return jaxmlp.fit(*start, **settings, validation=validation, metrics=metrics, **options)


def test_pieces_give_what_one_call_gives():
    whole, pieces = run((X, Y)), run((X, Y), eval_batch_size=8)  # 6 pieces and one of 2
    assert_close(pieces.history, whole.history)
    np.testing.assert_array_equal(pieces.best.params[0].w, whole.best.params[0].w)


def test_pieces_of_weighted_examples_are_weighted():
    task = program.task_of(jaxmlp.objective(NET.apply, l2=1e-2), None, METRICS, None, None, None, None, None)
    params = NET.init(jax.random.key(0))
    assert_close(*jax.jit(lambda: [validated(task, params, (X, Y, WEIGHT), size) for size in (8, None)])())


def assert_close(pieces, whole):
    for left, right in zip(jax.tree.leaves(pieces), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6)  # float32, summed in another order


def test_what_is_no_mean_over_examples_is_refused():
    weighted = jaxmlp.objective(NET.apply, class_weight=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="a loss with class_weight is not"):
        run((X, Y), loss_fn=weighted, eval_batch_size=8)
    with pytest.raises(ValueError, match="metric 'dead' is not"):
        run((X, Y), {"dead": jaxmlp.dead_units(NET.apply)}, eval_batch_size=8)
    with pytest.raises(ValueError, match="metric 'fit' is not"):
        run((X, Y), {"fit": jaxmlp.r2(NET.apply)}, loss_fn=jaxmlp.objective(NET.apply), eval_batch_size=8)


def test_wrong_sizes():
    with pytest.raises(ValueError, match="eval_batch_size must be at least 1"):
        run((X, Y), eval_batch_size=0)
    with pytest.raises(ValueError, match="give validation"):
        jaxmlp.fit(
            jaxmlp.objective(NET.apply),
            NET.init(jax.random.key(0)),
            jaxmlp.optimizers.sgd(0.1),
            (X, Y),
            key=jax.random.key(1),
            epochs=1,
            batch_size=25,
            eval_batch_size=8,
        )
