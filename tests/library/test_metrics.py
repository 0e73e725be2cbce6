"""The metrics and the weighted losses against scikit-learn's, and what they refuse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn

import jaxmlp
from jaxmlp import losses

N = 40
RNG = np.random.default_rng(0)
WEIGHT = RNG.uniform(0, 2, N).astype("f")
WEIGHT[:5] = 0
LOGITS = RNG.normal(size=(N, 3)).astype("f")
LABELS, ANSWERS = RNG.integers(0, 3, N), RNG.integers(0, 2, (N, 3))
NUMBERS = RNG.normal(size=(N, 3)).astype("f")
WEIGHTS = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["even", "weighted"])


def measured(build, outputs, y, weight):
    """The metric of the identity network, compiled."""
    fn = build(lambda params, x: jnp.asarray(x))
    return float(jax.jit(fn)(None, outputs, y, *(() if weight is None else (weight,))))


@WEIGHTS
def test_metrics_are_those_of_scikit_learn(weight):
    find = functools.partial(measured, weight=weight)
    close = functools.partial(pytest.approx, rel=1e-5, abs=1e-6)  # float32 sums of 40 terms
    options = {"sample_weight": weight}
    predicted = LOGITS > 0
    assert find(jaxmlp.accuracy, LOGITS, LABELS) == close(
        sklearn.accuracy_score(LABELS, LOGITS.argmax(axis=1), **options)
    )
    assert find(jaxmlp.exact_match, LOGITS, ANSWERS) == close(sklearn.accuracy_score(ANSWERS, predicted, **options))
    own = np.mean([sklearn.accuracy_score(ANSWERS[:, k], predicted[:, k], **options) for k in range(3)])
    assert find(jaxmlp.binary_accuracy, LOGITS, ANSWERS) == close(own)
    one = sklearn.accuracy_score(ANSWERS[:, 0], predicted[:, 0], **options)
    assert find(jaxmlp.binary_accuracy, LOGITS[:, :1], ANSWERS[:, 0]) == close(one)
    assert find(jaxmlp.r2, LOGITS, NUMBERS) == close(sklearn.r2_score(NUMBERS, LOGITS, **options))
    assert find(jaxmlp.mean_squared_error, LOGITS, NUMBERS) == close(
        sklearn.mean_squared_error(NUMBERS, LOGITS, **options)
    )


@WEIGHTS
def test_losses_are_those_of_scikit_learn(weight):
    rest = () if weight is None else (weight,)
    close = functools.partial(pytest.approx, rel=1e-5)  # float32 sums of 40 terms
    probabilities = np.asarray(jax.nn.softmax(LOGITS.astype(float)))
    expected = sklearn.log_loss(LABELS, probabilities, sample_weight=weight)
    assert float(losses.softmax_cross_entropy(LOGITS, LABELS, *rest)) == close(expected)
    assert float(losses.softmax_cross_entropy(LOGITS, np.eye(3, dtype="f")[LABELS], *rest)) == close(expected)
    yes = np.asarray(jax.nn.sigmoid(LOGITS[:, 0].astype(float)))
    expected = sklearn.log_loss(ANSWERS[:, 0], yes, sample_weight=weight)
    assert float(losses.binary_cross_entropy(LOGITS[:, :1], ANSWERS[:, 0], *rest)) == close(expected)
    expected = sklearn.mean_absolute_error(NUMBERS, LOGITS, sample_weight=weight)
    assert float(losses.mean_absolute_error(LOGITS, NUMBERS, *rest)) == close(expected)


def test_a_list_of_several_kinds_of_numbers_is_an_array():
    assert float(losses.weighted_mean([1, 2.5, True])) == 1.5
    answers = [[0, True, 1.0], [1, 0, 0.0], [0, 0, 0]]
    binary = jaxmlp.binary_accuracy(lambda params, x: jnp.asarray(x))
    assert binary(None, np.asarray(answers, "f") - 0.5, answers) == 1


def test_class_weights_multiply_those_of_the_examples():
    table = (0.5, 2.0, 3.0)
    loss_fn = jaxmlp.objective(lambda params, x: jnp.asarray(x), class_weight=table)
    probabilities = np.asarray(jax.nn.softmax(LOGITS.astype(float)))
    expected = sklearn.log_loss(LABELS, probabilities, sample_weight=WEIGHT * np.asarray(table)[LABELS])
    penalty_free = {}
    for y in (LABELS, np.eye(3, dtype="f")[LABELS]):
        assert float(loss_fn(penalty_free, LOGITS, y, WEIGHT)) == pytest.approx(expected, rel=1e-5)
    assert loss_fn == jaxmlp.objective(loss_fn.apply, class_weight=np.asarray(table))
    with pytest.raises(ValueError, match=r"class_weight must hold one number per class; .* 3 classes, got 2"):
        jaxmlp.objective(loss_fn.apply, class_weight=(1, 2))(penalty_free, LOGITS, LABELS)
    with pytest.raises(ValueError, match=r"class_weight must be in \[0, inf\)"):
        jaxmlp.objective(loss_fn.apply, class_weight=(1, -2))
    with pytest.raises(TypeError, match="tuple, list or NumPy array of one number per class"):  # not its keys
        jaxmlp.objective(loss_fn.apply, class_weight={0: 0.5, 1: 2.0, 2: 3.0})
    with pytest.raises(ValueError, match="one number per example"):  # not broadcast
        loss_fn(penalty_free, LOGITS, LABELS, np.ones(1))


def test_a_constant_target_counts_as_in_scikit_learn():
    for outputs in (np.ones((4, 1), "f"), np.arange(4, dtype="f")[:, None]):
        expected = sklearn.r2_score(np.ones(4), outputs)
        assert measured(jaxmlp.r2, outputs, np.ones(4, "f"), None) == expected


def test_weights_of_zero_alone_give_zero_and_a_finite_gradient():
    value, slope = jax.value_and_grad(lambda o: losses.mean_squared_error(o, jnp.ones(3), jnp.zeros(3)))(jnp.zeros(3))
    assert value == 0 and (slope == 0).all()


REFUSED = [
    (jaxmlp.accuracy, ANSWERS, "use binary_accuracy or exact_match"),
    (jaxmlp.accuracy, NUMBERS, "use r2 or mean_squared_error"),
    (jaxmlp.accuracy, NUMBERS[:, 0], "For regression use r2"),
    (jaxmlp.binary_accuracy, NUMBERS, "takes targets 0 and 1; for classes use accuracy, for numbers r2"),
    (jaxmlp.exact_match, LABELS, r"exact_match of outputs \(40, 3\) takes targets of that shape"),
    (jaxmlp.r2, NUMBERS[:, :2], r"r2 of outputs \(40, 3\) takes targets of that shape"),
]


@pytest.mark.parametrize(("build", "y", "match"), REFUSED)
def test_metrics_refuse_targets_of_another_kind_inside_fit_too(build, y, match, compile_log):
    with pytest.raises(ValueError, match=match):
        build(lambda params, x: x)(None, LOGITS, y)
    metric = build(lambda params, x: x * params)

    def loss_fn(params, x, y, *, key=None):
        return jnp.mean((x * params) ** 2)

    train, options = (LOGITS, y), {"key": jax.random.key(0), "epochs": 1, "batch_size": 40}
    with pytest.raises(ValueError, match=match):
        sgd = jaxmlp.optimizers.sgd(0.1)
        jaxmlp.fit(loss_fn, jnp.float32(1), sgd, train, validation=train, metrics={"it": metric}, **options)
    assert "jit(_run)" not in compile_log


def test_weights_beside_the_targets_are_told_where_they_belong():
    with pytest.raises(TypeError, match=r"give weights as a third part of the examples: \(x, y, weight\)"):
        jaxmlp.accuracy(lambda params, x: x)(None, LOGITS, (LABELS, WEIGHT))
