"""The frame of the commands: their common options, the run of an experiment, its record and its tables."""

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from experiments.common import movies
from experiments.common.movies import Movie
from jaxmlp.comparison import record, statistics
from jaxmlp.comparison.console import Parser, add_data_options, guarded, left_after_interrupt, progress, start
from jaxmlp.comparison.drawing import save

__all__ = [
    "LARGEST",
    "Comparison",
    "Outcome",
    "add_training_options",
    "options",
    "progress",
    "run",
    "start",
    "up_to",
    "with_interval",
]


class Comparison(NamedTuple):
    """One row of the last table: a published figure beside what was measured here."""

    quantity: str
    """With its unit, e.g. "test accuracy (%)"."""

    published: str
    """As it was published; "-" if nothing was."""

    values: Any
    """What was measured, one value per seed, (n,)."""

    form: str = ".2f"
    """Format of the mean and of the interval."""


class Outcome(NamedTuple):
    """What an experiment found."""

    results: Mapping[str, Any]
    """Goes into the record: nested mappings, arrays and plain values."""

    comparisons: Sequence[Comparison] = ()
    """Rows of the last table. Without any there is no such table, and the results are fields of the record itself."""

    notes: Sequence[str] = ()
    """Printed below the tables, one line each."""

    pictures: Mapping[str, Callable[[], Figure]] = {}
    """File name without suffix -> what draws it."""

    tables: Sequence[Table] = ()
    """Printed before the last one."""

    recorded: Callable[[], None] = lambda: None
    """Called once the record is on disk."""

    status: int = 0
    """Exit status of the command."""

    movies: Mapping[str, Callable[[], Movie]] = {}
    """File name without suffix -> what makes it."""


LARGEST = 2**31 - 1
"""The largest count: JAX counts in int32."""

Experiment = Callable[[argparse.Namespace, Console], Outcome]

_NO_SETTINGS = {"seeds", "output", "data_dir", "mirror", "resume", "choose", "dataset"}


