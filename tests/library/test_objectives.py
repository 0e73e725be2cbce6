"""The objective and accuracy: composition, transformations, equality, and what they refuse."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import numpy_mlp
import pytest
from networks import parameters

from jaxmlp import Layer, accuracy, losses, mlp, objective

KEY = jax.random.key(0)


def test_the_loss_of_a_small_network_is_the_one_computed_by_hand():
    params = (Layer(np.array([[1.0], [-2.0]], "f"), np.array([10.0], "f")),)
    x, y = np.array([[3.0, 1.0], [0.0, 2.0]], "f"), np.array([11.0, 8.0], "f")
    # outputs 3 - 2 + 10 = 11 and -4 + 10 = 6, errors 0 and 2; weights (1, -2), and the bias of 10 costs nothing.
    apply = mlp((2, 1)).apply
    assert objective(apply, "mean_squared_error")(params, x, y) == 2
    assert objective(apply, "mean_squared_error", l1=0.5)(params, x, y) == 2 + 0.5 * 3
    assert objective(apply, "mean_squared_error", l1=0.5, l2=0.25)(params, x, y) == 2 + 0.5 * 3 + 0.25 * 5


def test_the_default_loss_is_softmax_cross_entropy_and_a_callable_serves_as_well():
    net = mlp((2, 3))
    params, x, y = parameters(2, 3), np.ones((4, 2), "f"), np.array([0, 1, 2, 1])
    assert objective(net.apply)(params, x, y) == losses.softmax_cross_entropy(net.apply(params, x), y)
    assert objective(net.apply, lambda outputs, targets: outputs[0, 0])(params, x, y) == net.apply(params, x)[0, 0]


@pytest.mark.slow
def test_the_key_reaches_apply_and_is_left_out_where_there_is_none():
    net = mlp((2, 8, 1), dropout=0.5)
    # Whole numbers, and half of them dropped, so that the others are doubled: nothing is rounded.
    params, x, y = jax.tree.map(np.round, parameters(2, 8, 1)), np.ones((4, 2), "f"), np.ones(4, "f")
    loss_fn = objective(net.apply, "mean_squared_error")

    @jax.jit
    def values(key):
        of_apply = losses.mean_squared_error(net.apply(params, x, key=key), y)
        return loss_fn(params, x, y, key=key), of_apply, loss_fn(params, x, y)

    with_key, of_apply, without = values(KEY)
    assert with_key == of_apply
    assert with_key != without
    keyless = objective(lambda params, x: x * params, "mean_squared_error")
    assert keyless(np.float32(1), np.ones(4, "f"), np.zeros(4, "f")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.5, np.float64(0.5), np.float32(0.5), 1])
def test_the_loss_of_half_precision_is_float32_whatever_its_strengths(x64, strength):
    net = mlp((2, 1), dtype=jnp.bfloat16)
    value = objective(net.apply, "mean_squared_error", l1=strength, l2=strength)(
        parameters(2, 1, dtype=jnp.bfloat16), np.ones(2), np.ones(1)
    )
    assert (value.dtype, value.shape) == (jnp.float32, ())


def test_strengths_may_be_traced_and_differentiated():
    net = mlp((2, 1))
    params, x, y = parameters(2, 1), np.ones((1, 2), "f"), np.ones(1, "f")

    @jax.jit
    def slopes(l1, l2):
        return jax.grad(lambda l1, l2: objective(net.apply, "mean_squared_error", l1=l1, l2=l2)(params, x, y), (0, 1))(
            l1, l2
        )

    # Penalties are linear in their strengths; the same sum of two terms, compiled or not, differs by roundings of 6e-8.
    np.testing.assert_allclose(slopes(0.1, 0.2), (losses.l1(params), losses.l2(params)), rtol=3e-7)


def test_strengths_are_the_leaves_so_another_one_compiles_nothing():
    net, traces = mlp((2, 1)), []
    params, x, y = parameters(2, 1), np.ones((1, 2), "f"), np.ones(1, "f")

    @jax.jit
    def value(loss_fn):
        traces.append(loss_fn)
        return loss_fn(params, x, y)

    for l2 in (0.1, 0.2, 0.1):
        value(objective(net.apply, "mean_squared_error", l2=l2))
    assert len(traces) == 1
    assert jax.tree.leaves(objective(net.apply, l1=0.1, l2=0.2)) == [0.1, 0.2]
    assert jax.tree.leaves(objective(net.apply)) == []


def test_equal_arguments_give_equal_hashable_functions_that_can_be_pickled():
    def build(**changes):
        net = mlp((2, 3), activation="tanh")
        return objective(net.apply, **{"loss": "mean_squared_error", "l1": 0.1, **changes}), accuracy(net.apply)

    assert build() == build() and hash(build()) == hash(build())
    assert pickle.loads(pickle.dumps(build())) == build()
    for changes in ({"loss": "mean_absolute_error"}, {"l1": 0.2}, {"l2": 0.1}):
        assert build(**changes)[0] != build()[0]
    assert accuracy(mlp((2, 4)).apply) != build()[1]


@pytest.mark.slow
def test_the_hessian_of_a_linear_least_squares_problem_is_the_closed_form(x64):
    net, n = mlp((3, 1), dtype=jnp.float64), 7
    params, x, y = parameters(3, 1, dtype=np.float64), np.random.default_rng(1).normal(size=(n, 3)), np.ones(n)
    flat, unravel = ravel(params)
    loss_fn = objective(net.apply, "mean_squared_error", l2=0.5)
    hessian = jax.jit(jax.hessian(lambda flat: loss_fn(unravel(flat), x, y)))(flat)
    # The gradient is 2/n [x, 1]^T ([x, 1] (w, b) - y) + 2 l2 w, and flat is (w, b).
    design = np.concatenate([x, np.ones((n, 1))], axis=1)
    expected = 2 / n * design.T @ design + np.diag([1.0, 1.0, 1.0, 0.0])
    # Sums of 7 products of about 1: some ten roundings of 1.1e-16.
    np.testing.assert_allclose(hessian, expected, rtol=0, atol=5e-15)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "binary_cross_entropy"])
def test_the_hessian_agrees_with_central_differences_of_the_gradient_by_hand(x64, loss):
    sizes, n = (2, 3, 2), 4
    net = mlp(sizes, activation="tanh", dtype=jnp.float64)
    params, x, y = (
        parameters(*sizes, dtype=np.float64),
        np.random.default_rng(1).normal(size=(n, 2)),
        np.eye(2)[[0, 1, 1, 0]],
    )
    flat, unravel = ravel(params)
    loss_fn = objective(net.apply, loss)
    hessian = jax.jit(jax.hessian(lambda flat: loss_fn(unravel(flat), x, y)))(flat)

    def slope_by_hand(point, entry):
        _, grads = numpy_mlp.loss_and_grads(unravel(point), x, y, activation="tanh", loss=loss)
        return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(grads)])[entry]

    numeric = [
        numpy_mlp.central_differences(lambda point, entry=entry: slope_by_hand(point, entry), flat)
        for entry in range(flat.size)
    ]
    # Of a slope f below 1: truncation eps^2 |f'''| / 6 with eps = 1e-5, |f'''| < 100, and 20 roundings of 1.1e-16 over
    # eps: 1.7e-9 + 2.2e-10.
    np.testing.assert_allclose(hessian, numeric, rtol=0, atol=2e-9)


@pytest.mark.slow
def test_jit_vmap_and_both_modes_of_differentiation_compose(x64):
    net = mlp((3, 4, 2), activation="gelu", dtype=jnp.float64)
    x, y = np.random.default_rng(1).normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])
    loss_fn = objective(net.apply, l2=0.1)
    members = [parameters(3, 4, 2, dtype=np.float64, seed=seed) for seed in range(3)]

    @jax.jit
    def derivatives(population, *members):
        forward, reverse = (
            jax.vmap(lambda params, mode=mode: mode(loss_fn)(params, x, y))(population)
            for mode in (jax.jacfwd, jax.jacrev)
        )
        return forward, reverse, [jax.grad(loss_fn)(member, x, y) for member in members]

    forward, reverse, one_by_one = jax.device_get(
        derivatives(jax.tree.map(lambda *leaves: np.stack(leaves), *members), *members)
    )
    for index, alone in enumerate(one_by_one):
        for a, b, leaf in zip(*map(jax.tree.leaves, (forward, reverse, alone)), strict=True):
            # The same derivative in three orders of summation: at most 40 roundings of 1.1e-16 of values about 1.
            np.testing.assert_allclose(a[index], leaf, rtol=0, atol=5e-15)
            np.testing.assert_allclose(b[index], leaf, rtol=0, atol=5e-15)


@pytest.mark.parametrize(
    ("loss", "n_outputs", "y", "match"),
    [
        ("softmax_cross_entropy", 3, [0, 3], r"labels must be in \[0, 3\)"),
        ("softmax_cross_entropy", 3, [0, 1, 2], r"takes integer labels \(2,\)"),
        ("binary_cross_entropy", 1, [0.0, 1.5], r"targets in \[0, 1\]; got 0 to 1.5"),
    ],
)
def test_check_refuses_examples_that_the_loss_cannot_take(loss, n_outputs, y, match):
    net = mlp((2, n_outputs))
    with pytest.raises(ValueError, match=match):
        objective(net.apply, loss).check(parameters(2, n_outputs), np.ones((2, 2), "f"), np.array(y))


def test_check_passes_what_the_loss_can_take():
    net = mlp((2, 3))
    for y in (np.array([0, 2]), np.eye(3)[:2], jnp.array([0, 2])):
        objective(net.apply).check(parameters(2, 3), np.ones((2, 2), "f"), y)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"loss": "mean_sq_error"}, ValueError, r"unknown loss.*Did you mean 'mean_squared_error'\?"),
        ({"loss": 3}, TypeError, "loss must be a name or a function"),
        ({"l1": -0.1}, ValueError, r"l1 must be in \[0, inf\); got -0\.1"),
        ({"l2": float("nan")}, ValueError, r"l2 must be in \[0, inf\); got nan"),
        ({"l2": float("inf")}, ValueError, r"l2 must be in \[0, inf\); got inf"),
        ({"l2": "0.1"}, TypeError, "l2 must be a real number; got '0.1'"),
        ({"apply": mlp((2, 3))}, TypeError, "apply must be a function"),
    ],
)
def test_arguments_are_checked(arguments, error, match):
    with pytest.raises(error, match=match):
        objective(**{"apply": mlp((2, 3)).apply, **arguments})


LABEL_DTYPES = [np.int8, np.uint8, np.int32, np.int64, np.float32, bool]


@pytest.mark.parametrize("dtype", LABEL_DTYPES)
@pytest.mark.parametrize("form", ["labels", "column"])
def test_accuracy_of_one_output_is_the_share_of_logits_on_the_right_side(form, dtype):
    # A logit of 0 is no. Right: the first, the second, and the last.
    outputs, labels = np.array([2.0, -1.0, 1.0, 0.0, 0.0], np.float32), np.array([1, 0, 0, 1, 0]).astype(dtype)
    assert_accuracy(outputs[:, None], labels if form == "labels" else labels[:, None], 3 / 5)


@pytest.mark.parametrize("dtype", LABEL_DTYPES[:-1])
def test_accuracy_of_several_outputs_is_the_share_of_largest_ones_and_the_first_wins_a_tie(dtype):
    outputs = np.array([[0, 1, 2], [5, 5, 1], [5, 5, 1], [-1, -2, -3]], np.float32)
    assert_accuracy(outputs, np.array([2, 0, 1, 1], dtype), 2 / 4)


@pytest.mark.parametrize("dtype", LABEL_DTYPES)
def test_accuracy_takes_one_hot_rows(dtype):
    outputs = np.array([[0, 1, 2], [5, 5, 1], [5, 5, 1], [-1, -2, -3]], np.float32)
    assert_accuracy(outputs, np.eye(3)[[2, 0, 1, 1]].astype(dtype), 2 / 4)


@pytest.mark.slow
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_accuracy_of_int32_labels_works_in_float64(x64, n_outputs):
    assert_accuracy(np.ones((4, n_outputs)), np.full(4, int(n_outputs == 1), np.int32), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("right", [1, 3333, 9667, 9999])
def test_accuracy_in_float32_is_the_nearest_float(right):
    outputs = np.where(np.arange(10_000) < right, 1.0, -1.0).astype(np.float32)[:, None]
    assert_accuracy(outputs, np.ones(10_000, np.float32), np.float32(right / 10_000))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_accuracy_of_a_narrow_dtype_counts_more_examples_than_it_can_hold(dtype):
    outputs = np.ones((70_000, 2), dtype)  # float16 ends at 65,504
    actual = jax.jit(accuracy(lambda params, x: jnp.asarray(x)))(
        None, outputs, np.arange(70_000) % 10 % 3 % 2
    )  # 7 of 10 are even
    # One rounding to bfloat16, 2^-9.
    np.testing.assert_allclose(np.float32(actual), 0.7, rtol=2**-9)


@pytest.mark.parametrize(("outputs", "labels"), [((4, 3), (5,)), ((4, 3), (4, 1)), ((4, 3), (4, 2)), ((4, 1), (4, 2))])
def test_accuracy_refuses_labels_of_another_shape(outputs, labels):
    with pytest.raises(ValueError, match=r"accuracy of outputs \(4, .\) takes labels \(4,\)"):
        accuracy(lambda params, x: x)(None, np.ones(outputs, "f"), np.zeros(labels, np.int32))


def test_accuracy_refuses_what_is_no_function():
    with pytest.raises(TypeError, match="apply must be a function"):
        accuracy(mlp((2, 3)))


def assert_accuracy(outputs, y, expected):
    """Check that the identity network's accuracy is exactly that float, eagerly and compiled."""
    fn = accuracy(lambda params, x: jnp.asarray(x))
    assert fn(None, outputs, y) == expected
    assert jax.jit(fn)(None, outputs, y) == expected


def ravel(params):
    """The entries of params in one vector, and the function that cuts such a vector into arrays like params."""
    leaves, structure = jax.tree.flatten(params)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def unravel(flat):
        parts = (jnp if isinstance(flat, jax.Array) else np).split(flat, ends)
        return structure.unflatten([part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])

    return np.concatenate([leaf.ravel() for leaf in leaves]), unravel


def test_an_answer_that_is_not_a_number_and_a_label_that_is_no_class_are_wrong():
    outputs, labels = (
        jnp.asarray(np.array([[np.nan, 0.0], [0.0, 1.0], [1.0, 0.0]], "f")),
        np.array([0.0, 1.7, 0.0], np.float32),
    )
    fn = accuracy(lambda params, x: outputs)
    assert jax.jit(fn)(None, None, labels) == np.float32(1 / 3)  # traced: a fraction cannot be refused
    with pytest.raises(ValueError, match="For regression use r2"):
        fn(None, None, labels)
    assert accuracy(lambda params, x: jnp.ones((2, 1)))(None, None, np.array([1, 2])) == 0.5
