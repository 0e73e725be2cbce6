"""The paths over surfaces of two parameters: the surfaces, when a path has arrived, and which rate is best."""

import json

import jax
import numpy as np
import pytest

from experiments.landscapes import experiment as landscapes
from experiments.landscapes.experiment import HOLD, LANDSCAPES


@pytest.mark.parametrize("name", LANDSCAPES)
def test_each_surface_is_0_and_flat_at_its_minima_and_nowhere_below(name, x64):
    landscape = LANDSCAPES[name]
    for minimum in landscape.minima:
        assert landscape.surface(*minimum) == 0
        slopes = jax.grad(lambda point: landscape.surface(point[0], point[1]))(jax.numpy.asarray(minimum))
        np.testing.assert_array_equal(slopes, 0)
    around = np.random.default_rng(0).uniform(-5, 5, size=(2, 10_000))
    assert np.min(landscape.surface(*around)) > 0
    assert landscape.surface(*landscape.start) > 1e3 * landscapes.TARGET


def test_the_quadratic_has_condition_number_100_and_the_saddle_a_saddle(x64):
    def curvatures(name, point):
        surface = LANDSCAPES[name].surface
        return np.linalg.eigvalsh(jax.jit(jax.hessian(lambda p: surface(p[0], p[1])))(jax.numpy.asarray(point)))

    low, high = curvatures("quadratic", (0.3, -0.7))
    assert high / low == 100
    low, high = curvatures("saddle", (0.0, 0.0))
    assert low < 0 < high


@pytest.mark.parametrize(
    ("name", "point", "height"),
    [
        ("quadratic", (-2.0, 0.5), 14.5),  # (4 + 100 / 4) / 2
        ("rosenbrock", (-1.2, 1.0), 24.2),  # 2.2^2 + 100 * 0.44^2
        ("rosenbrock", (0.0, 1.0), 101.0),
        ("beale", (1.0, 1.0), 1.5**2 + 2.25**2 + 2.625**2),
        ("beale", (2.0, -1.0), 2.5**2 + 2.25**2 + 1.375**2),
        ("saddle", (1.0, 2.0), 2.75),  # 1 / 2 + 9 / 4
    ],
)
def test_each_surface_has_the_heights_done_by_hand(name, point, height):
    assert LANDSCAPES[name].surface(*point) == pytest.approx(height, rel=1e-14)  # a few roundings


def test_a_path_has_arrived_when_it_stays():
    heights = np.ones((5, 4 * HOLD))
    heights[0, 7:] = 0
    heights[1, 7 : 7 + HOLD] = 0  # one step short
    heights[2, 9 : 9 + HOLD + 1] = 0  # long enough, and away again
    heights[3, 3], heights[3, 50:] = 0, 0  # passing through counts for nothing
    heights[4, 5:] = np.nan
    np.testing.assert_array_equal(landscapes.arrivals(heights), [7, -1, 9, 50, -1])
    assert landscapes.best(heights) == (0, 7)
    assert landscapes.best(heights[[3, 2, 0, 0]]) == (2, 7)  # of equals, the first
    never = np.stack([np.full(4 * HOLD, 2.0), np.full(4 * HOLD, 0.5), np.full(4 * HOLD, np.nan)])
    assert landscapes.best(never) == (1, None)


def test_sgd_goes_down_the_quadratic_by_its_own_factors():
    paths, heights = landscapes.descend(LANDSCAPES["quadratic"], "sgd", 200)
    stable = landscapes.LEARNING_RATES < 0.019  # 2 / 100 is the limit
    rates, steps = landscapes.LEARNING_RATES[stable, None], np.arange(201)
    expected = np.stack([-2.0 * (1 - rates) ** steps, 0.5 * (1 - 100 * rates) ** steps], axis=2)
    # 200 steps of three roundings, on numbers that only shrink.
    np.testing.assert_allclose(paths[stable], expected, rtol=0, atol=1e-13)
    assert np.all(np.isfinite(heights[stable]))


@pytest.mark.slow
def test_the_command_writes_record_paths_and_pictures(rough, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(landscapes, "RULES", ("sgd", "adam"))
    monkeypatch.setattr(landscapes, "LANDSCAPES", {name: LANDSCAPES[name] for name in ("quadratic", "saddle")})
    assert landscapes.main(["--steps", "600", "--output", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    with np.load(tmp_path / "paths.npz") as paths:
        for name, entry in results["landscapes"].items():
            for rule, outcome in entry["runs"].items():
                path = paths[f"{name}/{rule}"]
                np.testing.assert_array_equal(path[0], entry["start"])
                assert len(path) == outcome["steps"] + 1
                assert LANDSCAPES[name].surface(*path[-1]) <= 1e-6 < LANDSCAPES[name].surface(*path[-2])
            assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert results["landscapes"]["quadratic"]["runs"]["sgd"]["steps"] == 405
    assert "Steps until within 1e-06" in capsys.readouterr().out


def test_too_few_steps_are_refused_before_any_work(tmp_path, capsys):
    assert landscapes.main(["--steps", "0", "--output", str(tmp_path / "none")]) == 2
    assert "--steps must be at least 1, got 0" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "arrives"), [(405, 405), (404, None)])
def test_a_path_that_arrives_in_the_very_last_step_has_arrived(steps, arrives, tmp_path, monkeypatch):
    monkeypatch.setattr(landscapes, "RULES", ("sgd",))
    monkeypatch.setattr(landscapes, "LANDSCAPES", {"quadratic": LANDSCAPES["quadratic"]})
    assert landscapes.main(["--steps", str(steps), "--output", str(tmp_path)]) == 0
    outcome = json.loads((tmp_path / "results.json").read_text())["landscapes"]["quadratic"]["runs"]["sgd"]
    assert outcome["steps"] == arrives
    with np.load(tmp_path / "paths.npz") as paths:
        assert len(paths["quadratic/sgd"]) == steps + 1
    assert (outcome["height"] <= 1e-6) == (arrives is not None)


def test_an_output_that_is_a_file_is_told_with_the_way_out(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert landscapes.main(["--output", str(tmp_path / "file")]) == 2
    assert "choose another folder with --output" in capsys.readouterr().err
