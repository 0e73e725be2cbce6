"""Scores other than accuracy: measured, judged, tabulated and drawn the right way round."""

import copy

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp
from jaxmlp.comparison import entries, figures, plans, problems, race, report, scores, summary, tidy, toy, wording
from jaxmlp.comparison.page import panels, write_page
from jaxmlp.comparison.scores import Examples, Measure, Score
from jaxmlp.comparison.verdicts import Runs

LOSS = scores.get("mean_squared_error")
R2 = scores.get("r2")


def itself(params, x):
    return x


def record_of(score, value):
    """The made-up record, with another score in place of its accuracy."""
    problem, curves = copy.deepcopy(toy.PROBLEM), dict(toy.CURVES)
    problem |= {"score": score.describe(), "margin": None, "chance": None, "power": {"0.02": 0.5}}
    problem["problem"] |= {"loss": "mean_squared_error", "score": score.name}
    runs = {}
    for name, entry in problem["candidates"].items():
        entry["race"]["test_score"] = [value(v) for v in entry["race"]["test_score"]]
        runs[name] = Runs(np.array(entry["race"]["test_score"]))
        for run in entry["tuning"]:
            run["validation_score"] = None if run["failed"] else value(run["validation_score"])
        target = wording.target_name(score.describe(), value(0.95))
        entry["to_target"] = {target: entry["to_target"].pop("95 %")}
        for key in ("test_score", "early_test_score"):
            curves[f"{name}/race/{key}"] = value(curves[f"{name}/race/{key}"])
    problem["pairs"] = race.update([], runs, 0.05, 0, None, score.higher_is_better)
    return problem, curves


@pytest.fixture
def regression():
    return record_of(LOSS, lambda accuracy: 30 * (1 - accuracy))


def test_named_scores_are_those_of_the_metrics():
    random = np.random.default_rng(0)
    outputs, numbers = jnp.asarray(random.normal(size=(7, 3)), jnp.float32), random.normal(size=(7, 3))
    answers, labels = (numbers > 0).astype(np.int32), random.integers(0, 3, 7)
    for name, targets in (
        ("accuracy", labels),
        ("binary_accuracy", answers),
        ("exact_match", answers),
        ("r2", numbers.astype(np.float32)),
        ("mean_squared_error", numbers.astype(np.float32)),
    ):
        expected = getattr(jaxmlp.metrics, name)(itself)(None, outputs, targets)
        found = Measure(scores.get(name), itself)(None, outputs, jnp.asarray(targets))
        np.testing.assert_allclose(found, expected, rtol=1e-6)  # the mean of means, in float32
    loss = Measure(scores.get("loss", "binary_cross_entropy"), itself)(None, outputs, jnp.asarray(answers))
    np.testing.assert_allclose(loss, jaxmlp.losses.binary_cross_entropy(outputs, jnp.asarray(answers)), rtol=1e-6)
    half = scores.get("loss", lambda outputs, targets: jnp.mean(outputs) / 2)
    assert not half.higher_is_better and half.function(jnp.ones(3), None) == 0.5


def test_what_examples_score_is_kept_in_bits_or_numbers():
    outputs, y = jnp.array([[1.0], [-2.0], [0.5]]), jnp.array([1, 0, 0])
    bits = Examples(scores.get("binary_accuracy"), itself)(None, outputs, y)
    assert jnp.unpackbits(bits, count=3).tolist() == [1, 1, 0]
    each = Examples(LOSS, itself)(None, outputs, y)
    np.testing.assert_allclose(each, [0, 4, 0.25])
    table = {"test_score": np.array([[1.4], [1.2]]), "examples_score": np.array([[0, 4, 0.2], [0, 3, 0.6]])}
    np.testing.assert_array_equal(race.runs_of(table, 2, 1, 3).examples, table["examples_score"])
    assert race.runs_of({"test_score": np.zeros((2, 1))}, 2, 1, 3).examples is None


def test_chance_is_what_a_constant_answer_reaches():
    assert scores.get("accuracy").chance_of(np.array([0, 1] * 50)) == 0.6
    answers = np.zeros((100, 2), int)
    answers[:10, 0] = answers[:50, 1] = 1
    # 90 % and 50 % of the answers of the two columns, and two standard errors.
    error = np.sqrt((0.09 + 0.25) / 2 / 200)
    assert scores.get("binary_accuracy").chance_of(answers) == pytest.approx(0.7 + 2 * error)
    assert R2.chance_of(np.arange(3.0)) == 0 and LOSS.chance_of(np.arange(3.0)) is None


