"""Pictures of lines: a panel for each candidate, its own line in colour and the others' in grey."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.comparison import points, statistics, wording
from jaxmlp.comparison.page import svg
from jaxmlp.comparison.page.svg import Scale
from jaxmlp.comparison.store import quoted
from jaxmlp.comparison.summary import Summary

__docformat__ = "google"
__all__ = ["axis", "budget", "curves", "drawn", "profile", "sensitivity"]

_HEIGHT = 132  # in pixels

Curves = Mapping[str, np.ndarray]


def curves(problem: Mapping[str, Any], found: Summary, of: Curves, quantity: str) -> str:
    """Draw a quantity by epoch, a panel for each candidate: its mean and range, the others' means in grey.

    Args:
        problem: the record's entry of the problem.
        found: its summary.
        of: the problem's curves, candidate/race/quantity -> (runs, epochs).
        quantity: test_score, of which drawn says what is drawn, or a loss.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> curves(toy.PROBLEM, summary.summarise("digits", toy.PROBLEM), toy.CURVES, "test_score").count("<svg")
        6
    """
    lines, scored = {}, quantity == "test_score"
    for row in found.rows:
        values = np.asarray(of[f"{quoted(row.name)}/race/{quantity}"], float)
        lines[row.label] = drawn(values, problem, "test") if scored else values
    finite = {label: np.where(np.isfinite(values), values, np.nan) for label, values in lines.items()}
    epochs = next(iter(finite.values())).shape[1]
    x = svg.scale([1, epochs], ticks=4, pad=0.02)
    y = axis([*finite.values()], problem) if scored else _positive([*finite.values()])
    at = [x.at(epoch) for epoch in range(1, epochs + 1)]
    x = x._replace(ticks=[tick for tick in x.ticks if tick == round(tick) and tick >= 1])
    places = {
        label: _Place(at, _each(y, v.mean(0)), _each(y, v.min(0)), _each(y, v.max(0))) for label, v in finite.items()
    }
    unit = wording.score_of(problem).unit if scored else ""
    means = {label: values[:, -1].mean() for label, values in lines.items()}
    ends = {label: _three(mean) + unit if np.isfinite(mean) else "not finite" for label, mean in means.items()}
    return _panels(places, x, y, ends, "epoch")


def sensitivity(problem: Mapping[str, Any], found: Summary, name: str = "learning_rate") -> str:
    """Draw the validation score by a hyperparameter: short runs as rings, those of full length as dots.

    Failed runs are crosses. Where nothing else was searched, a line goes through the short runs, or through those of
    full length where no others are there: runs of unequal length are not joined.

    Args:
        problem: the record's entry of the problem.
        found: its summary.
        name: of the hyperparameter; candidates without it are left out.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> sensitivity(toy.PROBLEM, summary.summarise("digits", toy.PROBLEM)).count("failed<")
        1
    """
    rows = [row for row in found.rows if name in problem["candidates"][row.name]["space"]]
    how = points.axis_of(name, problem)
    tuned = {row.label: _tuned(problem, row.name, name, how) for row in rows}
    drawn_at = [place for runs in tuned.values() for place, _, _, _ in runs]
    logarithmic = how.logarithmic and min(drawn_at) > 0
    x = svg.scale(drawn_at, logarithmic=logarithmic, pad=0.03, ticks=5 if logarithmic else 3)
    if logarithmic:
        ticks = [t for t in x.ticks if abs(math.log10(t) - round(math.log10(t))) < 1e-9]
        x = x._replace(ticks=ticks[:: 2 if x.high / x.low > 1e5 else 1] or x.ticks)
    y = axis([[value for runs in tuned.values() for _, value, _, _ in runs]], problem, pad=0.06)
    places, marks, ends = {}, {}, {}
    for row in rows:
        places[row.label] = _through_equal(tuned[row.label], x, y) if points.rate_only(problem) else _Place([], [])
        chosen = problem["candidates"][row.name]["choices"][0]["hyperparameters"][name]
        ends[row.label] = wording.rate(chosen)
        place = f"{x.at(how.place(chosen)):.2f}%"
        marks[row.label] = f'<line class="chosen" x1="{place}" x2="{place}" y1="0" y2="100%"/>' + "".join(
            svg.cross(x.at(at), f"{100 - y.inside(value):.2f}%", title)
            if failed
            else _dot(x.at(at), f"{100 - y.inside(value):.2f}%", "dot" if full else "ring", title)
            for (at, value, failed, full), title in zip(tuned[row.label], _titles(problem, row.name), strict=True)
        )
    form = "power" if logarithmic else "{:g}"
    return _panels(places, x, y, ends, how.label, marks=marks, form=form, others=False)


def _through_equal(runs, x, y):
    """A line through the means of the runs of each value: of the short ones, if there are any."""
    short = [run for run in runs if not run[3]]
    means: dict[float, list[float]] = {}
    for at, value, _, _ in sorted(short or runs):
        means.setdefault(at, []).append(value)
    return _Place([x.at(at) for at in means], _each(y, [float(np.mean(values)) for values in means.values()]))


def _three(value):
    """A number in three significant digits, zeros at the end kept."""
    return f"{value:#.3g}".removesuffix(".")


def budget(problem: Mapping[str, Any], found: Summary) -> str:
    """Draw the expected validation score of the best of k tries: of learning rates in windows of equal width, or of
    samples of the whole space.

    Args:
        problem: the record's entry of the problem.
        found: its summary.

    Returns:
        The picture; empty if there are fewer than three tries to draw from.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> budget(toy.PROBLEM, summary.summarise("digits", toy.PROBLEM))
        ''
    """
    coarse = {row.name: _coarse(problem, row.name) for row in found.rows}
    sign = 1 if wording.score_of(problem).higher_is_better else -1
    kept = {name: list(scores.values()) for name, scores in coarse.items()}
    if _gridded(problem):
        kept = _in_windows({name: {p[0]: s for p, s in scores.items()} for name, scores in coarse.items()}, sign)
    if min(map(len, kept.values())) < 3:
        return ""
    expected, lows, highs = {}, {}, {}
    for row in found.rows:
        scores = [sign * score for score in kept[row.name]]
        ends = [sign * values for values in (statistics.expected_best(scores), *statistics.expected_best_band(scores))]
        middle, *band = [drawn(values, problem, "validation") for values in ends]
        expected[row.label], lows[row.label], highs[row.label] = middle, np.minimum(*band), np.maximum(*band)
    count = max(map(len, expected.values()))
    x = svg.scale([1, count], ticks=4, pad=0.03)
    x = x._replace(ticks=[tick for tick in x.ticks if tick == round(tick) and tick >= 1])
    y = axis([*expected.values(), *lows.values(), *highs.values()], problem)
    places = {
        label: _Place([x.at(k + 1) for k in range(len(values))], *(_each(y, v[label]) for v in (expected, lows, highs)))
        for label, values in expected.items()
    }
    unit = wording.score_of(problem).unit
    after = {label: _three(values[min(2, len(values) - 1)]) + unit for label, values in expected.items()}
    return _panels(places, x, y, after, "learning rates tried" if _gridded(problem) else "tries")


def _gridded(problem):
    return all(entry["search"] == "grid" for entry in problem["candidates"].values())


def _in_windows(coarse, sign):
    """The scores of the learning rates in a window around each candidate's optimum, which is as wide for all."""
    # The optimum of the runs that are drawn from: where full-length runs disagree, by a step at most.
    optima = {name: max(scores, key=lambda rate: sign * scores[rate]) for name, scores in coarse.items()}
    windows = statistics.common_window({name: sorted(scores) for name, scores in coarse.items()}, optima)
    return {name: [coarse[name][sorted(coarse[name])[i]] for i in inside] for name, inside in windows.items()}


