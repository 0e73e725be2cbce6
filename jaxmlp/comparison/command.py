"""The command line of the comparison: python -m experiments.optimizers.

It tunes each optimizer's learning rate on a validation part, freezes the choice, trains it again with fresh seeds, and
measures those runs on the test set.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from jaxmlp.comparison import comparing, console, problems, report
from jaxmlp.comparison.options import parser, plan_of, problem_table
from jaxmlp.comparison.problems import Problem
from jaxmlp.datasets import DatasetUnavailableError

__docformat__ = "google"
__all__ = ["main"]


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
    folder = options.output
    # Whatever can be refused is refused before data are loaded or fetched.
    wanted = _wanted(options)
    for problem in wanted:
        plan_of(problem, options)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _compare(options, wanted, words, screen)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(console.left_after_interrupt(folder)) from None
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()
    try:
        _report(folder, screen)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the record is written; for tables and pictures, add --report-only") from None


def _compare(options, wanted, words, screen):
    """Train, and write the record and the curves."""
    data, why = _data(options, wanted)
    screen.print(f"[bold]{', '.join(data)}[/bold]: {why}", highlight=False, soft_wrap=True)
    planned = {problem.name: plan_of(problem, options) for problem in wanted if problem.name in data}
    with console.progress(screen) as bar:
        tasks = {}

        def on_progress(now):
            # How many runs there will be is known better and better.
            if now.problem not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[now.problem] = bar.add_task(now.problem)
            bar.update(tasks[now.problem], description=now.activity, completed=now.done, total=now.total)

        comparing.train(
            planned,
            data,
            options.output,
            command="python -m experiments.optimizers " + shlex.join(words),
            why=why,
            resume=options.resume,
            add_seeds=options.add_seeds or 0,
            on_progress=on_progress,
        )


def _report(folder: Path, screen: Console) -> None:
    """Write every table, picture and page from the record in folder, and print the verdict first."""
    results, curves = comparing.read(folder)
    summaries = comparing.write_report(folder, results, curves)
    for name, problem in results["problems"].items():
        _print_problem(name, problem, summaries[name], screen)
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


def _wanted(options) -> list[Problem]:
    """The problems that are named, or MNIST and what takes its place."""
    if options.csv is None and options.target is not None:
        raise ValueError("--target names a column of --csv FILE; add --csv, or leave out --target")
    if options.csv is not None:
        if options.target is None:
            raise ValueError("--csv needs --target COLUMN, the column to predict")
        if options.problem:
            raise ValueError("--csv is a problem by itself; leave out --problem, or leave out --csv")
        return [problems.from_csv(options.csv, options.target, task=options.task)]
    if options.task is not None:
        raise ValueError("--task says what to make of the --target of a --csv file; leave it out")
    try:
        found = {name: problems.get(name) for name in options.problem or ("mnist", "digits")}
    except TypeError as error:  # what a file holds is the user's to mend
        raise ValueError(str(error)) from error
    names = [problem.name for problem in found.values()]
    if len(set(names)) != len(names):
        raise ValueError(f"problems must have different names, got {', '.join(names)}")
    return list(found.values())


def _data(options, wanted):
    """The data of each problem to run, loaded first so that a missing data set ends the run early, and the reason."""

    def load(problem):
        return problems.load(problem, data_dir=options.data_dir, mirror=options.mirror)

    if options.csv is not None:
        return {problem.name: load(problem) for problem in wanted}, "named by --csv"
    if options.problem:
        return {problem.name: load(problem) for problem in wanted}, "named by --problem"
    mnist, digits = wanted
    try:
        return {"mnist": load(mnist)}, "the default, since MNIST is available"
    except DatasetUnavailableError as error:
        return {"digits": load(digits)}, f"used because MNIST is not available ({error})"
