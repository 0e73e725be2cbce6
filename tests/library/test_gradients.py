"""The gradients of JAX against backpropagation by hand (numpy_mlp), and both against central differences."""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy_mlp
import pytest

from jaxmlp import Layer, activations, losses, mlp, objective

# 2^-52 is float64's relative rounding error, so 1e-12 leaves 4500 of them to chains of up to 4 layers with sums of up
# to 5 terms. `well_conditioned` keeps out the few random networks in which a sum cancels and loses more than that.
FLOAT64 = 1e-12
# 84 relative rounding errors of float32 (2^-23): a gradient here is a chain of 3 layers, each one sum of at most 6
# products and about 5 roundings of an activation and its slope, so about 3 * 11 forward and as many backward.
FLOAT32 = 1e-5
# Truncation: eps^2 |f'''| / 6 with eps = 1e-5 and |f'''| < 100, 1.7e-9. Rounding: the loss, below 5, is off by some 20
# roundings of 1.1e-16, which the division by eps turns into 1.1e-9. Kinks are further away than eps and add nothing.
CENTRAL = 3e-9

# LLVM's optimisation is a third of the cost of these tests, and differentiation is done before it.
FASTER = {"xla_backend_optimization_level": 0}

SIZES = (3, 5, 4)
PENALTIES = {"l1": 0.03, "l2": 0.07}
SOFT = tuple((loss, "soft") for loss in sorted(numpy_mlp.LOSSES))
FORMS = (("softmax_cross_entropy", "labels"), ("softmax_cross_entropy", "one_hot"), *SOFT)
COLUMNS = tuple(  # (n,) and (n, 1), see example
    (loss, targets)
    for loss in ("binary_cross_entropy", "mean_absolute_error", "mean_squared_error")
    for targets in ("labels", "one_hot")
)
ONE_EACH = (  # every activation and every loss once
    *((activation, "softmax_cross_entropy") for activation in sorted(numpy_mlp.ACTIVATIONS)),
    *(("tanh", loss) for loss in sorted(numpy_mlp.LOSSES) if loss != "softmax_cross_entropy"),
)
SMOOTH = sorted(set(numpy_mlp.ACTIVATIONS) - {"step"})  # the slope of step is 0 by convention, not by its graph


class Case(NamedTuple):
    """A network, an objective and an example."""

    sizes: tuple[int, ...]
    n: int
    activation: str
    loss: str
    targets: str = "soft"
    seed: int = 1
    penalties: tuple[tuple[str, float], ...] = tuple(PENALTIES.items())

    def example(self):
        return example(self.sizes, n=self.n, loss=self.loss, seed=self.seed, targets=self.targets)

    def settings(self):
        return {"activation": self.activation, "loss": self.loss, **dict(self.penalties)}

    def objective(self, **settings):
        net = mlp(self.sizes, activation=self.activation, **settings)
        return objective(net.apply, self.loss, **dict(self.penalties))

    def expected(self, **settings):
        return numpy_mlp.loss_and_grads(*self.example(), **self.settings(), **settings)


def answers(cases, dtype=np.float64):
    """The loss and gradients by JAX of each case, in one program, which compiles faster than several.

    Cases of the same sizes, number and seed have the same parameters and inputs, so that XLA forms their outputs once.
    """
    inputs, targets = {}, {}
    for name, case in cases.items():
        params, x, y = case.example()
        inputs[case.sizes, case.n, case.seed] = as_layers(params, dtype), x.astype(dtype)
        targets[name] = y if y.dtype.kind == "i" else y.astype(dtype)

    @functools.partial(jax.jit, compiler_options=FASTER if dtype == np.float64 else None)
    def values_and_grads(inputs, targets):
        return {
            name: jax.value_and_grad(case.objective())(*inputs[case.sizes, case.n, case.seed], targets[name])
            for name, case in cases.items()
        }

    return jax.device_get(values_and_grads(inputs, targets))