def run(name: str, experiment: Experiment, parser: Parser, arguments: Sequence[str] | None) -> int:
    """Run an experiment as a command, with its record, pictures and tables.

    The record is written before anything is drawn, so that an error in a picture does not lose the run. An output
    folder in which nothing was written is removed again.

    Args:
        name: of the module, e.g. "titanic".
        experiment: (options, console) -> Outcome. Its ValueErrors and OSErrors are reported in one line, with exit
            status 2.
        parser: as options builds it.
        arguments: the words after the command's name; None: those of sys.argv.

    Returns:
        The exit status: that of the outcome, 2 after an error that the user can fix, 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)

    def body(console):
        given = parser.parse(words)
        created = not given.output.exists()
        given.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=given.output):
            pass  # a folder that cannot be written to is reported before anything is trained
        changed = _changed(parser, given)
        if changed:
            console.print(f"Not the default settings: {changed}", highlight=False, soft_wrap=True)
        started = time.perf_counter()
        try:
            outcome = experiment(given, console)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(left_after_interrupt(given.output)) from None
        finally:
            if created and not any(given.output.iterdir()):
                given.output.rmdir()
        seconds = time.perf_counter() - started
        if changed:
            outcome = outcome._replace(notes=[f"Not the default settings: {changed}.", *outcome.notes])
        origin = record.provenance()
        command = f"python -m experiments.{name} {shlex.join(words)}".strip()
        record.write(given.output / "results.json", _fields(name, command, given, outcome, origin, seconds))
        try:
            outcome.recorded()
            _write_and_print(name, given, outcome, origin, seconds, console)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("the record is written, but not every table and picture") from None
        except OSError as error:
            raise ValueError(f"{error}; the record is written, but not every table and picture") from error
        return outcome.status

    return guarded(body)


def options(name: str, description: str, *, seeds: int | None = None, data: bool = False) -> Parser:
    """Build the parser of a command, with the options that all commands have.

    Args:
        name: of the module.
        description: of the experiment, for --help.
        seeds: default of --seeds; None for a command without this option.
        data: add --data-dir and --mirror, for a command that reads a data set from disk or the network.
    """
    parser = Parser(f"python -m experiments.{name}", description)
    add = parser.add_argument
    if seeds is not None:
        add(
            "--seeds",
            type=up_to(LARGEST),
            default=seeds,
            least=1,
            metavar="N",
            help="number of runs, with the seeds 0 to N - 1",
        )
    folder = Path("results") / name
    add("--output", type=Path, default=folder, metavar="DIR", help="output folder for record, tables and pictures")
    if data:
        add_data_options(parser)
    return parser


def add_training_options(
    parser: Parser,
    *,
    rule: str,
    learning_rate: float,
    batch_size: int | Sequence[int],
    epochs: int,
    least_epochs: int = 1,
    examples: int = LARGEST,
) -> None:
    """Add --learning-rate, --batch-size and --epochs with their defaults.

    Args:
        parser: of the command.
        rule: name of the optimizer, for --help.
        learning_rate: per step.
        batch_size: examples per step; a sequence for a command that trains with several batch sizes.
        epochs: passes over the training set.
        least_epochs: the smallest number of epochs allowed.
        examples: in the training set, where that is known before it is loaded; the largest batch size allowed.
    """
    add = parser.add_argument
    text = f"learning rate of {rule}, per step"
    add("--learning-rate", type=float, default=learning_rate, above=0, metavar="RATE", help=text)
    sizes: dict[str, Any] = {"type": up_to(examples), "default": batch_size, "least": 1, "metavar": "N"}
    if isinstance(batch_size, int):
        add("--batch-size", **sizes, help="examples per step")
    else:
        add("--batch-size", **sizes, nargs="+", help="examples per step, one or several sizes; the first is analysed")
    add(
        "--epochs",
        type=up_to(LARGEST),
        default=epochs,
        least=least_epochs,
        metavar="N",
        help="passes over the training set",
    )


def up_to(most: int) -> Callable[[str], int]:
    """Build the type of an option that takes integers of at most `most`, checked before anything is loaded."""

    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"invalid int value: {text!r}") from error
        if value > most:
            raise argparse.ArgumentTypeError(f"must be at most {most:,}, got {text[:50]}")
        return value

    return whole_number


def with_interval(values: Any, form: str = ".2f", *, count: bool = True) -> str:
    """Write a mean and its 95 % interval.

    Args:
        values: one per seed, (n,).
        form: format of the mean and of the interval.
        count: append n.
    """
    found = statistics.interval(values)
    known = found.n > 1 and np.isfinite(found.half_width)
    text = f"{found.mean:{form}}" + (f" ± {found.half_width:{form}}" if known else "")
    return text + (f" (n = {found.n})" if count else "")


def _changed(parser, given):
    """The options whose values are not the defaults, as text."""
    found = []
    for name, value in vars(given).items():
        default = parser.get_default(name)
        if name not in _NO_SETTINGS and value != default and default is not None:
            found.append(f"--{name.replace('_', '-')} {_text(value)} (default: {_text(default)})")
    return ", ".join(found)


def _text(value):
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _fields(name, command, given, outcome, origin, seconds):
    """The record."""
    found: Mapping[str, Any] = outcome.results
    if outcome.comparisons:
        compared = [
            {"quantity": c.quantity, "published": c.published, "values": c.values}
            | statistics.interval(c.values)._asdict()
            for c in outcome.comparisons
        ]
        found = {"options": vars(given), "comparisons": compared, "notes": outcome.notes, "results": outcome.results}
    head = {"experiment": name, "format": 1, "command": command, "provenance": origin}
    return {**head, "seconds_in_all": seconds, **found}


def _write_and_print(name, given, outcome, origin, seconds, console):
    """Tables and pictures, made from the outcome."""
    if outcome.comparisons:
        record.save_text(given.output / "table.md", _markdown(name, outcome))
    for picture, draw in outcome.pictures.items():
        figure = draw()
        save(figure, given.output / f"{picture}.png")
        plt.close(figure)
    for name_of_movie, make in outcome.movies.items():
        movies.save(make(), given.output / f"{name_of_movie}.gif")
    for table in outcome.tables:
        console.print(table)
    if outcome.comparisons:
        console.print(_table(name, outcome))
    for note in outcome.notes:
        console.print(f"  {note}", highlight=False, soft_wrap=True, markup=False)
    count = getattr(given, "seeds", 0)
    seeds = f"±: 95 % interval over the seeds 0 to {count - 1}. " if count > 1 else "Seed 0 alone. " if count else ""
    versions = ", ".join(f"{package} {origin['versions'][package]}" for package in ("jaxmlp", "jax", "optax", "python"))
    written = "Record, table and pictures" if outcome.comparisons else "Record and pictures"
    console.print(
        f"  {seeds}{versions}; {origin['device']}, {origin['cpus']} CPUs; commit {origin['commit'] or 'unknown'}; "
        f"{seconds:.0f} s in all.\n  {written}: {given.output}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


def _table(name, outcome):
    table = Table("", "published", "here", title=f"{name}: published and measured")
    for row in outcome.comparisons:
        table.add_row(row.quantity, row.published, with_interval(row.values, row.form))
    return table


def _markdown(name, outcome):
    lines = [f"| {name} | published | here |", "| :-- | --: | --: |"]
    lines += [f"| {c.quantity} | {c.published} | {with_interval(c.values, c.form)} |" for c in outcome.comparisons]
    return "\n".join([*lines, "", *(f"- {note}" for note in outcome.notes), ""])
