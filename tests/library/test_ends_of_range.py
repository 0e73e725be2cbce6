"""At the ends of a dtype's range, finite input gives a finite result and gradient, but for documented limits."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp
from jaxmlp import dialects, optimizers
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.losses import LOSSES

DTYPES = ("float32", "bfloat16", "float64")
MODULES = (optimizers, dialects.torch, dialects.keras, dialects.sklearn, dialects.textbook)
RULES = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in optimizers.OPTIMIZERS
    if hasattr(module, name)
}


def ends(dtype):
    """Zero, subnormal, smallest normal, one and largest numbers of both signs."""
    info = jnp.finfo(dtype)
    sizes = [float(info.smallest_subnormal), float(info.smallest_normal), 1.0, float(info.max) ** 0.5, float(info.max)]
    return np.array([0.0, *sizes, *(-size for size in sizes)], jnp.dtype(dtype))


@pytest.fixture(params=DTYPES)
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, dtype):
    x = jnp.asarray(ends(dtype))
    y, pull = jax.vjp(ACTIVATIONS[name], x)
    (slope,) = pull(jnp.ones_like(y))
    assert y.dtype == slope.dtype == dtype
    assert np.all(np.isfinite(np.asarray(y, float))), y
    assert np.all(np.isfinite(np.asarray(slope, float))), slope


@pytest.mark.slow
@pytest.mark.parametrize("name", ["softmax_cross_entropy", "binary_cross_entropy", "mean_absolute_error"])
def test_losses_of_logits_up_to_a_quarter_of_the_largest_number(name, dtype):
    """Above that, differences and sums of logits overflow, as the losses' page says."""
    z = ends(dtype)[:, None] / np.asarray(4, jnp.dtype(dtype)) * np.array([[1, -1, 1]], jnp.dtype(dtype))
    for row in z:
        targets = jnp.zeros(1, int) if name.startswith("soft") else jnp.zeros((1, 3), dtype)
        value, gradient = jax.value_and_grad(LOSSES[name])(jnp.asarray(row)[None], targets)
        assert np.isfinite(float(value)) and np.all(np.isfinite(np.asarray(gradient, float))), row


@pytest.mark.slow
def test_equal_logits_give_equal_shares(dtype):
    for each in ends(dtype) / np.asarray(4, jnp.dtype(dtype)):
        outputs = jnp.full((1, 4), each)
        value, gradient = jax.value_and_grad(LOSSES["softmax_cross_entropy"])(outputs, jnp.zeros(1, int))
        assert float(value) == pytest.approx(np.log(4), rel=1e-6)  # float32's digits, and a few roundings
        np.testing.assert_array_equal(np.asarray(gradient, float), [[-0.75, 0.25, 0.25, 0.25]])


@pytest.mark.slow
def test_the_squared_error_is_finite_up_to_the_root_of_the_largest_number(dtype):
    wide = "float32" if dtype == "bfloat16" else dtype
    for each in ends(dtype):
        value, gradient = jax.value_and_grad(LOSSES["mean_squared_error"])(
            jnp.asarray([[each]]), jnp.zeros((1, 1), dtype)
        )
        assert np.isfinite(float(value)) == (float(each) * float(each) <= float(jnp.finfo(wide).max))
        assert np.isfinite(float(gradient[0, 0])) == (2 * abs(float(each)) <= float(jnp.finfo(dtype).max))


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("eps", [None, 0.0, 1e-46])
def test_rules_give_finite_updates_of_finite_gradients(name, eps, dtype):
    """Also with eps 0 and an eps that float32 rounds to 0, where optax divides 0 by 0."""
    factory = RULES[name]
    parameters = inspect.signature(factory).parameters
    numbers = {"learning_rate": 0.1} | ({"momentum": 0.9} if name.endswith("nesterov") else {})
    if eps is not None:
        if "eps" not in parameters:
            pytest.skip("it has no eps")
        numbers["eps"] = eps
    optimizer, g = factory(**numbers), jnp.asarray(ends(dtype)) / 16  # the velocity is up to ten times a gradient
    more = {"grad_fn": lambda params: g} if "textbook.nesterov" in name else {}
    state = optimizer.init(jnp.zeros_like(g))
    for _ in range(2):
        updates, state = optimizer.update(g, state, jnp.zeros_like(g), **more)
        assert np.all(np.isfinite(np.asarray(updates, float))), updates
    assert float(updates[0]) == 0


def test_an_entry_whose_gradient_overflowed_is_not_moved_again():
    """The limit that the page of the rules states."""
    for name in ("adagrad", "rmsprop", "adam", "amsgrad"):
        optimizer = optimizers.OPTIMIZERS[name](0.1)
        state = optimizer.init(jnp.zeros(2))
        _, state = optimizer.update(jnp.asarray([3e19, 1e19]), state)
        updates, _ = optimizer.update(jnp.ones(2), state)
        assert updates[0] == 0 and updates[1] != 0, name


def test_metrics_of_the_largest_numbers_are_finite_or_counted_as_wrong():
    def apply(params, x):
        return x

    x = jnp.asarray([[3e38, -3e38], [0.0, 0.0], [1e-45, 0.0]])
    assert float(jaxmlp.accuracy(apply)(None, x, jnp.asarray([0, 0, 0]))) == 1  # of equals the first
    params = (jaxmlp.Layer(jnp.full((2, 2), 3e38), jnp.zeros(2)),)
    assert np.isfinite(np.asarray(jaxmlp.largest_weights(params, None, None))).all()
