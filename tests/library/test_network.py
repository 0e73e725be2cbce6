"""The network: parameters, forward pass, dropout, equality, dtypes, and what mlp refuses."""

import functools
import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import parameters

from jaxmlp import Layer, activations, mlp
from jaxmlp.network import INITIALIZERS

KEY = jax.random.key(0)
FAN_IN, FAN_OUT = 300, 200
VARIANCES = {
    "glorot": 2 / (FAN_IN + FAN_OUT),  # Glorot and Bengio (2010), equation 12
    "he": 2 / FAN_IN,  # He et al. (2015), equation 10
    "lecun": 1 / FAN_IN,  # LeCun et al. (1998), equation 16
}


def test_params_are_one_layer_of_weights_and_zero_biases_per_pair_of_sizes():
    params = mlp((4, 3, 2)).init(KEY)
    assert isinstance(params, tuple) and all(isinstance(layer, Layer) for layer in params)
    assert [(w.shape, b.shape) for w, b in params] == [((4, 3), (3,)), ((3, 2), (2,))]
    assert not any(b.any() for _, b in params)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}


@functools.cache
def initial_weights():
    """Of every initializer, drawn from the same key in one program."""
    nets = {name: mlp((FAN_IN, FAN_OUT), initializer=name) for name in INITIALIZERS}
    return jax.device_get(jax.jit(lambda key: {name: net.init(key)[0].w for name, net in nets.items()})(KEY))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_initial_weights_have_the_variance_and_shape_of_their_distribution(name):
    w = initial_weights()[name].astype(np.float64)
    family, shape = name.split("_")
    variance = VARIANCES[family]
    # The mean of n draws has standard deviation sqrt(variance / n), their variance one of at most variance sqrt(2 / n),
    # that of the normal distribution, whose tails are longer. Five of each, for one fixed key.
    assert abs(w.mean()) < 5 * np.sqrt(variance / w.size)
    assert abs(w.var() / variance - 1) < 5 * np.sqrt(2 / w.size)
    # A uniform draw ends at sqrt(3) standard deviations. A normal one is cut at two of its own, which leaves it a
    # standard deviation of 0.8796 and so ends at 2 / 0.8796 = 2.274. The largest of 60,000 is within 1 % of the end.
    end = {"uniform": np.sqrt(3), "normal": 2.274}[shape] * np.sqrt(variance)
    assert 0.99 * end < np.abs(w).max() < 1.001 * end


def test_layers_and_keys_draw_different_weights_and_equal_keys_equal_ones():
    net = mlp((3, 3, 3))
    init = jax.jit(net.init)
    first, again, other = jax.device_get((init(KEY), init(KEY), init(jax.random.key(1))))
    assert not np.any(first[0].w == first[1].w)
    assert not np.any(first[0].w == other[0].w)
    jax.tree.map(np.testing.assert_array_equal, first, again)


def test_an_initializer_may_be_a_function_of_key_shape_and_dtype():
    params = mlp((3, 2), initializer=lambda key, shape, dtype: jnp.full(shape, 0.5, dtype)).init(KEY)
    np.testing.assert_array_equal(params[0].w, np.full((3, 2), 0.5))
    small = mlp((FAN_IN, FAN_OUT), initializer=jax.nn.initializers.normal(0.01)).init(KEY)[0].w
    assert abs(float(np.asarray(small).std()) / 0.01 - 1) < 5 * np.sqrt(
        0.5 / small.size
    )  # a standard deviation varies so


def test_outputs_of_a_small_network_are_those_computed_by_hand():
    params = (
        Layer(np.array([[1.0, -1.0], [2.0, 0.5]], "f"), np.array([0.0, 1.0], "f")),
        Layer(np.array([[3.0], [-2.0]], "f"), np.array([0.25], "f")),
    )
    # z = (1 + 2*2, -1 + 0.5*2 + 1) = (5, 1) and relu keeps both: 3*5 - 2*1 + 0.25.
    # z = (-1 - 2*2, 1 - 0.5*2 + 1) = (-5, 1) and relu drops the first: -2*1 + 0.25; the output is left as it is.
    x = np.array([[1.0, 2.0], [-1.0, -2.0]], "f")
    np.testing.assert_array_equal(mlp((2, 2, 1)).apply(params, x), [[13.25], [-1.75]])


def test_a_network_without_hidden_layers_is_affine():
    params = (Layer(np.array([[1.0], [2.0]], "f"), np.array([-10.0], "f")),)
    assert mlp((2, 1), activation="sigmoid").apply(params, np.array([3.0, 4.0], "f")) == 3 + 8 - 10


