"""Which optimizer, at which learning rate, is better, and is the difference real?

Tunes each optimizer's learning rate on a validation part, freezes the choice, trains it again with fresh seeds, and
measures those runs on the test set. Run: python -m experiments.optimizers --help
"""

import argparse
import itertools
import shlex
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from jaxmlp import _files
from jaxmlp.comparison import drawing, figures, problems, protocol, record, report
from jaxmlp.comparison.page import write_page
from jaxmlp.comparison.store import RunStore, load_arrays, save_arrays
from jaxmlp.datasets import DatasetUnavailableError

_RECORD, _CURVES, _RUNS = "results.json", "curves.npz", "unfinished-runs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    console, errors = Console(), Console(stderr=True)
    if not console.is_terminal:  # a file or a pipe, which can take lines of any length
        console = Console(width=120)
    try:
        if options.list:
            console.print(_problem_table())
        elif options.report_only:
            _report(options.output, console)
        else:
            _run(options, words, console)
    # What a user can mend; anything else is a defect and shows its traceback.
    except (ValueError, OSError) as error:
        hint = "" if isinstance(error, ValueError | DatasetUnavailableError) else "; name another folder by --output"
        errors.print(f"error: {error}{hint}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        kept = any((options.output / _RUNS).glob("*.npz"))
        what = "finished runs are kept. To go on: the same command with --resume" if kept else "no run had finished"
        errors.print(f"interrupted; {what}", style="yellow")
        return 130
    return 0


def _run(options, words, console):
    started = time.perf_counter()
    folder = options.output
    # All that can be refused is, before data are loaded or fetched.
    for name in options.problem or ("mnist", "digits"):
        _plan(name, options)
    folder.mkdir(parents=True, exist_ok=True)
    chosen, why = _chosen_problems(options)
    console.print(f"[bold]{', '.join(chosen)}[/bold]: {why}", highlight=False, soft_wrap=True)
    plans = {name: _plan(name, options) for name in chosen}
    origin = record.provenance()
    for name, plan in plans.items():
        protocol.check_fits(plan, chosen[name])
    digests = {name: record.digest(*itertools.chain(*data)) for name, data in chosen.items()}
    identity = {"plans": {name: plan.describe() for name, plan in plans.items()}, "data": digests, "provenance": origin}
    store = RunStore(folder / _RUNS, identity, resume=options.resume)
    studies, curves = {}, {}
    with _progress(console) as progress:
        bar = progress.add_task("starting", total=sum(plan.runs for plan in plans.values()))
        for name, plan in plans.items():
            study, found = protocol.execute(
                plan, chosen[name], store, lambda what, runs: progress.update(bar, description=what, advance=runs)
            )
            studies[name] = study | {"data_sha256": digests[name]}
            curves |= {f"{name}/{path}": values for path, values in found.items()}
        progress.update(bar, description="done")
    save_arrays(folder / _CURVES, curves)
    results = {
        "experiment": "optimizers",
        "format": 1,
        "command": "python -m experiments.optimizers " + shlex.join(words),
        "problem_chosen_because": why,
        "provenance": origin,
        "curves": {"file": _CURVES, "crc32": zlib.crc32((folder / _CURVES).read_bytes())},
        "problems": studies,
        "seconds_of_last_call": time.perf_counter() - started,
    }
    record.write(folder / _RECORD, results)
    store.discard()
    _report(folder, console)


def _report(folder: Path, console: Console) -> None:
    """Make every table, picture and page from the record in folder."""
    results, curves = _read(folder)
    texts: dict[str, list[str]] = {"table.md": [], "table.tex": []}
    written, summaries = [], {}
    for name, problem in results["problems"].items():
        own = {path.split("/", 1)[1]: values for path, values in curves.items() if path.split("/", 1)[0] == name}
        summary = summaries[name] = report.summarise(problem)
        for table in report.screen_tables(name, problem, summary):
            console.print(table)
        for finding in summary.findings:
            console.print(f"  {finding}", highlight=False, soft_wrap=True)
        texts["table.md"].append(report.markdown_tables(name, problem, summary))
        texts["table.tex"].append(report.latex_table(name, problem, summary))
        for kind, draw in figures.PER_PROBLEM.items():
            path = folder / f"{name}-{kind}.png"
            drawing.save(draw(name, problem, own), path)
            written.append(path)
    texts["table.md"].append(report.origin(results) + "\n")
    texts["table.tex"].append("% " + report.origin(results) + "\n")
    for file, parts in texts.items():
        _files.write(folder / file, "\n".join(parts))
    times = report.target_times(results["problems"])
    drawing.save(figures.profile(times), folder / "profile.png")
    write_page(folder / "report.html", results, summaries, times, written, folder / "profile.png")
    console.print(f"  {report.origin(results)}", highlight=False, soft_wrap=True)
    console.print(f"  {results['seconds_of_last_call']:.0f} s in the last call.", highlight=False)
    console.print(f"  Record, curves, tables, pictures and report.html: {folder}", highlight=False, soft_wrap=True)


def _read(folder):
    """The record in folder and its curves, both checked to be ours and of the same run."""
    if not (folder / _RECORD).exists():
        raise ValueError(f"there is no {_RECORD} in {folder}; run the comparison first, or name its folder by --output")
    results = record.read(folder / _RECORD)
    if results.get("experiment") != "optimizers" or results.get("format") != 1:
        raise ValueError(
            f"{folder / _RECORD} is not a record of this comparison; run it again, or name another --output"
        )
    path = folder / results["curves"]["file"]
    curves = load_arrays(path)
    if curves is None or zlib.crc32(path.read_bytes()) != results["curves"]["crc32"]:
        raise ValueError(
            f"{path} is missing, damaged or of another run than {_RECORD} beside it; run the comparison again"
        )
    return results, curves


def _chosen_problems(options) -> tuple[dict[str, Any], str]:
    """Return the data of each problem to run, and why these: loaded first, so that a missing one ends the run early."""

    def load(name):
        return problems.load(problems.get(name), data_dir=options.data_dir, mirror=options.mirror)

    if options.problem:
        for name in options.problem:
            problems.get(name)
        return {name: load(name) for name in dict.fromkeys(options.problem)}, "named by --problem"
    try:
        return {"mnist": load("mnist")}, "the default, MNIST being at hand"
    except DatasetUnavailableError as error:
        return {"digits": load("digits")}, f"in place of MNIST, which cannot be had ({error})"


def _plan(name, options):
    return protocol.make_plan(
        problems.get(name),
        options.optimizers,
        learning_rates=options.learning_rates,
        seeds=options.seeds,
        epochs=options.epochs,
        batch_size=options.batch_size,
        full=options.full,
    )


def _progress(console):
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("runs"))
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)


