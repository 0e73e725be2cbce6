"""Instruments as functions of one step: against closed forms, NumPy by hand and a brute-force Hessian."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpy_mlp
import optax
import pytest
from jax.flatten_util import ravel_pytree

import jaxmlp
from experiments.cockpit import costs, quadratic
from jaxmlp import instruments
from jaxmlp.instruments import Instrument

KEY = jax.random.key(3)
pytestmark = pytest.mark.usefixtures("unoptimised")  # what takes time here is to compile


def assert_close(found, expected, rtol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol), found, expected)


def read(step, chosen, key=KEY):
    """Read several instruments, a dict or names with default settings, in one program."""
    if not isinstance(chosen, dict):
        chosen = {name: getattr(instruments, name)() for name in chosen}
    return jax.jit(lambda: {name: instrument(step, key) for name, instrument in chosen.items()})()


def draw(instrument, step, count=10_000):
    """Read an instrument with many keys."""
    return jax.jit(jax.vmap(lambda key: instrument(step, key)))(jax.random.split(KEY, count))


@pytest.fixture(scope="module")
def closed_forms():
    return quadratic.expected()


@pytest.fixture(scope="module")
def readings(closed_forms):
    """In float64 and in float32."""
    chosen = {name: entry.instrument for name, entry in closed_forms.items()}
    with jax.enable_x64(True):
        exact = read(quadratic.step(), chosen)
    return exact, read(quadratic.step(jnp.float32), chosen)


# A quadratic with known noise and spectrum

NAMES = costs.names()
RANDOM = {"hessian_trace", "critical_batch_size"}


def test_every_instrument_has_a_closed_form(closed_forms):
    assert sorted(closed_forms) == NAMES
    assert {name for name, entry in closed_forms.items() if entry.random} == RANDOM


@pytest.mark.parametrize("name", sorted(set(NAMES) - RANDOM))
def test_the_closed_form_on_a_quadratic(name, closed_forms, readings):
    # Sums of a few products of numbers of the order of 1; the histograms are exact.
    assert_close(readings[0][name], closed_forms[name].value, 1e-12)


@pytest.mark.parametrize("name", sorted(set(NAMES) - RANDOM))
def test_the_closed_form_in_float32(name, closed_forms, readings):
    found = readings[1][name]
    # alpha and the noise scale are differences of nearly equal numbers, which loses a digit or two of seven.
    assert_close(found, closed_forms[name].value, 1e-4)
    assert all(leaf.dtype in (jnp.float32, jnp.int32) for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize("name", ["hessian_trace", "critical_batch_size"])
def test_an_unbiased_estimate_has_the_right_mean_over_ten_thousand_draws(name, closed_forms, x64):
    entry = closed_forms[name]
    draws = np.asarray(draw(entry.instrument, quadratic.step()))
    half_width = 3.3 * draws.std(ddof=1) / np.sqrt(len(draws))  # 99.9 %
    assert 0 < half_width < 0.03 * entry.value
    assert abs(draws.mean() - entry.value) < half_width


@pytest.mark.parametrize("name", ["tic_trace", "tic_diagonal"])
def test_a_ratio_of_estimates_comes_close_with_many_draws(name, closed_forms, x64):
    # The entries of the diagonal have a relative standard error of less than 2 % with 10,000 draws.
    found = read(quadratic.step(), {name: getattr(instruments, name)(draws=10_000)})
    assert_close(found[name], closed_forms[name].value, 0.05)


def test_the_noise_scale_is_unbiased_over_ten_thousand_batches(x64):
    def loss_fn(w, x, y, *, key=None):
        return ((w[None] - x) ** 2).sum(axis=1).mean() / 2

    truth, w = np.array([1.0, 2.0, 0.5]), jnp.array([0.5, 0.5, 0.5])  # standard deviations; the true gradient is w

    def reading(key):
        x = jax.random.normal(key, (8, 3)) * truth[None]
        return instruments.gradient_noise_scale()(jaxmlp.take_step(loss_fn, w, jaxmlp.optimizers.sgd(0.1), (x, None)))

    found = jax.jit(jax.vmap(reading))(jax.random.split(KEY, 10_000))
    for name, expected in (("trace", np.sum(truth**2)), ("signal", 0.75)):
        values = np.asarray(found[name])
        assert abs(values.mean() - expected) < 3.3 * values.std(ddof=1) / 100, name
    # The ratio of the means, as the docstring advises.
    assert found["trace"].mean() / found["signal"].mean() == pytest.approx(5.25 / 0.75, rel=0.1)


def test_early_stopping_is_zero_on_average_at_a_minimum(x64):
    def loss_fn(w, x, y, *, key=None):
        return ((w[None] - x) ** 2).sum(axis=1).mean() / 2

    def reading(key):
        batch = jax.random.normal(key, (64, 3)), None
        step = jaxmlp.take_step(loss_fn, jnp.zeros(3), jaxmlp.optimizers.sgd(0.1), batch)
        return instruments.early_stopping(eps=1e-12)(step)

    found = np.asarray(jax.jit(jax.vmap(reading))(jax.random.split(KEY, 10_000)))
    # B mean^2 / sample variance is F-distributed with 1 and 63 degrees of freedom, whose mean is 63 / 61.
    assert abs(found.mean() - (1 - 63 / 61)) < 3.3 * found.std(ddof=1) / 100


def test_the_moments_of_the_spectrum_are_unbiased(x64):
    found = draw(instruments.hessian_spectrum(iterations=3), quadratic.step())
    for power in (1, 2, 3):  # quadrature with three nodes is exact up to degree 5
        moments = np.asarray((found["weights"] * found["nodes"] ** power).sum(axis=1))
        expected = np.mean(quadratic.LAMBDA**power)
        assert abs(moments.mean() - expected) < 3.3 * moments.std(ddof=1) / 100, power


def test_alpha_says_where_the_step_landed(x64):
    def reading(curvature, rate):
        def loss_fn(w, x, y, *, key=None):
            return curvature * w**2 / 2 + 0 * x.mean()

        step = jaxmlp.take_step(loss_fn, jnp.asarray(1.0), jaxmlp.optimizers.sgd(rate), (jnp.ones(4), None))
        return instruments.alpha()(step)

    # Halfway to the minimum, at it, as high on the other side, higher; and with no minimum ahead.
    curvatures, rates = jnp.array([2.0, 2.0, 2.0, 2.0, -2.0]), jnp.array([0.25, 0.5, 1.0, 1.25, 0.1])
    found = jax.jit(jax.vmap(reading))(curvatures, rates)
    np.testing.assert_allclose(found, [-0.5, 0.0, 1.0, 1.5, -1.0], atol=1e-14)


def test_alpha_is_the_quadratic_of_generalised_least_squares(x64):
    """On a loss that is no quadratic, against the fit by NumPy to four observations with their variances."""

    def loss_fn(w, x, y, *, key=None):
        return jnp.mean(jnp.log(1 + jnp.exp(-y * (x @ w))) + 0.01 * (x @ w) ** 4)

    rng = np.random.default_rng(1)
    x, y, w = rng.normal(size=(20, 3)), rng.choice([-1.0, 1.0], size=20), rng.normal(size=3)
    step = jaxmlp.take_step(loss_fn, jnp.asarray(w), jaxmlp.optimizers.sgd(0.9), (jnp.asarray(x), jnp.asarray(y)))
    u = np.asarray(step.updates)

    def losses(at):
        z = x @ at
        return np.log(1 + np.exp(-y * z)) + 0.01 * z**4

    def slopes(at):
        z = x @ at
        return (-y / (1 + np.exp(y * z)) + 0.04 * z**3) * (x @ u)

    seen = [losses(w), losses(w + u), slopes(w), slopes(w + u)]
    design = np.array([[1, 0, 0], [1, 1, 1], [0, 1, 0], [0, 1, 2.0]])
    inverse = np.diag([1 / np.var(column) for column in seen])
    _, b, c = np.linalg.solve(
        design.T @ inverse @ design, design.T @ inverse @ np.array([column.mean() for column in seen])
    )
    assert float(read(step, ["alpha"])["alpha"]) == pytest.approx(
        -2 * c / b - 1, rel=1e-9
    )  # the normal equations' own error


# NumPy by hand on a small network


def network(key=None, dropout=0.0):
    net = jaxmlp.mlp((4, 5, 3), activation="tanh", dropout=dropout)
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(16, 4)), rng.integers(0, 3, size=16)
    batch = jnp.asarray(x, float), jnp.asarray(y)
    params = jax.tree.map(lambda p: jnp.asarray(p, float), net.init(jax.random.key(0)))
    return jaxmlp.take_step(jaxmlp.objective(net.apply), params, jaxmlp.optimizers.adam(0.01), batch, key=key)


def by_hand(step):
    """The gradient of each example, (16, 43), in the order of the pytree's leaves."""
    params = [(np.asarray(w), np.asarray(b)) for w, b in step.params]
    x, y = np.asarray(step.x), np.asarray(step.y)
    rows = [
        numpy_mlp.loss_and_grads(params, x[i : i + 1], y[i : i + 1], activation="tanh", loss="softmax_cross_entropy")[1]
        for i in range(len(x))
    ]
    order = [jax.tree.leaves(jax.tree.map(np.asarray, jaxmlp.Layer(w=w, b=b))) for row in rows for w, b in row]
    return np.concatenate([leaf.ravel() for leaves in order for leaf in leaves]).reshape(len(x), -1)


