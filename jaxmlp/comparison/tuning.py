"""The search for a candidate's hyperparameters: what is tried next, given what was found so far.

A search knows nothing of networks and data. It is asked for trials, and is given their scores, until it asks for no
more; anything else that does so can take its place.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxmlp.comparison.spaces import Choices, Dimension, sobol_points

__docformat__ = "google"
__all__ = ["Choice", "Grid", "Neighbourhood", "Outcome", "Point", "Sampled", "Trial"]

Point = Mapping[str, float]
"""Hyperparameter -> value."""


class Trial(NamedTuple):
    """One run that a search asks for."""

    point: Point
    """The hyperparameters."""

    seed: int
    """Of the run."""

    full: bool
    """Whether to train for the full length; otherwise for the few epochs of the coarse pass."""


class Outcome(NamedTuple):
    """What a trial scored on the validation part at its end."""

    value: float
    """The score, with its sign changed where lower is better; the score's worst for a run that is not finite."""

    loss: float
    """Of the validation part; inf for a run that is not finite."""


class Choice(NamedTuple):
    """What a search has chosen."""

    point: Point
    """The hyperparameters."""

    at_edge: tuple[str, ...]
    """The hyperparameters whose value is at an end of what could be tried."""


class Grid:
    """The values of one hyperparameter on a line, widened on demand by the step of the line.

    Example:
        >>> grid = Grid("learning_rate", [0.01, 0.1, 1.0], widen=1)
        >>> [grid.point(i)["learning_rate"] for i in range(grid.first, grid.last + 1)]
        [0.001, 0.01, 0.1, 1.0, 10.0]
    """

    def __init__(self, name: str, values: Sequence[float], *, widen: int = 0):
        """Describe a grid.

        Args:
            name: of the hyperparameter.
            values: ascending; in equal steps on a logarithmic axis if the grid may be widened.
            widen: how many values may be added on each side, >= 0.
        """
        self.name, self.values = name, tuple(map(float, values))
        widen = widen if len(values) > 1 else 0
        self.first, self.last = -widen, len(values) - 1 + widen

    def point(self, index: int) -> Point:
        """Return the point at an index from first to last; 0 is the first value of the grid as given."""
        if 0 <= index < len(self.values):
            return {self.name: self.values[index]}
        steps = len(self.values) - 1
        ratio = (self.values[-1] / self.values[0]) ** (1 / steps)
        return {self.name: float(f"{self.values[0] * ratio**index:.4g}")}

    def __contains__(self, index: int) -> bool:
        """Return whether the index is one of the grid, widened as far as allowed."""
        return self.first <= index <= self.last


class Neighbourhood:
    """Search one line: a coarse pass over the grid, then the neighbours of the optimum at full length.

    1. Every value of the grid for a few epochs with one seed. A grid whose best value is at its edge is widened.
    2. The best value and its neighbours at full length with one seed, moving on until no neighbour is better.
    3. The best value and its neighbours with all seeds, moving on while a neighbour has the better mean.

    So the choice and its neighbours on both sides were trained at full length with every seed. The coarse pass is left
    out for a grid of three values or fewer, of which it could drop none.

    Example:
        >>> search = Neighbourhood(Grid("learning_rate", [0.1, 1.0]), seeds=[0, 1])
        >>> scores = {}
        >>> while trials := search.ask(scores):
        ...     scores |= {search.key(trial): Outcome(trial.point["learning_rate"] / 2, 0.1) for trial in trials}
        >>> search.choice(scores)
        Choice(point={'learning_rate': 1.0}, at_edge=('learning_rate',))
    """

    def __init__(self, grid: Grid, seeds: Sequence[int]):
        """Prepare the search.

        Args:
            grid: what may be tried.
            seeds: of the trials at full length; the coarse pass takes the first.
        """
        self.grid, self.seeds = grid, tuple(seeds)
        self._index = {self._name(grid.point(i)): i for i in range(grid.first, grid.last + 1)}
        self._given = range(len(grid.values))

    def key(self, trial: Trial) -> tuple[float, int, bool]:
        """Return what identifies a trial."""
        return self._name(trial.point), trial.seed, trial.full

    def ask(self, scores: Mapping[tuple[float, int, bool], Outcome]) -> list[Trial]:
        """Return the next trials, given the scores of all earlier ones; an empty list when the search has ended."""
        coarse, full = self._by_index(scores)
        if len(self._given) > 3:
            wanted = [i for i in self._given if i not in coarse] or self._beyond(coarse)
            if wanted and not full:
                return self._trials(wanted, self.seeds[:1], False)
        one = {i: _mean(found[:1]) for i, found in full.items()}
        done = {i: _mean(found) for i, found in full.items() if len(found) == len(self.seeds)}
        # With one seed first, since each move then costs one run.
        start = self._given if not coarse else [_best(coarse)] if not one else [_best(one)]
        missing = self._around(start) - one.keys()
        if missing and not done:
            return self._trials(sorted(missing), self.seeds[:1], True)
        centre = _best(done) if done else _best(one)
        missing = self._around([centre]) - done.keys()
        return [trial for i in sorted(missing) for trial in self._trials([i], self.seeds[len(full.get(i, [])) :], True)]

    def choice(self, scores: Mapping[tuple[float, int, bool], Outcome]) -> Choice:
        """Return the point of the best mean score over all seeds; ties go to the lower loss."""
        full = self._by_index(scores)[1]
        best = _best({i: _mean(found) for i, found in full.items() if len(found) == len(self.seeds)})
        at_edge = len(self._index) > 1 and best in (self.grid.first, self.grid.last)
        return Choice(self.grid.point(best), (self.grid.name,) if at_edge else ())

    def _name(self, point):
        return point[self.grid.name]

    def _by_index(self, scores):
        """The coarse scores, index -> score, and those at full length, index -> list of scores in order of seeds."""
        coarse, full = {}, {}
        for (value, _, long), score in sorted(scores.items(), key=lambda item: self.seeds.index(item[0][1])):
            index = self._index[value]
            if long:
                full.setdefault(index, []).append(score)
            else:
                coarse[index] = score
        return coarse, full

    def _beyond(self, coarse):
        """The value next to the best one of the coarse pass if that is at the edge of what was tried."""
        best = _best(coarse)
        return [i for i in (best - 1, best + 1) if i in self.grid and i not in coarse]

    def _around(self, indices):
        return {near for i in indices for near in (i - 1, i, i + 1) if near in self.grid}

    def _trials(self, indices, seeds, full):
        return [Trial(self.grid.point(i), seed, full) for i in indices for seed in seeds]


