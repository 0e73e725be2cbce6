"""Optimizers that ask for more than the gradient: line searches, L-BFGS, and Nesterov's look-ahead, inside fit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

import jaxmlp
from jaxmlp import dialects, optimizers


def data(n=24):
    x = np.random.default_rng(7).normal(size=(n, 3))
    return jnp.asarray(x, float), jnp.asarray(np.sin(x.sum(axis=1)), float)


def start():
    rng = np.random.default_rng(1)
    return {"w": jnp.asarray(rng.normal(size=(3, 4)) / 2, float), "v": jnp.asarray(rng.normal(size=4) / 2, float)}


def loss_fn(params, x, y, *, key=None):
    """A small network, whose hidden units a key scales, as dropout does: the draw must be the step's own."""
    hidden = jnp.tanh(x @ params["w"])
    if key is not None:
        hidden = hidden * jax.random.uniform(key, (), hidden.dtype, 0.7, 1.3)
    return ((hidden @ params["v"] - y) ** 2).mean()


def without_noise(params, x, y, *, key=None):
    return loss_fn(params, x, y)


def rosenbrock(params, x, y, *, key=None):
    return (1 - params[0]) ** 2 + 100 * (params[1] - params[0] ** 2) ** 2


def as_extra_args(optimizer):
    """The same rule, said to take extra arguments: fit must give them, and the rule must not change for it."""

    def update(grads, state, params, **extra_args):
        assert set(extra_args) == {"value", "grad", "value_fn", "grad_fn", "obj_fn"}
        return optimizer.update(grads, state, params)

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


@pytest.mark.slow
def test_a_plain_rule_is_bitwise_the_same_with_and_without_extra_arguments():
    rule = optimizers.adam(0.05)
    # 24 = 2 * 10 + 4: the remainder is a step of its own.
    run = functools.partial(jaxmlp.fit, loss_fn, start(), train=data(), key=jax.random.key(2), epochs=3, batch_size=10)
    a, b = run(optimizer=rule), run(optimizer=as_extra_args(rule))
    for plain, extra in zip(*(jax.tree.leaves((result.params, result.history)) for result in (a, b)), strict=True):
        np.testing.assert_array_equal(plain, extra)


@pytest.mark.slow
def test_the_functions_given_are_the_loss_of_the_step_on_its_own_batch_with_its_own_dropout():

    def update(grads, state, params, *, value, grad, value_fn, grad_fn):
        off = jnp.abs(value_fn(params) - value)
        off += sum(jnp.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (grad_fn(params), grads)), strict=True))
        off += sum(jnp.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (grad, grads)), strict=True))
        return jax.tree.map(lambda g: -0.1 * g, grads), jnp.maximum(state, off)

    spy = optax.GradientTransformationExtraArgs(lambda params: jnp.zeros(()), update)
    result = jaxmlp.fit(loss_fn, start(), spy, data(), key=jax.random.key(2), epochs=3, batch_size=10)
    # Loss and gradients are at most 1 in size; the same sums in another order are off by a few 6e-8.
    assert float(result.state.opt_state) < 1e-6
    assert result.history.train_loss[-1] < result.history.train_loss[0]


@pytest.mark.parametrize(
    ("make", "steps", "error"),
    [
        # L-BFGS solves the valley in some 40 steps; steepest descent takes thousands, and 60 bring it in.
        (optax.lbfgs, 60, 1e-10),
        (lambda: optax.chain(optax.sgd(1.0), optax.scale_by_zoom_linesearch(15)), 60, 3.0),
        (lambda: optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(40)), 60, 3.0),
    ],
    ids=["lbfgs", "zoom", "backtracking"],
)
def test_line_searches_descend_at_every_step_inside_fit(make, steps, error, x64):
    train = (jnp.zeros((1, 1)), jnp.zeros((1, 1)))
    with jax.numpy_dtype_promotion("standard"):  # optax's own arithmetic does not pass under strict
        result = jaxmlp.fit(
            rosenbrock, jnp.asarray([-1.2, 1.0]), make(), train, key=jax.random.key(0), epochs=steps, batch_size=1
        )
    losses = np.asarray(result.history.train_loss)
    assert losses[0] == pytest.approx(24.2)  # at the start, by hand: 2.2^2 + 100 * 0.44^2
    # Each search accepts a decrease only, up to the 1e-6 of the value by which optax lets a step be flat.
    assert np.all(losses[1:] <= losses[:-1] * (1 + 1e-6))
    assert rosenbrock(result.params, None, None) < error


