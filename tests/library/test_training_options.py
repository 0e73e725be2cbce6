"""What fit keeps, measures and stops by: the best epoch, patience, step metrics, dead units."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import jaxmlp
from jaxmlp import optimizers

pytestmark = pytest.mark.usefixtures("unoptimised")
N, FEATURES, CLASSES = 60, 4, 3
EPOCHS = 20  # of most runs here, so that they share their compiled programs


def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, FEATURES)).astype(np.float32)
    y = np.argmax(x[:, :CLASSES] + 0.3 * rng.normal(size=(N, CLASSES)), axis=1)
    net = jaxmlp.mlp((FEATURES, 16, CLASSES), initializer="he_uniform")  # a uniform draw compiles faster than a normal
    return net, (x[:40], y[:40]), (x[40:], y[40:])


def run(*, epochs=EPOCHS, learning_rate=0.1, batch_size=20, **options):
    # Few examples, some with a wrong label: soon the network fits those alone, and the validation loss rises.
    net, train, validation = problem()
    options.setdefault("validation", validation)
    options.setdefault("optimizer", optimizers.adam(learning_rate))
    optimizer, loss_fn = options.pop("optimizer"), options.pop("loss_fn", jaxmlp.objective(net.apply))
    params = net.init(jax.random.key(0))
    return jaxmlp.fit(
        loss_fn, params, optimizer, train, key=jax.random.key(1), epochs=epochs, batch_size=batch_size, **options
    )


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@functools.cache
def state_after(epochs):
    """The state of a plain run, an epoch a call, so that any number of epochs takes the same two programs; that this is
    the run in one call, bit for bit, test_training.py shows."""
    return run(epochs=1, state=state_after(epochs - 1) if epochs > 1 else None).state


@pytest.mark.slow
def test_the_best_epoch_is_the_one_of_lowest_validation_loss():
    result = run(keep_best=True)
    losses = np.asarray(result.history.validation_loss)
    best = int(np.argmin(losses))
    assert 0 < best < EPOCHS - 1  # else the test shows nothing
    assert int(result.best.epoch) == best and result.best.validation_loss == losses[best]
    # The run itself is the one without keep_best, and the best parameters are those of a shorter run.
    assert_equal(result.params, run().params)
    assert_equal(result.best.params, state_after(best + 1).params)
    assert run().best is None


@pytest.mark.slow
def test_of_equal_losses_the_first_counts_and_nan_never():
    still = run(learning_rate=0.0, keep_best=True)
    assert int(still.best.epoch) == 0
    net, _, (x, y) = problem()
    never = run(
        validation=(x, y), keep_best=True, loss_fn=lambda params, x, y, *, key=None: jnp.nan * params[0].w.sum()
    )
    assert int(never.best.epoch) == -1 and np.isinf(never.best.validation_loss)
    assert_equal(never.best.params, net.init(jax.random.key(0)))


@pytest.mark.slow
@pytest.mark.parametrize("patience", [1, 3])
def test_patience_stops_after_so_many_epochs_without_a_lower_loss(patience):
    whole, stopped = run(), run(patience=patience)
    losses = np.asarray(whole.history.validation_loss)
    best = since = 0
    for end in range(EPOCHS):  # the rule, written out
        best, since = (end, 0) if losses[end] < losses[best] or end == 0 else (best, since + 1)
        if since == patience:
            break
    assert end < EPOCHS - 1
    assert int(stopped.state.epoch) == end + 1 and int(stopped.best.epoch) == best
    assert_equal(stopped.history.validation_loss[: end + 1], losses[: end + 1])
    assert np.all(np.isnan(stopped.history.validation_loss[end + 1 :]))
    assert np.all(np.isnan(stopped.history.train_loss[end + 1 :]))
    assert_equal(stopped.params, state_after(end + 1).params)
    assert int(stopped.history.first_nonfinite_step) == -1


@pytest.mark.slow
def test_going_on_keeps_best_and_patience_bit_for_bit():
    for options in ({"keep_best": True}, {"patience": 3}):
        whole = run(**options)
        first = run(epochs=5, **options)
        second = run(epochs=EPOCHS - 5, state=first.state, **options)
        assert_equal(whole.state.params, second.state.params)
        assert_equal(whole.best, second.best)
        joined = jnp.concatenate([first.history.validation_loss, second.history.validation_loss])
        assert_equal(whole.history.validation_loss, joined)
    # A state that kept no best begins to keep it now.
    late = run(epochs=3, state=state_after(2), keep_best=True)
    assert 2 <= int(late.best.epoch) < 5


def test_another_patience_compiles_nothing(compile_log):
    run(patience=2)
    before = len(compile_log)
    run(patience=5)
    assert compile_log[before:] == []


@pytest.mark.slow
def test_patience_goes_through_vmap_grad_and_shard_map():
    _, train, validation = problem()
    loss_fn = jaxmlp.objective(jaxmlp.mlp((FEATURES, CLASSES)).apply)
    params = (jaxmlp.Layer(jnp.zeros((FEATURES, CLASSES)), jnp.zeros(CLASSES)),)

    def fit(learning_rate):
        options = {"key": jax.random.key(1), "batch_size": 20, "patience": 2, "validation": validation}
        return jaxmlp.fit(loss_fn, params, optimizers.sgd(learning_rate), train, epochs=EPOCHS, **options)

    rates = jnp.array([10.0, 0.1])
    alone = [fit(rate) for rate in rates]
    together = jax.vmap(fit)(rates)
    np.testing.assert_array_equal(together.state.epoch, [r.state.epoch for r in alone])
    assert together.state.epoch[0] < together.state.epoch[1]
    mesh = jax.make_mesh((2,), ("runs",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.jit(
        jax.shard_map(
            lambda rate: jax.tree.map(lambda a: a[None], fit(rate[0]).history.validation_loss),
            mesh=mesh,
            in_specs=P("runs"),
            out_specs=P("runs"),
        )
    )(rates)
    # The same float32 run compiled apart; at these rates roundings grow to 1e-4 in 20 epochs at most.
    np.testing.assert_allclose(spread, [r.history.validation_loss for r in alone], rtol=1e-3)
    slope = jax.grad(lambda rate: fit(rate).best.validation_loss)(jnp.float32(0.1))
    assert np.isfinite(slope) and slope != 0


@pytest.mark.slow
def test_step_metrics_are_measured_at_every_step_with_the_remainder():
    told = {
        "loss": lambda step: step.loss,
        "norms": jaxmlp.gradient_norms,
        "moved": lambda step: jnp.abs(step.updates[0].w).max(),
    }
    history = run(epochs=2, batch_size=16, step_metrics=told, optimizer=optimizers.sgd(0.5)).history
    assert {name: values.shape for name, values in history.step_metrics.items()} == {
        "loss": (2, 3),
        "norms": (2, 3, 2),  # 2 layers
        "moved": (2, 3),
    }
    # 40 examples in steps of 16, 16 and 8.
    mean = history.step_metrics["loss"] @ jnp.array([0.4, 0.4, 0.2])
    np.testing.assert_allclose(mean, history.train_loss, rtol=1e-6)
    assert run().history.step_metrics == {}


@pytest.mark.slow
def test_gradient_norms_are_those_of_a_gradient_taken_by_hand():
    net, train, _ = problem()
    params, loss_fn = net.init(jax.random.key(0)), jaxmlp.objective(net.apply)
    history = jaxmlp.fit(
        loss_fn,
        params,
        optimizers.sgd(0.1),
        train,
        key=jax.random.key(1),
        epochs=1,
        batch_size=40,
        step_metrics={"norms": jaxmlp.gradient_norms},
    ).history
    grads = jax.jit(jax.grad(loss_fn))(params, *train)
    expected = [np.sqrt(np.sum(np.square(w)) + np.sum(np.square(b))) for w, b in grads]
    np.testing.assert_allclose(history.step_metrics["norms"][0, 0], expected, rtol=1e-5)  # float32, another order


def test_dead_units_are_those_that_answer_all_examples_alike():
    net = jaxmlp.mlp((2, 4, 3, 1))
    x = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.5, 2.0]])
    first = jaxmlp.Layer(jnp.array([[1.0, -1.0, 1.0, 0.0], [1.0, -1.0, -1.0, 0.0]]), jnp.array([0.0, 0.0, 0.0, 3.0]))
    # Unit 1 is never above 0, unit 3 is constant; of the second layer, unit 0 sees the dead ones alone.
    second = jaxmlp.Layer(jnp.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), jnp.zeros(3))
    params = (first, second, jaxmlp.Layer(jnp.ones((3, 1)), jnp.zeros(1)))
    dead = jax.jit(jaxmlp.dead_units(net.apply))(params, x, None)
    np.testing.assert_allclose(dead, [0.5, 1 / 3], rtol=1e-6)
    assert jaxmlp.dead_units(net.apply) == jaxmlp.dead_units(jaxmlp.mlp((2, 4, 3, 1)).apply)
    np.testing.assert_array_equal(jaxmlp.largest_weights(params, x, None), [1, 1, 1])


@pytest.mark.slow
def test_metrics_may_be_arrays_and_sweep_takes_all_options():
    net, train, validation = problem()
    metrics = {"dead": jaxmlp.dead_units(net.apply), "largest": jaxmlp.largest_weights}
    common = {
        "epochs": 8,
        "batch_size": 20,
        "validation": validation,
        "metrics": metrics,
        "step_metrics": {"norms": jaxmlp.gradient_norms},
        "augment": lambda key, x: x + 0.1 * jax.random.uniform(key, x.shape),
        "patience": 2,
    }
    loss_fn, keys = jaxmlp.objective(net.apply), jax.random.split(jax.random.key(5), 2)
    sweep = functools.partial(jaxmlp.sweep, loss_fn, net.init, optimizers.adam, {"learning_rate": [0.03, 0.1]}, train)
    threads, together = (sweep(keys=keys, execution=execution, **common) for execution in ("threads", "vmap"))
    assert threads.history.metrics["dead"].shape == (2, 2, 8, 1)
    assert threads.history.step_metrics["norms"].shape == (2, 2, 8, 2, 2)
    init_key, fit_key = jax.random.split(keys[1])
    alone = jaxmlp.fit(loss_fn, net.init(init_key), optimizers.adam(0.1), train, key=fit_key, **common)
    assert_equal(alone.best, jax.tree.map(lambda a: a[1, 1], threads.best))
    assert_equal(alone.history, jax.tree.map(lambda a: a[1, 1], threads.history))
    np.testing.assert_array_equal(threads.state.epoch, together.state.epoch)


def test_a_frozen_layer_stays_and_a_schedule_of_optax_falls():
    net, train, _ = problem()
    params, loss_fn = net.init(jax.random.key(0)), jaxmlp.objective(net.apply)
    schedule = optax.linear_schedule(0.1, 0.0, 4)
    labels = ("keep", "train")
    frozen = optax.multi_transform({"train": optimizers.sgd(schedule), "keep": optax.set_to_zero()}, labels)
    told = {"moved": lambda step: jnp.abs(step.updates[1].w).max() / jnp.abs(step.grads[1].w).max()}
    result = jaxmlp.fit(
        loss_fn, params, frozen, train, key=jax.random.key(1), epochs=2, batch_size=20, step_metrics=told
    )
    assert_equal(result.params[0], params[0])
    assert not np.array_equal(result.params[1].w, params[1].w)
    rates = 0.1 * (1 - np.arange(4) / 4)
    np.testing.assert_allclose(result.history.step_metrics["moved"].ravel(), rates, rtol=1e-5)  # float32 products


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience must be at least 1"),
        ({"patience": 1.5}, TypeError, "patience must be an integer"),
        ({"patience": 2, "validation": None}, ValueError, "keep_best and patience need the validation loss"),
        ({"keep_best": True, "validation": None}, ValueError, "keep_best and patience need the validation loss"),
        ({"augment": 3}, TypeError, r"augment must be a function \(key, x\) -> x"),
        ({"step_metrics": [jaxmlp.gradient_norms]}, TypeError, "step_metrics must be a dict"),
        ({"metrics": [jaxmlp.largest_weights]}, TypeError, "metrics must be a dict"),
    ],
)
def test_bad_options_are_refused_before_compiling(options, error, message, compile_log):
    params = jax.eval_shape(problem()[0].init, jax.random.key(0))
    before = len(compile_log)
    with pytest.raises(error, match=message):
        run(**options)
    assert "_run" not in " ".join(compile_log[before:]) and params


def test_dead_units_need_hidden_activations():
    with pytest.raises(TypeError, match="must take with_hidden=True"):
        jaxmlp.dead_units(lambda params, x: x)


@pytest.mark.slow
def test_a_user_normalises_batches_in_an_apply_of_their_own():
    """What README says of batch normalisation: with the batch's own moments it needs no state."""
    _, (x, y), _ = problem()
    shift = 100.0  # inputs far from 0, which only normalising makes learnable at this rate

    def apply(params, x, *, key=None):
        (w, gamma, beta), last = params
        z = x @ w
        mean, deviation = (jnp.broadcast_to(m, z.shape) for m in (z.mean(axis=0), jnp.sqrt(z.var(axis=0) + 1e-5)))
        scale, offset = (jnp.broadcast_to(p, z.shape) for p in (gamma, beta))
        return jax.nn.relu(scale * (z - mean) / deviation + offset) @ last

    rng = np.random.default_rng(0)
    first, last = (rng.normal(size=shape).astype(np.float32) for shape in ((FEATURES, 16), (16, CLASSES)))
    params = ((jnp.asarray(first), jnp.ones(16), jnp.zeros(16)), jnp.asarray(0.1 * last))
    result = jaxmlp.fit(
        jaxmlp.objective(apply),
        params,
        optimizers.adam(0.03),
        (x + shift, y),
        key=jax.random.key(0),
        epochs=20,
        batch_size=20,
    )
    assert result.history.train_loss[-1] < 0.3
