"""Every rule of every dialect: its defaults, its closed form, what the libraries share, and its use."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import numpy_dialects
import optax
import pytest

import jaxmlp
from jaxmlp import dialects, optimizers

STEPS = 400

# (library, rule) -> its own defaults, as its documentation states them; without a learning rate where it has none.
DEFAULTS = {
    ("torch", "sgd"): {"learning_rate": 1e-3},
    ("torch", "momentum"): {"learning_rate": 1e-3, "momentum": 0.0, "dampening": 0.0},
    ("torch", "nesterov"): {"learning_rate": 1e-3},  # PyTorch's momentum of 0 cannot be used with it
    ("torch", "adagrad"): {"learning_rate": 1e-2, "initial_accumulator": 0.0, "eps": 1e-10},
    ("torch", "rmsprop"): {"learning_rate": 1e-2, "decay": 0.99, "eps": 1e-8},
    ("torch", "adam"): {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8},
    ("torch", "amsgrad"): {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8},
    ("keras", "sgd"): {"learning_rate": 1e-2},
    ("keras", "momentum"): {"learning_rate": 1e-2, "momentum": 0.0},
    ("keras", "nesterov"): {"learning_rate": 1e-2, "momentum": 0.0},
    ("keras", "adagrad"): {"learning_rate": 1e-3, "initial_accumulator": 0.1, "eps": 1e-7},
    ("keras", "rmsprop"): {"learning_rate": 1e-3, "decay": 0.9, "eps": 1e-7},
    ("keras", "adam"): {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-7},
    ("keras", "amsgrad"): {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-7},
    ("sklearn", "sgd"): {"learning_rate": 1e-3},
    ("sklearn", "momentum"): {"learning_rate": 1e-3, "momentum": 0.9},
    ("sklearn", "nesterov"): {"learning_rate": 1e-3, "momentum": 0.9},
    ("sklearn", "adam"): {"learning_rate": 1e-3, "b1": 0.9, "b2": 0.999, "eps": 1e-8},
    ("textbook", "sgd"): {},
    ("textbook", "momentum"): {"momentum": 0.9},
    ("textbook", "nesterov"): {"momentum": 0.9},
    ("textbook", "adagrad"): {"initial_accumulator": 0.0, "eps": 1e-7},
    ("textbook", "rmsprop"): {"decay": 0.9, "eps": 1e-6},
    ("textbook", "adam"): {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
    ("textbook", "amsgrad"): {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
}

# Away from all defaults: with eps of 1e-3 its place in the formula is an error of percents, not of millionths.
AWAY = {
    "momentum": 0.6,
    "dampening": 0.3,
    "initial_accumulator": 0.03,
    "eps": 1e-3,
    "decay": 0.7,
    "b1": 0.8,
    "b2": 0.95,
}
CASES = [(*case, which) for case in numpy_dialects.DIALECTS for which in ("defaults", "away")]


def make(library, rule, **settings):
    return getattr(getattr(dialects, library), rule)(**settings)


def settings_of(library, rule, which):
    """The rule's settings but its learning rate: its defaults, with a momentum where that is 0 or none, or others."""
    defaults = {name: value for name, value in DEFAULTS[library, rule].items() if name != "learning_rate"}
    if rule == "nesterov":
        defaults = {"momentum": 0.0} | defaults
    if which == "away":
        return {name: AWAY[name] for name in defaults}
    return defaults | ({"momentum": 0.9} if defaults.get("momentum") == 0 else {})


@jax.jit
def replay(optimizer, grads):
    """Updates of successive gradients, stacked along the first axis like the gradients.

    The optimizer's numbers are arguments of the compiled program, so that other settings compile nothing.
    """
    params = jax.tree.map(lambda g: jnp.zeros_like(g[0]), grads)

    def step(state, g):
        updates, state = optimizer.update(g, state, params)
        return state, updates

    return jax.lax.scan(step, optimizer.init(params), grads)[1]


def given(library, rule, which):
    """What of those settings the factory is told: of its defaults nothing, so that they are tested as well."""
    settings = settings_of(library, rule, which)
    defaults = DEFAULTS[library, rule]
    return settings if which == "away" else {n: v for n, v in settings.items() if v != defaults.get(n)}


