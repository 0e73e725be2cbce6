"""The picture of the comparison with other libraries, and its numbers as text."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

_BLANK = "#e6e6e6"


def cell_text(cell: Mapping[str, Any]) -> str:
    """Write one cell of the matrix: the deviation of one rule from one library, or why there is none."""
    if "missing" in cell:
        return "-" if cell["missing"] == "has no such rule" else cell["missing"].split(":")[0]
    text = f"{cell['deviation']:.1e}" if cell["deviation"] else "0" if cell["deviation"] == 0 else "not finite"
    dtype = "" if cell["dtype"] == "float64" else f" {cell['dtype']}"
    return text + dtype + ("" if cell["agrees"] else " DIFFERS")


def times_text(entry: Mapping[str, Any]) -> str:
    """Write how far two libraries are apart: same, +3.1e-06, 306 x, or "2 apart" if only the signs differ."""
    if entry["times"] is None:
        return "inf"
    if entry["deviation"] is not None and entry["deviation"] < 1e-12:
        return "same"
    over, apart = entry["times"] - 1, entry["deviation"]
    if over < 0.095:
        return f"+{over:.1e}" if apart is not None and apart < 2 * over else f"{_number(apart):.2g} apart"
    return f"{entry['times']:.3g} x" if over < 999 else f"{float(f'{over:.2g}'):,.0f} x"


def matrix(results: Mapping[str, Any]) -> Figure:
    """Draw how far our rules deviate from the libraries', and the libraries' from each other."""
    libraries, rules = results["libraries"], list(results["matrix"])
    pairs = list(results["drift"][rules[0]])
    names = {short: entry["name"] for short, entry in libraries.items()}
    widths = [len(libraries), len(pairs)] if pairs else [len(libraries)]
    size = (2.2 * len(widths) + 1.25 * sum(widths), 4.6)
    figure, axes = plt.subplots(1, len(widths), figsize=size, width_ratios=widths, layout="constrained", squeeze=False)
    left, right = axes[0, 0], axes[0, -1]

    cells = [[results["matrix"][rule][short] for short in libraries] for rule in rules]
    values = np.array([[_number(cell.get("deviation")) for cell in row] for row in cells])
    image = left.imshow(_visible(values, 1e-16), cmap=_map("viridis"), norm=LogNorm(1e-16, 1e-6), aspect="auto")
    _write(left, [[cell_text(cell) for cell in row] for row in cells], values, dark_below=1e-11)
    heads = [f"{entry['name']}\n{entry['version'] or 'not installed'}" for entry in libraries.values()]
    _label(left, heads, rules, "ours against each library:\nlargest relative deviation (-: no such rule)")
    figure.colorbar(image, ax=left, label="relative deviation", shrink=0.8, pad=0.02)

    if not pairs:
        return figure
    entries = [[results["drift"][rule][pair] for pair in pairs] for rule in rules]
    times = np.array([[_number(e["the same"]["times"]) if "missing" not in e else np.nan for e in r] for r in entries])
    texts = [["-" if "missing" in e else times_text(e["the same"]) for e in r] for r in entries]
    image = right.imshow(times, cmap=_map("cividis"), norm=LogNorm(1, 1e4), aspect="auto")
    _write(right, texts, times, dark_below=30)
    heads = [" and\n".join(names[short] for short in pair.split("/")) for pair in pairs]
    _label(right, heads, [], "library against library, same settings:\nhow many times one's update the other's is")
    figure.colorbar(image, ax=right, label="ratio of the updates", shrink=0.8, pad=0.02)
    return figure


def _number(value):
    return np.nan if value is None or not math.isfinite(value) else value


def _visible(values, low):
    """Raise exact agreement, 0, which has no logarithm, to the lowest value drawn."""
    return np.where(np.isnan(values), np.nan, np.maximum(values, low))


def _map(name):
    return plt.get_cmap(name).with_extremes(bad=_BLANK)


def _write(ax, texts, values, dark_below):
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            dark = np.isfinite(values[i, j]) and values[i, j] < dark_below
            ax.text(
                j, i, text.replace("not ", "not\n"), ha="center", va="center", fontsize=8, color="w" if dark else "k"
            )


def _label(ax, columns, rows, title):
    ax.set_xticks(range(len(columns)), columns, fontsize=8)
    ax.set_yticks(range(len(rows)), rows, fontsize=9)
    ax.tick_params(length=0)
    ax.set_title(title, fontsize=10)
    for spine in ax.spines.values():
        spine.set_visible(False)
