"""The activations: values and slopes, kinks, extreme inputs, lookup by name."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_mlp
import pytest

import jaxmlp
from jaxmlp import activations

NAMES = sorted(activations.ACTIVATIONS)
# Both sides of every kink; 0 itself and the far tails have tests of their own.
GRID = np.concatenate([-np.geomspace(5, 1e-3, 40), np.geomspace(1e-3, 5, 40)])
FAR = [-1e4, -100.0, 100.0, 1e4]
# A formula here is at most about 20 operations, each off by 1.1e-16 of numbers no larger than the largest result:
# 2.2e-15. One of them cancels, 1 - sigmoid(2 u) in the slope of gelu_tanh: off by 5.5e-17, it is multiplied by
# 2 x u'(x) < 36 on the grid, 2e-15. Together 4.2e-15; float32 rounds 2^29 times as coarsely.
FLOAT64 = 5e-15
FLOAT32 = FLOAT64 * 2**29


@functools.cache
def values_and_slopes(dtype):
    """Of every activation: on the grid, far from 0, and of not a number; slopes push ones forward.

    Each entry moves its own value only, so all of them may be one array.
    """
    points = np.concatenate([GRID, FAR, [np.nan]]).astype(dtype)

    @jax.jit
    def pushed(z):
        return {name: jax.jvp(activations.get(name), (z,), (jnp.ones_like(z),)) for name in NAMES}

    results = jax.device_get(pushed(points))
    parts = {"grid": slice(len(GRID)), "far": slice(len(GRID), -1), "nan": slice(-1, None)}
    return {
        part: (points[where], {name: (v[where], d[where]) for name, (v, d) in results.items()})
        for part, where in parts.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_agree_with_the_hand_derivation(x64, name):
    assert_agrees(name, "float64", FLOAT64)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_agree_in_float32(name):
    assert_agrees(name, "float32", FLOAT32)


@functools.cache
def at_zero(dtype):
    """Of every activation, the value and slope at 0 and at -0; and of the kinked ones by both modes at 0."""

    @jax.jit
    def at(zeros):
        pairs = {name: [jax.value_and_grad(activations.get(name))(zero) for zero in zeros] for name in STATED}
        modes = {name: [mode(activations.get(name))(zeros[0]) for mode in (jax.jacfwd, jax.jacrev)] for name in KINKED}
        return pairs, modes

    return jax.device_get(at([jnp.asarray(zero, dtype) for zero in (0.0, -0.0)]))


STATED = {"relu": (0, 0), "leaky_relu": (0, 1), "elu": (0, 1), "step": (1, 0), "identity": (0, 1), "silu": (0, 0.5)}
KINKED = ["relu", "leaky_relu", "elu", "step"]


@pytest.mark.parametrize("name", STATED)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_value_and_slope_at_zero_are_the_stated_ones(name, dtype):
    pairs = at_zero(dtype)[0][name]
    assert pairs == [STATED[name], STATED[name]]
    assert {number.dtype for pair in pairs for number in pair} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("name", KINKED)
def test_forward_and_reverse_mode_agree_at_the_kink(name):
    forward, reverse = at_zero(jnp.float32)[1][name]
    assert forward == reverse


def test_step_has_no_slope_anywhere():
    slopes = jax.jit(jax.vmap(jax.grad(activations.step)))(np.linspace(-2, 2, 9, dtype=np.float32))
    np.testing.assert_array_equal(slopes, 0)


def test_gelu_is_the_exact_one_and_gelu_tanh_its_approximation(x64):
    exact, approximate = jax.jit(lambda x: (activations.gelu(x), activations.gelu_tanh(x)))(1.0)
    # Phi(1) = 0.841344746068542948... (tables of the normal distribution), here to 17 digits, so to rounding error.
    assert float(exact) == pytest.approx(0.84134474606854295, rel=1e-15)
    # The approximation is known to be off by up to 5e-4, and at 1 by more than 1e-4.
    assert 1e-4 < abs(float(exact) - float(approximate)) < 5e-4


@pytest.mark.parametrize("name", NAMES)
def test_value_and_slope_stay_finite_far_from_zero(name):
    far, actual = values_and_slopes("float32")["far"]
    expected = numpy_mlp.ACTIVATIONS[name](far.astype(np.float64))
    # Entry by entry, since the tails differ by 10^45; what is below the smallest normal float32 may be flushed to 0.
    np.testing.assert_allclose(actual[name], expected, rtol=FLOAT32, atol=2.0**-126)


@pytest.mark.parametrize("name", NAMES)
def test_nan_passes_through(name):
    assert np.isnan(values_and_slopes("float32")["nan"][1][name][0])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_dtype_are_kept(name, dtype):
    out = jax.eval_shape(activations.get(name), jax.ShapeDtypeStruct((2, 3, 1), dtype))
    assert (out.shape, out.dtype) == ((2, 3, 1), dtype)


def test_a_callable_is_taken_as_it_is():
    assert activations.get(jnp.sin) is jnp.sin


def test_every_name_finds_the_function_of_that_name():
    for name in NAMES:
        assert activations.get(name) is getattr(activations, name)


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known_ones():
    with pytest.raises(ValueError, match=r"unknown activation 'sigmiod'.*tanh.*Did you mean 'sigmoid'\?"):
        activations.get("sigmiod")
    with pytest.raises(ValueError, match=r"unknown activation 'zzz'; known: elu, gelu.*tanh\.$"):
        activations.get("zzz")


@pytest.mark.parametrize("wrong", [None, 3, ["relu"]])
def test_neither_name_nor_function_is_a_type_error(wrong):
    with pytest.raises(TypeError, match="name or a function, got"):
        activations.get(wrong)


@functools.cache
def steep_values_and_slopes():
    points = np.append(GRID, 0.0)
    functions = {steepness: activations.steep_sigmoid(steepness) for steepness in (0.25, 1, 4.0)}
    return jax.device_get(
        jax.jit(lambda z: {k: jax.vmap(jax.value_and_grad(f))(z) for k, f in functions.items()})(points)
    )


@pytest.mark.parametrize("steepness", [0.25, 1, 4.0])
def test_a_steep_sigmoid_has_its_value_and_slope(x64, steepness):
    values, slopes = steep_values_and_slopes()[steepness]
    expected = 1 / (1 + np.exp(-steepness * GRID))
    np.testing.assert_allclose(values[:-1], expected, rtol=FLOAT64)
    # 1 - s, off by 1.1e-16, is as small as exp(-20) = 2e-9 on the grid.
    np.testing.assert_allclose(slopes[:-1], steepness * expected * (1 - expected), rtol=FLOAT64, atol=2e-15)
    assert float(slopes[-1]) == steepness / 4


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_a_steep_sigmoid_keeps_the_dtype_and_nears_the_step(dtype):
    x = np.array([-1.0, -0.25, 0.25, 1.0], dtype)
    out, step = jax.jit(lambda x: (activations.steep_sigmoid(1e3)(x), activations.step(x)))(x)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, step)  # exp(-250) is 0 in all of them


@pytest.mark.slow
def test_steep_sigmoids_of_equal_steepness_are_one_function_and_compile_once(compile_log):
    assert activations.steep_sigmoid(4) == activations.steep_sigmoid(4.0) != activations.steep_sigmoid(2.0)
    assert hash(activations.steep_sigmoid(4)) == hash(activations.steep_sigmoid(4.0))
    x, y = np.ones((4, 2), "f"), np.ones(4, "f")

    def train():
        net = jaxmlp.mlp((2, 2, 1), activation=activations.steep_sigmoid(4.0))
        params = tuple(jaxmlp.Layer(np.ones((2, units), "f"), np.zeros(units, "f")) for units in (2, 1))
        loss_fn = jaxmlp.objective(net.apply, "mean_squared_error")
        settings = {"key": jax.random.key(0), "epochs": 2, "batch_size": 4}
        return jaxmlp.fit(loss_fn, params, jaxmlp.optimizers.sgd(0.1), (x, y), **settings)

    train()
    compile_log.clear()
    train()
    assert compile_log == []


@pytest.mark.parametrize("wrong", [0, -1.0, float("inf"), float("nan")])
def test_a_steepness_that_is_not_finite_and_positive_is_refused(wrong):
    with pytest.raises(ValueError, match=r"steepness must be in \(0, inf\); got"):
        activations.steep_sigmoid(wrong)


def test_a_steepness_that_is_no_number_is_a_type_error():
    with pytest.raises(TypeError, match="steepness must be a real number; got 'steep'"):
        activations.steep_sigmoid("steep")


def assert_agrees(name, dtype, rtol):
    points, results = values_and_slopes(dtype)["grid"]
    for actual, expected in zip(results[name], numpy_mlp.ACTIVATIONS[name](points.astype(np.float64)), strict=True):
        assert actual.dtype == dtype
        error = np.max(np.abs(actual.astype(np.float64) - expected))
        assert error <= rtol * np.max(np.abs(expected))
