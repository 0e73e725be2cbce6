"""The losses and penalties: values, slopes, extreme logits, target forms, and what they refuse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy_mlp
import pytest

from jaxmlp import Layer, losses

NAMES = sorted(losses.LOSSES)
ELEMENTWISE = sorted(set(NAMES) - {"softmax_cross_entropy"})
# 4 x 3 entries of about 1: each takes some 20 operations and joins a sum of 12, and no sum cancels by more than 10, so
# (20 + 12) * 10 roundings of 1.1e-16; for float32, of 6e-8. One leaf is the whole gradient here.
RTOL = {np.float64: 3.5e-14, np.float32: 2e-5}


DTYPES = [np.float64, np.float32]
FORMS = ["labels", "one_hot", "soft"]


def example(name, form):
    """Outputs and targets; the losses that have no labels take integers in their place."""
    rng = np.random.default_rng(3)
    outputs, labels = rng.normal(size=(4, 3)), np.array([2, 0, 1, 2])
    one_hot = np.eye(3)[labels]
    targets = {"labels": labels, "one_hot": one_hot, "soft": rng.dirichlet(np.ones(3), size=4)}[form]
    if form == "labels" and name != "softmax_cross_entropy":
        targets = one_hot.astype(np.int32)
    return outputs, targets


EXTREME = {  # outputs, and the targets of each form
    "softmax_cross_entropy": (
        [[1e4, -1e4], [1e4, -1e4]],
        {"labels": [0, 1], "one_hot": [[1.0, 0.0], [0.0, 1.0]], "soft": [[1.0, 0.0], [0.25, 0.75]]},
    ),
    "binary_cross_entropy": ([[1e4], [1e4], [-1e4], [-1e4]], {"labels": [1, 0, 1, 0]}),
    "mean_squared_error": ([1e4, -1e4], {"soft": np.zeros(2)}),
    "mean_absolute_error": ([1e4, -1e4], {"soft": np.zeros(2)}),
}


@functools.cache
def values_and_slopes():
    """Of every loss, form of the targets and dtype of the outputs, in one program; and of extreme outputs."""
    cases = {("usual", name, form): example(name, form) for name in NAMES for form in FORMS}
    cases |= {("extreme", name, form): (o, t) for name, (o, by_form) in EXTREME.items() for form, t in by_form.items()}
    inputs = {(*c, d.__name__): (np.asarray(o, d), np.asarray(t)) for c, (o, t) in cases.items() for d in DTYPES}

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # compiles a third faster
    def answers(inputs):
        return {case: jax.value_and_grad(losses.get(case[1]))(*arrays) for case, arrays in inputs.items()}

    return jax.device_get(answers(inputs))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_value_and_slope_agree_with_the_hand_derivation(x64, name, form, dtype):
    value, slope = values_and_slopes()["usual", name, form, dtype.__name__]
    expected_value, expected_slope = numpy_mlp.LOSSES[name](*example(name, form))
    assert value.dtype == slope.dtype == dtype and value.shape == ()
    for actual, expected in ((value, expected_value), (slope, expected_slope)):
        error = np.max(np.abs(np.asarray(actual, np.float64) - expected))
        assert error <= RTOL[dtype] * np.max(np.abs(expected))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_softmax_cross_entropy_is_finite_and_right_for_extreme_logits(x64, form, dtype):
    value, slope = values_and_slopes()["extreme", "softmax_cross_entropy", form, dtype.__name__]
    # The first example is right for free, the second pays the distance of 2e4 times the share of class 1.
    # Softmax is (1, 0) to 8,000 digits, so everything is exact in either dtype.
    share = {"labels": 1.0, "one_hot": 1.0, "soft": 0.75}[form]
    assert value == share * 2e4 / 2
    np.testing.assert_array_equal(slope, [[0, 0], [share / 2, -share / 2]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_cross_entropy_is_finite_and_right_for_extreme_logits(x64, dtype):
    value, slope = values_and_slopes()["extreme", "binary_cross_entropy", "labels", dtype.__name__]
    # Two wrong answers cost 1e4 each; sigmoid(1e4) is 1 to 4,000 digits.
    assert value == 2e4 / 4
    np.testing.assert_array_equal(slope, [[0], [0.25], [-0.25], [0]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_are_finite_and_right_for_extreme_outputs(x64, dtype):
    # 1e4^2 and its slope are whole numbers below 2^24 times a power of two: exact in either dtype.
    value, slope = values_and_slopes()["extreme", "mean_squared_error", "soft", dtype.__name__]
    assert value == 1e8 and slope.tolist() == [1e4, -1e4]
    value, slope = values_and_slopes()["extreme", "mean_absolute_error", "soft", dtype.__name__]
    assert value == 1e4 and slope.tolist() == [0.5, -0.5]


def test_mean_absolute_error_has_no_slope_where_a_prediction_is_exact():
    outputs, targets = np.array([1.0, 2.0, 3.0, 4.0], "f"), np.array([1.0, 5.0, 3.0, 0.0], "f")
    slope = jax.jit(jax.grad(losses.mean_absolute_error))(outputs, targets)
    assert slope.tolist() == [0.0, -0.25, 0.0, 0.25]


def test_sums_are_means_over_batch_and_outputs_without_one_half():
    outputs, targets = np.array([[1.0, 2.0], [3.0, 7.0]], "f"), np.array([[0.0, 4.0], [3.0, 3.0]], "f")
    assert losses.mean_squared_error(outputs, targets) == (1 + 4 + 0 + 16) / 4
    assert losses.mean_absolute_error(outputs, targets) == (1 + 2 + 0 + 4) / 4


@functools.cache
def nested_and_flat():
    """The loss of outputs with two leading axes, and of the same with one."""
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(2, 3, 4)).astype("f"), rng.dirichlet(np.ones(4), size=(2, 3)).astype("f")

    @jax.jit
    def values(nested, flat):
        return {name: [losses.get(name)(*arrays) for arrays in (nested, flat)] for name in NAMES}

    return values((outputs, targets), (outputs.reshape(6, 4), targets.reshape(6, 4)))


@pytest.mark.parametrize("name", NAMES)
def test_leading_axes_are_all_batch(name):
    nested, flat = nested_and_flat()[name]
    # Sums of 24 numbers in another order: at most 24 roundings of 6e-8.
    np.testing.assert_allclose(nested, flat, rtol=1.5e-6)


def test_labels_of_one_example_need_no_batch_axis():
    outputs = np.array([0.5, -1.0, 2.0], "f")
    alone = losses.softmax_cross_entropy(outputs, 2)
    assert alone == losses.softmax_cross_entropy(outputs[None], [2])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_one_output_takes_targets_with_or_without_its_axis(name):
    outputs, targets = np.array([[0.5], [-1.0], [2.0]], "f"), np.array([0.0, 1.0, 1.0], np.float32)
    assert losses.get(name)(outputs, targets) == losses.get(name)(outputs, targets[:, None])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float64])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_targets_are_cast_to_the_dtype_of_the_outputs(name, dtype):
    outputs, targets = np.array([[0.5, -1.0]], "f"), np.array([[0, 1]])
    value = losses.get(name)(outputs, targets.astype(dtype))
    assert value.dtype == jnp.float32
    assert value == losses.get(name)(outputs, targets.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_labels_may_be_any_integers(dtype):
    outputs = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, -1.0]], "f")
    value = losses.softmax_cross_entropy(outputs, np.array([2, 0], dtype))
    assert value == losses.softmax_cross_entropy(outputs, np.array([2, 0], np.int32))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_bfloat16_outputs_is_computed_in_float32(name):
    outputs, targets = np.full((2, 3), 1.5, jnp.bfloat16), np.eye(3, dtype=np.float32)[:2]
    value = losses.get(name)(outputs, targets)
    assert value.dtype == jnp.float32 and value == losses.get(name)(outputs.astype(np.float32), targets)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_integer_outputs_do_not_truncate_the_targets(name):
    outputs, targets = np.array([0, 1]), np.array([0.25, 0.75], np.float32)
    assert losses.get(name)(outputs, targets) == losses.get(name)(outputs.astype(np.float32), targets) > 0


def test_probabilities_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValueError, match="sum to 1 over the classes; got sums from 0 to 2"):
        losses.softmax_cross_entropy(np.zeros((2, 2), "f"), np.array([[0.0, 0.0], [1.0, 1.0]]))


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize(
    ("outputs", "targets"), [((3, 1), (1, 3)), ((3, 2), (3,)), ((3,), (3, 1)), ((3, 1), (1,)), ((4, 2), (2,))]
)
def test_shapes_that_numpy_would_broadcast_are_refused(name, outputs, targets):
    with pytest.raises(ValueError, match="differ in shape; give targets shaped like the outputs") as error:
        losses.get(name)(np.zeros(outputs, "f"), np.zeros(targets))
    assert str(outputs) in str(error.value) and str(targets) in str(error.value)


@pytest.mark.parametrize(
    "targets", [np.zeros((3, 1), int), np.zeros(2, int), np.zeros(3), np.zeros((3, 3)), np.zeros(3, bool)]
)
def test_softmax_cross_entropy_refuses_targets_that_are_neither_labels_nor_probabilities(targets):
    with pytest.raises(ValueError, match=r"outputs \(3, 2\) takes integer labels \(3,\) or probabilities \(3, 2\)"):
        losses.softmax_cross_entropy(np.zeros((3, 2), "f"), targets)


def test_softmax_cross_entropy_refuses_a_single_class():
    with pytest.raises(ValueError, match=r"at least two classes, got \(3, 1\); for one output use binary"):
        losses.softmax_cross_entropy(np.zeros((3, 1), "f"), np.zeros(3, int))


@pytest.mark.parametrize(("labels", "received"), [([0, 3], "0 to 3"), ([-1, 1], "-1 to 1")])
def test_a_label_out_of_range_is_refused_where_it_is_known_and_nan_under_a_trace(labels, received):
    outputs = np.zeros((2, 3), "f")
    with pytest.raises(ValueError, match=rf"labels must be in \[0, 3\).*got {received}"):
        losses.softmax_cross_entropy(outputs, labels)
    assert np.isnan(jax.jit(losses.softmax_cross_entropy)(outputs, np.array(labels)))


@pytest.mark.parametrize("bad", [-0.25, 1.25, np.nan])
def test_binary_cross_entropy_refuses_targets_outside_the_unit_interval(bad):
    with pytest.raises(ValueError, match=r"takes targets in \[0, 1\]; got"):
        losses.binary_cross_entropy(np.zeros(3, "f"), np.array([0.5, bad, 1.0]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_targets_may_be_a_constant_of_a_compiled_function(name, array):
    outputs, targets = np.array([[0.5, -1.0], [2.0, 0.0]], "f"), np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    constant = array(np.array([0, 1])) if name == "softmax_cross_entropy" else array(targets)
    inside = jax.jit(lambda outputs: losses.get(name)(outputs, constant))(outputs)
    # One fused program against operation by operation: a handful of roundings of 6e-8.
    np.testing.assert_allclose(inside, losses.get(name)(outputs, targets), rtol=1e-6)


def test_penalties_add_up_weights_and_never_biases():
    params = (
        Layer(np.array([[1.0, -2.0], [0.0, 3.0]], "f"), np.array([100.0, -100.0], "f")),
        Layer(np.array([[-4.0], [5.0]], "f"), np.array([100.0], "f")),
    )
    assert losses.l1(params) == 1 + 2 + 0 + 3 + 4 + 5
    assert losses.l2(params) == 1 + 4 + 0 + 9 + 16 + 25
    slopes, slopes_of_l2 = jax.jit(lambda params: (jax.grad(losses.l1)(params), jax.grad(losses.l2)(params)))(params)
    assert slopes[0].w.tolist() == [[1, -1], [0, 1]]  # 0 at 0
    assert slopes_of_l2[1].w.tolist() == [[-8], [10]]
    assert slopes[0].b.tolist() == [0, 0]


@pytest.mark.parametrize("penalty", [losses.l1, losses.l2])
def test_a_penalty_takes_any_pytree_that_has_weights(penalty):
    weights = np.full((2, 3), -2.0, "f")
    assert penalty({"w": weights, "b": np.ones(3, "f")}) == penalty([weights])
    with pytest.raises(ValueError, match="two axes or more; give params that have one"):
        penalty((np.ones(3, "f"),))


def test_lookup_by_name_takes_callables_and_suggests_the_nearest_name():
    for name in NAMES:
        assert losses.get(name) is getattr(losses, name)
    assert losses.get(jnp.add) is jnp.add
    with pytest.raises(ValueError, match=r"unknown loss 'mean_square_error'.*Did you mean 'mean_squared_error'\?"):
        losses.get("mean_square_error")
    with pytest.raises(TypeError, match=r"name or a function \(outputs, targets\) -> scalar, got None"):
        losses.get(None)


@pytest.mark.parametrize("values", [[1, 0], [True, False]])
def test_weights_of_whole_numbers_and_booleans_are_fractions(values):
    assert losses.weighted_mean(jnp.array(values), jnp.array([0.5, 1.5])) == 0.25
