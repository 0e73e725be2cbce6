"""A comparison as one call: problems and candidates in, verdicts, rows and a page out. The command line uses it too."""

import base64
import dataclasses
import html
import io
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxmlp._checks import shown
from jaxmlp.comparison import (
    candidates as competing,
)
from jaxmlp.comparison import (
    drawing,
    entries,
    figures,
    plans,
    protocol,
    record,
    records,
    report,
    store,
    summary,
    tables,
    tidy,
    trials,
)
from jaxmlp.comparison import problems as known
from jaxmlp.comparison.candidates import Candidate
from jaxmlp.comparison.inside import INSIDE
from jaxmlp.comparison.page import inside, write_page
from jaxmlp.comparison.plans import DEFAULT_OPTIMIZERS, FIRST_SEED, Plan
from jaxmlp.comparison.problems import Problem, ProblemData
from jaxmlp.comparison.spaces import Dimension
from jaxmlp.comparison.summary import Summary
from jaxmlp.comparison.verdicts import Pair
from jaxmlp.comparison.workers import Team, Workers

__docformat__ = "google"
__all__ = ["PAGE", "Comparison", "Progress", "compare", "train", "write_report"]

PAGE = "report.html"
"""The page of a finished comparison; records names the other files."""


class Progress(NamedTuple):
    """How far a comparison has come."""

    problem: str
    """Which is being worked on."""

    activity: str
    """What is being done."""

    done: int
    """Runs done on this problem."""

    total: int
    """Runs that there will be, as far as is known."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a comparison found. A notebook shows its verdicts, tables and pictures."""

    results: Mapping[str, Any]
    """The record, as in results.json."""

    curves: Mapping[str, np.ndarray]
    """"problem/candidate/phase/quantity" -> array, as in curves.npz."""

    page: Path | None
    """The HTML page; None if nothing was written."""

    @property
    def summaries(self) -> dict[str, Summary]:
        """Problem -> its results in numbers and sentences."""
        return {name: summary.summarise(name, problem) for name, problem in self.results["problems"].items()}

    @property
    def answers(self) -> dict[str, str]:
        """Problem -> the verdict in two sentences."""
        return {name: " ".join(found.answer) for name, found in self.summaries.items()}

    @property
    def verdicts(self) -> dict[str, list[Pair]]:
        """Problem -> the difference of every two candidates, with its interval and its verdict."""
        return {name: found.pairs for name, found in self.summaries.items()}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every number of every run, one row each: pandas.DataFrame(comparison.rows).

        As in runs.csv, but what is empty there is None, and a value that is not finite or was not reached is NaN.
        """
        found = []
        for name, problem in self.results["problems"].items():
            of_problem = records.of_problem(name, self.curves)
            found += [_plain_row(row) for row in tidy.rows(name, problem, of_problem)]
        return found

    def __str__(self) -> str:
        """Return verdicts and tables as text."""
        parts = [
            report.markdown_tables(name, problem, found)
            for (name, problem), found in zip(self.results["problems"].items(), self.summaries.values(), strict=True)
        ]
        return "\n".join([*parts, *([f"Page: {self.page}"] if self.page else [])])

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        parts = []
        for name, problem in self.results["problems"].items():
            found = self.summaries[name]
            first, *rest = found.answer
            parts.append(f"<p><b>{html.escape(first)}</b> {html.escape(' '.join(rest))}</p>")
            parts += [f"<p>Warning: {html.escape(warning)}</p>" for warning in found.warnings]
            parts.append(_html_table(tables.result_cells(name, problem, found)))
            picture = io.BytesIO()
            figures.runs(name, problem, found, {}).savefig(picture, format="png", dpi=100)
            coded = base64.b64encode(picture.getvalue()).decode()
            parts.append(f'<img alt="score of every run" src="data:image/png;base64,{coded}">')
        if self.page is not None:
            parts.append(f"<p>Page: <code>{html.escape(str(self.page))}</code></p>")
        return "\n".join(parts)


def compare(
    problems: str | Problem | Sequence[str | Problem],
    candidates: Sequence[str | Candidate] = DEFAULT_OPTIMIZERS,
    *,
    space: Mapping[str, Mapping[str, Dimension]] | None = None,
    schedules: Sequence[str] = (),
    tries: int | None = None,
    learning_rates: Sequence[float] | None = None,
    seeds: int | None = None,
    first_seed: int = FIRST_SEED,
    epochs: int | None = None,
    batch_size: int | None = None,
    full: bool = False,
    splits: int = 1,
    tuning_seeds: int | None = None,
    decide: bool = False,
    max_seeds: int | None = None,
    margin: float | Literal["default"] | None = "default",
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    instruments: bool = False,
    data_dir: str | Path | None = None,
    mirror: str | None = None,
    executor: Any = None,
    on_progress: Callable[[Progress], object] | None = None,
) -> Comparison:
    """Compare optimizers: tune each on a validation part, freeze the choice, train it from fresh seeds, give verdicts.

    Args:
        problems: what to train: names, references such as my_file.py:problem, or Problems; one or several.
        candidates: what competes: names, references such as optax.lion or my_rules.py:mine, or Candidates.
        space: candidate -> what is searched of it, argument -> dimension, e.g. {"adam": {"b1": uniform(0.8, 1)}}.
        schedules: names in jaxmlp.schedules.SCHEDULES; every candidate competes with each.
        tries: points of its space that every candidate is tried at, as for plans.make_plan.
        learning_rates: as for plans.make_plan, like all up to margin.
        seeds: fresh seeds of each choice.
        first_seed: the first of them.
        epochs: of each run.
        batch_size: examples per step.
        full: search a wide, fine grid.
        splits: how often tuning and choice are repeated.
        tuning_seeds: seeds of each choice and its neighbours while tuning.
        decide: add seeds until every pair has a verdict.
        max_seeds: with decide, the most.
        margin: differences up to this size count as equal.
        output: folder for record, curves, tables, pictures and page, and for finished runs while it trains; None: no
            file is written.
        resume: continue the interrupted comparison in output.
        overwrite: replace the finished record in output.
        instruments: train the first run of each candidate's race once more, with instruments, and draw what they
            measured on a page of its own, instruments.html.
        data_dir: data set directory, as for jaxmlp.datasets.load.
        mirror: as for jaxmlp.datasets.load.
        executor: trains in other processes or on other machines: a concurrent.futures executor, a
            dask.distributed.Client, or anything else that workers.Workers takes. The numbers are the same.
        on_progress: called with a Progress whenever runs end.

    Returns:
        A Comparison: verdicts, rows, the record, and the path of the page.

    Raises:
        ValueError: a setting, a problem or its data cannot be used; raised before anything is trained.
        workers.LostError: the worker of a piece died at every try; what has ended is kept in output.

    Example:
        >>> import jaxmlp.comparison.problems as known
        >>> digits = dataclasses.replace(known.get("digits"), epochs=1)
        >>> found = compare(digits, ["sgd", "adam"], learning_rates=[0.1], seeds=2, tuning_seeds=1)
        >>> sorted(pair.verdict for pair in found.verdicts["digits"]), found.page is None
        (['undecided'], True)
    """
    started = time.perf_counter()
    if resume and output is None:
        raise ValueError("resume continues what is in an output folder; name it by output, or leave out resume")
    settings: dict[str, Any] = {
        "tries": tries,
        "learning_rates": learning_rates,
        "seeds": seeds,
        "first_seed": first_seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "full": full,
        "splits": splits,
        "tuning_seeds": tuning_seeds,
        "decide": decide,
        "max_seeds": max_seeds,
        "margin": margin,
    }
    assignments = [(name, argument, d) for name, of in (space or {}).items() for argument, d in of.items()]
    competitors = trials.checked(competing.resolve(candidates, assignments, schedules))
    planned = {p.name: plans.make_plan(p, competitors, **settings) for p in _named(problems)}
    if output is not None and not (overwrite or resume):
        records.check_free(Path(output))
    workers = None if executor is None else Workers(executor, data_dir=data_dir, mirror=mirror)
    folder = None if data_dir is None else Path(data_dir)
    data = {name: known.load(plan.problem, data_dir=folder, mirror=mirror) for name, plan in planned.items()}
    told: Any = {
        "command": "jaxmlp.comparison.compare, called from Python",
        "why": "named by the caller",
        "instruments": instruments,
        "workers": workers,
        "on_progress": on_progress,
    }
    if output is None:
        with tempfile.TemporaryDirectory() as folder:
            results, curves = train(planned, data, Path(folder), **told)
        return Comparison(results | {"seconds_of_last_call": time.perf_counter() - started}, curves, None)
    folder = Path(output)
    train(planned, data, folder, resume=resume, **told)
    results, curves = records.read(folder)
    write_report(folder, results, curves)
    return Comparison(results, curves, folder / PAGE)


def train(
    planned: Mapping[str, Plan],
    data: Mapping[str, ProblemData],
    folder: Path,
    *,
    why: str,
    arguments: Sequence[str] | None = None,
    command: str = "",
    resume: bool = False,
    add_seeds: int = 0,
    instruments: bool = False,
    workers: Workers | None = None,
    on_progress: Callable[[Progress], object] | None = None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Train what the plans say, and write the record and the curves into the folder.

    Args:
        planned: problem -> plan.
        data: problem -> its three parts.
        folder: of the record; what is finished is kept there in the meantime.
        why: these problems.
        arguments: of the command that repeats it; None: there is no such command.
        command: what to say instead.
        resume: continue with what is kept.
        add_seeds: extend the finished record in the folder by further seeds of each candidate.
        instruments: train the first run of each candidate's race once more, with instruments.
        workers: train and take the times; None: this process does.
        on_progress: called with a Progress whenever runs end.

    Returns:
        (record, curves).

    Raises:
        ValueError: a plan does not fit its data, or the folder holds something else; raised before anything is trained.

    Example:
        >>> plan = plans.make_plan(known.get("digits"), ["sgd"], learning_rates=[0.1], seeds=1, epochs=1)
        >>> data = {"digits": known.load(plan.problem)}
        >>> results, curves = train({"digits": plan}, data, Path(tempfile.mkdtemp()), command="none", why="an example")
        >>> results["format"], curves["digits/sgd/race/test_score"].shape
        (3, (1, 1))
    """
    started = time.perf_counter()
    origin = record.provenance()
    for name, plan in planned.items():
        protocol.check_fits(plan, data[name])
    digests = {name: record.digest(*jax.tree.leaves(parts)) for name, parts in data.items()}
    described = {name: plan.describe() for name, plan in planned.items()}
    identity = {"plans": described, "data": digests, "provenance": origin, "added_seeds": add_seeds}
    before, added, watched, places = _finished(folder, identity, add_seeds) if add_seeds else ({}, [], False, [])
    teams = {} if workers is None else {n: Team(workers, plan, digests[n]) for n, plan in planned.items()}
    runs = store.RunStore(folder / store.UNFINISHED, identity, resume=resume)
    studies: dict[str, Any] = {}
    curves: dict[str, np.ndarray] = {}
    try:
        for name, plan in planned.items():

            def on_run(activity, done, total, name=name):
                if on_progress is not None:
                    on_progress(Progress(name, activity, done, total))

            study, found = protocol.execute(
                plan,
                data[name],
                runs,
                on_run,
                before=before.get(name),
                add_seeds=add_seeds,
                instruments=instruments or watched,
                team=teams.get(name),
            )
            studies[name] = study | {"data_sha256": digests[name]}
            curves |= {f"{name}/{path}": values for path, values in found.items()}
        results = {
            "experiment": "optimizers",
            "arguments": arguments,
            "added_seeds": added,
            "command": command if arguments is None else records.command_of(arguments, added),
            "problem_chosen_because": why,
            "provenance": origin,
            "problems": studies,
            "seconds_of_last_call": time.perf_counter() - started,
        }
        if places or runs.places:
            results["places"] = record.of_places(runs.places.values(), places)
        replaced = _problems_of(folder)
        results = records.write(folder, results, curves)
        runs.discard()
        for name, kind in itertools.product(replaced - set(planned), figures.PER_PROBLEM):
            (folder / f"{name}-{kind}.png").unlink(missing_ok=True)
    finally:
        runs.close()
        if workers is not None:
            workers.close()
    return results, curves


