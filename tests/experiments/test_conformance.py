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
from jax.tree_util import Partial

from experiments.conformance import agreement, peers
from experiments.conformance import experiment as conformance
from experiments.conformance import figures as rule_figures
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
    return subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True)


@pytest.mark.slow
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
    # the learning rate stands, seen best when it falls to a tenth after a first gradient of 100, and in Adam's eps,
    # seen best at the smallest gradient.
    drift = results["drift"]
    assert drift["sgd"]["optax/sklearn"]["the same"]["deviation"] == 0
    kept = 0.9 ** np.arange(50, -1, -1) * np.r_[100.0, np.ones(50)]  # of each gradient, in the velocity of step 51
    expected = {"momentum": 10 - 9 * kept[-1] / kept.sum(), "adam": (1 + 0.001**-0.5) / 2}
    for rule, times in expected.items():
        assert drift[rule]["optax/sklearn"]["the same"]["times"] == pytest.approx(times, rel=1e-6)
    if "missing" not in drift["amsgrad"]["optax/torch"]:
        # After a gradient of 100 the largest corrected nu is 1e4, and the largest raw one 10, corrected to
        # 10 / (1 - b2^t): the two part for as long as the run lasts.
        entry = drift["amsgrad"]["optax/torch"]["the same"]
        assert entry["step"] == 1000
        assert entry["times"] == pytest.approx((1e4 * (1 - 0.999**1000) / 10) ** 0.5, rel=1e-6)
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")


def test_a_library_that_is_missing_is_no_agreement(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert conformance.main(["--libraries", "torch", "--output", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["matrix"]["adam"] == {"torch": {"missing": "not installed"}}
    said = capsys.readouterr().out
    assert "0 pairs of rule and library compared" in said and "does not count as agreement" in said


def test_a_library_that_cannot_be_imported_says_why(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('no such symbol')")
    monkeypatch.syspath_prepend(tmp_path)
    assert peers._installed("broken_library", "x") == (None, "cannot be imported: RuntimeError: no such symbol")


def a_little_more(rate, t):
    return 1.0000001 * (rate(t) if callable(rate) else rate)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("momentum", optimizers.momentum),  # its learning rate is outside the velocity
        ("adam", optimizers.adam),  # its eps is not "eps hat"
        ("sgd", lambda rate, **_: optimizers.sgd(Partial(a_little_more, rate))),
    ],
)
def test_a_wrong_rule_is_seen(rule, wrong, plain_jax):
    grads, rates = agreement.inputs(100, seed=0)
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
        (["--steps", "50"], "--steps must be at least 51, got 50"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--libraries", "pytorch"], "Did you mean 'torch'?"),
    ],
)
def test_bad_arguments_end_before_any_work(arguments, message, tmp_path, capsys):
    assert conformance.main([*arguments, "--output", str(tmp_path / "none")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_an_output_that_is_a_file_is_told_with_the_way_out(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert conformance.main(["--output", str(tmp_path / "file")]) == 2
    assert "choose another folder with --output" in capsys.readouterr().err


def drift_of(a, b):
    """The drift between two libraries of which only updates are known: (steps,) at each rate."""
    chosen = {"optax": peers.peers()["optax"], "sklearn": peers.peers()["sklearn"]}
    wide = [
        {change: np.full((3, 1, 8), np.reshape(u, (3, 1, 1))) for change, u in updates.items()} for updates in (a, b)
    ]
    theirs = {
        ("sgd", short): {(which, change): u for which in ("the same", "own defaults") for change, u in updates.items()}
        for short, updates in zip(chosen, wide, strict=True)
    }
    return agreement.drifts("sgd", chosen, theirs, ["g = 1"])["optax/sklearn"]["the same"]


@pytest.mark.slow
def test_libraries_are_the_same_only_at_every_rate_and_with_their_signs():
    updates = np.array([1.0, 2.0, 3.0])
    equal = drift_of({"constant": updates, "falls": updates}, {"constant": updates, "falls": updates})
    assert equal["deviation"] == 0 and equal["times"] == 1 and rule_figures.times_text(equal) == "same"

    changing = drift_of({"constant": updates, "falls": 1.009 * updates}, {"constant": updates, "falls": updates})
    assert changing["deviation"] == pytest.approx(0.009) and changing["times"] == pytest.approx(1.009)
    assert changing["rate"] == "falls" and rule_figures.times_text(changing) == "+9.0e-03"

    opposite = drift_of({"constant": updates}, {"constant": -updates})
    assert opposite["deviation"] == 2 and rule_figures.times_text(opposite) == "2 apart"

    late = drift_of({"constant": updates}, {"constant": updates * [1, 1, 5]})
    assert late["times"] == 5 and late["step"] == 3


def test_numbers_in_the_tables_are_readable():
    assert rule_figures.cell_text({"missing": "cannot be imported: ImportError: x"}) == "cannot be imported"
    assert rule_figures.cell_text({"deviation": None, "dtype": "float64", "agrees": False}) == "not finite DIFFERS"
    assert rule_figures.cell_text({"deviation": 1e-7, "dtype": "float32", "agrees": True}) == "1.0e-07 float32"
    assert rule_figures.times_text({"times": 1.0, "deviation": 0.0}) == "same"
    assert rule_figures.times_text({"times": 1.01, "deviation": 0.01}) == "+1.0e-02"
    assert rule_figures.times_text({"times": 306.5, "deviation": 305.5}) == "306 x"
    assert rule_figures.times_text({"times": 7614.0, "deviation": 7613.0}) == "7,600 x"