def test_the_hand_derivation_covers_every_activation_and_loss():
    assert set(numpy_mlp.ACTIVATIONS) == set(activations.ACTIVATIONS)
    assert set(numpy_mlp.LOSSES) == set(losses.LOSSES)


@pytest.mark.slow
@pytest.mark.parametrize("loss", sorted(numpy_mlp.LOSSES))
@pytest.mark.parametrize("activation", sorted(numpy_mlp.ACTIVATIONS))
def test_loss_and_gradients_agree_for_every_activation_and_loss(x64, activation, loss):
    actual = answers_to_all()[activation, loss]
    params, x, y = example((*SIZES, 2), n=5, loss=loss, seed=1)
    expected = numpy_mlp.loss_and_grads(params, x, y, activation=activation, loss=loss, **PENALTIES)
    assert_same(actual, expected, FLOAT64)


@pytest.mark.slow
@pytest.mark.parametrize("loss", sorted(numpy_mlp.LOSSES))
@pytest.mark.parametrize("activation", SMOOTH)
def test_gradients_agree_with_central_differences(x64, activation, loss):
    params, x, y = example((*SIZES, 2), n=5, loss=loss, seed=1)
    assert_away_from_kinks(params, x, y, activation, loss)

    def by_hand(point):
        return numpy_mlp.loss_and_grads(point, x, y, activation=activation, loss=loss, **PENALTIES)

    numeric = jax.tree.leaves(numpy_mlp.central_differences(lambda point: by_hand(point)[0], params))
    for _, grads in (by_hand(params), answers_to_all()[activation, loss]):
        for leaf, numeric_leaf in zip(jax.tree.leaves(grads), numeric, strict=True):
            np.testing.assert_allclose(leaf, numeric_leaf, rtol=0, atol=CENTRAL)


@functools.cache
def answers_in_float32():
    return answers({case: Case((*SIZES, 2), 5, *case) for case in ONE_EACH}, dtype=np.float32)


@pytest.mark.parametrize(("activation", "loss"), ONE_EACH)
def test_gradients_agree_in_float32(activation, loss):
    params, x, y = example((*SIZES, 2), n=5, loss=loss, seed=1)
    actual = answers_in_float32()[activation, loss]
    assert {leaf.dtype for leaf in jax.tree.leaves(actual)} == {jnp.dtype(jnp.float32)}
    expected = numpy_mlp.loss_and_grads(params, x, y, activation=activation, loss=loss, **PENALTIES)
    assert_same(actual, expected, FLOAT32)


@pytest.mark.slow
def test_gradients_agree_over_random_shapes_and_depths(x64):
    rng, cases = np.random.default_rng(0), {}

    def draw(*values):
        return values[rng.integers(len(values))]

    while len(cases) < 20:
        loss = draw(*sorted(numpy_mlp.LOSSES))
        hidden = [draw(1, 2, 5) for _ in range(draw(0, 1, 2, 3))]
        case = Case(
            (draw(1, 2), *hidden, draw(2, 3) if loss == "softmax_cross_entropy" else draw(1, 2, 3)),
            # Odd, so that the signs in the gradient of mean_absolute_error cannot add up to zero.
            n=draw(1, 3),
            activation=draw(*sorted(numpy_mlp.ACTIVATIONS)),
            loss=loss,
            targets=draw("labels", "one_hot", "soft"),
            seed=int(rng.integers(2**32)),
            penalties=(("l1", draw(0.0, 0.02)), ("l2", draw(0.0, 0.3))),
        )
        if well_conditioned(*case.example(), **case.settings()):
            cases[str(case)] = case
    actual = answers(cases)
    for name, case in cases.items():
        assert_same(actual[name], case.expected(), FLOAT64, name)


SHAPES = {
    f"{sizes} {n} {loss} {targets}": Case(sizes, n, "tanh", loss, targets=targets, seed=7)
    for sizes, n, forms in (((3, 2), 5, FORMS), ((3, 2), 1, FORMS), ((2, 4, 2), 1, FORMS), ((3, 4, 1), 3, COLUMNS))
    for loss, targets in forms
}


