"""The protocol of a fair comparison: tune on a validation part, freeze the choice, race on fresh seeds, test."""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxmlp.comparison import inside, problems, race
from jaxmlp.comparison.entries import Finished, describe_problem, outcomes_of
from jaxmlp.comparison.plans import Plan
from jaxmlp.comparison.problems import ProblemData
from jaxmlp.comparison.schedule import run_all
from jaxmlp.comparison.store import Arrays, RunStore, quoted
from jaxmlp.comparison.study import COARSE, FULL, RACE, Study, join
from jaxmlp.comparison.tuning import Choice, Grid, Neighbourhood, Point, Sampled, Trial
from jaxmlp.comparison.workers import Team

__docformat__ = "google"
__all__ = ["check_fits", "execute", "timed"]


def check_fits(plan: Plan, data: ProblemData) -> None:
    """Raise a ValueError if the plan cannot be run on the data.

    Example:
        >>> from jaxmlp.comparison import plans, problems
        >>> plan = plans.make_plan(problems.get("digits"), batch_size=5000)
        >>> check_fits(plan, problems.load(plan.problem))
        Traceback (most recent call last):
        ValueError: batch_size must be at most the 1150 training examples of digits, got 5000
    """
    problems.check(plan.problem, data)
    n = len(jax.tree.leaves(data.train)[0])
    for name, candidate in plan.candidates.items():
        point = {argument: max(getattr(d, "values", (0,))) for argument, d in plan.spaces[name].items()}
        largest = candidate.of_training(point).get("batch_size", 0)
        if largest > n:
            raise ValueError(
                f"the batch_size of {name} must be at most the {n} training examples of {plan.problem.name}, got "
                f"{largest:g}"
            )


