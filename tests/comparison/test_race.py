"""Looks at a race: what each may err, and which runs it counts."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxmlp.comparison import race, verdicts
from jaxmlp.comparison.race import Look, added_look, confidence, open_candidates, planned_looks, runs_of, update
from jaxmlp.comparison.verdicts import Runs


def scores(mean, n=10, spread=0.001, seed=0):
    return Runs(mean + spread * np.random.default_rng(seed).standard_normal(n))


@pytest.mark.parametrize(("seeds", "most"), [(10, 40), (10, 45), (3, 4), (10, 10)])
def test_planned_looks_spend_five_percent_in_all_and_little_at_first(seeds, most):
    looks = planned_looks(seeds, most)
    errors = [look.error for look in looks]
    assert sum(errors) == pytest.approx(0.05) and looks[-1].seeds == most and looks[0].seeds == seeds
    assert errors[0] == min(errors) and all(a.seeds < b.seeds for a, b in itertools.pairwise(looks))


def test_however_often_a_race_is_extended_its_claims_stay_below_twice_the_error():
    looks = [Look(10, 0.05)] + [added_look(k, 20 + k) for k in range(50)]
    assert looks[1] == (20, 0.025) and 0.0999 < sum(look.error for look in looks) <= 0.1


def test_a_pair_that_has_a_verdict_keeps_it_and_the_others_are_tested_at_the_error_of_the_look():
    runs = {"a": scores(0.98, seed=1), "b": scores(0.95, seed=2), "c": scores(0.9495, seed=3)}
    first = update([], runs, 0.01, 0, None)
    assert [pair["verdict"] for pair in first] == ["better", "better", "undecided"] and open_candidates(first) == {
        "b",
        "c",
    }
    runs |= {"b": scores(0.96, 40, seed=4), "c": scores(0.95, 40, seed=5)}
    second = update(first, runs, 0.02, 1, None)
    assert second[:2] == first[:2] and [pair["look"] for pair in second] == [0, 0, 1]
    level = verdicts.level_of_each_pair(3, 0.98)
    expected = verdicts.compare("b", runs["b"], "c", runs["c"], level=level, margin=None)
    assert second[2] == expected._asdict() | {"look": 1}


def test_one_candidate_has_no_pairs():
    assert update([], {"a": scores(0.9)}, 0.05, 0, 0.002) == []


def table(accuracy, right, split):
    packed = np.packbits(np.asarray(right, bool), axis=1)
    return {"test_score": np.asarray(accuracy)[:, None], "right": packed, "split": np.asarray(split)}


def test_without_splits_each_run_counts_and_a_look_takes_the_first_ones():
    right = [[1, 0, 1], [1, 1, 1], [0, 0, 1]]
    runs = runs_of(table([2 / 3, 1, 1 / 3], right, [0, 0, 0]), 2, 1, 3)
    np.testing.assert_array_equal(runs.scores, [2 / 3, 1])
    np.testing.assert_array_equal(runs.examples, np.array(right[:2], bool))


def test_with_splits_each_split_counts_by_the_mean_of_its_runs():
    right = [[1, 0, 1], [1, 1, 1], [0, 0, 1], [1, 0, 1]]
    runs = runs_of(table([2 / 3, 1, 1 / 3, 2 / 3], right, [0, 1, 0, 1]), 4, 2, 3)
    np.testing.assert_allclose(runs.scores, [0.5, 5 / 6])
    np.testing.assert_array_equal(runs.examples, [[0.5, 0, 1], [1, 0.5, 1]])


def test_power_is_that_of_the_pooled_spread_and_unknown_for_one_run():
    runs = {"a": scores(0.98, 10, seed=1), "b": scores(0.98, 10, seed=2)}
    pairs = update([], runs, 0.05, 0, None)
    deviation = np.sqrt(np.mean([r.scores.var(ddof=1) for r in runs.values()]))
    assert race.power(runs, pairs, 0.05)["0.002"] == verdicts.power(0.002, deviation, 10, level=0.95)
    assert race.power({name: Runs(r.scores[:1]) for name, r in runs.items()}, pairs, 0.05) == {}


@pytest.mark.slow
def test_looking_often_claims_no_more_than_it_may():
    looks, false = planned_looks(5, 20), 0
    random = np.random.default_rng(0)
    for _ in range(400):
        drawn = {name: random.standard_normal(20) for name in "abc"}
        pairs = []
        for index, look in enumerate(looks):
            pairs = update(pairs, {n: Runs(v[: look.seeds]) for n, v in drawn.items()}, look.error, index, None)
        false += any(pair["verdict"] != "undecided" for pair in pairs)
    # Three standard deviations of a share of 0.05 in 400 draws.
    assert false / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_a_pair_that_the_test_examples_leave_open_asks_for_no_more_seeds():
    halves = np.arange(40) < 20
    a = np.array([halves ^ (np.arange(40) == run) for run in range(5)])
    b = np.array([~halves ^ (np.arange(40) == 2 * run) for run in range(5)])
    runs = {"a": Runs(a.mean(axis=1), a), "b": Runs(b.mean(axis=1), b)}
    pairs = update([], runs, 0.05, 0, 0.01)
    assert [pair["verdict"] for pair in pairs] == ["undecided"] and open_candidates(pairs) == set()


def test_added_looks_cost_confidence():
    looks = [Look(10, 0.05), added_look(0, 20), added_look(1, 30)]
    assert [confidence(looks[: n + 1], n) for n in range(3)] == pytest.approx([0.95, 0.925, 0.9125])


def test_the_seeds_asked_for_decide_a_pair_at_the_level_of_an_added_look():
    a, b = np.array([0.0, 1.0, -1.0, 0.5, -0.5]), np.array([0.3, 1.3, -0.7, 0.8, -0.2])
    [pair] = update([], {"a": Runs(a), "b": Runs(b)}, 0.05, 0, None)
    n = 5 + pair["more_runs"]

    def decided(n):
        return stats.t.ppf(1 - 0.025 / 2, 2 * (n - 1)) * np.sqrt(2 * a.var(ddof=1) / n) < 0.3

    assert decided(n) and not decided(n - 1)