def _problem_table():
    table = Table("network", "batch", "epochs", "targets", "source", title="Problems")
    table.columns.insert(0, Column("problem", no_wrap=True))
    for problem in problems.PROBLEMS.values():
        targets = ", ".join(f"{100 * target:g} %" for target in problem.targets)
        sizes = "-".join(map(str, problem.layer_sizes))
        source = problem.source + (f". Differs: {problem.differences}" if problem.differences else "")
        table.add_row(problem.name, sizes, str(problem.batch_size), str(problem.epochs), targets, source)
    return table


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m experiments.optimizers",
        description="Compare optimizers: tune each learning rate on a validation part, freeze it, train again with "
        "fresh seeds, test once. Prints a table; writes a record, curves, tables, pictures and a page.",
    )
    add = parser.add_argument
    add(
        "--problem",
        nargs="+",
        metavar="NAME",
        help="problems to run (see --list); without it mnist, or digits "
        "where MNIST is neither on disk nor can be fetched",
    )
    add("--list", action="store_true", help="list the problems, their settings and sources, and stop")
    add(
        "--optimizers",
        nargs="+",
        metavar="NAME",
        default=protocol.OPTIMIZERS,
        help=f"default: {' '.join(protocol.OPTIMIZERS)}; amsgrad is known too",
    )
    add(
        "--learning-rates",
        nargs="+",
        type=float,
        metavar="RATE",
        help="one grid for all optimizers; default: nine half-decades, 1e-3 to 10, and 1e-5 to 0.1 for rmsprop, adam "
        "and amsgrad, whose steps are of unit size",
    )
    add("--seeds", type=int, metavar="N", help="fresh seeds of each choice (default 5); tuning takes 3, or fewer")
    add("--epochs", type=int, metavar="N", help="epochs of each run; while tuning at most the problem's own number")
    add("--batch-size", type=int, metavar="N", help="examples per step; default: the problem's own")
    add(
        "--full",
        action="store_true",
        help="36 learning rates from 1e-5 to 100 for every optimizer and 10 seeds (hours on a CPU)",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        default=Path("results", "optimizers"),
        help="where to write (default results/optimizers); the record of a finished run there is replaced",
    )
    add(
        "--resume",
        action="store_true",
        help="go on with the interrupted run in the output folder; its settings must be the same",
    )
    add(
        "--report-only",
        action="store_true",
        help="make tables, pictures and page anew from the record in the output folder, without training",
    )
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where data sets lie, or are put (default $TFDS_DATA_DIR, else ~/tensorflow_datasets)",
    )
    add(
        "--mirror",
        metavar="URL",
        help="fetch missing data sets from here (default $JAXMLP_MIRROR, else their official addresses)",
    )
    return parser
