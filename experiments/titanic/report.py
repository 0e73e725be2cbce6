"""Pictures, tables and notes on the runs, made from what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from rich.table import Table

from experiments.common import command
from experiments.common.command import Comparison
from jaxmlp.comparison import statistics
from jaxmlp.comparison.drawing import LOOKS, new

_LOOKS = {
    **{rule: {"color": LOOKS[rule]["color"], "linestyle": LOOKS[rule]["linestyle"]} for rule in ("sgd", "adam")},
    "logistic": {"color": LOOKS["nesterov"]["color"], "linestyle": "--"},
}
_MEASURES = {
    "accuracy": "accuracy (%)",
    "off": "off by",
    "off_share": "off by (%)",
    "missed_share": "missed (%)",
    "false_alarm_share": "false alarms (%)",
    "auc": "ROC AUC",
}
_PUBLISHED_COUNT = "25 to 30 of 101"
_PUBLISHED_SHARE = "24.8 to 29.7"  # the same, in percent
_LABELS = {"sgd": "SGD", "adam": "Adam", "logistic": "logistic regression"}

Runs = Mapping[str, Mapping[str, Mapping[str, Any]]]  # preparation -> method -> what was measured


def roc(runs: Runs) -> Figure:
    """Draw the mean ROC curve of each method, with its range over the seeds."""
    figure, axes = _panels(runs, 3.6)
    for ax, (name, methods) in zip(axes, runs.items(), strict=True):
        ax.plot([0, 1], [0, 1], ":", color="0.6", linewidth=1)
        for method, found in methods.items():
            curve, look = found["roc"], _LOOKS[method]
            x = curve["false_positive_rate"]
            ax.plot(x, curve["mean"], label=f"{_LABELS[method]} ({np.mean(found['auc']):.3f})", **look)
            ax.fill_between(x, curve["lowest"], curve["highest"], color=look["color"], alpha=0.12, linewidth=0)
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), ylabel="survivors found (share)")
        ax.set_title(_title(name), fontsize=10)
        ax.legend(title="mean area", fontsize=9, title_fontsize=9, frameon=False, loc="lower right")
    axes[-1].set_xlabel("false alarms (share of those who died)")
    return figure


def histogram(runs: Runs) -> Figure:
    """Draw a histogram of the error in the number of predicted survivors."""
    largest = np.nanmax([[0, *found["off"]] for methods in runs.values() for found in _networks(methods).values()])
    width = 5 * max(1, round(largest / 60))  # about a dozen bins
    edges = np.arange(0, largest + width + 1, width) - 0.5  # whole passengers do not lie on an edge
    figure, axes = _panels(runs, 2.8)
    for ax, (name, methods) in zip(axes, runs.items(), strict=True):
        networks = _networks(methods)
        ax.hist(
            [found["off"] for found in networks.values()],
            bins=list(edges),
            rwidth=0.85,
            color=[_LOOKS[rule]["color"] for rule in networks],
            label=[_LABELS[rule] for rule in networks],
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
    """Draw the mean training and test loss by epoch."""
    figure, axes = _panels(runs, 3.0)
    for ax, (name, methods) in zip(axes, runs.items(), strict=True):
        for rule, found in _networks(methods).items():
            epochs = np.arange(1, len(found["test_loss"]) + 1)
            look = {"color": _LOOKS[rule]["color"], "linewidth": 1.2}
            ax.plot(epochs, found["test_loss"], label=f"{_LABELS[rule]}, test", **look)
            ax.plot(epochs, found["train_loss"], ":", label=f"{_LABELS[rule]}, training", **look)
        # With raw fares the first epochs lie far above; twice the loss of a coin flip, log 2, is enough.
        ax.set(xscale="log", ylabel="loss (nats per passenger)", ylim=(0.25, 1.4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda epoch, _: f"{epoch:g}"))
        ax.set_title(_title(name), fontsize=10)
        ax.legend(fontsize=9, frameon=False, ncols=2, loc="upper right")
    axes[-1].set_xlabel("epoch")
    return figure


PICTURES = (roc, histogram, loss_curves)


def comparisons(runs: Runs, survivors: Mapping[str, Sequence[int]], *, count: bool) -> Iterator[Comparison]:
    """Compare the error in the number of predicted survivors with the published figure.

    Args:
        runs: preparation -> method -> what was measured.
        survivors: among the test passengers of each run, with incomplete rows left out and filled.
        count: True: in passengers, which are the same in all runs; False: as a share of the survivors, in percent.
    """
    published = {"sgd": _PUBLISHED_COUNT if count else _PUBLISHED_SHARE, "adam": "clearly better", "logistic": "-"}
    for name, methods in runs.items():
        n = survivors[name.partition(",")[0]][0]
        for method, found in methods.items():
            quantity = f"{method}, incomplete rows {name}: survivors off by " + (f"(of {n})" if count else "(%)")
            yield Comparison(quantity, published[method], found["off" if count else "off_share"], ".1f")


def table(runs: Runs) -> Table:
    """Tabulate the errors of each method: mean and 95 % interval over the seeds."""
    rows = Table(
        "incomplete rows, features",
        "method",
        *_MEASURES.values(),
        title="Error in the number of predicted survivors; survivors missed and false alarms (% of survivors)",
    )
    for name, methods in runs.items():
        for row, (method, found) in enumerate(methods.items()):
            cells = [
                command.with_interval(found[measure], ".3f" if measure == "auc" else ".1f", count=False)
                for measure in _MEASURES
            ]
            rows.add_row(name if row == 0 else "", method, *cells, end_section=row == len(methods) - 1)
    return rows


def notes(runs: Runs) -> Iterator[str]:
    """Say by how much Adam is better than SGD, and how the losses go."""
    yield _paired(runs)
    yield from _overfitting(runs)


def _panels(runs, height):
    """One panel for each preparation."""
    return new(len(runs), (6.0, 0.6 + height * len(runs)))


def _title(name):
    return f"incomplete rows {name} features"


def _networks(methods):
    return {method: found for method, found in methods.items() if method != "logistic"}


def _paired(runs):
    said = []
    for name, methods in runs.items():
        difference = np.subtract(methods["sgd"]["off"], methods["adam"]["off"])
        p_value = statistics.paired_p_value(methods["sgd"]["off"], methods["adam"]["off"])
        said.append(f"{difference.mean():.1f} ({name}; p = {p_value:.2g})")
    return f"Error of SGD minus error of Adam in survivors, paired by seed: {', '.join(said)}."


def _overfitting(runs):
    """Say where each network's test loss is lowest, and what it and the training loss are there and at the end.

    The losses are means over the seeds and over a fiftieth of the epochs, since single epochs fluctuate.
    """
    for name, methods in runs.items():
        said = []
        for rule, found in _networks(methods).items():
            width = max(1, len(found["test_loss"]) // 50)
            train, test = (
                np.convolve(found[loss], np.full(width, 1 / width), "valid") for loss in ("train_loss", "test_loss")
            )
            best = int(np.argmin(test))
            said.append(
                f"{rule}: test {test[best]:.3f} by epoch {best + width}, {test[-1]:.3f} at the end; training "
                f"{train[best]:.3f}, {train[-1]:.3f}"
            )
        yield f"Losses, incomplete rows {name}: {'. '.join(said)}."
