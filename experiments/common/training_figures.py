"""Pictures of training runs over several seeds: losses, accuracy and diagnostics."""

import textwrap
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxmlp.comparison.drawing import LOOKS, logarithmic, new

_COLOURS = [LOOKS[name]["color"] for name in ("sgd", "adam", "momentum", "adagrad", "amsgrad", "rmsprop", "nesterov")]
_STYLES = ("-", "--", "-.", ":")


def losses(
    title: str,
    curves: Mapping[str, np.ndarray],
    accuracy: np.ndarray,
    *,
    part: str = "test",
    without_mean: Collection[str] = (),
) -> Figure:
    """Draw loss curves, thin lines for the seeds and a thick one for their mean, with the accuracy below.

    Args:
        title: of the picture.
        curves: name -> (seeds, epochs), nats per example.
        accuracy: (seeds, epochs), fraction.
        part: of the data, on which the accuracy was measured.
        without_mean: names of curves of which only the seeds are drawn, because a mean of few seeds would show what
            none of them does.
    """
    figure, (loss_axes, accuracy_axes) = new(2, (6.4, 7.0))
    for index, (name, values) in enumerate(curves.items()):
        if name in without_mean:
            _thin(loss_axes, values, f"{name}, each seed" if len(values) > 1 else name)
        else:
            _lines(loss_axes, values, name, index)
    loss_axes.set(ylabel="loss (nats per example)")
    logarithmic(loss_axes)
    _title(loss_axes, title, accuracy)
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
    _title(ax, title, *curves.values())
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
    runs = max(len(values) for by_count in accuracy.values() for values in by_count.values())
    ax.set_title(textwrap.fill(title, 60) + ("\ndots: seeds, line: mean" if runs > 1 else ""), fontsize=10)
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
        if len(values) > 1:
            ax.plot(np.median(values), row, "|", color=_COLOURS[0], ms=20, mew=2)
    ax.set(yticks=range(len(seconds)), yticklabels=list(seconds), xlabel="seconds of training", xlim=(0, None))
    ax.set_ylim(len(seconds) - 0.5, -0.5)
    runs = max(len(values) for values in seconds.values())
    ax.set_title(textwrap.fill(title, 60) + ("\ndots: runs, bar: median" if runs > 1 else ""), fontsize=10)
    return figure


def diagnostics(title: str, history: Any) -> Figure:
    """Draw gradient norms, largest weights and dead units of each layer by epoch; no dead units, no panel for them.

    Args:
        title: of the picture.
        history: of several seeds, with the step metric gradient_norms (seeds, epochs, steps, layers) and the metrics
            largest_weights (seeds, epochs, layers) and dead_units (seeds, epochs, hidden layers).
    """
    dead = np.asarray(history.metrics["dead_units"])
    figure, axes = new(3, (6.4, 8.6)) if dead.any() else new(2, (6.4, 6.2))
    norms = np.asarray(history.step_metrics["gradient_norms"])
    for layer in range(norms.shape[-1]):
        _lines(axes[0], norms[..., layer].mean(axis=2), f"layer {layer + 1}: mean of an epoch", layer, style="-")
        _lines(axes[0], norms[..., layer].max(axis=2), f"layer {layer + 1}: largest", layer, style="--")
    axes[0].set(ylabel="gradient norm of a step")
    logarithmic(axes[0])
    axes[0].set_ylim(top=1.8 * axes[0].get_ylim()[1])  # room for the legend
    _title(axes[0], title, norms)
    weights = np.asarray(history.metrics["largest_weights"])
    for layer in range(weights.shape[-1]):
        _lines(axes[1], weights[..., layer], f"layer {layer + 1}", layer)
    top = float(np.max(weights[np.isfinite(weights)], initial=0.1))
    axes[1].set(ylabel="largest |weight|", ylim=(0, 1.3 * top))  # room for the legend
    if dead.any():
        for layer in range(dead.shape[-1]):
            _lines(axes[2], 100 * dead[..., layer], f"hidden layer {layer + 1}", layer)
        axes[2].set(ylabel="dead units (%)", ylim=(0, max(5.0, 130 * float(dead.max()))))
    else:
        axes[1].set_title("no hidden unit is dead after any epoch", fontsize=10)
    axes[-1].set(xlabel="epoch")
    for ax in axes:
        ax.legend(fontsize=9, frameon=False, ncols=2, loc="upper right")
    return figure


def _title(ax: Axes, text: str, *values: np.ndarray) -> None:
    """Set a title, with the key to the lines below it if values (seeds, ...) have several seeds."""
    several = any(len(rows) > 1 for rows in values)
    ax.set_title(textwrap.fill(text, 60) + ("\nthin: seeds, thick: mean" if several else ""), fontsize=10)


def _lines(ax: Axes, values: np.ndarray, label: str, index: int, style: str | None = None) -> None:
    colour, style = _COLOURS[index], style or _STYLES[index % len(_STYLES)]
    epochs = np.arange(1, values.shape[1] + 1)
    if len(values) > 1:
        ax.plot(epochs, values.T, color=colour, linewidth=0.7, alpha=0.45)
    ax.plot(epochs, values.mean(axis=0), style, color=colour, linewidth=2.2, label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _thin(ax: Axes, values: np.ndarray, label: str) -> None:
    """Draw every seed as a thin grey line behind the others, without a mean."""
    epochs = np.arange(1, values.shape[1] + 1)
    for row, run in enumerate(values):
        style = {"color": "#888888", "linewidth": 0.9, "marker": ".", "markersize": 3, "zorder": 1}
        ax.plot(epochs, run, label=label if row == 0 else None, **style)
