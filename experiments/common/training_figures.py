"""Pictures of training runs over several seeds: losses, accuracy and diagnostics."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxmlp.comparison.drawing import LOOKS, logarithmic, new

_COLOURS = [look["color"] for look in LOOKS.values()]
_STYLES = ("-", "--", "-.", ":")


def losses(title: str, curves: Mapping[str, np.ndarray], accuracy: np.ndarray, *, part: str = "test") -> Figure:
    """Draw loss curves, thin lines for the seeds and a thick one for their mean, with the accuracy below.

    Args:
        title: of the picture.
        curves: name -> (seeds, epochs), nats per example.
        accuracy: (seeds, epochs), fraction.
        part: of the data, on which the accuracy was measured.
    """
    figure, (loss_axes, accuracy_axes) = new(2, (6.4, 7.0))
    for index, (name, values) in enumerate(curves.items()):
        _lines(loss_axes, values, name, index)
    loss_axes.set(ylabel="loss (nats per example)")
    logarithmic(loss_axes)
    _title(loss_axes, f"{title}; thin: seeds, thick: mean")
    loss_axes.legend(fontsize=9, frameon=False)
    _lines(accuracy_axes, 100 * accuracy, part, 0)
    accuracy_axes.set(xlabel="epoch", ylabel=f"{part} accuracy (%)")
    return figure


def accuracies(title: str, curves: Mapping[str, np.ndarray]) -> Figure:
    """Draw test accuracy by epoch, thin lines for the seeds and a thick one for their mean.

    Args:
        title: of the picture.
        curves: name -> (seeds, epochs), fraction.
    """
    figure, (ax,) = new(1, (6.4, 4.2))
    for index, (name, values) in enumerate(curves.items()):
        _lines(ax, 100 * values, name, index)
    ax.set(xlabel="epoch", ylabel="test accuracy (%)")
    _title(ax, f"{title}; thin: seeds, thick: mean")
    ax.legend(fontsize=9, frameon=False)
    return figure


def by_examples(title: str, accuracy: Mapping[str, Mapping[int, np.ndarray]]) -> Figure:
    """Draw test error by number of training examples: each seed, and their mean.

    Args:
        title: of the picture.
        accuracy: way of training -> number of examples -> (seeds,) in percent.
    """
    figure, (ax,) = new(1, (6.4, 4.4))
    for index, (name, by_count) in enumerate(accuracy.items()):
        counts, errors = list(by_count), [100 - values for values in by_count.values()]
        ax.plot(counts, [np.mean(values) for values in errors], _STYLES[index], color=_COLOURS[index], label=name)
        for count, values in zip(counts, errors, strict=True):
            ax.plot([count] * len(values), values, "o", color=_COLOURS[index], alpha=0.5)
    ax.set(xscale="log", xlabel="training examples", ylabel="test error (%)")
    ax.set_xticks(list(next(iter(accuracy.values()))), [str(count) for count in next(iter(accuracy.values()))])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    _title(ax, f"{title}; dots: seeds, line: mean")
    ax.legend(fontsize=9, frameon=False)
    return figure


def times(title: str, seconds: Mapping[str, Any]) -> Figure:
    """Draw the seconds of each run of each system, with a bar at the median.

    Args:
        title: of the picture.
        seconds: system -> (runs,).
    """
    figure, (ax,) = new(1, (6.4, 1.2 + 0.5 * len(seconds)))
    for row, values in enumerate(seconds.values()):
        ax.plot(values, [row] * len(values), "o", color=_COLOURS[1], alpha=0.7)
        ax.plot(np.median(values), row, "|", color=_COLOURS[0], ms=20, mew=2)
    ax.set(yticks=range(len(seconds)), yticklabels=list(seconds), xlabel="seconds of training", xlim=(0, None))
    ax.set_ylim(len(seconds) - 0.5, -0.5)
    _title(ax, f"{title}; bar: median")
    return figure


def diagnostics(title: str, history: Any) -> Figure:
    """Draw gradient norms, largest weights and dead units of each layer by epoch.

    Args:
        title: of the picture.
        history: of several seeds, with the step metric gradient_norms (seeds, epochs, steps, layers) and the metrics
            largest_weights (seeds, epochs, layers) and dead_units (seeds, epochs, hidden layers).
    """
    figure, (norm_axes, weight_axes, dead_axes) = new(3, (6.4, 8.6))
    norms = np.asarray(history.step_metrics["gradient_norms"])
    for layer in range(norms.shape[-1]):
        _lines(norm_axes, norms[..., layer].mean(axis=2), f"layer {layer + 1}: mean of an epoch", layer, style="-")
        _lines(norm_axes, norms[..., layer].max(axis=2), f"layer {layer + 1}: largest", layer, style="--")
    norm_axes.set(ylabel="gradient norm of a step")
    logarithmic(norm_axes)
    norm_axes.set_ylim(top=1.8 * norm_axes.get_ylim()[1])  # room for the legend
    _title(norm_axes, f"{title}; thin: seeds, thick: mean")
    weights = np.asarray(history.metrics["largest_weights"])
    for layer in range(weights.shape[-1]):
        _lines(weight_axes, weights[..., layer], f"layer {layer + 1}", layer)
    top = float(np.max(weights[np.isfinite(weights)], initial=0.1))
    weight_axes.set(ylabel="largest |weight|", ylim=(0, 1.3 * top))  # room for the legend
    dead = np.asarray(history.metrics["dead_units"])
    for layer in range(dead.shape[-1]):
        _lines(dead_axes, 100 * dead[..., layer], f"hidden layer {layer + 1}", layer)
    dead_axes.set(xlabel="epoch", ylabel="dead units (%)", ylim=(0, max(5.0, 110 * float(dead.max()))))
    for ax in (norm_axes, weight_axes, dead_axes):
        ax.legend(fontsize=9, frameon=False, ncols=2, loc="upper right")
    return figure


def _title(ax: Axes, text: str) -> None:
    ax.set_title(textwrap.fill(text, 60), fontsize=10)


def _lines(ax: Axes, values: np.ndarray, label: str, index: int, style: str | None = None) -> None:
    colour, style = _COLOURS[index], style or _STYLES[index % len(_STYLES)]
    epochs = np.arange(1, values.shape[1] + 1)
    ax.plot(epochs, values.T, color=colour, linewidth=0.7, alpha=0.45)
    ax.plot(epochs, values.mean(axis=0), style, color=colour, linewidth=2.2, label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
