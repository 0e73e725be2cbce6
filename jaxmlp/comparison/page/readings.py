"""Pictures of what instruments measured: one small panel for each."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator

from jaxmlp.comparison.drawing import LOOKS, logarithmic, new

__docformat__ = "google"
__all__ = ["COLUMNS", "READING", "colours", "panel"]

_COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7")
COLUMNS = {
    "Step size": ("loss", "alpha", "update_ratio", "distance"),
    "Gradients": ("gradient_norm", "gradient_norm_by_leaf", "norm_test", "gradient_histogram"),
    "Curvature": ("largest_eigenvalue", "stability", "hessian_trace", "gradient_noise_scale"),
}
"""Column of the page -> its panels."""
READING = {
    "loss": (
        "Loss of the batch",
        "Thin: each step, thick: mean of up to 20. A healthy run falls at once, then ever more slowly; it neither "
        "stays at its first value nor jumps up. Guessing among k classes gives ln k, 2.3 for ten; a first value "
        "of many times that means inputs or weights that are too large.",
    ),
    "alpha": (
        "Alpha: where the step landed",
        "On a parabola along the step: -1 is a step so short that the slope is still the same, 0 the lowest point, 1 "
        "as high on the other side. A healthy run stays between -1 and about 0; often above 0, the learning rate is "
        "too high, and above 1 every step climbs.",
    ),
    "update_ratio": (
        "Size of the update / size of the weights",
        "Of the whole network. A healthy run is near 0.001 to 0.01; near 1 the weights are replaced at each step; at "
        "0.0001 training crawls.",
    ),
    "distance": (
        "Distance from the start",
        "A healthy run moves fast at first, then more slowly; a jump means that one step undid the rest.",
    ),
    "gradient_norm": (
        "Size of the gradient",
        "Of the whole network, in which the last layers can hide that the first get none. A healthy run keeps its "
        "order of magnitude; growth without end means divergence.",
    ),
    "gradient_norm_by_leaf": (
        "Size of the gradient by layer, at the end",
        "Weights of the first layer on the left. A healthy line is nearly level; one that rises by powers of ten from "
        "left to right says that the first layers do not learn.",
    ),
    "norm_test": (
        "Noise / signal of the batch's gradient",
        "Standard error of the gradient over its size. A healthy run starts below 1 and rises as it converges; far "
        "above 1, a larger batch would help.",
    ),
    "gradient_histogram": (
        "Elements of the examples' gradients, at the end",
        "Counts on a logarithmic scale; the outer bins hold all that lies beyond. Healthy: a smooth peak at 0 with "
        "tails. Outer bins nearly as high mean gradients that are too large.",
    ),
    "largest_eigenvalue": (
        "Sharpness: largest eigenvalue of the Hessian",
        "Of the batch's loss. It rises during healthy training, to 10 or 100 with standardised inputs; a fall at the "
        "start with alpha above 0 means a learning rate that is too high, thousands badly scaled inputs or weights.",
    ),
    "stability": (
        "Sharpness x effective learning rate",
        "The rate is the size of the update over that of the gradient. For gradient descent, 2 is the limit above "
        "which steps along the sharpest direction grow. A healthy run stays below or hovers near it; far below, the "
        "step is short for this curvature.",
    ),
    "hessian_trace": (
        "Trace of the Hessian",
        "The sum of all curvatures. In a healthy run it falls as the data are fitted.",
    ),
    "gradient_noise_scale": (
        "Gradient noise scale (examples)",
        "The batch size at which noise equals signal, as the ratio of means over five measurements. In a healthy run "
        "it grows; batches much smaller than it are noisy, much larger ones wasted. Gaps: the noise hides the signal.",
    ),
}
"""Panel -> its title, and how to read it."""


def colours(runs: Iterable[str]) -> dict[str, str]:
    """Return the colour of each run: that of its optimizer wherever one is drawn, or else one after the other.

    Example:
        >>> colours(["adam", "raw inputs"])
        {'adam': '#D55E00', 'raw inputs': '#D55E00'}
    """
    return {
        run: LOOKS[run]["color"] if run in LOOKS else _COLOURS[index % len(_COLOURS)] for index, run in enumerate(runs)
    }


def panel(name: str, runs: Mapping[str, Mapping[str, Any]], looks: Mapping[str, str]) -> Figure:
    """Draw one instrument of several runs.

    Args:
        name: in READING.
        runs: run -> instrument -> Readings, of all instruments that jaxmlp.comparison.inside.panel names.
        looks: run -> its colour.

    Example:
        >>> from jaxmlp.instruments import Readings
        >>> runs = {"sgd": {"loss": Readings(np.arange(3), np.ones(3))}}
        >>> panel("loss", runs, {"sgd": "#000000"}).axes[0].get_xlabel()
        'step'
    """
    figure, (ax,) = new(1, (4.6, 3.1))
    for run, readings in runs.items():
        look = {"color": looks[run], "label": run}
        with np.errstate(all="ignore"):
            _DRAWN.get(name, _curve)(ax, name, readings, look)
    if ax.lines and not any(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in ax.lines):
        ax.text(0.5, 0.5, "not measurable", transform=ax.transAxes, ha="center", color="#666666")
    if name not in ("alpha", "gradient_histogram"):
        _scale(ax, _LEVELS.get(name))
    if name == "alpha":
        low, high = ax.get_ylim()
        if high > 3 or low < -3:
            ax.set_yscale("symlog", linthresh=1)
        ax.set_ylim(max(min(low, -1.1), -100), min(max(high, 0.2), 100))
        for level in (-1, 0, 1):
            ax.axhline(level, color="#666666", linewidth=0.7, linestyle=":", zorder=1)
    if name in _LEVELS:
        ax.axhline(_LEVELS[name], color="#666666", linewidth=0.9, linestyle="--")
    if name not in ("gradient_norm_by_leaf", "gradient_histogram"):
        ax.set_xlabel("step")
    ax.set_title(READING[name][0], fontsize=11)
    return figure


def _scale(ax, level=None):
    """Make the y axis logarithmic, with a level in sight; a run that diverges leaves it at the top."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines])
    values = values[np.isfinite(values) & (values > 0)]
    if len(values):
        low, high = values.min() / 1.2, min(values.max(), 1e5 * np.median(values)) * 1.2
        ax.set_ylim(low if level is None else min(low, level / 1.5), high if level is None else max(high, 1.5 * level))
    logarithmic(ax)
    low, high = ax.get_ylim()
    if high > 300 * low:
        ax.yaxis.set_major_locator(LogLocator(numticks=8))
        ax.yaxis.set_major_formatter(LogFormatterSciNotation())


