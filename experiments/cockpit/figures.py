"""The picture of the edge of stability."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from jaxmlp.comparison.drawing import logarithmic, new

EDGE = (
    "Lower: solid, the sharpness of the full training loss; dashed, 2 / learning rate, above which gradient descent "
    "cannot converge on a quadratic. Sharpness rises until it reaches the line and then hovers there, while the loss "
    "keeps falling though no longer at every step (Cohen et al., 2021)."
)


def edge(runs: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw sharpness against 2 / learning rate, and the loss above it.

    Args:
        runs: learning rate -> instrument -> Readings.
    """
    figure, (top, bottom) = new(2, (8.0, 7.6))
    for (rate, readings), colour in zip(runs.items(), ("#0072B2", "#009E73", "#D55E00"), strict=False):
        top.plot(readings["loss"].steps, readings["loss"].values, color=colour, linewidth=1.0)
        sharpness = readings["largest_eigenvalue"]
        bottom.plot(sharpness.steps, sharpness.values, color=colour)
        limit = 2 / float(rate)
        bottom.axhline(limit, color=colour, linestyle="--", linewidth=1.1)
        text = f"learning rate {rate}: 2 / {rate} = {limit:.3g}"
        bottom.annotate(text, (1.0, limit), xycoords=("axes fraction", "data"), ha="right",
                        xytext=(0, 4), textcoords="offset points", color=colour, fontsize=10)  # fmt: skip
    logarithmic(top)
    top.set(ylabel="training loss")
    top.set_title("Full-batch gradient descent makes the loss as sharp as its learning rate allows", fontsize=12)
    bottom.set(xlabel="step", ylabel="sharpness (largest eigenvalue of the Hessian)", ylim=(0, None))
    bottom.set_ylim(top=1.12 * bottom.get_ylim()[1])
    return figure
