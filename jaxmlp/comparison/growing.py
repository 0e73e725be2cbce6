"""Further candidates for a finished record, under its own plans and seeds."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxmlp.comparison import entries, protocol, record, records, store
from jaxmlp.comparison.comparing import Progress
from jaxmlp.comparison.inside import INSIDE
from jaxmlp.comparison.plans import Plan
from jaxmlp.comparison.problems import ProblemData
from jaxmlp.comparison.store import Arrays
from jaxmlp.comparison.study import RACE
from jaxmlp.comparison.workers import Team, Workers

__docformat__ = "google"
__all__ = ["add", "check_plans"]


def check_plans(folder: Path, results: Mapping[str, Any], planned: Mapping[str, Plan]) -> None:
    """Raise a ValueError unless plans are those of a record but for candidates that it lacks.

    Args:
        folder: of the record, for messages.
        results: the record.
        planned: problem -> plan with all candidates.

    Example:
        >>> from jaxmlp.comparison import plans, problems, toy
        >>> plan = plans.make_plan(problems.get("digits"), ["sgd", "momentum"], tries=4)
        >>> check_plans(Path("toy"), toy.RECORD, {"digits": plan})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: momentum cannot be added to the record in toy, which was searched along grids of learning rates; ...
    """
    for name, plan in planned.items():
        entry = results["problems"][name]
        new = [candidate for candidate in plan.candidates if candidate not in entry["candidates"]]
        what = f"{', '.join(new)} cannot be added to the record in {folder}"
        if plan.tries is not None and any(each["search"] == "grid" for each in entry["candidates"].values()):
            raise ValueError(
                f"{what}, which was searched along grids of learning rates; for several hyperparameters run the "
                "comparison again with --tries and all candidates"
            )
        remedy = "undo the change, or run the comparison again with all candidates"
        now = _narrowed(plan, entry["candidates"]).describe()
        store.check_same(
            {"plans": {name: entry["plan"] | {"problem": entry["problem"]}}}, {"plans": {name: now}}, what, remedy
        )
    origin = record.provenance()
    for part in ("versions", "device"):
        what = f"the record in {folder} was made by another setup"
        store.check_same({part: results["provenance"][part]}, {part: origin[part]}, what, "run the comparison again")


def add(
    folder: Path,
    planned: Mapping[str, Plan],
    data: Mapping[str, ProblemData],
    *,
    arguments: list[str] | None,
    resume: bool = False,
    workers: Workers | None = None,
    on_progress: Callable[[Progress], object] | None = None,
) -> tuple[dict[str, Any], Arrays]:
    """Train the candidates that a finished record lacks, with as many seeds, and write the record with all of them.

    Pairs, power and times are made again.

    Args:
        folder: of the record.
        planned: problem -> plan with all candidates, as check_plans has checked them.
        data: problem -> its three parts.
        arguments: of the command that makes the whole record.
        resume: continue with the runs that are kept in the folder.
        workers: train and take the times; None: this process does.
        on_progress: called with a Progress whenever runs end.

    Returns:
        (record, curves).

    Raises:
        ValueError: the data are not those of the record.

    Example:
        >>> add(Path("no such folder"), {}, {}, arguments=None)
        Traceback (most recent call last):
        ValueError: there is no results.json in no such folder; run the comparison first, or give its folder to --output
    """
    started = time.perf_counter()
    results, curves = records.read(folder)
    origin = record.provenance()
    for name, parts in data.items():
        before, now = results["problems"][name]["data_sha256"], record.digest(*jax.tree.leaves(parts))
        what = f"the data are not those of the record in {folder}"
        store.check_same(
            {"data": {name: before}}, {"data": {name: now}}, what, "find them, or run the comparison again"
        )
    identity = {"plans": {n: p.describe() for n, p in planned.items()}, "adds_to": results["curves"]["crc32"]}
    teams = (
        {}
        if workers is None
        else {n: Team(workers, p, results["problems"][n]["data_sha256"]) for n, p in planned.items()}
    )
    runs = store.RunStore(folder / store.UNFINISHED, identity | {"provenance": origin}, resume=resume)
    studies, together = {}, {}
    try:
        for name, plan in planned.items():

            def on_run(activity, done, total, name=name):
                if on_progress is not None:
                    on_progress(Progress(name, activity, done, total))

            old = results["problems"][name], records.of_problem(name, curves)
            entry, arrays = _grown(plan, data[name], old, runs, on_run, teams.get(name))
            studies[name] = entry
            together |= {f"{name}/{path}": values for path, values in arrays.items()}
        same = results["provenance"]["commit"] == origin["commit"]
        changes = {
            "arguments": arguments,
            "command": "" if arguments is None else records.command_of(arguments, results["added_seeds"]),
            "provenance": origin if same else origin | {"commit": None},
            "problems": studies,
            "seconds_of_last_call": time.perf_counter() - started,
        }
        if runs.places:
            changes["places"] = record.of_places(runs.places.values(), results.get("places", ()))
        written = records.write(folder, results | changes, together)
        runs.discard()
    finally:
        runs.close()
        if workers is not None:
            workers.close()
    return written, together


def _grown(plan, data, old, runs, on_run, team):
    """The entry and the curves of a problem with the candidates that it lacks."""
    entry, curves = old
    finished = entries.read_finished(entry, curves)
    lacking = [name for name in plan.candidates if name not in entry["candidates"]]
    most = max(len(tables[RACE]["seed"]) for tables in finished.tables.values())
    own = dataclasses.replace(_narrowed(plan, lacking), seeds=most, max_seeds=None)
    instruments = any(path.split("/")[2:3] == [INSIDE] for path in curves)
    added, arrays = protocol.execute(own, data, runs, on_run, instruments=instruments, team=team)
    # As if it had taken part from the beginning: the looks are made again, with all candidates.
    kept = {part: entry["plan"][part] for part in ("seeds", "max_seeds")}
    added |= {"data_sha256": entry["data_sha256"], "race": entry["race"], "plan": added["plan"] | kept}
    what, remedy = "the candidates cannot be added", "run the comparison again with all of them"
    joined, together = records.join_problem(old, (added, arrays), what, remedy)
    chosen = {name: choices[0].point for name, choices in entries.read_finished(joined, together).choices.items()}
    for name, seconds in protocol.timed(plan, data, runs, chosen, team).items():
        joined["candidates"][name]["timing"] = {"seconds_per_epoch": seconds}
    return joined | {"timed_apart": False}, together


def _narrowed(plan, names):
    """The plan with some of its candidates."""
    return dataclasses.replace(
        plan,
        candidates={name: one for name, one in plan.candidates.items() if name in names},
        spaces={name: space for name, space in plan.spaces.items() if name in names},
        grids={name: grid for name, grid in plan.grids.items() if name in names},
    )
