"""What a comparison found, in sentences: the verdict, its power, and what a reader has to be warned of."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxmlp.comparison import points, wording
from jaxmlp.comparison.statistics import Interval
from jaxmlp.comparison.verdicts import BETTER, EQUAL, UNDECIDED, WORSE, Pair
from jaxmlp.comparison.wording import count, display, join, number

__docformat__ = "google"
__all__ = ["answer", "close_calls", "coverage", "edges", "failures", "inclusion", "oriented", "power_sentence", "units"]

# A rule with one more hyperparameter includes the rule without it; tuned as well, it should not lose to it.
_CONTAINS = (("momentum", "sgd"), ("nesterov", "sgd"))
_OPPOSITE = {BETTER: WORSE, WORSE: BETTER}


def oriented(pairs: Sequence[Pair]) -> dict[tuple[str, str], Pair]:
    """Return every pair in both directions: (a, b) -> what a is, compared with b.

    Args:
        pairs: as verdicts.all_pairs returns them.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> both = oriented([Pair(*[pair[field] for field in Pair._fields]) for pair in toy.PROBLEM["pairs"]])
        >>> both["sgd", "adam"].verdict, both["adam", "sgd"].verdict
        ('worse', 'better')
    """
    both = {}
    for pair in pairs:
        both[pair.a, pair.b] = pair
        both[pair.b, pair.a] = pair._replace(
            a=pair.b,
            b=pair.a,
            difference=-pair.difference,
            low=-pair.high,
            high=-pair.low,
            verdict=_OPPOSITE.get(pair.verdict, pair.verdict),
        )
    return both


def answer(
    name: str, problem: Mapping[str, Any], ranking: Sequence[str], pairs: Sequence[Pair], best: Interval
) -> list[str]:
    """Return the verdict in two sentences.

    Args:
        name: of the problem.
        problem: the record's entry of the problem.
        ranking: names of the candidates, best mean first.
        pairs: of the candidates; empty if there is one candidate or one run of each.
        best: score of the first candidate.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> print(summary.summarise("digits", toy.PROBLEM).answer[0])
        On digits, Nesterov and Adam are better than SGD; Nesterov and Adam cannot be told apart.
    """
    labels = [display(candidate) for candidate in ranking]
    runs, where, score = units(problem), f"On {display(name)}", wording.score_of(problem)
    failed = [run for entry in problem["candidates"].values() for run in entry["race"]["failed"]]
    if all(failed):
        return [
            f"{where}, no candidate has learnt anything: all {count(len(failed), 'run')} of the race failed.",
            f"Their losses are not finite, or their {score.name} is no better than chance.",
        ]
    if len(ranking) == 1:
        return [
            f"{where}, {labels[0]} reaches a {score.name} of {score.interval(best)}{score.unit}, with nothing to "
            "compare it to.",
            _spread(problem, runs),
        ]
    if runs == 1:
        unit, end = wording.unit_of(problem), "highest" if score.higher_is_better else "lowest"
        return [
            f"{where}, {labels[0]} has the {end} {score.name} ({score.value(best.mean)}{score.unit}), but one {unit} "
            "cannot show whether any difference is real.",
            f"Two {unit}s give an interval; ten make it narrow enough to be useful.",
        ]
    return [f"{where}, {_verdict(ranking, pairs, problem)}.", power_sentence(problem)]


def power_sentence(problem: Mapping[str, Any]) -> str:
    """Say how likely a difference would have been found.

    The difference is the smallest that is found in four cases of five, or the largest in the record.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> power_sentence(toy.PROBLEM | {"power": {"0.001": 0.07, "0.003": 0.71}})
        'With 3 seeds of average spread, a difference of 0.3 points would have been found with a probability of 71 %.'
    """
    powers = {float(size): value for size, value in problem["power"].items() if value is not None}
    if not powers:
        return _spread(problem, units(problem))
    size = next((size for size in sorted(powers) if powers[size] >= 0.8), max(powers))
    margin = wording.score_of(problem).margin(size)
    even, only = ("even ", "only ") if powers[size] < 0.2 else ("", "")
    return (
        f"With {count(units(problem), wording.unit_of(problem))} of average spread, {even}a difference of {margin} "
        f"would have been found with a probability of {only}{wording.percent(powers[size])}."
    )


def units(problem: Mapping[str, Any]) -> int:
    """Return how many independent runs, or splits, the intervals rest on: the smallest number over the candidates.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> units(toy.PROBLEM)
        3
    """
    if problem["splits"] > 1:
        return int(problem["splits"])
    return min((len(entry["race"]["seeds"]) for entry in problem["candidates"].values()), default=0)


def coverage(problem: Mapping[str, Any], pairs: Sequence[Pair]) -> str:
    """Say what the intervals cover and what they leave out.

    Args:
        problem: the record's entry of the problem.
        pairs: of its candidates.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> coverage(toy.PROBLEM, []).split(".")[0]
        'The intervals of the differences cover other seeds'
    """
    examples = any(pair.examples_variance is not None for pair in pairs)
    if problem["splits"] > 1:
        covered = f"other seeds, and other splits with the {_tuned(problem)} chosen on them"
        return f"The intervals of the differences cover {covered}{', and other test examples' if examples else ''}."
    covered, left = ("other seeds and other test examples", "") if examples else ("other seeds", "the test examples, ")
    return (
        f"The intervals of the differences cover {covered}. They leave out the choice of {left}the validation part and "
        f"the {_tuned(problem)}, which --splits measures."
    )


def _tuned(problem):
    return "learning rates" if points.rate_only(problem) else "hyperparameters"


def failures(problem: Mapping[str, Any]) -> tuple[str, str]:
    """Count the failed runs of the race and of the tuning.

    Args:
        problem: the record's entry of the problem.

    Returns:
        (a sentence on the race, a sentence on the tuning).

    Example:
        >>> from jaxmlp.comparison import toy
        >>> failures(toy.PROBLEM)
        ('No run of the race failed (9 runs).', 'While tuning, 1 of 33 runs failed (SGD 1).')
    """
    race = {name: entry["race"]["failed"] for name, entry in problem["candidates"].items()}
    tuning = {name: [run["failed"] for run in entry["tuning"]] for name, entry in problem["candidates"].items()}
    return _failed("of the race", "In the race", race), _failed("failed while tuning", "While tuning", tuning)


def edges(problem: Mapping[str, Any]) -> list[str]:
    """Warn of every choice that lies at the edge of its grid.

    Args:
        problem: the record's entry of the problem.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> edges(toy.PROBLEM)[0].split(";")[0]
        'The best learning rate of Adam, 0.001, is at the edge of its grid (0.001 to 0.1)'
    """
    found = []
    for name, entry in problem["candidates"].items():
        for which in entry["space"]:
            best = {choice["hyperparameters"][which] for choice in entry["choices"] if which in choice["at_edge"]}
            if not best:
                continue
            sampled = entry["search"] == "sobol"
            tried = [point[which] for point in entry["tried"]]
            within = entry["space"][which] if sampled else f"{wording.rate(min(tried))} to {wording.rate(max(tried))}"
            what, option = ("range", "--space") if sampled else ("grid", "--learning-rates")
            found.append(
                f"The best {points.named(which)} of {display(name)}, {join([wording.rate(v) for v in sorted(best)])}, "
                f"is at the edge of its {what} ({within}); a wider {what} may change its rank ({option})."
            )
    return found


def close_calls(problem: Mapping[str, Any]) -> list[str]:
    """Say where tuning could not tell a choice from another one, so that a repetition may choose that.

    Args:
        problem: the record's entry of the problem.

    Returns:
        One sentence, or none: of the candidates with another point, trained for the full length with several seeds,
        whose mean is at most two standard errors of the difference away from that of the choice.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> close_calls(toy.PROBLEM)
        []
    """
    close = []
    for name, entry in problem["candidates"].items():
        runs: dict[tuple[tuple[str, float], ...], list[float]] = {}
        for run in entry["tuning"]:
            if run["epochs"] == problem["tuning"]["full"]["epochs"] and run["split"] == 0 and not run["failed"]:
                runs.setdefault(tuple(run["hyperparameters"].items()), []).append(run["validation_score"])
        chosen = runs.pop(tuple(entry["choices"][0]["hyperparameters"].items()), [])
        others = {
            point: np.mean(scores)
            for point, scores in runs.items()
            if min(len(scores), len(chosen)) > 1
            and abs(np.mean(chosen) - np.mean(scores)) <= 2 * np.sqrt(_squared_error(chosen) + _squared_error(scores))
        }
        if others:
            sign = 1 if wording.score_of(problem).higher_is_better else -1
            second = dict(max(others, key=lambda point: sign * others[point]))
            close.append(f"{display(name)} ({', '.join(wording.rate(value) for value in second.values())})")
    if not close:
        return []
    seeds = count(len(problem["tuning"]["full"]["seeds"]), "seed")
    return [
        f"Tuning with {seeds} could not tell the choice from another for {join(close)}; where a repetition chose that "
        "one, verdicts may change."
    ]


def _squared_error(values):
    return np.var(values, ddof=1) / len(values)


def inclusion(pairs: Sequence[Pair], problem: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Check that no rule loses to a rule that it includes.

    Args:
        pairs: of the candidates.
        problem: the record's entry of the problem.

    Returns:
        (warnings, remarks).

    Example:
        >>> inclusion([], {})
        ([], [])
    """
    both = oriented(pairs)
    found = [(a, b, both[a, b]) for a, b in _CONTAINS if (a, b) in both]
    worse = [
        f"The rule {display(a)} is worse than {display(b)}, which it includes (momentum 0): its learning rates or its "
        f"{'fixed momentum of 0.9' if points.rate_only(problem) else 'momenta'} do not suit this problem."
        for a, b, pair in found
        if pair.verdict == WORSE
    ]
    kept = [display(a) for a, _, pair in found if pair.verdict != WORSE]
    if not kept:
        return worse, []
    them = "It is" if len(kept) == 1 else "They are"
    return worse, [
        f"With momentum 0, {join(kept)} would be SGD; tuned as well, {'it' if len(kept) == 1 else 'they'} should not "
        f"lose to it. {them} not shown to be worse here. This can reveal a grid or a momentum that does not suit the "
        f"problem; it cannot show that the tuning was good. {power_sentence(problem)}"
    ]


