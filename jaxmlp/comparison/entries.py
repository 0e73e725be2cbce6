"""The record's entry of one problem, made from what was trained, and what was trained, read back from the record."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmlp.comparison import race, record, spaces, speed, statistics
from jaxmlp.comparison.plans import Plan
from jaxmlp.comparison.problems import ProblemData
from jaxmlp.comparison.scores import Score
from jaxmlp.comparison.store import Arrays, RunStore, quoted, unquoted
from jaxmlp.comparison.study import COARSE, FULL, RACE, Study
from jaxmlp.comparison.tuning import Choice, Outcome, Point
from jaxmlp.comparison.wording import target_name

__docformat__ = "google"
__all__ = ["Finished", "describe_problem", "failed", "outcomes_of", "read_finished"]


class Finished(NamedTuple):
    """What was trained on one problem, and every choice and verdict so far."""

    tables: dict[str, dict[str, Arrays]]
    """Candidate -> phase -> what its runs reported, one row for each; those of the race in the order of the seeds."""

    choices: dict[str, list[Choice]]
    """Candidate -> what was chosen on each split."""

    looks: list[race.Look]
    """At the race, so far."""

    added: int
    """How many of the looks were not planned, but added to a finished race."""

    pairs: list[dict[str, Any]]
    """As race.update returns them."""

    timing: dict[str, np.ndarray]
    """Candidate -> seconds of an epoch, one for each turn; and "seconds", those of timing itself."""


def describe_problem(
    plan: Plan, data: ProblemData, store: RunStore, study: Study, finished: Finished
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Write down one problem.

    Args:
        plan: what was run.
        data: the three parts of the problem's data.
        store: keeps the machine's speed.
        study: that trained.
        finished: what it trained.

    Returns:
        (record, curves), as protocol.execute returns them.

    Example:
        >>> from jaxmlp.comparison import toy  # PROBLEM is such a record, with made-up numbers
        >>> sorted(toy.PROBLEM["race"])
        ['added_looks', 'epochs', 'looks']
    """
    problem, tables = plan.problem, finished.tables
    score = problem.scored_by
    chance = {"validation": score.chance_of(data.validation[1]), "test": score.chance_of(data.test[1])}
    steps, early = study.steps_per_epoch(study.phase(RACE, 0)), study.early_epochs()
    described = plan.describe()
    full_seeds = list(range(plan.tuning_seeds))
    coarse_seeds = full_seeds[:1] if any(COARSE in found for found in tables.values()) else []
    last, examples = finished.looks[-1], len(jax.tree.leaves(data.test)[0])
    runs = {name: race.runs_of(found[RACE], last.seeds, plan.splits, examples) for name, found in tables.items()}
    entry = {
        "problem": described.pop("problem"),
        "plan": described,
        "network": study.describe_network(),
        "examples": {name: len(jax.tree.leaves(part)[0]) for name, part in zip(data._fields, data, strict=True)},
        "steps_per_epoch": steps,
        "score": score.describe(),
        "confidence": race.confidence(finished.looks, finished.added),
        "margin": plan.margin,
        "chance": None if chance["test"] is None else chance,
        "tuning": {
            "coarse": {"seeds": coarse_seeds, "epochs": problem.coarse_epochs},
            "full": {"seeds": full_seeds, "epochs": problem.epochs},
        },
        "race": {
            "epochs": problem.epochs,
            "looks": [look._asdict() for look in finished.looks],
            "added_looks": finished.added,
        },
        "splits": plan.splits,
        "candidates": {name: _candidate(plan, name, finished, chance, early) for name in tables},
        "pairs": finished.pairs,
        "power": race.power(runs, finished.pairs, last.error, *([] if score.unit == "%" else [None])),
        "effort": _effort(plan, finished),
        "throughput": _throughput(plan, store, study, finished),
    }
    curves = {
        f"{quoted(name)}/{phase}/{column}": values
        for name, found in tables.items()
        for phase, table in found.items()
        for column, values in table.items()
    }
    return record.plain(entry), curves | {"early_epochs": early}


