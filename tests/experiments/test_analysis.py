"""The error analysis of classifiers: every statistic against a hand-made one, and every picture drawn once."""

import json
from itertools import product

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import jaxmlp
from experiments.common.analysis import figures as analysis_figures
from experiments.common.analysis import measures as analysis
from experiments.common.analysis import perception
from experiments.common.analysis.dissect import dissect
from jaxmlp import data
from jaxmlp.comparison import record
from jaxmlp.network import Layer

pytestmark = pytest.mark.usefixtures("rough")

FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
# True classes 0 0 0 1 1 2, answers 0 0 1 1 0 0; class 2 is never answered.
LABELS = np.array([0, 0, 0, 1, 1, 2])
LOGITS = np.log([[7, 2, 1], [6, 3, 1], [3, 5, 2], [1, 8, 1], [5, 4, 1], [4, 3, 3]]) + np.arange(6)[:, None]


def linear(params, x, *, with_hidden=False):
    outputs = x @ params[0].w
    outputs = outputs + jnp.broadcast_to(params[0].b, outputs.shape)
    return (outputs, ()) if with_hidden else outputs


def test_scores_are_those_done_by_hand():
    found = analysis.scores(LOGITS, LABELS, ("a", "b", "c"))
    np.testing.assert_array_equal(found.confusion, [[2, 1, 0], [1, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(found.support, [3, 2, 1])
    near = {"rtol": 1e-14}  # a few roundings
    np.testing.assert_allclose(found.precision, [2 / 4, 1 / 2, 0], **near)
    np.testing.assert_allclose(found.recall, [2 / 3, 1 / 2, 0], **near)
    np.testing.assert_allclose(found.f1, [4 / 7, 1 / 2, 0], **near)
    assert (found.n, found.accuracy) == (6, 0.5)
    assert found.macro_precision == pytest.approx(1 / 3, rel=1e-14)
    assert found.macro_recall == pytest.approx(7 / 18, rel=1e-14)
    assert found.macro_f1 == pytest.approx(5 / 14, rel=1e-14)
    of_true = np.array([0.7, 0.6, 0.3, 0.8, 0.4, 0.3])
    assert found.log_loss == pytest.approx(-np.log(of_true).mean(), rel=1e-13)
    np.testing.assert_allclose(analysis.probabilities(LOGITS)[np.arange(6), LABELS], of_true, rtol=1e-13)


def test_area_under_roc_is_the_share_of_pairs_in_the_right_order(tmp_path):
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(3, size=40), np.tile(rng.normal(size=(20, 3)), (2, 1))  # every example has a tie
    found = analysis.scores(logits, labels, ("a", "b", "c"))
    p = analysis.probabilities(logits)
    for k in range(3):
        pairs = list(product(p[labels == k, k], p[labels != k, k]))
        won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)
        assert found.auc[k] == pytest.approx(won / len(pairs), rel=1e-12)
        false_positive, true_positive = analysis.roc_curves(logits, labels)[k]
        assert np.trapezoid(true_positive, false_positive) == pytest.approx(found.auc[k], rel=1e-12)
    assert found.macro_auc == pytest.approx(np.mean(found.auc), rel=1e-12)
    record.write(tmp_path / "scores.json", found._asdict())
    assert json.loads((tmp_path / "scores.json").read_text())["confusion"] == found.confusion.tolist()


def test_probabilities_that_round_to_1_still_have_an_order():
    logits, labels = np.array([[0.0, 50.0], [0.0, 60.0], [0.0, 70.0], [0.0, 80.0]]), np.array([0, 0, 1, 1])
    assert np.all(analysis.probabilities(logits)[:, 1] == 1)
    np.testing.assert_array_equal(analysis.scores(logits, labels, ("a", "b")).auc, [1, 1])
    np.testing.assert_array_equal(analysis.confident_mistakes(logits, labels, 9).indices, [1, 0])


def test_a_class_without_examples_has_no_area_and_scores_nothing():
    found = analysis.scores(np.eye(3)[[0, 0, 1]], np.array([0, 1, 1]), ("a", "b", "c"))
    assert np.isnan(found.auc[2])
    assert found.macro_auc == pytest.approx(np.mean(found.auc[:2]))
    assert (found.recall[2], found.precision[2], found.f1[2], found.support[2]) == (0, 0, 0, 0)
    assert analysis.roc_curves(np.eye(3)[[0, 0, 1]], np.array([0, 1, 1]))[2] is None
    only = analysis.scores(np.array([1.0, -1.0]), np.array([1, 1]), ("a", "b"))
    assert np.isnan(only.macro_auc)


@pytest.mark.parametrize("shape", [(50,), (50, 1)])
def test_one_logit_scores_as_two_logits_of_the_same_difference(shape):
    rng = np.random.default_rng(1)
    z, labels = rng.normal(size=50), rng.integers(2, size=50)
    z[0] = 0.0  # a tie is no
    shift = rng.normal(size=50)
    one = analysis.scores(z.reshape(shape), labels.astype(np.float32), ("no", "yes"))
    two = analysis.scores(np.stack([shift, shift + z], axis=1), labels, ("no", "yes"))
    for a, b in zip(one, two, strict=True):
        if isinstance(a, np.ndarray | float):
            np.testing.assert_allclose(a, b, rtol=1e-13)  # the shift rounds
    assert one.accuracy == np.mean((z > 0) == labels)
    p = analysis.probabilities(z.reshape(shape))
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-14)


def test_mistakes_come_the_most_confident_first():
    found = analysis.confident_mistakes(LOGITS, LABELS, 2)
    # The wrong answers are examples 2, 4 and 5, with 0.5, 0.5 (equal but for rounding) and 0.4.
    np.testing.assert_array_equal(np.sort(found.indices), [2, 4])
    everything = analysis.confident_mistakes(LOGITS, LABELS, 99)
    assert everything.indices[2] == 5
    np.testing.assert_array_equal(everything.labels, LABELS[everything.indices])
    np.testing.assert_array_equal(everything.predicted[2], 0)
    np.testing.assert_allclose(everything.predicted_probability, [0.5, 0.5, 0.4], rtol=1e-13)
    np.testing.assert_allclose(everything.true_probability[2], 0.3, rtol=1e-13)
    assert len(analysis.confident_mistakes(np.eye(3), np.arange(3), 5).indices) == 0


def test_pca_is_that_of_the_singular_values_over_all_examples():
    features = np.random.default_rng(2).normal(size=(60, 5)) * [5, 3, 1, 1, 0.5]
    found = analysis.embedding(features.astype(np.float64), seed=0, count=20)
    centred = features - features.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    expected = (centred @ directions[:2].T)[found.indices]
    signs = np.sign(np.sum(expected * found.pca, axis=0))  # a direction has no sign of its own
    np.testing.assert_allclose(found.pca, expected * signs, atol=1e-12)  # numbers up to 15
    np.testing.assert_allclose(found.explained, (sizes**2 / np.sum(sizes**2))[:2], rtol=1e-12)
    assert len(set(found.indices)) == 20
    assert found.tsne is not None
    assert found.tsne.shape == (20, 2)
    again = analysis.embedding(features, seed=0, count=20)
    np.testing.assert_array_equal(found.tsne, again.tsne)
    assert set(analysis.embedding(features, seed=1, count=20).indices) != set(found.indices)


def test_tsne_keeps_far_groups_apart_and_is_left_out_where_it_has_nothing_to_do():
    rng = np.random.default_rng(3)
    group = np.repeat([0, 1], 40)
    features = rng.normal(size=(80, 10)) + 20.0 * group[:, None]
    found = analysis.embedding(features, seed=0)
    own, where = group[found.indices], found.tsne
    assert where is not None
    distances = np.linalg.norm(where[:, None] - where[None], axis=2) + 1e9 * np.eye(80)
    np.testing.assert_array_equal(own[distances.argmin(axis=1)], own)
    assert analysis.embedding(features[:, :2], seed=0).tsne is None
    dead = analysis.embedding(np.ones((9, 4)), seed=0)
    assert dead.tsne is None
    np.testing.assert_array_equal(dead.explained, 0)


@pytest.mark.slow
def test_the_surest_image_of_a_linear_classifier_is_the_corner_that_its_weights_point_to():
    rng = np.random.default_rng(4)
    w = rng.normal(size=(30, 2)).astype(np.float32)
    params = (Layer(jnp.asarray(w), jnp.zeros(2)),)
    low, high = -1.0, np.linspace(1, 2, 30)
    images, p = perception.surest_images(linear, params, 30, key=jax.random.key(0), low=low, high=high)
    toward = w[:, 1] > w[:, 0]
    # Float32: low + (high - low) * 1 rounds.
    np.testing.assert_allclose(images, [np.where(toward, low, high), np.where(toward, high, low)], rtol=1e-6)
    logits = images @ w
    odds = np.array([logits[0, 0] - logits[0, 1], logits[1, 1] - logits[1, 0]])
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-odds)), rtol=1e-5)
    one = (Layer(jnp.asarray(w[:, 1:] - w[:, :1]), jnp.zeros(1)),)
    np.testing.assert_array_equal(
        perception.surest_images(linear, one, 30, key=jax.random.key(0), low=low, high=high)[0], images
    )


