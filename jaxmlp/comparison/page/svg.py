"""Small pictures as inline SVG, in the colours of the page and as wide as the screen.

A picture is an <svg> as wide as its box, of a fixed height in pixels. Places along x are percentages, so that text and
marks keep their size on a phone; lines and bands are drawn in a nested <svg> of 100 x 100 units that is stretched.
Labels of the axes lie outside the box, in the padding that the page gives it.
"""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__docformat__ = "google"
__all__ = ["Scale", "across", "band", "box", "cross", "dot", "frame", "grid", "line", "scale", "step", "text"]

_SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


class Scale(NamedTuple):
    """An axis, from its lower end (0) to its upper end (100)."""

    low: float
    """Value at 0."""

    high: float
    """Value at 100."""

    logarithmic: bool
    """Whether equal ratios have equal lengths."""

    ticks: list[float]
    """Values to label."""

    def at(self, value: float) -> float:
        """Return where a value lies, in percent of the axis."""
        if self.logarithmic:
            return 100 * math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        return 100 * (value - self.low) / (self.high - self.low)

    def inside(self, value: float) -> float:
        """Return where a value lies, or the end of the axis that it is beyond."""
        return min(100.0, max(0.0, self.at(value))) if math.isfinite(value) else 100.0 * (value > 0)


def scale(
    values: Sequence[float] | np.ndarray, *, logarithmic: bool = False, ticks: int = 5, pad: float = 0.05
) -> Scale:
    """Return an axis that holds all finite values, with round ticks.

    Args:
        values: what is drawn; on a logarithmic axis only positive ones count.
        logarithmic: whether equal ratios have equal lengths.
        ticks: about as many as there should be.
        pad: room at each end, as a share of the axis.

    Example:
        >>> scale([0.0, 10.0], pad=0.0).ticks
        [0, 2, 4, 6, 8, 10]
        >>> scale([0.5, 80.0], logarithmic=True).ticks
        [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    """
    values = np.asarray(values, float).ravel()
    values = values[np.isfinite(values) & ((values > 0) | (not logarithmic))]
    low, high = (float(values.min()), float(values.max())) if len(values) else (1.0, 2.0)
    if logarithmic:
        if high / low < 1.05:
            low, high = low / 1.1, high * 1.1
        room = (high / low) ** pad
        low, high = low / room, high * room
        return Scale(low, high, True, _log_ticks(low, high, ticks))
    if high - low <= 1e-9 * max(1.0, abs(high)):
        half = 0.05 * abs(high) or 1.0
        low, high = low - half, high + half
    room = pad * (high - low)
    low, high = low - room, high + room
    return Scale(low, high, False, _linear_ticks(low, high, ticks))


def box(content: str, height: int, label: str) -> str:
    """Wrap the content of a picture.

    Args:
        content: SVG elements.
        height: in pixels.
        label: what the picture shows, for those who cannot see it.

    Example:
        >>> box("", 20, "nothing")
        '<svg width="100%" height="20" role="img" aria-label="nothing"></svg>'
    """
    return f'<svg width="100%" height="{height}" role="img" aria-label="{html.escape(label)}">{content}</svg>'


def frame(content: str) -> str:
    """Return the nested picture of 100 x 100 units in which line, band and step draw, y upwards from 0 to 100.

    Example:
        >>> frame("").startswith('<svg viewBox="0 0 100 100"')
        True
    """
    return f'<svg viewBox="0 0 100 100" width="100%" height="100%" preserveAspectRatio="none">{content}</svg>'


def line(x: Sequence[float], y: Sequence[float], kind: str) -> str:
    """Return a line through points in percent, y upwards, with a gap wherever a number is not finite.

    Example:
        >>> line([0, 50, 100], [0, float("nan"), 100], "own")
        '<path class="own" d="M0 100M100 0"/>'
    """
    return f'<path class="{kind}" d="{_path(x, y)}"/>'


