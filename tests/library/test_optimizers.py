"""The seven rules, each proven four ways: against optax, against NumPy, by a step done by hand, by a property."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpy_rules
import optax
import pytest

from jaxmlp import apply_updates, optimizers

STEPS = 1000

# Each rule with its defaults, and with every number away from them: at eps 1e-8 a misplaced eps hides, at 1e-3 it is
# an error of percents; so would a mu of 0, an average that starts from 0, or a b1 close to b2.
CASES = [
    ("sgd", {}),
    ("momentum", {}),
    ("momentum", {"momentum": 0.6}),
    ("nesterov", {}),
    ("nesterov", {"momentum": 0.6}),
    ("adagrad", {}),
    ("adagrad", {"initial_accumulator": 0.03, "eps": 1e-3}),
    ("rmsprop", {}),
    ("rmsprop", {"decay": 0.7, "eps": 1e-3, "initial_scale": 0.5}),
    ("adam", {}),
    ("adam", {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 2e-3}),
    ("amsgrad", {}),
    ("amsgrad", {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 2e-3}),
]
OWN_SETTINGS = dict(CASES)  # of each rule, the settings away from the defaults

# Updates, step by step, max|a - b| / max|b| in each leaf, where the updates are of one size: a step under a tenth of
# its leaf's largest is the difference of larger terms, or the rest of a descent that has ended. It keeps the rounding
# of what it came from (1.1e-16 of the largest is 1e-14 of a hundredth of it), and is held to that tenth's tolerance.
# float64: a step is about ten roundings of 1.1e-16, and those of an average with decay 0.999 add up at random to
# 1.1e-16 sqrt(500) = 2.5e-15, half of it under a root. XLA may also fuse the two programs differently.
# float32: optax forms 1 - b2 in double precision, the library in the dtype of the leaf, where 0.999 is off by up to
# 3e-8, so that 1 - b2 is off by up to 3e-5, and its root by 1.5e-5; all roundings together add 1e-6.
TOLERANCE = {"float64": 1e-14, "float32": 2e-5}


def reference(name, learning_rate, **settings):
    """The rule as optax has it. Only momentum and nesterov take an argument that optax has no default for."""
    if name == "sgd":
        return optax.sgd(learning_rate)
    if name in {"momentum", "nesterov"}:
        return optax.sgd(learning_rate, settings.get("momentum", 0.9), nesterov=name == "nesterov")
    if "initial_accumulator" in settings:
        settings["initial_accumulator_value"] = settings.pop("initial_accumulator")
    return getattr(optax, name)(learning_rate, **settings)


def ours(name, learning_rate, **settings):
    return getattr(optimizers, name)(learning_rate, **settings)


def schedule(count):
    """Never constant, so that a step's rate cannot pass for its neighbour's."""
    return 0.05 / (1 + 0.1 * jnp.asarray(count, float))


def random_gradients(dtype):
    """Gradients of STEPS steps, each step's of a size of its own between 1e-3 and 10, about the eps under test."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        sizes = 10.0 ** rng.uniform(-3, 1, (STEPS,) + (1,) * len(shape))
        return jnp.asarray(sizes * rng.normal(size=(STEPS, *shape)), dtype)

    return {"layers": ({"w": draw(4, 3), "b": draw(3)},), "scale": draw(), "empty": (draw(0, 2), None)}


def quadratic(params):
    # Condition number 3,000: some coordinate still moves after the last step, so no leaf's updates are all rounding.
    curvature = jnp.asarray([1e-3, 0.1, 1.0, 3.0], params["x"].dtype)
    return (curvature * params["x"] ** 2).sum() / 2 + (params["y"] - 1) ** 2


def rosenbrock(params):
    return ((1 - params["x"]) ** 2).sum() + 100 * ((params["y"] - params["x"] ** 2) ** 2).sum()