@pytest.mark.slow
def test_an_image_stops_at_the_wanted_probability_and_no_step_leaves_the_noise():
    w = 0.3 * np.random.default_rng(5).normal(size=(50, 4)).astype(np.float32)
    ask = {"features": 50, "key": jax.random.key(1), "low": 0.0, "high": 1.0}
    params = (Layer(jnp.asarray(w), jnp.zeros(4)),)
    noise, before = perception.surest_images(linear, params, steps=0, **ask)
    stopped, p = perception.surest_images(linear, params, until=0.9, **ask)
    _, surest = perception.surest_images(linear, params, **ask)
    assert np.all((noise >= 0) & (noise < 1))
    assert len(np.unique(noise)) > 190
    assert np.all(before < 0.9)
    assert np.all((p >= 0.9) & (p < 0.93))  # a step changes the odds by little
    assert np.all(surest > p)
    assert np.max(np.abs(stopped - noise)) < 0.9
    np.testing.assert_allclose(np.diagonal(analysis.probabilities(stopped @ w)), p, rtol=1e-5)  # float32


def test_noise_is_answered_as_the_bias_says_where_weights_are_0():
    params = (Layer(jnp.zeros((6, 3)), jnp.log(jnp.array([0.05, 0.9, 0.05]))),)
    found = perception.noise_confidence(linear, params, 6, key=jax.random.key(0), count=500, threshold=0.8)
    np.testing.assert_array_equal(found.answers, [0, 500, 0])
    assert (found.n, found.share_above) == (500, 1.0)
    assert found.mean_top_probability == pytest.approx(0.9, rel=1e-6)  # float32
    assert perception.noise_confidence(linear, params, 6, key=jax.random.key(0), count=500).share_above == 0


