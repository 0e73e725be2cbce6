"""The verdict in sentences, and what a reader is warned of, for every outcome that a comparison can have."""

import copy
import itertools
import math

import numpy as np
import pytest

from jaxmlp.comparison import durations, findings, summary, toy, wording
from jaxmlp.comparison.statistics import Interval
from jaxmlp.comparison.verdicts import BETTER, EQUAL, UNDECIDED, WORSE, Pair

NAMES = ["nesterov", "momentum", "sgd", "adagrad", "adam", "rmsprop"]
SIX = ["Nesterov", "Momentum", "SGD", "AdaGrad", "Adam", "RMSProp"]


@pytest.fixture
def problem():
    return copy.deepcopy(toy.PROBLEM)


def pairs_of(names, words, otherwise=UNDECIDED):
    """Pairs of candidates in order of their means, with the given words."""
    return [
        Pair(a, b, 0.01, 0.0, 0.02, words.get((a, b), otherwise), None, 1e-6, 1e-6, 10.0)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]


def verdict(problem, names, words, otherwise=UNDECIDED):
    pairs = pairs_of(names, words, otherwise)
    problem["margin"] = 0.002
    return findings.answer("mnist", problem, names, pairs, Interval(0.97, 0.001, 3))[0]


@pytest.mark.parametrize(
    ("words", "otherwise", "sentence"),
    [
        ({}, UNDECIDED, "no two of the six can be told apart"),
        ({}, EQUAL, "all six are equal within 0.2 points"),
        ({}, BETTER, "all six differ: Nesterov is best, followed by Momentum, SGD, AdaGrad, Adam and RMSProp"),
        (
            {(NAMES[0], b): BETTER for b in NAMES[1:]},
            UNDECIDED,
            "Nesterov is better than all the others; no other two of the six can be told apart",
        ),
        (
            {("nesterov", "rmsprop"): BETTER, ("momentum", "rmsprop"): BETTER},
            UNDECIDED,
            "Nesterov and Momentum are better than RMSProp; no other two of the six can be told apart",
        ),
        (
            {("nesterov", "rmsprop"): BETTER, ("sgd", "adagrad"): EQUAL},
            UNDECIDED,
            "Nesterov is better than RMSProp; SGD and AdaGrad are equal within 0.2 points; no other two of the six can "
            "be told apart",
        ),
        (
            {
                ("adam", "rmsprop"): BETTER,
                ("sgd", "adam"): BETTER,
                ("momentum", "adam"): BETTER,
                ("sgd", "adagrad"): EQUAL,
            },
            UNDECIDED,
            "four of the six are not shown to be worse than any other; of the 15 pairs, 3 differ, 1 is equal within "
            "0.2 points and 11 are undecided",
        ),
    ],
)
def test_the_verdict_is_one_sentence_whatever_the_pairs_say(problem, words, otherwise, sentence):
    assert verdict(problem, NAMES, words, otherwise) == f"On MNIST, {sentence}."


def test_two_candidates_and_pairs_given_the_other_way_round(problem):
    two = ["sgd", "adam"]
    assert verdict(problem, two, {}, BETTER) == "On MNIST, SGD is better than Adam."
    assert verdict(problem, two, {}, EQUAL) == "On MNIST, SGD and Adam are equal within 0.2 points."
    assert verdict(problem, two, {}) == "On MNIST, SGD and Adam cannot be told apart."
    turned = [Pair("adam", "sgd", -0.01, -0.02, 0.0, WORSE, None, 1e-6, 0.0, 3.0)]
    found = findings.answer("mnist", problem, two, turned, Interval(0.97, 0.001, 3))[0]
    assert found == "On MNIST, SGD is better than Adam."
    assert findings.oriented(turned)["sgd", "adam"] == Pair("sgd", "adam", 0.01, -0.0, 0.02, BETTER, None, 1e-6, 0, 3.0)


