"""runs.csv alone, with pandas-like reading and SciPy, gives every verdict of the record."""

import csv

import numpy as np
import pytest
from scipy import stats

from jaxmlp.comparison import tidy, toy


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "runs.csv"
    tidy.write(path, {"digits": toy.PROBLEM}, {f"digits/{name}": values for name, values in toy.CURVES.items()})
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_row_per_run_epoch_and_metric(table):
    assert tuple(table[0]) == tidy.COLUMNS
    keys = [tuple(row[name] for name in tidy.COLUMNS[:-1]) for row in table]
    assert len(set(keys)) == len(keys)
    sgd = [row for row in table if row["candidate"] == "sgd" and row["metric"] == "test_loss"]
    race = toy.PROBLEM["candidates"]["sgd"]["race"]
    assert len(sgd) == len(race["seeds"]) * toy.PROBLEM["race"]["epochs"]
    assert {row["hyperparameters"] for row in sgd} == {"learning_rate=0.1"}


def test_a_target_that_is_never_reached_is_an_empty_value(table):
    reached = {row["candidate"]: [] for row in table if row["metric"] == "epochs to 95 %"}
    for row in table:
        if row["metric"] == "epochs to 95 %":
            reached[row["candidate"]].append(row["value"])
    assert reached["sgd"] == ["", "", ""] and reached["adam"] == ["1.5", "2.0", "1.6"]


def test_every_interval_and_verdict_follows_from_the_table(table):
    last = str(toy.PROBLEM["race"]["epochs"])
    scores = {}
    for row in table:
        if (row["phase"], row["metric"], row["epoch"]) == ("race", "test_accuracy", last):
            scores.setdefault(row["candidate"], []).append(float(row["value"]))
    for pair in toy.PROBLEM["pairs"]:
        name = f"{pair['a']} - {pair['b']}"
        about = {row["metric"]: float(row["value"]) for row in table if row["candidate"] == name}
        parts = [np.var(scores[who][: int(about["runs"])], ddof=1) / about["runs"] for who in (pair["a"], pair["b"])]
        df = sum(parts) ** 2 / sum(part**2 / (about["runs"] - 1) for part in parts)
        of_runs, of_examples = stats.t.ppf((1 + about["level"]) / 2, [df, about["examples_degrees_of_freedom"]])
        half = np.hypot(of_runs * np.sqrt(sum(parts)), of_examples * np.sqrt(about["examples_variance"]))
        difference = np.mean(scores[pair["a"]]) - np.mean(scores[pair["b"]])
        # The table holds every digit of the numbers, so that only rounding of sums remains.
        np.testing.assert_allclose([difference - half, difference + half], [pair["low"], pair["high"]], rtol=1e-9)
        word = "undecided"
        if abs(difference) > half:
            word = "better" if difference > 0 else "worse"
        elif abs(difference) + half <= about["margin"]:
            word = "equal"
        assert word == pair["verdict"]