def test_first_layer_sorts_units_by_their_norm():
    w = jnp.array([[1.0, 3.0, 0.0], [0.0, 4.0, -2.0]])
    np.testing.assert_array_equal(perception.first_layer((Layer(w, jnp.zeros(3)),)), [[3, 4], [0, -2], [1, 0]])


@pytest.mark.parametrize(
    ("logits", "labels", "names", "message"),
    [
        (np.array([[1.0, np.nan], [np.inf, 0.0], [0.0, 1.0]]), [0, 1, 1], "ab", "NaN or infinity in 2 of 3 examples"),
        (np.zeros((3, 2)), [0, 1], "ab", "labels must have shape"),
        (np.zeros((3, 2)), [0, 1, 2], "ab", "whole numbers from 0 to 1"),
        (np.zeros(2), [0.5, 1], "ab", "whole numbers from 0 to 1"),
        (np.zeros((3, 2)), [0, 1, 1], "abc", "must name 2 classes, got 3"),
        (np.zeros((0, 2)), [], "ab", "logits must have shape"),
        (np.zeros((2, 2, 2)), [0, 1], "ab", "logits must have shape"),
    ],
)
def test_what_cannot_be_scored_is_told(logits, labels, names, message):
    with pytest.raises(ValueError, match=message):
        analysis.scores(logits, np.array(labels), tuple(names))


