"""Pictures of a comparison, made from its record and its curves; nothing here trains."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")  # draws to files; works without a screen
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from experiments import statistics
from experiments.record import replacing

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
    "font.size": 10,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
}

Curves = Mapping[str, np.ndarray]


def learning_curves(name: str, problem: Mapping[str, Any], curves: Curves) -> Figure:
    """Draw test error and training loss of each choice by epoch, with the range over the seeds."""
    figure, axes = _new(1, 2, (9.5, 4.0))
    for optimizer, entry in problem["optimizers"].items():
        label = f"{optimizer} ({entry['chosen']:g})"
        error = 100 * (1 - curves[f"{optimizer}/final/test_accuracy"])
        _band(axes[0], error, optimizer, label)
        _band(axes[1], curves[f"{optimizer}/final/train_loss"], optimizer, label)
    n = len(problem["fresh_seeds"])
    axes[0].set(xlabel="epoch", ylabel="test error (%)", yscale="log", title=f"{name}: test error")
    axes[1].set(xlabel="epoch", ylabel="training loss (nats per example)", yscale="log", title="training loss")
    _plain_ticks(axes[0])
    _plain_ticks(axes[1])
    axes[0].legend(title="optimizer (learning rate)", fontsize=8, title_fontsize=8, frameon=False)
    axes[1].annotate(
        f"line: mean of {n} seeds; band: lowest to highest",
        (0.98, 0.98),
        xycoords="axes fraction",
        ha="right",
        va="top",
        fontsize=8,
    )
    return figure


def sensitivity(name: str, problem: Mapping[str, Any], curves: Curves) -> Figure:
    """Draw validation error at the end of tuning by learning rate, the choice ringed."""
    figure, axes = _new(1, 1, (7.0, 4.2))
    ax = axes[0]
    for optimizer, entry in problem["optimizers"].items():
        error = 100 * (1 - np.asarray(entry["tuning"]["validation_accuracy"], float))
        rates = entry["learning_rates"]
        _band(ax, error.T, optimizer, optimizer, x=rates)
        chosen = rates.index(entry["chosen"])
        ax.plot(rates[chosen], error[chosen].mean(), "o", ms=11, mfc="none", mec=LOOKS[optimizer]["color"], mew=1.5)
    seeds, epochs = len(problem["tuning_seeds"]), problem["problem"]["tune_epochs"]
    ax.set(xscale="log", yscale="log", xlabel="learning rate (per step)", ylabel="validation error (%)")
    ax.set_title(f"{name}: validation error after {epochs} epochs, {seeds} seeds, choice ringed", fontsize=10)
    _plain_ticks(ax)
    ax.legend(fontsize=8, frameon=False)
    return figure


def time_to_target(name: str, problem: Mapping[str, Any], curves: Curves) -> Figure:
    """Draw, for each target, the epochs and seconds that each choice takes to reach it on the test set."""
    targets = problem["problem"]["targets"]
    figure, axes = _new(1, len(targets), (4.2 * len(targets) + 1, 3.6))
    optimizers = list(problem["optimizers"])
    for ax, target in zip(axes, targets, strict=True):
        for row, optimizer in enumerate(optimizers):
            entry, look = problem["optimizers"][optimizer], LOOKS[optimizer]
            epoch_seconds = entry["seconds_per_step"] * problem["steps_per_epoch"]
            reached = [statistics.first_reaching(c, target) for c in curves[f"{optimizer}/final/test_accuracy"]]
            seconds = [epochs * epoch_seconds for epochs in reached if epochs is not None]
            ax.plot(seconds, [row] * len(seconds), look["marker"], color=look["color"], alpha=0.7)
            if seconds:
                ax.plot(np.median(seconds), row, "|", color=look["color"], ms=18, mew=2)
            if len(seconds) < len(reached):
                text = f"{len(reached) - len(seconds)} of {len(reached)} never"
                ax.text(1.01, row, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        ax.set(yticks=range(len(optimizers)), yticklabels=optimizers, xlabel="seconds of training")
        ax.set_title(f"{name}: {100 * target:g} % test accuracy", fontsize=10)
        ax.set_xlim(left=0)
        ax.set_ylim(len(optimizers) - 0.5, -0.5)
    return figure


def budget(name: str, problem: Mapping[str, Any], curves: Curves) -> Figure:
    """Draw the expected validation error of the best of k learning rates drawn at random from the grid."""
    figure, axes = _new(1, 1, (7.0, 4.0))
    ax = axes[0]
    for optimizer, entry in problem["optimizers"].items():
        scores = np.asarray(entry["tuning"]["validation_accuracy"], float).mean(axis=1)
        expected = 100 * (1 - statistics.expected_best(scores))
        ax.plot(np.arange(1, len(expected) + 1), expected, label=optimizer, **LOOKS[optimizer])
    ax.set(xlabel="learning rates tried, k", ylabel="expected validation error of the best (%)", yscale="log")
    ax.set_title(f"{name}: what a tuning budget buys", fontsize=10)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain_ticks(ax)
    ax.legend(fontsize=8, frameon=False)
    return figure


def profile(times: Mapping[str, Mapping[str, float | None]], largest: float = 4.0) -> Figure:
    """Draw the performance profile over all problems and targets."""
    ratios = np.linspace(1, largest, 601)
    figure, axes = _new(1, 1, (7.0, 3.8))
    for optimizer, shares in statistics.performance_profile(times, ratios).items():
        look = {key: value for key, value in LOOKS[optimizer].items() if key != "marker"}
        axes[0].step(ratios, shares, where="post", label=optimizer, **look)
    axes[0].set(xlabel="time to target, as a multiple of the fastest optimizer's", ylabel="share of targets reached")
    axes[0].set(ylim=(-0.03, 1.03), xlim=(1, largest))
    count = len(next(iter(times.values())))
    axes[0].set_title(f"Performance profile over {count} (problem, target) pairs", fontsize=10)
    axes[0].legend(fontsize=8, frameon=False)
    return figure


PER_PROBLEM = {
    "learning_curves": learning_curves,
    "sensitivity": sensitivity,
    "time_to_target": time_to_target,
    "budget": budget,
}


def save(figure: Figure, path: Path) -> None:
    """Write figure to path, as its ending says, at 150 dots per inch, and close it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
    plt.close(figure)


def _new(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Sequence[Axes]]:
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    return figure, list(axes.flat)


def _band(ax, values, optimizer, label, x=None):
    """The mean of values (seeds, points), the range over the seeds behind it; gaps where a run had no number."""
    look = LOOKS[optimizer]
    values = np.where(np.isfinite(values), values, np.nan)
    x = np.arange(1, values.shape[1] + 1) if x is None else x
    ax.plot(x, values.mean(axis=0), label=label, **look)
    ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=look["color"], alpha=0.12, linewidth=0)


def _plain_ticks(ax):
    """Ticks of a logarithmic axis as 2, 5, 10, 20 rather than as powers of ten; more of them on a short one."""
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
