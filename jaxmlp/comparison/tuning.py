"""The search for a candidate's hyperparameters: what is tried next, given what was found so far.

A search knows nothing of networks and data. It is asked for trials, and is given their scores, until it asks for no
more; anything else that does so can take its place.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

__docformat__ = "google"
__all__ = ["Choice", "Grid", "Neighbourhood", "Outcome", "Point", "Trial"]

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

    at_edge: bool
    """Whether a neighbour is missing, because the grid ends there and was not to be widened further."""


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
        Choice(point={'learning_rate': 1.0}, at_edge=True)
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
        return Choice(self.grid.point(best), at_edge)

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


def _mean(scores):
    return Outcome(float(np.mean([s.value for s in scores])), float(np.mean([s.loss for s in scores])))


def _best(scores):
    """The index of the best score; ties go to the lower loss, then to the lower index."""
    return min(scores, key=lambda i: (-scores[i].value, scores[i].loss, i))