@pytest.mark.parametrize(("score", "expected"), [(LOSS, [False, True, True]), (R2, [True, False, True])])
def test_runs_no_better_than_chance_or_without_a_finite_score_have_failed(score, expected):
    table = {
        "train_loss": np.full((3, 1), 0.3),
        "test_score": np.array([[-0.1], [0.4], [np.nan]]),
        "first_nonfinite_step": np.full(3, -1),
    }
    assert entries.failed(table, table["test_score"][:, -1], 0.0, score).tolist() == expected
    assert entries.failed(table, table["test_score"][:, -1], None, score).tolist() == [False, False, True]


def test_a_lower_loss_is_chosen_and_a_run_that_is_not_finite_never_is():
    names = ("train_loss", "validation_loss", "validation_score")
    table = {name: np.array([[0.5], [0.2], [np.nan]]) for name in names}
    table |= {"learning_rate": np.array([0.1, 1, 10]), "seed": np.zeros(3, int)}
    table["first_nonfinite_step"] = np.array([-1, -1, 5])
    outcomes = entries.outcomes_of(table, ["learning_rate"], LOSS)
    found = {point["learning_rate"]: outcome for point, _, outcome in outcomes}
    assert max(found, key=lambda rate: found[rate].value) == 1.0 and found[10.0] == (-np.inf, np.inf)


def test_better_means_a_lower_loss_and_a_margin_is_only_for_shares(regression):
    problem, _ = regression
    found = summary.summarise("digits", problem)
    assert found.answer[0].startswith("On digits, Nesterov and Adam are better than SGD")
    assert [row.label for row in found.rows] == ["Nesterov", "Adam", "SGD"]
    task = problems.get("digits")
    assert plans.make_plan(task).margin == 0.002 and plans.make_plan(task, margin=None).margin is None


def test_every_sentence_and_axis_says_the_score(tmp_path, regression):
    problem, curves = regression
    found = summary.summarise("digits", problem)
    results = toy.RECORD | {"problems": {"digits": problem}}
    write_page(tmp_path / "page.html", results, {"digits": found}, {f"digits/{k}": v for k, v in curves.items()})
    page, table = (tmp_path / "page.html").read_text(), report.markdown_tables("digits", problem, found)
    for text in (page, table, *found.findings):
        assert "accura" not in text
    assert "Test mean squared error by epoch" in page and "Validation mean squared error by learning rate" in page
    assert "a difference of 0.02 in test mean squared error" in page and "nats" not in page
    assert (
        "lowest mean squared error on the validation" in page
        and "To mean squared error 1.5: Nesterov has the shortest median" in page
    )
    assert "A run has failed if its loss or its score is not finite" in page
    for draw in figures.PER_PROBLEM.values():
        draw("digits", problem, found, curves)
    rows = list(tidy.rows("digits", problem, curves))
    assert {row[7] for row in rows if "mean_squared_error" in row[7]} == {"test_mean_squared_error"}


def test_a_score_that_rises_is_drawn_on_a_linear_axis_that_leaves_the_worst_out():
    problem, _ = record_of(R2, lambda accuracy: 2 * accuracy - 1)
    axis = panels.axis([np.array([-1e6, -3.0, 0.5, 0.8, 0.9, 0.91])], problem)
    assert not axis.logarithmic and axis.low > -3.1 and axis.high > 0.91
    found = summary.summarise("digits", problem)
    assert panels.sensitivity(problem, found).count("failed<") == 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.41, 0.43, 0.42], "0.420 ± 0.025"),
        ([3.1e-9, 3.3e-9, 3.2e-9], "3.2e-09 ± 2.48e-10"),
        ([2.1e4, 2.3e4, 2.2e4], "22000 ± 2484"),
        ([0.5, 0.5, 0.5], "0.50000 ± 0.00000"),
    ],
)
def test_numbers_have_the_digits_that_their_interval_needs(values, text):
    problem = {"score": R2.describe(), "candidates": {"adam": {"race": {"test_score": values}}}}
    mean = summary.statistics.interval(values)
    assert wording.score_of(problem).interval(mean) == text


def test_names_and_targets_of_scores():
    score = Score("RMSE (mm)", lambda outputs, targets: outputs, higher_is_better=False, unit="mm")
    assert score.key == "rmse_mm" and wording.target_name(score.describe(), 2.5) == "RMSE (mm) 2.5 mm"
    with pytest.raises(ValueError, match="Did you mean 'accuracy'"):
        scores.get("acuracy")
    with pytest.raises(TypeError, match="score must be a name"):
        scores.get(0.5)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.001, 0.002, "\u22120.10 to +0.20"),
        (0.00004, 0.0033, "+0.004 to +0.330"),  # a verdict of better does not stand beside an interval from 0.00
        (0.0, 0.001, "0.00 to +0.10"),
        (-1e-12, 0.001, "0.00 to +0.10"),
    ],
)
def test_the_end_of_an_interval_beside_0_is_not_written_as_0(low, high, text):
    assert wording.score_of(toy.PROBLEM).bounds(low, high) == text