def replay(optimizer, grads):
    """Updates of successive gradients, stacked along the first axis like the gradients."""
    params = jax.tree.map(lambda g: jnp.zeros_like(g[0]), grads)

    def step(state, g):
        updates, state = optimizer.update(g, state, params)
        return state, updates

    return jax.lax.scan(step, optimizer.init(params), grads)[1]


run = jax.jit(replay)  # for an optimizer of the library, which is an argument like any other


def run_optax(optimizer, grads):
    """Run one of optax's, under standard promotion: several of its rules raise under strict."""
    with jax.numpy_dtype_promotion("standard"):
        return jax.jit(lambda g: replay(optimizer, g))(grads)


@partial(jax.jit, static_argnames=("loss", "steps"))
def descend(optimizer, loss, params, steps=STEPS):
    """Parameters before each step, gradients there, and updates."""

    def step(carry, _):
        params, state = carry
        grads = jax.grad(loss)(params)
        updates, state = optimizer.update(grads, state, params)
        return (apply_updates(params, updates), state), (params, grads, updates)

    return jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[1]


def library_run(problem, optimizer, dtype):
    """The gradients that both sides are given, and the library's updates.

    Where the problem is a function, the gradients are those along the library's own path. On two paths of their own a
    rounding grows as the problem lets it: RMSProp, which chatters at its learning rate, multiplies 1e-16 to 0.4
    within 1,000 steps of Rosenbrock's valley. That would measure the problem, not the rule.
    """
    if problem == "random":
        grads = random_gradients(dtype)
        return grads, run(optimizer, grads)
    if problem == "quadratic":
        start = {"x": jnp.asarray([1.0, -2.0, 3.0, 0.5], dtype), "y": jnp.asarray(-1.0, dtype)}
        return descend(optimizer, quadratic, start)[1:]
    start = {"x": jnp.asarray([-1.2, 0.5], dtype), "y": jnp.asarray([1.0, 2.0], dtype)}
    return descend(optimizer, rosenbrock, start)[1:]