def write_report(folder: Path, results: Mapping[str, Any], curves: Mapping[str, np.ndarray]) -> dict[str, Summary]:
    """Write every table, picture and page of a record beside it.

    Args:
        folder: of the record.
        results: the record.
        curves: as read returns them.

    Returns:
        Problem -> summary.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> folder = Path(tempfile.mkdtemp())
        >>> found = write_report(folder, toy.RECORD, {f"digits/{path}": v for path, v in toy.CURVES.items()})
        >>> sorted(path.name for path in folder.iterdir() if path.suffix in (".md", ".html", ".csv"))
        ['report.html', 'runs.csv', 'table.md']
    """
    summaries = {name: summary.summarise(name, problem) for name, problem in results["problems"].items()}
    texts: dict[str, list[str]] = {"table.md": [], "table.tex": []}
    for name, problem in results["problems"].items():
        found = summaries[name]
        texts["table.md"].append(report.markdown_tables(name, problem, found))
        texts["table.tex"].append(report.latex_table(name, problem, found))
        of_problem = records.of_problem(name, curves)
        for kind, draw in figures.PER_PROBLEM.items():
            drawing.save(draw(name, problem, found, of_problem), folder / f"{name}-{kind}.png")
    texts["table.md"].append(report.markdown(report.origin(results)) + "\n")
    texts["table.tex"].append("% " + " ".join(report.origin(results).splitlines()) + "\n")
    for file, parts in texts.items():
        record.save_text(folder / file, "\n".join(parts))
    tidy.write(folder / "runs.csv", results["problems"], curves)
    inside.write_page(folder / inside.PAGE, results, curves)
    write_page(folder / PAGE, results, summaries, curves)
    return summaries


