"""What fit measures and carries: the evaluation point of averaging rules, steps, weights, what a step shows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmlp
from jaxmlp import optimizers

pytestmark = pytest.mark.usefixtures("unoptimised")
X = np.random.default_rng(0).normal(size=(16, 1)).astype(np.float32)
DATA = X, X[:, 0]
KEY = jax.random.key(0)
START = jnp.float32(0)


def loss_fn(params, x, y, weight=None, *, key=None):
    return jaxmlp.losses.weighted_mean((params - x[:, 0]) ** 2, weight)


def run(optimizer, data=DATA, **options):
    options = {"params": START, "key": KEY, "epochs": 2, "batch_size": 8} | options
    with jax.numpy_dtype_promotion("standard"):  # for optax's own rules
        return jaxmlp.fit(loss_fn, optimizer=optimizer, train=data, **options)


def test_a_schedule_free_rule_is_measured_stopped_and_kept_where_it_is_to_be_used():
    point = optax.contrib.schedule_free_eval_params
    metrics = {"point": lambda params, x, y: params}
    rule = optax.contrib.schedule_free_adamw(0.1)
    result = run(rule, validation=DATA, metrics=metrics, keep_best=True, eval_params=point)
    used = point(result.state.opt_state, result.params)
    assert float(used) != float(result.params)
    np.testing.assert_allclose(result.history.metrics["point"][-1], used, rtol=1e-6)  # the same formula, compiled apart
    np.testing.assert_allclose(result.history.validation_loss[-1], loss_fn(used, *DATA), rtol=1e-6)
    assert int(result.best.epoch) == 1
    np.testing.assert_allclose(result.best.params, used, rtol=1e-6)
    # Training itself is the same.
    np.testing.assert_array_equal(result.params, run(rule, validation=DATA, metrics=metrics, keep_best=True).params)


def test_the_first_nonfinite_step_is_right_after_a_change_of_data_size():
    first = run(optimizers.sgd(0.1))
    assert int(first.state.steps) == 4
    more = np.tile(X, (4, 1)), np.zeros(64, np.float32)
    second = run(optimizers.sgd(1e38), more, params=None, key=None, state=first.state)
    # Step 4 is taken at a finite loss and moves params by 1e38; the square overflows at step 5.
    assert int(second.history.first_nonfinite_step) == 5 and int(second.state.steps) == 4 + 16


def test_whole_weights_are_repeated_examples_and_weight_zero_is_none():
    weight = np.arange(16) % 3
    rows = np.repeat(np.arange(16), weight)
    options = {"epochs": 3, "validation": (*DATA, weight.astype("f"))}
    weighted = run(optimizers.sgd(0.1), (*DATA, weight.astype("f")), batch_size=16, **options)
    repeated = run(optimizers.sgd(0.1), (X[rows], X[rows, 0]), batch_size=len(rows), **options)
    # Sums of 16 float32 terms in other orders.
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-5)
    np.testing.assert_allclose(weighted.history.train_loss, repeated.history.train_loss, rtol=1e-5)
    np.testing.assert_allclose(weighted.history.validation_loss, repeated.history.validation_loss, rtol=1e-5)
    # In batches the loss of the epoch is weighted by their weights: at rate 0 it does not depend on them.
    still = [run(optimizers.sgd(0.0), (*DATA, weight.astype("f")), batch_size=n).history.train_loss for n in (5, 16)]
    np.testing.assert_allclose(*still, rtol=1e-5)


def test_a_step_shows_its_number_its_batch_and_the_state_of_the_optimizer():
    told = {
        "index": lambda step: step.index,
        "first": lambda step: step.x[0, 0],
        "rate": lambda step: step.opt_state.hyperparams["learning_rate"],
        "norms": jaxmlp.gradient_norms,
    }
    rule = optax.inject_hyperparams(optax.sgd)(optax.linear_schedule(0.4, 0.0, 4))
    history = run(rule, step_metrics=told, shuffle=False).history.step_metrics
    np.testing.assert_array_equal(history["index"], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(history["first"], [[X[0, 0], X[8, 0]]] * 2)  # not shuffled
    np.testing.assert_allclose(history["rate"].ravel(), [0.4, 0.3, 0.2, 0.1], rtol=1e-6)
    assert {name: norms.shape for name, norms in history["norms"].items()} == {"": (2, 2)}


WEIGHT = np.ones(16, np.float32)
STATE = jaxmlp.TrainState(START, optimizers.sgd(0.1).init(START), KEY, jnp.int32(0))
BAD = [
    ({"state": STATE, "key": jax.random.key(1)}, ValueError, "key is not the one of state.*_replace"),
    ({"state": STATE, "params": jnp.zeros(3)}, ValueError, r"params have the shapes \(3,\).*give None"),
    ({"params": {"w": START, "act": jnp.tanh}}, TypeError, r"at params\['act'\]; split.*equinox\.partition"),
    ({"params": None}, TypeError, "params must be a pytree of arrays.*got None"),
    ({"key": None}, TypeError, "key must be one key"),
    ({"shuffle": 1}, TypeError, "shuffle must be True or False"),
    ({"eval_params": 1}, TypeError, r"eval_params must be a function \(opt_state, params\) -> params"),
    ({"eval_params": lambda state, params: (params, params)}, ValueError, "eval_params must return params like"),
    ({"data": (*DATA, -WEIGHT)}, ValueError, "weights of train must be >= 0"),
    ({"data": (*DATA, 0 * WEIGHT)}, ValueError, "not all 0"),
    ({"data": (*DATA, np.ones((16, 2)))}, ValueError, r"must be an array \(16,\)"),
    (
        {"validation": (*DATA, WEIGHT), "metrics": {"it": lambda params, x, y: 0.0}},
        TypeError,
        "validation has weights, and metric 'it' takes none",
    ),
]


@pytest.mark.parametrize(("options", "error", "match"), BAD)
def test_what_cannot_be_is_answered_with_the_way_out(options, error, match, compile_log):
    with pytest.raises(error, match=match):
        run(optimizers.sgd(0.1), **options)
    assert "jit(_run)" not in compile_log


def test_losses_of_another_form_are_told_the_right_one():
    fit = functools.partial(
        jaxmlp.fit, params=START, optimizer=optimizers.sgd(0.1), train=DATA, key=KEY, epochs=1, batch_size=8
    )
    with pytest.raises(TypeError, match="takes no key: add key=None"):
        fit(lambda params, x, y: params)
    with pytest.raises(TypeError, match="got a tuple; measure the rest by step_metrics"):
        fit(lambda params, x, y, *, key=None: (params, x))
