"""The protocol: what is trained, chosen, measured and written down; extended, replicated, repeated on other splits."""

import contextlib
import dataclasses

import jax
import numpy as np
import pytest

import jaxmlp
from jaxmlp.comparison import entries, plans, problems, protocol, race, scores, statistics, verdicts
from jaxmlp.comparison.store import RunStore

pytestmark = pytest.mark.usefixtures("unoptimised")

SHORT = dataclasses.replace(problems.get("digits"), layer_sizes=(64, 10), coarse_epochs=1, epochs=2)
SETTINGS = {"learning_rates": [0.01, 0.1], "seeds": 2, "tuning_seeds": 1}


@pytest.fixture(scope="module")
def data():
    return problems.load(SHORT)


def plan_of(*optimizers, problem=SHORT, **settings):
    return plans.make_plan(problem, optimizers or ("sgd", "adam"), **SETTINGS | settings)


def execute(folder, plan, data, **more):
    with contextlib.closing(RunStore(folder, plan.describe(), resume=False)) as store:
        return protocol.execute(plan, data, store, lambda what, done, total: None, **more)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data, unoptimised):
    return execute(tmp_path_factory.mktemp("finished") / "runs", plan_of(), data)


def test_the_record_says_what_was_tried_chosen_and_measured(finished):
    record, curves = finished
    assert record["tuning"] == {"coarse": {"seeds": [], "epochs": 1}, "full": {"seeds": [0], "epochs": 2}}
    assert record["race"] == {"epochs": 2, "looks": [{"seeds": 2, "error": 0.05}], "added_looks": 0}
    assert record["effort"]["epochs_trained"] == 2 * (2 * 2 + 2 * 2) and record["effort"]["coarse"] == 0
    for name, entry in record["candidates"].items():
        best = max(entry["tuning"], key=lambda run: run["validation_score"])
        assert entry["choices"] == [{"hyperparameters": best["hyperparameters"], "at_edge": ["learning_rate"]}]
        assert entry["tried"] == [{"learning_rate": 0.01}, {"learning_rate": 0.1}] and entry["widened"] == 0
        assert (entry["reference"], entry["search"], entry["tries"], entry["schedule"]) == (name, "grid", 2, None)
        assert entry["race"]["seeds"] == [1000, 1001] and entry["race"]["split"] == [0, 0]
        assert len(entry["timing"]["seconds_per_epoch"]) == 5
        right = np.unpackbits(curves[f"{name}/race/right"], axis=1, count=360)
        np.testing.assert_allclose(right.mean(axis=1), entry["race"]["test_score"], atol=1e-7)
        assert curves[f"{name}/race/test_score"].shape == (2, 2)
        assert curves[f"{name}/race/early_test_score"].shape == (2, 20) == (2, len(curves["early_epochs"]))


def test_the_verdicts_are_those_of_the_kept_answers(finished):
    record, curves = finished
    runs = {
        name: verdicts.Runs(
            curves[f"{name}/race/test_score"][:, -1].astype(float),
            np.unpackbits(curves[f"{name}/race/right"], axis=1, count=360).astype(bool),
        )
        for name in ("sgd", "adam")
    }
    settings = {"level": 0.95, "next_level": 0.975, "margin": 0.002}  # an added look may err half as often
    expected = verdicts.compare("sgd", runs["sgd"], "adam", runs["adam"], **settings)
    [pair] = record["pairs"]
    assert pair == expected._asdict() | {"look": 0}


def test_a_race_run_is_fit_alone_and_early_measurements_lead_to_the_ends_of_epochs(finished, data):
    record, curves = finished
    entry, net = record["candidates"]["adam"], SHORT.build(data)
    init_key, fit_key = jax.random.split(jax.random.key(1000))
    result = jaxmlp.fit(
        jaxmlp.objective(net.apply),
        net.init(init_key),
        jaxmlp.optimizers.adam(entry["choices"][0]["hyperparameters"]["learning_rate"]),
        tuple(np.concatenate(parts) for parts in zip(data.train, data.validation, strict=True)),
        key=fit_key,
        epochs=2,
        batch_size=32,
        validation=data.test,
        metrics={"accuracy": jaxmlp.accuracy(net.apply)},
    )
    ends = result.history.metrics["accuracy"]
    np.testing.assert_allclose(curves["adam/race/test_score"][0], ends, atol=1e-7)
    early = curves["early_epochs"]
    np.testing.assert_allclose(early, np.arange(1, 21) / 10, atol=0.5 / record["steps_per_epoch"])
    np.testing.assert_allclose(curves["adam/race/early_test_score"][0, [9, 19]], ends, atol=1e-7)


def test_the_time_to_a_target_is_the_first_measurement_that_reaches_it(finished):
    record, curves = finished
    for name, entry in record["candidates"].items():
        for target, reached in entry["to_target"].items():
            for epochs, curve in zip(reached["epochs"], curves[f"{name}/race/early_test_score"], strict=True):
                over = np.flatnonzero(curve >= float(target[:-2]) / 100 - 1e-7)
                assert epochs == (curves["early_epochs"][over[0]] if len(over) else None)


