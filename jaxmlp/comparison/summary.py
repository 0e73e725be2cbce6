"""The results of a comparison in numbers and sentences, worked out from its record."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.comparison import statistics, verdicts
from jaxmlp.comparison.statistics import Interval
from jaxmlp.comparison.verdicts import Pair

__docformat__ = "google"
__all__ = ["MARGIN", "Row", "Summary", "summarise", "target_times"]

# A rule with one more hyperparameter includes the rule without it; tuned as well, it should not lose to it.
_CONTAINS = (("momentum", "sgd"), ("nesterov", "sgd"))

MARGIN = 0.002
"""Differences in test accuracy up to this size count as equal."""


class Row(NamedTuple):
    """One optimizer on one problem."""

    optimizer: str
    """Its name."""

    learning_rate: float
    """The choice, per step."""

    test_accuracy: Interval
    """Fraction, over the fresh seeds."""

    train_loss: Interval
    """Nats per example in the last epoch; NaN if a seed diverged."""

    test_loss: Interval
    """Nats per example after the last epoch; NaN if a seed diverged."""

    diverged: tuple[int, int]
    """Final runs with a non-finite loss, and final runs in all."""

    diverged_tuning: tuple[int, int]
    """The same of the tuning runs."""

    to_target: dict[str, dict[str, str]]
    """Target -> unit -> median over the seeds, and how many of them reach it."""

    seconds: float
    """Seconds of one run alone, excluding compilation."""


class Summary(NamedTuple):
    """The results on one problem."""

    rows: list[Row]
    """One for each optimizer."""

    pairs: list[Pair]
    """The difference of every two optimizers in test accuracy; empty with one optimizer or one seed."""

    findings: list[str]
    """Sentences: the ranking, warnings and checks."""


def summarise(problem: Mapping[str, Any]) -> Summary:
    """Summarise one problem from its part of the record.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> summary = summarise(toy.PROBLEM)
        >>> [row.optimizer for row in summary.rows], summary.findings[-1]
        (['sgd', 'adam'], 'Diverged while tuning: 4 of 12 runs (sgd 2, adam 2).')
    """
    rows = [_row(o, entry) for o, entry in problem["optimizers"].items()]
    pairs = _pairs(problem)
    findings = [*_ranking(problem, pairs), *_edges(problem), *_inclusion(problem), *_divergences(rows)]
    return Summary(rows, pairs, findings + _speed(problem))


def target_times(problems: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return the median time to every target of every problem, for the optimizers that all problems have.

    Args:
        problems: the record's problems by name.

    Returns:
        Optimizer -> {"problem, target": seconds; None if half the seeds or more never reach it}.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> target_times(toy.RECORD["problems"])["sgd"]
        {'digits, 95 %': 0.03}
    """
    common = set.intersection(*(set(problem["optimizers"]) for problem in problems.values()))
    first = next(iter(problems.values()))["optimizers"]
    times: dict[str, dict[str, float | None]] = {o: {} for o in first if o in common}
    for name, problem in problems.items():
        for optimizer, found in times.items():
            for target, reached in problem["optimizers"][optimizer]["to_target"].items():
                median = float(np.median([np.inf if seconds is None else seconds for seconds in reached["seconds"]]))
                found[f"{name}, {target}"] = median if np.isfinite(median) else None
    return times


def _row(optimizer, entry):
    final, tuning = entry["final"], entry["tuning"]
    to_target = {
        target: {"s": _median(reached["seconds"], "{:.2g}"), "epochs": _median(reached["epochs"], "{:g}")}
        for target, reached in entry["to_target"].items()
    }
    return Row(
        optimizer,
        entry["chosen"],
        statistics.interval(final["test_accuracy"]),
        _interval(final["train_loss"]),
        _interval(final["test_loss"]),
        _count_diverged(final["first_nonfinite_step"]),
        _count_diverged(tuning["first_nonfinite_step"]),
        to_target,
        entry["seconds_alone"],
    )


def _pairs(problem):
    scores = {o: verdicts.Runs(np.array(e["final"]["test_accuracy"])) for o, e in problem["optimizers"].items()}
    if len(scores) == 1 or len(problem["fresh_seeds"]) == 1:
        return []
    return verdicts.all_pairs(scores, margin=MARGIN)


