"""The search for a learning rate, on response curves that are known."""

import numpy as np
import pytest

from jaxmlp.comparison.plans import DEFAULT_OPTIMIZERS, make_plan
from jaxmlp.comparison.problems import get
from jaxmlp.comparison.spaces import choice, log_uniform, one_minus_log_uniform
from jaxmlp.comparison.tuning import Grid, Neighbourhood, Outcome, Sampled, Trial

RATES = [float(f"{rate:.4g}") for rate in np.logspace(-3, 1, 9)]
WIDEST = [Grid("learning_rate", RATES, widen=4).point(i)["learning_rate"] for i in range(-4, 13)]
SEEDS = (0, 1, 2)
FAILED = Outcome(0.0, np.inf)


def hill(optimum, *, coarse_shift=0.0, noise=0.0, cliff=1.2, seed=0):
    """Accuracy by the distance from the optimum in decades; far above it runs fail, as those of real networks do.

    A coarse pass sees the optimum shifted, since short runs like higher rates.
    """
    random = np.random.default_rng(seed)

    def respond(trial):
        off = np.log10(trial.point["learning_rate"]) - optimum - (0 if trial.full else coarse_shift)
        if off > cliff:
            return FAILED
        accuracy = 0.98 - 0.01 * off**2 - (0 if trial.full else 0.02) + noise * random.standard_normal()
        return Outcome(accuracy, 1 - accuracy)

    return respond


def search_on(respond, values=RATES, *, widen=4, seeds=SEEDS):
    """The finished search, its scores and every trial in order."""
    search, scores, trials = Neighbourhood(Grid("learning_rate", values, widen=widen), seeds), {}, []
    while asked := search.ask(scores):
        assert not {search.key(trial) for trial in asked} & scores.keys()
        scores |= {search.key(trial): respond(trial) for trial in asked}
        trials += asked
    return search, scores, trials


def seeds_at_full_length(trials):
    found = {}
    for trial in trials:
        if trial.full:
            found.setdefault(trial.point["learning_rate"], set()).add(trial.seed)
    return found


def neighbours(value):
    index = WIDEST.index(value)
    return WIDEST[index - 1], WIDEST[index + 1]


@pytest.mark.parametrize("optimum", [-2.9, -2.0, -1.2, 0.0, 0.3, 0.9])
@pytest.mark.parametrize("coarse_shift", [0.0, 0.5, -1.0])
def test_the_best_rate_is_found_and_both_its_neighbours_have_every_seed(optimum, coarse_shift):
    search, scores, trials = search_on(hill(optimum, coarse_shift=coarse_shift))
    choice = search.choice(scores)
    value = choice.point["learning_rate"]
    assert abs(np.log10(value) - optimum) <= 0.25 + 1e-3 and not choice.at_edge
    full = seeds_at_full_length(trials)
    assert all(full[rate] == set(SEEDS) for rate in (value, *neighbours(value)))


def test_without_surprises_nine_short_and_nine_full_runs_suffice():
    _, _, trials = search_on(hill(-1.0))
    assert [trial.full for trial in trials] == [False] * 9 + [True] * 9
    assert {trial.seed for trial in trials[:9]} == {0}


def test_a_move_costs_one_run_before_the_further_seeds():
    _, _, trials = search_on(hill(-1.0, coarse_shift=1.0))
    assert sum(trial.full for trial in trials) == 9 + 2


@pytest.mark.parametrize(("optimum", "value"), [(-4.0, 1e-4), (2.0, 100.0)])
def test_a_grid_is_widened_by_its_own_step_where_the_optimum_lies_beyond_it(optimum, value):
    search, scores, trials = search_on(hill(optimum))
    assert search.choice(scores) == ({"learning_rate": value}, ())
    assert all(seeds_at_full_length(trials)[rate] == set(SEEDS) for rate in neighbours(value))


def test_widening_is_bounded_and_the_edge_is_said():
    search, scores, trials = search_on(hill(-9.0, cliff=99))
    assert search.choice(scores) == ({"learning_rate": 1e-5}, ("learning_rate",))
    assert min(trial.point["learning_rate"] for trial in trials) == 1e-5
    assert len(trials) == 9 + 4 + 6


@pytest.mark.parametrize("values", [[0.1], [0.01, 0.1], [0.01, 0.1, 1.0]])
def test_a_short_list_is_not_widened_and_needs_no_coarse_pass(values):
    search, scores, trials = search_on(hill(-0.9), values, widen=0)
    assert search.choice(scores).point == {"learning_rate": 0.1}
    assert bool(search.choice(scores).at_edge) == (len(values) == 2)
    assert len(trials) == 3 * len(values) and all(trial.full for trial in trials)


def test_a_list_of_uneven_rates_is_searched_in_its_order():
    search, scores, trials = search_on(hill(-1.0), [0.001, 0.01, 0.08, 0.2, 5.0], widen=0)
    assert search.choice(scores) == ({"learning_rate": 0.08}, ())
    assert seeds_at_full_length(trials).keys() == {0.01, 0.08, 0.2}


def test_the_choice_is_by_mean_score_and_ties_go_to_the_lower_loss():
    search = Neighbourhood(Grid("learning_rate", [0.1, 1.0]), (0, 1))
    scores = {(0.1, 0, True): Outcome(0.9, 0.3), (0.1, 1, True): Outcome(0.7, 0.3)}
    assert search.choice(scores | {(1.0, 0, True): Outcome(0.8, 0.2), (1.0, 1, True): Outcome(0.8, 0.2)}).point == {
        "learning_rate": 1.0
    }
    assert search.choice(scores | {(1.0, 0, True): Outcome(0.8, 0.5), (1.0, 1, True): Outcome(0.79, 0.1)}).point == {
        "learning_rate": 0.1
    }