@pytest.mark.slow
def test_lbfgs_fits_a_network_in_float32():
    with jax.numpy_dtype_promotion("standard"):
        result = jaxmlp.fit(
            without_noise, start(), optax.lbfgs(), data(), key=jax.random.key(0), epochs=40, batch_size=24
        )
    assert result.history.train_loss[-1] < 0.05 * result.history.train_loss[0]


def by_hand(grad_fn, theta, eta, mu, steps):
    """Sutskever et al. (2013), equations 3 and 4: v = mu v - eta grad(theta + mu v); theta = theta + v."""
    theta = jax.tree.map(np.asarray, theta)
    v = jax.tree.map(np.zeros_like, theta)
    for _ in range(steps):
        g = grad_fn(jax.tree.map(lambda p, v: p + mu * v, theta, v))
        v = jax.tree.map(lambda v, g: mu * v - eta * np.asarray(g), v, g)
        theta = jax.tree.map(np.add, theta, v)
    return theta


@pytest.mark.slow
def test_textbook_nesterov_inside_fit_is_the_equation_with_the_gradient_taken_ahead(x64):
    train = data()
    result = jaxmlp.fit(
        without_noise,
        start(),
        dialects.textbook.nesterov(0.05, 0.8),
        train,
        key=jax.random.key(0),
        epochs=20,
        batch_size=24,
    )
    expected = by_hand(jax.jit(lambda p: jax.grad(loss_fn)(p, *train)), start(), 0.05, 0.8, 20)
    # Weights of size 1; 20 steps whose batch is summed in another order, a few 1.1e-16 each.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14), result.params, expected)


def test_textbook_nesterov_is_ours_seen_from_behind_the_look_ahead_point(x64):
    eta, mu, theta = 1e-3, 0.9, jnp.asarray([-1.2, 1.0])
    grad_fn = jax.grad(lambda p: rosenbrock(p, None, None))
    textbook, ours = dialects.textbook.nesterov(eta, mu), optimizers.nesterov(eta, mu)

    def step(carry, _):
        theta, state, phi, our_state = carry
        updates, state = textbook.update(None, state, theta, grad_fn=grad_fn)
        theta = theta + updates
        updates, our_state = ours.update(grad_fn(phi), our_state)
        phi = phi + updates
        return (theta, state, phi, our_state), phi - (theta - eta * mu * state.velocity)

    start = theta, textbook.init(theta), theta, ours.init(theta)
    (_, state, *_), off = jax.lax.scan(step, start, length=200)
    # Parameters of size 1 and 200 steps of ten roundings, grown by the valley's curvature on the way.
    assert np.abs(off).max() < 1e-11
    assert int(state.count) == 200


def test_textbook_nesterov_two_steps_by_hand(x64):
    optimizer = dialects.textbook.nesterov(0.25, 0.5)
    state, theta = optimizer.init(jnp.asarray(8.0)), jnp.asarray(8.0)
    # f = theta^2 / 2: ahead 8, velocity 8, theta 6; ahead 6 - 8/8 = 5, velocity 4 + 5 = 9, theta 6 - 9/4 = 3.75
    for expected in (6.0, 3.75):
        updates, state = optimizer.update(None, state, theta, value=0.0, grad_fn=lambda p: p)
        theta = theta + updates
        assert float(theta) == expected


def test_textbook_nesterov_follows_a_schedule(x64):
    def rate(t):
        return 0.1 / (1 + jnp.asarray(t, float))

    theta, optimizer = jnp.asarray([3.0, -1.0]), dialects.textbook.nesterov(rate, 0.7)
    state, curvature = optimizer.init(theta), jnp.asarray([1.0, 4.0])
    velocity, expected = np.zeros(2), np.asarray(theta)
    for t in range(6):
        updates, state = optimizer.update(None, state, theta, grad_fn=lambda p: curvature * p)
        theta = theta + updates
        velocity = 0.7 * velocity + np.asarray(curvature) * (expected - float(rate(t)) * 0.7 * velocity)
        expected = expected - float(rate(t)) * velocity
        np.testing.assert_allclose(theta, expected, rtol=1e-14)  # six steps of a few roundings


