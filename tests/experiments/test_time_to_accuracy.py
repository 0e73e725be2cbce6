"""The time to an accuracy: how settings are chosen, what is counted, and the command, run small on made-up images."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp
from experiments import time_to_accuracy
from experiments.time_to_accuracy import Run, Setting, fastest, of_median

pytestmark = pytest.mark.usefixtures("rough")

SLOW, QUICK = (Setting((32,), 20, "adam", rate, 3) for rate in (1e-6, 0.005))


def run(seconds, accuracy):
    return Run(np.array(seconds), np.array(accuracy), 0.1)


def examples(n):
    rng = np.random.default_rng(0)
    patterns, y = np.repeat(np.eye(10), 79, axis=1)[:, :784], rng.permutation(np.arange(n) % 10).astype(np.int32)
    x = (0.7 * patterns[y] + 0.3 * rng.uniform(size=(n, 784))).astype(np.float32)
    return x, np.where(np.arange(n) % 8, y, (y + 1) % 10)  # some labels are wrong, so that no run gets to 100 %


def test_a_run_reaches_a_target_at_the_end_of_the_first_epoch_that_has_it():
    one = run([1.5, 3.0, 4.5], np.float32([0.9, 0.98, 0.97]))  # 0.98 in float32 is a little less
    assert one.reaches(98.0) == (3.0, 2.0) and one.reaches(50.0) == (1.5, 1.0)
    assert one.reaches(98.5) == (np.inf, np.inf)


def test_the_shortest_median_is_chosen_among_settings_whose_every_run_reaches_it():
    a, b, c = (Setting((8,), size, "adam", 0.01, 2) for size in (10, 20, 30))
    tried = {
        a: [run([1.0, 2.0], [0.99, 0.99]), run([1.0, 2.0], [0.99, 0.99]), run([1.0, 2.0], [0.9, 0.97])],
        b: [run([3.0, 6.0], [0.9, 0.98]), run([2.0, 4.0], [0.98, 0.98]), run([2.0, 4.0], [0.9, 0.98])],  # 6, 2, 4
        c: [run([5.0, 9.0], [0.98, 0.99])] * 3,
    }
    assert [fastest(tried, target) for target in (95.0, 98.0, 98.5, 99.5)] == [a, b, c, None]


def test_runs_that_never_reach_it_are_the_longest():
    found = of_median([3.0, 1.0, np.inf, 2.0, 4.0])
    assert (found["median"], found["lower_quartile"], found["upper_quartile"]) == (3.0, 2.0, 4.0)
    assert found["low"] == 1.0 and found["high"] == np.inf  # 3 of 5 draws infinite or all 1: 5.8 % each side
    assert of_median([1.0, np.inf])["median"] == np.inf
    assert set(of_median([2.0]).values()) == {2.0}


def test_labels_are_smoothed_towards_all_classes():
    outputs = jnp.array([[2.0, 0.0, 0.0, 0.0]])
    log_p = np.array([2.0, 0, 0, 0]) - np.log(np.exp(2.0) + 3)
    expected = -(0.925 * log_p[0] + 0.025 * log_p[1:].sum())  # a tenth over four classes
    found = time_to_accuracy.smoothed_cross_entropy(outputs, jnp.array([0]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # float32


def test_epoch_by_epoch_is_the_run_that_fit_trains_at_once():
    train, test = examples(120), examples(80)
    trainer = time_to_accuracy._Trainer(Setting((8,), 40, "adam", 0.02, 2, padding=1), train, test)
    found = trainer.run(3)
    net = jaxmlp.mlp((784, 8, 10))
    init_key, fit_key = jax.random.split(jax.random.key(3))
    at_once = jaxmlp.fit(
        jaxmlp.objective(net.apply, time_to_accuracy.smoothed_cross_entropy),
        net.init(init_key),
        jaxmlp.optimizers.adam(jaxmlp.schedules.linear(0.02, 6)),
        train,
        key=fit_key,
        epochs=2,
        batch_size=40,
        validation=test,
        metrics={"accuracy": jaxmlp.accuracy(net.apply)},
        augment=jaxmlp.augment.random_crop((28, 28), 1),
    )
    np.testing.assert_array_equal(found.accuracy, at_once.history.metrics["accuracy"])
    assert 0 < found.seconds[0] < found.seconds[1] and found.measuring > 0 and trainer.compiling > 0


def test_the_command_tunes_races_and_records(tmp_path, monkeypatch, capsys):
    made = jaxmlp.Dataset("mnist", examples(400), examples(120), (28, 28), tuple("0123456789"))
    monkeypatch.setattr(jaxmlp.datasets, "load", lambda name, **where: made)
    monkeypatch.setattr(time_to_accuracy, "VALIDATION_COUNT", 80)
    monkeypatch.setattr(time_to_accuracy, "TUNING_SEEDS", (1000, 1001))
    monkeypatch.setattr(time_to_accuracy, "CANDIDATES", (SLOW, QUICK))
    words = ["--targets", "30", "100", "--seeds", "2", "--output", str(tmp_path / "out")]
    assert time_to_accuracy.main(words) == 0
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(record["tuning"]) == {str(SLOW), str(QUICK)} and set(record["race"]) == {str(QUICK)}
    reached = record["reached"]["30 %"]
    runs = record["race"][str(QUICK)]
    assert set(record["reached"]) == {"30 %"} and reached["setting"] == str(QUICK) and len(runs) == 2
    for one, seconds, epochs in zip(runs, reached["seconds"], reached["epochs"], strict=True):
        assert one["seconds"][int(epochs) - 1] == seconds and one["accuracy"][int(epochs) - 1] >= 0.3
    assert (tmp_path / "out" / "time_to_accuracy.png").exists()
    printed = capsys.readouterr().out
    assert "100 %: no setting reached it in every run" in printed and "2 of 2" in printed and "0 of 2" in printed


@pytest.mark.parametrize("word", ["0", "-1", "101", "nan", "many"])
def test_a_target_is_a_percentage(word, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jaxmlp.datasets, "load", lambda *given, **where: pytest.fail("data were loaded"))
    assert time_to_accuracy.main([f"--targets={word}", "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and f"got '{word}'" in error