def test_a_killed_run_resumes_to_what_it_would_have_been(tmp_path, data, finished, monkeypatch):
    keep, left = RunStore.keep, [3]

    def kill(store, name, arrays, place=None):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        keep(store, name, arrays, place)

    monkeypatch.setattr(RunStore, "keep", kill)
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path / "runs", plan_of(), data)
    monkeypatch.setattr(RunStore, "keep", keep)
    store = RunStore(tmp_path / "runs", plan_of().describe(), resume=True)
    assert len(list((tmp_path / "runs").glob("*.npz"))) == 3
    record, curves = protocol.execute(plan_of(), data, store, lambda what, done, total: None)
    assert_same((record, curves), finished)


def assert_same(one, other):
    """Equal but for what the clock decides."""
    (record, curves), (expected, of_expected) = one, other
    assert without_times(record) == without_times(expected)
    assert curves.keys() == of_expected.keys()
    for name in curves:
        if not name.endswith("/seconds"):
            np.testing.assert_array_equal(curves[name], of_expected[name], err_msg=name)


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not k.startswith("seconds")}
    return value


def test_a_record_that_is_extended_is_that_of_the_longer_race_with_one_more_look(tmp_path, data, finished):
    record, curves = finished
    before = entries.read_finished(record, curves)
    extended, of_extended = execute(tmp_path / "more", plan_of(), data, before=before, add_seeds=1)
    longer, of_longer = execute(tmp_path / "longer", plan_of(seeds=3), data)
    assert extended["race"]["looks"] == [{"seeds": 2, "error": 0.05}, {"seeds": 3, "error": 0.025}]
    assert extended["race"]["added_looks"] == 1
    for name in of_longer:
        if not name.endswith("/seconds"):
            np.testing.assert_array_equal(of_extended[name], of_longer[name], err_msg=name)
    for name, entry in extended["candidates"].items():
        assert entry["race"] == longer["candidates"][name]["race"]
    [old], [new] = record["pairs"], extended["pairs"]
    assert new == old if old["verdict"] != verdicts.UNDECIDED else new["look"] == 1


@pytest.mark.slow
def test_only_what_is_undecided_gets_more_seeds(tmp_path, data, monkeypatch):
    tested = []

    def update(pairs, runs, error, look, margin, higher_is_better, added):
        tested.append({name: len(r.scores) for name, r in runs.items()})
        words = {("sgd", "adam"): "better", ("sgd", "momentum"): "undecided", ("adam", "momentum"): "worse"}
        words = words if look == 0 else dict.fromkeys(words, "equal")
        return [
            {"a": a, "b": b, "verdict": word, "look": look, "examples_variance": 0, "more_runs": 5 - added}
            for (a, b), word in words.items()
        ]

    monkeypatch.setattr(race, "update", update)
    plan = plan_of("sgd", "adam", "momentum", learning_rates=[0.1], decide=True, max_seeds=6)
    record, _ = execute(tmp_path / "runs", plan, data)
    assert {name: len(entry["race"]["seeds"]) for name, entry in record["candidates"].items()} == {
        "sgd": 4,
        "adam": 2,
        "momentum": 4,
    }
    assert [look["seeds"] for look in record["race"]["looks"]] == [2, 4]  # of three that were planned
    assert [look["error"] for look in record["race"]["looks"]] == verdicts.spend([1 / 3, 2 / 3, 1])[:2]
    assert tested == [dict.fromkeys(("sgd", "adam", "momentum"), 2), {"sgd": 4, "adam": 2, "momentum": 4}]


def test_splits_repeat_tuning_and_choice_and_share_the_seeds_out(tmp_path, data):
    plan = plan_of("sgd", seeds=3, splits=2)
    record, curves = execute(tmp_path / "runs", plan, data)
    entry = record["candidates"]["sgd"]
    assert record["splits"] == 2 and len(entry["choices"]) == 2
    assert entry["race"]["seeds"] == [1000, 1001, 1002, 1003] and entry["race"]["split"] == [0, 1, 0, 1]
    assert {(run["split"], run["seed"]) for run in entry["tuning"]} == {(0, 0), (1, 1)}
    accuracies = [[run["validation_score"] for run in entry["tuning"] if run["split"] == split] for split in (0, 1)]
    assert accuracies[0] != accuracies[1]
    assert curves["sgd/full/split"].tolist() == [0, 0, 1, 1]


def test_the_parts_of_every_split_are_disjoint_and_whole(data):
    whole = jaxmlp.datasets.load("digits")
    expected = np.concatenate([np.column_stack(part) for part in (whole.train, whole.test)])
    for number in (0, 1):
        parts = problems.resplit(SHORT, data, number)
        assert [len(part[1]) for part in parts] == [1150, 287, 360]
        rows = np.concatenate([np.column_stack(part) for part in parts])
        np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])


