"""Pictures of the fitted lines, of the loss surface with every optimizer's path, and of the loss by step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.common.movies import Movie
from jaxmlp.comparison.drawing import LOOKS, logarithmic, new

_COLUMNS = 4  # of small panels


def line(found: Any, published: tuple[float, float], learned: Mapping[str, np.ndarray], steps: int) -> Figure:
    """Draw the data of one seed with the exact, the published and the learned lines, and their residuals.

    Args:
        found: the problem of one seed, a descent.Problem.
        published: slope and intercept.
        learned: name -> slope and intercept, (2,).
        steps: after which the lines were learned.
    """
    figure, (whole, less) = new(2, (6.5, 8.0))
    x, y = found.x[:, 0], found.y
    ends = np.array([0.0, x.max()])
    exact = found.optimum
    whole.plot(x, y / 1000, ".", color="#999999", ms=4)
    less.plot(x, (y - exact[0] * x - exact[1]) / 1000, ".", color="#999999", ms=4, label="examples")
    shown = {"least squares": (exact, "sgd", "-"), f"published, {steps} steps": (np.array(published), "adam", "-")}
    for (name, fit), look, style in zip(
        learned.items(), ("momentum", "adagrad", "rmsprop"), ("--", ":", "-."), strict=False
    ):
        shown[f"{name}, {steps} steps"] = (fit, look, style)
    for name, ((slope, intercept), look, style) in shown.items():
        label = f"{name}: {slope:.1f} x + {intercept:,.1f}"
        kind = {"color": LOOKS[look]["color"], "linestyle": style}
        whole.plot(ends, (slope * ends + intercept) / 1000, label=label, **kind)
        less.plot(ends, ((slope - exact[0]) * ends + intercept - exact[1]) / 1000, **kind)
    whole.set(ylabel="y (thousands)")
    whole.legend(fontsize=9, frameon=False)
    whole.set_title("The lines look almost the same,", fontsize=10)
    less.set(xlabel="x", ylabel="y minus the least-squares line (thousands)")
    less.set_title("but differ by more than the noise where x is small", fontsize=10)
    return figure


def surface(surfaces: Mapping[str, Any], steps: int) -> Figure:
    """Draw every optimizer's path over the contours of the loss, one small panel each, for each kind of x.

    Args:
        surfaces: kind of x -> (problem, paths by rule (steps + 1, 2), learning rates by rule).
        steps: of each path.
    """
    count = max(len(paths) for _, paths, _ in surfaces.values()) + 1  # one place for the text
    rows = -(-count // _COLUMNS)
    figure = Figure(figsize=(6.8, 0.6 + 2.1 * rows * len(surfaces)), layout="constrained")
    FigureCanvasAgg(figure)
    blocks = figure.subfigures(len(surfaces), 1, squeeze=False).flatten()
    for block, (inputs, (found, paths, rates)) in zip(blocks, surfaces.items(), strict=True):
        axes = block.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flatten()
        points = np.concatenate([np.zeros((1, 2)), found.optimum[None], *paths.values()]) / 1000
        low, high = points.min(axis=0), points.max(axis=0)
        low, high = low - 0.12 * (high - low), high + 0.12 * (high - low)
        grid = [np.linspace(*ends, 200) for ends in zip(low, high, strict=True)]
        away = 1000 * np.stack(np.meshgrid(*grid), axis=-1) - found.optimum
        excess = np.einsum("...i,ij,...j->...", away, found.hessian, away) / 2 / found.least
        levels = np.geomspace(max(excess.min(), 1e-1), excess.max(), 10)
        for ax, (rule, path) in zip(axes, paths.items(), strict=False):
            look = LOOKS[rule]
            ax.contour(*grid, excess, levels=levels, colors="#bbbbbb", linewidths=0.5)
            ax.plot(*(path.T / 1000), color=look["color"], linewidth=1.1, marker=".", markersize=2.5)
            ax.plot(*(found.optimum / 1000), "*", color="w", mec="k", ms=10, zorder=4)
            ax.plot(0, 0, "o", color="k", ms=4, zorder=5)
            ax.plot(*(path[-1] / 1000), look["marker"], color=look["color"], ms=6, mec="w", mew=0.8, zorder=6)
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            ax.set_title(f"{rule}, rate {rates[rule]:.2g}", fontsize=8)
            ax.tick_params(labelsize=8)
        for ax in axes[len(paths) :]:
            ax.set_axis_off()
        eigenvalues = np.linalg.eigvalsh(found.hessian)
        text = f"condition number\n{eigenvalues[1] / eigenvalues[0]:,.0f} (seed 0)\n\ndot: start\nstar: least squares"
        text += "\nmarker: end"
        axes[len(paths)].text(0.02, 0.95, text, fontsize=9, va="top", transform=axes[len(paths)].transAxes)
        block.supxlabel(f"slope over {inputs} x (thousands)", fontsize=9)
        block.supylabel("intercept (thousands)", fontsize=9)
        block.suptitle(f"{inputs} x: {steps} steps; contours in equal ratios of the loss", fontsize=10)
    return figure


def descent(found: Any, path: np.ndarray) -> Movie:
    """Show gradient descent step by step: the line among the data of one seed, and its loss.

    Args:
        found: the problem of that seed, a descent.Problem.
        path: slope and intercept before and after each step, (steps + 1, 2).
    """
    figure, (whole, loss) = new(2, (6.0, 6.2))
    x, y = found.x[:, 0], found.y
    ends = np.array([0.0, x.max()])
    slope, intercept = found.optimum
    whole.plot(x, y / 1000, ".", color="#999999", ms=5, zorder=3, label="examples")
    whole.plot(ends, (slope * ends + intercept) / 1000, "--", color=LOOKS["momentum"]["color"], label="least squares")
    (moving,) = whole.plot(
        ends, 0 * ends, color=LOOKS["adam"]["color"], linewidth=2.2, zorder=4, label="gradient descent"
    )
    whole.set(xlabel="x", ylabel="y (thousands)", ylim=(-0.04 * y.max() / 1000, 1.05 * y.max() / 1000))
    whole.legend(fontsize=9, frameon=False, loc="upper left")
    away = path - found.optimum
    excess = np.einsum("ti,ij,tj->t", away, found.hessian, away) / 2 / found.least
    loss.plot(excess, color="#bbbbbb")
    (done,) = loss.plot([], [], color=LOOKS["adam"]["color"], linewidth=2.2)
    (point,) = loss.plot([], [], "o", color=LOOKS["adam"]["color"])
    loss.set(xlabel="step", ylabel="loss / least-squares loss - 1")
    logarithmic(loss)

    def draw(step: int) -> None:
        w, b = path[step]
        moving.set_ydata((w * ends + b) / 1000)
        done.set_data(np.arange(step + 1), excess[: step + 1])
        point.set_data([step], [excess[step]])
        whole.set_title(f"step {step}: {w:,.2f} x + {b:.2f}", fontsize=11)

    draw(0)
    return Movie(figure, draw, len(path))


def gap(gaps: Mapping[str, Mapping[str, np.ndarray]], target: float) -> Figure:
    """Draw the loss above the least-squares loss by step, mean over the seeds.

    Args:
        gaps: kind of x -> rule -> (seeds, steps + 1), as a share of the least-squares loss.
        target: the share below which a path has arrived.
    """
    figure, axes = new(len(gaps), (6.8, 1.0 + 3.6 * len(gaps)))
    for ax, (inputs, by_rule) in zip(axes, gaps.items(), strict=True):
        for rule, values in by_rule.items():
            look = {key: LOOKS[rule][key] for key in ("color", "linestyle")}
            ax.plot(np.maximum(values.mean(axis=0), 1e-6), label=rule, **look)
        ax.axhline(target, color="#666666", linewidth=0.8)
        ax.set(yscale="log", ylabel="loss / least-squares loss - 1")
        ax.set_title(f"{inputs} x, best rates; grey: {100 * target:g} % above least squares", fontsize=10)
    axes[-1].set_xlabel("step (values below 0.000001 are drawn there)")
    axes[0].legend(fontsize=9, frameon=False, ncols=4, loc="upper right")
    return figure
