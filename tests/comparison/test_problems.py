"""Problems of one's own: from a file or Python, with any network, loss and score; refused before any training."""

import dataclasses
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp
from jaxmlp.comparison import plans, problems, protocol
from jaxmlp.comparison.problems import Problem, ProblemData
from jaxmlp.comparison.scores import Score
from jaxmlp.comparison.spaces import log_uniform, one_minus_log_uniform
from jaxmlp.comparison.store import RunStore
from jaxmlp.comparison.tuning import Outcome, Sampled

pytestmark = pytest.mark.usefixtures("unoptimised")

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 3)).astype(np.float32)
LINE = (X, X @ np.array([[1.0], [-2.0], [0.5]], np.float32))
LABELS = (X, (X[:, 0] > 0).astype(np.int32))
SEVERAL = (X, (X > 0).astype(np.int32))


def linear(features, outputs):
    return jaxmlp.mlp((features, outputs))


def execute(folder, problem, *optimizers, **settings):
    settings = {"learning_rates": [0.03, 0.3], "seeds": 2, "tuning_seeds": 1, "epochs": 2} | settings
    plan = plans.make_plan(problem, optimizers or ("sgd",), **settings)
    store = RunStore(folder, plan.describe(), resume=False)
    return protocol.execute(plan, problems.load(problem), store, lambda what, done, total: None)


def test_a_regression_goes_through_the_whole_protocol(tmp_path):
    line = Problem("line", LINE, network=linear, loss="mean_squared_error", score="r2", targets=(0.5,))
    record, curves = execute(tmp_path / "runs", line, "sgd", "adam")
    assert record["score"]["name"] == "R2" and record["chance"] == {"validation": 0.0, "test": 0.0}
    assert record["margin"] is None and record["network"] == "4 parameters"
    sgd, adam = record["candidates"]["sgd"]["race"], record["candidates"]["adam"]["race"]
    assert min(sgd["test_score"]) > 0.5 and len(adam["test_score"]) == 2
    assert list(record["candidates"]["sgd"]["to_target"]) == ["R2 0.5"]
    assert "sgd/race/right" not in curves and "sgd/race/examples_score" not in curves
    assert curves["sgd/race/early_test_score"].dtype == np.float32
    best = max(record["candidates"]["sgd"]["tuning"], key=lambda run: run["validation_score"])
    assert record["candidates"]["sgd"]["choices"][0]["hyperparameters"] == best["hyperparameters"]


def test_a_lower_loss_wins_and_is_kept_for_each_example(tmp_path):
    line = Problem("line", LINE, network=linear, loss="mean_squared_error", score="mean_squared_error")
    record, curves = execute(tmp_path / "runs", line, "sgd", learning_rates=[1e-5, 0.1])
    entry = record["candidates"]["sgd"]
    assert entry["choices"][0]["hyperparameters"] == {"learning_rate": 0.1} and entry["to_target"] == {}
    each = curves["sgd/race/examples_score"]
    assert each.shape == (2, 24) and each.dtype == np.float32
    np.testing.assert_allclose(each.mean(axis=1), entry["race"]["test_score"], rtol=1e-6)  # sums in float32


@pytest.mark.slow
def test_several_answers_per_example(tmp_path):
    several = Problem("several", SEVERAL, network=linear, loss="binary_cross_entropy", score="binary_accuracy")
    record, curves = execute(tmp_path / "runs", several, learning_rates=[1.0], epochs=10)
    assert record["score"]["unit"] == "%" and record["margin"] == 0.002
    assert record["candidates"]["sgd"]["race"]["failed"] == [False, False]
    assert curves["sgd/race/examples_score"].shape == (2, 24)


@pytest.mark.slow
def test_pytrees_as_examples_and_a_network_of_ones_own(tmp_path):
    x = {"left": X[:, :1], "right": X[:, 1:]}
    network = (
        lambda key: {"w": jnp.zeros((3, 1))},
        lambda params, x: jnp.hstack([x["left"], x["right"]]) @ params["w"],
    )
    tree = Problem("tree", (x, LINE[1]), network=network, loss="mean_squared_error", score="loss")
    record, _ = execute(tmp_path / "runs", tree, splits=2)
    assert record["network"] == "3 parameters" and record["examples"] == {"train": 77, "validation": 19, "test": 24}
    with pytest.raises(ValueError, match="needs a network"):
        problems.check(dataclasses.replace(tree, network=None), problems.load(tree))