def read_finished(entry: Mapping[str, Any], curves: Mapping[str, np.ndarray]) -> Finished:
    """Read back what was trained on one problem.

    Args:
        entry: of the problem, in the record.
        curves: "candidate/phase/column" -> array.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> finished = read_finished(toy.PROBLEM, toy.CURVES)
        >>> finished.choices["sgd"], sorted(finished.tables["sgd"])
        ([Choice(point={'learning_rate': 0.1}, at_edge=())], ['race'])
    """
    tables: dict[str, dict[str, Arrays]] = {name: {} for name in entry["candidates"]}
    for path, values in curves.items():
        if path.count("/") == 2:
            name, phase, column = path.split("/")
            tables[unquoted(name)].setdefault(phase, {})[column] = values
    choices = {
        name: [Choice(choice["hyperparameters"], tuple(choice["at_edge"])) for choice in c["choices"]]
        for name, c in entry["candidates"].items()
    }
    looks = [race.Look(look["seeds"], look["error"]) for look in entry["race"]["looks"]]
    timing = {name: np.array(c["timing"]["seconds_per_epoch"]) for name, c in entry["candidates"].items()}
    timing["seconds"] = np.array(entry["effort"]["seconds_timing"])
    return Finished(tables, choices, looks, entry["race"]["added_looks"], list(entry["pairs"]), timing)


def outcomes_of(table: Arrays, space: Iterable[str], score: Score) -> Iterator[tuple[Point, int, Outcome]]:
    """Yield hyperparameters, seed and outcome of each run of a tuning phase; one that is not finite has the worst.

    Args:
        table: of the runs.
        space: names of the hyperparameters.
        score: by which they are measured.

    Yields:
        (point, seed, outcome).

    Example:
        >>> from jaxmlp.comparison import scores
        >>> names = ("train_loss", "validation_loss", "validation_score")
        >>> curves = {name: np.array([[0.5, 0.25]]) for name in names}
        >>> runs = {"learning_rate": np.array([0.1]), "seed": np.array([0]), "first_nonfinite_step": np.array([-1])}
        >>> list(outcomes_of(curves | runs, ["learning_rate"], scores.get("accuracy")))
        [({'learning_rate': 0.1}, 0, Outcome(value=0.25, loss=0.25))]
    """
    sign = 1 if score.higher_is_better else -1
    ends = zip(table["validation_score"][:, -1], table["validation_loss"][:, -1], _broken(table), strict=True)
    for point, seed, (value, loss, broken) in zip(_points(table, space), table["seed"], ends, strict=True):
        worst = Outcome(sign * score.worst, np.inf)
        yield point, int(seed), worst if broken else Outcome(sign * float(value), float(loss))


def failed(table: Arrays, values: np.ndarray, chance: float | None, score: Score) -> np.ndarray:
    """Return which runs failed: those with a loss or score that is not finite, and those no better than chance.

    Args:
        table: of the runs.
        values: the score of each at its end, (runs,).
        chance: the chance level for the examples that were scored; None: there is none.
        score: of the values.

    Example:
        >>> from jaxmlp.comparison import scores
        >>> losses = {"train_loss": np.array([[0.1], [2.3]]), "first_nonfinite_step": np.array([-1, -1])}
        >>> failed(losses, np.array([0.9, 0.1]), 0.12, scores.get("accuracy")).tolist()
        [False, True]
    """
    lost = _broken(table) | ~np.isfinite(values)
    return lost if chance is None else lost | ~score.better(values, chance)


def _broken(table):
    """Which runs had a non-finite loss, while training or at the end, or a score that is not finite at the end."""
    lost = ~np.isfinite(table["train_loss"][:, -1])
    for name in ("validation_loss", "validation_score", "test_loss", "test_score"):
        if name in table:
            lost |= ~np.isfinite(table[name][:, -1])
    return lost | (table["first_nonfinite_step"] >= 0)


