"""Pictures of a comparison, made from its record and its curves alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxmlp.comparison import statistics
from jaxmlp.comparison.drawing import LOOKS, logarithmic, new

__docformat__ = "google"
__all__ = ["PER_PROBLEM", "budget", "learning_curves", "profile", "sensitivity", "time_to_target"]

Curves = Mapping[str, np.ndarray]


def learning_curves(name: str, problem: Mapping[str, Any], curves: Curves) -> Figure:
    """Draw test error and training loss of each choice by epoch, with the range over the seeds.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        curves: those of the problem, optimizer/phase/quantity -> array.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> figure = learning_curves("digits", toy.PROBLEM, toy.CURVES)
        >>> len(figure.axes)
        2
    """
    figure, (error_axes, loss_axes) = new(2, (6.0, 7.0))
    for optimizer, entry in problem["optimizers"].items():
        label = f"{optimizer} ({entry['chosen']:g})"
        _band(error_axes, _error(curves[f"{optimizer}/final/test_accuracy"], problem, "test"), optimizer, label)
        _band(loss_axes, curves[f"{optimizer}/final/train_loss"], optimizer, label)
    n = len(problem["fresh_seeds"])
    error_axes.set(ylabel="test error (%)")
    error_axes.set_title(f"{name}: mean of {n} seeds; band: lowest to highest", fontsize=10)
    loss_axes.set(xlabel="epoch", ylabel="training loss (nats per example)")
    for ax in (error_axes, loss_axes):
        logarithmic(ax)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    error_axes.legend(title="optimizer (learning rate)", fontsize=9, title_fontsize=9, frameon=False)
    return figure


def sensitivity(name: str, problem: Mapping[str, Any], curves: Curves) -> Figure:
    """Draw validation error at the end of tuning by learning rate, with a ring around the choice.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        curves: those of the problem, optimizer/phase/quantity -> array.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> figure = sensitivity("digits", toy.PROBLEM, toy.CURVES)
        >>> len(figure.axes)
        1
    """
    figure, axes = new(1, (6.0, 4.2))
    ax = axes[0]
    for optimizer, entry in problem["optimizers"].items():
        error = _error(entry["tuning"]["validation_accuracy"], problem, "validation")
        rates = entry["learning_rates"]
        _band(ax, error.T, optimizer, optimizer, x=rates)
        chosen = rates.index(entry["chosen"])
        ax.plot(rates[chosen], error[chosen].mean(), "o", ms=11, mfc="none", mec=LOOKS[optimizer]["color"], mew=1.5)
    seeds, epochs = len(problem["tuning_seeds"]), problem["problem"]["tune_epochs"]
    ax.set(xscale="log", xlabel="learning rate (per step)", ylabel="validation error (%)")
    ax.set_title(f"{name}: validation error after {epochs} epochs, {seeds} seeds; ring: choice", fontsize=10)
    logarithmic(ax)
    ax.legend(fontsize=9, frameon=False)
    return figure


def time_to_target(name: str, problem: Mapping[str, Any], curves: Curves) -> Figure:
    """Draw, for each target, the seconds that each choice takes to reach it on the test set.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        curves: those of the problem, optimizer/phase/quantity -> array.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> figure = time_to_target("digits", toy.PROBLEM, toy.CURVES)
        >>> len(figure.axes)
        1
    """
    targets = next(iter(problem["optimizers"].values()))["to_target"]
    figure, axes = new(len(targets), (6.0, 0.6 + 2.7 * len(targets)))
    optimizers = list(problem["optimizers"])
    measured = "validation and test" if problem["problem"]["keep_validation"] else "test"
    for ax, target in zip(axes, targets, strict=True):
        for row, optimizer in enumerate(optimizers):
            look, all_seconds = LOOKS[optimizer], problem["optimizers"][optimizer]["to_target"][target]["seconds"]
            seconds = [value for value in all_seconds if value is not None]
            ax.plot(seconds, [row] * len(seconds), look["marker"], color=look["color"], alpha=0.7)
            if 2 * len(seconds) > len(all_seconds):  # otherwise the median seed never reaches it
                median = np.median([np.inf if value is None else value for value in all_seconds])
                ax.plot(median, row, "|", color=look["color"], ms=18, mew=2)
            if len(seconds) < len(all_seconds):
                text = f"{len(all_seconds) - len(seconds)} of {len(all_seconds)} never"
                ax.text(1.01, row, text, transform=ax.get_yaxis_transform(), va="center", fontsize=9)
        ax.set(yticks=range(len(optimizers)), yticklabels=optimizers, xlabel="seconds of training")
        ax.set_title(f"{name}: {target} {measured} accuracy", fontsize=10)
        ax.set_xlim(0, 1.05 * max(entry["seconds_alone"] for entry in problem["optimizers"].values()))
        ax.xaxis.set_major_locator(MaxNLocator(6))
        ax.set_ylim(len(optimizers) - 0.5, -0.5)
    return figure


def budget(name: str, problem: Mapping[str, Any], curves: Curves) -> Figure:
    """Draw the expected validation error of the best of k learning rates drawn at random from the grid.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        curves: those of the problem, optimizer/phase/quantity -> array.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> figure = budget("digits", toy.PROBLEM, toy.CURVES)
        >>> len(figure.axes)
        1
    """
    figure, axes = new(1, (6.0, 4.0))
    ax = axes[0]
    for optimizer, entry in problem["optimizers"].items():
        scores = np.asarray(entry["tuning"]["validation_accuracy"], float).mean(axis=1)
        expected = _error(statistics.expected_best(scores), problem, "validation")
        ax.plot(np.arange(1, len(expected) + 1), expected, label=optimizer, **LOOKS[optimizer])
    ax.set(xlabel="learning rates tried, k", ylabel="expected validation error of the best (%)")
    ax.set_title(f"{name}: expected error by tuning budget", fontsize=10)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    logarithmic(ax)
    ax.legend(fontsize=9, frameon=False)
    return figure


def profile(times: Mapping[str, Mapping[str, float | None]], largest: float = 4.0) -> Figure:
    """Draw the performance profile over all problems and targets.

    Args:
        times: as summary.target_times returns them.
        largest: the largest ratio drawn.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> figure = profile(summary.target_times(toy.RECORD["problems"]))
        >>> figure.axes[0].get_title()
        'Performance profile over 1 (problem, target) pairs'
    """
    ratios = np.linspace(1, largest, 601)
    figure, axes = new(1, (6.0, 3.8))
    for optimizer, shares in statistics.performance_profile(times, ratios).items():
        look = {key: value for key, value in LOOKS[optimizer].items() if key != "marker"}
        axes[0].step(ratios, shares, where="post", label=optimizer, **look)
    axes[0].set(xlabel="time to target, as a multiple of the fastest optimizer's", ylabel="share of targets reached")
    axes[0].set(ylim=(-0.03, 1.03), xlim=(1, largest))
    count = len(next(iter(times.values())))
    axes[0].set_title(f"Performance profile over {count} (problem, target) pairs", fontsize=10)
    axes[0].legend(fontsize=9, frameon=False)
    return figure


PER_PROBLEM = {
    "learning_curves": learning_curves,
    "sensitivity": sensitivity,
    "time_to_target": time_to_target,
    "budget": budget,
}
"""Every picture of a single problem, by the name of its file."""


def _band(ax, values, optimizer, label, x=None):
    """Draw the mean of values (seeds, points) and their range behind it, with gaps where a run has no number."""
    look = LOOKS[optimizer]
    values = np.where(np.isfinite(values), values, np.nan)
    x = np.arange(1, values.shape[1] + 1) if x is None else x
    ax.plot(x, values.mean(axis=0), label=label, **look)
    ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=look["color"], alpha=0.12, linewidth=0)


def _error(accuracy, problem, part):
    """Return the error in percent; no error at all becomes half an example, which a logarithmic axis can show."""
    return np.maximum(100 * (1 - np.asarray(accuracy, float)), 50 / problem["examples"][part])