@functools.cache
def applied_to_axes():
    return jax.jit(mlp((4, 5, 3), activation="tanh").apply)


@pytest.mark.parametrize("axes", [(), (1,), (0,), (3, 2)])
def test_all_leading_axes_are_batch(axes):
    apply, params = applied_to_axes(), parameters(4, 5, 3)
    x = np.random.default_rng(1).normal(size=(*axes, 4)).astype(np.float32)
    outputs = apply(params, x)
    assert outputs.shape == (*axes, 3)
    one_by_one = [apply(params, row) for row in x.reshape(-1, 4)]
    # Sums of 5 products of about 1, in an order that may differ: a few roundings of 6e-8.
    np.testing.assert_allclose(outputs.reshape(-1, 3), np.reshape(one_by_one, (-1, 3)), rtol=0, atol=2e-6)


@functools.cache
def outputs_by_dtype():
    """Of the same inputs in several dtypes, by a float32 network."""
    net, params, x = mlp((2, 3, 1)), parameters(2, 3, 1), np.array([[0, 1], [1, 1]])
    inputs = {np.dtype(dtype).name: x.astype(dtype) for dtype in (*CAST, np.float32)}
    return jax.jit(lambda inputs: {dtype: net.apply(params, x) for dtype, x in inputs.items()})(inputs)


CAST = [np.uint8, np.int32, np.int64, bool, np.float16, np.float64]


@pytest.mark.parametrize("dtype", CAST)
def test_inputs_are_cast_to_the_dtype_of_the_parameters(x64, dtype):
    outputs = outputs_by_dtype()
    assert outputs[np.dtype(dtype).name].dtype == jnp.float32
    np.testing.assert_array_equal(outputs[np.dtype(dtype).name], outputs["float32"])


@functools.cache
def drawn_and_applied():
    """Parameters and outputs of networks of several dtypes."""

    def draw(dtype, key):
        net = mlp((4, 3, 2), activation="gelu", dropout=0.5, dtype=dtype)
        params = net.init(key)
        return params, net.apply(params, np.ones((5, 4)), key=key)

    return jax.jit(lambda key: {dtype: draw(dtype, key) for dtype in ("bfloat16", "float16", "float64")})(KEY)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_parameters_and_outputs_have_the_dtype_asked_for(x64, dtype):
    params, outputs = drawn_and_applied()[dtype]
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
    assert outputs.dtype == dtype


def test_bfloat16_computes_what_float32_does_within_its_precision():
    narrow = parameters(4, 3, 2, dtype=jnp.bfloat16)
    params = jax.tree.map(lambda leaf: leaf.astype(np.float32), narrow)
    x = (np.random.default_rng(0).integers(-8, 9, (5, 4)) / 4).astype("f")  # exact in bfloat16
    # bfloat16 rounds by 2^-9: at most 4 + 1 times per entry in the first layer and 3 + 1 in the second.
    net = mlp((4, 3, 2))
    wide, outputs = jax.jit(lambda *both: [net.apply(params, x) for params in both])(params, narrow)
    assert outputs.dtype == jnp.bfloat16
    error = np.max(np.abs(np.asarray(outputs, np.float32) - wide))
    assert error <= 9 * 2**-9 * np.max(np.abs(wide))


def test_nothing_is_dropped_without_a_key_or_without_a_rate():
    dropping, plain = mlp((4, 5, 3), dropout=0.5), mlp((4, 5, 3))
    params, x = parameters(4, 5, 3), np.ones((2, 4), "f")
    np.testing.assert_array_equal(dropping.apply(params, x), plain.apply(params, x))
    np.testing.assert_array_equal(plain.apply(params, x, key=KEY), plain.apply(params, x))


@pytest.mark.slow
def test_a_key_decides_what_is_dropped():
    draw = jax.jit(lambda key: dropped_inputs(0.5, 64, key))
    draws = [draw(key) for key in (KEY, KEY, jax.random.key(1))]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.any(draws[0] != draws[2])
    assert np.any(draws[0][0] != draws[0][1])  # each example for itself
    np.testing.assert_array_equal(draws[0], dropped_inputs(0.5, 64, KEY))  # compiled or not