def band(x: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    """Return the area between two lines in percent, left out where either has no number.

    Example:
        >>> band([0, 100], [0, 0], [50, 50])
        '<path class="band" d="M0 100L100 100L100 50L0 50Z"/>'
    """
    known = np.isfinite(low) & np.isfinite(high)
    places, below, above = (np.asarray(values, float)[known] for values in (x, low, high))
    if len(places) < 2:
        return ""
    path = _path([*places, *places[::-1]], [*below, *above[::-1]])
    return f'<path class="band" d="{path}Z"/>'


def step(x: Sequence[float], y: Sequence[float], kind: str) -> str:
    """Return a line that keeps each value until the next point, in percent.

    Example:
        >>> step([0, 100], [0, 50], "own")
        '<path class="own" d="M0 100L100 100L100 50"/>'
    """
    xs, ys = [x[0]], [y[0]]
    for i in range(1, len(x)):
        if y[i] != ys[-1]:
            xs, ys = [*xs, x[i], x[i]], [*ys, ys[-1], y[i]]
    return line([*xs, x[-1]], [*ys, ys[-1]], kind) if xs[-1] != x[-1] else line(xs, ys, kind)


def dot(x: float, y: float, kind: str, title: str = "", radius: float = 3.2) -> str:
    """Return a dot at x percent and y pixels or, as a string with its unit, percent.

    Example:
        >>> dot(50, 10, "own", "seed 1")
        '<circle class="own" cx="50%" cy="10" r="3.2"><title>seed 1</title></circle>'
    """
    return f'<circle class="{kind}" cx="{_n(x)}%" cy="{y}" r="{radius:g}">{_title(title)}</circle>'


def cross(x: float, y: float | str, title: str = "") -> str:
    """Return the mark of a failed run at x percent and y pixels, or a percentage.

    Example:
        >>> cross(50, 10)
        '<text class="failed" x="50%" y="10" dy="0.35em" text-anchor="middle">&#215;</text>'
    """
    return f'<text class="failed" x="{_n(x)}%" y="{y}" dy="0.35em" text-anchor="middle">{_title(title)}&#215;</text>'


def across(scale: Scale, bottom: int, form: str = "{:g}") -> str:
    """Return the labels of a horizontal axis, below a picture of the given height, and its grid lines.

    Args:
        scale: of the axis.
        bottom: height of the picture in pixels.
        form: how a tick is written; "power" for powers of ten.

    Example:
        >>> across(Scale(0, 1, False, [0.5]), 100)[:65]
        '<line class="grid" x1="50%" x2="50%" y1="0" y2="100"/><text class'
    """
    parts = []
    for tick in scale.ticks:
        x = f"{_n(scale.at(tick))}%"
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{x}" y="{bottom}" dy="1.3em" text-anchor="middle">{_tick(tick, form)}</text>'
        )
    return "".join(parts)


def grid(scale: Scale, form: str = "{:g}") -> str:
    """Return the labels of a vertical axis, left of a picture, and its grid lines.

    Args:
        scale: of the axis.
        form: how a tick is written.

    Example:
        >>> grid(Scale(0, 1, False, [0.5]))[:62]
        '<line class="grid" x1="0" x2="100%" y1="50%" y2="50%"/><text c'
    """
    parts = []
    for tick in scale.ticks:
        y = f"{_n(100 - scale.at(tick))}%"
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text class="tick" x="0" dx="-6" y="{y}" dy="0.35em" text-anchor="end">{_tick(tick, form)}</text>'
        )
    return "".join(parts)


def text(x: float, y: float, content: str, anchor: str = "middle") -> str:
    """Return a note at x percent and y pixels.

    Example:
        >>> text(0, 12, "a < b", "start")
        '<text class="tick" x="0%" y="12" text-anchor="start">a &lt; b</text>'
    """
    return f'<text class="tick" x="{_n(x)}%" y="{y}" text-anchor="{anchor}">{html.escape(content)}</text>'


def _path(x, y):
    parts, pen = [], "M"
    for a, b in zip(x, y, strict=True):
        if math.isfinite(a) and math.isfinite(b):
            parts.append(f"{pen}{_n(a)} {_n(100 - b)}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)


def _linear_ticks(low, high, count):
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    width = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / width - 1e-9)
    return [round(i * width, 12) for i in range(first, math.floor(high / width + 1e-9) + 1)]


def _log_ticks(low, high, count):
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    choices = [(1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)]
    found: list[float] = []
    for factors in choices:
        more = [round(f * 10.0**d, 12 - d) for d in decades for f in factors if low <= f * 10.0**d <= high]
        if len(more) > 1.8 * count and len(found) > 1:
            break
        found = more
        if len(found) >= count:
            break
    if len(found) < 2:
        return _linear_ticks(low, high, count)
    return found[:: math.ceil(len(found) / (2 * count))]


def _tick(value, form):
    if form == "power":
        exponent = math.log10(value)
        if abs(exponent - round(exponent)) < 1e-6:
            return "1" if round(exponent) == 0 else "10" + str(round(exponent)).translate(_SUPERSCRIPT)
        form = "{:g}"
    return form.format(value)


def _title(content):
    return f"<title>{html.escape(content)}</title>" if content else ""


def _n(value):
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"