def replay_closure(optimizer, grads):
    """The same for an optimizer that is no pytree, as optax builds them."""
    return jax.jit(lambda: replay.__wrapped__(optimizer, grads))()


def schedule(count):
    """Never constant, so that a step's rate cannot pass for its neighbour's."""
    return 0.05 / (1 + 0.1 * jnp.asarray(count, float))


def random_gradients():
    """One row for each size of gradients, from 1e-8 to 1e4, and one whose size changes with every step."""
    rng = np.random.default_rng(0)
    sizes = [np.broadcast_to(10.0 ** np.arange(-8, 5, 2), (STEPS, 7)), 10 ** rng.uniform(-3, 1, (STEPS, 1))]
    sizes = np.concatenate(sizes, axis=1)
    return sizes[:, :, None] * rng.normal(size=(STEPS, 8, 5))


def assert_rows_agree(updates, expected, tolerance):
    """Compare (T, rows, n) by max|a - b| / max|b| in each row of each step."""
    assert updates.shape == expected.shape
    error, size = (np.abs(np.asarray(v, np.float64)).max(axis=2) for v in (updates - expected, expected))
    step, row = np.unravel_index(np.argmax(error - tolerance * size), error.shape)
    report = f"row {row} at step {step + 1}: off by {error[step, row]:.2e} of {size[step, row]:.2e}"
    assert np.all(error <= tolerance * size), report


@pytest.mark.parametrize("library", ["torch", "keras", "sklearn", "textbook"])
def test_a_dialect_has_the_rules_and_the_defaults_of_its_library(library):
    module = getattr(dialects, library)
    public = {n: f for n, f in vars(module).items() if inspect.isfunction(f) and f.__module__ == module.__name__}
    found = {(library, name): defaults(f) for name, f in public.items() if not name.startswith("_")}
    assert found == {key: value for key, value in DEFAULTS.items() if key[0] == library}


def defaults(factory):
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@pytest.mark.parametrize("rate", [0.05, schedule], ids=["number", "schedule"])
@pytest.mark.parametrize(("library", "rule", "which"), CASES)
def test_updates_equal_the_closed_form(library, rule, which, rate, x64):
    settings, grads = settings_of(library, rule, which), random_gradients()
    rates = np.asarray([schedule(t) if callable(rate) else rate for t in range(STEPS)])
    expected = numpy_dialects.DIALECTS[library, rule](grads, rates, **settings)
    updates = replay(make(library, rule, learning_rate=rate, **given(library, rule, which)), jnp.asarray(grads))
    # NumPy's b2^t and XLA's differ in the last bit, 1.1e-16, which 1 - b2^t = t (1 - b2) divides by 1e-3 t and a root
    # halves: 5.5e-14 / t, and the first power is exact. The sums of 400 terms add some 1e-15.
    assert_rows_agree(np.asarray(updates), expected, 4e-14)


@pytest.mark.parametrize(("library", "rule", "which"), CASES)
def test_updates_equal_the_closed_form_in_float32(library, rule, which):
    settings, grads = settings_of(library, rule, which), random_gradients()
    rates = np.full(STEPS, 0.05)
    expected = numpy_dialects.DIALECTS[library, rule](grads, rates, **settings)
    optimizer = make(library, rule, learning_rate=0.05, **given(library, rule, which))
    updates = replay(optimizer, jnp.asarray(grads, jnp.float32))
    # 0.999 in float32 is off by up to 3e-8, 1 - b2 therefore by up to 3e-5, and its root by 1.5e-5; roundings add 1e-6.
    assert_rows_agree(np.asarray(updates), expected, 2e-5)