def test_the_instruments_of_examples_on_a_network_by_hand(x64):
    step = network()
    grads = by_hand(step)
    mean, count = grads.mean(axis=0), len(grads)
    covariance = np.cov(grads.T)
    across = np.eye(len(mean)) - np.outer(mean, mean) / (mean @ mean)
    u = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(step.updates)])
    trace, signal = np.trace(covariance), mean @ mean - np.trace(covariance) / count
    spread = np.trace(covariance) * (count - 1) / count
    rate, loss = -(u @ mean) / (mean @ mean), float(step.loss)
    expected = {
        "gradient_norm": np.linalg.norm(mean),
        "norm_test": np.sqrt(trace / count) / np.linalg.norm(mean),
        "inner_product_test": np.sqrt(mean @ covariance @ mean / count) / (mean @ mean),
        "orthogonality_test": np.sqrt(np.trace(across @ covariance @ across) / count / (mean @ mean)),
        "mean_gsnr": np.mean(mean**2 / (np.diag(covariance) * (count - 1) / count + 1e-5)),
        "gradient_noise_scale": {"scale": trace / signal, "signal": signal, "trace": trace},
        "early_stopping": 1 - count * np.mean(mean**2 / (np.diag(covariance) + 1e-5)),
        "effective_learning_rate": rate,
        "cabs_batch_size": rate * spread / loss,
        "cabs_learning_rate": count * loss / spread,
        "gradient_histogram": np.histogram(np.clip(grads, -2, 2), np.linspace(-2, 2, 101))[0],
    }
    assert_close(read(step, list(expected)), expected, 1e-11)


