"""sweep against fit called once for every run."""

import functools
import gc
import threading
import types
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from noisy_loss import noisy

import jaxmlp
from jaxmlp import optimizers
from jaxmlp.training import devices
from jaxmlp.training.memory import bytes_needed
from jaxmlp.training.settings import applied, thread_settings

RATES = [0.01, 0.1, 1e30]
KEYS = jax.random.split(jax.random.key(7), 3)


def problem(dtype=np.float32):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 5)).astype(dtype), rng.integers(0, 3, 50)
    net = jaxmlp.mlp((5, 7, 3), initializer="glorot_uniform", dtype=dtype)
    options = {"epochs": 3, "batch_size": 25, "validation": (x, y), "metrics": {"accuracy": jaxmlp.accuracy(net.apply)}}
    return net, noisy(jaxmlp.objective(net.apply, l2=1e-4)), (x, y), options


def sweep(optimizer=optimizers.adam, grid=None, dtype=np.float32, **more):
    net, loss_fn, train, options = problem(dtype)
    grid = {"learning_rate": RATES} if grid is None else grid
    return jaxmlp.sweep(loss_fn, net.init, optimizer, grid, train, **{"keys": KEYS, **options, **more})


def alone(optimizer, key, dtype=np.float32):
    net, loss_fn, train, options = problem(dtype)
    init_key, fit_key = jax.random.split(key)
    return jaxmlp.fit(loss_fn, net.init(init_key), optimizer, train, key=fit_key, **options)


def projected(learning_rate):
    return optax.chain(optimizers.momentum(learning_rate), optimizers.max_norm(1.0))


@functools.cache
def projected_alone():
    """The losses of one of the runs of the two tests below."""
    with jax.numpy_dtype_promotion("standard"):  # optax.chain over closures
        return np.asarray(alone(projected(0.1), KEYS[2]).history.train_loss)


def leaves(tree):
    return [
        jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf)
        for leaf in jax.tree.leaves(tree)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_on_a_cpu_every_run_is_fit_alone_bit_for_bit(dtype):
    # In float64 too, though the setting belongs to the calling thread and the runs go to others.
    with jax.enable_x64(dtype == np.float64):
        results = sweep(dtype=dtype)
        assert results.params[0].w.dtype == dtype
        for i, rate in enumerate(RATES):
            for k, key in enumerate(KEYS):
                single_run = alone(optimizers.adam(rate), key, dtype)
                for swept, single in zip(leaves(results), leaves(single_run), strict=True):
                    np.testing.assert_array_equal(swept[i, k], single)


@pytest.mark.slow
def test_vectorised_runs_in_pieces_are_fit_alone_up_to_rounding():
    results = sweep(execution="vmap", runs_at_once=2)  # 9 runs: 5 pieces of 2, the last one filled up
    expected = sweep()
    assert results.history.train_loss.shape == (3, 3, 3)
    # The same float32 operations as batched products, 12 steps of Adam.
    np.testing.assert_allclose(results.history.train_loss, expected.history.train_loss, rtol=1e-5)
    np.testing.assert_array_equal(results.history.first_nonfinite_step, expected.history.first_nonfinite_step)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["threads", "vmap"])
def test_a_factory_that_chains_runs_from_one_compile_too(execution, compile_log):
    results = sweep(projected, execution=execution)
    assert len([name for name in compile_log if name in ("jit(_compiled_factory)", "jit(_compiled_piece)")]) == 1
    np.testing.assert_allclose(results.history.train_loss[1, 2], projected_alone(), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["threads", "vmap"])
def test_a_hundred_points_are_one_compile(execution, compile_log):
    grid = {"learning_rate": np.logspace(-4, 0, 100), "b1": np.linspace(0.5, 0.95, 100)}

    def run():
        net, loss_fn, train, options = problem()
        options |= {"keys": KEYS[:1], "execution": execution, "history_only": True}
        return jaxmlp.sweep(loss_fn, net.init, optimizers.adam, grid, train, **options)

    results = run()
    assert len([name for name in compile_log if name in ("jit(_run)", "jit(_compiled_piece)")]) <= 1
    assert results.history.train_loss.shape == (100, 1, 3) and results.params is None
    compile_log.clear()
    run()
    assert compile_log == []


