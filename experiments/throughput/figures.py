"""The picture: how long every system takes, case by case."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.throughput import cases
from experiments.throughput.cases import OURS, SYSTEMS
from jaxmlp.comparison.drawing import LOOKS, new

_MARKS = ("o", "s", "D", "^", "v", "P", "X")


def throughput(found: Mapping[str, Any], made: Mapping[str, Any]) -> Figure:
    """Draw a panel for each case: dots for the turns, a bar at the median, a dashed line at the limit of products."""
    rows = max([len(case["systems"]) for case in found["cases"].values()])
    columns = min(2, len(found["cases"]))
    lines = -(-len(found["cases"]) // columns)
    figure, axes = new(lines, (5.8 * columns, (1.4 + 0.28 * rows) * lines), columns)
    for ax in axes[len(found["cases"]) :]:
        ax.set_axis_off()
    for ax, (name, case) in zip(axes, found["cases"].items(), strict=False):
        if name == "rules":
            _rules(ax, made["cases"][name])
            continue
        seconds = made["cases"][name]["seconds"]
        order = sorted(seconds, key=seconds.__getitem__)
        for row, n in enumerate(order):
            colour = LOOKS["adam" if n == OURS else "momentum"]["color"]
            taken = [turn["seconds"] for turn in case["systems"][n]["turns"]]
            ax.plot(taken, [row] * len(taken), "o", color=colour, alpha=0.6)
            ax.plot(seconds[n], row, "|", color="black", ms=14, mew=1.6)
        ax.axvline(made["cases"][name]["floor"]["products"], color="black", linestyle="--", linewidth=1.0)
        ax.set(yticks=range(len(order)), yticklabels=[SYSTEMS[n].title for n in order], xlabel="seconds")
        ax.set(xlim=(0, None), ylim=(len(order) - 0.5, -0.5))
        ax.set_title(_titled(name), fontsize=10)
    return figure


def _titled(name):
    dashed = "dashed: its products at the machine's rate"
    if name == "sweep":
        return f"sweep of {len(cases.RATES) * cases.SEEDS} runs, {cases.title(cases.SWEPT)}\n{dashed}"
    return f"{cases.title(cases.NETWORKS[name])}\n{dashed}"


def _rules(ax, case):
    systems = [n for n in SYSTEMS if any(n in row["seconds"] for row in case.values())]
    for mark, n in zip(_MARKS, systems, strict=False):
        rules = [rule for rule, row in case.items() if n in row["seconds"]]
        colour = LOOKS["adam"]["color"] if n == OURS else None
        heights = [list(case).index(rule) for rule in rules]
        taken = [1e6 * case[rule]["seconds"][n] for rule in rules]
        ax.plot(taken, heights, mark, color=colour, linestyle="none", label=SYSTEMS[n].title)
    floors = 1e6 * np.array([row["floor"] for row in case.values()])
    ax.plot(floors, range(len(case)), "|", color="black", ms=14, label="limit: bytes at the copy rate")
    ax.set(xscale="log", xlabel="microseconds per step", yticks=range(len(case)), yticklabels=list(case))
    ax.set_ylim(len(case) - 0.5, -0.5)
    ax.set_title("one step of a rule alone", fontsize=10)
    ax.legend(fontsize=7, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.4, -0.22))