def execute(
    plan: Plan,
    data: ProblemData,
    store: RunStore,
    on_run: Callable[[str, int, int], None],
    *,
    before: Finished | None = None,
    add_seeds: int = 0,
    instruments: bool = False,
    team: Team | None = None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Run the whole protocol on one problem.

    Args:
        plan: what to run.
        data: the three parts of the problem's data.
        store: keeps finished runs; runs of this plan that it already holds are not repeated.
        on_run: called as on_run(what is being done, runs done, runs that there will be as far as is known).
        before: a finished comparison by the same plan, which is extended.
        add_seeds: with before, further seeds of each candidate.
        instruments: whether to train the first run of each candidate's race once more, with instruments.
        team: trains and takes the times; None: this process does.

    Returns:
        (record, curves). The record is plain values. curves maps "candidate/phase/quantity" to an array whose first
        axis is the run, and what instruments measured as inside says.

    Raises:
        ValueError: the plan does not fit the data; raised before anything is compiled.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxmlp.comparison import plans, problems
        >>> plan = plans.make_plan(problems.get("digits"), ["sgd"], learning_rates=[1e-4, 0.1], seeds=2, epochs=1)
        >>> store = RunStore(pathlib.Path(tempfile.mkdtemp()) / "runs", plan.describe(), resume=False)
        >>> record, curves = execute(plan, problems.load(plan.problem), store, lambda what, done, total: None)
        >>> record["candidates"]["sgd"]["choices"], curves["sgd/full/train_loss"].shape
        ([{'hyperparameters': {'learning_rate': 0.1}, 'at_edge': ['learning_rate']}], (6, 1))
    """
    check_fits(plan, data)
    execution = _Execution(plan, data, store, on_run, team)
    finished = execution.race() if before is None else execution.extend(before, add_seeds)
    entry, curves = describe_problem(plan, data, store, execution.study, finished)
    return entry, curves | (execution.inside(finished.choices) if instruments else {})


def timed(
    plan: Plan, data: ProblemData, store: RunStore, choices: Mapping[str, Point], team: Team | None = None
) -> dict[str, list[float]]:
    """Time candidates at their choices, in turns.

    Args:
        plan: with all of them.
        data: the three parts of the problem's data.
        store: keeps the times.
        choices: candidate -> point.
        team: one of its workers takes them; None: this process does.

    Returns:
        Candidate -> seconds of an epoch, one for each turn.

    Example:
        >>> timed  # doctest: +SKIP
    """
    study = Study(plan.problem, data)
    found = _times(f"{plan.problem.name}-timing-of-all", plan, study, store, choices, team)
    return {name: found[name].tolist() for name in choices}


def _times(name, plan, study, store, choices, team):
    """The times of candidates at their choices, kept under name, and the seconds that it took to take them."""
    kept = store.kept(name)
    if kept is None:
        start = time.perf_counter()
        chosen = [(plan.candidates[candidate], point) for candidate, point in choices.items()]
        if team is None:
            seconds, place = study.seconds_per_epoch(chosen, plan.first_seed), None
        else:
            seconds, place = team.seconds_per_epoch(chosen, plan.first_seed)
        kept = {candidate: np.array(values) for candidate, values in seconds.items()}
        kept["seconds"] = np.asarray(time.perf_counter() - start)
        store.keep(name, kept, place)
    return kept


class _Execution:
    """The progress of one problem."""

    def __init__(self, plan, data, store, on_run, team):
        self.plan, self.store, self.on_run, self.team = plan, store, on_run, team
        self.study = Study(plan.problem, data)
        self.examples = len(jax.tree.leaves(data.test)[0])
        self.asked = self.done = 0

    def race(self):
        """Tune, choose, race, and look at the race as often as planned."""
        plan = self.plan
        looks = race.planned_looks(plan.seeds, plan.max_seeds)
        tables: dict[str, dict[str, Arrays]] = {name: {} for name in plan.candidates}
        choices: dict[str, list[Choice]] = {name: [] for name in plan.candidates}
        seeds = self._seeds(0, plan.seeds)
        for splits in self._groups():
            works = {
                (name, split): self._tuned_and_raced(name, split, seeds[split])
                for split in splits
                for name in plan.candidates
            }
            for (name, _), (choice, found) in self._run("tuning and race", works).items():
                choices[name].append(choice)
                _append(tables[name], found)
        made, pairs = [], []
        for index, look in enumerate(looks):
            if index:
                open_ones = race.open_candidates(pairs)
                if not open_ones:
                    break
                self._race_on(tables, choices, [name for name in plan.candidates if name in open_ones], look.seeds)
            pairs = self._look(tables, pairs, look, index, 0)
            made.append(look)
        return Finished(tables, choices, made, 0, pairs, self._timing(choices))

    def extend(self, before, add):
        """Add seeds to a finished race, and look at it once more."""
        seeds = max(len(tables[RACE]["seed"]) for tables in before.tables.values()) + add
        seeds = -(-seeds // self.plan.splits) * self.plan.splits
        tables = {name: dict(found) for name, found in before.tables.items()}
        self._race_on(tables, before.choices, list(tables), seeds)
        look = race.added_look(before.added, seeds)
        looks = [*before.looks, look]
        added = before.added + 1
        pairs = self._look(tables, before.pairs, look, len(looks) - 1, added)
        return before._replace(tables=tables, looks=looks, added=added, pairs=pairs)

    def inside(self, choices):
        """What instruments see inside the first run of each candidate's race."""
        seed, found, missing = self.plan.first_seed, {}, {}
        for name, chosen in choices.items():
            told = hashlib.sha256(f"{name} {chosen[0].point}".encode()).hexdigest()[:12]
            kept_as = f"{self.plan.problem.name}-{quoted(name)[:40]}-{inside.INSIDE}-{seed}-{told}"
            found[name] = self.store.kept(kept_as)
            if found[name] is None:
                missing[name] = kept_as, (self.plan.candidates[name], chosen[0].point, seed)
        calls = {name: call for name, (_, call) in missing.items()}
        activity = f"{self.plan.problem.name}: instruments"
        self.on_run(activity, len(choices) - len(missing), len(choices))
        for name, arrays, place in self.team.inside(calls) if self.team else self._inside(calls):
            kept_as, _ = missing.pop(name)
            self.store.keep(kept_as, arrays, place)
            found[name] = arrays
            self.on_run(activity, len(choices) - len(missing), len(choices))
        return {
            f"{quoted(name)}/{inside.INSIDE}/{path}": values
            for name, arrays in found.items()
            for path, values in arrays.items()
        }

    def _inside(self, calls):
        for name, call in calls.items():
            yield name, inside.arrays_of(self.study.inside(*call)), None

    def _look(self, tables, pairs, look, index, added):
        plan = self.plan
        runs = {n: race.runs_of(found[RACE], look.seeds, plan.splits, self.examples) for n, found in tables.items()}
        better = plan.problem.scored_by.higher_is_better
        return race.update(pairs, runs, look.error, index, plan.margin, better, added)

    def _seeds(self, start, stop):
        """The fresh seeds of each split: run i of the race is on split i modulo splits."""
        plan = self.plan
        return [[plan.first_seed + i for i in range(start, stop) if i % plan.splits == k] for k in range(plan.splits)]

    def _race_on(self, tables, choices, names, seeds):
        """Train so many runs of the named candidates as are missing, and put them into their tables."""
        missing = {name: self._seeds(len(tables[name][RACE]["seed"]), seeds) for name in names}
        for splits in self._groups():
            works = {
                (name, split): self._raced(name, split, choices[name][split], missing[name][split])
                for split in splits
                for name in names
                if missing[name][split]
            }
            for (name, _), found in self._run("further seeds", works).items():
                _append(tables[name], {RACE: found})

    def _groups(self):
        """The splits that are worked on at the same time: in this process one, so that one is on its device."""
        every = range(self.plan.splits)
        return [every] if self.team else [[split] for split in every]

    def _search(self, name, split):
        plan = self.plan
        seeds = range(split * plan.tuning_seeds, (split + 1) * plan.tuning_seeds)
        if plan.tries is not None:
            return Sampled(plan.spaces[name], plan.tries, seeds, seed=split)
        return Neighbourhood(Grid("learning_rate", plan.grids[name], widen=plan.widen_of(name)), seeds)

    def _tuned_and_raced(self, name, split, seeds):
        candidate, space = self.plan.candidates[name], self.plan.spaces[name]
        search = self._search(name, split)
        tables: dict[str, list[Arrays]] = {COARSE: [], FULL: []}
        scores = {}
        while trials := search.ask(scores):
            jobs = []
            for phase in (COARSE, FULL):
                runs = [(trial.point, trial.seed) for trial in trials if trial.full == (phase == FULL)]
                asked = self.study.jobs(phase, candidate, split, runs) if runs else []
                jobs += [(phase, job) for job in asked]
            results = yield [job for _, job in jobs]
            for (phase, _), table in zip(jobs, results, strict=True):
                tables[phase].append(table)
                for point, seed, outcome in outcomes_of(table, space, self.plan.problem.scored_by):
                    scores[search.key(Trial(point, seed, phase == FULL))] = outcome
        choice = search.choice(scores)
        raced = yield from self._raced(name, split, choice, seeds)
        return choice, {phase: join(found) for phase, found in tables.items() if found} | {RACE: raced}

    def _raced(self, name, split, choice, seeds):
        runs = [(choice.point, seed) for seed in seeds]
        results = yield self.study.jobs(RACE, self.plan.candidates[name], split, runs)
        return join(results)

    def _run(self, activity, works):
        def on_jobs(name, asked, done):
            self.asked, self.done = self.asked + asked, self.done + done
            total = max(self.plan.runs, self.asked)
            self.on_run(f"{self.plan.problem.name}: {activity}", self.done, total)

        return run_all(works, self.store, on_jobs, crew=self.team)

    def _timing(self, choices):
        first = {name: found[0].point for name, found in choices.items()}
        return _times(f"{self.plan.problem.name}-timing", self.plan, self.study, self.store, first, self.team)


def _append(tables, found):
    """Add rows to the tables of each phase; those of the race in the order of the seeds."""
    for phase, table in found.items():
        tables[phase] = join([tables[phase], table]) if phase in tables else table
    order = np.argsort(tables[RACE]["seed"], kind="stable")
    tables[RACE] = {name: values[order] for name, values in tables[RACE].items()}