@pytest.mark.slow
def test_a_diverged_run_says_when_and_spoils_no_neighbour():
    for options in ({"execution": "threads"}, {"execution": "vmap", "runs_at_once": 2}):
        history = sweep(**options).history
        assert (history.first_nonfinite_step[2] >= 0).all() and (history.first_nonfinite_step[:2] == -1).all()
        assert np.isfinite(history.train_loss[:2]).all()


@pytest.mark.slow
def test_every_optimizer_and_point_starts_from_the_same_weights():
    still = sweep(optimizers.adam, {"learning_rate": [0.0, 0.0]})
    other = sweep(optimizers.adagrad, {"learning_rate": [0.0]})
    np.testing.assert_array_equal(still.params[0].w[0], still.params[0].w[1])
    np.testing.assert_array_equal(still.params[0].w[0], other.params[0].w[0])
    assert not np.array_equal(still.params[0].w[0, 0], still.params[0].w[0, 1])


@pytest.mark.slow
def test_sweep_goes_through_jit_and_grad():
    unmeasured = {"validation": None, "metrics": None}

    def best(rate):
        results = sweep(optimizers.sgd, {"learning_rate": jnp.stack([rate, 2 * rate])}, **unmeasured)
        return results.history.train_loss[:, :, -1].mean()

    value, slope = jax.jit(jax.value_and_grad(best))(jnp.float32(0.01))
    assert np.isfinite(value) and np.isfinite(slope) and slope != 0


@pytest.mark.slow
def test_progress_counts_every_run():
    for options in ({"execution": "threads"}, {"execution": "vmap", "runs_at_once": 2}):
        seen = []
        sweep(on_run=lambda done, total, seen=seen: seen.append((done, total)), **options)
        assert seen[-1] == (9, 9) and seen == sorted(seen)


def test_an_error_in_a_run_ends_the_sweep():
    def broken(learning_rate):
        if not isinstance(learning_rate, jax.core.Tracer) and learning_rate > 0.5:
            raise RuntimeError("broken factory")
        return optimizers.sgd(learning_rate)

    with pytest.raises(RuntimeError, match="broken factory"):
        sweep(broken)