def test_a_failed_run_counts_in_the_mean():
    def respond(trial):
        rate = trial.point["learning_rate"]
        return FAILED if rate == 1.0 and trial.seed == 2 else Outcome(0.98 - 0.01 * abs(np.log10(rate) + 0.1), 0.1)

    search, scores, _ = search_on(respond)
    assert search.choice(scores).point == {"learning_rate": 0.3162}


def test_a_search_in_which_every_run_fails_ends():
    search, scores, trials = search_on(lambda trial: FAILED)
    assert search.choice(scores).at_edge and len(trials) <= 9 + 8 * 3


@pytest.mark.parametrize("noise", [0.001, 0.002, 0.004])
def test_noise_costs_little_accuracy_and_few_runs(noise):
    lost, runs = [], []
    for seed in range(200):
        optimum = np.random.default_rng(1000 + seed).uniform(-2.5, 0.5)
        search, scores, trials = search_on(hill(optimum, coarse_shift=0.3, noise=noise, seed=seed))
        off = np.log10(search.choice(scores).point["learning_rate"]) - optimum
        lost.append(0.01 * off**2)
        runs.append(len(trials))
        value = search.choice(scores).point["learning_rate"]
        assert all(seeds_at_full_length(trials)[rate] == set(SEEDS) for rate in (value, *neighbours(value)))
    # A rate from a grid of half-decades is off by a quarter of a decade at most, which costs 0.0006 here.
    assert np.mean(lost) < 0.0004 + noise and np.mean(runs) < 9 + 12


def test_the_budget_on_mnist():
    # Measured: two epochs of every rate, nine full runs of each candidate and at most 2.25 more, and the race.
    problem, candidates = get("mnist"), len(DEFAULT_OPTIMIZERS)
    plan = make_plan(problem)
    assert plan.runs == candidates * (9 + 9 + 10)
    assert candidates * (9 * problem.coarse_epochs + (9 + 2.25) * problem.epochs + plan.seeds * problem.epochs) <= 1387


SPACE = {"learning_rate": log_uniform(1e-4, 10.0), "momentum": one_minus_log_uniform(0.01, 1.0)}


def sampled_on(respond, *, tries=32, seeds=SEEDS, space=SPACE, seed=0):
    search, scores, trials = Sampled(space, tries, seeds, seed=seed), {}, []
    while asked := search.ask(scores):
        assert not {search.key(trial) for trial in asked} & scores.keys()
        scores |= {search.key(trial): respond(trial) for trial in asked}
        trials += asked
    return search, scores, trials


def bowl(trial):
    """Best at learning rate 0.01 and momentum 0.9, in decades of the rate and of the distance from 1."""
    off = np.hypot(np.log10(trial.point["learning_rate"]) + 2, np.log10(1 - trial.point["momentum"]) + 1)
    return FAILED if trial.point["learning_rate"] > 1 else Outcome(0.98 - 0.01 * off**2 - 0.02 * (not trial.full), 0.1)


def test_samples_are_trained_ever_longer_and_ever_fewer():
    search, scores, trials = sampled_on(bowl)
    lengths = [(trial.full, trial.seed) for trial in trials]
    assert lengths == [(False, 0)] * 32 + [(True, 0)] * 8 + [(True, 1), (True, 2)] * 3
    choice = search.choice(scores)
    every = [bowl(trial).value for trial in trials if not trial.full]
    assert bowl(Trial(choice.point, 0, False)).value == max(every)
    assert all(trial.point["learning_rate"] <= 1 for trial in trials if trial.full)  # what failed is dropped


@pytest.mark.parametrize("tries", [1, 2, 3, 5, 33])
def test_any_number_of_tries_is_as_many_for_every_space(tries):
    for space in (SPACE, {"learning_rate": SPACE["learning_rate"]}):
        _, _, trials = sampled_on(lambda trial: Outcome(trial.point["learning_rate"], 0.1), tries=tries, space=space)
        assert len({tuple(trial.point.items()) for trial in trials}) == tries


def test_values_that_are_few_are_each_tried_once():
    space = {"batch_size": choice(16, 32, 64)}
    search, scores, trials = sampled_on(lambda t: Outcome(t.point["batch_size"], 0.1), space=space)
    assert len(trials) == 9 and search.choice(scores) == ({"batch_size": 64.0}, ())


def test_the_end_of_a_range_is_said_and_splits_have_other_tries():
    search, scores, _ = sampled_on(lambda trial: Outcome(trial.point["learning_rate"], 0.1))
    assert search.choice(scores).at_edge == ("learning_rate",)
    first, second = (sampled_on(bowl, seed=seed)[2][0].point for seed in (0, 1))
    assert first != second


def test_a_sampled_search_in_which_every_run_fails_ends():
    search, scores, trials = sampled_on(lambda trial: FAILED)
    assert len(trials) == 32 + 8 + 6 and search.choice(scores).point


def test_more_tries_find_better_points():
    """Over 50 scramblings: the error of 64 tries in two dimensions is below half of that of 8."""
    off = {}
    for tries in (8, 64):
        found = [sampled_on(bowl, tries=tries, seed=seed)[:2] for seed in range(50)]
        off[tries] = np.mean([0.98 - bowl(Trial(search.choice(s).point, 0, True)).value for search, s in found])
    assert off[64] < off[8] / 2