# A brute-force Hessian


def test_the_instruments_of_curvature_against_a_brute_force_hessian(x64):
    step = network()
    vector, unravel = ravel_pytree(step.params)
    hessian = np.asarray(jax.hessian(lambda v: step.loss_fn(unravel(v), step.x, step.y))(vector))
    values = np.linalg.eigvalsh(hessian)
    u, g = (np.asarray(ravel_pytree(tree)[0]) for tree in (step.updates, step.grads))
    assert values[0] < 0 < values[-1]  # the Hessian of a network is indefinite
    found = read(step, {k: instruments.hessian_spectrum(iterations=k) for k in (5, 43)})
    found |= read(step, ["largest_eigenvalue", "smallest_eigenvalue"])
    assert values[0] < found[5]["nodes"].min() and found[5]["nodes"].max() < values[-1]  # from the inside
    ends = [found["smallest_eigenvalue"], found["largest_eigenvalue"]]
    np.testing.assert_allclose(ends, values[[0, -1]], atol=1e-6 * values[-1])  # converged long before the last vector
    np.testing.assert_allclose(found[43]["nodes"], values, atol=1e-10 * values[-1])
    along = {"update_curvature": u @ hessian @ u / (u @ u), "optimal_learning_rate": (g @ g) / (g @ hessian @ g)}
    assert_close(read(step, list(along)), along, 1e-11)
    draws = draw(instruments.hessian_trace(draws=1), step)
    assert abs(draws.mean() - np.trace(hessian)) < 3.3 * draws.std(ddof=1) / 100
    expected = 2 * (np.sum(hessian**2) - np.sum(np.diag(hessian) ** 2))
    assert draws.var() == pytest.approx(expected, rel=0.06)  # the standard error of a variance is sqrt(2 / n) or more
    noise = draw(instruments.critical_batch_size(draws=1), step)["noise"]
    assert abs(noise.mean() - np.trace(hessian @ np.cov(by_hand(step).T))) < 3.3 * noise.std(ddof=1) / 100


