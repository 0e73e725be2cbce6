"""The results of a comparison as tables on screen, in Markdown and in LaTeX."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from jaxmlp.comparison import findings
from jaxmlp.comparison.summary import Summary
from jaxmlp.comparison.tables import all_cells, result_cells, seeds
from jaxmlp.comparison.wording import count, display, in_places

__docformat__ = "google"
__all__ = ["caution", "latex_table", "markdown", "markdown_tables", "origin", "screen_tables"]


def screen_tables(name: str, problem: Mapping[str, Any], summary: Summary) -> list[Table]:
    """Return the tables that the terminal shows, at most 80 columns wide.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> found = summary.summarise("digits", toy.PROBLEM)
        >>> [table.row_count for table in screen_tables("digits", toy.PROBLEM, found)]
        [3, 3, 3]
    """
    tables = []
    for cells in all_cells(name, problem, summary):
        table = Table(title=escape(cells.caption), title_justify="left", box=SIMPLE_HEAD)
        for column, heading in enumerate(cells.headings):
            justify = "right" if column and cells.rows[0][column][:1].isdigit() else "left"
            justify = "left" if heading in ("Compared with", "Verdict", "Choice") else "right" if column else "left"
            # A choice of several hyperparameters may be longer than a line.
            table.add_column(
                textwrap.fill(heading, 9, break_long_words=False), justify=justify, no_wrap=heading != "Choice"
            )
        for row in cells.rows:
            table.add_row(*map(escape, row))
        tables.append(table)
    return tables


def markdown_tables(name: str, problem: Mapping[str, Any], summary: Summary) -> str:
    """Return the verdict, the tables and the findings as Markdown.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> print(markdown_tables("digits", toy.PROBLEM, summary.summarise("digits", toy.PROBLEM)).split("**")[1])
        On digits, Nesterov and Adam are better than SGD; Nesterov and Adam cannot be told apart.
    """
    first, *rest = summary.answer
    lines = [" ".join([f"**{markdown(first)}**", *map(markdown, rest)]), ""]
    for cells in all_cells(name, problem, summary):
        lines += [f"{markdown(cells.caption)}:", ""]
        lines += [_pipe(cells.headings), _pipe([":--"] + ["--:"] * (len(cells.headings) - 1), escape=str)]
        lines += [*map(_pipe, cells.rows), ""]
    lines += [f"- Warning: {markdown(warning)}" for warning in summary.warnings]
    return "\n".join([*lines, *(f"- {markdown(finding)}" for finding in summary.findings), ""])


def latex_table(name: str, problem: Mapping[str, Any], summary: Summary) -> str:
    """Return the table of results as LaTeX, a tabular within a table that needs no package.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> text = latex_table("digits", toy.PROBLEM, summary.summarise("digits", toy.PROBLEM))
        >>> text.splitlines()[0], "SGD & " in text
        ('\\\\begin{table}', True)
    """
    cells = result_cells(name, problem, summary)
    lines = ["\\begin{table}", f"\\caption{{{_latex(cells.caption)}}}"]
    lines += [f"\\begin{{tabular}}{{l{'r' * (len(cells.headings) - 1)}}}", "\\hline"]
    lines += [" & ".join(map(_latex, row)) + " \\\\" for row in (cells.headings, *cells.rows)]
    lines.insert(5, "\\hline")
    return "\n".join([*lines, "\\hline", "\\end{tabular}", "\\end{table}", ""])


def origin(results: Mapping[str, Any]) -> str:
    """Say in one line what made the numbers: seeds, versions, device and commit.

    Args:
        results: the whole record.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> origin(toy.RECORD).split(".")[0]
        '±: 95 % interval (digits: seeds 1000 to 1002)'
    """
    made = results["provenance"]
    versions = ", ".join(f"{package} {made['versions'][package]}" for package in ("jaxmlp", "jax", "optax", "python"))
    runs = "; ".join(f"{display(name)}: {seeds(problem)}" for name, problem in results["problems"].items())
    spread = any(findings.units(problem) > 1 for problem in results["problems"].values())
    head = f"±: 95 % interval ({runs})" if spread else f"One run each ({runs})"
    commit = made["commit"] or "unknown"
    where = "; trained " + in_places(results["places"]) if results.get("places") else ""
    return f"{head}. {versions}; {made['device']}, {count(made['cpus'], 'CPU')}{where}; commit {commit}."


def caution(results: Mapping[str, Any]) -> str:
    """Warn of what nobody can get again bit for bit; empty where there is nothing to warn of.

    Args:
        results: the whole record.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> caution(toy.RECORD).split(",")[0]
        'The commit of the code is unknown'
    """
    commit, found = results["provenance"]["commit"], []
    if not commit:
        found.append("The commit of the code is unknown, so that these numbers cannot be traced to a version of it.")
    elif commit.endswith("+changes"):
        text = "Files of the code differed from its commit, so that these numbers cannot be traced to a version of it."
        found.append(text)
    if len({place["device"] for place in results.get("places", ())}) > 1:
        found.append("Runs were trained on different devices, whose rounding differs.")
    return " ".join(found)


def markdown(text: str) -> str:
    """Return text for one line of Markdown, in which nothing is read as markup or HTML.

    Example:
        >>> print(markdown("a_b <i>"))
        a\\_b \\<i>
    """
    return re.sub(r"([\\`*_<|\[\]&$~])", r"\\\1", " ".join(text.splitlines()))


def _pipe(row: Sequence[str], escape=markdown) -> str:
    return "| " + " | ".join(map(escape, row)) + " |"


_LATEX: dict[str, str] = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "±": "$\\pm$",
    "\u2212": "$-$",
    "<": "\\textless{}",  # in the usual font encoding these three would print as other characters
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "\n": " ",
    "\r": " ",
    "[": "{[}",  # after a line's end it would begin an argument
    "]": "{]}",
} | {character: f"\\{character}" for character in "%_&#${}"}


def _latex(text):
    return text.translate(str.maketrans(_LATEX))
