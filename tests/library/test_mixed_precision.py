"""Networks that multiply in bfloat16 and sum in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp

SIZES = (12, 8, 5)


def rounded(a):
    return np.asarray(jnp.asarray(a, jnp.bfloat16).astype(jnp.float32), np.float64)


@pytest.fixture(scope="module")
def case():
    net = jaxmlp.mlp(SIZES, activation="tanh", compute_dtype="bfloat16")
    params = net.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (6, 12))
    return net, params, x, jax.random.normal(jax.random.key(2), (6, 5))


def test_factors_are_rounded_and_sums_are_not(case):
    net, params, x, _ = case
    (w1, b1), (w2, b2) = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    hidden = np.tanh(rounded(x) @ rounded(w1) + b1)
    outputs = net.apply(params, x)
    assert outputs.dtype == jnp.float32
    np.testing.assert_allclose(outputs, rounded(hidden) @ rounded(w2) + b2, rtol=1e-5, atol=1e-6)


def test_the_gradient_is_the_one_derived_by_hand_with_rounded_factors(case):
    net, params, x, y = case
    grads = jax.grad(lambda p: jnp.sum(net.apply(p, x) * y))(params)
    (w1, b1), (w2, _) = params
    hidden = np.tanh(rounded(x) @ rounded(w1) + np.asarray(b1, np.float64))
    delta = rounded(rounded(y) @ rounded(w2).T * (1 - hidden**2))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(grads))
    np.testing.assert_allclose(grads[1].w, rounded(hidden).T @ rounded(y), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(grads[0].w, rounded(x).T @ delta, rtol=2e-3, atol=2e-3)  # delta may round the other way


def test_it_is_near_the_network_in_float32(case):
    net, params, x, _ = case
    full = jaxmlp.mlp(SIZES, activation="tanh").apply(params, x)
    assert 0 < np.abs(net.apply(params, x) - full).max() < 0.03


@pytest.mark.parametrize("shape", [(12,), (0, 12), (2, 3, 12)])
def test_any_leading_shape(case, shape):
    net, params, _, _ = case
    x = jnp.ones(shape)
    assert net.apply(params, x).shape == (*shape[:-1], 5)
    grads = jax.grad(lambda p: jnp.sum(net.apply(p, x)))(params)
    assert jax.tree.map(jnp.shape, grads) == jax.tree.map(jnp.shape, params)


def test_it_trains_in_fit_and_in_a_vectorised_sweep(case):
    net, params, x, _ = case
    loss_fn = jaxmlp.objective(net.apply)
    train = x, jnp.arange(6) % 5
    settings = {"epochs": 2, "batch_size": 4}
    alone = jaxmlp.fit(loss_fn, params, jaxmlp.optimizers.sgd(0.1), train, key=jax.random.key(3), **settings)
    assert alone.history.train_loss[1] < alone.history.train_loss[0]
    keys = jax.random.split(jax.random.key(3))
    grid = {"learning_rate": [0.1, 0.3]}
    swept = jaxmlp.sweep(loss_fn, net.init, jaxmlp.optimizers.sgd, grid, train, keys=keys, execution="vmap", **settings)
    assert np.isfinite(swept.history.train_loss).all()


def test_curvature_by_the_derivative_of_a_gradient(case):
    net, params, x, y = case

    def gradient(p):
        return jax.grad(lambda p: jnp.mean((net.apply(p, x) - y) ** 2))(p)

    _, product = jax.jvp(gradient, (params,), (params,))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(product))
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(lambda p: net.apply(p, x), (params,), (params,))


@pytest.mark.parametrize("wrong", ["float16", "float32", jnp.float64, "int8"])
def test_other_dtypes_are_refused(wrong):
    with pytest.raises(ValueError, match="compute_dtype must be"):
        jaxmlp.mlp(SIZES, compute_dtype=wrong)


@pytest.mark.parametrize("wrong", [8, "half precision"])
def test_what_is_no_dtype_is_refused(wrong):
    with pytest.raises(TypeError, match="compute_dtype"):
        jaxmlp.mlp(SIZES, compute_dtype=wrong)