def _problems_of(folder):
    """The problems of the record in a folder, whose pictures lie beside it; none if there is no record."""
    try:
        return set(records.read(folder)[0]["problems"])
    except (ValueError, OSError):
        return set()


def _named(given):
    """The problems as a list, those given by name or reference loaded, all with different names."""
    several = [given] if isinstance(given, str | Problem) else list(given)
    found = []
    for one in several:
        if not isinstance(one, str | Problem):
            raise TypeError(f"a problem is a name, a reference or a Problem, got {shown(one)}")
        found.append(known.get(one) if isinstance(one, str) else one)
    names = [problem.name for problem in found]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"problems must have different names, at least one, got {names}")
    return found


def _finished(folder, identity, add_seeds):
    """What an earlier call has trained, problem by problem; a ValueError if it was not this comparison."""
    results, curves = records.read(folder)
    then = {
        "plans": {name: entry["plan"] | {"problem": entry["problem"]} for name, entry in results["problems"].items()},
        "data": {name: entry["data_sha256"] for name, entry in results["problems"].items()},
        "versions": results["provenance"]["versions"],
        "device": results["provenance"]["device"],
    }
    origin = identity["provenance"]
    now = {**{part: identity[part] for part in ("plans", "data")}, **{p: origin[p] for p in ("versions", "device")}}
    store.check_same(
        then,
        now,
        f"the record in {folder} cannot be extended by {add_seeds} seeds, since it was made with other settings",
        "repeat the settings of the command that made it, or choose another --output and leave out --add-seeds",
    )
    identity["extends"] = results["curves"]["crc32"]
    finished = {
        name: entries.read_finished(entry, records.of_problem(name, curves))
        for name, entry in results["problems"].items()
    }
    watched = any(path.split("/")[2:3] == [INSIDE] for path in curves)
    return finished, [*results["added_seeds"], add_seeds], watched, results.get("places", [])


def _plain_row(row):
    """A row of runs.csv by the names of its columns, in Python's own numbers."""
    *keys, value = (cell.item() if isinstance(cell, np.generic) else cell for cell in row)
    cells = [None if cell == "" else cell for cell in keys]
    return dict(zip(tidy.COLUMNS, [*cells, np.nan if value == "" else float(value)], strict=True))


def _html_table(cells):
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in cells.headings)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in cells.rows)
    caption = f"<caption>{html.escape(cells.caption)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
