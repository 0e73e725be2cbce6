"""The picture of one surface: every optimizer's path over it, and the height along each path."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from jaxmlp.comparison.drawing import LOOKS


def paths(name: str, surface: Any, results: Mapping[str, Any], by_rule: Mapping[str, np.ndarray]) -> Figure:
    """Draw every optimizer's whole path over a surface, and the height along it by step.

    Args:
        name: of the surface.
        surface: (x, y) -> height.
        results: of the experiment, as plain values.
        by_rule: path of each rule, (steps + 1, 2).
    """
    entry = results["landscapes"][name]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.2), width_ratios=[1.15, 1], layout="constrained")
    points = np.concatenate([*by_rule.values(), np.array(entry["minima"])])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * np.maximum(high - low, 1e-3)
    x, y = (np.linspace(a, b, 400) for a, b in zip(low - margin, high + margin, strict=True))
    heights = surface(*np.meshgrid(x, y))
    levels = np.geomspace(max(heights.min(), 1e-3), heights.max(), 16)
    left.contour(x, y, heights, levels=levels, colors="#999999", linewidths=0.6)
    for rule, path in by_rule.items():
        look, run = LOOKS[rule], entry["runs"][rule]
        steps = "never" if run["steps"] is None else f"{run['steps']:,} steps"
        style = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 1.4}
        left.plot(path[:, 0], path[:, 1], **style)
        along = np.maximum(surface(path[:, 0], path[:, 1]), 1e-12)
        right.plot(np.arange(1, len(along) + 1), along, label=f"{rule} ({run['learning_rate']:.2g}): {steps}", **style)
    left.plot(*entry["start"], "o", color="k", ms=6, zorder=5)
    left.annotate("start", entry["start"], xytext=(6, 6), textcoords="offset points", fontsize=9)
    for minimum in entry["minima"]:
        left.plot(*minimum, "*", color="w", mec="k", ms=13, zorder=5)
    left.set(xlabel="x (first parameter)", ylabel="y (second parameter)")
    left.set_title(f"{name}: {entry['equation']}; star: minimum", fontsize=10)
    right.axhline(results["target"], color="#666666", linewidth=0.8)
    right.legend(fontsize=8, title="optimizer (learning rate): arrives after", title_fontsize=8)
    right.get_legend().set_loc("lower left")
    right.set_ylim(bottom=5e-13)  # room for the legend
    right.set(xscale="log", yscale="log", xlabel="step, the start being 1", ylabel="height above the minimum")
    right.set_title(f"best of {len(results['learning_rates'])} learning rates each, unclipped", fontsize=10)
    right.grid(alpha=0.3)
    return figure