def test_the_second_sentence_is_the_power_of_the_runs_that_were_made(problem):
    problem["power"] = {"0.001": 0.07, "0.002": 0.31, "0.003": 0.708}
    assert findings.power_sentence(problem) == (
        "With 3 seeds of average spread, a difference of 0.3 points would have been found with a probability of 71 %."
    )
    problem["power"] = {"0.001": 0.2, "0.002": 0.85, "0.003": None}  # what no number could be found for is left out
    assert "difference of 0.2 points would have been found with a probability of 85 %" in findings.power_sentence(
        problem
    )
    problem["power"] = {"0.003": 0.02}
    assert findings.power_sentence(problem).endswith(
        "even a difference of 0.3 points would have been found with a probability of only 2 %."
    )
    problem["splits"] = 5
    assert findings.power_sentence(problem).startswith("With 5 splits ")
    problem["power"] = {}
    assert findings.power_sentence(problem) == "The figures rest on 5 splits."


def test_a_choice_that_another_point_equals_is_called_a_close_call(problem):
    entry = problem["candidates"]["sgd"]
    chosen = entry["choices"][0]["hyperparameters"]
    other = {"learning_rate": 3 * chosen["learning_rate"]}
    epochs = problem["tuning"]["full"]["epochs"]

    def tuned(scores):
        both = zip((chosen, other), scores, strict=True)
        rows = [(point, seed, score) for point, each in both for seed, score in enumerate(each)]
        return [
            {"hyperparameters": p, "seed": s, "split": 0, "epochs": epochs, "validation_score": v, "failed": False}
            for p, s, v in rows
        ]

    entry["tuning"] = tuned([(0.90, 0.92), (0.89, 0.92)])
    assert findings.close_calls(problem)[0].startswith(
        "Tuning with 3 seeds could not tell the choice from another for SGD ("
    )
    entry["tuning"] = tuned([(0.90, 0.92), (0.70, 0.72)])
    assert findings.close_calls(problem) == []


def test_who_is_worse_than_all_the_others_is_named(problem):
    names = ("a", "b", "c", "d", "e")
    word = dict.fromkeys(itertools.combinations(names, 2), "undecided") | {("a", "b"): "equal", ("c", "d"): "equal"}
    word |= {pair: "better" for pair in word if pair[1] == "e"}
    first = Pair(**{field: problem["pairs"][0][field] for field in Pair._fields})
    pairs = [first._replace(a=a, b=b, verdict=verdict) for (a, b), verdict in word.items()]
    problem["candidates"] = dict.fromkeys(names, problem["candidates"]["adam"])
    said = findings.answer("digits", problem, names, pairs, summary.statistics.interval([0.5, 0.6]))[0]
    assert said.startswith("On digits, e is worse than all the others; of the 10 pairs, ")


def test_one_candidate_and_one_seed_claim_nothing(problem):
    alone = problem | {"candidates": {"adam": problem["candidates"]["adam"]}, "pairs": [], "power": {}}
    found = summary.summarise("digits", alone)
    assert found.answer[0].startswith("On digits, Adam reaches a test accuracy of 95.") and found.pairs == []
    for entry in problem["candidates"].values():
        entry["race"] = {key: values[:1] for key, values in entry["race"].items()}
        for target in entry["to_target"].values():
            target["epochs"] = target["epochs"][:1]
    single = summary.summarise("digits", problem | {"power": {}})
    assert "but one seed cannot show whether any difference is real" in single.answer[0] and single.pairs == []


def test_failed_runs_edges_and_a_broken_inclusion_are_warnings(problem):
    problem["candidates"]["adam"]["race"]["failed"][0] = True
    problem["candidates"]["adam"]["race"]["train_loss"][0] = None
    problem["candidates"]["sgd"]["choices"][0]["at_edge"] = ["learning_rate"]
    for pair in problem["pairs"]:
        if (pair["a"], pair["b"]) == ("sgd", "nesterov"):
            pair["verdict"] = BETTER
    found = summary.summarise("digits", problem)
    assert "In the race, 1 of 9 runs failed (Adam 1)." in found.warnings
    assert any("learning rate of SGD, 0.1, is at the edge" in warning for warning in found.warnings)
    assert any(warning.startswith("The rule Nesterov is worse than SGD") for warning in found.warnings)
    row = next(row for row in found.rows if row.name == "adam")
    assert row.failed == (1, 3) and math.isnan(row.train_loss.mean)