def profile(found: Mapping[str, Mapping[str, float | None]], largest: float = 4.0) -> str:
    """Draw the performance profile over all problems and targets, a panel for each candidate.

    Args:
        found: candidate -> {"problem, target": seconds, None for never}.
        largest: the largest ratio drawn.

    Example:
        >>> profile({"sgd": {"digits, 95 %": 1.0}, "adam": {"digits, 95 %": 2.0}}).count('class="own"')
        2
    """
    ratios = np.linspace(1, largest, 121)
    shares = statistics.performance_profile(found, ratios)
    x, y = svg.scale([1, largest], ticks=3, pad=0.02), svg.scale([0, 1], ticks=2)
    scores = statistics.profile_score(found, largest)
    order = sorted(shares, key=lambda name: -scores[name])
    places = {wording.display(name): _Place([x.at(r) for r in ratios], _each(y, shares[name])) for name in order}
    ends = {wording.display(name): f"score {scores[name]:.2f}" for name in order}
    return _panels(places, x, y, ends, "multiple of the fastest time", draw=svg.step)


def drawn(values: Any, problem: Mapping[str, Any], part: str) -> np.ndarray:
    """Return what is drawn of scores: of accuracies the error in percent, of others the score itself.

    No error at all becomes half an example, which a logarithmic axis can show.

    Args:
        values: of the score, of any shape.
        problem: the record's entry of the problem.
        part: of the data that was measured: validation or test.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> drawn([0.75, 1.0], toy.PROBLEM, "test").round(3).tolist()
        [25.0, 0.139]
    """
    score, values = wording.score_of(problem), np.asarray(values, float)
    if not score.percent:
        return score.scale * values
    error = 1 - values if score.higher_is_better else values
    return np.maximum(100 * error, 50 / problem["examples"][part])