def test_the_parts_may_be_given_or_are_drawn():
    def sizes(data):
        return [len(part[1]) for part in problems.load(Problem("p", data))]

    assert sizes(LABELS) == [77, 19, 24]
    assert sizes((LABELS, LABELS)) == [96, 24, 120]
    assert sizes((LABELS, LABELS, LABELS)) == [120, 120, 120]
    assert sizes(lambda: LABELS) == [77, 19, 24]
    assert sizes(lambda data_dir: LABELS if data_dir is None else None) == [77, 19, 24]
    first, again = (problems.load(Problem("p", LABELS)) for _ in range(2))
    np.testing.assert_array_equal(first.test[0], again.test[0])
    rows = np.concatenate([part[0] for part in first])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], X[np.lexsort(X.T)])


FILE = """
import numpy as np
from jaxmlp.comparison import Problem

x = np.random.default_rng(0).normal(size=(100, 2))
problem = Problem("mine", (x, x.sum(axis=1, keepdims=True)), loss="mean_squared_error", score="r2")

def made():
    return problem

def broken():
    raise RuntimeError("no data today")

number = 3
"""


def test_a_file_names_its_problem_and_is_known_by_its_digest(tmp_path):
    path = tmp_path / "my_problem.py"
    path.write_text(FILE)
    problem = problems.get(f"{path}:problem")
    described = problem.describe()
    assert described["origin"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert described["reference"] == f"{path}:problem" and described["data"] == "arrays"
    assert problems.get(f"{path}:made").name == "mine"
    for name, error, message in (
        ("number", TypeError, "must be a jaxmlp.comparison.Problem"),
        ("broken", ValueError, "no data today"),
        ("problm", ValueError, "has no 'problm'"),
    ):
        with pytest.raises(error, match=message):
            problems.get(f"{path}:{name}")
    with pytest.raises(ValueError, match="there is no file"):
        problems.get(f"{tmp_path}/missing.py:problem")


def broken_score(outputs, targets):
    return jnp.zeros((3, 3))


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem("p", LINE), "softmax_cross_entropy"),
        (Problem("p", LINE, loss="mean_squared_error"), "accuracy takes labels, whole numbers"),
        (Problem("p", LABELS, layer_sizes=(4, 2)), "the network of p does not fit its data"),
        (
            Problem("p", LABELS, score=Score("s", broken_score)),
            r"scalar or one value for each of 77 examples, .*\(3, 3\)",
        ),
        (Problem("p", LABELS, loss=lambda outputs, targets: outputs.sum(axis=1)), "must be a scalar"),
        (Problem("p", LABELS, loss=lambda outputs, targets: outputs.sum() * jnp.inf), "before any training"),
        (Problem("p", LABELS, batch_size=100), "batch_size must be at most the 77"),
        (Problem("p", LABELS, network=3), "pair of functions"),
        (Problem("p", (np.full((9, 2), np.nan), np.zeros(9))), "hold NaN"),
        (Problem("p", (X, np.zeros(7))), "one first axis"),
        (Problem("p", (np.array([["a"]] * 9), np.zeros(9))), "there is --csv"),
        (Problem("p", X), r"must be \(x, y\)"),
        (Problem("p", LABELS, validation_count=96), "validation part of p cannot have 96 of its 96"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_way_out(problem, message):
    with pytest.raises((ValueError, TypeError), match=message):
        problems.check(problem, problems.load(problem))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "a/b"}, "the name of a problem"),
        ({"name": ""}, "the name of a problem"),
        ({"epochs": 0}, "epochs of p must be at least 1"),
        ({"layer_sizes": (3, 2), "network": linear}, "leave one of them out"),
        ({"targets": 0.9}, "must be a tuple"),
        ({"targets": (95.0,)}, "a fraction"),
        ({"loss": "mse"}, "unknown loss"),
        ({"score": "R2"}, "unknown score"),
    ],
)
def test_settings_are_checked_when_a_problem_is_made(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Problem(**{"name": "p", "data": LABELS} | settings)


def test_the_expected_loss_of_a_quadratic_is_that_of_simulated_descent():
    quadratic = problems.exact.Quadratic((0.1, 1.0, 4.0), noise=0.5)
    h, start = np.array(quadratic.eigenvalues), quadratic.rotation.T @ np.ones(3)
    random, n, rate, momentum = np.random.default_rng(0), 40_000, 0.1, 0.6
    c, v = np.tile(start, (n, 1)), np.zeros((n, 3))
    for _ in range(12):
        v = momentum * v + h * (c - 0.25 * random.normal(size=(n, 3)))
        c = c - rate * v
    losses = 0.5 * (h * c**2).sum(axis=1)
    expected = quadratic.expected_loss(rate, momentum, steps=12, batch_size=4)
    assert abs(losses.mean() - expected) < 4 * losses.std() / np.sqrt(n)  # four standard errors
    # Without momentum and noise: c (1 - a h)^t.
    alone = problems.exact.Quadratic((0.1, 1.0, 4.0), noise=0.0)
    exact = 0.5 * (h * (start * (1 - 0.1 * h) ** 12) ** 2).sum()
    assert alone.expected_loss(0.1, steps=12) == pytest.approx(exact, rel=1e-12)


def test_the_noise_of_a_quadratic_is_that_of_the_key_and_its_loss_is_exact():
    quadratic = problems.exact.QUADRATIC
    loss = float(quadratic.apply(quadratic.init(jax.random.key(0)), jnp.zeros((1, 1)))[0])
    assert loss == pytest.approx(problems.PROBLEMS["noisy_quadratic"].scored_by.chance_of(np.zeros(1)), rel=1e-5)
    with pytest.raises(ValueError, match="steps"):
        quadratic.expected_loss(0.1, steps=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "quadratic", "rule", "momentum"),
    [
        ("noisy_quadratic", problems.exact.QUADRATIC, "sgd", 0.0),
        ("noisy_valley", problems.exact.VALLEY, "momentum", 0.9),
    ],
)
def test_the_search_finds_the_best_learning_rate_of_a_quadratic(tmp_path, name, quadratic, rule, momentum):
    problem = problems.get(name)
    plan = plans.make_plan(problem, [rule], seeds=1)
    store = RunStore(tmp_path / "runs", plan.describe(), resume=False)
    record, _ = protocol.execute(plan, problems.load(problem), store, lambda what, done, total: None)
    steps = problem.epochs * record["steps_per_epoch"]
    entry = record["candidates"][rule]
    grid = sorted(tried["learning_rate"] for tried in entry["tried"])
    known = [quadratic.expected_loss(a, momentum, steps=steps, batch_size=problem.batch_size) for a in grid]
    assert abs(grid.index(entry["choices"][0]["hyperparameters"]["learning_rate"]) - int(np.argmin(known))) <= 1