@functools.cache
def answers_to_shapes():
    return answers(SHAPES)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_gradients_agree_for_one_layer_and_for_one_example_and_for_one_output(x64, name):
    case = SHAPES[name]
    if case.sizes[-1] == 1:
        assert case.example()[2].shape == {"labels": (3,), "one_hot": (3, 1)}[case.targets]
    assert_same(answers_to_shapes()[name], case.expected(), FLOAT64)


@pytest.mark.slow
def test_gradients_agree_under_dropout(x64):
    rates = (0.2, 0.5, 0.3)
    cases = {
        activation: Case((4, 8, 6, outputs), 5, activation, loss, seed=3, penalties=(("l2", 0.1),))
        for activation, loss, outputs in (("gelu", "softmax_cross_entropy", 3), ("leaky_relu", "mean_squared_error", 1))
    }

    @functools.partial(jax.jit, compiler_options=FASTER)
    def slopes_and_answers(examples, key):
        return {
            name: (
                dropout_slopes(case.sizes, rates, examples[name][1].shape, key),
                jax.value_and_grad(case.objective(dropout=rates))(*examples[name], key=key),
            )
            for name, case in cases.items()
        }

    examples = {name: case.example() for name, case in cases.items()}
    results = slopes_and_answers(
        {name: (as_layers(p), x, y) for name, (p, x, y) in examples.items()}, jax.random.key(5)
    )
    for name, case in cases.items():
        slopes, actual = results[name]
        masks = dropout_factors(slopes, rates)
        for mask in masks:
            assert 0 < np.count_nonzero(mask) < mask.size
        assert_same(actual, case.expected(masks=masks), FLOAT64, name)


@pytest.mark.parametrize("activation", ["gelu", "leaky_relu"])
def test_gradients_by_the_inputs_agree_with_central_differences(x64, activation):
    sizes = (*SIZES, 2)
    params, x, y = example(sizes, n=5, loss="mean_squared_error", seed=1)
    assert_away_from_kinks(params, x, y, activation, "mean_squared_error")

    def by_hand(point):
        return numpy_mlp.loss_and_grads(params, point, y, activation=activation, loss="mean_squared_error")[0]

    loss_fn = objective(mlp(sizes, activation=activation).apply, "mean_squared_error")
    actual = jax.jit(jax.grad(loss_fn, argnums=1))(as_layers(params), x, y)
    np.testing.assert_allclose(actual, numpy_mlp.central_differences(by_hand, x), rtol=0, atol=CENTRAL)


def test_weights_at_zero_get_no_gradient_from_l1(x64):
    params = (Layer(np.array([[0.0, 2.0], [-3.0, 0.0]]), np.zeros(2)),)
    loss_fn = objective(mlp((2, 2)).apply, "mean_squared_error", l1=0.5)
    # x = 0 and y = 0, so the data loss is 0 and flat.
    grads = jax.jit(jax.grad(loss_fn))(params, np.zeros((1, 2)), np.zeros((1, 2)))
    np.testing.assert_array_equal(grads[0].w, [[0.0, 0.5], [-0.5, 0.0]])


@functools.cache
def answers_to_all():
    """Of every activation with every loss, on the example of the loss."""
    cases = itertools.product(sorted(numpy_mlp.ACTIVATIONS), sorted(numpy_mlp.LOSSES))
    return answers({case: Case((*SIZES, 2), 5, *case) for case in cases})