@functools.cache
def many_dropped_inputs():
    return jax.device_get(
        jax.jit(lambda key: {rate: dropped_inputs(rate, 100, key, examples=400) for rate in (0.1, 0.5, 0.8)})(KEY)
    )


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_inputs_are_dropped_at_the_rate_and_the_others_scaled_up_so_that_the_mean_stays(rate):
    factors = many_dropped_inputs()[rate]
    kept = factors != 0
    np.testing.assert_allclose(factors[kept], 1 / (1 - rate), rtol=2e-7)  # one division and its input, rounded
    # The share of n kept entries has standard deviation sqrt(rate (1 - rate) / n); five of them, for one fixed key.
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / kept.size)


def test_one_rate_spares_the_input_of_the_network():
    one_layer = mlp((4, 3), dropout=0.9)
    params, x = parameters(4, 3), np.ones((2, 4), "f")
    np.testing.assert_array_equal(one_layer.apply(params, x, key=KEY), one_layer.apply(params, x))


@functools.cache
def gradients_under_dropout():
    """Of a network of ones in which one layer's input is dropped, for each layer."""
    sizes = (6, 5, 4, 1)
    ones = tuple(Layer(np.ones(pair, "f"), np.ones(pair[1], "f")) for pair in itertools.pairwise(sizes))
    nets = [mlp(sizes, activation="identity", dropout=[0.5 * (i == layer) for i in range(3)]) for layer in range(3)]

    @jax.jit
    def gradients(params, key):
        return [jax.grad(lambda p, net=net: net.apply(p, np.ones(6, "f"), key=key).sum())(params) for net in nets]

    return sizes, jax.device_get(gradients(ones, KEY))


@pytest.mark.slow
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_rates_belong_to_layer_inputs_in_order(layer):
    sizes, grads = gradients_under_dropout()
    grads = grads[layer]
    # Everything is positive, so the gradient by a row of weights is 0 exactly where the row's input was dropped.
    for index, (w, _) in enumerate(grads):
        dropped = np.count_nonzero(~np.any(np.asarray(w) != 0, axis=1))
        assert 0 < dropped < sizes[layer] if index == layer else dropped == 0


@pytest.mark.slow
def test_layers_drop_independently():
    net = mlp((64, 64, 1), activation="identity", dropout=(0.5, 0.5))
    params = (Layer(np.eye(64, dtype="f"), np.zeros(64, "f")), Layer(np.ones((64, 1), "f"), np.zeros(1, "f")))
    kept = float(jax.jit(net.apply)(params, np.ones(64, "f"), key=KEY)[0]) / 4  # number of units that both layers kept
    # Independent: 64 / 4 = 16, standard deviation sqrt(64 * 3/16) = 3.5; one shared mask would keep about 32.
    assert abs(kept - 16) < 4 * 3.5 - 1


def test_equal_settings_give_equal_functions_that_compile_once():
    traces = []

    @jax.jit
    def outputs(net, params, x):
        traces.append(net)
        return net.value.apply(params, x)

    params = parameters(4, 3, 2)
    for settings in ({}, {}, {"activation": "tanh"}):
        outputs(Static(mlp([4, 3, np.int64(2)], dropout=0.1, **settings)), params, np.ones(4, "f"))
    assert len(traces) == 2
    assert mlp((4, 3, 2)) == mlp((4, 3, 2), dtype="float32", dropout=0)
    assert hash(mlp((4, 3, 2))) == hash(mlp((4, 3, 2)))


@pytest.mark.parametrize(
    "other",
    [{"activation": "tanh"}, {"initializer": "he_uniform"}, {"dropout": 0.1}, {"dtype": jnp.bfloat16}],
    ids=lambda other: next(iter(other)),
)
def test_other_settings_give_another_network(other):
    assert mlp((4, 3, 2)) != mlp((4, 3, 2), **other)


def test_a_network_can_be_pickled():
    net = mlp((4, 3, 2), activation=activations.gelu, dropout=0.2, dtype=jnp.bfloat16)
    assert pickle.loads(pickle.dumps(net)) == net


@pytest.mark.parametrize(
    ("sizes", "error", "match"),
    [
        ((4,), ValueError, r"at least an input and an output size, got \(4,\)"),
        ((), ValueError, r"at least an input and an output size, got \(\)"),
        ((4, 0, 2), ValueError, r"layer_sizes must be at least 1, got 0"),
        ((4, -3), ValueError, "at least 1, got -3"),
        ((4, 2.0), TypeError, r"layer_sizes must be an integer, got 2\.0"),
        ((4, True), TypeError, "layer_sizes must be an integer, got True"),
        ("42", TypeError, "must be a sequence such as .*, got '42'"),
        (42, TypeError, "layer_sizes"),
    ],
)
def test_sizes_are_checked(sizes, error, match):
    with pytest.raises(error, match=match):
        mlp(sizes)