def _ranking(problem, pairs):
    means = {o: float(np.mean(entry["final"]["test_accuracy"])) for o, entry in problem["optimizers"].items()}
    if len(means) == 1:
        return []
    best = max(means, key=lambda name: means[name])
    if not pairs:
        return [f"{best} has the highest test accuracy; one seed cannot show whether the difference is real."]
    below = verdicts.beaten(best, pairs)
    beats = f"significantly above {_join(below)}" if below else "but is not significantly above any other"
    words = [pair.verdict for pair in pairs]
    different = sum(word in (verdicts.BETTER, verdicts.WORSE) for word in words)
    return [
        f"{best} has the highest mean test accuracy, {beats}.",
        f"Of {len(pairs)} pairs, {different} differ significantly, {words.count(verdicts.EQUAL)} are equal within "
        f"{100 * MARGIN:g} points and {words.count(verdicts.UNDECIDED)} are undecided (Welch's intervals over "
        f"{len(problem['fresh_seeds'])} seeds, 95 % for all pairs together). The intervals do not cover the choice of "
        "the test examples, the learning rates and the validation part.",
    ]


def _edges(problem):
    found = []
    for optimizer, entry in problem["optimizers"].items():
        if entry["chosen_at_edge"]:
            low, high = entry["learning_rates"][0], entry["learning_rates"][-1]
            found.append(
                f"Warning: {optimizer}'s best learning rate, {entry['chosen']:g}, is at the edge of its grid "
                f"({low:g} to {high:g}); a wider grid may change its rank (--learning-rates)."
            )
    return found


def _inclusion(problem):
    found, kept = [], []
    entries = problem["optimizers"]
    for larger, smaller in _CONTAINS:
        if larger not in entries or smaller not in entries or len(problem["fresh_seeds"]) < 2:
            continue
        a, b = (entries[name]["final"]["test_accuracy"] for name in (larger, smaller))
        if np.mean(a) < np.mean(b) and statistics.paired_p_value(a, b) < 0.05:
            found.append(
                f"Warning: {larger} includes {smaller} (momentum 0), yet is significantly worse; its grid or its "
                "fixed momentum of 0.9 does not suit this problem."
            )
        else:
            kept.append(larger)
    if kept:
        them = "it" if len(kept) == 1 else "them"
        found.append(
            f"Inclusion check passed: sgd, which is {_join(kept)} with momentum 0, is not significantly better than "
            f"{them}."
        )
    return found


def _divergences(rows):
    found = []
    for what, counts in (("", [r.diverged for r in rows]), (" while tuning", [r.diverged_tuning for r in rows])):
        bad, total = np.sum(counts, axis=0)
        each = ", ".join(f"{row.optimizer} {n}" for row, (n, _) in zip(rows, counts, strict=True) if n)
        warning = "Warning: " if bad and not what else ""
        found.append(f"{warning}Diverged{what}: {bad} of {total} runs{f' ({each})' if each else ''}.")
    return found


def _speed(problem):
    if "seconds_speed" not in problem:
        return []
    rates = problem["seconds_speed"]
    return [
        f"The tuning sweeps did {rates['sweep'] / 1e9:.0f} GFLOP/s of matrix products, compilation included: "
        f"{100 * rates['sweep'] / rates['machine']:.0f} % of the rate of a 2048 x 2048 float32 product in NumPy."
    ]


def _median(values, form):
    """The median over all seeds, where never counts as longest, and how many reach the target unless all or none do."""
    median = float(np.median([np.inf if value is None else value for value in values]))
    reached = sum(value is not None for value in values)
    share = "" if reached in (0, len(values)) else f" ({reached}/{len(values)})"
    return (form.format(median) if np.isfinite(median) else "never") + share


def _count_diverged(steps):
    steps = np.asarray(steps)
    return int(np.sum(steps >= 0)), steps.size


def _interval(values):
    # With a seed whose loss is not finite there is no mean; the seed is counted as diverged.
    return statistics.interval([np.nan if value is None else value for value in values])


def _join(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
