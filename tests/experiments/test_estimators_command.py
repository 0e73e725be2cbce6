"""The comparison of the estimators with scikit-learn's."""

import json
import types
import warnings

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments.estimators import gallery, guide, quality, speed
from experiments.estimators.experiment import main

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def short(monkeypatch):
    """Scores after two epochs, and nothing forgotten that other tests have compiled."""
    monkeypatch.setattr(quality, "SOLVERS", {"adam": {"max_iter": 2}})
    monkeypatch.setattr(jax, "clear_caches", lambda: None)


@pytest.mark.usefixtures("short")
def test_scores_are_recorded_by_seed_and_both_libraries_agree(tmp_path, capsys):
    words = ["--parts", "quality", "--problems", "iris", "--solvers", "adam", "--seeds", "2"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["quality"]["iris, adam"]
    assert len(scores["jaxmlp"]) == 2
    # Two epochs from the same weights and batches; float32 may turn one answer of 150.
    np.testing.assert_allclose(scores["jaxmlp"], scores["scikit-learn"], atol=1 / 150 + 1e-9)
    assert "no difference" in capsys.readouterr().out


def test_a_difference_is_claimed_only_beyond_noise():
    values = np.random.RandomState(0).uniform(0.8, 0.9, 10)
    noise = 0.001 * np.random.RandomState(1).normal(size=10)
    rows = {
        "same": {"jaxmlp": values + noise - noise.mean(), "scikit-learn": values},
        "worse": {"jaxmlp": values - 0.01 + noise, "scikit-learn": values},
    }
    *_, verdicts = quality.table(rows).columns
    assert list(verdicts.cells) == ["no difference", "worse"]


def test_seconds_are_compared_with_the_fastest_way(short, monkeypatch, capsys):
    from rich.console import Console

    clock = iter([0, 9, 0, 1, 0, 4, 0, 3, 0, 1, 0, 4, 0, 3])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    timings = speed.Timings(Console())
    timings.take("a case", lambda: None, {"slow": lambda: None, "fast": lambda: None}, 2, goal=0.5)
    case = timings.found["a case"]
    assert (case["first"], case["fastest"], case["ratio"]) == (9, "fast", 1 / 3)
    assert "ratio 0.33" in capsys.readouterr().out and timings.table().row_count == 1


@pytest.mark.usefixtures("short")
def test_the_programs_that_are_compiled_are_counted(monkeypatch):
    monkeypatch.setattr(speed, "VARIANTS", {"7 units": {"hidden_layer_sizes": (7,)}})
    found = speed.programs([40, 41, 99])
    assert found["7 units"]["programs"] == 1 and found["7 units"]["fits"] == 3
    assert speed.table_of_programs(found).row_count == 1


@pytest.mark.slow
@pytest.mark.usefixtures("unoptimised")
def test_the_published_answers_are_those_of_both_libraries(monkeypatch):
    monkeypatch.setattr(guide, "EXAMPLES", guide.EXAMPLES[1:3])
    with warnings.catch_warnings(action="ignore"):
        for name, row in guide.answers().items():
            if not name.startswith("MLP"):  # whole numbers; the others are rounded as they are published
                assert row["jaxmlp"] == row["scikit-learn"] == row["published"], name


@pytest.mark.usefixtures("rough")
def test_pictures_are_drawn(monkeypatch):
    mesh = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5))
    data = np.zeros((2, 2)), np.array([0, 1])
    regions = gallery.Regions(data, data, tuple(mesh), [mesh[0]] * 5, [1.0] * 5)
    curves = {f"iris / {name} / {library}": np.ones(3) for name in gallery.STRATEGIES for library in quality.LIBRARIES}
    filters = dict.fromkeys(quality.LIBRARIES, gallery.Filters(np.ones((784, 16)), {"test": 0.5}))
    for figure, axes in (
        (gallery.draw_regions({"moons, jaxmlp": regions, "moons, scikit-learn": regions}), 10),
        (gallery.draw_curves({**curves, **{key.replace("iris", "wine"): curve for key, curve in curves.items()}}), 4),
        (gallery.draw_filters(filters), 32),
    ):
        assert len(figure.axes) == axes
        plt.close(figure)


def test_the_filters_of_both_libraries_are_trained_alike():
    random = np.random.RandomState(0)
    data = random.uniform(size=(60, 784)).astype(np.float32), np.arange(60) % 10
    found = gallery.filters(types.SimpleNamespace(train=data, test=data))
    np.testing.assert_allclose(found["jaxmlp"].weights, found["scikit-learn"].weights, atol=1e-4)
