"""The seven rules, each proven four ways: against optax, against NumPy, by a step done by hand, by a property."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_rules
import optax
import pytest
from replays import CASES, OWN_SETTINGS, STEPS, assert_steps_agree, random_gradients, replay, run, run_each

from jaxmlp import apply_updates, optimizers

each_case = pytest.mark.parametrize(("name", "settings"), CASES)

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


def quadratic(params):
    # Condition number 3,000: some coordinate still moves after the last step, so no leaf's updates are all rounding.
    curvature = jnp.asarray([1e-3, 0.1, 1.0, 3.0], params["x"].dtype)
    return (curvature * params["x"] ** 2).sum() / 2 + (params["y"] - 1) ** 2


def rosenbrock(params):
    return ((1 - params["x"]) ** 2).sum() + 100 * ((params["y"] - params["x"] ** 2) ** 2).sum()


def descend(optimizer, loss, params, steps=STEPS):
    """Parameters before each step, gradients there, and updates."""

    def step(carry, _):
        params, state = carry
        grads = jax.grad(loss)(params)
        updates, state = optimizer.update(grads, state, params)
        return (apply_updates(params, updates), state), (params, grads, updates)

    return jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[1]


@functools.cache
def late_gradients(dtype):
    """Nothing on the first step, and never anything in the last coordinate."""
    grads = random_gradients(dtype)["layers"][0]["b"].copy()
    grads[:3] = [[0.0, 0.0, 0.0], [1.0, -2.0, 0.0], [0.5, 3.0, 0.0]]
    grads[:, 2] = 0
    return grads


@jax.jit
def library_runs(optimizers, grads):
    """On each problem, the gradients that both sides are given, and the library's updates.

    Where the problem is a function, the gradients are those along the library's own path. On two paths of their own a
    rounding grows as the problem lets it: RMSProp, which chatters at its learning rate, multiplies 1e-16 to 0.4
    within 1,000 steps of Rosenbrock's valley. That would measure the problem, not the rule.
    """
    dtype = grads["late"].dtype
    start = {
        "quadratic": {"x": jnp.asarray([1.0, -2.0, 3.0, 0.5], dtype), "y": jnp.asarray(-1.0, dtype)},
        "rosenbrock": {"x": jnp.asarray([-1.2, 0.5], dtype), "y": jnp.asarray([1.0, 2.0], dtype)},
    }

    def problems(optimizer):
        _, slopes, updates = descend(
            optimizer, lambda p: quadratic(p["quadratic"]) + rosenbrock(p["rosenbrock"]), start
        )
        return grads | slopes, replay(optimizer, grads) | updates

    return {name: problems(optimizer) for name, optimizer in optimizers.items()}


def run_optax(optimizers, grads):
    """Updates by several of optax's, each of its own gradients, entry by entry in one array, which compiles fastest.

    Under standard promotion: several of its rules raise under strict.
    """
    flat = {
        case: np.concatenate([g.reshape(STEPS, -1) for g in jax.tree.leaves(grads[case])], axis=1) for case in grads
    }
    with jax.numpy_dtype_promotion("standard"):
        run_all = jax.jit(lambda g: {case: replay(optimizer, g[case]) for case, optimizer in optimizers.items()})
        updates = jax.device_get(run_all(flat))

    def like(grads, updates):
        leaves, structure = jax.tree.flatten(grads)
        parts = np.split(updates, np.cumsum([leaf[0].size for leaf in leaves]), axis=1)
        return structure.unflatten([part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=False)])

    return {case: like(grads[case], updates[case]) for case in grads}


@functools.cache
def both_sides(dtype):
    """The library's updates and those of optax, {case: {problem: updates}} each; a case is (name, own settings?)."""

    def make(factory, name, settings):
        # The three rules without normalisation diverge on Rosenbrock at a rate at which the others move.
        return factory(name, 1e-4 if name in {"sgd", "momentum", "nesterov"} else 2e-2, **settings)

    grads, runs = {"random": random_gradients(dtype), "late": late_gradients(dtype)}, {}
    for cases in ({name: {} for name in OWN_SETTINGS}, OWN_SETTINGS):  # numbers are arguments: one compilation
        rules = {name: make(ours, name, settings) for name, settings in cases.items()}
        runs |= {(name, bool(cases[name])): run for name, run in jax.device_get(library_runs(rules, grads)).items()}
    assert len(runs) == len(CASES)
    rules = {(name, bool(settings)): make(reference, name, settings) for name, settings in CASES}
    given, updates = ({case: run[i] for case, run in runs.items()} for i in (0, 1))
    return updates, run_optax(rules, given)


@pytest.fixture(params=["float64", pytest.param("float32", marks=pytest.mark.slow)])
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["random", "quadratic", "rosenbrock"])
@each_case
def test_updates_equal_those_of_optax(name, settings, problem, dtype):
    updates, expected = (side[name, bool(settings)][problem] for side in both_sides(dtype))
    assert_steps_agree(updates, expected, TOLERANCE[dtype])


