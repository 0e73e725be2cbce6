"""The small print of a report: method, coverage, power, failed runs, cost and where the numbers come from."""

from collections.abc import Mapping
from typing import Any

from jaxmlp.comparison import findings, points, tables, tidy, verdicts, wording
from jaxmlp.comparison.summary import Summary
from jaxmlp.comparison.wording import count, display, join

__docformat__ = "google"
__all__ = ["of_problem", "origin"]


def of_problem(problem: Mapping[str, Any], summary: Summary) -> dict[str, str]:
    """Return what a reader needs to judge the results on one problem: term -> sentences.

    Args:
        problem: the record's entry of the problem.
        summary: of the same problem.

    Example:
        >>> from jaxmlp.comparison import summary, toy
        >>> list(of_problem(toy.PROBLEM, summary.summarise("digits", toy.PROBLEM)))[:4]
        ['Problem', 'Tuning', 'Race', 'Verdicts']
    """
    entries = {"Problem": _problem(problem), "Tuning": _tuning(problem), "Race": _race(problem)}
    if summary.pairs:
        entries["Verdicts"] = _verdicts(problem)
        entries["Intervals cover"] = findings.coverage(problem, summary.pairs)
    if problem["power"]:
        entries["Power"] = _power(problem)
    if len(problem["race"]["looks"]) > 1:
        entries["Looks at the data"] = _looks(problem)
    race, tuning = findings.failures(problem)
    entries["Failed runs"] = f"{_failed_means(problem)} {race} {tuning}"
    remarks = findings.inclusion(summary.pairs, problem)[1]
    if remarks:
        entries["Inclusion"] = " ".join(remarks)
    if problem.get("timed_apart"):
        entries["Times"] = (
            "The record was joined from others, whose candidates were timed in separate calls: a slow spell of the "
            "machine may have hit some of them alone."
        )
    entries["Searched"] = _searched(problem)
    entries["Limits"] = _limits(problem)
    entries["Effort"] = _effort(problem)
    if problem.get("throughput"):
        entries["Throughput"] = _throughput(problem["throughput"])
    return entries


def origin(results: Mapping[str, Any]) -> dict[str, str]:
    """Return where the numbers come from and how to get them again: term -> text.

    Args:
        results: the record.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> origin(toy.RECORD)["Commit"]
        'unknown'
    """
    made, places = results["provenance"], results.get("places")
    # A record that grew by seeds, or was made from Python, is not repeated by one option more.
    once = results["command"].startswith("python -m ") and "&&" not in results["command"]
    others = {"With other seeds": f"{results['command']} --first-seed {_next_seed(results)}"} if once else {}
    return {
        "Repeat it": results["command"],
        **others,
        "Why this problem": wording.sentence(results["problem_chosen_because"]),
        "Machine": f"{made['device']}, {count(made['cpus'], 'CPU')}, {made['machine']}",
        **({"Workers": wording.sentence(f"trained {wording.in_places(places)}")} if places else {}),
        "Versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items() if version),
        "Commit": made["commit"] or "unknown",
        "Data (SHA-256)": "; ".join(f"{display(n)}: {p.get('data_sha256')}" for n, p in results["problems"].items()),
        "Last call": f"{results['seconds_of_last_call']:.0f} s, compilation included",
        "Columns of runs.csv": f"{', '.join(tidy.COLUMNS)}: one row for each run, epoch and metric.",
    }


def _problem(problem):
    settings = problem["problem"]
    differs = f" Differences: {settings['differences']}." if settings["differences"] else ""
    purposes = {"train": "training", "validation": "validation", "test": "the test"}
    counts = join([f"{number:,} for {purposes.get(part, part)}" for part, number in problem["examples"].items()])
    origin = settings.get("origin") or {}
    file = f" From {settings['reference']} (SHA-256 {origin['sha256']})." if origin.get("sha256") else ""
    return f"{wording.sentence(settings['source'])}{differs}{file} Examples: {counts}."


def _searched(problem):
    described = []
    for name, entry in problem["candidates"].items():
        package = (entry["module"] or "").split(".")[0]
        own = package if entry["reference"] in (None, name) else entry["reference"]
        source = " ".join(part for part in (own, entry["version"]) if part)
        digest = f", SHA-256 {entry['sha256']}" if entry["sha256"] else ""
        where = f" ({source}{digest})" if source or digest else ""
        space = "; ".join(f"{points.named(n)} {dimension}" for n, dimension in entry["space"].items())
        described.append(f"{display(name)}{where}: {space}, {count(entry['tries'], 'try', 'tries')}")
    return ". ".join(described) + "."


def _limits(problem):
    schedules = {entry["schedule"] for entry in problem["candidates"].values()} - {None}
    if points.rate_only(problem):
        tuned = "Only the learning rate was tuned; all other hyperparameters have their defaults"
    else:
        tuned = "Hyperparameters that were not searched have their defaults"
    constant = "It is constant over a run" if points.rate_only(problem) else "Learning rates are constant over a run"
    return (
        f"{tuned}. {'' if schedules else f'{constant}. '}The result holds for this network, batch size and number of "
        "epochs."
    )