BAD = [
    ({"grid": {"lerning_rate": [0.1]}}, ValueError, "Did you mean 'learning_rate'"),
    ({"grid": {"learning_rate": [0.1, -1]}}, ValueError, "learning_rate must be in"),
    ({"grid": {"learning_rate": [0.1, 0.2], "b1": [0.9]}}, ValueError, "of one length"),
    ({"grid": {}}, ValueError, "at least one argument"),
    ({"grid": {"learning_rate": ["a"]}}, TypeError, "numbers"),
    ({"execution": "thread"}, ValueError, "Did you mean 'threads'"),
    ({"runs_at_once": 0}, ValueError, "runs_at_once must be at least 1"),
    ({"optimizer": "adam"}, TypeError, "optimizer must be a factory"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD, ids=lambda value: str(value)[:40])
def test_bad_arguments_are_refused_before_anything_is_compiled(options, error, message, compile_log):
    with pytest.raises(error, match=message):
        sweep(**options)
    assert not {"jit(_run)", "jit(_compiled_piece)"} & set(compile_log)


@pytest.mark.slow
def test_threads_keep_the_settings_of_the_caller():
    with jax.threefry_partitionable(False):
        results = sweep()
        for k, key in enumerate(KEYS):
            expected = alone(optimizers.adam(RATES[0]), key).history.train_loss
            np.testing.assert_array_equal(results.history.train_loss[0, k], expected)
    assert not np.array_equal(results.history.train_loss[0], sweep().history.train_loss[0])


def test_threads_are_refused_inside_a_trace():
    with pytest.raises(ValueError, match="needs concrete arguments"):
        jax.jit(lambda rate: sweep(grid={"learning_rate": rate[None]}, execution="threads"))(jnp.float32(0.1))


# Another value than the usual one for every setting of JAX that a context manager can change for one thread.
OTHER_VALUES = {
    "array_garbage_collection_guard": "log",
    "default_device": jax.devices()[-1],
    "default_matmul_precision": "highest",
    "default_prng_impl": "rbg",
    "legacy_prng_key": "warn",
    "numpy_dtype_promotion": "standard",  # the tests run with "strict" and "raise"
    "numpy_rank_promotion": "warn",
    "transfer_guard_device_to_device": "log",
    "transfer_guard_device_to_host": "log",
    "transfer_guard_host_to_device": "log",
}


def test_every_setting_that_jax_keeps_per_thread_is_known():
    # The context managers in JAX's namespace, by their type; the one of jax2tf has nothing to do with training.
    managers = {name for name, value in vars(jax).items() if isinstance(value, type(jax.enable_x64))}
    assert managers - {"jax2tf_associative_scan_reductions"} <= set(thread_settings())
    assert {"enable_x64", "disable_jit", "debug_nans", "default_device"} <= set(thread_settings())


@pytest.mark.parametrize("name", sorted(set(thread_settings()) - {"transfer_guard"}))
def test_another_thread_takes_over_every_setting_of_the_caller(name):
    usual = thread_settings()[name]
    other = OTHER_VALUES.get(name, not usual)
    seen = []

    def work(settings):
        with applied(settings):
            seen.append(thread_settings())
        seen.append(thread_settings())

    with getattr(jax, name)(other):
        settings = thread_settings()
    assert settings[name] == other != usual
    thread = threading.Thread(target=work, args=(settings,))
    thread.start()
    thread.join()
    assert seen == [settings, settings | {name: usual}]


@pytest.mark.slow
def test_sweeps_of_fresh_functions_leave_nothing_behind():
    x, y = np.ones((4, 2), np.float32), np.zeros(4, np.float32)
    functions = []

    def run():
        apply = lambda params, x: x @ params  # noqa: E731 - a closure of the user, new every time
        init_fn, factory = lambda key: jnp.ones(2), lambda learning_rate: optimizers.sgd(learning_rate)
        loss_fn = lambda params, x, y, *, key=None: jnp.mean((apply(params, x) - y) ** 2)  # noqa: E731
        jaxmlp.sweep(loss_fn, init_fn, factory, {"learning_rate": [0.1]}, (x, y), keys=KEYS[:2], epochs=1, batch_size=4)
        functions.extend(weakref.ref(function) for function in (apply, init_fn, factory, loss_fn))

    for _ in range(5):
        run()
    jax.clear_caches()  # JAX keeps compiled programs, and with them what they were compiled from
    gc.collect()
    assert len(functions) == 20 and not any(function() for function in functions)


def sweep_of_lines(**more):
    """Six runs that compile quickly."""
    x, y = problem()[2]

    def squares(w, x, y, *, key=None):
        return jnp.mean((x @ w - y.astype(jnp.float32)) ** 2)

    def normal(key):
        return jax.random.normal(key, (5,))

    options = {"keys": KEYS, "epochs": 2, "batch_size": 25, "shuffle": False, **more}
    return jaxmlp.sweep(squares, normal, optimizers.sgd, {"learning_rate": RATES[:2]}, (x, y), **options)


@pytest.mark.slow
def test_vectorised_runs_are_divided_over_the_devices(compile_log):
    assert len(jax.local_devices()) == 2
    # 6 runs: 2 pieces of 2 on each device, the last one filled up
    divided = sweep_of_lines(execution="vmap", runs_at_once=2)
    assert compile_log.count("jit(_compiled_piece)") == 1
    with jax.default_device(jax.local_devices()[1]):
        single = sweep_of_lines(execution="vmap", runs_at_once=2)
    for two, one in zip(leaves(divided), leaves(single), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-7)  # batched products of the same size
    assert {leaf.sharding for leaf in jax.tree.leaves(divided)} == {divided.params.sharding}
    assert divided.params.devices() == {jax.local_devices()[0]}


@pytest.mark.slow
def test_threads_on_several_accelerators_give_the_same_bits(monkeypatch):
    expected = sweep_of_lines(execution="threads")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for several, one in zip(leaves(sweep_of_lines(execution="threads")), leaves(expected), strict=True):
        np.testing.assert_array_equal(several, one)


MEMORY = {  # layer sizes, training and validation examples, options
    "shuffle": ((2, 2, 2), 60_000, None, {}),
    "validation": ((16, 32, 10), 4_000, 2_000, {"keep_best": True, "shuffle": False}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMORY)
def test_the_memory_of_a_run_is_estimated_from_above_within_a_factor_of_two(name):
    sizes, n, validation, options = MEMORY[name]
    net = jaxmlp.mlp(sizes)

    def examples(n):
        return jax.ShapeDtypeStruct((n, sizes[0]), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.int32)

    def run(key, *given):
        init_key, fit_key = jax.random.split(key)
        start = jaxmlp.objective(net.apply), net.init(init_key), optimizers.adam(0.1), given[0]
        settings = {"key": fit_key, "epochs": 2, "batch_size": 64, "validation": dict(enumerate(given)).get(1)}
        return jaxmlp.fit(*start, **settings, **options)

    given = [examples(count) for count in (n, validation) if count]
    estimate = bytes_needed(jax.make_jaxpr(run)(jax.random.key(0), *given))
    keys, axes = jax.random.split(jax.random.key(0), 8), (0, *[None] * len(given))
    memory = jax.jit(jax.vmap(run, axes)).lower(keys, *given).compile().memory_analysis()
    assert memory is not None
    assert 1.0 <= 8 * estimate / (memory.temp_size_in_bytes + memory.output_size_in_bytes) <= 2.0


@pytest.mark.slow
def test_a_vectorised_sweep_with_patience_copies_no_examples():
    net, keys = jaxmlp.mlp((64, 2)), jax.random.split(jax.random.key(0), 8)
    x, y = jax.ShapeDtypeStruct((2_000, 64), jnp.float32), jax.ShapeDtypeStruct((2_000,), jnp.int32)

    def run(x, y):
        runs = jaxmlp.objective(net.apply), net.init, optimizers.sgd, {"learning_rate": [0.1]}, (x, y)
        options = {"keys": keys, "epochs": 2, "batch_size": 100, "patience": 1, "execution": "vmap"}
        return jaxmlp.sweep(*runs, **options, validation=(x[:10], y[:10]))

    memory = jax.jit(run).lower(x, y).compile().memory_analysis()
    assert memory is not None and memory.temp_size_in_bytes < 2 * 2_000 * 64 * 4  # of a copy for each run, 8 or more


def test_runs_that_fit_use_half_of_the_device_with_the_least_free_memory(monkeypatch):
    def device(limit, used):
        return types.SimpleNamespace(memory_stats=lambda: {"bytes_limit": limit, "bytes_in_use": used})

    def one(x):
        return jax.lax.scan(lambda total, row: (total + row, total), jnp.zeros(()), x)[1]

    needed = bytes_needed(jax.make_jaxpr(one)(jnp.zeros(1000)))
    assert 4000 <= needed <= 8000
    monkeypatch.setattr(devices, "local_devices", lambda: [device(10**6, 0), device(10**6, 10**6 - 20 * needed)])
    assert devices.runs_that_fit(one, (jnp.zeros(1000),)) == 10
    monkeypatch.setattr(devices, "local_devices", jax.local_devices)
    assert devices.runs_that_fit(one, (jnp.zeros(1000),)) == 2**31  # a CPU does not tell
