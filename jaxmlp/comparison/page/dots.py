"""Pictures of dots: one for every run, a row for each candidate, with mean or median and its interval."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.comparison import points, summary, wording
from jaxmlp.comparison.page import svg
from jaxmlp.comparison.page.svg import Scale
from jaxmlp.comparison.summary import Summary

__docformat__ = "google"
__all__ = ["runs", "times"]

_ROW = 34  # height in pixels


def runs(problem: Mapping[str, Any], found: Summary) -> str:
    """Draw the score of every run as a dot, with mean and 95 % interval, a row for each candidate, best first.

    Args:
        problem: the record's entry of the problem.
        found: its summary.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> runs(toy.PROBLEM, summary.summarise("digits", toy.PROBLEM)).count("<circle")
        9
    """
    score, unit = wording.score_of(problem), wording.unit_of(problem)
    strips = []
    for row in found.rows:
        race = problem["candidates"][row.name]["race"]
        values = score.scale * summary.unit_values(problem, race, "test_score")
        split = problem["splits"] > 1
        titles = [f"{unit} {n}" for n in (sorted(set(race["split"])) if split else race["seeds"])]
        failed = [False] * len(values) if split else race["failed"]
        marks = [(v, f"{t}: {score.value(v / score.scale)}{score.unit}") for v, t in zip(values, titles, strict=True)]
        half = 0.0 if row.score.n == 1 else row.score.half_width
        mean = row.score.mean
        ends = (score.scale * (mean - half), score.scale * (mean + half))
        choice = f"rate {row.choice}" if points.rate_only(problem) else row.choice
        good = [mark for mark, bad in zip(marks, failed, strict=True) if not bad]
        bad = [mark for mark, bad in zip(marks, failed, strict=True) if bad]
        strips.append(_Strip(row.label, choice, score.interval(row.score), good, bad, score.scale * mean, *ends))
    inside = [value for strip in strips for value, _ in strip.dots] or [0.0, 1.0]
    # A failed run far away must not press all the others into one corner.
    ends = [end for s in strips if not s.failed for end in (s.low, s.high)]
    return _strips(strips, svg.scale([*inside, *ends], ticks=7), score.name + score.in_unit)


def times(problem: Mapping[str, Any], found: Summary, target: str) -> str:
    """Draw the seconds that every run takes to a target, with median and 95 % interval, fastest first.

    Args:
        problem: the record's entry of the problem.
        found: its summary.
        target: a key of to_target.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> times(toy.PROBLEM, summary.summarise("digits", toy.PROBLEM), "95 %").count("<circle")
        6
    """
    strips = []
    for row in sorted(found.rows, key=lambda row: found.times[target][row.name].seconds):
        time = found.times[target][row.name]
        epochs = np.array(time.epochs)
        seeds = problem["candidates"][row.name]["race"]["seeds"]
        each = epochs * math.exp(np.log(problem["candidates"][row.name]["timing"]["seconds_per_epoch"]).mean())
        dots = [
            (value, f"seed {seed}: {value:.3g} s, {count:g} epochs")
            for value, seed, count in zip(each, seeds, epochs, strict=True)
            if math.isfinite(value)
        ]
        never = len(epochs) - len(dots)
        note = f"{never} of {len(epochs)} never" if never and dots else ""
        value = f"{wording.seconds(time.seconds)} s" if math.isfinite(time.seconds) else "never"
        strips.append(_Strip(row.label, note, value, dots, [], time.seconds, time.low, time.high))
    values = [value for strip in strips for value, _ in strip.dots]
    values += [strip.high for strip in strips if math.isfinite(strip.high)]
    return _strips(strips, svg.scale([0.0, *values], ticks=7, pad=0.03), "seconds of training")


class _Strip(NamedTuple):
    """One row of a picture of dots."""

    label: str
    note: str
    value: str
    dots: list[tuple[float, str]]
    failed: list[tuple[float, str]]
    middle: float
    low: float
    high: float


def _strips(strips: Sequence[_Strip], x: Scale, axis: str) -> str:
    """A row of dots for each candidate, and the axis below."""
    rows = []
    for strip in strips:
        lines = "".join(
            f'<line class="grid" x1="{x.at(tick):.2f}%" x2="{x.at(tick):.2f}%" y1="0" y2="{_ROW}"/>' for tick in x.ticks
        )
        low, high = x.inside(strip.low), x.inside(strip.high)
        lines += f'<rect class="band" x="{low:.2f}%" width="{max(0.0, high - low):.2f}%" y="8" height="{_ROW - 16}"/>'
        off = math.isfinite(strip.middle) and not -1 <= x.at(strip.middle) <= 101
        if math.isfinite(strip.middle) and not off:
            middle = x.inside(strip.middle)
            lines += f'<line class="mean" x1="{middle:.2f}%" x2="{middle:.2f}%" y1="4" y2="{_ROW - 4}"/>'
        places = [x.inside(value) for value, _ in [*strip.dots, *strip.failed]]
        shifts = [_ROW / 2 + shift for shift in _spread(places)]
        count = len(strip.dots)
        for place, shift, (_, title) in zip(places[:count], shifts[:count], strip.dots, strict=True):
            lines += svg.dot(place, shift, "dot", title)
        for place, shift, (_, title) in zip(places[count:], shifts[count:], strip.failed, strict=True):
            lines += svg.cross(place, shift, f"{title}, failed")
        picture = svg.box(lines, _ROW, f"{strip.label}: {strip.value} {strip.note}".strip())
        notes = [note for note in (strip.note, "mean off the axis" if off else "") if note]
        note = f" <small>{html.escape(', '.join(notes))}</small>" if notes else ""
        rows.append(
            f"<div class=row><div class=name>{html.escape(strip.label)}{note}</div><div class=strip>{picture}</div>"
            f"<div class=value>{html.escape(strip.value)}</div></div>"
        )
    digits = max((len(f"{tick:.10g}".partition(".")[2]) for tick in x.ticks), default=0)
    ticks = svg.box(svg.across(x._replace(), 0, f"{{:.{digits}f}}"), 22, axis)
    rows.append(f"<div class=axis><div class=strip>{ticks}</div><div class=unit>{html.escape(axis)}</div></div>")
    return f"<div class=strips>{''.join(rows)}</div>"


def _spread(places):
    """Shifts in pixels that keep dots at nearly the same place apart."""
    shifts, taken = [0.0] * len(places), []
    for i in sorted(range(len(places)), key=lambda i: places[i]):
        for shift in (0.0, 6.0, -6.0, 12.0, -12.0, 3.0, -3.0):
            if all(abs(places[i] - x) >= 1.1 or abs(shift - y) >= 5 for x, y in taken):
                break
        shifts[i] = shift
        taken.append((places[i], shift))
    return shifts