@pytest.mark.parametrize("name", ["diabetes", "friedman", "noisy_quadratic", "noisy_valley", "digits"])
def test_what_is_built_in_fits_its_data(name):
    problem = problems.get(name)
    data = problems.load(problem)
    problems.check(problem, data)
    assert isinstance(data, ProblemData) and problem.source
    sizes = problem.sizes(data)
    assert sizes is None or len(sizes) >= 2


def test_the_search_of_two_hyperparameters_comes_near_the_best_rate_and_momentum():
    """The runs are simulated here, by NumPy: what is tested is the search, on a problem whose answer is known."""
    quadratic, problem = problems.exact.QUADRATIC, problems.get("noisy_quadratic")
    h, start = np.array(quadratic.eigenvalues), quadratic.rotation.T @ np.ones(20)
    deviation = quadratic.noise / np.sqrt(problem.batch_size)

    def known(point, steps=1000):
        settings = {"steps": steps, "batch_size": problem.batch_size}
        return quadratic.expected_loss(point["learning_rate"], point["momentum"], **settings)

    def outcome(trial, random):
        c, v = start.copy(), np.zeros(20)
        for noise in deviation * random.normal(size=(1000 if trial.full else 250, 20)):
            v = trial.point["momentum"] * v + h * (c - noise)
            c = c - trial.point["learning_rate"] * v
        loss = 0.5 * float(h @ c**2)
        return Outcome(-loss, loss)

    space = {"learning_rate": log_uniform(1e-4, 1.0), "momentum": one_minus_log_uniform(0.01, 1.0)}
    search, scores = Sampled(space, 32, [0, 1, 2], seed=1), {}
    while trials := search.ask(scores):
        random = np.random.default_rng(len(scores))
        scores |= {search.key(trial): outcome(trial, random) for trial in trials}
    rates, rests = np.logspace(-4, 0, 13), np.logspace(-2, 0, 5)
    best = min(known({"learning_rate": rate, "momentum": 1 - rest}) for rate in rates for rest in rests)
    # Three times the best rate would lose more than this factor, so that the choice is closer than a half-decade.
    assert known(search.choice(scores).point) < 2 * best < known({"learning_rate": 0.2, "momentum": 0.0})
