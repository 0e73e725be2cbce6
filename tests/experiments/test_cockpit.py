"""The cockpit: what it watches, its pictures, and its table of instruments."""

import json

import jax
import numpy as np
import pytest

import jaxmlp
from experiments.cockpit import costs, experiment, figures, runs
from jaxmlp import instruments
from jaxmlp.comparison.page.readings import READING
from jaxmlp.instruments import Readings


def examples(count=64):
    rng = np.random.default_rng(0)
    return rng.uniform(size=(count, 12)).astype(np.float32), rng.integers(0, 10, size=count).astype(np.int32)


def test_the_picture_of_the_edge_has_the_line_at_two_over_the_rate():
    steps = np.arange(4)
    one = {name: Readings(steps, np.ones(4)) for name in ("loss", "largest_eigenvalue")}
    figure = figures.edge({"0.05": one, "0.1": one})
    lines = figure.axes[1].lines
    assert [line.get_ydata()[0] for line in lines if line.get_linestyle() == "--"] == [40, 20]


def test_each_fault_differs_from_the_healthy_run():
    found = runs.faults(examples())
    assert list(found) == ["healthy", "learning rate too high", "deep sigmoid network", "raw inputs"]
    x = found["raw inputs"].train[0]
    assert 250 < x.max() <= 255 and abs(found["healthy"].train[0].mean()) < 1e-5
    assert len(found["deep sigmoid network"].network.init(jax.random.key(0))) == 7


@pytest.mark.slow
def test_watching_in_pieces_reads_the_same_as_at_once():
    run = runs.optimizers(["sgd"], examples())["sgd"]
    chosen = {"loss": instruments.loss(), "distance": instruments.distance(every=5)}
    seen = []
    pieces, whole = (
        runs.watch(run, chosen, epochs=4, batch_size=16, told=seen.append, at_once=at_once) for at_once in (1, 4)
    )
    assert len(seen) == 5
    for name in chosen:
        np.testing.assert_array_equal(pieces[name].steps, whole[name].steps)
        np.testing.assert_array_equal(pieces[name].values, whole[name].values)


def test_every_instrument_of_cockpit_is_here_and_short():
    assert set(costs.IN_COCKPIT) <= set(costs.names()) and len(costs.names()) == 32
    assert {name: costs.lines(name) for name in costs.names() if costs.lines(name) > 15} == {}


@pytest.mark.slow
def test_the_command_writes_record_readings_and_page(tmp_path, monkeypatch, rough):
    dataset = jaxmlp.Dataset("digits", examples(256), examples(256), None, tuple("0123456789"))
    monkeypatch.setattr(jaxmlp.datasets, "load", lambda *arguments, **options: dataset)
    monkeypatch.setattr(runs, "EDGE_RATES", (0.1,))
    # The runs with faults are plain ones here: all share one compiled program.
    names = runs.faults(examples())
    monkeypatch.setattr(runs, "faults", lambda train: dict.fromkeys(names, runs.optimizers(["sgd"], train)["sgd"]))
    words = (
        "--problem digits --optimizers sgd --stories all --blind 3 --examples 256 --epochs 1 --every 2 --edge-steps 4"
    )
    assert experiment.main([*words.split(), "--output", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert sorted(results["answers"]) == ["run_a", "run_b", "run_c"]
    assert sorted(results["runs"]) == ["edge", "faults", "optimizers"]
    assert results["runs"]["optimizers"]["sgd"]["largest_eigenvalue"]["measurements"] == 1
    page_text = (tmp_path / "cockpit.html").read_text()
    assert page_text.count("<figure>") == 2 * len(READING) + 1
    for name, fault in results["answers"].items():
        blind = (tmp_path / "blind" / f"{name}.html").read_text()
        assert blind.count("<figure>") == len(READING) and name in blind and fault not in blind
    with np.load(tmp_path / "readings.npz") as arrays:
        assert arrays["edge/0.1/loss/values"].shape == (4,)
