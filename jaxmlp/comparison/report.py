"""The results of a comparison as tables on screen, in Markdown and in LaTeX."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from jaxmlp.comparison.statistics import Interval
from jaxmlp.comparison.summary import Summary

__docformat__ = "google"
__all__ = [
    "latex_table",
    "markdown_tables",
    "origin",
    "pair_cells",
    "percent",
    "result_cells",
    "screen_tables",
    "time_cells",
    "time_title",
    "title",
]


def screen_tables(name: str, problem: Mapping[str, Any], summary: Summary) -> list[Table]:
    """Return the tables that the terminal shows, at most 80 columns wide.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> [table.row_count for table in screen_tables("digits", toy.PROBLEM, summary.summarise(toy.PROBLEM))]
        [2, 2]
    """
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
    """Return the tables and the findings as Markdown.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> print(markdown_tables("digits", toy.PROBLEM, summary.summarise(toy.PROBLEM)).splitlines()[0])
        **digits: 64-64-10, batch 32, 2 epochs, n = 2 seeds**
    """
    lines = [f"**{title(name, problem)}**", ""]
    for headings, rows in (
        result_cells(summary),
        *([pair_cells(summary)] if summary.pairs else []),
        time_cells(summary),
    ):
        lines += [_pipe(headings), _pipe([":--"] + ["--:"] * (len(headings) - 1)), *map(_pipe, rows), ""]
    return "\n".join([*lines, *(f"- {finding}" for finding in summary.findings), ""])


def latex_table(name: str, problem: Mapping[str, Any], summary: Summary) -> str:
    """Return the table of results as LaTeX, a tabular within a table that needs no package.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> "sgd & 0.1 & 96.00" in latex_table("digits", toy.PROBLEM, summary.summarise(toy.PROBLEM))
        True
    """
    headings, rows = result_cells(summary)
    lines = ["\\begin{table}", f"\\caption{{{_latex(title(name, problem))}}}"]
    lines += [f"\\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}", "\\hline"]
    lines += [" & ".join(map(_latex, row)) + " \\\\" for row in (headings, *rows)]
    lines.insert(5, "\\hline")
    return "\n".join([*lines, "\\hline", "\\end{tabular}", "\\end{table}", ""])


def origin(results: Mapping[str, Any]) -> str:
    """Say in one line what made the numbers: seeds, versions, device and commit.

    Args:
        results: the whole record.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> origin(toy.RECORD).split(".")[0]
        '±: 95 % interval over seeds (digits 1000 to 1001)'
    """
    made = results["provenance"]
    versions = ", ".join(f"{package} {made['versions'][package]}" for package in ("jaxmlp", "jax", "optax", "python"))
    seeds = "; ".join(
        f"{name} {p['fresh_seeds'][0]} to {p['fresh_seeds'][-1]}" for name, p in results["problems"].items()
    )
    spread = any(len(problem["fresh_seeds"]) > 1 for problem in results["problems"].values())
    head = f"±: 95 % interval over seeds ({seeds})" if spread else f"One seed ({seeds})"
    return f"{head}. {versions}; {made['device']}, {made['cpus']} CPUs; commit {made['commit'] or 'unknown'}."


def title(name: str, problem: Mapping[str, Any]) -> str:
    """Say in one line what was run.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> title("digits", toy.PROBLEM)
        'digits: 64-64-10, batch 32, 2 epochs, n = 2 seeds'
    """
    settings = problem["problem"]
    sizes = "-".join(map(str, settings["layer_sizes"]))
    return (
        f"{name}: {sizes}, batch {settings['batch_size']}, {settings['epochs']} epochs, "
        f"n = {len(problem['fresh_seeds'])} seeds"
    )


def time_title(name: str, problem: Mapping[str, Any]) -> str:
    """Say in one line what the table of times shows.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> time_title("digits", toy.PROBLEM)
        'digits: time to a test accuracy, median over the seeds; never counts as longest (36 steps per epoch)'
    """
    measured = "validation and test" if problem["problem"]["keep_validation"] else "test"
    steps = problem["steps_per_epoch"]
    return (
        f"{name}: time to a {measured} accuracy, median over the seeds; never counts as longest "
        f"({steps} steps per epoch)"
    )


def result_cells(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return the table of results as text.

    Args:
        summary: of one problem.

    Returns:
        (headings, a row of cells for every optimizer).

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> result_cells(summary.summarise(toy.PROBLEM))[1][0]
        ['sgd', '0.1', '96.00 ± 6.35', '0.0250 ± 0.0635', '0.1150 ± 0.0635']
    """
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


def pair_cells(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return the table of pairwise differences in test accuracy as text.

    An undecided pair says how many more seeds of each optimizer would decide it at the present spreads.

    Args:
        summary: of one problem.

    Returns:
        (headings, a row of cells for every pair).

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> pair_cells(summary.summarise(toy.PROBLEM))[1]
        [['sgd', 'adam', '-0.75', '-5.23 to 3.73', 'undecided', '11']]
    """
    headings = ["optimizer", "compared with", "difference (points)", "95 % for all pairs", "verdict", "seeds to add"]
    return headings, [
        [
            pair.a,
            pair.b,
            f"{100 * pair.difference:.2f}",
            f"{100 * pair.low:.2f} to {100 * pair.high:.2f}",
            pair.verdict,
            f"{pair.more_runs:,}" if pair.more_runs else "",
        ]
        for pair in summary.pairs
    ]


def time_cells(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return the table of times to each target as text.

    Args:
        summary: of one problem.

    Returns:
        (headings, a row of cells for every optimizer).

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> time_cells(summary.summarise(toy.PROBLEM))[0]
        ['optimizer', 's to 95 %', 'epochs to 95 %', 's per run']
    """
    targets = [(target, unit) for unit in ("s", "epochs") for target in summary.rows[0].to_target]
    headings = ["optimizer", *(f"{unit} to {target}" for target, unit in targets), "s per run"]
    return headings, [
        [row.optimizer, *(row.to_target[t][unit] for t, unit in targets), f"{row.seconds:.3g}"] for row in summary.rows
    ]


def percent(value: Interval) -> str:
    """Write a fraction and its 95 % interval in percent.

    Example:
        >>> percent(Interval(0.9791, 0.0008, 5))
        '97.91 ± 0.08'
    """
    if value.n == 1:
        return f"{100 * value.mean:.2f} (n = 1)"
    return f"{100 * value.mean:.2f} ± {100 * value.half_width:.2f}"


def _loss(value):
    if not np.isfinite(value.mean):
        return "not finite"
    return f"{value.mean:.4f}" + (f" ± {value.half_width:.4f}" if value.n > 1 else "")


def _pipe(row):
    return "| " + " | ".join(row) + " |"


def _latex(text):
    for plain, escaped in (("%", "\\%"), ("_", "\\_"), ("±", "$\\pm$"), ("&", "\\&")):
        text = text.replace(plain, escaped)
    return text
