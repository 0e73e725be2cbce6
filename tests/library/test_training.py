"""fit against a loop written with NumPy alone, and as a function that JAX's transformations take."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_mlp
import numpy_rules
import optax
import pytest
from noisy_loss import noisy

import jaxmlp
from jaxmlp import optimizers

N, FEATURES, CLASSES = 50, 5, 3
SIZES = (FEATURES, 7, CLASSES)
WEAK = jnp.asarray(0.3)
UNMEASURED = {"validation": None, "metrics": None}


def make_problem(dtype=jnp.float32):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(N, FEATURES)), rng.integers(0, CLASSES, N)
    net = jaxmlp.mlp(SIZES, activation="tanh", dtype=dtype)
    return net, (x.astype(dtype), y), (x[:20].astype(dtype), y[:20])


def weights(dtype=jnp.float32):
    """Initial parameters, drawn by NumPy: nothing is compiled for them."""
    rng = np.random.default_rng(1)
    shapes = itertools.pairwise(SIZES)
    draws = [(rng.normal(size=shape) / np.sqrt(shape[0]), np.zeros(shape[1])) for shape in shapes]
    return tuple(jaxmlp.Layer(jnp.asarray(w, dtype), jnp.asarray(b, dtype)) for w, b in draws)


def run(optimizer, *, net=None, data=None, epochs=4, batch_size=16, key=1, **options):
    own_net, train, validation = make_problem()
    net, train = net or own_net, train if data is None else data
    loss_fn = options.pop("loss_fn", None) or jaxmlp.objective(net.apply, l2=1e-3)
    options.setdefault("validation", validation)
    options.setdefault("metrics", {"accuracy": jaxmlp.accuracy(net.apply)})
    key = jax.random.key(key) if isinstance(key, int) else key
    params = options.pop("params", None) or weights()
    return jaxmlp.fit(loss_fn, params, optimizer, train, key=key, epochs=epochs, batch_size=batch_size, **options)


def assert_equal(a, b):
    """Bit for bit, typed keys included."""
    a, b = (jax.tree.leaves(jax.tree.map(_plain, tree)) for tree in (a, b))
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


def _plain(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf)


def numpy_fit(params, optimizer, orders, x, y, batch_size, l2):
    """Mini-batch training with the hand-derived gradients and rules; returns parameters and mean loss per epoch."""
    params = [[np.array(w), np.array(b)] for w, b in params]
    grads_of, losses = [[] for _ in range(2 * len(params))], []
    for order in orders:
        total = 0.0
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            loss, grads = numpy_mlp.loss_and_grads(
                params, x[rows], y[rows], activation="tanh", loss="softmax_cross_entropy", l2=l2
            )
            total += loss * len(rows)
            for index, grad in enumerate(g for pair in grads for g in pair):
                grads_of[index].append(grad)
                # The oracle takes all gradients so far and returns all updates; the last one is this step's.
                params[index // 2][index % 2] += optimizer(grads_of[index])[-1]
        losses.append(total / len(order))
    return params, losses


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam"])
def test_fit_is_the_loop_that_numpy_writes_out(name, x64):
    net, (x, y), _ = make_problem(dtype=jnp.float64)
    start = weights(jnp.float64)
    rule = functools.partial(getattr(numpy_rules, name), learning_rate=0.05)
    expected, losses = numpy_fit(start, rule, observed_orders(), x, y, batch_size=16, l2=1e-3)
    options = {"net": net, "data": (x, y), "params": start, "validation": None, "metrics": {}}
    result = run(getattr(optimizers, name)(0.05), epochs=3, **options)
    # 12 steps of float64 sums in another order; Adam divides by roots near 1e-3, so that 1e-16 becomes 1e-12.
    for layer, (w, b) in zip(result.params, expected, strict=True):
        np.testing.assert_allclose(layer.w, w, rtol=0, atol=1e-12 * np.linalg.norm(w))
        np.testing.assert_allclose(layer.b, b, rtol=0, atol=1e-12 * np.linalg.norm(b))
    np.testing.assert_allclose(result.history.train_loss, losses, rtol=1e-12)


@functools.cache
def observed_orders(epochs=3, batch_size=16, key=1):
    """The orders in which fit shows the examples, seen from outside: row i is the unit vector e_i, so that the gradient
    of a sum marks the rows of its step."""

    def loss_fn(params, x, y, *, key=None):
        return jnp.sum(x.sum(axis=0) * params)

    settings = {"key": jax.random.key(key), "epochs": epochs, "batch_size": batch_size}
    told = {"seen": lambda step: step.grads}
    train = jnp.eye(N), np.zeros(N)
    history = jaxmlp.fit(loss_fn, jnp.zeros(N), optimizers.sgd(1.0), train, step_metrics=told, **settings).history
    seen = np.asarray(history.step_metrics["seen"])  # (epochs, steps, N)
    np.testing.assert_array_equal(seen.sum(axis=1), 1)
    np.testing.assert_array_equal(seen.sum(axis=2), [[16, 16, 16, 2]] * epochs)
    return np.argsort(seen.argmax(axis=1), axis=1, kind="stable")


def test_every_example_is_seen_once_an_epoch_and_each_epoch_has_an_order_of_its_own(x64):
    first, second, _ = observed_orders()
    assert sorted(first) == sorted(second) == list(range(N))
    assert list(first) != list(second) and list(first) != list(range(N))


@pytest.mark.slow
def test_going_on_from_a_state_is_the_uninterrupted_run_bit_for_bit():
    train = functools.partial(run, optimizers.adam(0.01), loss_fn=noisy(jaxmlp.objective(make_problem()[0].apply)))
    whole, first = train(epochs=5), train(epochs=2)
    second = train(epochs=3, state=first.state)
    assert_equal(whole.state, second.state)
    joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), first.history[:3], second.history[:3])
    assert_equal(whole.history[:3], joined)


@pytest.mark.slow
def test_the_same_call_gives_the_same_bits_and_another_key_does_not():
    first, again, other = (run(optimizers.adam(0.01), key=key) for key in (1, 1, 2))
    assert_equal(first, again)
    assert not np.array_equal(first.params[0].w, other.params[0].w)


def test_history_holds_what_evaluating_the_parameters_gives():
    net, _, validation = make_problem()
    loss_fn, accuracy = jaxmlp.objective(net.apply, l2=1e-3), jaxmlp.accuracy(net.apply)
    result = run(optimizers.adam(0.01))
    # The same float32 sum of 20 terms, compiled apart: a few units in the last place.
    loss, right = jax.jit(lambda params: (loss_fn(params, *validation), accuracy(params, *validation)))(result.params)
    np.testing.assert_allclose(result.history.validation_loss[-1], loss, rtol=1e-6)
    assert result.history.metrics["accuracy"][-1] == right
    assert int(result.state.epoch) == 4 and result.history.train_loss.shape == (4,)
    assert int(result.history.first_nonfinite_step) == -1


def test_without_validation_nothing_is_measured():
    history = run(optimizers.sgd(0.1), batch_size=25, **UNMEASURED).history
    assert history.validation_loss is None and history.metrics == {}


@pytest.mark.parametrize("batch_size", [1, 7, 25, 50])
def test_any_batch_size_up_to_n_trains_on_every_example(batch_size):
    result = run(optimizers.sgd(0.0), batch_size=batch_size, **UNMEASURED)
    whole = run(optimizers.sgd(0.0), batch_size=50, **UNMEASURED)
    # At rate 0 the mean over examples does not depend on the batches; float32 sums of up to 50 terms.
    np.testing.assert_allclose(result.history.train_loss, whole.history.train_loss, rtol=2e-6)


def test_a_diverged_run_carries_the_step_of_its_first_nonfinite_loss():
    x = np.ones((10, 1), np.float32)

    def loss_fn(params, x, y, *, key=None):
        return jnp.mean((x * params) ** 2)

    fit = functools.partial(jaxmlp.fit, loss_fn, jnp.float32(1.0), train=(x, x[:, 0]), key=jax.random.key(0))
    # params <- params (1 - 2e10): squares 4e20 an step, so the loss passes 3.4e38 at step 2, in the first epoch of 5.
    result = fit(optimizers.sgd(1e10), epochs=2, batch_size=2)
    assert int(result.history.first_nonfinite_step) == 2
    going_on = fit(optimizers.sgd(1e10), epochs=1, batch_size=2, state=result.state)
    assert int(going_on.history.first_nonfinite_step) == 10  # counted from the start of training
    assert int(fit(optimizers.sgd(0.1), epochs=2, batch_size=2).history.first_nonfinite_step) == -1


@pytest.mark.slow
def test_another_learning_rate_penalty_or_rebuilt_objective_compiles_nothing(compile_log):
    def train(learning_rate, l2):
        net = jaxmlp.mlp([FEATURES, 7, CLASSES], activation="tanh")
        loss_fn = jaxmlp.objective(net.apply, "softmax_cross_entropy", l2=l2)
        # A number of epochs that no other test has, so that the first call does compile.
        return run(optimizers.adam(learning_rate), net=net, loss_fn=loss_fn, epochs=6)

    train(0.01, 1e-3)
    assert "jit(_run)" in compile_log
    compile_log.clear()
    # Numbers of every kind: Python's, NumPy's, JAX's, integer, float, and of weak type.
    rates = [0.02, 1, np.float32(0.5), np.int64(2), jnp.float32(0.1), WEAK]
    results = [train(rate, 1e-3) for rate in rates] + [train(0.02, strength) for strength in (2e-3, jnp.float32(1))]
    assert compile_log == []
    assert len({float(result.history.train_loss[-1]) for result in results}) == 8


@pytest.mark.slow
def test_runs_under_jit_and_under_vmap_over_learning_rates_and_keys():
    rates, keys = jnp.array([0.01, 0.1]), jax.random.split(jax.random.key(3), 2)
    train = functools.partial(run, batch_size=25)
    alone = [train(optimizers.adam(rate)) for rate in (0.01, 0.1)]
    # The same float32 operations fused differently, 8 steps of Adam: 1e-5.
    assert_close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    # jit around vmap: a run that is traced from outside, at several rates, then with several keys.
    mapped = jax.jit(jax.vmap(lambda rate: train(optimizers.adam(rate))))(rates)
    assert_close(mapped.history.train_loss, [result.history.train_loss for result in alone])
    by_key = jax.jit(jax.vmap(lambda key: train(optimizers.adam(0.01), key=key)))(keys)
    assert_close(by_key.params[0].w[1], train(optimizers.adam(0.01), key=keys[1]).params[0].w)


RULES = tuple(optimizers.OPTIMIZERS)


@functools.cache
def slopes_through_runs():
    """The slope of the last loss by the learning rate, and the central difference, of every rule, all in one program:
    each rule trains its own copy of the network, a row of params, and the loss is the sum of theirs."""
    net, (x, y), _ = make_problem(dtype=jnp.float64)
    flat, unravel = jax.flatten_util.ravel_pytree(weights(jnp.float64))
    plain = jaxmlp.objective(net.apply, l2=1e-3)
    # The first input is always 0: its weights have zero gradients, where roots of second moments have infinite slopes.
    train = x * [0.0, 1.0, 1.0, 1.0, 1.0], y

    def loss_fn(params, x, y, *, key=None):
        return jax.vmap(lambda row: plain(unravel(row), x, y))(params).sum()

    def rule_by_row(rates):
        rules = [getattr(optimizers, name)(rate) for name, rate in zip(RULES, rates, strict=True)]

        def update(grads, states, params):
            done = [rule.update(g, state) for rule, g, state in zip(rules, grads, states, strict=True)]
            return jnp.stack([updates for updates, _ in done]), tuple(state for _, state in done)

        return optax.GradientTransformation(lambda params: tuple(rule.init(flat) for rule in rules), update)

    def final_loss(rates):
        options = {"key": jax.random.key(1), "epochs": 2, "batch_size": 25}
        params = jnp.stack([flat] * len(RULES))
        return jaxmlp.fit(loss_fn, params, rule_by_row(rates), train, **options).history.train_loss[-1]

    loss_and_slope = jax.jit(jax.value_and_grad(final_loss))
    rates, h = np.full(len(RULES), 0.02), 1e-5
    steps = h * np.eye(len(RULES))
    differences = [(loss_and_slope(rates + d)[0] - loss_and_slope(rates - d)[0]) / (2 * h) for d in steps]
    return {name: numbers for name, *numbers in zip(RULES, loss_and_slope(rates)[1], differences, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_the_gradient_through_a_whole_run_is_the_slope_of_its_result(name, x64):
    slope, expected = slopes_through_runs()[name]
    # Central differences of step h err by h^2 f''' / 6 + 1e-16 f / h: about 1e-8 of a slope of order 1 at h = 1e-5.
    np.testing.assert_allclose(slope, expected, rtol=1e-5)


@pytest.mark.slow
def test_shard_map_over_keys_gives_each_run_as_alone():
    keys = jax.random.split(jax.random.key(3), 4)
    mesh = jax.make_mesh((2,), ("runs",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("runs")
    loss_fn = noisy(jaxmlp.objective(make_problem()[0].apply))
    train = functools.partial(run, optimizers.adam(0.01), loss_fn=loss_fn, batch_size=25)
    population = jax.vmap(lambda key: train(key=key))
    sharded = jax.jit(jax.shard_map(population, mesh=mesh, in_specs=spec, out_specs=spec))(keys)
    for index, key in enumerate(keys):
        alone = train(key=key)
        np.testing.assert_allclose(sharded.history.train_loss[index], alone.history.train_loss, rtol=1e-5)


@pytest.mark.slow
def test_shard_map_over_examples_with_a_mean_over_the_mesh_trains_one_model():
    net, (x, y), _ = make_problem()
    plain = jaxmlp.objective(net.apply)
    mesh = jax.make_mesh((2,), ("examples",), axis_types=(jax.sharding.AxisType.Auto,))
    spec, everywhere = jax.sharding.PartitionSpec("examples"), jax.sharding.PartitionSpec()

    def averaged(params, x, y, *, key=None):
        return jax.lax.pmean(plain(params, x, y), "examples")

    def train(x, y, loss_fn, batch_size):
        options = {"loss_fn": loss_fn, "batch_size": batch_size, "validation": None, "metrics": {}}
        return run(optimizers.adam(0.01), data=(x, y), **options)

    half = functools.partial(train, loss_fn=averaged, batch_size=25)
    sharded = jax.jit(jax.shard_map(half, mesh=mesh, in_specs=spec, out_specs=everywhere))(x, jnp.asarray(y))
    whole = train(x, y, plain, 50)
    np.testing.assert_allclose(sharded.history.train_loss, whole.history.train_loss, rtol=1e-5)


@pytest.mark.slow
def test_any_pytree_any_loss_and_any_optax_rule_serve():
    x = {"a": np.arange(12.0, dtype=np.float32).reshape(6, 2)}

    def loss_fn(params, x, y, *, key=None):
        return jnp.mean((x["a"] @ params["w"] - y) ** 2)

    with jax.numpy_dtype_promotion("standard"):
        rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.linear_schedule(0.1, 0.0, 400)))
        result = jaxmlp.fit(
            loss_fn, {"w": jnp.zeros(2)}, rule, (x, x["a"].sum(axis=1)), key=jax.random.key(0), epochs=200, batch_size=4
        )
    # y = x (1, 1) exactly; 400 steps whose rate falls from 0.1 to 0, with a weight decay of 1e-4 a step.
    np.testing.assert_allclose(result.params["w"], [1, 1], atol=1e-2)


BAD = [
    ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
    ({"batch_size": 51}, ValueError, "at most the 50 training examples"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ({"key": 1.0}, TypeError, "key must be one key of jax.random"),
    ({"validation": None}, ValueError, "measured on the validation set"),
    ({"data": (np.ones((4, 5), np.float32), np.zeros(3, int))}, ValueError, "same first axis"),
    ({"data": (np.ones((20, 6), np.float32), np.zeros(20, int))}, ValueError, r"x must have shape \(..., 5\)"),
    ({"data": (np.full((20, 5), np.nan, np.float32), np.zeros(20, int))}, ValueError, "NaN or infinity"),
    ({"data": (np.ones((20, 5), np.float32), np.full(20, 3))}, ValueError, r"labels must be in \[0, 3\)"),
    ({"data": np.ones((20, 5), np.float32)}, TypeError, "pair"),
    ({"state": "latest"}, TypeError, "TrainState"),
    ({"key": jax.random.split(jax.random.key(0), 2)}, TypeError, "one key"),
    ({"data": (np.ones((20, 5), np.float32), [0] * 20)}, TypeError, "must hold arrays"),
    ({"metrics": ["accuracy"]}, TypeError, "metrics must be a dict"),
    ({"loss_fn": lambda params, x, y: 0.0}, TypeError, "loss_fn must be a function"),
    ({"loss_fn": lambda params, x, y, *, key: x}, ValueError, "must return a scalar"),
    ({"loss_fn": "mse"}, TypeError, "loss_fn must be a function"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_arguments_are_refused_before_anything_is_compiled(options, error, message, compile_log):
    with pytest.raises(error, match=message):
        run(optimizers.sgd(0.1), **options)
    assert "jit(_run)" not in compile_log


def test_something_that_is_no_optimizer_is_refused():
    with pytest.raises(TypeError, match="optimizer must have init and update"):
        run(optimizers.adam)


def test_a_state_of_another_optimizer_is_refused():
    state = run(optimizers.adam(0.01)).state
    with pytest.raises(ValueError, match="another optimizer: its opt_state is AdamState, this one's AMSGradState"):
        run(optimizers.amsgrad(0.01), state=state)


@pytest.mark.slow
def test_an_apply_without_key_can_be_fitted_and_so_can_an_optimizer_object():
    net, _, _ = make_problem()
    loss_fn = jaxmlp.objective(lambda params, x: net.apply(params, x))
    options = {"net": net, "loss_fn": loss_fn, "batch_size": 25, "epochs": 1, **UNMEASURED}
    plain = run(optimizers.sgd(0.1), **options)
    with jax.numpy_dtype_promotion("standard"):
        every_second = run(optax.MultiSteps(optimizers.sgd(0.1), every_k_schedule=2), **options)
    assert not np.array_equal(plain.params[0].w, every_second.params[0].w)


@pytest.mark.slow
def test_half_precision_runs_report_their_losses_in_float32():
    net, (x, y), _ = make_problem(dtype=jnp.float16)
    params = weights(jnp.float16)
    result = run(optimizers.sgd(0.01), net=net, params=params, data=(x, y), epochs=1, **UNMEASURED)
    assert result.history.train_loss.dtype == jnp.float32 and np.isfinite(result.history.train_loss).all()


@pytest.mark.slow
def test_sharpness_aware_minimisation_is_given_only_what_it_takes():
    rule = optax.contrib.sam(optax.sgd(0.01), optax.sgd(0.05))
    with jax.numpy_dtype_promotion("standard"):
        result = run(rule, epochs=1, **UNMEASURED)
    assert np.isfinite(result.history.train_loss).all()
