"""Every rule of every dialect: its defaults, its closed form, what the libraries share, and its use."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import numpy_dialects
import optax
import pytest
from replays import replay, run_each

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


def given(library, rule, which):
    """What of those settings the factory is told: of its defaults nothing, so that they are tested as well."""
    settings = settings_of(library, rule, which)
    defaults = DEFAULTS[library, rule]
    return settings if which == "away" else {n: v for n, v in settings.items() if v != defaults.get(n)}


def schedule(count):
    """Never constant, so that a step's rate cannot pass for its neighbour's."""
    return 0.05 / (1 + 0.1 * jnp.asarray(count, float))


SCHEDULED_RATES = 0.05 / (1 + 0.1 * np.arange(STEPS))  # the same in NumPy


@functools.cache
def random_gradients():
    """One row for each size of gradients, from 1e-8 to 1e4, and one whose size changes with every step."""
    rng = np.random.default_rng(0)
    sizes = [np.broadcast_to(10.0 ** np.arange(-8, 5, 2), (STEPS, 7)), 10 ** rng.uniform(-3, 1, (STEPS, 1))]
    sizes = np.concatenate(sizes, axis=1)
    return sizes[:, :, None] * rng.normal(size=(STEPS, 8, 5))


def assert_rows_agree(updates, expected, tolerance, name=""):
    """Compare (T, rows, n) by max|a - b| / max|b| in each row of each step."""
    assert updates.shape == expected.shape
    error, size = (np.abs(np.asarray(v, np.float64)).max(axis=2) for v in (updates - expected, expected))
    step, row = np.unravel_index(np.argmax(error - tolerance * size), error.shape)
    report = f"{name} row {row} at step {step + 1}: off by {error[step, row]:.2e} of {size[step, row]:.2e}"
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


@functools.cache
def all_updates(which, rate, dtype):
    """Updates of the random gradients by every rule of every dialect, in one program for both kinds of settings."""
    rules = {
        f"{library} {rule}": make(library, rule, learning_rate=rate, **given(library, rule, which))
        for library, rule, other in CASES
        if other == which
    }
    return jax.device_get(run_each(rules, random_gradients().astype(dtype)))


@pytest.mark.parametrize("rate", [0.05, pytest.param(schedule, marks=pytest.mark.slow)], ids=["number", "schedule"])
@pytest.mark.parametrize(("library", "rule", "which"), CASES)
def test_updates_equal_the_closed_form(library, rule, which, rate, x64):
    rates = SCHEDULED_RATES if callable(rate) else np.full(STEPS, rate)
    settings = settings_of(library, rule, which)
    expected = numpy_dialects.DIALECTS[library, rule](random_gradients(), rates, **settings)
    updates = all_updates(which, rate, "float64")[f"{library} {rule}"]
    # NumPy's b2^t and XLA's differ in the last bit, 1.1e-16, which 1 - b2^t = t (1 - b2) divides by 1e-3 t and a root
    # halves: 5.5e-14 / t, and the first power is exact. The sums of 400 terms add some 1e-15.
    assert_rows_agree(updates, expected, 4e-14)


@pytest.mark.slow
@pytest.mark.parametrize(("library", "rule", "which"), CASES)
def test_updates_equal_the_closed_form_in_float32(library, rule, which):
    settings, rates = settings_of(library, rule, which), np.full(STEPS, 0.05)
    expected = numpy_dialects.DIALECTS[library, rule](random_gradients(), rates, **settings)
    updates = all_updates(which, 0.05, "float32")[f"{library} {rule}"]
    # 0.999 in float32 is off by up to 3e-8, 1 - b2 therefore by up to 3e-5, and its root by 1.5e-5; roundings add 1e-6.
    assert_rows_agree(updates, expected, 2e-5)


@pytest.mark.slow
def test_at_a_constant_rate_every_momentum_is_one_rule(x64):
    # Under the name of each dialect's rule, the library's own: that of textbooks at its rate times 1 - momentum.
    libraries = ("torch", "keras", "sklearn")
    factors = {(library, rule): 1.0 for library in libraries for rule in ("momentum", "nesterov")}
    factors["textbook", "momentum"] = 1 - 0.6
    theirs = {f"{library} {rule}": make(library, rule, learning_rate=0.1, momentum=0.6) for library, rule in factors}
    ours = {
        f"{library} {rule}": getattr(optimizers, rule)(0.1 * factors[library, rule], 0.6) for library, rule in factors
    }
    updates, expected = updates_of(theirs), updates_of(ours)
    for name in updates:
        assert_rows_agree(updates[name], expected[name], 1e-14, name)  # a rounding a step of 1.1e-16, the last matter


def updates_of(rules, grads=None):
    return jax.device_get(run_each(rules, random_gradients() if grads is None else grads))


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_of_textbooks_is_the_plain_one_at_its_rate_times_1_minus_momentum(momentum, x64):
    rate = 0.1
    rules = {
        "average": dialects.textbook.momentum(rate, momentum),
        "same": optimizers.momentum(rate * (1 - momentum), momentum),
        "plain": optimizers.momentum(rate, momentum),
    }
    updates = updates_of(rules)
    # A rounding a step of 1.1e-16, of which the last 1 / (1 - momentum) matter; two of them in the product.
    assert_rows_agree(updates["average"], updates["same"], 1e-14)
    assert_rows_agree(updates["plain"], updates["average"] / (1 - momentum), 1e-14)


@pytest.mark.slow
def test_without_eps_every_adam_rmsprop_and_adagrad_is_one_rule(x64):
    settings = {"adam": {"b1": 0.8, "b2": 0.95}, "rmsprop": {"decay": 0.8}, "adagrad": {"initial_accumulator": 0.01}}
    libraries = ("torch", "keras", "textbook")
    cases = [(library, rule) for library in libraries for rule in settings] + [("sklearn", "adam")]
    rules = {
        f"{library} {rule}": make(library, rule, learning_rate=0.1, eps=0.0, **settings[rule])
        for library, rule in cases
    }
    ours = {rule: getattr(optimizers, rule)(0.1, eps=0.0, **settings[rule]) for rule in settings}
    updates = updates_of(rules | ours)
    for library, rule in cases:
        # Corrections before and after the root: a few roundings.
        assert_rows_agree(updates[f"{library} {rule}"], updates[rule], 1e-14, f"{library} {rule}")


@pytest.mark.slow
def test_amsgrad_of_growing_gradients_is_adam_where_the_raw_moment_is_meant(x64):
    grads = np.linspace(1.0, 5.0, STEPS)[:, None, None] * np.ones((1, 8, 5))
    cases = [(library, rule) for library in ("torch", "keras") for rule in ("amsgrad", "adam")]
    updates = updates_of({" ".join(case): make(*case, learning_rate=0.1, eps=1e-3) for case in cases}, grads)
    for library in ("torch", "keras"):  # the raw moment only grows, so that it is its own maximum
        assert_rows_agree(updates[f"{library} amsgrad"], updates[f"{library} adam"], 1e-14, library)


def test_dampening_spares_the_first_gradient_and_a_rule_without_momentum(x64):
    grads = np.zeros((STEPS, 8, 5))
    grads[0] = 4.0

    def rules(rate, momentum):
        return {"damped": dialects.torch.momentum(rate, momentum, dampening=0.9), "sgd": optimizers.sgd(rate)}

    damped = updates_of(rules(1.0, 0.5), grads)["damped"]
    np.testing.assert_array_equal(damped[:3, 0, 0], [-4.0, -2.0, -1.0])
    updates = updates_of(rules(0.1, 0.0))
    np.testing.assert_array_equal(updates["damped"], updates["sgd"])


@functools.cache
def updates_after_nothing(which):
    grads = random_gradients().astype(np.float32)
    grads[0], grads[:, :, 1] = 0, 0
    rules = {
        f"{library} {rule}": make(library, rule, learning_rate=0.1, **given(library, rule, which))
        for library, rule, other in CASES
        if other == which
    }
    return grads, updates_of(rules, grads)


@pytest.mark.slow
@pytest.mark.parametrize(("library", "rule", "which"), CASES)
def test_a_zero_gradient_on_the_first_step_moves_nothing_and_leaves_no_trace(library, rule, which):
    grads, updates = updates_after_nothing(which)
    updates = updates[f"{library} {rule}"]
    np.testing.assert_array_equal(updates[0], 0)
    np.testing.assert_array_equal(updates[:, :, 1], 0)
    assert np.all(np.isfinite(updates))
    np.testing.assert_array_equal(np.sign(updates[1, :, 0]), -np.sign(grads[1, :, 0]))


@pytest.mark.slow
@pytest.mark.parametrize(("library", "rule"), DEFAULTS)
def test_a_dialect_trains_a_nested_pytree_and_compiles_nothing_for_other_settings(library, rule):
    params = {
        "w": np.asarray([3.0, -2.0], "f"),
        "b": (jnp.asarray(1.0, jnp.bfloat16), np.zeros((0, 2), "f")),
        "none": None,
    }
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
    train, params, state = trained_by_sgd()
    with pytest.raises(ValueError, match="another optimizer"):
        train(params, resumed_by, state=state._replace(opt_state=made_by.init(params)))


@functools.cache
def trained_by_sgd():
    """How to train, and the parameters and the state of one such training."""

    def loss(params, x, y, *, key=None):
        return ((params * x - y) ** 2).mean()

    def train(params, optimizer, **settings):
        return jaxmlp.fit(loss, params, optimizer, data, key=jax.random.key(0), epochs=1, batch_size=4, **settings)

    data = (np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32))
    first = train(np.ones((1, 1), np.float32), optimizers.sgd(0.1))
    return train, first.params, first.state


@pytest.mark.slow
def test_a_dialect_drops_into_optax(x64):
    def rmsprop():
        return dialects.torch.rmsprop(0.1)

    @jax.jit
    def both(grads):
        injected = optax.inject_hyperparams(dialects.torch.rmsprop)(learning_rate=0.1)
        chained = optax.chain(optax.scale(2.0), rmsprop(), optax.scale(0.5))
        return replay(injected, grads), replay(chained, grads)

    grads = random_gradients()
    plain, doubled = (updates_of({"plain": rmsprop()}, g)["plain"] for g in (grads, 2 * grads))
    with jax.numpy_dtype_promotion("standard"):
        injected, chained = jax.device_get(both(grads))
    assert_rows_agree(injected, plain, 1e-14)  # another program, so other fusions
    assert_rows_agree(chained, doubled / 2, 1e-14)