@pytest.mark.parametrize(
    ("library", "rule", "name", "factor"),
    [
        ("torch", "momentum", "momentum", 1),
        ("torch", "nesterov", "nesterov", 1),
        ("keras", "momentum", "momentum", 1),
        ("keras", "nesterov", "nesterov", 1),
        ("sklearn", "momentum", "momentum", 1),
        ("sklearn", "nesterov", "nesterov", 1),
        ("textbook", "momentum", "momentum", 1 - 0.6),
    ],
)
def test_at_a_constant_rate_every_momentum_is_one_rule(library, rule, name, factor, x64):
    grads = jnp.asarray(random_gradients())
    updates = replay(make(library, rule, learning_rate=0.1, momentum=0.6), grads)
    expected = replay(getattr(optimizers, name)(0.1 * factor, 0.6), grads)
    assert_rows_agree(updates, expected, 1e-14)  # a rounding a step of 1.1e-16, of which the last few matter


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_of_textbooks_is_the_plain_one_at_its_rate_times_1_minus_momentum(momentum, x64):
    grads, rate = jnp.asarray(random_gradients()), 0.1
    average = replay(dialects.textbook.momentum(rate, momentum), grads)
    same = replay(optimizers.momentum(rate * (1 - momentum), momentum), grads)
    plain = replay(optimizers.momentum(rate, momentum), grads)
    # A rounding a step of 1.1e-16, of which the last 1 / (1 - momentum) matter; two of them in the product.
    assert_rows_agree(average, same, 1e-14)
    assert_rows_agree(plain, average / (1 - momentum), 1e-14)


def test_without_eps_every_adam_is_one_rule(x64):
    grads = jnp.asarray(random_gradients())
    expected = replay(optimizers.adam(0.1, 0.8, 0.95, eps=0.0), grads)
    for library in ("torch", "keras", "sklearn", "textbook"):
        updates = replay(make(library, "adam", learning_rate=0.1, b1=0.8, b2=0.95, eps=0.0), grads)
        assert_rows_agree(updates, expected, 1e-14)  # corrections before and after the root: a few roundings


def test_without_eps_every_rmsprop_and_adagrad_is_one_rule(x64):
    grads = jnp.asarray(random_gradients())
    for rule, settings in {"rmsprop": {"decay": 0.8}, "adagrad": {"initial_accumulator": 0.01}}.items():
        expected = replay(getattr(optimizers, rule)(0.1, eps=0.0, **settings), grads)
        for library in ("torch", "keras", "textbook"):
            updates = replay(make(library, rule, learning_rate=0.1, eps=0.0, **settings), grads)
            assert_rows_agree(updates, expected, 1e-14)  # a few roundings


def test_amsgrad_of_growing_gradients_is_adam_where_the_raw_moment_is_meant(x64):
    grads = jnp.asarray(np.linspace(1.0, 5.0, STEPS)[:, None, None] * np.ones((1, 8, 5)))
    for library in ("torch", "keras"):
        pair = [replay(make(library, rule, learning_rate=0.1, eps=1e-3), grads) for rule in ("amsgrad", "adam")]
        assert_rows_agree(*pair, 1e-14)  # the raw moment only grows, so that it is its own maximum


def test_dampening_spares_the_first_gradient_and_a_rule_without_momentum(x64):
    grads = jnp.asarray([4.0, 0.0, 0.0])
    updates = replay(dialects.torch.momentum(1.0, 0.5, dampening=0.9), grads)
    np.testing.assert_array_equal(updates, [-4.0, -2.0, -1.0])
    random = jnp.asarray(random_gradients())
    plain = replay(dialects.torch.momentum(0.1, 0.0, dampening=0.9), random)
    np.testing.assert_array_equal(plain, replay(optimizers.sgd(0.1), random))


@pytest.mark.parametrize(("library", "rule", "which"), CASES)
def test_a_zero_gradient_on_the_first_step_moves_nothing_and_leaves_no_trace(library, rule, which):
    grads = random_gradients().astype(np.float32)
    grads[0], grads[:, :, 1] = 0, 0
    optimizer = make(library, rule, learning_rate=0.1, **settings_of(library, rule, which))
    updates = replay(optimizer, jnp.asarray(grads))
    np.testing.assert_array_equal(updates[0], 0)
    np.testing.assert_array_equal(updates[:, :, 1], 0)
    assert np.all(np.isfinite(updates))
    np.testing.assert_array_equal(np.sign(updates[1, :, 0]), -np.sign(grads[1, :, 0]))


