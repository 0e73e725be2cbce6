"""The race's verdicts: how often they are looked at, which runs each look counts, and what is said of every pair."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmlp.comparison import verdicts
from jaxmlp.comparison.store import Arrays
from jaxmlp.comparison.verdicts import Runs

__docformat__ = "google"
__all__ = [
    "CONFIDENCE",
    "ERROR",
    "Look",
    "added_look",
    "confidence",
    "open_candidates",
    "planned_looks",
    "power",
    "runs_of",
    "update",
]

CONFIDENCE, ERROR = 0.95, 0.05
"""Of all intervals of one problem together, and the probability that any of them is wrong."""


class Look(NamedTuple):
    """One look at the race: all pairs without a verdict are tested."""

    seeds: int
    """Runs of each candidate that count, the first ones."""

    error: float
    """Probability that this look makes any false claim, at most."""


def planned_looks(seeds: int, most: int | None = None) -> list[Look]:
    """Return the looks at a race: one, or one after every further batch of seeds.

    Args:
        seeds: runs of each candidate at the first look, and in each batch after it.
        most: runs at the last look; None: there is one look.

    Example:
        >>> [(look.seeds, round(look.error, 4)) for look in planned_looks(10, 25)]
        [(10, 0.0019), (20, 0.0265), (25, 0.0216)]
    """
    if most is None:
        return [Look(seeds, ERROR)]
    counts = [*range(seeds, most, seeds), most]
    return [Look(n, e) for n, e in zip(counts, verdicts.spend([n / most for n in counts], ERROR), strict=True)]


def added_look(added: int, seeds: int) -> Look:
    """Return a look that nobody planned, at a finished race that is extended.

    The earlier looks have spent the error probability already. The first added look may err with half of it, the next
    with a quarter, and so on; so the claims of all looks together are false with less than twice the probability,
    however often the race is extended.

    Args:
        added: looks that were added before.
        seeds: runs of each candidate that there are now.

    Example:
        >>> added_look(0, 20)
        Look(seeds=20, error=0.025)
    """
    return Look(seeds, ERROR / 2 ** (added + 1))


def confidence(looks: Sequence[Look], added: int) -> float:
    """Return the probability that all intervals of a race hold together: each added look lowers it.

    Args:
        looks: all of them.
        added: how many of them, the last ones, nobody planned.

    Example:
        >>> round(confidence([Look(10, 0.05), added_look(0, 20)], 1), 9)
        0.925
    """
    return CONFIDENCE - sum(look.error for look in looks[len(looks) - added :])


def runs_of(table: Arrays, seeds: int, splits: int, examples: int) -> Runs:
    """Return what the verdicts take of one candidate.

    With one split each run counts. With more, each split does: the runs of a split share its choice, so that only the
    splits are independent.

    Args:
        table: of the race, in the order of the seeds.
        seeds: runs that count, the first ones.
        splits: number of splits.
        examples: number of test examples.

    Example:
        >>> right = np.array([[1, 1, 0, 1], [1, 0, 0, 1]], bool)
        >>> table = {"test_score": np.array([[0.5, 0.75], [0.25, 0.5]]), "right": np.packbits(right, axis=1)}
        >>> runs_of(table, seeds=2, splits=1, examples=4).scores.tolist()
        [0.75, 0.5]
    """
    scores, each = table["test_score"][:seeds, -1].astype(float), None
    if "right" in table:
        each = np.unpackbits(table["right"][:seeds], axis=1, count=examples).astype(bool)
    elif "examples_score" in table:
        each = table["examples_score"][:seeds].astype(float)
    if each is not None and examples < 2:
        each = None  # one example says nothing of others
    if splits == 1:
        return Runs(scores, each)
    members = [table["split"][:seeds] == split for split in range(splits)]
    means = None if each is None else np.array([each[m].mean(axis=0) for m in members])
    return Runs(np.array([scores[m].mean() for m in members]), means)


def update(
    pairs: Sequence[Mapping[str, Any]],
    runs: Mapping[str, Runs],
    error: float,
    look: int,
    margin: float | None,
    higher_is_better: bool = True,
    added: int = 0,
) -> list[dict[str, Any]]:
    """Test every pair that has no verdict yet; a pair that has one keeps it.

    Args:
        pairs: as this function returned them at the look before; empty at the first.
        runs: candidate -> its runs.
        error: what this look may spend.
        look: its index.
        margin: differences up to this size count as equal; None: none do.
        higher_is_better: False for a score such as a loss.
        added: looks that were added to a finished race, this one included; the next one has less error to spend, which
            the number of further runs takes into account.

    Returns:
        One dict for each two candidates: the fields of verdicts.Pair, and the look that tested the pair last.

    Example:
        >>> runs = {"a": Runs(np.array([0.98, 0.981])), "b": Runs(np.array([0.95, 0.951]))}
        >>> [(pair["verdict"], pair["look"]) for pair in update([], runs, 0.05, 0, None)]
        [('better', 0)]
    """
    if len(runs) < 2:
        return []
    before = {(pair["a"], pair["b"]): dict(pair) for pair in pairs}
    level, next_level = (
        verdicts.level_of_each_pair(len(runs), 1 - spent) for spent in (error, added_look(added, 0).error)
    )
    found = []
    for a, b in itertools.combinations(runs, 2):
        pair = before.get((a, b))
        if pair is None or pair["verdict"] == verdicts.UNDECIDED:
            settings = {"margin": margin, "higher_is_better": higher_is_better, "next_level": next_level}
            pair = verdicts.compare(a, runs[a], b, runs[b], level=level, **settings)._asdict() | {"look": look}
        found.append(pair)
    return found


def open_candidates(pairs: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the candidates in a pair without a verdict that further seeds can decide.

    Where the test examples alone leave a pair open, no number of seeds decides it.

    Example:
        >>> pair = {"a": "sgd", "b": "adam", "verdict": "undecided"}
        >>> sorted(open_candidates([pair | {"more_runs": 7}])), sorted(open_candidates([pair | {"more_runs": None}]))
        (['adam', 'sgd'], [])
    """
    can_be = [pair for pair in pairs if pair["verdict"] == verdicts.UNDECIDED and pair["more_runs"]]
    return {name for pair in can_be for name in (pair["a"], pair["b"])}


