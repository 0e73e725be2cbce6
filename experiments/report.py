"""What a comparison says: the summary of its record, as tables on screen, in Markdown and in LaTeX."""

import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from experiments import statistics
from experiments.statistics import Interval

Curves = Mapping[str, np.ndarray]

# A rule with a further hyperparameter contains the rule without it: tuned as well, it should not lose to it.
_CONTAINS = (("momentum", "sgd"), ("nesterov", "sgd"))


class Row(NamedTuple):
    """One optimizer on one problem."""

    optimizer: str
    learning_rate: float  # the choice, per step
    test_accuracy: Interval  # fraction, over the fresh seeds
    train_loss: float  # nats per example, mean over the seeds of the last epoch's; NaN where a seed diverged
    test_loss: float
    diverged: str  # runs with a non-finite loss: "0 of 5"
    diverged_tuning: str
    epochs_to_target: dict[str, str]  # target -> median over the seeds that reached it, and how many did
    seconds_to_target: dict[str, str]
    seconds: float  # of one run alone, compiled before


class Summary(NamedTuple):
    """What the record says of one problem."""

    rows: list[Row]
    findings: list[str]  # sentences


def summarise(name: str, problem: Mapping[str, Any], curves: Curves) -> Summary:
    """Work out the rows and the findings of one problem from its record and its curves (optimizer/phase/name)."""
    rows = [_row(o, entry, problem, curves) for o, entry in problem["optimizers"].items()]
    return Summary(rows, [*_ranking(problem), *_edges(problem), *_inclusion(problem), *_divergences(rows)])


def target_times(problems: Mapping[str, Any], curves: Curves) -> dict[str, dict[str, float | None]]:
    """Return optimizer -> {"problem, target": median seconds to the target, None where fewer than half the seeds
    reach it}, for the optimizers that all problems have."""
    common = set.intersection(*(set(problem["optimizers"]) for problem in problems.values()))
    first = next(iter(problems.values()))["optimizers"]
    times: dict[str, dict[str, float | None]] = {o: {} for o in first if o in common}
    for name, problem in problems.items():
        for target in problem["problem"]["targets"]:
            for optimizer, found in times.items():
                entry = problem["optimizers"][optimizer]
                reached = _epochs_to(target, curves[f"{name}/{optimizer}/final/test_accuracy"])
                median = np.median([np.inf if epochs is None else epochs for epochs in reached])
                seconds = float(median) * entry["seconds_per_step"] * problem["steps_per_epoch"]
                found[f"{name}, {100 * target:g} %"] = seconds if np.isfinite(median) else None
    return times


def screen_tables(name: str, problem: Mapping[str, Any], summary: Summary) -> list[Table]:
    """Return the tables that the terminal shows, 80 columns wide or less."""
    tables = []
    captions = (title(name, problem), f"{name}: time to a test accuracy, median over the seeds that reach it")
    for caption, (headings, rows) in zip(captions, (result_cells(summary), time_cells(summary)), strict=True):
        table = Table(title=caption, title_justify="left", box=SIMPLE_HEAD)
        for heading in headings:
            justify = "left" if heading == "optimizer" else "right"
            table.add_column(textwrap.fill(heading, 10), justify=justify, no_wrap=True)
        for row in rows:
            table.add_row(*row)
        tables.append(table)
    return tables


def markdown_tables(name: str, problem: Mapping[str, Any], summary: Summary) -> str:
    """Return the tables and the findings as Markdown."""
    lines = [f"**{title(name, problem)}**", ""]
    for headings, rows in (result_cells(summary), time_cells(summary)):
        lines += [_pipe(headings), _pipe([":--"] + ["--:"] * (len(headings) - 1)), *map(_pipe, rows), ""]
    return "\n".join([*lines, *(f"- {finding}" for finding in summary.findings), ""])


def latex_table(name: str, problem: Mapping[str, Any], summary: Summary) -> str:
    """Return the table of results as LaTeX (a tabular within a table; needs no package)."""
    headings, rows = result_cells(summary)
    lines = ["\\begin{table}", f"\\caption{{{_latex(title(name, problem))}}}"]
    lines += [f"\\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}", "\\hline"]
    lines += [" & ".join(map(_latex, row)) + " \\\\" for row in (headings, *rows)]
    lines.insert(5, "\\hline")
    return "\n".join([*lines, "\\hline", "\\end{tabular}", "\\end{table}", ""])


def title(name: str, problem: Mapping[str, Any]) -> str:
    """Say in one line what was run."""
    settings = problem["problem"]
    sizes = "-".join(map(str, settings["layer_sizes"]))
    return (
        f"{name}: {sizes}, batch {settings['batch_size']}, {settings['epochs']} epochs, "
        f"n = {len(problem['fresh_seeds'])} seeds"
    )