def _candidate(plan, name, finished, chance, early):
    tables = finished.tables[name]
    tuned = [(phase, tables[phase]) for phase in (COARSE, FULL) if phase in tables]
    space = plan.spaces[name]
    points = [point for _, table in tuned for point in _points(table, space)]
    tried = [dict(zip(space, values, strict=True)) for values in sorted({tuple(point.values()) for point in points})]
    widened = {point["learning_rate"] for point in tried} - set(plan.grids[name]) if plan.tries is None else ()
    lengths = {COARSE: plan.problem.coarse_epochs, FULL: plan.problem.epochs}
    score = plan.problem.scored_by
    rows = [
        row for phase, table in tuned for row in _tuning_rows(table, space, lengths[phase], chance["validation"], score)
    ]
    table = tables[RACE]
    ends = {
        key: table[key][:, -1] for key in ("test_score", "test_loss", "train_loss", "validation_score") if key in table
    }
    lost = failed(table, ends["test_score"], chance["test"], score)
    columns = {key: table[key] for key in ("split", "first_nonfinite_step")}
    return {
        **plan.candidates[name].describe(),
        "space": spaces.describe(space),
        "search": "grid" if plan.tries is None else "sobol",
        "tries": len(tried),
        "tried": tried,
        "widened": len(widened),
        "choices": [
            {"hyperparameters": dict(choice.point), "at_edge": list(choice.at_edge)}
            for choice in finished.choices[name]
        ],
        "tuning": rows,
        "race": {"seeds": table["seed"], **columns, **ends, "failed": lost},
        "timing": {"seconds_per_epoch": finished.timing[name]},
        "to_target": _to_targets(plan.problem, table, early),
    }


def _points(table, space):
    """The hyperparameters of each run."""
    names = list(space)
    return [dict(zip(names, map(float, row), strict=True)) for row in zip(*(table[n] for n in names), strict=True)]


def _tuning_rows(table, space, epochs, chance, score):
    values, loss = table["validation_score"][:, -1], table["validation_loss"][:, -1]
    lost = failed(table, values, chance, score)
    for i, point in enumerate(_points(table, space)):
        yield {
            "split": table["split"][i],
            "hyperparameters": point,
            "seed": table["seed"][i],
            "epochs": epochs,
            "validation_score": values[i],
            "validation_loss": loss[i],
            "first_nonfinite_step": table["first_nonfinite_step"][i],
            "failed": lost[i],
        }


def _to_targets(problem, table, early):
    """The epochs, with fractions, that each run needs to reach each target, None for never.

    On the validation part too where that is measured.
    """
    dense = round(early[-1])
    times = [*early, *range(dense + 1, problem.epochs + 1)]
    measured = ["test_score"] + ["validation_score"] * problem.keep_validation
    score = problem.scored_by
    worse = np.minimum if score.higher_is_better else np.maximum
    both = [np.concatenate([table[f"early_{name}"], table[name][:, dense:]], axis=1) for name in measured]
    found = {}
    for target in problem.targets:
        better = score.higher_is_better
        reached = [statistics.first_reaching(curve, target, higher_is_better=better) for curve in worse.reduce(both)]
        found[target_name(score.describe(), target)] = {
            "epochs": [None if r is None else float(times[r - 1]) for r in reached]
        }
    return found


def _effort(plan, finished):
    epochs = {COARSE: plan.problem.coarse_epochs, FULL: plan.problem.epochs, RACE: plan.problem.epochs}
    trained, seconds = {}, {}
    for phase, each in epochs.items():
        found = [tables[phase]["seconds"] for tables in finished.tables.values() if phase in tables]
        trained[phase] = each * sum(map(len, found))
        seconds[phase] = float(sum(values.sum() for values in found))
    return {
        "epochs_trained": sum(trained.values()),
        **trained,
        "seconds_tuning": seconds[COARSE] + seconds[FULL],
        "seconds_race": seconds[RACE],
        "seconds_timing": finished.timing["seconds"],
    }


def _throughput(plan, store, study, finished):
    """Operations per second of the sweeps' matrix products, compilation included, and of the machine's own."""
    problem = plan.problem
    sizes = problem.sizes(study.data)
    if store.places or jax.default_backend() != "cpu" or sizes is None or sizes[0] * problem.batch_size <= 50_000:
        # Done elsewhere; or a small network, which does not spend its time on matrix products.
        return None
    operations = seconds = 0.0
    for tables in finished.tables.values():
        for phase, table in tables.items():
            operations += study.operations(study.phase(phase, 0), len(table["seed"]))
            seconds += table["seconds"].sum()
    # Measured once, beside the runs; a resumed run keeps the figure.
    machine = store.cached(f"{problem.name}-machine", lambda: {"rate": np.asarray(speed.machine_rate())})
    return {"sweep": operations / seconds, "machine": machine["rate"]}
