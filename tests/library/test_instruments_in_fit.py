"""Instruments inside fit and sweep: at their intervals and nowhere else, under vmap, resumed, and without a trace."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import jaxmlp
from jaxmlp import instruments
from jaxmlp.instruments import Instrument


def loss_fn(params, x, y, *, key=None):
    hidden = jnp.tanh(x @ params["w"])
    if key is not None:
        hidden = hidden * jax.random.uniform(key, (), hidden.dtype, 0.7, 1.3)
    return ((hidden @ params["v"] - y) ** 2).mean()


def init(key):
    a, b = jax.random.split(key)
    return {"w": jax.random.normal(a, (3, 4)) / 2, "v": jax.random.normal(b, (4,)) / 2}


def data(n=22):
    x = np.random.default_rng(7).normal(size=(n, 3)).astype(np.float32)
    return x, np.sin(x.sum(axis=1))


pytestmark = pytest.mark.usefixtures("unoptimised")  # what takes time here is to compile

# 22 = 4 * 5 + 2: the remainder is a step of its own, so that an epoch has 5 steps.
SETTINGS = {"epochs": 4, "batch_size": 5}
STEPS = 20


def run(optimizer=None, **settings):
    rule = jaxmlp.optimizers.adam(0.05) if optimizer is None else optimizer
    given = {"key": jax.random.key(2), **SETTINGS, **settings}
    return jaxmlp.fit(loss_fn, init(jax.random.key(1)), rule, data(), **given)


def norms(tree):
    return jnp.stack([jnp.linalg.norm(leaf.ravel()) for leaf in jax.tree.leaves(tree)])


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture
def calls():
    """Yield a list that grows by one whenever a run computes the instrument `counting`."""
    counted = []
    yield counted
    jax.effects_barrier()


def counting(calls, every):
    def measure(step, key):
        jax.debug.callback(lambda loss: calls.append(1), step.loss)  # once for each run of a vmap
        return jnp.sum(step.grads["w"])

    return {"counted": Instrument(measure, every)}


@pytest.mark.parametrize("every", [1, 3, 5, 7, 100])
def test_readings_are_what_a_step_metric_sees_at_these_steps(every):
    def measure(step, key):
        return {"index": step.index, "norms": norms(step.grads)}

    told = {"index": lambda step: step.index, "norms": lambda step: norms(step.grads)}
    history = run(instruments={"mine": Instrument(measure, every)}, step_metrics=told).history
    steps, values = history.instruments["mine"]
    np.testing.assert_array_equal(steps, np.arange(0, STEPS, every))
    np.testing.assert_array_equal(values["index"], steps)
    np.testing.assert_array_equal(history.step_metrics["index"].ravel(), np.arange(STEPS))
    np.testing.assert_array_equal(values["norms"], history.step_metrics["norms"].reshape(STEPS, 2)[np.asarray(steps)])


@pytest.mark.parametrize("every", [1, 3, 7, 100])
def test_between_its_steps_nothing_of_an_instrument_is_computed(every, calls):
    jax.block_until_ready(run(instruments=counting(calls, every)))
    jax.effects_barrier()
    assert len(calls) == -(-STEPS // every)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"patience": 9, "validation": data(6)}])
def test_under_vmap_nothing_is_computed_between_either(options, calls):
    def one(key, rate):
        return run(jaxmlp.optimizers.adam(rate), key=key, instruments=counting(calls, 7), **options).history

    keys, rates = jax.random.split(jax.random.key(3), 3), jnp.array([0.01, 0.1, 1.0])
    history = jax.block_until_ready(jax.vmap(one)(keys, rates))
    jax.effects_barrier()
    assert len(calls) == 3 * 3  # runs times measurements
    assert history.instruments["counted"].steps.tolist() == [[0, 7, 14]] * 3


@pytest.mark.slow
def test_under_vmap_over_states_at_different_steps_it_is_computed_where_any_is_due(calls):
    def one(steps, measured):
        state = jaxmlp.TrainState(params, rule.init(params), jax.random.key(2), jnp.zeros((), jnp.int32), steps=steps)
        return run(rule, key=None, state=state, epochs=1, instruments=measured).history.instruments

    params, rule = init(jax.random.key(1)), jaxmlp.optimizers.adam(0.05)
    found = jax.vmap(lambda steps: one(steps, counting(calls, 4)))(jnp.array([0, 6], jnp.int32))
    jax.effects_barrier()
    assert found["counted"].steps.tolist() == [[0, 4], [8, -1]]
    assert len(calls) == 3  # at the steps 0, 2 and 4 of the epoch; the runs differ in nothing but their count


def test_a_step_has_all_that_an_instrument_may_need():
    def check(step, key):
        x, y = step.x, step.y
        again = step.loss_fn(step.params, x, y, key=step.key)
        grads = jax.grad(step.loss_fn)(step.params, x, y, key=step.key)
        moved = jax.tree.map(lambda a, b: a - b, step.params, step.start)
        return again - step.loss, norms(grads) - norms(step.grads), norms(moved), step.opt_state.count

    steps, (loss, grads, moved, count) = run(instruments={"check": Instrument(check)}).history.instruments["check"]
    np.testing.assert_allclose(loss, 0, atol=1e-6)  # float32
    np.testing.assert_allclose(grads, 0, atol=1e-6)
    assert np.all(moved[0] == 0) and np.all(moved[1:] > 0)
    np.testing.assert_array_equal(count, steps + 1)


SOME = {
    "distance": instruments.distance(every=3),
    "gradient": instruments.gradient_norm_by_leaf(),
    "noise": instruments.norm_test(every=7),
    "trace": instruments.hessian_trace(every=7, draws=2),
    "far": instruments.loss(every=12),
}


@pytest.mark.slow
def test_a_resumed_run_reads_what_an_uninterrupted_one_does():
    whole = run(instruments=SOME)
    first = run(instruments=SOME, epochs=1)
    second = run(instruments=SOME, epochs=3, state=first.state)
    assert_equal(whole.params, second.params)
    for name in SOME:
        parts = [part.history.instruments[name] for part in (first, second)]
        joined = jax.tree.map(lambda a, b: np.concatenate([a, b]), *parts)
        due = joined.steps >= 0
        assert np.all(due[: len(parts[0].steps)])
        assert_equal(jax.tree.map(lambda a, due=due: a[due], joined), whole.history.instruments[name])
    # Steps 5 to 19 hold at most two multiples of 12, and one of them: the spare row goes last.
    np.testing.assert_array_equal(second.history.instruments["far"].steps, [12, -1])


def test_instruments_leave_the_training_as_it_is():
    measured, alone = run(instruments=SOME), run()
    for a, b in zip(jax.tree.leaves(measured.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)  # another program may round otherwise
    assert alone.history.instruments == {} and alone.state.start is None
    assert_equal(measured.state.start, init(jax.random.key(1)))


def test_the_draws_of_an_instrument_do_not_depend_on_the_others():
    alone = run(instruments={"trace": SOME["trace"]}).history.instruments["trace"]
    np.testing.assert_allclose(alone.values, run(instruments=SOME).history.instruments["trace"].values, rtol=1e-5)


@pytest.mark.slow
def test_a_sweep_measures_each_run_as_fit_does():
    keys, grid = jax.random.split(jax.random.key(5), 2), {"learning_rate": [0.01, 0.1]}
    sweep = functools.partial(jaxmlp.sweep, loss_fn, init, jaxmlp.optimizers.adam, grid, data(), keys=keys, **SETTINGS)
    threads, together = (
        sweep(execution=execution, instruments=SOME).history.instruments for execution in ("threads", "vmap")
    )
    init_key, fit_key = jax.random.split(keys[1])
    alone = jaxmlp.fit(
        loss_fn, init(init_key), jaxmlp.optimizers.adam(0.1), data(), key=fit_key, **SETTINGS, instruments=SOME
    )
    assert_equal(alone.history.instruments, jax.tree.map(lambda a: a[1, 1], threads))
    assert threads["distance"].steps.shape == (2, 2, 7) and threads["gradient"].values["['w']"].shape == (2, 2, 20)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4), threads, together
    )  # float32 paths


def test_parameters_that_are_no_layers_and_weighted_examples():
    """A bare array of parameters, and examples whose targets are a dict."""

    def loss(w, x, y, weight, *, key=None):
        return jnp.sum(weight * (x @ w - y["target"]) ** 2) / jnp.sum(weight)

    x, y = data(6)
    weight = np.arange(6, dtype=np.float32)
    chosen = {"gradient": instruments.gradient_norm_by_leaf(), "noise": instruments.norm_test(2)}
    settings = {"key": jax.random.key(0), "epochs": 1, "batch_size": 6, "shuffle": False, "instruments": chosen}
    result = jaxmlp.fit(loss, jnp.zeros(3), jaxmlp.optimizers.sgd(0.1), (x, {"target": y}, weight), **settings)
    grads = -2 * (weight / weight.mean() * y)[:, None] * x
    mean, found = grads.mean(axis=0), result.history.instruments
    theta = np.sqrt(((grads - mean) ** 2).sum() / 5 / 6) / np.linalg.norm(mean)
    np.testing.assert_allclose(found["gradient"].values[""], [np.linalg.norm(mean)], rtol=1e-5)  # float32
    np.testing.assert_allclose(found["noise"].values, [theta], rtol=1e-5)


@pytest.mark.slow
def test_an_equal_instrument_compiles_nothing_again(compile_log):
    def program(every):
        return run(instruments={"sharpness": instruments.largest_eigenvalue(every, iterations=3)})

    program(4)
    compile_log.clear()
    program(4)
    assert "jit(_run)" not in compile_log
    program(5)
    assert compile_log.count("jit(_run)") == 1


@pytest.mark.slow
def test_a_stopped_run_marks_the_rows_that_it_did_not_reach():
    noise = data(6)[0], 10 * data(6)[1]
    result = run(jaxmlp.optimizers.sgd(0.3), patience=1, validation=noise, instruments={"loss": instruments.loss(3)})
    done = int(result.state.epoch) * 5
    assert done < STEPS
    due = np.arange(0, done, 3)
    np.testing.assert_array_equal(result.history.instruments["loss"].steps, [*due, *[-1] * (7 - len(due))])


FEW = {name: SOME[name] for name in ("distance", "noise")}


@pytest.mark.slow
def test_instruments_go_through_grad():
    def last_loss(rate, chosen):
        return run(jaxmlp.optimizers.sgd(rate), epochs=2, instruments=chosen).history.train_loss[-1]

    slope = jax.grad(last_loss)
    np.testing.assert_allclose(slope(0.05, FEW), slope(0.05, None), rtol=1e-5)  # float32


@pytest.mark.slow
def test_instruments_go_through_shard_map():
    def population(keys):
        return jax.vmap(lambda key: run(key=key, epochs=2, instruments=FEW).history.instruments)(keys)

    keys, spec = jax.random.split(jax.random.key(4), 4), PartitionSpec("runs")
    mesh = jax.make_mesh((2,), ("runs",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.jit(jax.shard_map(population, mesh=mesh, in_specs=spec, out_specs=spec))(keys)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), sharded, population(keys))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([instruments.loss()], TypeError, "instruments must be a dict from names to instruments"),
        ({"loss": instruments.loss}, TypeError, "instruments must be a dict from names to instruments"),
        (
            {"x": Instrument(lambda step, key: step.x[:, 0])},
            ValueError,
            "'x' must return arrays of the same shapes",
        ),
    ],
)
def test_what_is_no_instrument_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        run(instruments=given)