def result_cells(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return the table of results as text: headings, and a list of cells for every optimizer."""
    headings = ["optimizer", "learning rate", "test accuracy (%)", "train loss", "test loss", "diverged"]
    return headings, [
        [
            row.optimizer,
            f"{row.learning_rate:g}",
            percent(row.test_accuracy),
            _loss(row.train_loss),
            _loss(row.test_loss),
            row.diverged,
        ]
        for row in summary.rows
    ]


def time_cells(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return the table of times as text: to each target, and of a whole run alone, compiled before."""
    targets = list(summary.rows[0].seconds_to_target)
    headings = ["optimizer", *(f"s to {target}" for target in targets), *(f"epochs to {target}" for target in targets)]
    return [*headings, "s per run"], [
        [row.optimizer, *row.seconds_to_target.values(), *row.epochs_to_target.values(), f"{row.seconds:.3g}"]
        for row in summary.rows
    ]


def percent(value: Interval) -> str:
    """Write a fraction and its 95 % interval in percent: 97.91 ± 0.08."""
    if value.n == 1:
        return f"{100 * value.mean:.2f} (n = 1)"
    return f"{100 * value.mean:.2f} ± {100 * value.half_width:.2f}"


def _row(optimizer, entry, problem, curves):
    final, tuning = entry["final"], entry["tuning"]
    epoch_seconds = entry["seconds_per_step"] * problem["steps_per_epoch"]
    epochs_to_target, seconds_to_target = {}, {}
    for target in problem["problem"]["targets"]:
        reached = [e for e in _epochs_to(target, curves[f"{optimizer}/final/test_accuracy"]) if e is not None]
        n, label = len(problem["fresh_seeds"]), f"{100 * target:g} %"
        share = "" if len(reached) == n else f" ({len(reached)} of {n})"
        median = float(np.median(reached)) if reached else None
        epochs_to_target[label] = "never" if median is None else f"{median:g}{share}"
        seconds_to_target[label] = "never" if median is None else f"{median * epoch_seconds:.2g}{share}"
    return Row(
        optimizer,
        entry["chosen"],
        statistics.interval(final["test_accuracy"]),
        _mean(final["train_loss"]),
        _mean(final["test_loss"]),
        _count_diverged(final["first_nonfinite_step"]),
        _count_diverged(tuning["first_nonfinite_step"]),
        epochs_to_target,
        seconds_to_target,
        entry["seconds_alone"],
    )


def _ranking(problem):
    scores = {o: entry["final"]["test_accuracy"] for o, entry in problem["optimizers"].items()}
    if len(scores) == 1:
        return []
    n = len(problem["fresh_seeds"])
    best, ties = statistics.ties_with_best(scores)
    if n == 1:
        return [f"{best} has the highest test accuracy, but one seed says nothing of the difference."]
    how = f"(paired t tests over {n} seeds, Holm's correction, 5 % level)"
    if not ties:
        return [f"{best} has the highest test accuracy, beyond what the seeds explain {how}."]
    return [f"{best} has the highest mean test accuracy; {_join(ties)} cannot be told from it {how}."]


def _edges(problem):
    found = []
    for optimizer, entry in problem["optimizers"].items():
        if entry["chosen_at_edge"]:
            low, high = entry["learning_rates"][0], entry["learning_rates"][-1]
            found.append(
                f"Warning: {optimizer}'s best learning rate, {entry['chosen']:g}, is on the edge of its grid "
                f"({low:g} to {high:g}); a wider grid may change its rank (--learning-rates)."
            )
    return found


def _inclusion(problem):
    found = []
    entries = problem["optimizers"]
    for larger, smaller in _CONTAINS:
        if larger not in entries or smaller not in entries or len(problem["fresh_seeds"]) < 2:
            continue
        a, b = (entries[name]["final"]["test_accuracy"] for name in (larger, smaller))
        if np.mean(a) < np.mean(b) and statistics.paired_p_value(a, b) < 0.05:
            found.append(
                f"Warning: {larger} contains {smaller} (momentum 0), yet lost to it beyond noise; its grid or its "
                "fixed momentum 0.9 does not suit this problem."
            )
    return found


def _divergences(rows):
    tuning = [f"{row.optimizer} {row.diverged_tuning}" for row in rows if not row.diverged_tuning.startswith("0 ")]
    return [f"Diverged while tuning: {', '.join(tuning)} runs."] if tuning else []


def _epochs_to(target, curves):
    return [statistics.first_reaching(curve, target) for curve in curves]


def _count_diverged(steps):
    steps = np.asarray(steps)
    return f"{np.sum(steps >= 0)} of {steps.size}"


def _mean(values):
    # A seed without a finite loss leaves no mean to report; it is counted as diverged beside it.
    return float(np.mean([np.nan if value is None else value for value in values]))


def _loss(value):
    return f"{value:.4f}" if np.isfinite(value) else "not finite"


def _join(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _pipe(row):
    return "| " + " | ".join(row) + " |"


def _latex(text):
    for plain, escaped in (("%", "\\%"), ("_", "\\_"), ("±", "$\\pm$"), ("&", "\\&")):
        text = text.replace(plain, escaped)
    return text
