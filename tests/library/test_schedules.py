"""The schedules against optax's, and schedules of every kind in fit and sweep: right numbers, few compiles."""

import functools
import gc
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmlp
from jaxmlp import optimizers, schedules

STEPS = 12
COUNTS = np.arange(STEPS + 4)
OPTAX = {
    "constant": (lambda peak: schedules.constant(peak), lambda peak: optax.constant_schedule(peak)),
    "cosine": (
        lambda peak: schedules.cosine(peak, STEPS, end=0.1),
        lambda peak: optax.cosine_decay_schedule(peak, STEPS, 0.1),
    ),
    "linear": (
        lambda peak: schedules.linear(peak, STEPS, end=0.1),
        lambda peak: optax.linear_schedule(peak, 0.1 * peak, STEPS),
    ),
    "warmup_cosine": (
        lambda peak: schedules.warmup_cosine(peak, 5, STEPS, start=0.2, end=0.1),
        lambda peak: optax.warmup_cosine_decay_schedule(0.2 * peak, peak, 5, STEPS, 0.1 * peak),
    ),
}
TRAIN = np.ones((STEPS, 1), np.float32), np.zeros(STEPS, np.float32)
KEYS = jax.random.split(jax.random.key(0), 2)


def falling(params, x, y, *, key=None):
    """A loss of slope -1 everywhere: after a run of sgd from 0, params are the sum of its learning rates."""
    return -params


def run(optimizer):
    return jaxmlp.fit(falling, jnp.float32(0), optimizer, TRAIN, key=KEYS[0], epochs=1, batch_size=1)


def sweep(factory, rates=(0.5, 0.25, 0.125), **options):
    start = jnp.float32(0)
    grid = {"learning_rate": np.asarray(rates)}
    options = {"epochs": 1, "batch_size": 1, "keys": KEYS} | options
    with jax.numpy_dtype_promotion("standard"):  # for optax's own rules
        return jaxmlp.sweep(falling, lambda key: start, factory, grid, TRAIN, **options).params


def programs(compile_log):
    return len(
        [name for name in compile_log if name in ("jit(_run)", "jit(_compiled_factory)", "jit(_compiled_piece)")]
    )


def total(schedule):
    with jax.numpy_dtype_promotion("standard"):
        return sum(float(schedule(step)) for step in range(STEPS))


@pytest.mark.parametrize("name", OPTAX)
@pytest.mark.parametrize("wide", [False, True])
def test_each_schedule_is_the_one_of_optax_at_every_step(name, wide):
    ours, theirs = OPTAX[name]
    with jax.enable_x64(wide):
        with jax.numpy_dtype_promotion("standard"):
            expected = [theirs(0.3)(count) for count in COUNTS]
        found = jax.jit(jax.vmap(ours(0.3)))(jnp.asarray(COUNTS))
        assert found.dtype == (np.float64 if wide else np.float32)
        # The peak is multiplied before or after: three roundings of 6e-8 (1.1e-16) of values below 0.3; in float64
        # optax computes some of its shapes in float32.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", OPTAX)
def test_a_peak_may_be_traced_mapped_and_differentiated(name):
    ours, _ = OPTAX[name]
    rates = jnp.asarray([0.1, 0.2])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(lambda peak: ours(peak)(7))))(rates)
    np.testing.assert_allclose(values, rates * slopes, rtol=1e-6)  # linear in the peak; float32
    np.testing.assert_allclose(slopes, ours(1.0)(7), rtol=1e-6)


