"""What a comparison says: the summary of its record, as tables on screen, in Markdown and in LaTeX."""

import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jaxmlp.comparison import statistics
from jaxmlp.comparison.statistics import Interval

# A rule with a further hyperparameter contains the rule without it: tuned as well, it should not lose to it.
_CONTAINS = (("momentum", "sgd"), ("nesterov", "sgd"))


class Row(NamedTuple):
    """One optimizer on one problem."""

    optimizer: str
    learning_rate: float  # the choice, per step
    test_accuracy: Interval  # fraction, over the fresh seeds
    train_loss: Interval  # nats per example, the last epoch's; NaN where a seed diverged
    test_loss: Interval
    diverged: tuple[int, int]  # runs with a non-finite loss, and runs in all
    diverged_tuning: tuple[int, int]
    to_target: dict[str, dict[str, str]]  # target -> unit -> median over the seeds, and how many reach it
    seconds: float  # of one run alone, compiled before


class Summary(NamedTuple):
    """What the record says of one problem."""

    rows: list[Row]
    findings: list[str]  # sentences


def summarise(problem: Mapping[str, Any]) -> Summary:
    """Work out the rows and the findings of one problem from its part of the record."""
    rows = [_row(o, entry) for o, entry in problem["optimizers"].items()]
    findings = [*_ranking(problem), *_edges(problem), *_inclusion(problem), *_divergences(rows), *_speed(problem)]
    return Summary(rows, findings)


def target_times(problems: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return optimizer -> {"problem, target": median seconds to the target, None where half the seeds or more
    never reach it}, for the optimizers that all problems have."""
    common = set.intersection(*(set(problem["optimizers"]) for problem in problems.values()))
    first = next(iter(problems.values()))["optimizers"]
    times: dict[str, dict[str, float | None]] = {o: {} for o in first if o in common}
    for name, problem in problems.items():
        for optimizer, found in times.items():
            for target, reached in problem["optimizers"][optimizer]["to_target"].items():
                median = float(np.median([np.inf if seconds is None else seconds for seconds in reached["seconds"]]))
                found[f"{name}, {target}"] = median if np.isfinite(median) else None
    return times


def screen_tables(name: str, problem: Mapping[str, Any], summary: Summary) -> list[Table]:
    """Return the tables that the terminal shows, 80 columns wide or less."""
    tables = []
    captions = (title(name, problem), time_title(name, problem))
    for caption, (headings, rows) in zip(captions, (result_cells(summary), time_cells(summary)), strict=True):
        table = Table(title=caption, title_justify="left", box=SIMPLE_HEAD)
        for heading in headings:
            justify = "left" if heading == "optimizer" else "right"
            table.add_column(textwrap.fill(heading, 8, break_long_words=False), justify=justify, no_wrap=True)
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


def origin(results: Mapping[str, Any]) -> str:
    """Say in one line what made the numbers."""
    made = results["provenance"]
    versions = ", ".join(f"{package} {made['versions'][package]}" for package in ("jaxmlp", "jax", "optax", "python"))
    seeds = "; ".join(
        f"{name} {p['fresh_seeds'][0]} to {p['fresh_seeds'][-1]}" for name, p in results["problems"].items()
    )
    return (
        f"±: 95 % interval over seeds ({seeds}). {versions}; {made['device']}, {made['cpus']} CPUs; commit "
        f"{made['commit'] or 'unknown'}."
    )


def title(name: str, problem: Mapping[str, Any]) -> str:
    """Say in one line what was run."""
    settings = problem["problem"]
    sizes = "-".join(map(str, settings["layer_sizes"]))
    return (
        f"{name}: {sizes}, batch {settings['batch_size']}, {settings['epochs']} epochs, "
        f"n = {len(problem['fresh_seeds'])} seeds"
    )


def time_title(name: str, problem: Mapping[str, Any]) -> str:
    """Say in one line what the times are."""
    measured = "validation and test" if problem["problem"]["keep_validation"] else "test"
    steps = problem["steps_per_epoch"]
    return f"{name}: to a {measured} accuracy, median over the seeds, never being longest ({steps} steps an epoch)"


def result_cells(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return the table of results as text: headings, and a list of cells for every optimizer."""
    headings = ["optimizer", "learning rate", "test accuracy (%)", "train loss", "test loss"]
    return headings, [
        [
            row.optimizer,
            f"{row.learning_rate:g}",
            percent(row.test_accuracy),
            _loss(row.train_loss),
            _loss(row.test_loss),
        ]
        for row in summary.rows
    ]


def time_cells(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return the table of times to each target as text."""
    targets = [(target, unit) for unit in ("s", "epochs") for target in summary.rows[0].to_target]
    headings = ["optimizer", *(f"{unit} to {target}" for target, unit in targets), "s per run"]
    return headings, [
        [row.optimizer, *(row.to_target[t][unit] for t, unit in targets), f"{row.seconds:.3g}"] for row in summary.rows
    ]


def percent(value: Interval) -> str:
    """Write a fraction and its 95 % interval in percent: 97.91 ± 0.08."""
    if value.n == 1:
        return f"{100 * value.mean:.2f} (n = 1)"
    return f"{100 * value.mean:.2f} ± {100 * value.half_width:.2f}"


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
    found, kept = [], []
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
        else:
            kept.append(larger)
    if kept:
        found.append(
            f"Inclusion check passed: sgd, which is {_join(kept)} at momentum 0, does not beat it beyond noise."
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
        f"The tuning sweeps did {rates['sweep'] / 1e9:.0f} GFLOP/s of matrix products, compiling included: "
        f"{100 * rates['sweep'] / rates['machine']:.0f} % of this machine's own 2048 x 2048 float32 product by NumPy."
    ]


def _median(values, form):
    """The median over all seeds, where never is the longest time; and how many reach the target, if not all do."""
    median = float(np.median([np.inf if value is None else value for value in values]))
    reached = sum(value is not None for value in values)
    share = "" if reached in (0, len(values)) else f" ({reached}/{len(values)})"
    return (form.format(median) if np.isfinite(median) else "never") + share


def _count_diverged(steps):
    steps = np.asarray(steps)
    return int(np.sum(steps >= 0)), steps.size


def _interval(values):
    # A seed without a finite loss leaves no mean to report; it is counted as diverged.
    return statistics.interval([np.nan if value is None else value for value in values])


def _loss(value):
    if not np.isfinite(value.mean):
        return "not finite"
    return f"{value.mean:.4f}" + (f" ± {value.half_width:.4f}" if value.n > 1 else "")


def _join(names):
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _pipe(row):
    return "| " + " | ".join(row) + " |"


def _latex(text):
    for plain, escaped in (("%", "\\%"), ("_", "\\_"), ("±", "$\\pm$"), ("&", "\\&")):
        text = text.replace(plain, escaped)
    return text
