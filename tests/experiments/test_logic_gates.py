"""The logic gates: what perceptrons can do, training in one program against fit, counting, and the command."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import jaxmlp
from experiments.logic_gates import experiment as logic_gates
from experiments.logic_gates import figures as logic_figures
from experiments.logic_gates import networks, perceptrons, published
from experiments.logic_gates import training as logic_training
from experiments.logic_gates.settings import (
    BINARY,
    ONE_HOT,
    PUBLISHED,
    ROWS,
    SOFTMAX,
    SQUARED,
    USUAL,
    Setting,
)
from jaxmlp import activations, losses
from jaxmlp.datasets.synthetic import LOGIC_GATES, logic_gate

pytestmark = pytest.mark.usefixtures("rough")


@pytest.mark.parametrize("gate", ["and", "or"])
def test_the_given_perceptrons_compute_their_gates(gate):
    np.testing.assert_array_equal(perceptrons.given_perceptron(gate), logic_gate(gate).train[1])


def test_a_line_gives_14_of_the_16_gates_and_three_rows_of_the_other_two():
    best = perceptrons.best_without_hidden()
    assert {gate for gate, right in best.items() if right < 4} == {"xor", "xnor"}
    assert best["xor"] == best["xnor"] == 3
    # Every perceptron of a lattice of weights and biases gives one of the separable sets of answers, and all occur.
    w1, w2, b = np.meshgrid(*[np.arange(-2, 2.5, 0.5)] * 3)
    answers = {tuple(row) for row in np.stack([w1 * x1 + w2 * x2 + b >= 0 for x1, x2 in ROWS], -1).reshape(-1, 4)}
    assert {"".join(str(int(a)) for a in row) for row in answers} == {
        outputs for gate, outputs in LOGIC_GATES.items() if best[gate] == 4
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "loss"),
    [
        (Setting("xor", "tanh", 3, USUAL, BINARY, 0.05), "binary_cross_entropy"),
        (Setting("nand", "steep sigmoid", 2, PUBLISHED, SOFTMAX, 0.02), "softmax_cross_entropy"),
        (
            Setting("xor", "leaky_relu", 8, USUAL, ONE_HOT, 0.03),
            lambda z, y: losses.mean_squared_error(jax.nn.sigmoid(z), jax.nn.one_hot(y, 2)),
        ),
        (
            Setting("or", "relu", 4, USUAL, SQUARED, 0.05),
            lambda z, y: losses.mean_squared_error(jax.nn.sigmoid(z), y),
        ),
    ],
)
def test_a_run_in_one_program_with_others_is_the_run_that_fit_makes(setting, loss, trained):
    seed, outputs = 1, 1 if setting.form in (SQUARED, BINARY) else 2
    steep = activations.steep_sigmoid(2.0)
    activation = steep if setting.activation == "steep sigmoid" else setting.activation
    initializer = {"relu": "he_normal", "leaky_relu": "he_normal"}.get(setting.activation, "glorot_normal")
    if setting.weights == PUBLISHED:
        initializer = "glorot_uniform"
    net = jaxmlp.mlp((2, setting.width, outputs), activation=activation, initializer=initializer)
    init_key, fit_key = jax.random.split(jax.random.key(seed))
    params, optimizer = jax.jit(net.init)(init_key), jaxmlp.dialects.keras.adam(setting.learning_rate)
    if setting.weights == PUBLISHED:
        key = jax.random.split(init_key)[0]
        params = (params[0]._replace(w=0.75 + 0.01 * jax.random.normal(key, params[0].w.shape)), params[1])
    examples = logic_gate(setting.gate).train
    settings = {"key": fit_key, "epochs": EPOCHS, "batch_size": 4}
    end = jaxmlp.fit(jaxmlp.objective(net.apply, loss), params, optimizer, examples, **settings).params
    found = trained[setting]
    hidden, output = jax.tree.map(lambda a: a[seed], found.params)
    # 40 steps of float32, in which Adam multiplies roundings of gradients that are nearly 0.
    np.testing.assert_allclose(hidden.w[:, : setting.width], end[0].w, atol=2e-5)
    np.testing.assert_allclose(output.w[: setting.width, :outputs], end[1].w, atol=2e-5)
    assert not hidden.w[:, setting.width :].any() and not hidden.b[setting.width :].any()
    assert not output.w[setting.width :].any() and not output.w[:, outputs:].any()
    assert found.score[seed] == jax.jit(jaxmlp.accuracy(net.apply))(end, *examples)
    logits = np.asarray(jax.jit(net.apply)(end, examples[0]))
    np.testing.assert_allclose(found.logits[seed][:, :outputs], logits, atol=1e-4)
    if outputs == 1:
        expected = scipy.special.expit(logits[:, 0])
        np.testing.assert_allclose(logic_training.probabilities(setting, found, seed, ROWS, 2.0), expected, atol=1e-4)


EPOCHS = 40


@pytest.fixture(scope="module")
def trained(rough):
    """The settings of the test above, three seeds each."""
    settings = [
        Setting("xor", "tanh", 3, USUAL, BINARY, 0.05),
        Setting("nand", "steep sigmoid", 2, PUBLISHED, SOFTMAX, 0.02),
        Setting("xor", "leaky_relu", 8, USUAL, ONE_HOT, 0.03),
        Setting("or", "relu", 4, USUAL, SQUARED, 0.05),
    ]
    keys = jax.vmap(jax.random.key)(jnp.arange(3))
    counts = []
    found = logic_training.train(settings, keys, epochs=EPOCHS, steepness=2.0, on_runs=counts.append)
    assert list(found) == settings and sum(counts) == 12
    return found


def test_the_published_start_is_normal_in_the_hidden_layer_and_glorot_uniform_in_the_output_layer():
    n, settings = 2000, [network.setting for network in published.NETWORKS]
    starts = networks.starts(settings, jax.vmap(jax.random.key)(jnp.arange(n))).params
    for index, setting in enumerate(settings):
        hidden, output = jax.tree.map(lambda a, at=n * index: np.asarray(a[at : at + n], np.float64), starts)
        w, v = hidden.w[..., : setting.width].ravel(), output.w[:, : setting.width, 0].ravel()
        # Five standard errors of a mean and of a standard deviation.
        assert w.mean() == pytest.approx(0.75, abs=5 * 0.01 / w.size**0.5)
        assert w.std() == pytest.approx(0.01, abs=5 * 0.01 / (2 * w.size) ** 0.5)
        assert np.mean(np.abs(w - 0.75) > 0.01) == pytest.approx(2 * scipy.special.ndtr(-1), abs=0.03)
        bound = (6 / (setting.width + 1)) ** 0.5
        assert -bound <= v.min() < -0.99 * bound and 0.99 * bound < v.max() <= bound
        assert v.mean() == pytest.approx(0, abs=5 * bound / (3 * v.size) ** 0.5)
        assert v.std() == pytest.approx(bound / 3**0.5, rel=0.05)
        assert not hidden.b.any() and not output.b.any()


def test_the_nearest_run_is_that_of_the_least_largest_difference():
    network = published.NETWORKS[0]  # 0.517 0.506 0.506 0.492
    probabilities = np.array([[0.517, 0.506, 0.506, 0.4], [0.5, 0.5, 0.5, 0.5], [0.9, 0.506, 0.506, 0.492]])
    logits = np.stack([scipy.special.logit(probabilities), np.zeros((3, 4))], axis=-1)
    seed, found, distance = published.nearest(network, logic_training.Trained(None, logits, None, None, None))
    assert seed == 1 and distance == pytest.approx(0.017, abs=1e-6)
    np.testing.assert_allclose(found, 0.5, atol=1e-6)


def test_scikit_learn_as_published_gives_the_published_answers():
    sigmoid = published.classify("logistic", 20)
    assert (sigmoid.score, sigmoid.answers) == (0.5, [1, 1, 1, 1])


def test_a_unit_is_dead_where_it_is_0_on_all_rows_and_units_are_apart_by_their_incoming_weights():
    hidden = np.ones((3, 4, 2))
    hidden[1, :, 1] = 0
    hidden[2, :3, 0] = 0
    np.testing.assert_array_equal(logic_training.dead(hidden), [False, True, False])
    layer = jaxmlp.Layer(w=np.array([[[1.0, 1.5], [2.0, 2.25]]] * 2), b=np.array([[0.0, 0.125], [0.0, -3.0]]))
    np.testing.assert_array_equal(logic_training.apart((layer,)), [0.5, 3.0])


def test_the_share_of_successes_by_hand():
    # Wilson for 0 of n: (0, z^2 / (n + z^2)); with z = 1.959964 and n = 100: 3.841459 / 103.841459.
    rate, low, high = logic_gates.share(0, 100)
    assert (rate, low) == (0.0, 0.0) and high == pytest.approx(0.0369935, abs=1e-6)
    assert logic_gates.share(100, 100)[1] == pytest.approx(1 - 0.0369935, abs=1e-6)


@pytest.mark.slow
def test_the_command_writes_record_tables_and_pictures(tmp_path, monkeypatch, capsys):
    for module in (logic_gates, logic_figures):
        monkeypatch.setattr(module, "WIDTHS", (2, 3))
    monkeypatch.setattr(logic_training, "PIECE", 250)  # three pieces, the last filled up
    monkeypatch.setattr(logic_gates, "SKLEARN_SEEDS", 1)
    monkeypatch.setattr(published, "EPOCHS", 60)
    arguments = ["--seeds", "4", "--epochs", "60", "--learning-rates", "0.3", "--output", str(tmp_path)]
    assert logic_gates.main(arguments) == 0
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert results["rows_right_of_given_perceptrons"] == {"and": 4, "or": 4}
    alone = results["without_hidden_layer"]
    assert alone["xor"]["success_rate"] == alone["xnor"]["success_rate"] == 0
    assert alone["and"]["success_rate"] == 1 and alone["xor"]["best_of_all"] == 3
    assert len(results["runs"]) == 5 * 2 * 2 * 4 + 4 * 16 - 4 + 3  # XOR's are in both; the published rate is not given
    for entry in results["runs"]:
        digits = [int(digit) for digit in entry["rows_right_by_seed"]]
        assert len(digits) == 4 and entry["success_rate"] == digits.count(4) / 4
        assert entry["success_low"] <= entry["success_rate"] <= entry["success_high"]
    relu = results["published"]["scikit_learn"]["relu"]
    assert relu["as_published"]["score"] == 1 and relu["as_published"]["answers"] == [0, 1, 1, 0]
    assert 1000 < relu["as_published"]["iterations"] < 10_000 and [e["random_state"] for e in relu["others"]] == [0]
    for entry in results["published"]["keras"]:
        distances = np.abs(np.subtract(entry["nearest_run"]["probabilities"], entry["published_probabilities"]))
        assert len(entry["scores"]) == 4 and entry["nearest_run"]["distance"] == pytest.approx(distances.max())
    for picture in ("regions", "success", "forms", "gates", "steepness"):
        assert (tmp_path / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "XOR, one-hot, softmax, cross entropy" in out and "a line gives 14 of the 16 functions" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--steepness", "0"], "steepness must be in (0, inf); got 0"),
        (["--learning-rates", "0.1", "-1"], "--learning-rates must be > 0 and finite, got -1"),
        (["--learning-rates", "nan"], "--learning-rates must be > 0 and finite, got nan"),
    ],
)
def test_bad_options_are_refused_before_any_work(arguments, message, tmp_path, capsys, compile_log):
    assert logic_gates.main([*arguments, "--output", str(tmp_path / "none")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists() and compile_log == []
