"""Pictures of the runs, made from what was measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxmlp.comparison.drawing import LOOKS, logarithmic, new

TUNED = "sgd, tuned"
_LOOKS = {
    TUNED: {"color": LOOKS["momentum"]["color"], "linestyle": LOOKS["momentum"]["linestyle"]},
    **{rule: {"color": LOOKS[rule]["color"], "linestyle": LOOKS[rule]["linestyle"]} for rule in ("sgd", "adam")},
    "logistic": {"color": LOOKS["adagrad"]["color"], "linestyle": ":"},
}
LABELS = {"sgd": "SGD", "adam": "Adam", TUNED: "tuned SGD", "logistic": "logistic regression"}

Runs = Mapping[str, Mapping[str, Mapping[str, Any]]]  # preparation -> method -> what was measured


def networks(methods):
    """Those trained by jaxmlp, whose losses are known."""
    return {method: found for method, found in methods.items() if "test_loss" in found}


def roc(runs: Runs) -> Figure:
    """Draw the mean ROC curve of each method, with its range over the seeds."""
    figure, axes = _panels(runs, 3.6)
    for ax, (name, methods) in zip(axes, runs.items(), strict=True):
        ax.plot([0, 1], [0, 1], ":", color="0.6", linewidth=1)
        for method, found in methods.items():
            if method not in _LOOKS:
                continue
            curve, look = found["roc"], _LOOKS[method]
            x = curve["false_positive_rate"]
            ax.plot(x, curve["mean"], label=f"{LABELS[method]} ({np.mean(found['auc']):.3f})", **look)
            ax.fill_between(x, curve["lowest"], curve["highest"], color=look["color"], alpha=0.12, linewidth=0)
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), ylabel="survivors found (share)")
        ax.set_title(_title(name), fontsize=10)
        ax.legend(title="mean area", fontsize=9, title_fontsize=9, frameon=False, loc="lower right")
    axes[-1].set_xlabel("false alarms (share of those who died)")
    return figure


def histogram(runs: Runs) -> Figure:
    """Draw a histogram of the error in the number of predicted survivors."""
    largest = np.nanmax([[0, *found["off"]] for methods in runs.values() for found in networks(methods).values()])
    width = 5 * max(1, round(largest / 60))  # about a dozen bins
    edges = np.arange(0, largest + width + 1, width) - 0.5  # whole passengers do not lie on an edge
    figure, axes = _panels(runs, 2.8)
    for ax, (name, methods) in zip(axes, runs.items(), strict=True):
        drawn = networks(methods)
        ax.hist(
            [found["off"] for found in drawn.values()],
            bins=list(edges),
            rwidth=0.85,
            color=[_LOOKS[rule]["color"] for rule in drawn],
            label=[LABELS[rule] for rule in drawn],
        )
        if "logistic" in methods:
            mean = np.mean(methods["logistic"]["off"])
            ax.axvline(mean, label="logistic regression, mean", linewidth=2, **_LOOKS["logistic"])
        ax.set(ylabel="runs", xticks=edges + 0.5)
        ax.set_axisbelow(True)
        ax.set_title(_title(name), fontsize=10)
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(fontsize=9, frameon=False)
    axes[-1].set_xlabel("error in the number of predicted survivors (passengers)")
    return figure


def loss_curves(runs: Runs) -> Figure:
    """Draw training and test loss by epoch, mean and range over the seeds, one column for each network."""
    columns = [method for method in LABELS if all(method in networks(methods) for methods in runs.values())]
    figure = Figure(figsize=(6.8, 0.8 + 2.8 * len(runs)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(runs), len(columns), sharex=True, sharey="row", squeeze=False)
    for row, (name, methods) in zip(axes, runs.items(), strict=True):
        for ax, method in zip(row, columns, strict=True):
            found, colour = methods[method], _LOOKS[method]["color"]
            epochs = np.arange(1, len(found["test_loss"]) + 1)
            for loss, style, alpha in (("test_loss", "-", 0.25), ("train_loss", ":", 0.12)):
                label = "test" if loss == "test_loss" else "training"
                ax.plot(epochs, found[loss], style, label=label, color=colour, linewidth=1.3)
                low, high = found[f"{loss}_lowest"], found[f"{loss}_highest"]
                ax.fill_between(epochs, low, high, color=colour, alpha=alpha, linewidth=0)
            logarithmic(ax)
            ax.set(xscale="log")
            ax.xaxis.set_major_formatter(FuncFormatter(lambda epoch, _: f"{epoch:g}"))
            ax.grid(alpha=0.3)
            ax.spines[["top", "right"]].set_visible(False)
            ax.set_title(f"{LABELS[method]}\n{name.partition(', ')[2]} features", fontsize=9)
            ax.legend(fontsize=8, framealpha=0.8, edgecolor="none", loc="upper right")
        row[0].set_ylabel("loss (nats per passenger)")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    spread = "; bands: lowest and highest seed" if len(next(iter(runs.values()))["sgd"]["off"]) > 1 else ""
    figure.suptitle(f"Incomplete rows left out{spread}", fontsize=10)
    return figure


PICTURES = (roc, histogram, loss_curves)


def _panels(runs, height):
    """One panel for each preparation."""
    return new(len(runs), (6.0, 0.6 + height * len(runs)))


def _title(name):
    return f"incomplete rows {name} features"