@pytest.mark.slow
@each_case
def test_a_zero_gradient_on_the_first_step_moves_nothing_and_leaves_no_trace(name, settings, dtype):
    updates, expected = (side[name, bool(settings)]["late"] for side in both_sides(dtype))
    np.testing.assert_array_equal(updates[0], 0)
    np.testing.assert_array_equal(updates[:, 2], 0)
    assert_steps_agree(updates, expected, TOLERANCE[dtype])


@pytest.mark.slow
def test_updates_equal_those_of_optax_with_a_schedule_after_clipping(dtype):
    def updates_of(make, grads):
        rules = {name: make(name, schedule, **settings) for name, settings in OWN_SETTINGS.items()}
        return {name: replay(optax.chain(optax.clip_by_global_norm(0.5), rule), grads) for name, rule in rules.items()}

    assert_sides_agree(updates_of, random_gradients(dtype), TOLERANCE[dtype])


@pytest.mark.slow
def test_updates_equal_those_of_optax_under_vmap_over_learning_rates(dtype):
    def updates_of(make, grads):
        def at(rate):
            return {name: replay(make(name, rate, **own), grads) for name, own in OWN_SETTINGS.items()}

        updates = jax.vmap(at)(jnp.asarray([1e-3, 0.1, 2.0], dtype))
        return {i: jax.tree.map(lambda v, i=i: v[i], updates) for i in range(3)}

    assert_sides_agree(updates_of, random_gradients(dtype)["layers"], TOLERANCE[dtype])


def assert_sides_agree(updates_of, grads, tolerance):
    """Compare updates_of(make, grads) between the library's rules and those of optax."""
    updates = jax.jit(updates_of, static_argnums=0)(ours, grads)
    with jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(updates_of, static_argnums=0)(reference, grads)
    assert_steps_agree(updates, expected, tolerance)


@functools.cache
def scheduled_runs(own):
    """Of each rule, in float64, with its defaults or its own settings."""
    rules = {name: ours(name, schedule, **settings if own else {}) for name, settings in OWN_SETTINGS.items()}
    return run_each(rules, random_gradients("float64")["layers"][0]["w"])


@pytest.mark.parametrize("learning_rate", [0.05, schedule], ids=["number", "schedule"])
@each_case
def test_updates_equal_those_of_the_numpy_oracle(name, settings, learning_rate, x64):
    grads = random_gradients("float64")["layers"][0]["w"]
    scheduled = callable(learning_rate)
    updates = scheduled_runs(bool(settings))[name] if scheduled else run(ours(name, learning_rate, **settings), grads)
    expected = np.stack(getattr(numpy_rules, name)(grads, learning_rate, **settings))
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
    updates = run_alike(getattr(optimizers, name)(**settings), np.asarray(grads))
    measured = {step: float(updates[step - 1]) for step in expected}
    assert measured == pytest.approx(expected, rel=0, abs=5e-12)  # eleven decimals are written down


def run_alike(optimizer, grads):
    """Run gradients of up to 12 coordinates in the one shape for which each rule is compiled anyway."""
    padded = np.zeros((STEPS, 12))
    padded[: len(grads), : grads[0].size] = grads.reshape(len(grads), -1)
    updates = np.asarray(run(optimizer, padded.reshape(STEPS, 4, 3))).reshape(STEPS, 12)
    return updates[: len(grads), : grads[0].size].reshape(grads.shape)


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


def test_adagrad_from_nothing_with_eps_0_does_not_move_on_a_zero_gradient(x64):
    grads = np.asarray([[0.0, 2.0], [0.0, 0.0], [-3.0, 0.0]])

    def updates_at(learning_rate):
        return run(optimizers.adagrad(learning_rate, initial_accumulator=0.0, eps=0.0), grads)

    updates, slopes = jax.jit(lambda rate: (updates_at(rate), jax.jacrev(updates_at)(rate)))(0.1)
    # The first gradient that is not 0 is its own root: the update is exactly -learning_rate * sign(g).
    np.testing.assert_array_equal(updates, [[0.0, -0.1], [0.0, 0.0], [0.1, 0.0]])
    np.testing.assert_array_equal(slopes, [[0.0, -1.0], [0.0, 0.0], [1.0, 0.0]])


def test_sgd_contracts_each_coordinate_of_a_quadratic_by_its_own_factor(x64):
    curvature, start = np.asarray([0.1, 1.0, 3.0, 6.0]), np.asarray([1.0, -2.0, 3.0, 0.5])
    run_sgd = jax.jit(lambda p: descend(optimizers.sgd(0.3), lambda p: (curvature * p**2).sum() / 2, p, steps=60))
    path, *_ = run_sgd(start)
    factors = (1 - 0.3 * curvature) ** np.arange(60)[:, None]
    # Three roundings a step of at most 1.1e-16 of the larger term, which is at most 9 times their difference.
    np.testing.assert_allclose(path, start * factors, rtol=60 * 3 * 9 * 1.1e-16)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_a_constant_gradient_multiplies_the_learning_rate_by_1_over_1_minus_momentum(name, x64):
    updates = run_alike(ours(name, 0.1, momentum=0.8), np.full((300, 2), 3.0))
    # 0.8^300 = 8e-30 of the way is left; the roundings of 300 steps decay with 0.8 and sum to 5 of 1.1e-16 each.
    np.testing.assert_allclose(updates[-1], -0.1 * 3 / (1 - 0.8), rtol=1e-14)


