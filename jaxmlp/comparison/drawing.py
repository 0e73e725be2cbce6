"""What every picture has in common: colours, style, axes, and the way to disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")  # draws to files; works without a screen
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from jaxmlp._files import replacing

# Okabe and Ito's palette (2008), which the colour-blind can tell apart; each optimizer keeps its look in every picture.
LOOKS: dict[str, dict[str, Any]] = {
    "sgd": {"color": "#000000", "linestyle": "-", "marker": "o"},
    "momentum": {"color": "#0072B2", "linestyle": "--", "marker": "s"},
    "nesterov": {"color": "#56B4E9", "linestyle": "-.", "marker": "D"},
    "adagrad": {"color": "#009E73", "linestyle": ":", "marker": "^"},
    "rmsprop": {"color": "#E69F00", "linestyle": "--", "marker": "v"},
    "adam": {"color": "#D55E00", "linestyle": "-", "marker": "P"},
    "amsgrad": {"color": "#CC79A7", "linestyle": "-.", "marker": "X"},
}
_STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
}


def save(figure: Figure, path: Path) -> None:
    """Write figure to path, as its ending says, at 150 dots per inch, and close it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    plt.close(figure)


def new(rows: int, size: tuple[float, float]) -> tuple[Figure, Sequence[Axes]]:
    """Make a figure of that many axes, one above the other, in the style of all pictures here; size in inches."""
    # One column: on a phone a picture is as wide as the screen, and its letters must still be read.
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(rows, 1, figsize=size, squeeze=False)
    return figure, list(axes.flat)


def logarithmic(ax):
    """A logarithmic y axis with ticks such as 2, 5, 10, 20, more on a short one; left linear without numbers."""
    values = np.concatenate([line.get_ydata() for line in ax.lines] or [np.zeros(0)])
    if not np.any(values[np.isfinite(values)] > 0):
        return
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