def _verdict(ranking, pairs, problem):
    both, names = oriented(pairs), [display(candidate) for candidate in ranking]
    words = [pair.verdict for pair in pairs]
    differ, equal, undecided = (
        len(words) - words.count(EQUAL) - words.count(UNDECIDED),
        words.count(EQUAL),
        words.count(UNDECIDED),
    )
    within = f"equal within {wording.score_of(problem).margin(problem['margin'])}" if problem["margin"] else "equal"
    if len(ranking) == 2:
        pair = both[ranking[0], ranking[1]]
        return {
            EQUAL: f"{names[0]} and {names[1]} are {within}",
            UNDECIDED: f"{names[0]} and {names[1]} cannot be told apart",
        }.get(pair.verdict, f"{names[0]} is better than {names[1]}")
    if differ == len(words):
        return f"all {number(len(names))} differ: {names[0]} is best, followed by {join(names[1:])}"
    if equal == len(words):
        return f"all {number(len(names))} are {within}"
    if undecided == len(words):
        return f"no two of the {number(len(names))} can be told apart"
    parts = [*_better(ranking, both), *_equal(ranking, both, within)]
    if len(parts) > 2:
        return _counts(ranking, both, differ, equal, undecided, within)
    return "; ".join(parts + _rest(ranking, both, undecided))