def _tuning(problem):
    score = wording.score_of(problem)
    tuning = problem["tuning"]
    coarse, full = tuning["coarse"], tuning["full"]
    sampled = any(entry["search"] == "sobol" for entry in problem["candidates"].values())
    first = f"Every {'try, a scrambled Sobol point of the space,' if sampled else 'learning rate of a grid'} was "
    first += "trained for "
    if coarse["seeds"]:
        first += f"{count(coarse['epochs'], 'epoch')} with {count(len(coarse['seeds']), 'seed')}; "
        best = f"the best quarter for {count(full['epochs'], 'epoch')} with 1 seed; the best three of these for "
        first += best if sampled else "those around the best one for "
    text = (
        f"{first}{count(full['epochs'], 'epoch')} with {count(len(full['seeds']), 'seed')}. Of these, the one with the "
        f"{'highest' if score.higher_is_better else 'lowest'} {score.measure} on the validation part, averaged over "
        "its seeds, was chosen."
    )
    widened = [f"{display(n)} by {entry['widened']}" for n, entry in problem["candidates"].items() if entry["widened"]]
    if widened:
        text += f" Grids whose best rate was at the edge were widened: {join(widened)}."
    if problem["splits"] > 1:
        text += f" All this was repeated on {problem['splits']} splits, with other seeds."
    return text


def _race(problem):
    kept = problem["problem"]["keep_validation"]
    trained = "the training part alone" if kept else "the training and validation parts"
    return (
        f"The choice was trained again on {trained} for {count(problem['race']['epochs'], 'epoch')} from the "
        f"fresh {tables.seeds(problem)}. Only these runs were measured on the test set, and no choice was made on it."
    )


def _verdicts(problem):
    errors = [look["error"] for look in problem["race"]["looks"]]
    levels = [f"{100 * verdicts.level_of_each_pair(len(problem['candidates']), 1 - e):.6g} %" for e in errors]
    by_look = " (by the look that tested it last)" if len(levels) > 1 else ""
    pairs = len(problem["pairs"])
    examples = any(pair["examples_variance"] is not None for pair in problem["pairs"])
    width = "Welch's t times the standard error over seeds"
    if examples:
        width = f"the root of the sum of two squares, {width} and Student's t times that over test examples"
    unit = wording.unit_of(problem)
    margin = problem["margin"]
    equal = f"equal, where it lies within {wording.score_of(problem).margin(margin)}; " if margin else ""
    return (
        f"Each of the {count(pairs, 'pair')} has an interval of the difference of means at {join(levels)}{by_look}, "
        f"so that all hold together with {100 * problem['confidence']:g} % (Sidak). Half its width is {width}. Better "
        f"or worse: the interval "
        f"leaves out 0; {equal}undecided otherwise. Where a difference is both real and within the margin, the word "
        f"is better or worse. The number of further {unit}s assumes the present spreads and difference."
    )


def _power(problem):
    score = wording.score_of(problem)
    found = [
        f"{score.margin(float(size))}: {wording.percent(value)}" for size, value in problem["power"].items() if value
    ]
    runs = count(findings.units(problem), wording.unit_of(problem))
    return f"Probability of finding a true difference with {runs} at the pooled spread: {'; '.join(found)}."


def _looks(problem):
    looks, added = problem["race"]["looks"], problem["race"]["added_looks"]
    text = ""
    if len(looks) - added > 1:
        text = "Seeds were added until every pair was decided, more seeds could decide none, or the limit was reached. "
    if added:
        times = "once" if added == 1 else f"{added} times"
        text += f"Seeds were added to the finished race {times}, which costs confidence. "
    errors = [f"{100 * look['error']:.2g} %" for look in looks]
    return (
        f"{text}The open pairs were tested after {join([str(look['seeds']) for look in looks])} seeds, with error "
        f"probabilities of {join(errors)}: together at most {100 * (1 - problem['confidence']):.3g} %."
    )


def _failed_means(problem):
    chance, score = problem["chance"], wording.score_of(problem)
    if chance is None:
        return "A run has failed if its loss or its score is not finite. Failed runs stay in every mean."
    end = "most" if score.higher_is_better else "least"
    test, validation = (
        f"{100 * chance[part]:.1f} %" if score.percent else f"{chance[part]:.4g}{score.unit}"
        for part in ("test", "validation")
    )
    why = ": the largest class and two standard errors" if score.measure == "accuracy" else ""
    return (
        f"A run has failed if its loss is not finite, or if its {score.measure} at the end is no better than chance "
        f"(at {end} {test} on the test set, {validation} on the validation part{why}). Failed runs stay in every mean."
    )


def _effort(problem):
    effort = problem["effort"]
    seconds = [f"{effort[f'seconds_{what}']:.0f} s for {name}" for what, name in _PARTS.items()]
    return (
        f"{effort['epochs_trained']:,.0f} epochs were trained: {effort['coarse']:,.0f} in short tuning runs, "
        f"{effort['full']:,.0f} in tuning runs of full length and {effort['race']:,.0f} in the race. It took "
        f"{join(seconds)}."
    )


_PARTS = {"tuning": "tuning", "race": "the race", "timing": "timing"}


def _throughput(rates):
    return (
        f"The whole run did {rates['sweep'] / 1e9:.0f} GFLOP/s of matrix products, compilation included: "
        f"{100 * rates['sweep'] / rates['machine']:.0f} % of the rate of a 2048 x 2048 float32 product in NumPy."
    )


def _next_seed(results):
    used = [
        seed
        for problem in results["problems"].values()
        for entry in problem["candidates"].values()
        for seed in entry["race"]["seeds"]
    ]
    return (max(used) // 1000 + 1) * 1000
