"""What the commands that reproduce a published system share: options, progress, the record and the last table."""

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from jaxmlp import _files
from jaxmlp.comparison import record, statistics
from jaxmlp.comparison.compiled import keep_compiled
from jaxmlp.comparison.drawing import save
from jaxmlp.datasets import DatasetUnavailableError


class Comparison(NamedTuple):
    """One row of the last table: a published figure, and what was measured here."""

    quantity: str  # with its unit, e.g. "test accuracy (%)"
    published: str  # as it was published; "-" where nothing was
    values: Any  # one per seed, (n,)
    form: str = ".2f"  # how to write mean and interval


class Outcome(NamedTuple):
    """What an experiment found."""

    results: Mapping[str, Any]  # goes into the record: nested mappings, arrays and plain values
    comparisons: Sequence[Comparison]
    notes: Sequence[str] = ()  # one line each, below the table
    pictures: Mapping[str, Callable[[], Figure]] = {}  # file name without ending -> what draws it
    tables: Sequence[Table] = ()  # printed before the last one
    recorded: Callable[[], None] = lambda: None  # called once the record is on disk


RUNS = "unfinished-runs"  # the folder of finished runs of a command that can go on with them
_ANYWAY = {"seeds", "output", "data_dir", "mirror", "resume", "choose", "dataset"}  # these change no setting

Experiment = Callable[[argparse.Namespace, Console], Outcome]


def run(name: str, experiment: Experiment, parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Run an experiment as a command: record, pictures and table; returns the exit status.

    The record is written before anything is drawn, so that a run is never lost to a picture.

    Args:
        name: of the module, e.g. "titanic".
        experiment: (options, console) -> Outcome. A ValueError or OSError is told as one line, with exit status 2.
        parser: as options makes it.
        arguments: of the command line; None: sys.argv.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(words)

    def body(console):
        if options.seeds < 1:
            raise ValueError(f"--seeds must be at least 1, got {options.seeds}")
        # What cannot be written is told before anything is trained.
        made = not options.output.exists()
        options.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.output):
            pass
        changed = _changed(parser, options)
        if changed:
            console.print(f"Not the published settings: {changed}", highlight=False, soft_wrap=True)
        started = time.perf_counter()
        try:
            outcome = experiment(options, console)
        finally:
            if made and not any(options.output.iterdir()):  # refused, or broken off before anything was kept
                options.output.rmdir()
        seconds = time.perf_counter() - started
        if changed:
            outcome = outcome._replace(notes=[f"Not the published settings: {changed}.", *outcome.notes])
        _write(name, f"python -m experiments.{name} {shlex.join(words)}".strip(), options, outcome, seconds, console)
        return 0

    def interrupted():
        kept = any((options.output / RUNS).glob("*.npz"))
        return "finished runs are kept; to go on: the same command with --resume" if kept else "no record was written"

    return guarded(body, interrupted)


def guarded(body: Callable[[Console], int], interrupted: Callable[[], str] = lambda: "no record was written") -> int:
    """Call body with a console and return its exit status; tell what a user can mend in one line, with status 2.

    interrupted says what is left of a run that the user broke off.
    """
    console, errors = Console(), Console(stderr=True)
    if not console.is_terminal:  # a file or a pipe, which can take lines of any length
        console = Console(width=120)
    try:
        return body(console)
    # What a user can mend; anything else is a defect and shows its traceback.
    except (ValueError, OSError) as error:
        hint = "" if isinstance(error, ValueError | DatasetUnavailableError) else "; name another folder by --output"
        errors.print(f"error: {error}{hint}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        errors.print(f"interrupted; {interrupted()}", style="yellow")
        return 130


def start(main: Callable[[], int]) -> None:
    """Run main as the program, compiled programs kept in the user's cache, and leave with its exit status."""
    keep_compiled()
    status = main()
    if status == 130:
        # Runs that are under way in threads cannot be stopped, and leaving in the ordinary way would wait for them.
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


def options(name: str, description: str, *, seeds: int, data: bool = False) -> argparse.ArgumentParser:
    """Build the parser of a command, with the options that all have.

    Args:
        name: of the module.
        description: of the experiment, for --help.
        seeds: the default of --seeds.
        data: whether the command reads a data set from disk or the network: --data-dir and --mirror.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{name}",
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--seeds", type=int, default=seeds, metavar="N", help="runs, with the seeds 0 to N - 1")
    folder = Path("results") / name
    add("--output", type=Path, default=folder, metavar="DIR", help="where to write record, table and pictures")
    if data:
        add("--data-dir", type=Path, metavar="DIR", help="where data sets lie, or are put; else $TFDS_DATA_DIR")
        add("--mirror", metavar="URL", help="fetch missing data sets from here; else $JAXMLP_MIRROR")
    return parser


def progress(console: Console, unit: str = "runs") -> Progress:
    """Build a progress bar that shows what is done, how far it is, and how long it takes."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    shown = {"console": console, "transient": True, "disable": not console.is_terminal}
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), **shown)


def here(comparison: Comparison) -> str:
    """Write what was measured: mean, 95 % interval and n."""
    found = statistics.interval(comparison.values)
    if found.n == 1 or not np.isfinite(found.half_width):
        return f"{found.mean:{comparison.form}} (n = {found.n})"
    return f"{found.mean:{comparison.form}} ± {found.half_width:{comparison.form}} (n = {found.n})"


def _changed(parser, options):
    """The options that were given another value than the published one, as text."""
    found = []
    for name, value in vars(options).items():
        default = parser.get_default(name)
        if name not in _ANYWAY and value != default and default is not None:
            found.append(f"--{name.replace('_', '-')} {value} (published or ours: {default})")
    return ", ".join(found)


def _write(name, command, options, outcome, seconds, console):
    origin = record.provenance()
    compared = [
        {"quantity": c.quantity, "published": c.published, "values": c.values} | statistics.interval(c.values)._asdict()
        for c in outcome.comparisons
    ]
    results = {
        "experiment": name,
        "format": 1,
        "command": command,
        "options": vars(options),
        "provenance": origin,
        "seconds_in_all": seconds,
        "comparisons": compared,
        "notes": outcome.notes,
        "results": outcome.results,
    }
    record.write(options.output / "results.json", results)
    outcome.recorded()
    _files.write(options.output / "table.md", _markdown(name, outcome))
    for picture, draw in outcome.pictures.items():
        save(draw(), options.output / f"{picture}.png")
    for table in outcome.tables:
        console.print(table)
    table = Table("", "published", "here", title=f"{name}: published and measured")
    for comparison in outcome.comparisons:
        table.add_row(comparison.quantity, comparison.published, here(comparison))
    console.print(table)
    for note in outcome.notes:
        console.print(f"  {note}", highlight=False, soft_wrap=True, markup=False)
    versions = ", ".join(f"{package} {origin['versions'][package]}" for package in ("jaxmlp", "jax", "optax", "python"))
    console.print(
        f"  ±: 95 % interval over the seeds 0 to {options.seeds - 1}. {versions}; {origin['device']}, {origin['cpus']} "
        f"CPUs; commit {origin['commit'] or 'unknown'}; {seconds:.0f} s in all.\n"
        f"  Record, table and pictures: {options.output}",
        highlight=False,
        soft_wrap=True,
    )


def _markdown(name, outcome):
    lines = [f"| {name} | published | here |", "| :-- | --: | --: |"]
    lines += [f"| {c.quantity} | {c.published} | {here(c)} |" for c in outcome.comparisons]
    return "\n".join([*lines, "", *(f"- {note}" for note in outcome.notes), ""])
