"""Pictures of the logic gates: decision regions, success rates, and sigmoids of several steepnesses."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.common.wording import counted
from experiments.logic_gates.perceptrons import PERCEPTRONS, given_perceptron
from experiments.logic_gates.settings import (
    ACTIVATIONS,
    GATES,
    PUBLISHED,
    ROWS,
    SQUARED,
    TARGETS,
    USUAL,
    WIDTHS,
    Setting,
)
from experiments.logic_gates.training import Trained, probabilities
from jaxmlp import activations
from jaxmlp.comparison.drawing import LOOKS, new

_EDGE = np.linspace(-0.5, 1.5, 201, dtype=np.float32)
PLANE = np.stack(np.meshgrid(_EDGE, _EDGE), axis=-1)  # (201, 201, 2): the inputs at which regions are drawn
_ONE, _ZERO = "#E69F00", "#0072B2"  # distinct for the colour-blind; the markers differ as well
Runs = Mapping[Setting, Trained]


class Panel(NamedTuple):
    """The decision region of one network."""

    title: str
    """Above the panel."""

    height: np.ndarray | None
    """Answers over PLANE in [0, 1]; None if there is nothing to draw."""

    targets: np.ndarray
    """Of the rows, (4,)."""

    answers: np.ndarray | None
    """Of the network, (4,); wrong rows are crossed."""


def regions(runs: Runs, rates: Sequence[float], steepness: float) -> Figure:
    """Draw the decision regions of the given perceptrons, and of the first seeds that fail at XOR and that solve it."""
    title = "given perceptrons; XOR by the first seed that fails and by the first that solves it"
    return _grid(_chosen(runs, rates, steepness), 3, (6.8, 8.3), f"{title}\n(square: 1, circle: 0, crossed: wrong)")


def gates(runs: Runs, rate: float, steepness: float) -> Figure:
    """Draw the decision regions of all gates, each by the first seed that solves it, otherwise by seed 0."""
    panels = []
    for gate in GATES:
        setting = Setting(gate, "relu", 2, USUAL, SQUARED, rate)
        found = runs[setting]
        title = f"{gate.replace('_', ' ')}\n{np.sum(found.score == 1)} of {len(found.score)}"
        panels.append(_panel(title, setting, found, int(np.argmax(found.score == 1)), steepness))
    title = "relu 2-2-1, usual weights: number of successes, and the first of them (otherwise seed 0)"
    return _grid(panels, 4, (6.8, 8.2), title)


def success(counts: Mapping[tuple[str, float], np.ndarray], n: int, form: str) -> Figure:
    """Draw how many of n runs solve XOR by activation and width, one panel for each start and learning rate."""
    rates = list(dict.fromkeys(rate for _, rate in counts))
    starts = list(dict.fromkeys(weights for weights, _ in counts))
    size = (1.8 + 2.4 * len(rates), 6.0)
    figure, axes = plt.subplots(len(starts), len(rates), figsize=size, squeeze=False, layout="constrained")
    for (weights, rate), values in counts.items():
        ax = axes[starts.index(weights), rates.index(rate)]
        ax.imshow(values / n, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                ax.text(j, i, str(value), ha="center", va="center", color="w" if value < n / 2 else "k", fontsize=10)
        ax.set_xticks(range(len(WIDTHS)), [str(width) for width in WIDTHS])
        first = rate == rates[0]
        ax.set_yticks(range(len(ACTIVATIONS)), ACTIVATIONS if first else [""] * len(ACTIVATIONS))
        ax.tick_params(length=0)
        ax.set_title(f"rate {rate:g}\n{weights} weights", fontsize=10)
        if weights == starts[-1]:
            ax.set_xlabel("hidden units")
    figure.suptitle(f"{counted(n, 'run')} each, number that solve XOR\n({form})", fontsize=11)
    return figure


def forms(rates: Mapping[str, Mapping[str, Sequence[tuple[float, float, float]]]], rate: float, n: int) -> Figure:
    """Draw success rates with their intervals, the forms of output side by side, one panel for each width."""
    figure = Figure(figsize=(6.8, 7.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(-(-len(WIDTHS) // 2), min(2, len(WIDTHS)), sharex=True, sharey=True, squeeze=False)
    looks = [LOOKS[name] for name in ("sgd", "momentum", "adam", "adagrad")]
    for column, (ax, width) in enumerate(zip(axes.flat, WIDTHS, strict=False)):
        for index, (form, by_name) in enumerate(rates.items()):
            middle, low, high = 100 * np.array([by_name[name][column] for name in ACTIVATIONS]).T
            y = np.arange(len(ACTIVATIONS)) + 0.17 * (index - (len(rates) - 1) / 2)
            # The rate is not the middle of its interval; at 0 and 100 % it could leave the interval by a rounding.
            whiskers = np.maximum([middle - low, high - middle], 0)
            look = {"color": looks[index]["color"], "marker": looks[index]["marker"], "markersize": 5}
            ax.errorbar(middle, y, xerr=whiskers, label=form, linestyle="none", capsize=0, elinewidth=1.4, **look)
        ax.set_yticks(range(len(ACTIVATIONS)), [name.replace("_", " ") for name in ACTIVATIONS])
        ax.set_yticks(np.arange(len(ACTIVATIONS) - 1) + 0.5, minor=True)
        ax.tick_params(axis="y", which="both", length=0)
        ax.grid(axis="x", alpha=0.3)
        ax.grid(axis="y", which="minor", alpha=0.3)
        ax.set(xlim=(-3, 103), ylim=(len(ACTIVATIONS) - 0.5, -0.5))
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_title(f"{width} hidden units", fontsize=10)
    for ax in axes.flat[len(WIDTHS) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("runs that solve XOR (%)")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    text = f"Forms of output, usual weights, rate {rate:g}: {counted(n, 'run')} each, 95 % interval (Wilson)"
    figure.suptitle(text, fontsize=11)
    return figure


def sigmoids(chosen: float) -> Figure:
    """Draw sigmoids of several steepnesses, the chosen one among them, with their derivatives and the step function."""
    figure, (value, slope) = new(2, (6.0, 6.4))
    z = jnp.linspace(-5, 5, 1001)
    looks = list(LOOKS.values())
    for index, k in enumerate(sorted({0.5, 1.0, chosen, 2 * chosen})):
        style = {key: looks[index][key] for key in ("color", "linestyle")}
        function = activations.steep_sigmoid(k)
        value.plot(z, function(z), label=f"{k:g}", **style)
        slope.plot(z, jax.vmap(jax.grad(function))(z), label=f"{k:g}", **style)
    value.plot(z, activations.step(z), color="#999999", linewidth=1.0, label="step", zorder=1)
    value.set(ylabel="1 / (1 + exp(-steepness z))")
    slope.set(xlabel="z, the weighted input of the unit", ylabel="derivative with respect to z")
    value.set_title("The steeper a sigmoid, the closer to the step function,", fontsize=10)
    slope.set_title("and the narrower the range in which it learns; its peak is steepness / 4", fontsize=10)
    value.legend(title="steepness", fontsize=9, title_fontsize=9, frameon=False)
    return figure


def _chosen(runs, rates, steepness):
    xor, panels = TARGETS[GATES.index("xor")], []
    for title, gate, y in (
        ("AND, given weights", "and", TARGETS[GATES.index("and")]),
        ("OR, given weights", "or", TARGETS[GATES.index("or")]),
        ("XOR, a best perceptron", "or", xor),
    ):
        weight, bias = PERCEPTRONS[gate]
        # The line runs through points of the grid, where rounding would make its edge ragged.
        answers = (weight * PLANE.sum(axis=-1) + bias >= -1e-6).astype(float)
        panels.append(Panel(title, answers, y, given_perceptron(gate)))
    slow, fast = min(rates), max(rates)
    for solves, name, weights, rate in (
        (False, "sigmoid", PUBLISHED, slow),
        (False, "relu", PUBLISHED, slow),
        (False, "relu", USUAL, fast),
        (True, "sigmoid", PUBLISHED, fast),
        (True, "relu", PUBLISHED, slow),
        (True, "relu", USUAL, fast),
    ):
        setting = Setting("xor", name, 2, weights, SQUARED, rate)
        chosen = np.flatnonzero((runs[setting].score == 1) == solves)
        title = f"{name} 2-2-1, rate {rate:g}\n{weights} weights\n"
        if len(chosen):
            title += f"{len(chosen)} of {len(runs[setting].score)} {'solve' if solves else 'fail'}; seed {chosen[0]}"
            panels.append(_panel(title, setting, runs[setting], chosen[0], steepness))
        else:
            panels.append(Panel(f"{title}none {'solves' if solves else 'fails'}", None, xor, None))
    return panels


def _panel(title, setting, found, seed, steepness):
    y = TARGETS[GATES.index(setting.gate)]
    height = probabilities(setting, found, seed, PLANE, steepness)
    answers = (probabilities(setting, found, seed, ROWS, steepness) > 0.5).astype(int)
    return Panel(title, height, y, answers)


def _grid(panels, columns, size, title):
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for index, (ax, panel) in enumerate(zip(axes.flat, panels, strict=True)):
        _region(ax, panel)
        if index % columns == 0:
            ax.set_ylabel("second input")
        if index >= len(panels) - columns:
            ax.set_xlabel("first input")
    figure.suptitle(title, fontsize=11)
    return figure


def _region(ax: Axes, panel: Panel) -> None:
    ax.set_title(panel.title, fontsize=9)
    ax.set(xlim=(_EDGE[0], _EDGE[-1]), ylim=(_EDGE[0], _EDGE[-1]), xticks=(0, 1), yticks=(0, 1), aspect="equal")
    if panel.height is None or panel.answers is None:
        return
    ax.contourf(_EDGE, _EDGE, panel.height, levels=np.linspace(0, 1, 11), cmap="cividis", alpha=0.75)
    if panel.height.min() < 0.5 < panel.height.max():
        ax.contour(_EDGE, _EDGE, panel.height, levels=[0.5], colors="k", linewidths=1.2)
    for (x, y), target, answer in zip(ROWS, panel.targets, panel.answers, strict=True):
        if target != answer:
            ax.plot(x, y, "x", color="w", mew=4, ms=25)
            ax.plot(x, y, "x", color="k", mew=2, ms=24)
        marker, color = ("s", _ONE) if target else ("o", _ZERO)
        ax.plot(x, y, marker, color=color, mec="w", mew=1.2, ms=9)
