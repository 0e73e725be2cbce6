"""Tables and notes on the runs, made from what was measured."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from rich.table import Table

from experiments.common import command
from experiments.common.command import Comparison
from experiments.common.wording import over_seeds
from experiments.titanic.figures import LABELS, TUNED, Runs, networks
from experiments.titanic.methods import RATES
from jaxmlp.comparison import statistics, verdicts

_MEASURES = {
    "accuracy": "accuracy (%)",
    "off": "off by",
    "off_share": "off by (%)",
    "missed_share": "missed (%)",
    "false_alarm_share": "false alarms (%)",
    "auc": "ROC AUC",
}
_PUBLISHED_COUNT = "25 to 30 of 101"
_PUBLISHED_SHARE = "24.8 to 29.7 (Kaggle's)"  # the same in percent, of the passengers in Kaggle's file


def comparisons(runs: Runs, survivors: Mapping[str, Sequence[int]], *, count: bool) -> Iterator[Comparison]:
    """Compare the error in the number of predicted survivors with the published figure.

    Args:
        runs: preparation -> method -> what was measured.
        survivors: among the test passengers of each run, with incomplete rows left out and filled.
        count: True: in passengers, which are the same in all runs; False: as a share of the survivors, in percent.
    """
    published = {"sgd": _PUBLISHED_COUNT if count else _PUBLISHED_SHARE, "adam": "clearly better"}
    for name, methods in runs.items():
        n = survivors[name.partition(",")[0]][0]
        for method, found in methods.items():
            quantity = f"{method}, incomplete rows {name}: survivors off by " + (f"(of {n})" if count else "(%)")
            yield Comparison(quantity, published.get(method, "-"), found["off" if count else "off_share"], ".1f")


def table(runs: Runs) -> Table:
    """Tabulate the errors of each method: mean and 95 % interval over the seeds."""
    rows = Table(
        "incomplete rows, features",
        "method",
        *_MEASURES.values(),
        title="Error in the number of predicted survivors; survivors missed and false alarms (% of survivors)",
    )
    for name, methods in runs.items():
        for row, (method, found) in enumerate(methods.items()):
            cells = [
                command.with_interval(found[measure], ".3f" if measure == "auc" else ".1f", count=False)
                for measure in _MEASURES
            ]
            rows.add_row(name if row == 0 else "", method, *cells, end_section=row == len(methods) - 1)
    return rows


def notes(
    runs: Runs, n_test: Mapping[str, int], chosen: Mapping[str, Sequence[float]], *, one_split: bool
) -> Iterator[str]:
    """Say what the intervals cover, how the methods compare, and how the losses go.

    Args:
        runs: preparation -> method -> what was measured.
        n_test: test passengers, with incomplete rows left out and filled.
        chosen: preparation -> tuned learning rate of SGD for each division of the passengers.
        one_split: True: all seeds share one division of the passengers.
    """
    yield _test_error(runs, n_test, one_split=one_split)
    yield _tuned(chosen, one_split=one_split)
    yield _against_adam(runs)
    yield from _by_measure(runs, TUNED)
    yield from _by_measure(runs, "logistic")
    yield from _keras(runs)
    yield from _overfitting(runs)


def _test_error(runs, n_test, *, one_split):
    """Say what the intervals over the seeds leave out: the test passengers, who are few."""
    covered = "initial weights only, on one division of the passengers" if one_split else "weights and divisions"
    said = []
    for missing, n in n_test.items():
        adam = runs[f"{missing}, standardised"]["adam"]
        share = np.mean(adam["accuracy"]) / 100
        points = 196 * np.sqrt(share * (1 - share) / n)
        # The count is wrong by false alarms minus missed survivors, each nearly Poisson.
        count = 1.96 * np.sqrt(np.mean(adam["missed"]) + np.mean(adam["false_alarm"]))
        said.append(
            f"{n} test passengers (incomplete rows {missing}), ± {points:.1f} points of accuracy (binomial) and "
            f"± {count:.0f} survivors in the count"
        )
    return (
        f"± in the tables covers {covered}. The test passengers are themselves a sample. For a network that is wrong "
        f"as often as Adam's on standardised features this adds, at 95 %: {'; '.join(said)}. Smaller differences say "
        "little about other passengers."
    )


def _tuned(chosen, *, one_split):
    """Say which learning rates were chosen."""
    said = []
    for name, rates in chosen.items():
        values, counts = np.unique(rates, return_counts=True)
        each = ", ".join(
            f"{value:.2g}" + ("" if one_split else f" ({count})") for value, count in zip(values, counts, strict=True)
        )
        said.append(f"{name}: {each}")
    edge = sum(np.isin(rates, (RATES[0], RATES[-1])).sum() for rates in chosen.values())
    per = "" if one_split else "; in brackets: for how many seeds"
    return (
        f"Tuned SGD: the rate, of {len(RATES)} from {RATES[0]:.2g} to {RATES[-1]:g}, with the lowest loss at the end "
        f"on a fifth of the training rows; the test rows take no part{per}. {'; '.join(said)}. At an end of the grid: "
        f"{edge}. Adam has its published rate."
    )


def _difference(a, b):
    """Mean of a minus b by seed, with its interval and the one word that it allows; b may be one value for all."""
    values = np.subtract(a, b)
    found = statistics.interval(values)
    if found.n < 2 or not np.isfinite(found.half_width):
        return f"{found.mean:+.1f}", ""
    word = "more" if found.mean > found.half_width else "less" if found.mean < -found.half_width else ""
    return f"{found.mean:+.1f} ± {found.half_width:.1f}", word


def _against_adam(runs):
    """Compare Adam with SGD at both rates, seed by seed."""
    said = []
    for name, methods in runs.items():
        pairs = ((LABELS[rule], _difference(methods[rule]["off"], methods["adam"]["off"])) for rule in ("sgd", TUNED))
        said.append(f"{name}: " + ", ".join(f"{label} {text}" for label, (text, _) in pairs))
    several = len(next(iter(runs.values()))["sgd"]["off"]) > 1
    tested = "; paired by seed, 95 % each" if several else ""
    return f"Survivors off by, minus Adam's{tested}. {'; '.join(said)}."


def _by_measure(runs, method):
    """Compare a method with Adam by each measure: errors that cancel in the count still cost accuracy."""
    for name, methods in runs.items():
        if method not in methods:
            continue
        better, worse, unclear = [], [], []
        for measure, label, sign in (("off", "survivors off by", -1), ("accuracy", "accuracy", 1), ("auc", "AUC", 1)):
            ours, adam = methods[method][measure], methods["adam"][measure]
            form = ".3f" if measure == "auc" else ".1f"
            pair = (command.with_interval(values, form, count=False) for values in (ours, adam))
            word = _difference(ours, adam)[1]
            group = unclear if not word else better if (word == "more") == (sign > 0) else worse
            group.append(f"{label} {' and '.join(pair)}")
        groups = (("better", better), ("worse", worse), ("not clearly different", unclear))
        said = "; ".join(f"{word}: {', '.join(texts)}" for word, texts in groups if texts)
        subject = LABELS[method][0].upper() + LABELS[method][1:]
        yield f"{subject} and Adam, incomplete rows {name}, by 95 % intervals over the seeds: {said}."


def _keras(runs):
    """Compare the network in Keras with ours, as runs that share neither weights nor the order of passengers."""
    said, n = [], 0
    for name, methods in runs.items():
        for rule in ("sgd", "adam"):
            if (found := methods.get(f"{rule}, Keras")) is None:
                continue
            n = len(found["off"])
            text = f"{rule}, {name}: {np.mean(found['off']):.1f} and {np.mean(methods[rule]['off'][:n]):.1f}"
            if n > 1:
                scores = {
                    "keras": verdicts.Runs(np.array(found["off"])),
                    "ours": verdicts.Runs(np.array(methods[rule]["off"][:n])),
                }
                (pair,) = verdicts.all_pairs(scores)
                text += f", difference {pair.difference:+.1f} ({pair.low:+.1f} to {pair.high:+.1f})"
            said.append(text)
    if said:
        tested = "; in brackets: Welch's intervals, 95 % each" if n > 1 else ""
        yield f"In Keras and in jaxmlp, survivors off by, {over_seeds(n)}{tested}. {'; '.join(said)}."


def _overfitting(runs):
    """Say where each network's test loss is lowest, and what it and the training loss are there and at the end.

    The losses are means over the seeds and over a fiftieth of the epochs, since single epochs fluctuate.
    """
    for name, methods in runs.items():
        said = []
        for rule, found in networks(methods).items():
            width = max(1, len(found["test_loss"]) // 50)
            train, test = (
                np.convolve(found[loss], np.full(width, 1 / width), "valid") for loss in ("train_loss", "test_loss")
            )
            best = int(np.argmin(test))
            said.append(
                f"{rule}: test {test[best]:.3f} by epoch {best + width}, {test[-1]:.3f} at the end; training "
                f"{train[best]:.3f}, {train[-1]:.3f}"
            )
        yield f"Losses, incomplete rows {name}: {'. '.join(said)}."