def _better(ranking, both):
    """Clauses on who is better than whom, candidates that beat the same ones taken together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in ranking:
        beaten = tuple(other for other in ranking if other != name and both[name, other].verdict == BETTER)
        if beaten:
            groups.setdefault(beaten, []).append(name)
    clauses = []
    for beaten, group in groups.items():
        rest = len(beaten) + len(group) == len(ranking) and len(beaten) > 1
        whom = "all the others" if rest else join([display(name) for name in beaten])
        clauses.append(
            f"{join([display(name) for name in group])} {'is' if len(group) == 1 else 'are'} better than {whom}"
        )
    return clauses


def _equal(ranking, both, within):
    """Clauses on who equals whom; groups in which all equal each other are taken together."""
    equal = [pair for pair in itertools.combinations(ranking, 2) if both[pair].verdict == EQUAL]
    members = [name for name in ranking if any(name in pair for pair in equal)]
    if equal and len(equal) == len(members) * (len(members) - 1) // 2:
        return [f"{join([display(name) for name in members])} are {within}"]
    return [f"{display(a)} and {display(b)} are {within}" for a, b in equal]


def _rest(ranking, both, undecided):
    if not undecided:
        return []
    if undecided == 1:
        a, b = next(pair for pair in itertools.combinations(ranking, 2) if both[pair].verdict == UNDECIDED)
        return [f"{display(a)} and {display(b)} cannot be told apart"]
    return [f"no other two of the {number(len(ranking))} can be told apart"]


def _counts(ranking, both, differ, equal, undecided, within):
    """The verdict where the clauses would be too many to remember: who is ahead, and how many pairs differ."""
    better = {name: [o for o in ranking if o != name and both[name, o].verdict == WORSE] for name in ranking}
    unbeaten, beaten = ([name for name in ranking if bool(better[name]) == lost] for lost in (False, True))
    winners = _better(ranking, both)
    if winners and winners[0].endswith("all the others"):
        ahead = winners[0]
    elif len(unbeaten) <= 3:
        ahead = f"no optimizer is shown to be better than {join([display(name) for name in unbeaten], 'or')}"
    elif len(beaten) == 1:
        several = len(better[beaten[0]])
        than = "all the others" if several == len(ranking) - 1 else join([display(n) for n in better[beaten[0]]])
        ahead = f"{display(beaten[0])} is worse than {than}"
    else:
        ahead = f"{number(len(unbeaten))} of the {number(len(ranking))} are not shown to be worse than any other"
    others = [f"{differ} differ"] if differ else []
    others += [f"{equal} {'is' if equal == 1 else 'are'} {within}"] if equal else []
    others += [f"{undecided} {'is' if undecided == 1 else 'are'} undecided"] if undecided else []
    return f"{ahead}; of the {len(both) // 2} pairs, {join(others)}"


def _spread(problem, runs):
    return f"The figures rest on {count(runs, wording.unit_of(problem))}."


def _failed(none, where, failed):
    bad, total = sum(map(sum, failed.values())), sum(map(len, failed.values()))
    if not bad:
        return f"No run {none}{' failed' if 'failed' not in none else ''} ({count(total, 'run')})."
    each = ", ".join(f"{display(name)} {sum(runs)}" for name, runs in failed.items() if any(runs))
    return f"{where}, {bad} of {count(total, 'run')} failed ({each})."