@pytest.mark.parametrize("name", OPTAX)
def test_the_rates_are_leaves_and_equal_settings_are_equal(name):
    ours, _ = OPTAX[name]
    assert jax.tree.leaves(ours(0.5))[0] == 0.5
    assert jax.tree.structure(ours(0.5)) == jax.tree.structure(ours(0.25))
    assert ours(0.5) == ours(0.5) != ours(0.25) and hash(ours(0.5)) == hash(ours(0.5))
    assert pickle.loads(pickle.dumps(ours(0.5))) == ours(0.5)
    assert 0.5 in jax.tree.leaves(optimizers.adam(ours(0.5)))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: schedules.cosine(-0.1, 10), ValueError, r"peak must be in \[0, inf\)"),
        (lambda: schedules.cosine(0.1, 0), ValueError, "steps must be at least 1"),
        (lambda: schedules.linear(0.1, 10.5), TypeError, "steps must be an integer"),
        (lambda: schedules.linear(0.1, 10, end=2), ValueError, r"end is a fraction of peak.*\[0, 1\]; got 2"),
        (lambda: schedules.warmup_cosine(0.1, 10, 10), ValueError, "must be more than warmup_steps, 10"),
        (lambda: schedules.warmup_cosine(0.1, 0, 10), ValueError, "warmup_steps must be at least 1"),
        (lambda: schedules.get("cosin"), ValueError, "Did you mean 'cosine'"),
        (lambda: schedules.constant(np.ones(2)), ValueError, "peak must be one number"),
    ],
)
def test_arguments_are_checked(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_another_peak_or_end_compiles_nothing_in_fit(compile_log):
    results = [
        run(optimizers.sgd(schedules.cosine(peak, STEPS, end=end))) for peak, end in ((0.5, 0.0), (0.25, 0), (0.5, 0.5))
    ]
    assert programs(compile_log) <= 1
    for result, (peak, end) in zip(results, ((0.5, 0.0), (0.25, 0.0), (0.5, 0.5)), strict=True):
        # 12 float32 sums.
        assert float(result.params) == pytest.approx(total(schedules.cosine(peak, STEPS, end=end)), rel=1e-6)


LENGTH = 6


def reads_a_global(learning_rate):
    return optimizers.sgd(optax.linear_schedule(learning_rate, 0.0, LENGTH))


def by_closure(learning_rate):
    share = optax.cosine_decay_schedule(1.0, STEPS)
    return optimizers.sgd(lambda count: learning_rate * share(count))


@functools.cache
def cached(learning_rate):
    return by_closure(float(learning_rate))


COSINE = {  # every way to write the same schedule
    "ours": lambda learning_rate: optimizers.sgd(schedules.cosine(learning_rate, STEPS)),
    "ours in a chain": lambda learning_rate: optax.chain(optimizers.sgd(schedules.cosine(learning_rate, STEPS))),
    "ours in optax's rule": lambda learning_rate: optax.sgd(schedules.cosine(learning_rate, STEPS)),
    "optax's in our rule": lambda learning_rate: optimizers.sgd(optax.cosine_decay_schedule(learning_rate, STEPS)),
    "optax's in optax's": lambda learning_rate: optax.sgd(optax.cosine_decay_schedule(learning_rate, STEPS)),
    "a closure": by_closure,
}


@pytest.mark.parametrize("name", COSINE)
def test_a_schedule_built_in_a_factory_compiles_once_in_a_sweep(name, compile_log):
    params = sweep(COSINE[name])
    assert programs(compile_log) == 1
    expected = [[total(schedules.cosine(rate, STEPS))] * 2 for rate in (0.5, 0.25, 0.125)]
    np.testing.assert_allclose(params, expected, rtol=1e-6)  # 12 float32 sums


@pytest.mark.slow
def test_a_schedule_built_in_a_factory_compiles_once_when_runs_are_vectorised(compile_log):
    params = sweep(by_closure, execution="vmap")
    assert programs(compile_log) == 1
    np.testing.assert_allclose(params, sweep(COSINE["ours"]), rtol=1e-6)


def test_the_same_factory_written_again_compiles_nothing(compile_log):
    def build(slope):
        return lambda learning_rate: optimizers.sgd(lambda count: learning_rate / (slope + count))

    first = sweep(build(3.0))
    compile_log.clear()
    np.testing.assert_array_equal(sweep(build(3.0)), first)
    assert programs(compile_log) == 0
    assert not np.array_equal(sweep(build(2.0)), first)
    assert programs(compile_log) == 1


@pytest.mark.parametrize("execution", ["threads", "vmap"])
def test_a_factory_that_reads_a_number_which_has_changed_is_not_taken_for_what_it_was(execution, monkeypatch):
    for length in (6, 3, 6):
        monkeypatch.setattr(f"{__name__}.LENGTH", length)
        params = sweep(reads_a_global, (0.5,), keys=KEYS[:1], execution=execution)
        assert float(params[0, 0]) == pytest.approx(0.5 * (length + 1) / 2, rel=1e-6)


def needs_a_float(learning_rate):
    rate = float(learning_rate)
    return optimizers.sgd(lambda count: rate / (1 + count))


def test_a_factory_that_needs_python_numbers_compiles_once_a_point_and_says_so(compile_log):
    with pytest.warns(UserWarning, match=r"each of the 3 points .* compiled on its own; .*warmup_cosine"):
        params = sweep(needs_a_float)
    assert programs(compile_log) == 3  # and not once for each of the 6 runs
    expected = [[rate * sum(1 / np.arange(1, STEPS + 1))] * 2 for rate in (0.5, 0.25, 0.125)]
    np.testing.assert_allclose(params, expected, rtol=1e-6)
    with pytest.raises(TypeError, match=r"traced hyperparameters \(ConcretizationTypeError.*use jax\.numpy"):
        sweep(needs_a_float, execution="vmap")
    with pytest.raises(TypeError, match="traced hyperparameters"):
        jax.jit(lambda rates: sweep_of(needs_a_float, rates))(jnp.ones(2))


def sweep_of(factory, rates):
    grid = {"learning_rate": rates}
    return jaxmlp.sweep(falling, lambda key: jnp.float32(0), factory, grid, TRAIN, keys=KEYS, epochs=1, batch_size=1)


@pytest.mark.filterwarnings("ignore:the optimizer cannot be built")
def test_a_factory_that_remembers_what_it_built_has_the_numbers_of_each_point():
    params = sweep(cached)
    np.testing.assert_allclose(params, sweep(by_closure), rtol=1e-6)


def test_a_factory_whose_rule_depends_on_its_numbers_builds_each_as_it_is():
    def factory(learning_rate):
        rule = optimizers.momentum if learning_rate > 0.3 else optimizers.nesterov
        return rule(learning_rate, 0.5)

    velocity = np.cumsum(0.5 ** np.arange(STEPS))
    expected = [0.5 * velocity.sum(), *(rate * (1 + 0.5 * velocity).sum() for rate in (0.25, 0.125))]
    np.testing.assert_allclose(sweep(factory)[:, 0], expected, rtol=1e-6)  # 12 float32 sums


def test_fit_never_takes_one_closure_for_another():
    def rule(rate):
        return optimizers.sgd(lambda count: rate + 0.0 * count.astype(float))

    for index in range(6):
        rate = 2.0**-index
        assert float(run(rule(rate)).params) == rate * STEPS
        gc.collect()  # so that the next closure may lie at the address of this one
    with jax.numpy_dtype_promotion("standard"):
        for rate in (0.5, 0.25):
            assert float(run(optax.sgd(lambda count, rate=rate: rate)).params) == rate * STEPS


@pytest.mark.slow
def test_a_sweep_of_a_schedule_is_fit_alone_bit_for_bit():
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    net, train = jaxmlp.mlp((5, 7, 3)), (x, np.argmax(x[:, :3], axis=1))
    loss_fn, options = jaxmlp.objective(net.apply), {"epochs": 3, "batch_size": 16}
    factory = lambda learning_rate: optimizers.adam(schedules.warmup_cosine(learning_rate, 3, 9))  # noqa: E731
    swept = jaxmlp.sweep(loss_fn, net.init, factory, {"learning_rate": [0.1, 0.01]}, train, keys=KEYS, **options)
    init_key, fit_key = jax.random.split(KEYS[1])
    alone = jaxmlp.fit(loss_fn, net.init(init_key), factory(np.float32(0.01).item()), train, key=fit_key, **options)
    np.testing.assert_array_equal(swept.history.train_loss[1, 1], alone.history.train_loss)
