"""The commands on MNIST, run small on made-up images, and what they count, by hand."""

import functools
import itertools
import json

import jax
import numpy as np
import numpy_mlp
import numpy_rules
import pytest
from rich.console import Console

import jaxmlp
from experiments import mnist_adam, mnist_best, mnist_sgd, mnist_small, mnist_transfer
from experiments.common import training_figures
from experiments.common.peers import numpy_network
from experiments.common.peers import numpy_rules as rules_by_hand
from experiments.common.peers.settings import Settings
from experiments.common.seeds import train_seeds
from experiments.estimators import experiment as estimators
from experiments.mnist_deep import experiment as mnist_deep
from experiments.titanic import experiment as titanic
from jaxmlp import Dataset

pytestmark = pytest.mark.usefixtures("rough")


@pytest.fixture
def images(monkeypatch):
    """Ten blurred patterns with noise in place of MNIST, so that no data set is needed and a network learns them."""
    rng = np.random.default_rng(0)
    patterns = rng.uniform(size=(10, 784))

    def examples(n):
        y = rng.permutation(np.arange(n) % 10).astype(np.int32)
        x = np.clip(0.5 * patterns[y] + 0.5 * rng.uniform(size=(n, 784)), 0, 1).astype(np.float32)
        return x, y

    made = Dataset("mnist", examples(400), examples(120), (28, 28), tuple("0123456789"))
    monkeypatch.setattr(jaxmlp.datasets, "load", lambda name, **where: made)
    return made


@pytest.fixture
def undissected(monkeypatch):
    """Leave out the analysis of errors, which test_analysis.py tests and which takes seconds."""
    for module in (mnist_adam, mnist_best, mnist_small):
        monkeypatch.setattr(module, "dissect", lambda *arguments, **options: ({"noise": NOISE, "surest": SUREST}, {}))


NOISE, SUREST = {"n": 10, "share_above": 0.5, "threshold": 0.99}, {"surest": [0.999, 0.9999]}


