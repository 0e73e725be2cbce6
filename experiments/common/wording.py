"""Phrases of notes, titles and tables that hold for one seed as well as for several."""

from typing import Any

import numpy as np

__all__ = ["at_least", "counted", "over_seeds", "percent", "span"]


def counted(n: int, noun: str) -> str:
    """Write a number of things: "1 seed", "5 seeds", "1,000 runs"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def over_seeds(n: int) -> str:
    """Write which seeds something is about: "seed 0", "5 seeds"."""
    return "seed 0" if n == 1 else counted(n, "seed")


def span(values: Any, form: str = ".2f") -> str:
    """Write the range of values, or the one value that they all are once rounded: "97.75 to 98.18", "98.18"."""
    low, high = f"{np.min(values):{form}}", f"{np.max(values):{form}}"
    return low if low == high else f"{low} to {high}"


def percent(probability: float, decimals: int = 2) -> str:
    """Write a probability in percent, never rounded to certainty: "12.30 %", ">99.99 %", "<0.01 %"."""
    edge = 10.0 ** -(decimals + 2)
    if probability > 1 - edge:
        return f">{100 * (1 - edge):.{decimals}f} %"
    if probability < edge:
        return f"<{100 * edge:.{decimals}f} %"
    return f"{100 * probability:.{decimals}f} %"


def at_least(probability: float, decimals: int = 2) -> str:
    """Write a lower bound of probabilities in percent: "99.98 % or more", "more than 99.99 %"."""
    text = percent(probability, decimals)
    return f"more than {text[1:]}" if text.startswith(">") else f"{text} or more"
