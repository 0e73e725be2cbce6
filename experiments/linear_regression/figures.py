"""Pictures of the fitted lines, of the loss surface with every optimizer's path, and of the loss by step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxmlp.comparison.drawing import LOOKS, new


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
    """Draw contours of the loss over (w, b) with every optimizer's path, one panel for each kind of x.

    Args:
        surfaces: kind of x -> (problem, paths by rule (steps + 1, 2), learning rates by rule).
        steps: of each path.
    """
    figure, axes = new(len(surfaces), (6.8, 1.0 + 4.6 * len(surfaces)))
    for ax, (inputs, (found, paths, rates)) in zip(axes, surfaces.items(), strict=True):
        # Around the start and the optimum; a path that swings out further leaves the picture.
        low, high = np.minimum(0, found.optimum), np.maximum(0, found.optimum)
        reach = high - low
        w, b = (np.linspace(a, z, 300) for a, z in zip(low - 0.35 * reach, high + 0.6 * reach, strict=True))
        away = np.stack(np.meshgrid(w, b), axis=-1) - found.optimum
        excess = np.einsum("...i,ij,...j->...", away, found.hessian, away) / 2 / found.least
        levels = np.geomspace(max(excess.min(), 1e-2), excess.max(), 14)
        ax.contour(w / 1000, b / 1000, excess, levels=levels, colors="#999999", linewidths=0.6)
        for rule, path in paths.items():
            look = {key: LOOKS[rule][key] for key in ("color", "linestyle")}
            ax.plot(*(path.T / 1000), label=f"{rule} ({rates[rule]:.2g})", linewidth=1.4, **look)
            ax.plot(*(path[-1] / 1000), LOOKS[rule]["marker"], color=LOOKS[rule]["color"], ms=6, mec="w", zorder=4)
        ax.plot(0, 0, "o", color="k", ms=7, zorder=5)
        ax.annotate("start", (0, 0), xytext=(-8, -14), textcoords="offset points", fontsize=9, ha="right")
        ax.plot(*(found.optimum / 1000), "*", color="w", mec="k", ms=14, zorder=5)
        ax.set(xlim=(w[0] / 1000, w[-1] / 1000), ylim=(b[0] / 1000, b[-1] / 1000))
        ax.set(xlabel=f"w, slope over {inputs} x (thousands)", ylabel="b, intercept (thousands)")
        low, high = np.linalg.eigvalsh(found.hessian)
        ax.set_title(f"{inputs} x, condition number {high / low:,.0f}; star: least squares", fontsize=10)
        ax.grid(False)
        ax.legend(fontsize=9, title="optimizer (rate)", title_fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(f"{steps} steps over the loss; contours in equal ratios; markers: where the paths end", fontsize=11)
    return figure


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
