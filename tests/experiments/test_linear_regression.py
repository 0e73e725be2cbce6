"""The straight line: least squares and descent by hand, the closed form, the paths, and the command."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxmlp
from experiments.linear_regression import descent as line_descent
from experiments.linear_regression import experiment as linear_regression
from experiments.linear_regression import inference
from jaxmlp.datasets import noisy_line

# Through (0, 1), (1, 3), (2, 8): least squares by hand is y = 3.5 x + 0.5, residuals 0.5, -1, 0.5, loss 1.5 / 3.
X, Y = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 8.0])


def test_least_squares_loss_hessian_and_condition_number_of_three_points_by_hand():
    found = line_descent.problem(X, Y)
    np.testing.assert_allclose(found.optimum, [3.5, 0.5], rtol=1e-14)  # a few roundings
    assert found.least == pytest.approx(0.5, rel=1e-14)
    np.testing.assert_allclose(found.hessian, [[10 / 3, 2], [2, 2]], rtol=1e-15)
    # 2/3 [[5, 3], [3, 3]]: eigenvalues 2/3 (4 +- sqrt(10)).
    root = np.sqrt(10)
    assert line_descent.condition_number(found.hessian) == pytest.approx((4 + root) / (4 - root), rel=1e-13)


def test_standardising_makes_the_surface_round_and_keeps_the_line():
    found = line_descent.problem(X, Y, "standardised")
    np.testing.assert_allclose(found.hessian, 2 * np.eye(2), atol=1e-15)
    assert line_descent.condition_number(found.hessian) == pytest.approx(1, rel=1e-14)
    assert found.scale == (1.0, np.sqrt(2 / 3))
    np.testing.assert_allclose(line_descent.raw_line(found.optimum, found.scale), [3.5, 0.5], rtol=1e-14)


def test_one_step_of_gradient_descent_by_hand():
    # At (0, 0) the gradient is -2/3 (sum x y, sum y) = -(38/3, 8).
    descent = line_descent.descend("sgd", [line_descent.problem(X, Y)], np.array([0.1, 0.03]), 1)
    assert descent.paths.shape == (2, 1, 2, 2) and descent.losses.shape == (2, 1, 2)
    np.testing.assert_array_equal(descent.paths[:, 0, 0], 0)
    np.testing.assert_allclose(descent.paths[:, 0, 1], [[3.8 / 3, 0.8], [1.14 / 3, 0.24]], rtol=1e-14)
    np.testing.assert_allclose(descent.losses[:, 0, 0], 74 / 3, rtol=1e-14)  # (1 + 9 + 64) / 3


def test_the_closed_form_is_where_gradient_descent_is():
    found = line_descent.problem(*noisy_line(0).train)
    descent = line_descent.descend("sgd", [found], np.array([2.6e-6]), 50)
    for steps in (1, 7, 50):
        expected = line_descent.closed_form(found, 2.6e-6, steps)
        # 50 steps of sums over 300 numbers, of which the slope is made: 1e-13 of it; the intercept is 200 times less.
        np.testing.assert_allclose(descent.paths[0, 0, steps], expected, rtol=0, atol=1e-10 * expected[0])


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["momentum", "adam"])
def test_a_path_ends_where_fit_ends(rule, x64):
    found = line_descent.problem(X, Y)
    path = line_descent.descend(rule, [found], np.array([0.02]), 9).paths[0, 0]
    net = jaxmlp.mlp((1, 1), dtype=jnp.float64)
    params = (jaxmlp.Layer(w=jnp.zeros((1, 1)), b=jnp.zeros(1)),)
    settings = {"key": jax.random.key(0), "epochs": 9, "batch_size": 3}
    loss_fn, optimizer = jaxmlp.objective(net.apply, "mean_squared_error"), getattr(jaxmlp.optimizers, rule)(0.02)
    end = jaxmlp.fit(loss_fn, params, optimizer, (X, Y), **settings).params[0]
    # fit shuffles the three rows, so sums differ by a rounding or two a step.
    np.testing.assert_allclose(path[-1], [end.w[0, 0], end.b[0]], rtol=1e-13)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_arrivals_are_the_first_steps_after_which_the_loss_stays_near_the_least(rule):
    found, rates, most = line_descent.problem(X, Y), np.array([1e-6, 0.02, 0.2, 0.5, 1e3]), 300
    losses = line_descent.descend(rule, [found], rates, most).losses[:, 0]
    outside = ~(losses <= 1.01 * found.least)
    last = np.array([np.flatnonzero(row).max(initial=-1) for row in outside])
    np.testing.assert_array_equal(line_descent.arrivals(rule, found, rates, most), np.where(last == most, -1, last + 1))
    assert last[0] == most and 0 < last[2] < most


def test_the_steps_along_the_slow_direction_are_those_of_gradient_descent():
    found = line_descent.problem(X, Y)
    rate = 1 / np.linalg.eigvalsh(found.hessian)[-1]
    assert line_descent.arrivals("sgd", found, np.array([rate]), 200) == line_descent.steps_along_slow_direction(found)


def test_the_implied_rate_gives_the_published_line():
    problems = [line_descent.problem(*noisy_line(seed).train) for seed in range(10)]
    rate = line_descent.implied_rate(problems, 10.81, 50)
    assert rate is not None
    slope, intercept = np.mean([line_descent.closed_form(found, rate, 50) for found in problems], axis=0)
    assert intercept == pytest.approx(10.81, abs=1e-6)
    assert slope == pytest.approx(1933.30, abs=3)  # the slopes of ten seeds differ by 2
    assert line_descent.implied_rate(problems, 1e4, 50) is None


def test_the_published_pair_allows_a_range_of_intercepts_and_lies_in_it():
    x_max = inference.implied_x_max(1933.30)
    assert x_max == pytest.approx(1.5 * 19376.52 / 95.8)
    low, high = inference.possible_intercepts(x_max, 50)
    assert low < 10.81 < high
    # The settled slope is the published one; a pair such as (1933.30, 5.00) could not be met.
    found = inference.endless(x_max)
    highest = np.linalg.eigvalsh(found.hessian)[-1]
    slope, intercept = line_descent.closed_form(found, 1 / highest, 50)
    assert slope == pytest.approx(1933.30, abs=0.1) and low < intercept < high and low > 5


def test_the_endless_problem_is_what_many_examples_come_to():
    found = line_descent.problem(*noisy_line(0, n=200_000).train)
    expected = inference.endless(300.0)
    np.testing.assert_allclose(found.hessian, expected.hessian, rtol=0.01)
    assert np.abs(inference.standard_errors(found)).max() < 4


def test_standard_errors_of_three_points_by_hand():
    # The inverse of [[5, 3], [3, 3]] is [[3, -3], [-3, 5]] / 6.
    found = line_descent.problem(X, Y)
    expected = (np.array([3.5, 0.5]) - (inference.SLOPE, inference.INTERCEPT)) / (
        inference.NOISE * np.sqrt([1 / 2, 5 / 6])
    )
    np.testing.assert_allclose(inference.standard_errors(found), expected, rtol=1e-12)


def test_eigenvalues_predict_what_descent_does_on_both_sides_of_the_stable_limit():
    rows = inference.predictions([line_descent.problem(X, Y)], None, 20)
    assert [row.name for row in rows] == [
        "1 / largest eigenvalue",
        "1 % below the stable limit",
        "1 % above the stable limit",
    ]
    for row in rows:
        assert row.largest_difference < 1e-13  # roundings of 20 steps
        np.testing.assert_allclose(row.followed, row.predicted, atol=1e-13)
    assert rows[1].followed[0] == pytest.approx(0.98**20) and rows[2].followed[0] == pytest.approx(1.02**20)


@pytest.mark.slow
def test_the_command_writes_record_and_pictures(rough, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(linear_regression, "RULES", ("sgd", "adam"))
    arguments = ["--seeds", "2", "--steps", "30", "--most-steps", "400", "--output", str(tmp_path)]
    assert linear_regression.main(arguments) == 0
    record = json.loads((tmp_path / "results.json").read_text())
    results = record["results"]
    sgd = results["runs"]["standardised"]["sgd"]
    np.testing.assert_allclose(sgd["lines"], results["least_squares"], rtol=1e-6)
    assert sgd["steps_to_target"] < 10
    assert results["runs"]["raw"]["sgd"]["steps_to_target"] is None
    assert np.shape(results["runs"]["raw"]["adam"]["gaps"]) == (2, 31)
    assert min(results["condition_numbers"]["raw"]) > 1e4
    np.testing.assert_allclose(results["condition_numbers"]["standardised"], 1, rtol=1e-6)
    for picture in ("line", "surface", "gap"):
        assert (tmp_path / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "table.md").read_text()
    assert "| condition number, raw x | - |" in table
    assert "| slope, 30 steps with x and rate inferred from this pair (no test) | - |" in table
    with Image.open(tmp_path / "descent.gif") as movie:
        assert (movie.format, movie.n_frames) == ("GIF", 31)  # pyright: ignore[reportAttributeAccessIssue]
    assert "standard errors, the largest of 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--steps", "60", "--most-steps", "59"], "--most-steps must be at least --steps 60, got 59"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused_before_any_work(arguments, message, tmp_path, capsys, compile_log):
    assert linear_regression.main([*arguments, "--output", str(tmp_path / "none")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists() and compile_log == []