def test_a_hessian_of_rank_one_ends_lanczos_early():
    def loss_fn(w, x, y, *, key=None):
        return -(jnp.sum(w) ** 2) / 2 + 0 * x.mean()  # eigenvalues -50 and 0

    step = jaxmlp.take_step(loss_fn, jnp.ones(50), jaxmlp.optimizers.sgd(0.1), (jnp.ones(2), None))
    found = draw(instruments.hessian_spectrum(), step, 20)
    assert np.all(np.isfinite(found["nodes"]))
    np.testing.assert_allclose(found["nodes"].min(axis=1), -50, rtol=1e-4)  # float32
    np.testing.assert_allclose(found["nodes"].max(axis=1), 0, atol=1e-3)


# Any loss, any pytree, any optimizer


def test_a_key_of_the_loss_goes_to_each_example_and_to_the_hessian():
    step = network(jax.random.key(1), dropout=0.5)
    chosen = {name: getattr(instruments, name)() for name in ("norm_test", "update_curvature", "alpha")}
    readings = jax.jit(lambda key: {name: one(step._replace(key=key)) for name, one in chosen.items()})
    found, same, other = (readings(jax.random.key(seed)) for seed in (1, 1, 2))
    for name in chosen:
        assert np.isfinite(found[name]) and found[name] == same[name] != other[name]


def test_a_weight_counts_like_so_many_examples(x64):
    """Twice the weight is an example that is there twice, in the mean of the gradients and in the curvature."""
    net, rng = jaxmlp.mlp((4, 5, 3), activation="tanh"), np.random.default_rng(5)
    params = jax.tree.map(lambda p: jnp.asarray(p, float), net.init(jax.random.key(0)))
    x, y = jnp.asarray(rng.normal(size=(6, 4))), jnp.asarray(rng.integers(0, 3, size=6))
    loss_fn, rule, twice = jaxmlp.objective(net.apply), jaxmlp.optimizers.sgd(0.1), jnp.array([0, 0, 1, 2, 3, 4, 5])
    weighted = jaxmlp.take_step(loss_fn, params, rule, (x, y, jnp.array([2.0, 1, 1, 1, 1, 1]) * 3))
    repeated = jaxmlp.take_step(loss_fn, params, rule, (x[twice], y[twice]))
    mean = instruments.example_grads(weighted).mean(axis=0)
    np.testing.assert_allclose(mean, ravel_pytree(repeated.grads)[0], rtol=1e-12, atol=1e-15)
    names = ["update_curvature", "optimal_learning_rate"]
    assert_close(read(weighted, names), read(repeated, names), 1e-12)
    none = jaxmlp.take_step(loss_fn, params, rule, (x, y, jnp.array([0.0, 1, 1, 1, 1, 1])))
    assert np.all(instruments.example_grads(none)[0] == 0)  # not 0 / 0


def test_half_precision_is_measured_in_float32():
    params = {"w": jnp.full(1000, 3e-5, jnp.bfloat16), "b": jnp.ones(2)}
    step = jaxmlp.Step(loss=jnp.zeros(()), params=params, grads=params, updates=params)
    found = instruments.gradient_norm_by_leaf()(step)
    assert found["['w']"].dtype == jnp.float32
    assert float(found["['w']"]) == pytest.approx(1000**0.5 * float(params["w"][0]), rel=1e-5)  # float32 sums


def test_the_learning_rate_is_read_where_it_can_be():
    def reading(optimizer, steps=3):
        state = optimizer.init(jnp.ones(2))
        for index in range(steps):
            batch = jnp.ones((2, 2)), None
            step = jaxmlp.take_step(loss_fn, jnp.ones(2), optimizer, batch, opt_state=state, index=index)
            state = step.opt_state
        found = read(step, ["learning_rate", "effective_learning_rate"])
        return float(found["learning_rate"]), float(found["effective_learning_rate"])

    def loss_fn(w, x, y, *, key=None):
        return ((x @ w) ** 2).mean()

    schedule = optax.linear_schedule(1.0, 0.0, 4)
    for optimizer in (
        jaxmlp.optimizers.sgd(schedule),
        jaxmlp.dialects.torch.sgd(schedule),
        optax.inject_hyperparams(optax.sgd)(schedule),
    ):
        assert reading(optimizer) == (0.5, 0.5)  # at the third step
    given, effective = reading(optax.sgd(0.25))
    assert np.isnan(given) and effective == 0.25