def _curve(ax, name, readings, look):
    steps, values = readings[name]
    if np.isfinite(values).sum() > 60 and name != "distance":
        ax.plot(steps, values, color=look["color"], alpha=0.35, linewidth=0.6)
        width = min(20, len(values) // 10)
        steps, values = (
            steps[width // 2 :][: len(values) - width + 1],
            np.convolve(values, np.ones(width) / width, "valid"),
        )
    ax.plot(steps, values, **look)


def _by_leaf(ax, name, readings, look):
    """The median of the last five measurements, of each layer's weights."""
    found = readings[name].values
    values = {path: rows for path, rows in found.items() if path.endswith(".w")} or found
    medians = [np.median(rows[-5:]) for rows in values.values()]
    ax.plot(np.linspace(0, 1, len(medians)), medians, marker="o", **look)
    ax.set_xticks([0, 1], ["first layer", "last layer"])


def _histogram(ax, name, readings, look):
    counts = readings[name].values[-1]
    edges = np.linspace(-0.1, 0.1, len(counts) + 1)
    ax.stairs(np.maximum(counts, 0.5), edges, color=look["color"], linewidth=1.2)
    ax.set(yscale="log", xlabel="element of a gradient", xticks=[-0.1, -0.05, 0, 0.05, 0.1])


def _stability(ax, name, readings, look):
    sharpness, rates = readings["largest_eigenvalue"], readings["effective_learning_rate"]
    chosen = np.isin(rates.steps, sharpness.steps)
    ax.plot(sharpness.steps, sharpness.values * rates.values[chosen], **look)


def _noise_scale(ax, name, readings, look):
    steps, values = readings[name]
    groups = max(1, len(steps) // 5)
    means = {key: [part.mean() for part in np.array_split(values[key], groups)] for key in ("trace", "signal")}
    scale = np.array(means["trace"]) / np.array(means["signal"])
    middles = [part.mean() for part in np.array_split(steps, groups)]
    ax.plot(middles, np.where(scale > 0, scale, np.nan), marker=".", **look)  # a value between gaps has no line


_LEVELS = {"norm_test": 1.0, "stability": 2.0}  # what the sentences speak of, always in sight
_DRAWN = {
    "gradient_norm_by_leaf": _by_leaf,
    "gradient_histogram": _histogram,
    "stability": _stability,
    "gradient_noise_scale": _noise_scale,
}