@pytest.mark.parametrize(("library", "rule"), DEFAULTS)
def test_a_dialect_trains_a_nested_pytree_and_compiles_nothing_for_other_settings(library, rule):
    params = {"w": jnp.asarray([3.0, -2.0]), "b": (jnp.asarray(1.0, jnp.bfloat16), jnp.zeros((0, 2))), "none": None}
    data, traces = (np.zeros((4, 1), np.float32), np.zeros((4, 1), np.float32)), []

    def loss(params, x, y, *, key=None):
        traces.append(1)
        return ((params["w"] - 1) ** 2).mean() + (params["b"][0].astype(jnp.float32) - 2) ** 2

    def run(scale):
        settings = {name: scale * value for name, value in settings_of(library, rule, "away").items()}
        optimizer = make(library, rule, learning_rate=0.1 * scale, **settings)
        return jaxmlp.fit(loss, params, optimizer, data, key=jax.random.key(0), epochs=30, batch_size=4)

    first = run(1.0)
    assert first.history.train_loss[-1] < first.history.train_loss[0]
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), params, first.params)
    assert all(jax.tree.leaves(same))
    count = len(traces)
    second = run(0.5)
    assert len(traces) == count
    assert not np.array_equal(first.params["w"], second.params["w"])


@pytest.mark.parametrize(("library", "rule"), DEFAULTS)
def test_a_value_out_of_range_is_an_error_that_names_it(library, rule):
    settings = settings_of(library, rule, "away")
    for name in ("learning_rate", *settings):
        with pytest.raises(ValueError, match=f"{name} must be in"):
            make(library, rule, **{"learning_rate": 0.1, **settings, name: -0.5})


def test_nesterov_of_torch_requires_a_momentum_and_refuses_0():
    with pytest.raises(TypeError, match="required keyword-only argument: 'momentum'"):
        dialects.torch.nesterov(0.1)
    with pytest.raises(ValueError, match=r"momentum must be in \(0, 1\); got 0.0"):
        dialects.torch.nesterov(0.1, momentum=0.0)
    optimizer = dialects.torch.nesterov(momentum=0.9)
    assert sorted(jax.tree.leaves(optimizer)) == [1e-3, 0.9]


@pytest.mark.parametrize(
    ("made_by", "resumed_by"),
    [
        (dialects.torch.momentum(0.1, 0.9), dialects.keras.momentum(0.1, 0.9)),
        (dialects.keras.nesterov(0.1, 0.9), optimizers.nesterov(0.1, 0.9)),
        (dialects.sklearn.momentum(0.1), dialects.textbook.momentum(0.1)),
        (dialects.textbook.momentum(0.1), optimizers.momentum(0.1)),
        (optimizers.amsgrad(0.1), dialects.torch.amsgrad(0.1)),
        (dialects.keras.amsgrad(0.1), optimizers.amsgrad(0.1)),
        (dialects.textbook.amsgrad(0.1), optimizers.amsgrad(0.1)),
    ],
)
def test_a_state_that_means_something_else_is_refused(made_by, resumed_by):
    def loss(params, x, y, *, key=None):
        return ((params * x - y) ** 2).mean()

    data = (np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32))
    first = jaxmlp.fit(loss, jnp.ones((1, 1)), made_by, data, key=jax.random.key(0), epochs=1, batch_size=4)
    with pytest.raises(ValueError, match="another optimizer"):
        jaxmlp.fit(
            loss, first.params, resumed_by, data, key=jax.random.key(0), epochs=1, batch_size=4, state=first.state
        )


def test_a_dialect_drops_into_optax(x64):
    grads = jnp.asarray(random_gradients())
    plain = replay(dialects.torch.rmsprop(0.1), grads)
    with jax.numpy_dtype_promotion("standard"):
        injected = replay_closure(optax.inject_hyperparams(dialects.torch.rmsprop)(learning_rate=0.1), grads)
        chained = replay_closure(optax.chain(optax.scale(2.0), dialects.torch.rmsprop(0.1), optax.scale(0.5)), grads)
    assert_rows_agree(injected, plain, 1e-14)  # another program, so other fusions
    doubled = replay(dialects.torch.rmsprop(0.1), 2 * grads)
    assert_rows_agree(chained, doubled / 2, 1e-14)
