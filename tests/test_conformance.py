"""The comparison with the libraries themselves: those that are installed agree, and a disagreement would be seen."""

import importlib.util
import inspect
import itertools
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import agreement, conformance, peers, rule_figures
from jaxmlp import optimizers


@pytest.fixture
def plain_jax(x64):
    """As outside the tests: the libraries' own code does not pass under strict promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def run(arguments, folder):
    """Run the command line in a process of its own: Keras and PyTorch change settings of the whole process."""
    command = [sys.executable, "-m", "experiments.conformance", "--output", str(folder), *arguments]
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run(command, cwd=Path(__file__).parent.parent, env=environment, capture_output=True, text=True)


def test_every_rule_is_that_of_every_library_installed_here(tmp_path):
    done = run([], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["steps"] == 1000
    for short, rule in itertools.product(("optax", "torch", "keras", "sklearn"), peers.RULES):
        cell = results["matrix"][rule][short]
        if importlib.util.find_spec(short) is None:
            assert cell == {"missing": "not installed"}
            assert "not installed" in done.stdout
        elif short == "sklearn" and rule in {"adagrad", "rmsprop", "amsgrad"}:
            assert cell == {"missing": "has no such rule"}
        else:
            assert cell["dtype"] == "float64" and cell["deviation"] <= 1e-12, (rule, short, cell)
    # What tells the libraries apart is measured on themselves. At equal settings optax and scikit-learn differ in where
    # the learning rate stands, seen at g = 1 when it falls to a tenth, and in Adam's eps, seen at the smallest.
    drift = results["drift"]
    assert drift["sgd"]["optax/sklearn"]["the same"]["deviation"] == 0
    expected = {"momentum": (0.9 * (1 - 0.9**50) + 0.01) / (0.01 * (1 - 0.9**51) * 10), "adam": (1 + 0.001**-0.5) / 2}
    for rule, times in expected.items():
        assert drift[rule]["optax/sklearn"]["the same"]["times"] == pytest.approx(times, rel=1e-6)
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_a_library_that_is_missing_is_no_agreement(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert conformance.main(["--libraries", "torch", "--output", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["matrix"]["adam"] == {"torch": {"missing": "not installed"}}
    said = capsys.readouterr().out
    assert "0 pairs of rule and library compared" in said and "this is no agreement" in said


def test_a_library_that_cannot_be_imported_says_why(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('no such symbol')")
    monkeypatch.syspath_prepend(tmp_path)
    assert peers._installed("broken_library", "x") == (None, "cannot be imported: RuntimeError: no such symbol")


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("momentum", optimizers.momentum),  # its learning rate is outside the velocity
        ("adam", optimizers.adam),  # its eps is not "eps hat"
        ("sgd", lambda rate, **_: optimizers.sgd(lambda t: 1.0000001 * (rate(t) if callable(rate) else rate))),
    ],
)
def test_a_wrong_rule_is_seen(rule, wrong, plain_jax):
    grads, rates = agreement.inputs(agreement.PROBED, seed=0)
    peer = peers.peers()["sklearn"]
    right, _ = agreement.compare(peer, rule, grads, rates)
    assert right["agrees"] and right["deviation"] < 1e-12

    def factory(learning_rate=1e-3, **settings):
        return wrong(learning_rate, **settings)

    factory.__signature__ = inspect.signature(getattr(peer.module, rule))
    broken, _ = agreement.compare(peer._replace(module=types.SimpleNamespace(**{rule: factory})), rule, grads, rates)
    assert not broken["agrees"] and broken["deviation"] > 5e-8


def test_deviation_counts_what_is_not_a_number_as_infinitely_far():
    theirs = np.ones((1, 4, 2))
    ours = np.array([[[1.0, 1.5], [np.nan, 1.0], [1.0, np.inf], [1.0, 1.0]]])
    np.testing.assert_array_equal(agreement.deviation(ours, theirs), [[0.5, np.inf, np.inf, 0.0]])
    np.testing.assert_array_equal(agreement.deviation(np.zeros((1, 1, 2)), np.zeros((1, 1, 2))), [[0.0]])
    np.testing.assert_array_equal(agreement.deviation(np.ones((1, 1, 2)), np.zeros((1, 1, 2))), [[np.inf]])


def test_drift_is_how_many_times_the_smaller_update_the_larger_is():
    a, b = np.array([[[2.0], [0.0], [0.0]]]), np.array([[[-8.0], [0.0], [1.0]]])
    np.testing.assert_array_equal(agreement.drift(a, b), [[4.0, 1.0, np.inf]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "99"], "--steps must be at least 100, got 99"),
        (["--seed", "-1"], "--seed must be 0 or more, got -1"),
        (["--libraries", "pytorch"], "Did you mean 'torch'?"),
    ],
)
def test_bad_arguments_end_before_any_work(arguments, message, tmp_path, capsys):
    assert conformance.main([*arguments, "--output", str(tmp_path / "none")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_numbers_in_the_tables_are_readable():
    assert rule_figures.cell_text({"missing": "cannot be imported: ImportError: x"}) == "cannot be imported"
    assert rule_figures.cell_text({"deviation": None, "dtype": "float64", "agrees": False}) == "not finite DIFFERS"
    assert rule_figures.cell_text({"deviation": 1e-7, "dtype": "float32", "agrees": True}) == "1.0e-07 float32"
    assert rule_figures.times_text({"times": 1.0, "deviation": 0.0}) == "same"
    assert rule_figures.times_text({"times": 1.01, "deviation": 0.01}) == "+1.0e-02"
    assert rule_figures.times_text({"times": 306.5, "deviation": 305.5}) == "306 x"
    assert rule_figures.times_text({"times": 7614.0, "deviation": 7613.0}) == "7,600 x"
