"""A comparison as one self-contained HTML page that answers first: verdict, picture, pairs, tables, small print."""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp import _files
from jaxmlp.comparison import durations, findings, points, report, tables, wording
from jaxmlp.comparison.page import dots, panels, small_print
from jaxmlp.comparison.page.style import SCRIPT, STYLE
from jaxmlp.comparison.summary import Summary
from jaxmlp.comparison.tables import Cells
from jaxmlp.comparison.wording import display, join, number

__docformat__ = "google"
__all__ = ["FEWEST_TARGETS", "write_page"]

FEWEST_TARGETS = 5
"""Pairs of problem and target below which a performance profile would say nothing."""

_READING = (
    "In blue the optimizer's mean and the range of its runs, in grey the others' means; at the top right the end."
)

_FILES = {
    "instruments.html": "inside one run of each",
    "results.json": "the record",
    "runs.csv": "every number of every run, one row each",
    "curves.npz": "curves, and the score of each test example",
    "table.md": "tables in Markdown",
    "table.tex": "table in LaTeX",
}


def write_page(
    path: Path, results: Mapping[str, Any], summaries: Mapping[str, Summary], curves: Mapping[str, np.ndarray]
) -> None:
    """Write the page, whole or not at all. It links the files of the record that lie beside it.

    Args:
        path: of the .html file.
        results: the record.
        summaries: problem -> summary.
        curves: problem/candidate/race/quantity -> array, as in curves.npz.

    Example:
        >>> import tempfile
        >>> from jaxmlp.comparison import summary, toy
        >>> path = Path(tempfile.mkdtemp()) / "report.html"
        >>> curves = {f"digits/{name}": values for name, values in toy.CURVES.items()}
        >>> write_page(path, toy.RECORD, {"digits": summary.summarise("digits", toy.PROBLEM)}, curves)
        >>> path.read_text().count("<h1>")
        1
    """
    problems = results["problems"]
    several = len(problems) > 1
    parts = [f"<h1>{_text(_title(problems))}</h1>"]
    for name, problem in problems.items():
        parts.append(_answer(name, problem, summaries[name]))
    caution = report.caution(results)
    parts.append(f"<p class=caution>Warning: {_text(caution)}</p>" if caution else "")
    for name, problem in problems.items():
        of_problem = {key.split("/", 1)[1]: values for key, values in curves.items() if key.split("/", 1)[0] == name}
        parts.append(_section(name, problem, summaries[name], of_problem, f" on {display(name)}" if several else ""))
    parts += [
        _profile(problems),
        "<h2>Where the numbers come from</h2>",
        _list(small_print.origin(results)),
        _links(path),
    ]
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(_title(problems))}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>
<body>{"".join(parts)}<script>{SCRIPT}</script></body></html>
"""
    _files.write(path, page)


def _title(problems):
    counts = {len(problem["candidates"]) for problem in problems.values()}
    what = f"{number(max(counts)).capitalize()} optimizer{'s' if max(counts) > 1 else ''}"
    return f"{what} on {join([display(name) for name in problems])}"


def _answer(name, problem, summary):
    first, *rest = summary.answer
    parts = [f"<p class=verdict>{_text(first)}</p><p class=power>{_text(' '.join(rest))}</p>"]
    parts.append(f"<p class=about>{_text(wording.sentence(tables.title(name, problem)))}</p>")
    parts += [f"<p class=caution>Warning: {_text(warning)}</p>" for warning in summary.warnings]
    return "".join(parts)


def _section(name, problem, summary, curves, where):
    """Pictures, tables and small print of one problem."""
    score = wording.score_of(problem)
    parts = [
        f"<h2>Every {wording.unit_of(problem)}{where}</h2>",
        _figure(dots.runs(problem, summary), _reading_of_runs(problem, summary)),
    ]
    if summary.pairs:
        parts += [f"<h2>Who differs from whom{where}</h2>", _matrix(problem, summary)]
    parts += [f"<h2>Results in numbers{where}</h2>"]
    parts += [_table(cells) for cells in tables.all_cells(name, problem, summary)]
    parts.append(f"<h2>Learning curves{where}</h2>")
    parts += [
        _lines(f"Test {score.drawn} by epoch. {_READING}", panels.curves(problem, summary, curves, "test_score")),
        _lines(
            f"Training loss{wording.loss_unit(problem)} by epoch, drawn alike.",
            panels.curves(problem, summary, curves, "train_loss"),
        ),
    ]
    for searched in points.names(problem):
        title = f"Sensitivity to {points.article(searched)}{points.named(searched)}{where}"
        parts += [f"<h2>{_text(title)}</h2>", _sensitivity(problem, summary, searched)]
    budget = panels.budget(problem, summary)
    if budget:
        parts += [f"<h2>Tuning budget{where}</h2>", _budget(problem, budget)]
    parts.append(f"<h2>{'Time to target' if summary.times else 'Time'}{where}</h2>")
    for target, found in summary.times.items():
        reached = any(np.isfinite(duration.seconds) for duration in found.values())
        picture = dots.times(problem, summary, target) if reached else ""
        parts.append(_figure(picture, durations.in_words(problem, target, found)))
    reading = " Each dot is a run, each line the median and each bar its 95 % interval, from the runs and the timing "
    reading += "together. Runs are measured ten times an epoch up to the third, and then after each."
    reading = reading if summary.times else ""
    parts.append(f"<p class=note>{_text(durations.cost_of_an_epoch(problem) + reading)}</p>")
    parts += [f"<h2>Small print{where}</h2>", _list(small_print.of_problem(problem, summary))]
    return "".join(parts)


def _reading_of_runs(problem, summary):
    alone = len(problem["candidates"]) == 1
    text = "Each dot is one " + ("split" if problem["splits"] > 1 else "run from a fresh seed")
    if findings.units(problem) > 1:
        text += "; the line is the mean and the bar its 95 % interval"
    text += "." + (" A cross is a failed run; far ones stand at the end of the axis." if _any_failed(summary) else "")
    if summary.pairs and not alone:
        text += " Bars that overlap may belong to optimizers that differ: what was tested is the difference, below."
    return text


def _matrix(problem, summary):
    """Every pair in both directions; on a phone, the half above the diagonal."""
    both, score = findings.oriented(summary.pairs), wording.score_of(problem)
    rows = []
    for i, row in enumerate(summary.rows):
        cells = [f"<th scope=row>{_text(row.label)}</th>"]
        for j, column in enumerate(summary.rows):
            if i == j:
                cells.append("<td class=self>\u2013</td>")
                continue
            pair = both[row.name, column.name]
            verdict, more = tables.word(pair, problem)
            small = f"<small>{_text(score.difference(pair.difference))}</small>"
            small += f"<small>{_text(more)}</small>" if more else ""
            hint = f"{row.label} compared with {column.label}: {score.difference(pair.difference)}"
            if np.isfinite(pair.low):
                hint += f", {score.bounds(pair.low, pair.high)}{score.difference_unit}"
            half = " below" if j < i else ""
            cells.append(
                f'<td class="{_text(verdict)}{half}" title="{_text(hint)}"><b>{_text(verdict)}</b>{small}</td>'
            )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f"<th scope=col>{_text(row.label)}</th>" for row in summary.rows)
    unit = wording.unit_of(problem)
    margin = f"; equal: it lies within {score.margin(problem['margin'])} of 0" if problem["margin"] else ""
    reading = (
        "Read by row: what the optimizer on the left is, compared with the one above, and the difference in "
        f"{score.name}{' in points' if score.percent else score.in_unit}. Better and worse: the interval of the "
        f"difference leaves out 0{margin}. Undecided: at the present spreads, so many more {unit}s of each would "
        f"decide. All intervals hold together with {100 * problem['confidence']:g} %."
    )
    table = f"<table class=matrix><thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div class=wide>{table}</div><p class=note>{_text(reading)}</p>"


def _table(cells: Cells) -> str:
    text = ["Optimizer", "Compared with", "Verdict", "Choice"]
    kinds = [" class=text" if heading in text else "" for heading in cells.headings]
    head = "".join(f"<th scope=col{k}>{_text(h)}</th>" for h, k in zip(cells.headings, kinds, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{k}>{_text(cell)}</td>' for cell, k in zip(row, kinds, strict=True))}</tr>"
        for row in cells.rows
    )
    # Not a <caption>: on a phone that is as wide as the table, which is wider than the screen.
    return (
        f"<p class=caption>{_text(wording.capital(cells.caption))}</p>"
        "<div class=wide><table class=sortable>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _lines(axes, picture):
    return f"<figure><p class=axes>{_text(axes)}</p>{picture}</figure>"


def _sensitivity(problem, summary, name):
    tuning = problem["tuning"]
    rings = f"Rings: {_runs(tuning['coarse'])}. " if tuning["coarse"]["seeds"] else ""
    reading = (
        f"Validation {wording.score_of(problem).drawn} by {points.axis_of(name, problem).label}. {rings}Dots: "
        f"{_runs(tuning['full'])}, from which the choice was made (dashed line and figure beside the name). Crosses: "
        "failed runs. "
    )
    if points.rate_only(problem):
        reading += "A wide valley means that the learning rate needs little care."
    else:
        reading += "All other hyperparameters vary from dot to dot."
    return f"<figure><p class=axes>{_text(reading)}</p>{panels.sensitivity(problem, summary, name)}</figure>"


def _runs(phase):
    return f"{wording.count(len(phase['seeds']), 'seed')}, {wording.count(phase['epochs'], 'epoch')}"


def _budget(problem, picture):
    coarse = problem["tuning"]["coarse"]
    source = f"It rests on the short runs ({_runs(coarse)}). " if coarse["seeds"] else ""
    drawn_from = (
        "learning rates, drawn without replacement from a window around the optimizer's own optimum that is as "
    )
    drawn_from += "wide for all"
    if any(entry["search"] != "grid" for entry in problem["candidates"].values()):
        drawn_from = "tries, drawn without replacement from those of its space, which are as many for all"
    reading = (
        f"Expected validation {wording.score_of(problem).drawn} of the best of k {drawn_from}. "
        f"{source}Band: 95 %, by bootstrap; at the top right: after three tries."
    )
    return f"<figure><p class=axes>{_text(reading)}</p>{picture}</figure>"


def _profile(problems):
    found = durations.median_seconds(problems)
    pairs = len(next(iter(found.values()), {}))
    if pairs < FEWEST_TARGETS:
        return ""
    reading = (
        f"The share of the {pairs} pairs of problem and target that an optimizer reaches within a multiple of the "
        "fastest one's time. Score: the area below, as a share of the whole."
    )
    return f"<h2>All targets together</h2><figure><p class=axes>{reading}</p>{panels.profile(found)}</figure>"


def _figure(picture, caption):
    return f"<figure>{picture}<figcaption>{_text(caption)}</figcaption></figure>"


def _list(entries):
    items = "".join(f"<dt>{_text(name)}</dt><dd>{_marked(value)}</dd>" for name, value in entries.items())
    return f"<dl>{items}</dl>"


def _links(path):
    found = [f"<a href={name}>{name}</a> ({what})" for name, what in _FILES.items() if (path.parent / name).exists()]
    return f"<p>Files: {', '.join(found)}.</p>" if found else ""


def _marked(value):
    """Text in which commands and options stand out, and no line breaks within an option."""
    if value.startswith("python -m "):
        return f"<code>{_text(value)}</code>"
    return re.sub(r"(--[a-z-]*[a-z])", r"<code class=option>\1</code>", _text(value))


def _any_failed(summary):
    return any(row.failed[0] for row in summary.rows)


def _text(value):
    return html.escape(str(value)).replace(" %", "\u00a0%")