@pytest.mark.parametrize(
    ("setting", "error", "match"),
    [
        ({"activation": "rellu"}, ValueError, r"unknown activation 'rellu'.*Did you mean 'relu'\?"),
        ({"activation": 3}, TypeError, "activation must be a name or a function, got 3"),
        ({"initializer": "he_norm"}, ValueError, r"unknown initializer 'he_norm'.*Did you mean 'he_normal'\?"),
        ({"initializer": None}, TypeError, "initializer must be a name or a function"),
        ({"dtype": jnp.int32}, TypeError, "dtype must be floating point, got int32"),
        ({"dtype": complex}, TypeError, "dtype must be floating point, got complex128"),
        ({"dropout": 1.0}, ValueError, r"dropout must be in \[0, 1\); got 1\.0"),
        ({"dropout": -0.1}, ValueError, r"dropout must be in \[0, 1\); got -0\.1"),
        ({"dropout": float("nan")}, ValueError, r"dropout must be in \[0, 1\); got nan"),
        ({"dropout": (0.1, float("nan"))}, ValueError, r"dropout must be in \[0, 1\)"),
        ({"dropout": (0.1,)}, ValueError, "one rate per layer input, 2 of them"),
        ({"dropout": (0.1, 0.2, 0.3)}, ValueError, "one rate per layer input, 2 of them"),
        ({"dropout": None}, TypeError, "dropout must be a real number; got None"),
        ({"dropout": True}, TypeError, "dropout must be a real number; got True"),
    ],
)
def test_settings_are_checked(setting, error, match):
    with pytest.raises(error, match=match):
        mlp((4, 3, 2), **setting)


def test_rates_may_be_an_array():
    assert mlp((4, 3, 2), dropout=np.array([0.25, 0.5])) == mlp((4, 3, 2), dropout=(0.25, 0.5))


@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (4, 2, 2)])
def test_inputs_of_the_wrong_width_are_refused(shape):
    net = mlp((4, 3, 2))
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 4\), got .*flatten images"):
        net.apply(parameters(4, 3, 2), np.ones(shape, "f"))


def test_with_hidden_is_true_or_false():
    with pytest.raises(TypeError, match="with_hidden must be True or False, got 2"):
        mlp((4, 3, 2)).apply(parameters(4, 3, 2), np.ones(4, "f"), with_hidden=2)


WRONG_PARAMS = {
    "of other sizes": parameters(4, 3, 1),
    "of more layers": parameters(4, 3, 2, 2),
    "of fewer layers": parameters(4, 3),
    "transposed": tuple(Layer(w.T, b) for w, b in parameters(4, 3, 2)),
    "without biases": tuple((w,) for w, _ in parameters(4, 3, 2)),
    "flat": tuple(jax.tree.leaves(parameters(4, 3, 2))),
    "nothing": None,
}


@pytest.mark.parametrize("case", WRONG_PARAMS)
def test_params_that_do_not_fit_are_refused(case):
    with pytest.raises((ValueError, TypeError), match=r"params of \(4, 3, 2\) must have shapes"):
        mlp((4, 3, 2)).apply(WRONG_PARAMS[case], np.ones(4, "f"))


def dropped_inputs(rate, width, key, examples=2):
    """The factors by which dropout multiplies inputs, seen through a network that passes ones on."""
    net = mlp((width, width), dropout=(rate,))
    return net.apply((Layer(np.eye(width, dtype="f"), np.zeros(width, "f")),), np.ones((examples, width), "f"), key=key)


@jax.tree_util.register_static
class Static:
    """Passes a value to jit as part of the program, looked up by its hash and equality."""

    def __init__(self, value):
        self.value = value

    def __hash__(self):
        return hash(self.value)

    def __eq__(self, other):
        return self.value == other.value


def test_an_initializer_that_was_not_called_is_refused():
    with pytest.raises(TypeError, match=r"if it is a factory, call it first"):
        mlp((4, 2), initializer=jax.nn.initializers.he_normal).init(KEY)


def test_complex_inputs_are_refused():
    with pytest.raises(TypeError, match="x must be real, got complex64"):
        mlp((1, 1)).apply(parameters(1, 1), np.ones(1, np.complex64))