def test_what_json_cannot_say_is_read_as_nan(problem):
    problem["pairs"][0] |= dict.fromkeys(("difference", "low", "high", "runs_variance", "degrees_of_freedom"))
    assert math.isnan(summary.summarise("digits", problem).pairs[0].difference)


def test_intervals_say_what_they_cover(problem):
    pairs = summary.summarise("digits", problem).pairs
    assert "other seeds and other test examples" in findings.coverage(problem, pairs)
    assert "They leave out the choice of the validation part" in findings.coverage(problem, pairs)
    without = [pair._replace(examples_variance=None) for pair in pairs]
    assert "leave out the choice of the test examples" in findings.coverage(problem, without)
    assert "leave out" not in findings.coverage(problem | {"splits": 5}, pairs)


def test_several_splits_count_as_units(problem):
    race = {"split": [0, 1, 0], "test_score": [0.9, 0.7, 0.8]}
    assert summary.unit_values({"splits": 2}, race, "test_score") == pytest.approx([0.85, 0.7], abs=1e-12)
    assert summary.unit_values({"splits": 1}, race, "test_score").tolist() == [0.9, 0.7, 0.8]


def test_a_score_where_lower_is_better_ranks_from_below(problem):
    score = {"name": "loss", "key": "loss", "unit": "", "scale": 1, "higher_is_better": False}
    problem |= {"score": score, "margin": None}
    for entry in problem["candidates"].values():
        entry["race"]["test_score"] = entry["race"]["test_loss"]
    found = summary.summarise("digits", problem)
    assert [row.label for row in found.rows] == ["Nesterov", "Adam", "SGD"]
    assert wording.score_of(problem).margin(0.02) == "0.02 in test loss"
    assert wording.score_of(problem).interval(found.rows[0].score) == "0.106 ± 0.024"


def test_times_inside_the_noise_are_called_so(problem):
    few = durations.in_words(problem, "95 %", durations.durations(problem, "95 %"))
    assert few.endswith("Nesterov has the shortest median; 3 seeds are too few to say whether others take longer.")
    for entry in problem["candidates"].values():
        entry["race"]["seeds"] = list(range(1000, 1006))
        entry["to_target"]["95 %"]["epochs"] *= 2
    text = durations.in_words(problem, "95 %", durations.durations(problem, "95 %"))
    assert "Adam cannot be told from it: at a level of 95 % for all pairs together, the difference is within" in text
    assert "SGD takes longer (SGD misses it in half of its runs or more)" in text
    for entry in problem["candidates"].values():
        entry["timing"]["seconds_per_epoch"] = [0.02, 0.03, 0.025]
    assert "within the timing noise" in durations.cost_of_an_epoch(problem)
    for entry in problem["candidates"].values():
        entry["timing"]["seconds_per_epoch"] = [0.02]
    assert "noise of these times is unknown" in durations.cost_of_an_epoch(problem)
    assert durations.durations(problem, "95 %")["adam"].seconds == pytest.approx(1.6 * 0.02)


def test_the_interval_of_a_time_covers_runs_and_clock(problem):
    entry = problem["candidates"]["adam"]
    entry["to_target"]["95 %"]["epochs"] = [2.0] * 10
    entry["timing"]["seconds_per_epoch"] = [0.1, 0.1, 0.1]
    exact = durations.durations(problem, "95 %")["adam"]
    assert exact.low == exact.high == pytest.approx(0.2)
    entry["timing"]["seconds_per_epoch"] = [0.09, 0.1, 0.11]
    clock = durations.durations(problem, "95 %")["adam"]
    # Student's t with 2 degrees of freedom around the mean logarithm: 4.30 standard errors.
    half = 4.303 * np.std(np.log([0.09, 0.1, 0.11]), ddof=1) / math.sqrt(3)
    assert math.log(clock.high / clock.seconds) == pytest.approx(half, rel=0.15)  # 4000 draws
    entry["to_target"]["95 %"]["epochs"] = [2.0] * 6 + [None] * 4
    assert durations.durations(problem, "95 %")["adam"].high == math.inf


def test_half_the_runs_that_never_arrive_are_never():
    times = durations.median_seconds({"digits": toy.PROBLEM})
    assert times["sgd"]["digits, 95 %"] is None and times["adam"]["digits, 95 %"] > 0
