"""The command line of the comparison: python -m experiments.optimizers.

It tunes each optimizer's learning rate on a validation part, freezes the choice, trains it again with fresh seeds, and
measures those runs on the test set.
"""

import itertools
import shlex
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from jaxmlp.comparison import (
    console,
    drawing,
    entries,
    figures,
    problems,
    protocol,
    record,
    report,
    store,
    summary,
    tidy,
)
from jaxmlp.comparison.options import parser, plan_of, problem_table
from jaxmlp.comparison.page import write_page
from jaxmlp.datasets import DatasetUnavailableError

__docformat__ = "google"
__all__ = ["main"]

_RECORD, _CURVES = "results.json", "curves.npz"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after the command's name; None: those of sys.argv.

    Returns:
        The exit status.

    Example:
        >>> main(["--optimizers", "adm"])  # prints "error: unknown optimizer 'adm' ..." on stderr
        2
    """
    words = list(sys.argv[1:] if arguments is None else arguments)

    def body(screen):
        options = parser().parse(words)
        if options.list:
            screen.print(problem_table())
        elif options.report_only:
            _report(options.output, screen)
        else:
            _run(options, words, screen)
        return 0

    return console.guarded(body)


def _run(options, words, screen):
    started = time.perf_counter()
    folder = options.output
    # Whatever can be refused is refused before data are loaded or fetched.
    for name in options.problem or ("mnist", "digits"):
        plan_of(name, options)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _compare(options, words, screen, started)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(console.left_after_interrupt(folder)) from None
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()
    try:
        _report(folder, screen)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the record is written; for tables and pictures, add --report-only") from None


def _compare(options, words, screen, started):
    """Train, and write the record and the curves."""
    folder = options.output
    chosen, why = _chosen_problems(options)
    screen.print(f"[bold]{', '.join(chosen)}[/bold]: {why}", highlight=False, soft_wrap=True)
    planned = {name: plan_of(name, options) for name in chosen}
    origin = record.provenance()
    for name, plan in planned.items():
        protocol.check_fits(plan, chosen[name])
    digests = {name: record.digest(*itertools.chain(*data)) for name, data in chosen.items()}
    described = {name: plan.describe() for name, plan in planned.items()}
    identity = {"plans": described, "data": digests, "provenance": origin, "added_seeds": options.add_seeds}
    before = _finished(folder, identity, options.add_seeds) if options.add_seeds else {}
    runs = store.RunStore(folder / store.UNFINISHED, identity, resume=options.resume)
    studies, curves = {}, {}
    with console.progress(screen) as bar:
        for name, plan in planned.items():
            task = bar.add_task(name, total=plan.runs)
            study, found = protocol.execute(
                plan,
                chosen[name],
                runs,
                # How many runs there will be is known better and better.
                lambda what, done, total, task=task: bar.update(task, description=what, completed=done, total=total),
                before=before.get(name),
                add_seeds=options.add_seeds,
            )
            bar.remove_task(task)
            studies[name] = study | {"data_sha256": digests[name]}
            curves |= {f"{name}/{path}": values for path, values in found.items()}
    store.save_arrays(folder / _CURVES, curves)
    results = {
        "experiment": "optimizers",
        "format": record.FORMAT,
        "command": "python -m experiments.optimizers " + shlex.join(words),
        "problem_chosen_because": why,
        "provenance": origin,
        "curves": {"file": _CURVES, "crc32": zlib.crc32((folder / _CURVES).read_bytes())},
        "problems": studies,
        "seconds_of_last_call": time.perf_counter() - started,
    }
    record.write(folder / _RECORD, results)
    runs.discard()


def _finished(folder, identity, add_seeds):
    """What an earlier call has trained, problem by problem; a ValueError if it was not this comparison."""
    results, curves = _read(folder)
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
    return {
        name: entries.read_finished(
            entry, {path.removeprefix(f"{name}/"): v for path, v in curves.items() if path.startswith(f"{name}/")}
        )
        for name, entry in results["problems"].items()
    }


def _report(folder: Path, screen: Console) -> None:
    """Write every table, picture and page from the record in folder, and print the verdict first."""
    results, curves = _read(folder)
    summaries = {name: summary.summarise(name, problem) for name, problem in results["problems"].items()}
    texts: dict[str, list[str]] = {"table.md": [], "table.tex": []}
    for name, problem in results["problems"].items():
        found = summaries[name]
        _print_problem(name, problem, found, screen)
        texts["table.md"].append(report.markdown_tables(name, problem, found))
        texts["table.tex"].append(report.latex_table(name, problem, found))
        of_problem = {path.split("/", 1)[1]: v for path, v in curves.items() if path.split("/", 1)[0] == name}
        for kind, draw in figures.PER_PROBLEM.items():
            drawing.save(draw(name, problem, found, of_problem), folder / f"{name}-{kind}.png")
    texts["table.md"].append(report.origin(results) + "\n")
    texts["table.tex"].append("% " + report.origin(results) + "\n")
    for file, parts in texts.items():
        record.save_text(folder / file, "\n".join(parts))
    tidy.write(folder / "runs.csv", results["problems"], curves)
    write_page(folder / "report.html", results, summaries, curves)
    caution = report.caution(results)
    if caution:
        screen.print(f"Warning: {caution}", style="yellow", highlight=False)
    screen.print(report.origin(results), highlight=False)
    screen.print(f"{results['seconds_of_last_call']:.0f} s in the last call.", highlight=False)
    screen.print(
        f"Record, curves, runs.csv, tables, pictures and report.html: {folder}", highlight=False, soft_wrap=True
    )


def _print_problem(name, problem, found, screen):
    """Print the verdict, then the tables, then the rest; the console breaks lines between words."""
    first, *rest = found.answer
    screen.print(f"\n[bold]{escape(first)}[/bold]", highlight=False)
    screen.print(*rest, highlight=False, markup=False)
    for warning in found.warnings:
        screen.print(f"Warning: {warning}", style="yellow", highlight=False, markup=False)
    screen.print()
    for table in report.screen_tables(name, problem, found):
        screen.print(table)
    for finding in found.findings:
        screen.print(finding, highlight=False, markup=False)
    screen.print()


def _read(folder):
    """The record in folder and its curves, both checked to be of this comparison and of the same run."""
    if not (folder / _RECORD).exists():
        raise ValueError(f"there is no {_RECORD} in {folder}; run the comparison first, or give its folder to --output")
    results = record.read(folder / _RECORD)
    if results.get("experiment") != "optimizers":
        raise ValueError(
            f"{folder / _RECORD} is not a record of this comparison; run it again, or choose another --output"
        )
    if results.get("format") != record.FORMAT:
        raise ValueError(
            f"{folder / _RECORD} is a record of format {results.get('format')}, and this version reads format "
            f"{record.FORMAT}; run the comparison again, or choose another --output"
        )
    path = folder / results["curves"]["file"]
    curves = store.load_arrays(path)
    if curves is None or zlib.crc32(path.read_bytes()) != results["curves"]["crc32"]:
        raise ValueError(
            f"{path} is missing, damaged or from another run than {_RECORD} beside it; run the comparison again"
        )
    return results, curves


def _chosen_problems(options) -> tuple[dict[str, Any], str]:
    """The data of each problem to run, loaded first so that a missing data set ends the run early, and the reason."""

    def load(name):
        return problems.load(problems.get(name), data_dir=options.data_dir, mirror=options.mirror)

    if options.problem:
        return {name: load(name) for name in dict.fromkeys(options.problem)}, "named by --problem"
    try:
        return {"mnist": load("mnist")}, "the default, since MNIST is available"
    except DatasetUnavailableError as error:
        return {"digits": load("digits")}, f"used because MNIST is not available ({error})"