_FINALISTS = 3  # tries that are trained with all seeds
_EDGE = 0.05  # of a dimension, at each of its ends


class Sampled:
    """Search a space of any number of dimensions: scrambled Sobol points, of which ever fewer are trained ever longer.

    1. Every try for a few epochs with one seed.
    2. The best quarter of them, at least three, at full length with one seed; tries that failed are dropped.
    3. The best three of these with all seeds; the best mean is chosen.

    Equal spaces, numbers of tries and seeds give equal tries. The coarse pass is left out for three tries or fewer.

    Example:
        >>> from jaxmlp.comparison.spaces import uniform
        >>> search, scores = Sampled({"x": uniform(0, 1), "y": uniform(0, 1)}, 16, [0, 1], seed=0), {}
        >>> while trials := search.ask(scores):
        ...     scores |= {search.key(trial): Outcome(1 - abs(trial.point["x"] - 0.5), 0.1) for trial in trials}
        >>> len(scores), search.choice(scores).point
        (23, {'x': 0.5201, 'y': 0.4855})
    """

    def __init__(self, space: Mapping[str, Dimension], tries: int, seeds: Sequence[int], *, seed: int):
        """Draw the tries.

        Args:
            space: hyperparameter -> dimension.
            tries: points of the space, >= 1; fewer where the space has fewer.
            seeds: of the runs at full length; the coarse pass takes the first.
            seed: of the points.
        """
        self.space, self.seeds = dict(space), tuple(seeds)
        drawn = sobol_points(space, tries, seed)
        self._points = list({tuple(point.values()): point for point in drawn}.values())
        self._index = {tuple(point.values()): i for i, point in enumerate(self._points)}

    def key(self, trial: Trial) -> Hashable:
        """Return what identifies a trial."""
        return self._index[tuple(trial.point[name] for name in self.space)], trial.seed, trial.full

    def ask(self, scores: Mapping[Hashable, Outcome]) -> list[Trial]:
        """Return the next trials, given the scores of all earlier ones; an empty list when the search has ended."""
        coarse, full = self._by_index(scores)
        every = range(len(self._points))
        if len(every) > _FINALISTS and len(coarse) < len(every):
            return self._trials([i for i in every if i not in coarse], self.seeds[:1], False)
        if not full:
            return self._trials(self._hopeful(coarse) if coarse else every, self.seeds[:1], True)
        one = {i: _mean(found[:1]) for i, found in full.items()}
        finalists = _ranked(one)[:_FINALISTS]
        return [t for i in finalists for t in self._trials([i], self.seeds[len(full[i]) :], True)]

    def choice(self, scores: Mapping[Hashable, Outcome]) -> Choice:
        """Return the point of the best mean over all seeds; ties go to the lower loss."""
        full = self._by_index(scores)[1]
        best = _best({i: _mean(found) for i, found in full.items() if len(found) == len(self.seeds)})
        point = self._points[best]
        at_edge = [
            name
            for name, dimension in self.space.items()
            if not isinstance(dimension, Choices) and not _EDGE <= dimension.place(point[name]) <= 1 - _EDGE
        ]
        return Choice(point, tuple(at_edge))

    def _hopeful(self, coarse):
        alive = [i for i in _ranked(coarse) if math.isfinite(coarse[i].loss)] or _ranked(coarse)
        return alive[: max(_FINALISTS, math.ceil(len(coarse) / 4))]

    def _by_index(self, scores):
        """The coarse scores, index -> score, and those at full length, index -> list of scores in order of seeds."""
        coarse, full = {}, {}
        for (index, _, long), score in sorted(scores.items(), key=lambda item: self.seeds.index(item[0][1])):
            if long:
                full.setdefault(index, []).append(score)
            else:
                coarse[index] = score
        return coarse, full

    def _trials(self, indices, seeds, full):
        return [Trial(self._points[i], seed, full) for i in indices for seed in seeds]


def _mean(scores):
    return Outcome(float(np.mean([s.value for s in scores])), float(np.mean([s.loss for s in scores])))


def _best(scores):
    """The index of the best score; ties go to the lower loss, then to the lower index."""
    return _ranked(scores)[0]


def _ranked(scores):
    """The indices, best score first; ties go to the lower loss, then to the lower index."""
    return sorted(scores, key=lambda i: (-scores[i].value, scores[i].loss, i))
