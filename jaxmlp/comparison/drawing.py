"""What all pictures have in common: colours, style, axes and how they are saved."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from jaxmlp._files import replacing

__docformat__ = "google"
__all__ = ["LOOKS", "logarithmic", "new", "plain", "save"]


class _Looks(dict[str, dict[str, Any]]):
    """Looks by name; a name that has none gets the next colour that is not taken yet, and keeps it."""

    def __missing__(self, name: str) -> dict[str, Any]:
        spare = len(self) - len(_NAMED)
        # The numbers of colours, marks and lines have no common factor: 5 * 9 * 4 names get looks that differ.
        look = {
            "color": _SPARE[spare % len(_SPARE)],
            "linestyle": ("-", "--", "-.", ":")[spare % 4],
            "marker": _MARKS[spare % len(_MARKS)],
        }
        self[name] = look
        return look


_SPARE = ("#882255", "#44AA99", "#999933", "#332288", "#AA4499")
_MARKS = ("*", "p", "h", "<", ">", "d", "8", "H", "$o$")
_NAMED: dict[str, dict[str, Any]] = {
    "sgd": {"color": "#000000", "linestyle": "-", "marker": "o"},
    "momentum": {"color": "#0072B2", "linestyle": "--", "marker": "s"},
    "nesterov": {"color": "#56B4E9", "linestyle": "-.", "marker": "D"},
    "adagrad": {"color": "#009E73", "linestyle": ":", "marker": "^"},
    "rmsprop": {"color": "#E69F00", "linestyle": "--", "marker": "v"},
    "adam": {"color": "#D55E00", "linestyle": "-", "marker": "P"},
    "amsgrad": {"color": "#CC79A7", "linestyle": "-.", "marker": "X"},
}
LOOKS: dict[str, dict[str, Any]] = _Looks(_NAMED)
"""Optimizer -> its look in every picture, in colours that the colour-blind can tell apart (Okabe and Ito, 2008)."""

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
    """Write a figure to a file at 150 dots per inch, whole or not at all.

    Args:
        figure: what was drawn.
        path: its suffix decides the format, e.g. .png.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty.png"
        >>> save(new(1, (4.0, 3.0))[0], path)
        >>> path.exists()
        True
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def new(rows: int, size: tuple[float, float], columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """Make a figure in the common style.

    The figure is not registered with pyplot: it needs no screen, and nobody has to close it.

    Args:
        rows: of axes.
        size: width and height in inches.
        columns: of axes.

    Returns:
        (figure, axes from top to bottom, each row from left to right).

    Example:
        >>> figure, axes = new(2, (6.0, 7.0))
        >>> len(axes)
        2
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size)
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def plain(text: str) -> str:
    """Return text that matplotlib draws as it is: a pair of dollar signs would be read as mathematics.

    Example:
        >>> print(plain("a $b$"))
        a \\$b\\$
    """
    return text.replace("$", r"\$")


def logarithmic(ax: Axes) -> None:
    """Make the y axis logarithmic, with ticks such as 2, 5, 10, 20; it stays linear if no line has a positive value.

    Args:
        ax: axes on which all lines are already drawn.

    Example:
        >>> figure, (ax,) = new(1, (4.0, 3.0))
        >>> _ = ax.plot([1, 2], [0.5, 20.0])
        >>> logarithmic(ax)
        >>> ax.get_yscale()
        'log'
    """
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines] or [np.zeros(0)])
    if not np.any(values[np.isfinite(values)] > 0):
        return
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