def assert_steps_agree(updates, expected, tolerance):
    assert jax.tree.structure(updates) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree.leaves_with_path(updates), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), jax.tree_util.keystr(path)
        a, b = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (a, b))
        error, size = (np.max(np.abs(v), axis=1, initial=0.0) for v in (a - b, b))
        allowed = tolerance * np.maximum(size, 0.1 * np.max(size, initial=0.0))
        worst = int(np.argmax(error - allowed))
        report = f"{jax.tree_util.keystr(path)} at step {worst + 1}: off by {error[worst]:.2e} of {size[worst]:.2e}"
        assert np.all(error <= allowed), report


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.mark.parametrize("problem", ["random", "quadratic", "rosenbrock"])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_updates_equal_those_of_optax(name, settings, problem, dtype):
    # The three rules without normalisation diverge on Rosenbrock at a rate at which the others move.
    learning_rate = 1e-4 if name in {"sgd", "momentum", "nesterov"} else 2e-2
    grads, updates = library_run(problem, ours(name, learning_rate, **settings), dtype)
    expected = run_optax(reference(name, learning_rate, **settings), grads)
    assert_steps_agree(updates, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("name", OWN_SETTINGS)
def test_updates_equal_those_of_optax_with_a_schedule_after_clipping(name, dtype):
    def arranged(make):
        return optax.chain(optax.clip_by_global_norm(0.5), make(name, schedule, **OWN_SETTINGS[name]))

    grads = random_gradients(dtype)
    updates = jax.jit(lambda g: replay(arranged(ours), g))(grads)
    assert_steps_agree(updates, run_optax(arranged(reference), grads), TOLERANCE[dtype])


@pytest.mark.parametrize("name", OWN_SETTINGS)
def test_updates_equal_those_of_optax_under_vmap_over_learning_rates(name, dtype):
    grads, settings, rates = random_gradients(dtype)["layers"], OWN_SETTINGS[name], jnp.asarray([1e-3, 0.1, 2.0], dtype)
    updates = jax.jit(jax.vmap(lambda rate: replay(ours(name, rate, **settings), grads)))(rates)
    with jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(jax.vmap(lambda rate: replay(reference(name, rate, **settings), grads)))(rates)
    for i in range(len(rates)):
        one_run = (jax.tree.map(lambda v, i=i: v[i], tree) for tree in (updates, expected))
        assert_steps_agree(*one_run, TOLERANCE[dtype])


@pytest.mark.parametrize("learning_rate", [0.05, schedule], ids=["number", "schedule"])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_updates_equal_those_of_the_numpy_oracle(name, settings, learning_rate, x64):
    grads = random_gradients("float64")["layers"][0]["w"]
    updates = run(ours(name, learning_rate, **settings), grads)
    expected = np.stack(getattr(numpy_rules, name)(np.asarray(grads), learning_rate, **settings))
    # As against optax, but NumPy's b2^t and XLA's may differ in the last bit, 1.1e-16, which 1 - b2^t = t (1 - b2)
    # divides by 1e-3 t and the root halves: 5.5e-14 / t; not at the first step, where the power is exact.
    assert_steps_agree({"w": updates}, {"w": expected}, 3e-14)


# (name, settings, gradients from one parameter at 0, step: the update there). Measured with optax 0.2.8 in float64.
PROBES = [
    ("momentum", {"learning_rate": lambda t: jnp.where(t < 50, 0.1, 0.01)}, [1.0] * 51, {51: -0.09953616023}),
    ("rmsprop", {"learning_rate": 1.0, "decay": 0.9}, [1e-6], {1: -0.00999995000}),
    ("adam", {"learning_rate": 1.0}, [1e-6], {1: -0.99009900990}),
    ("adagrad", {"learning_rate": 1.0}, [1e-3], {1: -0.00316226027}),
    ("amsgrad", {"learning_rate": 1.0}, [1.0] + [0.1] * 9, {2: -0.52631578421, 10: -0.15353399174}),
    ("nesterov", {"learning_rate": 0.1, "momentum": 0.9}, [1.0] * 3, {1: -0.19, 2: -0.271, 3: -0.3439}),
]


@pytest.mark.parametrize(("name", "settings", "grads", "expected"), PROBES)
def test_updates_on_inputs_that_tell_the_libraries_apart(name, settings, grads, expected, x64):
    updates = run(getattr(optimizers, name)(**settings), jnp.asarray(grads))
    measured = {step: float(updates[step - 1]) for step in expected}
    assert measured == pytest.approx(expected, rel=0, abs=5e-12)  # eleven decimals are written down


# (name, settings, gradients, updates): settings with which the arithmetic can be done by head.
BY_HAND = [
    ("sgd", (0.5,), [2.0, -3.0], [-1.0, 1.5]),
    # velocity 1, then 0.5 + 2 = 2.5
    ("momentum", (0.1, 0.5), [1.0, 2.0], [-0.1, -0.25]),
    # g + velocity / 2 is 1 + 0.5, then 2 + 1.25
    ("nesterov", (0.1, 0.5), [1.0, 2.0], [-0.15, -0.325]),
    # accumulator 7 + 16 = 23, its root with eps 5; then 23 + 144 = 167, its root 13
    ("adagrad", (0.5, 7.0, 2.0), [4.0, 12.0], [-0.5 * 4 / 5, -0.5 * 12 / 13]),
    # nu = 3/4 4 + 1/4 9 = 5.25, its root with eps 2.5; then 3.9375 + 121/4 = 34.1875
    ("rmsprop", (0.5, 0.75, 1.0, 4.0), [3.0, 11.0], [-0.5 * 3 / 2.5, -0.5 * 11 / 35.1875**0.5]),
    # mu_hat = 1.5 / 0.5 = 3, nu_hat = 2.25 / 0.25 = 9, roots 5 + 1; then mu = 0.25 over 0.75, nu = 31/16 over 7/16
    ("adam", (1.0, 0.5, 0.75, 1.0, 16.0), [3.0, -1.0], [-0.5, -1 / 3 / ((31 / 7 + 16) ** 0.5 + 1)]),
    # the same, but 9 stays the largest
    ("amsgrad", (1.0, 0.5, 0.75, 1.0, 16.0), [3.0, -1.0], [-0.5, -1 / 18]),
]


@pytest.mark.parametrize(("name", "settings", "grads", "expected"), BY_HAND)
def test_two_steps_by_hand(name, settings, grads, expected, x64):
    optimizer = getattr(optimizers, name)(*settings)
    state = optimizer.init(jnp.asarray(0.0))
    for g, update in zip(grads, expected, strict=True):
        updates, state = optimizer.update(jnp.asarray(g), state)
        assert float(updates) == pytest.approx(update, rel=1e-14)  # about ten roundings of 1.1e-16
    assert int(state.count) == 2


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_zero_gradient_on_the_first_step_moves_nothing_and_leaves_no_trace(name, settings, dtype):
    grads = jnp.concatenate([jnp.zeros((1, 3), dtype), jnp.asarray([[1.0, -2.0, 0.0], [0.5, 3.0, 0.0]], dtype)])
    updates = run(ours(name, 0.1, **settings), grads)
    np.testing.assert_array_equal(updates[0], 0)
    np.testing.assert_array_equal(updates[:, 2], 0)
    expected = run_optax(reference(name, 0.1, **settings), grads)
    assert_steps_agree(updates, expected, TOLERANCE[dtype])


def test_adagrad_from_nothing_with_eps_0_does_not_move_on_a_zero_gradient(x64):
    grads = jnp.asarray([[0.0, 2.0], [0.0, 0.0], [-3.0, 0.0]])

    def updates_at(learning_rate):
        return run(optimizers.adagrad(learning_rate, initial_accumulator=0.0, eps=0.0), grads)

    updates = updates_at(0.1)
    # The first gradient that is not 0 is its own root: the update is exactly -learning_rate * sign(g).
    np.testing.assert_array_equal(updates, [[0.0, -0.1], [0.0, 0.0], [0.1, 0.0]])
    np.testing.assert_array_equal(jax.jacrev(updates_at)(0.1), [[0.0, -1.0], [0.0, 0.0], [1.0, 0.0]])


def test_sgd_contracts_each_coordinate_of_a_quadratic_by_its_own_factor(x64):
    curvature, start = jnp.asarray([0.1, 1.0, 3.0, 6.0]), jnp.asarray([1.0, -2.0, 3.0, 0.5])
    path, *_ = descend(optimizers.sgd(0.3), lambda p: (curvature * p**2).sum() / 2, start, steps=60)
    factors = (1 - 0.3 * np.asarray(curvature)) ** np.arange(60)[:, None]
    # Three roundings a step of at most 1.1e-16 of the larger term, which is at most 9 times their difference.
    np.testing.assert_allclose(path, np.asarray(start) * factors, rtol=60 * 3 * 9 * 1.1e-16)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_a_constant_gradient_multiplies_the_learning_rate_by_1_over_1_minus_momentum(name, x64):
    updates = run(ours(name, 0.1, momentum=0.8), jnp.full((300, 2), 3.0))
    # 0.8^300 = 8e-30 of the way is left; the roundings of 300 steps decay with 0.8 and sum to 5 of 1.1e-16 each.
    np.testing.assert_allclose(updates[-1], -0.1 * 3 / (1 - 0.8), rtol=1e-14)


def test_nesterov_is_the_textbook_look_ahead_seen_from_the_look_ahead_point(x64):
    eta, mu = 5e-4, 0.9
    start = {"x": jnp.asarray([-1.2, 0.5]), "y": jnp.asarray([1.0, 2.0])}
    path, *_ = descend(optimizers.nesterov(eta, mu), rosenbrock, start, steps=100)

    theta, v = start, jax.tree.map(jnp.zeros_like, start)
    for t in range(100):
        phi = jax.tree.map(lambda th, v: th - eta * mu * v, theta, v)
        # Parameters of the size 1, 100 steps of ten roundings each, grown by up to 50 on the way down the valley.
        jax.tree.map(lambda p, q, t=t: np.testing.assert_allclose(p[t], q, atol=5e-12), path, phi)
        v = jax.tree.map(lambda v, g: mu * v + g, v, jax.grad(rosenbrock)(phi))
        theta = jax.tree.map(lambda th, v: th - eta * v, theta, v)


def test_adagrad_step_sizes_never_grow_and_no_update_exceeds_the_learning_rate(x64):
    grads = random_gradients("float64")["layers"][0]["w"]
    updates = run(ours("adagrad", 0.1, initial_accumulator=0.0), grads)
    step_sizes = np.asarray(-updates / grads)
    assert np.all(step_sizes > 0)
    assert np.all(step_sizes[1:] <= step_sizes[:-1] * (1 + 1e-15))  # the quotient's own rounding, a few times 1.1e-16
    assert np.abs(updates).max() <= 0.1


def test_rmsprop_settles_at_the_learning_rate_and_is_bounded_by_its_decay(x64):
    constant = jnp.broadcast_to(jnp.asarray([2.0, -0.5, 30.0]), (400, 3))
    updates = run(ours("rmsprop", 0.1, decay=0.9, eps=1e-12), constant)
    # 0.9^400 = 5e-19 of the way is left; eps / (2 g^2) = 2e-12 at g = 0.5.
    np.testing.assert_allclose(updates[-1], [-0.1, 0.1, -0.1], rtol=3e-12)
    # nu >= (1 - decay) g^2, so that no update exceeds learning_rate / sqrt(1 - decay); the first one reaches it.
    updates = run(ours("rmsprop", 0.1, eps=0.0), random_gradients("float64")["scale"])
    assert np.abs(updates).max() == pytest.approx(0.1 / np.sqrt(1 - 0.9), rel=1e-14)  # a few roundings


@pytest.mark.parametrize("name", ["adam", "amsgrad"])
def test_adam_moves_by_the_learning_rate_whatever_the_size_of_a_constant_gradient(name, x64):
    grads = jnp.broadcast_to(jnp.asarray([1e-5, -1.0, 1e5]), (50, 3))
    updates = run(ours(name, 0.1, eps=0.0), grads)
    # Both corrections cancel their averages exactly but for rounding: 1 - b2^t keeps 13 digits at t = 1.
    np.testing.assert_allclose(updates, np.broadcast_to([-0.1, 0.1, -0.1], (50, 3)), rtol=1e-12)


@pytest.mark.parametrize("name", ["adam", "amsgrad"])
def test_adam_does_not_depend_on_the_scale_of_the_gradients(name, x64):
    grads = random_gradients("float64")["layers"]
    scaled = jax.tree.map(lambda g: 1024 * g, grads)
    # By a power of two no rounding differs.
    a, b = (run(ours(name, 0.1, eps=0.0), g) for g in (grads, scaled))
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(left, right)


def test_amsgrad_step_size_never_grows_back_where_that_of_adam_does(x64):
    grads = jnp.concatenate([jnp.full((1,), 10.0), jnp.ones((300,))])

    def step_sizes(name):  # b1 = 0: the update is the gradient times the step size
        return -run(ours(name, 0.1, b1=0.0, b2=0.9), grads) / grads

    # sqrt(nu_hat) is 10 at first, so the step size is a hundredth, and stays it for amsgrad. Adam's goes back to 0.1,
    # but for 0.9^300 = 2e-14 of the first square and eps = 1e-8.
    np.testing.assert_allclose(step_sizes("amsgrad"), 0.01, rtol=2e-9)  # eps / 10, and rounding
    assert step_sizes("adam")[-1] == pytest.approx(0.1, rel=2e-8)