def test_what_cannot_be_embedded_is_told():
    with pytest.raises(ValueError, match="d >= 2"):
        analysis.embedding(np.zeros((10, 1)), seed=0)
    with pytest.raises(ValueError, match="NaN or infinity in 10 of 10"):
        analysis.embedding(np.full((10, 3), np.nan), seed=0)


def draw_all(pictures):
    for name, draw in pictures.items():
        figure = draw()
        figure.set_dpi(50)
        figure.canvas.draw()
        width, _ = figure.get_size_inches()
        assert 3 < width < 7, name
        plt.close(figure)


@pytest.mark.slow
@pytest.mark.parametrize("names", [tuple("0123456789"), FASHION])
def test_ten_classes_of_images_are_described(names, tmp_path):
    rng = np.random.default_rng(6)
    raw = rng.uniform(size=(120, 64)).astype(np.float32)
    moments = data.moments(raw)
    net = jaxmlp.mlp((64, 12, 10))
    examples = data.standardise(raw, moments), rng.integers(10, size=120).astype(np.int32)
    results, pictures = dissect(
        net.apply, net.init(jax.random.key(0)), examples, names, (8, 8), moments=moments, count=50
    )
    assert set(pictures) == {
        *("confusion", "class_scores", "roc", "embeddings", "mistakes", "first_layer", "surest_images"),
    }
    record.write(tmp_path / "results.json", results)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["scores"]["n"] == 120
    assert len(kept["mistakes"]["indices"]) == 25
    assert np.all(np.array(kept["surest"]["surest"]) >= np.array(kept["surest"]["noise"]))
    draw_all(pictures)
    shown, noise = pictures["mistakes"].args[0], pictures["surest_images"].args[0]
    # Standardised and back, in float32, of numbers up to 1 and deviations of 0.3.
    np.testing.assert_allclose(shown, raw[kept["mistakes"]["indices"]], atol=1e-6)
    for images, _ in noise.values():
        assert images.min() > -1e-6
        assert images.max() < 1 + 1e-6


@pytest.mark.slow
def test_two_classes_by_one_logit_are_described():
    rng = np.random.default_rng(7)
    net = jaxmlp.mlp((7, 5, 1))
    examples = rng.normal(size=(90, 7)).astype(np.float32), rng.integers(2, size=90)
    params = net.init(jax.random.key(0))
    results, pictures = dissect(net.apply, params, examples, ("died", "survived"))
    assert set(pictures) == {"confusion", "class_scores", "roc", "logits", "embeddings"}
    assert set(results["explained_variance"]) == {"last hidden layer"}
    draw_all(pictures)


@pytest.mark.slow
def test_a_perfect_classifier_without_hidden_layer_is_described():
    x = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    params = (Layer(10 * jnp.eye(4), jnp.zeros(4)),)
    results, pictures = dissect(linear, params, (x, np.arange(40) % 4), tuple("abcd"), (2, 2))
    assert results["scores"]["accuracy"] == 1
    assert "mistakes" not in pictures
    draw_all({name: pictures[name] for name in ("roc", "embeddings", "first_layer")})


def test_originals_stand_above_their_variants():
    images = np.random.default_rng(8).uniform(size=(6, 12))
    figure = analysis_figures.image_grid(images, list("abcdef"), (3, 4), columns=3, row_names=("original", "rotated"))
    axes = figure.axes
    assert [ax.get_title() for ax in axes] == list("abcdef")
    assert [axes[0].get_ylabel(), axes[3].get_ylabel()] == ["original", "rotated"]
    np.testing.assert_array_equal(axes[4].images[0].get_array(), images[4].reshape(3, 4))
    plt.close(figure)
    draw_all({"short of a row": lambda: analysis_figures.image_grid(images[:5], (), (3, 4), columns=3)})
