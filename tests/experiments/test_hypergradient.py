"""Tuning by the gradient through training."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp
from experiments.hypergradient import experiment, tuning
from experiments.hypergradient.tuning import Hyper, Problem


def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, 3)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int32)
    net = jaxmlp.mlp((3, 4, 2), activation="tanh")
    return Problem(net, (x[:32], y[:32]), (x[32:40], y[32:40]), (x[40:], y[40:]), 2, 16)


def test_one_rate_is_the_momentum_rule_of_the_library():
    grads = {"w": jnp.array([1.0, -2.0]), "b": jnp.array([3.0])}
    hyper = Hyper(jnp.log(jnp.float32(0.1)), jnp.log(jnp.float32(9.0)))  # 0.1 and momentum 0.9
    rules = tuning.momentum(hyper, 20, False), jaxmlp.optimizers.momentum(0.1, 0.9)
    states = [rule.init(grads) for rule in rules]
    for _ in range(3):
        (ours, states[0]), (theirs, states[1]) = (
            rule.update(grads, state) for rule, state in zip(rules, states, strict=True)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, theirs)  # exp of log in float32


def test_each_tenth_and_layer_has_its_own_rate_and_the_cosine_falls_to_zero():
    rates = jnp.arange(1.0, 21.0).reshape(10, 2)
    grads = (jnp.ones(()), jnp.ones(()), jnp.ones(()), jnp.ones(()))  # two layers of weights and biases
    hyper = Hyper(jnp.log(rates), jnp.full((10, 2), -30.0))  # no momentum
    rule, seen = tuning.momentum(hyper, 20, False), []
    state = rule.init(grads)
    for _ in range(20):
        updates, state = rule.update(grads, state)
        seen.append(updates)
    np.testing.assert_allclose(-np.array(seen), np.repeat(np.repeat(rates, 2, axis=0), 2, axis=1), rtol=1e-5)
    falling = tuning.momentum(Hyper(jnp.float32(0.0), jnp.float32(-30.0)), 4, True)
    state, found = falling.init(grads), []
    for _ in range(4):
        updates, state = falling.update(grads, state)
        found.append(-float(updates[0]))
    np.testing.assert_allclose(found, (1 + np.cos(np.pi * np.arange(4) / 4)) / 2, rtol=1e-5)


@pytest.mark.slow
def test_the_gradient_through_training_is_true():
    # Central differences of width 1e-5 in float64 err by about 1e-10 relative to slopes of the order of the loss.
    two = Hyper(jnp.log(0.1), jnp.asarray(1.0))
    for point in (two, Hyper(*(jnp.full((10, 2), one) for one in two))):
        assert tuning.truth(problem(), point) < 1e-6


@pytest.mark.slow
def test_descending_lowers_the_loss():
    start = Hyper(jnp.log(jnp.float32(0.01)), jnp.float32(0.0))
    end, losses, path = tuning.descend(problem(), start, 10, 0.3)
    assert losses.shape == path.log_rate.shape == (10,)
    keys = jax.random.split(jax.random.key(9), 4)
    before, after = tuning.surface(problem(), jax.tree.map(lambda a, b: jnp.stack([a, b]), start, end), keys)
    assert after < before


@pytest.mark.slow
def test_the_command_writes_record_and_pictures(tmp_path, monkeypatch, rough):
    monkeypatch.setattr(experiment, "problem_of", lambda epochs: problem()._replace(epochs=epochs))
    monkeypatch.setattr(experiment, "RATES", np.log([0.01, 0.1, 1.0]))
    words = ["--steps", "2", "--epochs", "2", "--seeds", "3", "--output", str(tmp_path)]
    assert experiment.main(words) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert [len(found) for found in results["pairs"].values()] == [6, 6] and np.shape(
        results["schedule"]["momentum"]
    ) == (10, 2)
    assert {path.name for path in tmp_path.glob("*.png")} == {"surface.png", "schedule.png", "limits.png"}