@pytest.fixture
def standard():
    """optax's schedules mix dtypes, which the strict promotion of the other tests forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def run(module, tmp_path, *words):
    assert module.main([*words, "--output", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out"
    results = json.loads((folder / "results.json").read_text())
    pictures = {path.stem for path in folder.glob("*.png")}
    return results, {row["quantity"]: row for row in results["comparisons"]}, pictures


@pytest.mark.slow
def test_sgd_counts_spikes_and_scores_every_seed(images, tmp_path, capsys):
    results, rows, pictures = run(
        mnist_sgd, tmp_path, "--seeds", "2", "--epochs", "3", "--batch-size", "40", "50", "--learning-rate", "0.5"
    )
    assert {"losses", "diagnostics", "confusion", "mistakes", "embeddings"} - pictures <= {"mistakes"}
    assert len(rows) == 14 and rows["batch 40: macro F1 after epoch 3"]["n"] == 2
    history = results["results"]["batch 40"]["history"]
    np.testing.assert_array_equal(
        rows["batch 40: test accuracy after epoch 1"]["values"], np.array(history["metrics"]["accuracy"])[:, 0]
    )
    assert results["results"]["spikes"]["training, mean of the epoch"]["epochs"] == 4
    assert "Spikes, rises of more than 10 %" in capsys.readouterr().out


def test_a_spike_is_a_rise_of_more_than_a_tenth():
    losses = np.array([[1.0, 0.5, 0.6, 0.65], [1.0, 0.9, 0.9, 2.7]])
    spikes = mnist_sgd.count_spikes(losses)  # 0.5 to 0.6 and 0.9 to 2.7; 0.6 to 0.65 is 8 %
    assert (spikes.epochs, spikes.spikes) == (6, 2) and spikes.largest_rise == pytest.approx(2.0)


def test_harm_shows_in_the_steps_after_the_worst_batch():
    calm = np.ones((1, 2, 40))
    calm[0, 1, 5] = 41.0  # a hard batch: the mean of the epoch is 2, the ten steps after it have 1
    assert mnist_sgd.after_the_worst_batch(calm) == pytest.approx(0.5)
    harmed = np.ones((1, 2, 40))
    harmed[0, 1, 5:] = 3.0
    assert mnist_sgd.after_the_worst_batch(harmed) == pytest.approx(3.0 / (5 / 40 + 3 * 35 / 40))
    late = np.ones((1, 2, 40))
    late[0, 1, 35] = 2.0  # fewer than ten steps after it
    assert np.isnan(mnist_sgd.after_the_worst_batch(late))


@pytest.mark.slow
def test_adam_keeps_the_best_epoch_and_tests_it(images, standard, undissected, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist_adam, "VALIDATION_COUNT", 80)
    # A schedule is known by identity: with one object, both seeds share a program.
    monkeypatch.setattr(mnist_adam, "falling_adam", functools.cache(mnist_adam.falling_adam))
    fit = jaxmlp.fit

    def timed(*arguments, epochs, **settings):
        assert epochs == 1
        return fit(*arguments, epochs=2, **settings)  # the program that the runs have compiled

    monkeypatch.setattr(jaxmlp, "fit", timed)
    results, rows, pictures = run(mnist_adam, tmp_path, "--seeds", "2", "--epochs", "2", "--batch-size", "40")
    assert rows["parameters"]["values"] == [222360]
    runs = results["results"]["runs"]["as published"]
    best = np.argmin(runs["validation_loss"], axis=1) + 1
    np.testing.assert_array_equal(results["results"]["tested"]["as published"]["best_epoch"], best)
    assert len(rows["seconds per epoch, one run alone"]["values"]) == 5
    assert {"augmented", "losses"} <= pictures
    assert rows["rotation interpolated: test accuracy (%)"]["published"] == "-"
    assert rows["as published: test accuracy (%)"]["published"] == "98.37"


def test_one_seed_of_adam_gives_no_range_and_several_give_one():
    names = (mnist_adam.PUBLISHED, mnist_adam.INTERPOLATED, mnist_adam.FALLING, mnist_adam.PLAIN)
    one = {name: {"test_accuracy": [0.98 + index / 1000]} for index, name in enumerate(names)}
    surest = {"noise": NOISE, "surest": {"surest": [1.0, 0.99999999]}}
    notes = " ".join(mnist_adam._notes(surest, one))
    assert "seed 0 has 98.00 %" in notes and "cosine +0.20" in notes and "by one seed" in notes
    assert "probability of more than 99.9999 %" in notes
    several = {name: {"test_accuracy": [0.98, 0.982, 0.984]} for name in names}
    several[mnist_adam.FALLING] = {"test_accuracy": [0.99, 0.992, 0.994]}
    notes = " ".join(mnist_adam._notes(surest, several))
    # Mean 98.2, deviation 0.2; t(0.975; 2) = 4.303, times 0.2 sqrt(4 / 3): 0.99.
    assert "98.00 to 98.40 %; 1 of 3 reach it" in notes and "inside the interval of 97.21 to 99.19 %" in notes
    assert "cosine +1.00 (+" in notes and "augmentation +0.00 (-" in notes


def test_the_falling_rate_falls_along_a_cosine(standard):
    optimizer = mnist_adam.falling_adam(0.1, steps=4)
    params = {"w": jax.numpy.ones(3)}
    state, rates, update = optimizer.init(params), [], jax.jit(optimizer.update)
    for _ in range(4):
        updates, state = update({"w": jax.numpy.ones(3)}, state, params)
        rates.append(-float(updates["w"][0]))  # Adam's step on a constant gradient is its rate
    np.testing.assert_allclose(rates, 0.05 * (1 + np.cos(np.pi * np.arange(4) / 4)), rtol=1e-5)  # float32


@pytest.mark.slow
def test_small_compares_sigmoids_with_softmax(images, undissected, tmp_path, capsys):
    _, rows, pictures = run(mnist_small, tmp_path, "--seeds", "2", "--epochs", "2", "--batch-size", "40")
    assert len(rows) == 3 and "accuracy" in pictures
    assert "sigmoid probabilities of seed 0 add up to" in capsys.readouterr().out


def test_the_sigmoid_losses_are_those_written_out():
    outputs = np.array([[0.0, np.log(3.0)], [np.log(4.0), 0.0]], np.float32)
    labels = np.array([1, 0])  # sigmoids 1/2 and 3/4, 4/5 and 1/2
    expected = -np.mean(np.log([1 / 2, 3 / 4, 4 / 5, 1 / 2]))
    assert jax.jit(mnist_small.sigmoid_cross_entropy)(outputs, labels) == pytest.approx(expected, rel=1e-6)
    squared = np.mean([1 / 4, 1 / 16, 1 / 25, 1 / 4])
    assert jax.jit(mnist_small.sigmoid_squared_error)(outputs, labels) == pytest.approx(squared, rel=1e-6)


@pytest.mark.slow
def test_deep_times_every_system_on_the_same_settings(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mnist_deep, "LAYER_SIZES", (784, 16, 10))
    monkeypatch.setattr(mnist_deep.peers, "PEERS", {"PyTorch": lambda *_: None})
    results, rows, _ = run(mnist_deep, tmp_path, "--seeds", "2", "--epochs", "2", "--batch-size", "40")
    assert set(results["results"]["runs"]) == {"jaxmlp", mnist_deep.BY_HAND, mnist_deep.BY_HAND_32, "scikit-learn"}
    ratio = rows["scikit-learn: seconds divided by those of jaxmlp"]["values"]
    seconds = {name: [run["seconds"] for run in runs] for name, runs in results["results"]["runs"].items()}
    np.testing.assert_allclose(ratio, np.divide(seconds["scikit-learn"], seconds["jaxmlp"]))
    assert "PyTorch is not installed" in capsys.readouterr().out


def test_the_network_by_hand_has_the_gradients_and_steps_derived_elsewhere():
    rng = np.random.default_rng(0)
    sizes = (7, 6, 5, 3)
    layers = [(rng.normal(size=shape), rng.normal(size=shape[1])) for shape in itertools.pairwise(sizes)]
    x, y = rng.normal(size=(20, 7)), rng.integers(0, 3, 20)
    loss, grads = numpy_network.loss_and_grads(layers, x, np.eye(3)[y])
    expected, expected_grads = numpy_mlp.loss_and_grads(layers, x, y, activation="relu", loss="softmax_cross_entropy")
    assert loss == pytest.approx(expected, rel=1e-13)
    for pair, expected_pair in zip(grads, expected_grads, strict=True):
        for grad, wanted in zip(pair, expected_pair, strict=True):
            np.testing.assert_allclose(grad, wanted, rtol=0, atol=1e-14)  # float64 sums of 20 terms of order 1


@pytest.mark.parametrize("name", rules_by_hand.RULES)
def test_the_rules_by_hand_take_the_steps_derived_elsewhere(name):
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(7, 6)), rng.normal(size=6))]
    moved = [(w.copy(), b.copy()) for w, b in layers]
    rule = rules_by_hand.RULES[name](moved, 0.01)
    seen = [rng.normal(size=(7, 6)) for _ in range(5)]
    for g in seen:
        rule.update(moved, [(g, np.ones(6))])
    steps = getattr(numpy_rules, name)(seen, learning_rate=0.01)
    np.testing.assert_allclose(moved[0][0] - layers[0][0], np.sum(steps, axis=0), rtol=1e-10, atol=1e-14)


def test_the_network_by_hand_learns_what_ours_learns(images):
    settings = Settings((784, 32, 10), batch_size=40, learning_rate=1e-3)
    layers, losses = numpy_network.train(settings, *images.train, epochs=8, seed=0, dtype=np.float32)
    assert losses[-1] < 0.5 * losses[0]
    assert np.mean(numpy_network.predict(layers, images.test[0]) == images.test[1]) > 0.9
    assert layers[0][0].dtype == np.float32


@pytest.mark.slow
def test_transfer_freezes_what_it_says_and_counts_from_zero(images, tmp_path):
    results, rows, _ = run(
        mnist_transfer, tmp_path, "--seeds", "2", "--examples", "10", "--steps", "20", "--epochs", "2"
    )
    assert len(rows) == 3 and (tmp_path / "out" / results["results"]["kept"]).exists()
    x, y = mnist_transfer.part_of(images.train, range(5, 10))
    assert len(y) == 200 and set(y) == set(range(5))
    few_x, few_y = mnist_transfer._few((x, y), 12)
    assert np.bincount(few_y, minlength=5).min() == 2 and few_x.shape == (12, 784)
    network = jaxmlp.mlp(mnist_transfer.LAYER_SIZES)
    result = train_seeds(  # the program that the command has compiled
        "",
        Console(quiet=True),
        jaxmlp.objective(network.apply),
        network.init,
        mnist_transfer.adam_on_last,
        0.1,
        (x[:10], y[:10]),
        seeds=2,
        epochs=20,
        batch_size=10,
    )
    params = network.init(jax.random.split(jax.random.key(0))[0])
    ends = [np.asarray(layer.w)[0] for layer in result.params]
    changed = [bool(np.any(np.asarray(before.w) != end)) for before, end in zip(params, ends, strict=True)]
    assert changed == [False, False, True]


def small_best(monkeypatch):
    plain = mnist_best.Setting(layer_sizes=(784, 16, 10), epochs=2, batch_size=40)
    changes = {"rotation": 5.0, "flip": True, "dropout": 0.1}
    changed = mnist_best.Setting(layer_sizes=(784, 16, 10), epochs=1, batch_size=40, **changes)
    monkeypatch.setattr(mnist_best, "VALIDATION_COUNT", 80)
    monkeypatch.setitem(mnist_best.CANDIDATES, "mnist", {"plain": plain, "changed": changed})
    monkeypatch.setitem(mnist_best.CHOSEN, "mnist", "changed")


@pytest.mark.slow
def test_best_takes_the_candidate_of_highest_validation_accuracy(
    images, standard, undissected, tmp_path, monkeypatch, capsys
):
    small_best(monkeypatch)
    results, rows, _ = run(mnist_best, tmp_path, "--seeds", "2", "--choose")
    means = {
        name: np.mean([run["validation_accuracy"][-1] for run in runs])
        for name, runs in results["results"]["runs"].items()
    }
    assert results["results"]["chosen"] == max(means, key=means.get) and len(means) == 2
    assert rows["test accuracy (%)"]["n"] == 2
    assert "Candidates, on the held-out images" in capsys.readouterr().out
    assert not (tmp_path / "out" / "unfinished-runs").exists()


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_was(images, standard, undissected, tmp_path, monkeypatch, capsys):
    small_best(monkeypatch)
    monkeypatch.setitem(mnist_best.CHOSEN, "mnist", "plain")  # of two epochs
    trained, epochs = mnist_best._trained, []

    def interrupted(*arguments):
        *given, on_epoch, kept = arguments

        def ended():
            epochs.append(kept.name)
            if len(epochs) == 4:
                raise KeyboardInterrupt
            on_epoch()

        return trained(*given, ended, kept)

    monkeypatch.setattr(mnist_best, "_trained", interrupted)
    assert mnist_best.main(["--seeds", "2", "--output", str(tmp_path / "out")]) == 130
    assert "interrupted" in capsys.readouterr().err
    resumed, _, _ = run(mnist_best, tmp_path, "--seeds", "2", "--resume")
    assert epochs == ["0-0.run", "0-0.run", "0-1.run", "0-1.run", "0-1.run"]
    assert mnist_best.main(["--seeds", "2", "--output", str(tmp_path / "whole")]) == 0
    whole = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert resumed["results"]["test_loss"] == whole["results"]["test_loss"]


@pytest.mark.parametrize(
    ("module", "words", "message"),
    [
        (mnist_sgd, ["--epochs", "1"], "--epochs must be at least 2"),
        (mnist_sgd, ["--seeds", "0"], "--seeds must be at least 1"),
        (mnist_adam, ["--rotation", "-1"], "rotation must be in"),
        (mnist_transfer, ["--examples", "3"], "--examples must be at least 5"),
        (mnist_best, ["--resume"], "nothing to resume"),
    ],
)
def test_bad_options_are_told_in_one_line(module, words, message, images, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(mnist_adam, "VALIDATION_COUNT", 80)
    monkeypatch.setattr(mnist_best, "VALIDATION_COUNT", 80)
    assert module.main([*words, "--output", str(tmp_path / "none")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "none" / "results.json").exists()


HUGE = "99999999999999999999"
TRAINING = (["--epochs", HUGE], ["--batch-size", HUGE], ["--learning-rate", "1e39"], ["--learning-rate", "1e-46"])
OPTIONS = {
    mnist_sgd: [*TRAINING, ["--batch-size", "60001"]],
    mnist_adam: [*TRAINING, ["--padding", HUGE], ["--padding", "-1"], ["--rotation", "nan"], ["--rotation", "1e39"]],
    mnist_small: TRAINING,
    mnist_deep: TRAINING,
    mnist_transfer: [["--examples", "29405"], ["--steps", HUGE], ["--epochs", HUGE]],
    mnist_best: [["--epochs", HUGE], ["--dataset", "titanic"], ["--resume"]],
    titanic: [["--epochs", HUGE], ["--hidden", HUGE], ["--keras", HUGE], ["--activation", "relo"]],
    estimators: [["--epochs", HUGE], ["--turns", HUGE], ["--parts", "none"]],
}


@pytest.mark.parametrize("module", OPTIONS, ids=lambda module: module.__name__.split(".")[1])
def test_options_are_checked_before_data_are_loaded(module, tmp_path, capsys, monkeypatch):
    def load(*arguments, **where):
        raise AssertionError("data are loaded")

    monkeypatch.setattr(jaxmlp.datasets, "load", load)
    monkeypatch.setattr(titanic, "titanic_table", load)
    for words in [*OPTIONS[module], ["--seeds", "0"], ["--seeds", HUGE]]:
        assert module.main([*words, "--output", str(tmp_path / "none")]) == 2, words
        assert words[0].removeprefix("--") in capsys.readouterr().err.replace("_", "-")
        assert not (tmp_path / "none").exists()


def test_the_picture_of_times_and_of_examples_can_be_drawn():
    figure = training_figures.times("a title", {"a": [1.0, 2.0], "b": [3.0]})
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["a", "b"]
    figure = training_figures.by_examples("a title", {"a": {10: np.array([90.0, 91.0]), 100: np.array([95.0])}})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [9.5, 5.0])
