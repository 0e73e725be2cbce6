"""The activations: values and slopes, kinks, extreme inputs, lookup by name."""

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
# A formula here is at most about 20 operations, each off by 1.1e-16 of numbers no larger than the largest result:
# 2.2e-15. One of them cancels, 1 - tanh(u)^2 in the slope of gelu_tanh: off by 2.2e-16, it is multiplied by
# x u'(x) / 2 < 9 on the grid, 2e-15. Together 4.2e-15; float32 rounds 2^29 times as coarsely.
FLOAT64 = 5e-15
FLOAT32 = FLOAT64 * 2**29


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_agree_with_the_hand_derivation(x64, name):
    assert_agrees(name, jnp.asarray(GRID), FLOAT64)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_slopes_agree_in_float32(name):
    assert_agrees(name, jnp.asarray(GRID, jnp.float32), FLOAT32)


@pytest.mark.parametrize(
    ("name", "value", "slope"),
    [("relu", 0, 0), ("leaky_relu", 0, 1), ("elu", 0, 1), ("step", 1, 0), ("identity", 0, 1), ("silu", 0, 0.5)],
)
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_value_and_slope_at_zero_are_the_stated_ones(name, value, slope, zero, dtype):
    actual = jax.value_and_grad(activations.get(name))(jnp.array(zero, dtype))
    assert actual == (value, slope)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "step"])
def test_forward_and_reverse_mode_agree_at_the_kink(name):
    function, zero = activations.get(name), jnp.zeros(())
    assert jax.jacfwd(function)(zero) == jax.jacrev(function)(zero)


def test_step_has_no_slope_anywhere():
    slopes = jax.vmap(jax.grad(activations.step))(jnp.linspace(-2, 2, 9))
    np.testing.assert_array_equal(slopes, 0)


def test_gelu_is_the_exact_one_and_gelu_tanh_its_approximation(x64):
    one = jnp.ones(())
    # Phi(1) = 0.841344746068542948... (tables of the normal distribution), here to 17 digits, so to rounding error.
    assert float(activations.gelu(one)) == pytest.approx(0.84134474606854295, rel=1e-15)
    # The approximation is known to be off by up to 5e-4, and at 1 by more than 1e-4.
    assert 1e-4 < abs(float(activations.gelu(one) - activations.gelu_tanh(one))) < 5e-4


@pytest.mark.parametrize("name", NAMES)
def test_value_and_slope_stay_finite_far_from_zero(name):
    far = jnp.array([-1e4, -100.0, 100.0, 1e4])
    expected = numpy_mlp.ACTIVATIONS[name](np.asarray(far, np.float64))
    # Entry by entry, since the tails differ by 10^45; what is below the smallest normal float32 may be flushed to 0.
    np.testing.assert_allclose(value_and_slope(name, far), expected, rtol=FLOAT32, atol=2.0**-126)


@pytest.mark.parametrize("name", NAMES)
def test_nan_passes_through(name):
    assert np.isnan(activations.get(name)(jnp.array(jnp.nan)))


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


@pytest.mark.parametrize("steepness", [0.25, 1, 4.0])
def test_a_steep_sigmoid_has_its_value_and_slope(x64, steepness):
    steep = activations.steep_sigmoid(steepness)
    values, slopes = jax.vmap(jax.value_and_grad(steep))(jnp.asarray(GRID))
    expected = 1 / (1 + np.exp(-steepness * GRID))
    np.testing.assert_allclose(values, expected, rtol=FLOAT64)
    # 1 - s, off by 1.1e-16, is as small as exp(-20) = 2e-9 on the grid.
    np.testing.assert_allclose(slopes, steepness * expected * (1 - expected), rtol=FLOAT64, atol=2e-15)
    assert float(jax.grad(steep)(jnp.zeros(()))) == steepness / 4


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_a_steep_sigmoid_keeps_the_dtype_and_nears_the_step(dtype):
    x = jnp.array([-1.0, -0.25, 0.25, 1.0], dtype)
    out = activations.steep_sigmoid(1e3)(x)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, activations.step(x))  # exp(-250) is 0 in all of them


def test_steep_sigmoids_of_equal_steepness_are_one_function_and_compile_once(compile_log):
    assert activations.steep_sigmoid(4) == activations.steep_sigmoid(4.0) != activations.steep_sigmoid(2.0)
    assert hash(activations.steep_sigmoid(4)) == hash(activations.steep_sigmoid(4.0))
    x, y = jnp.ones((4, 2)), jnp.ones(4)

    def train():
        net = jaxmlp.mlp((2, 2, 1), activation=activations.steep_sigmoid(4.0))
        params = tuple(jaxmlp.Layer(jnp.ones((2, units)), jnp.zeros(units)) for units in (2, 1))
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


def assert_agrees(name, z, rtol):
    for actual, expected in zip(
        value_and_slope(name, z), numpy_mlp.ACTIVATIONS[name](np.asarray(z, np.float64)), strict=True
    ):
        assert actual.dtype == z.dtype
        error = np.max(np.abs(np.asarray(actual, np.float64) - expected))
        assert error <= rtol * np.max(np.abs(expected))


def value_and_slope(name, z):
    """Values, and slopes as the push-forward of ones: each entry of z moves its own value only."""
    return jax.jit(lambda z: jax.jvp(activations.get(name), (z,), (jnp.ones_like(z),)))(z)