def test_nesterov_is_the_textbook_look_ahead_seen_from_the_look_ahead_point(x64):
    eta, mu = 5e-4, 0.9
    start = {"x": np.asarray([-1.2, 0.5]), "y": np.asarray([1.0, 2.0])}
    path, *_ = jax.jit(lambda p: descend(optimizers.nesterov(eta, mu), rosenbrock, p, steps=100))(start)

    def slope(p):  # of rosenbrock, by hand
        rise = 200 * (p["y"] - p["x"] ** 2)
        return {"x": -2 * (1 - p["x"]) - 2 * p["x"] * rise, "y": rise}

    theta, v = start, jax.tree.map(np.zeros_like, start)
    for t in range(100):
        phi = jax.tree.map(lambda th, v: th - eta * mu * v, theta, v)
        # Parameters of the size 1, 100 steps of ten roundings each, grown by up to 50 on the way down the valley.
        jax.tree.map(lambda p, q, t=t: np.testing.assert_allclose(p[t], q, atol=5e-12), path, phi)
        v = jax.tree.map(lambda v, g: mu * v + g, v, slope(phi))
        theta = jax.tree.map(lambda th, v: th - eta * v, theta, v)


def test_adagrad_step_sizes_never_grow_and_no_update_exceeds_the_learning_rate(x64):
    grads = random_gradients("float64")["layers"][0]["w"]
    updates = run(ours("adagrad", 0.1, initial_accumulator=0.0), grads)
    step_sizes = np.asarray(-updates / grads)
    assert np.all(step_sizes > 0)
    assert np.all(step_sizes[1:] <= step_sizes[:-1] * (1 + 1e-15))  # the quotient's own rounding, a few times 1.1e-16
    assert np.abs(updates).max() <= 0.1


def test_rmsprop_settles_at_the_learning_rate_and_is_bounded_by_its_decay(x64):
    constant = np.broadcast_to([2.0, -0.5, 30.0], (400, 3))
    updates = run_alike(ours("rmsprop", 0.1, decay=0.9, eps=1e-12), constant)
    # 0.9^400 = 5e-19 of the way is left; eps / (2 g^2) = 2e-12 at g = 0.5.
    np.testing.assert_allclose(updates[-1], [-0.1, 0.1, -0.1], rtol=3e-12)
    # nu >= (1 - decay) g^2, so that no update exceeds learning_rate / sqrt(1 - decay); the first one reaches it.
    updates = run(ours("rmsprop", 0.1, eps=0.0), random_gradients("float64")["layers"][0]["w"])
    assert np.abs(updates).max() == pytest.approx(0.1 / np.sqrt(1 - 0.9), rel=1e-14)  # a few roundings


@pytest.mark.parametrize("name", ["adam", "amsgrad"])
def test_adam_moves_by_the_learning_rate_whatever_the_size_of_a_constant_gradient(name, x64):
    grads = np.broadcast_to([1e-5, -1.0, 1e5], (50, 3))
    updates = run_alike(ours(name, 0.1, eps=0.0), grads)
    # Both corrections cancel their averages exactly but for rounding: 1 - b2^t keeps 13 digits at t = 1.
    np.testing.assert_allclose(updates, np.broadcast_to([-0.1, 0.1, -0.1], (50, 3)), rtol=1e-12)


@pytest.mark.parametrize("name", ["adam", "amsgrad"])
def test_adam_does_not_depend_on_the_scale_of_the_gradients(name, x64):
    grads = random_gradients("float64")["layers"][0]["w"]
    # By a power of two no rounding differs.
    a, b = (run(ours(name, 0.1, eps=0.0), g) for g in (grads, 1024 * grads))
    np.testing.assert_array_equal(a, b)


def test_amsgrad_step_size_never_grows_back_where_that_of_adam_does(x64):
    grads = np.concatenate([np.full(1, 10.0), np.ones(300)])

    def step_sizes(name):  # b1 = 0: the update is the gradient times the step size
        return -run_alike(ours(name, 0.1, b1=0.0, b2=0.9), grads) / grads

    # sqrt(nu_hat) is 10 at first, so the step size is a hundredth, and stays it for amsgrad. Adam's goes back to 0.1,
    # but for 0.9^300 = 2e-14 of the first square and eps = 1e-8.
    np.testing.assert_allclose(step_sizes("amsgrad"), 0.01, rtol=2e-9)  # eps / 10, and rounding
    assert step_sizes("adam")[-1] == pytest.approx(0.1, rel=2e-8)