def axis(values: Sequence[Any], problem: Mapping[str, Any], pad: float = 0.05) -> Scale:
    """Return the axis for what drawn returns: logarithmic for errors and losses, linear for scores that rise.

    What is much worse than the rest is left out, such as the first epochs or rates that are far too large.

    Args:
        values: arrays of values as drawn.
        problem: the record's entry of the problem.
        pad: room at each end, as a share of the axis.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> axis([[10.0, 100.0]], toy.PROBLEM).logarithmic
        True
    """
    score = wording.score_of(problem)
    finite = np.concatenate([np.ravel(np.asarray(v, float)) for v in values])
    finite = finite[np.isfinite(finite)]
    if score.percent:
        y = svg.scale(finite, logarithmic=True, ticks=4, pad=pad)
        return y._replace(ticks=[tick for tick in y.ticks if tick <= 100])
    if not score.higher_is_better and np.all(finite > 0):
        near = finite[finite <= 1e3 * np.median(finite)] if len(finite) else finite
        return svg.scale(near, logarithmic=True, ticks=4, pad=pad)
    if len(finite):
        good, bad = (np.max, np.min) if score.higher_is_better else (np.min, np.max)
        best = good(finite)
        reach = 8 * abs(np.median(finite) - best) or abs(bad(finite) - best)
        finite = finite[np.abs(finite - best) <= reach]
    return svg.scale(finite, ticks=4, pad=pad)


class _Place(NamedTuple):
    """A line and perhaps a band, in percent of the panel."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def _panels(places, x, y, ends, axis, *, marks=None, form="{:g}", others=True, draw=svg.line):
    """A panel for each candidate."""
    parts = []
    for label, place in places.items():
        grey = "".join(draw(p.x, p.y, "other") for name, p in places.items() if name != label) if others else ""
        area = "" if place.low is None or place.high is None else svg.band(place.x, place.low, place.high)
        drawn = svg.grid(y) + svg.across(x, _HEIGHT, form) + svg.frame(grey + area + draw(place.x, place.y, "own"))
        picture = svg.box(drawn + (marks[label] if marks else ""), _HEIGHT, f"{label}, by {axis}")
        title = f"<b>{html.escape(label)}</b><span>{html.escape(ends[label])}</span>"
        parts.append(f"<div class=panel><div class=head>{title}</div><div class=plot>{picture}</div></div>")
    return f"<div class=panels>{''.join(parts)}</div>"


def _dot(x, y, kind, title):
    return f'<circle class="{kind}" cx="{x:.2f}%" cy="{y}" r="2.6"><title>{html.escape(title)}</title></circle>'


def _positive(values):
    """A logarithmic axis, or a linear one for values that are not all positive."""
    finite = np.concatenate([np.ravel(v) for v in values]) if values else np.zeros(0)
    finite = finite[np.isfinite(finite)]
    return svg.scale(finite, logarithmic=bool(np.all(finite > 0)), ticks=4)


def _each(y, values):
    return [y.at(value) if math.isfinite(value) else math.nan for value in values]


def _tuned(problem, name, hyperparameter, how):
    """The tuning runs of the first split: (place on the axis, validation score as drawn, failed, of full length)."""
    full = problem["tuning"]["full"]["epochs"]
    return [
        (
            how.place(run["hyperparameters"][hyperparameter]),
            float(drawn(_number(run["validation_score"], problem), problem, "validation")),
            run["failed"],
            run["epochs"] >= full,
        )
        for run in problem["candidates"][name]["tuning"]
        if run["split"] == 0
    ]


def _titles(problem, name):
    return [
        ("rate " if points.rate_only(problem) else "")
        + f"{points.in_words(run['hyperparameters'], problem)}, seed {run['seed']}, "
        + wording.count(run["epochs"], "epoch")
        + (", failed" if run["failed"] else "")
        for run in problem["candidates"][name]["tuning"]
        if run["split"] == 0
    ]


def _coarse(problem, name):
    """Mean validation score of the short runs of each try; of all runs where there are no short ones."""
    scores: dict[tuple[float, ...], list[float]] = {}
    tuning = problem["tuning"]
    epochs = tuning["coarse" if tuning["coarse"]["seeds"] else "full"]["epochs"]
    for run in problem["candidates"][name]["tuning"]:
        if run["split"] == 0 and run["epochs"] == epochs:
            scores.setdefault(tuple(run["hyperparameters"].values()), []).append(
                _number(run["validation_score"], problem)
            )
    finite = {point: values for point, values in scores.items() if np.isfinite(values).all()}
    scores = finite or scores
    return {point: float(np.mean(values)) for point, values in scores.items()}


def _number(value, problem):
    """A score that is not finite, null in the record, counts as the worst there is."""
    if value is not None:
        return value
    score = wording.score_of(problem)
    if score.percent:
        return float(not score.higher_is_better)
    return -math.inf if score.higher_is_better else math.inf