def test_a_batch_of_one_has_no_noise_to_measure():
    step = network()
    batch = step.x[:1], step.y[:1]
    one = jaxmlp.take_step(step.loss_fn, step.params, jaxmlp.optimizers.sgd(0.1), batch)
    names = ["alpha", "norm_test", "inner_product_test", "orthogonality_test"]
    finite = {name: bool(np.isfinite(value)) for name, value in read(one, names).items()}
    assert finite == {name: name == "alpha" for name in names}


def test_equal_settings_make_equal_hashable_instruments():
    for name in NAMES:
        make = getattr(instruments, name)
        assert make(every=5) == make(every=5) != make() and hash(make(every=5)) == hash(make(every=5))
    assert instruments.largest_eigenvalue(iterations=5) != instruments.largest_eigenvalue()
    assert dataclasses.is_dataclass(Instrument)


@pytest.mark.parametrize(
    ("every", "error", "message"),
    [(0, ValueError, "every must be at least 1, got 0"), (2.5, TypeError, "every must be an integer, got 2.5")],
)
def test_a_bad_interval_is_refused(every, error, message):
    with pytest.raises(error, match=message):
        instruments.loss(every=every)


def test_a_measure_must_be_a_function():
    with pytest.raises(TypeError, match="measure must be a function"):
        Instrument(3.0)


def test_weights_of_classes_count_in_what_is_measured_of_examples():
    net, y = jaxmlp.mlp((2, 3)), np.array([0, 0, 1, 2, 0, 1])
    x, table = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32), np.array([1.0, 9.0, 3.0], np.float32)
    params, sgd = net.init(jax.random.key(0)), jaxmlp.optimizers.sgd(0.1)
    by_class = jaxmlp.take_step(jaxmlp.objective(net.apply, class_weight=table), params, sgd, (x, y))
    by_example = jaxmlp.take_step(jaxmlp.objective(net.apply), params, sgd, (x, y, table[y]))
    means = instruments.example_grads(by_class).mean(axis=0)
    np.testing.assert_allclose(means, np.concatenate([np.ravel(g) for g in by_class.grads[0]]), rtol=1e-5, atol=1e-6)
    norm_test = instruments.norm_test()
    np.testing.assert_allclose(norm_test(by_class), norm_test(by_example), rtol=1e-4)


def one_step(rate=0.1, batch=4, optimizer=None):
    def loss_fn(w, x, y, *, key=None):
        return ((w[None] - x) ** 2).sum(axis=1).mean() / 2

    optimizer = jaxmlp.optimizers.sgd(rate) if optimizer is None else optimizer
    x = jnp.asarray(np.random.default_rng(0).normal(size=(batch, 3)), jnp.float32)
    return jaxmlp.take_step(loss_fn, jnp.ones(3), optimizer, (x, None))


def test_a_batch_of_one_says_nothing_of_noise():
    names = "mean_gsnr", "early_stopping", "cabs_batch_size", "cabs_learning_rate", "norm_test"
    assert all(np.isnan(getattr(instruments, name)()(one_step(batch=1))) for name in names)


def test_a_step_of_length_0_made_no_progress():
    assert instruments.alpha()(one_step(rate=0.0)) == -1


def test_a_learning_rate_is_found_inside_a_chain():
    injected = optax.inject_hyperparams(optax.sgd)(0.25)
    assert instruments.learning_rate()(one_step(optimizer=optax.chain(optax.clip(1.0), injected))) == 0.25
    assert instruments.learning_rate()(one_step(optimizer=injected)) == 0.25


def test_gradients_go_through_what_may_be_0():
    def measured(w):
        step = one_step()._replace(params=w, start=jnp.ones(3))
        return instruments.largest_eigenvalue()(step, jax.random.key(0)) + instruments.distance()(step)

    assert np.isfinite(jax.grad(measured)(jnp.ones(3))).all()