def test_other_seeds_give_another_race_after_the_same_tuning(tmp_path, data, finished):
    record, curves = execute(tmp_path / "runs", plan_of("sgd", first_seed=7), data)
    assert record["candidates"]["sgd"]["race"]["seeds"] == [7, 8]
    np.testing.assert_array_equal(curves["sgd/full/train_loss"], finished[1]["sgd/full/train_loss"])
    assert not np.array_equal(curves["sgd/race/train_loss"], finished[1]["sgd/race/train_loss"])


def test_runs_that_diverge_or_stay_at_chance_have_failed(tmp_path, data):
    plan = plan_of("sgd", learning_rates=[1e38], seeds=1)
    record, _ = execute(tmp_path / "nan", plan, data)
    entry = record["candidates"]["sgd"]
    assert entry["race"]["failed"] == [True] and entry["race"]["test_loss"] == [None]
    assert [run["failed"] for run in entry["tuning"]] == [True] and entry["tuning"][0]["first_nonfinite_step"] >= 0

    plan = plan_of("sgd", learning_rates=[1e-9], seeds=1)
    record, _ = execute(tmp_path / "chance", plan, data)
    entry = record["candidates"]["sgd"]
    assert record["chance"] == {
        part: statistics.chance_level(getattr(data, part)[1]) for part in ("validation", "test")
    }
    assert entry["race"]["first_nonfinite_step"] == [-1] and entry["tuning"][0]["first_nonfinite_step"] == -1
    assert entry["race"]["failed"] == [entry["race"]["test_score"][0] <= record["chance"]["test"]]


def test_a_finite_loss_at_the_level_of_chance_is_a_failed_run():
    table = {
        "train_loss": np.full((3, 1), 2.3),
        "test_loss": np.array([[2.3], [2.3], [np.inf]]),
        "first_nonfinite_step": np.full(3, -1),
    }
    accuracy = np.array([0.12, 0.121, 0.9])
    assert entries.failed(table, accuracy, 0.12, scores.get("accuracy")).tolist() == [True, False, True]


@pytest.mark.slow
def test_a_validation_part_that_is_kept_is_measured_too(tmp_path, data):
    problem = dataclasses.replace(SHORT, keep_validation=True, targets=(0.5,))
    record, curves = execute(tmp_path / "runs", plan_of("sgd", problem=problem), data)
    assert len(record["candidates"]["sgd"]["race"]["validation_score"]) == 2
    both = np.minimum(*(curves[f"sgd/race/early_{part}_score"] for part in ("test", "validation")))
    for epochs, curve in zip(record["candidates"]["sgd"]["to_target"]["50 %"]["epochs"], both, strict=True):
        assert epochs == curves["early_epochs"][np.flatnonzero(curve >= 0.5)[0]]


@pytest.mark.slow
def test_the_whole_grid_is_searched_and_progress_ends_where_it_said(tmp_path, data):
    seen = []
    plan = plans.make_plan(SHORT, ["sgd"], seeds=2)
    store = RunStore(tmp_path / "runs", plan.describe(), resume=False)
    record, _ = protocol.execute(plan, data, store, lambda what, done, total: seen.append((what, done, total)))
    entry = record["candidates"]["sgd"]
    assert record["tuning"]["coarse"]["seeds"] == [0] and record["tuning"]["full"]["seeds"] == [0, 1, 2]
    assert len({run["hyperparameters"]["learning_rate"] for run in entry["tuning"] if run["epochs"] == 1}) >= 9
    full = [run["hyperparameters"] for run in entry["tuning"] if run["epochs"] == 2]
    index = entry["tried"].index(entry["choices"][0]["hyperparameters"])
    assert all(full.count(point) == 3 for point in entry["tried"][index - 1 : index + 2])
    assert all(done <= total for _, done, total in seen) and seen[-1][1] == len(entry["tuning"]) + 2


def test_a_plan_fills_in_what_is_left_open_and_leaves_alone_what_is_given():
    digits = problems.get("digits")
    close = (0.123451, 0.123452)
    plan = plans.make_plan(digits, ["sgd"], learning_rates=close)
    assert plan.grids == {"sgd": close} and plan.widen == 0
    assert (plan.tuning_seeds, plan.seeds, plan.first_seed, plan.margin, plan.max_seeds) == (3, 10, 1000, 0.002, None)
    full = plans.make_plan(digits, full=True)
    assert {len(grid) for grid in full.grids.values()} == {36} and full.tuning_seeds == 10 and full.widen
    assert plans.make_plan(digits, splits=3).seeds == 12
    assert plans.make_plan(digits, decide=True, seeds=5).max_seeds == 20
    assert plans.make_plan(digits, epochs=2).problem.coarse_epochs == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first_seed": 2}, "first_seed must be at least 3"),
        ({"first_seed": 5, "splits": 2}, "first_seed must be at least 6"),
        ({"max_seeds": 20}, "add --decide"),
        ({"decide": True, "max_seeds": 5}, "max_seeds must be at least the 10"),
        ({"decide": True, "splits": 2}, "leave one of them out"),
        ({"margin": 0.0}, "margin must be in"),
        ({"splits": 0}, "splits must be at least 1"),
    ],
)
def test_a_plan_that_would_not_be_honest_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        plans.make_plan(problems.get("digits"), **settings)