def example(sizes, *, n, loss, seed, targets="soft"):
    """Random (params, x, y) in float64; weights of variance 1/fan_in keep outputs near 1, far from saturation."""
    rng = np.random.default_rng(seed)
    params = [
        (rng.normal(size=(fan_in, fan_out)) / np.sqrt(fan_in), 0.5 * rng.normal(size=fan_out))
        for fan_in, fan_out in itertools.pairwise(sizes)
    ]
    x = rng.uniform(-2, 2, size=(n, sizes[0]))
    if loss == "softmax_cross_entropy":
        labels = rng.integers(sizes[-1], size=n)
        soft = rng.dirichlet(np.ones(sizes[-1]), size=n)
        return params, x, {"labels": labels, "one_hot": np.eye(sizes[-1])[labels], "soft": soft}[targets]
    if loss == "binary_cross_entropy":
        soft = rng.uniform(size=(n, sizes[-1]))
        y = soft if targets == "soft" else np.round(soft)
    else:
        y = rng.normal(size=(n, sizes[-1]))
    return params, x, y[:, 0] if sizes[-1] == 1 and targets == "labels" else y


def as_layers(params, dtype=np.float64):
    return tuple(Layer(w.astype(dtype), b.astype(dtype)) for w, b in params)


def assert_same(actual, expected, rtol, name=""):
    """Compare (loss, grads) leaf by leaf: max|a - b| <= rtol max|b|; where b is 0 throughout, a must be exactly 0."""
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert np.shape(a) == np.shape(b)
        error, size = np.max(np.abs(np.asarray(a, np.float64) - b)), np.max(np.abs(b))
        assert error <= rtol * size, f"{name} error {error:.2e} of leaf {np.shape(b)} of size {size:.2e}"


def well_conditioned(params, x, y, **settings_):
    """Tell whether no leaf of the gradient is what is left after terms cancelled.

    A sum that cancels amplifies an error of its terms. Here every weight is off by 1e-14 (alternately up and down); if
    that moves a leaf by more than 1e-12 of its size, rounding alone does so too, in any program.
    """
    nudged = [
        (w * (1 + 1e-14 * (-1.0) ** np.arange(w.size).reshape(w.shape)), b * (1 - 1e-14 * (-1.0) ** np.arange(b.size)))
        for w, b in params
    ]
    _, grads = numpy_mlp.loss_and_grads(params, x, y, **settings_)
    _, others = numpy_mlp.loss_and_grads(nudged, x, y, **settings_)
    pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(others), strict=True)
    return all(np.max(np.abs(a - b)) <= 1e-12 * np.max(np.abs(b)) for a, b in pairs)


def assert_away_from_kinks(params, x, y, activation, loss):
    """Check that a step of 1e-5 in one parameter cannot carry |w|, an activation or |outputs - y| over its kink."""
    layers = range(1, len(params) + 1)
    zs = [numpy_mlp.forward(params[:layer], x, activation=activation) for layer in layers]
    at_kinks = [w for w, _ in params] + zs[:-1] + ([zs[-1] - y] if loss == "mean_absolute_error" else [])
    # Inputs and hidden values are below 10 here, and a step passes at most 3 layers of weights of about 1.
    assert min(np.min(np.abs(values)) for values in at_kinks) > 10 * 1e-5


def dropout_slopes(sizes, rates, shape, key):
    """The gradients, by the parameters of a linear network of those sizes, of the sum of each example's outputs.

    With all parameters 1 and x = 1 everything stays positive, and for the output o_i of example i, summed over outputs,
    do_i/dw_l[j, k] = h_l[i, j] delta_l[i, k]: it is 0 for all k exactly where entry j was dropped, unless all units
    above were dropped.
    """
    ones = tuple(Layer(jnp.ones(pair), jnp.ones(pair[1])) for pair in itertools.pairwise(sizes))
    linear = mlp(sizes, activation="identity", dropout=rates)
    return jax.jacrev(lambda params: linear.apply(params, jnp.ones(shape), key=key).sum(axis=-1))(ones)


def dropout_factors(slopes, rates):
    """Read the factors 0 or 1/(1 - rate) of every layer's input off those gradients."""
    assert all(np.all(np.any(layer.w != 0, axis=(1, 2))) for layer in slopes)  # some unit above was kept
    return [np.any(np.asarray(layer.w) != 0, axis=2) / (1 - rate) for layer, rate in zip(slopes, rates, strict=True)]