def power(
    runs: Mapping[str, Runs],
    pairs: Sequence[Mapping[str, Any]],
    error: float,
    sizes: Sequence[float] | None = (0.001, 0.002, 0.003),
) -> dict[str, float]:
    """Return the probabilities of finding true differences of some sizes with as many runs.

    Args:
        runs: candidate -> its runs.
        pairs: of all candidates.
        error: probability of any false claim.
        sizes: true differences; None: once, twice and four times the standard deviation, with one digit.

    Returns:
        Difference as text -> probability, at the pooled standard deviation; empty where nothing is known of it.

    Example:
        >>> runs = {"a": Runs(np.array([0.981, 0.983, 0.982])), "b": Runs(np.array([0.982, 0.981, 0.98]))}
        >>> found = power(runs, update([], runs, 0.05, 0, None), 0.05)
        >>> {difference: round(probability, 2) for difference, probability in found.items()}
        {'0.001': 0.16, '0.002': 0.46, '0.003': 0.78}
    """
    counts = [len(r.scores) for r in runs.values()]
    if len(runs) < 2 or min(counts) < 2:
        return {}
    variances = np.array([r.scores.var(ddof=1) for r in runs.values()])
    deviation = float(np.sqrt(np.average(variances, weights=np.array(counts) - 1)))
    examples = float(np.mean([pair["examples_variance"] or 0.0 for pair in pairs]))
    if not (deviation > 0 and np.isfinite(deviation)):
        return {}
    if sizes is None:
        sizes = sorted({float(f"{factor * deviation:.1g}") for factor in (1, 2, 4)})
    level = verdicts.level_of_each_pair(len(runs), 1 - error)
    return {
        f"{difference:g}": verdicts.power(difference, deviation, min(counts), level=level, examples_variance=examples)
        for difference in sizes
    }