@pytest.mark.parametrize("extra", [{}, {"params": jnp.ones(2)}, {"grad_fn": lambda p: p}])
def test_textbook_nesterov_says_what_it_needs(extra):
    optimizer = dialects.textbook.nesterov(0.1)
    with pytest.raises(ValueError, match=r"grad_fn=jax\.grad"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), **extra)


@pytest.mark.slow
def test_textbook_nesterov_goes_through_jit_vmap_and_grad_and_into_a_chain(x64):
    train = data()

    def final_loss(rate):
        optimizer = dialects.textbook.nesterov(rate, 0.8)
        result = jaxmlp.fit(loss_fn, start(), optimizer, train, key=jax.random.key(0), epochs=4, batch_size=24)
        return loss_fn(result.params, *train)

    rates = jnp.asarray([0.02, 0.1])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(final_loss)))(rates)
    alone = jax.jit(final_loss)
    np.testing.assert_allclose(values, [alone(rate) for rate in rates], rtol=1e-12)  # sums in another order
    # Central differences: h^2 / 6 of the third derivative, and 1e-16 / 2e-5 of rounding.
    differences = [(alone(rate + 1e-5) - alone(rate - 1e-5)) / 2e-5 for rate in rates]
    np.testing.assert_allclose(slopes, differences, rtol=1e-6)

    # Its gradient is its own: what is chained before it has no effect, as its docstring says.
    before = optax.chain(optax.scale(0.0), dialects.textbook.nesterov(0.1, 0.8))
    params = jaxmlp.fit(loss_fn, start(), before, train, key=jax.random.key(0), epochs=4, batch_size=24).params
    np.testing.assert_allclose(loss_fn(params, *train), values[1], rtol=1e-12)

    chained = optax.chain(dialects.textbook.nesterov(0.1), optimizers.max_norm(0.5))
    result = jaxmlp.fit(loss_fn, start(), chained, train, key=jax.random.key(0), epochs=3, batch_size=8)
    assert np.linalg.norm(result.params["w"], axis=0).max() <= 0.5 * (1 + 1e-12)


@pytest.mark.slow
def test_textbook_nesterov_runs_inside_shard_map():
    keys = jax.random.split(jax.random.key(3), 2)

    def run(keys):
        fit_one = functools.partial(
            jaxmlp.fit, loss_fn, start(), dialects.textbook.nesterov(0.1), data(), epochs=2, batch_size=12
        )
        return jax.tree.map(lambda a: a[None], fit_one(key=keys[0]).params)

    mesh = jax.make_mesh((2,), ("runs",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = PartitionSpec("runs")
    sharded = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=spec))(keys)
    for i in range(2):
        alone = run(keys[i : i + 1])
        # float32: the two programs may add up in other orders, for 4 steps.
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b[0], rtol=1e-5, atol=1e-6), sharded, alone)


@pytest.mark.slow
def test_an_estimate_of_the_curvature_is_given_the_loss():
    with jax.numpy_dtype_promotion("standard"):
        rule = optax.contrib.sophia(1e-2)
        result = jaxmlp.fit(loss_fn, start(), rule, data(), key=jax.random.key(0), epochs=3, batch_size=12)
    assert result.history.train_loss[-1] < result.history.train_loss[0]


@pytest.mark.filterwarnings("ignore:.seed. is deprecated:DeprecationWarning")
def test_rules_that_fit_cannot_serve_are_answered_with_a_way_out():
    def fit(loss_fn, params, optimizer):
        with jax.numpy_dtype_promotion("standard"):
            return jaxmlp.fit(loss_fn, params, optimizer, data(), key=jax.random.key(0), epochs=1, batch_size=24)

    with pytest.raises(TypeError, match=r"needs the gradient of each example.*jax\.vmap"):
        fit(loss_fn, start(), optax.contrib.dpsgd(0.1, 1.0, 1.0, 0))
    rule = optax.lookahead(optax.sgd(0.1), 5, 0.5)
    with pytest.raises(TypeError, match=r"LookaheadParams\.init_synced\(params\) with a loss of params\.fast"):
        fit(loss_fn, start(), rule)
    # And that way does lead out.
    synced = optax.LookaheadParams.init_synced(start())
    way_out = optax.GradientTransformation(rule.init, lambda g, state, params: rule.update(g.fast, state, params))
    fast = fit(lambda params, x, y, *, key=None: loss_fn(params.fast, x, y), synced, way_out).params.fast
    expected = fit(without_noise, start(), optax.sgd(0.1)).params  # the first step of both
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), fast, expected)
