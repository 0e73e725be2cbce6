"""The pictures: the surface with both ways of tuning, the learnt schedule, and where gradients stop to help."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxmlp.comparison.drawing import new


def surface(log_rates: Any, logits: Any, heights: Any, path: Any, tried: Any, end: Any) -> Figure:
    """Draw the validation loss over learning rate and momentum, the path of the gradient and the draws of the search.

    Args:
        log_rates: (rates,).
        logits: (momenta,).
        heights: (rates, momenta).
        path: hyperparameters at each step of tuning.
        tried: those of the search.
        end: where the path ends.
    """
    figure, (ax,) = new(1, (7.2, 5.0))
    shown = np.where(np.isfinite(heights), np.minimum(heights, 5), 5)
    filled = ax.contourf(
        np.exp(log_rates), logits, shown.T, levels=np.geomspace(0.9 * shown.min(), 5, 18), cmap="viridis_r"
    )
    figure.colorbar(filled, ax=ax, label="validation loss (5 and more in one colour)", format="%.2g")
    ax.plot(np.exp(tried.log_rate), tried.logit, ".", color="white", mec="k", ms=6, mew=0.5, label="random search")
    rates, momenta = np.append(path.log_rate, end.log_rate), np.append(path.logit, end.logit)
    ax.plot(np.exp(rates), momenta, "-o", color="#D55E00", ms=3, label="gradient through training")
    ticks = np.array([0.2, 0.5, 0.8, 0.9, 0.98])
    ax.set_yticks(np.log(ticks / (1 - ticks)), [f"{tick:g}" for tick in ticks])
    ax.set(xscale="log", xlabel="learning rate", ylabel="momentum", ylim=(logits[0], logits[-1]))
    ax.set(xlim=(np.exp(log_rates[0]), np.exp(log_rates[-1])))
    ax.legend(fontsize=9, loc="lower left")
    return figure


def schedule(learnt: Any, cosine: Any) -> Figure:
    """Draw the learnt learning rate and momentum of each layer by tenth of training, beside those of the cosine.

    Args:
        learnt: hyperparameters with a row per tenth.
        cosine: hyperparameters of the cosine schedule.
    """
    figure, (top, bottom) = new(2, (6.4, 6.4))
    rates, momenta = np.exp(np.asarray(learnt.log_rate)), _momentum(np.asarray(learnt.logit))
    edges = np.linspace(0, 1, len(rates) + 1)
    for ax, columns in ((top, rates.T), (bottom, momenta.T)):
        for name, column, colour in zip(("hidden layer", "output layer"), columns, ("#0072B2", "#D55E00"), strict=True):
            ax.stairs(column, edges, baseline=None, color=colour, label=name, linewidth=1.8)
    at = np.linspace(0, 1, 200)
    top.plot(at, np.exp(float(cosine.log_rate)) * (1 + np.cos(np.pi * at)) / 2, "k--", label="cosine, searched")
    bottom.axhline(_momentum(float(cosine.logit)), color="k", linestyle="--")
    top.set(ylabel="learning rate", yscale="log", ylim=(rates.min() / 5, None))
    bottom.set(xlabel="share of training", ylabel="momentum", ylim=(None, 1))
    top.legend(fontsize=9, frameon=False)
    return figure


def limits(log_rates: Any, long: Any, short: Any, slopes: Any, epochs: int) -> Figure:
    """Draw the loss after one and after all epochs by learning rate, and the size of the gradient below.

    Args:
        log_rates: (rates,).
        long: (rates,), losses after all epochs.
        short: (rates,), losses after one epoch.
        slopes: (rates,), derivatives by the logarithm of the rate.
        epochs: of the long runs.
    """
    figure, (top, bottom) = new(2, (6.4, 6.6))
    rates = np.exp(log_rates)
    for losses, look, name in ((long, "-", f"{epochs} epochs"), (short, "--", "1 epoch")):
        top.plot(rates, np.where(np.isfinite(losses), losses, np.nan), look, color="#0072B2", label=name)
    top.set(xscale="log", yscale="log", ylabel="validation loss")
    top.legend(frameon=False)
    for sign, colour, name in ((-1, "#009E73", "a higher rate helps"), (1, "#D55E00", "a lower rate helps")):
        chosen = np.isfinite(slopes) & (np.sign(slopes) == sign)
        bottom.plot(rates[chosen], np.abs(slopes[chosen]), "o", color=colour, label=name)
    bottom.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="|d loss / d log rate|", xlim=top.get_xlim())
    bottom.legend(frameon=False)
    return figure


def _momentum(logit):
    return 1 / (1 + np.exp(-logit))
