"""Pictures of a comparison as files, for a README, a talk or a paper; made from its record and its curves alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxmlp.comparison import points, tables, wording
from jaxmlp.comparison.drawing import LOOKS, logarithmic, new, plain
from jaxmlp.comparison.page import panels
from jaxmlp.comparison.store import quoted
from jaxmlp.comparison.summary import Summary, unit_values

__docformat__ = "google"
__all__ = ["PER_PROBLEM", "learning_curves", "runs"]

Curves = Mapping[str, np.ndarray]


def runs(name: str, problem: Mapping[str, Any], summary: Summary, curves: Curves) -> Figure:
    """Draw the score of every run as a dot, with mean and 95 % interval, a row for each candidate, best first.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.
        curves: those of the problem, candidate/race/quantity -> array.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> figure = runs("digits", toy.PROBLEM, summary.summarise("digits", toy.PROBLEM), toy.CURVES)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['Nesterov', 'Adam', 'SGD']
    """
    score = wording.score_of(problem)
    figure, (ax,) = new(1, (6.0, 0.9 + 0.45 * len(summary.rows)))
    for place, row in enumerate(summary.rows):
        entry, color = problem["candidates"][row.name]["race"], LOOKS[row.name]["color"]
        values = score.scale * unit_values(problem, entry, "test_score")
        mean, half = score.scale * row.score.mean, score.scale * row.score.half_width
        if row.score.n > 1:
            ax.barh(place, 2 * half, 0.5, left=mean - half, color=color, alpha=0.2, linewidth=0)
        ax.plot([mean, mean], [place - 0.33, place + 0.33], color=color, linewidth=2)
        ax.plot(values, np.full(len(values), place), "o", color=color, ms=4, alpha=0.7, mew=0)
    ax.set(yticks=range(len(summary.rows)), yticklabels=[plain(row.label) for row in summary.rows])
    ax.set_ylim(len(summary.rows) - 0.5, -0.5)
    ax.set_xlabel(score.name + score.in_unit)
    ax.set_title(f"{tables.title(name, problem)}; bar: 95 %", fontsize=10, loc="left")
    return figure


def learning_curves(name: str, problem: Mapping[str, Any], summary: Summary, curves: Curves) -> Figure:
    """Draw the test score by epoch, a panel for each candidate: mean and range in colour, the others' means in grey.

    Of an accuracy the error is drawn.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        summary: of the same problem.
        curves: those of the problem, candidate/race/quantity -> array.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> figure = learning_curves("digits", toy.PROBLEM, summary.summarise("digits", toy.PROBLEM), toy.CURVES)
        >>> [ax.get_title() for ax in figure.axes]
        ['Nesterov (0.01)', 'Adam (0.001)', 'SGD (0.1)']
    """
    columns = min(3, len(summary.rows))
    rows = -(-len(summary.rows) // columns)
    figure, axes = new(rows, (8.0, 0.5 + 2.1 * rows), columns)
    shown = {
        row.name: panels.drawn(curves[f"{quoted(row.name)}/race/test_score"], problem, "test") for row in summary.rows
    }
    axis = panels.axis([*shown.values()], problem)
    for ax, row in zip(axes, summary.rows, strict=False):
        x = np.arange(1, shown[row.name].shape[1] + 1)
        for other in shown:
            if other != row.name:
                ax.plot(x, shown[other].mean(axis=0), color="0.75", linewidth=0.9)
        own, color = shown[row.name], LOOKS[row.name]["color"]
        ax.fill_between(x, own.min(axis=0), own.max(axis=0), color=color, alpha=0.2, linewidth=0)
        ax.plot(x, own.mean(axis=0), color=color, linewidth=2)
        title = f"{row.label} ({row.choice})" if points.rate_only(problem) else row.label
        ax.set_title(plain(title), fontsize=10)
        ax.set_ylim(axis.low, axis.high)
        if axis.logarithmic:
            logarithmic(ax)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for ax in axes[len(summary.rows) :]:
        ax.set_visible(False)
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel(f"test {wording.score_of(problem).drawn}", fontsize=10)
    return figure


PER_PROBLEM = {"runs": runs, "learning_curves": learning_curves}
"""Every picture of a single problem, by the name of its file."""
