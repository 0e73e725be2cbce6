"""The command line of the comparison: python -m jaxmlp.comparison, or python -m experiments.optimizers.

It tunes each optimizer's hyperparameters on a validation part, freezes the choice, trains it again with fresh seeds,
and measures those runs on the test set. merge joins records, and check tries optimizers for one step.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from jaxmlp.comparison import comparing, console, growing, options, problems, records, report, store, trials, workers
from jaxmlp.comparison.page import inside
from jaxmlp.comparison.problems import Problem
from jaxmlp.comparison.wording import count
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
        if words[:1] == ["merge"]:
            _merge(options.merge_parser().parse(words[1:]), screen)
            return 0
        if words[:1] == ["check"]:
            return trials.run(words[1:], screen)
        given = options.parser().parse(words)
        if given.list:
            screen.print(options.problem_table())
            screen.print(options.candidate_table())
        elif given.report_only:
            _check_alone(given, "report_only", ("output",), "all else is in the record")
            _report_afterwards(given.output, screen)
        else:
            _run(given, screen)
        return 0

    return console.guarded(body)


def _merge(given, screen):
    if not given.overwrite:
        records.check_free(given.output)
    records.merge(given.folders, given.output)
    _report_afterwards(given.output, screen)


def _run(given, screen):
    folder = given.output
    # Whatever can be refused is refused before data are loaded or fetched.
    work = _addition(given) if given.add else _comparison(given)
    store.check_start(folder / store.UNFINISHED, resume=given.resume)
    if given.add_seeds:
        records.read(folder)
    with contextlib.ExitStack() as stack:
        crew = _workers(given, stack, screen)
        _trained(work, folder, crew, screen)
    _report_afterwards(folder, screen)


def _workers(given, stack, screen):
    """The workers of --cluster."""
    if given.cluster is None:
        return None
    client = stack.enter_context(workers.cluster(given.cluster))
    many = len(client.nthreads())
    joins = "others may join" if many else "it waits for some: dask worker ADDRESS"
    screen.print(f"{count(many, 'worker')} at {escape(given.cluster)}; {joins}", highlight=False, soft_wrap=True)
    return workers.Workers(client, data_dir=given.data_dir, mirror=given.mirror)


def _trained(work, folder, crew, screen):
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with console.progress(screen) as bar:
            work(screen, _shown_on(bar), crew)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(console.left_after_interrupt(folder)) from None
    except workers.LostError as error:
        raise ValueError(f"{error}; {console.left_after_interrupt(folder)}") from error
    except OSError as error:
        if isinstance(error, DatasetUnavailableError) or not console.kept_runs(folder):
            raise
        raise ValueError(f"{error}; mend that; {console.left_after_interrupt(folder)}") from error
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


def _check_alone(given, option, taken, since):
    """Raise a ValueError if an option that reads a record comes with others that it would ignore."""
    defaults = vars(options.parser().parse([]))
    ignored = [name for name, value in vars(given).items() if value != defaults[name]]
    flags = [_flag(name) for name in ignored if name not in (option, *taken)]
    if flags:
        beside = " and ".join(map(_flag, taken)) if len(taken) < 3 else ", ".join(map(_flag, taken))
        alone = f"{beside} alone" if len(taken) == 1 else f"only {beside} beside it"
        raise ValueError(f"{_flag(option)} takes {alone}, since {since}; leave out {', '.join(flags)}")


def _flag(name):
    return f"--{name.replace('_', '-')}"


def _report_afterwards(folder, screen):
    """Report; where that is interrupted or a file cannot be written, say what is left to do."""
    again = records.command_of(["--report-only", "--output", str(folder)])
    left = f"the record is kept; for tables, pictures and page: {again}"
    try:
        _report(folder, screen)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(left) from None
    except OSError as error:
        raise ValueError(f"{error}; mend that, e.g. free some space; {left}") from error


def _comparison(given):
    """What trains a whole comparison, or further seeds of a finished one, and writes its record."""
    wanted, found = _wanted(given), options.candidates_of(given)
    for problem in wanted:
        options.plan_of(problem, given, found)
    if not (given.overwrite or given.resume or given.add_seeds):
        records.check_free(given.output)

    def work(screen, on_progress, crew):
        data, why = _data(given, wanted)
        screen.print(f"[bold]{', '.join(data)}[/bold]: {escape(why)}", highlight=False, soft_wrap=True)
        if given.csv is not None:
            screen.print(*(one.source for one in wanted), highlight=False, markup=False, soft_wrap=True)
        planned = {one.name: options.plan_of(one, given, found) for one in wanted if one.name in data}
        comparing.train(
            planned,
            data,
            given.output,
            why=why,
            arguments=options.words_of(given, list(data)),
            resume=given.resume,
            add_seeds=given.add_seeds or 0,
            instruments=given.instruments,
            workers=crew,
            on_progress=on_progress,
        )

    return work


def _addition(given):
    """What trains further candidates of a finished record, under its own settings."""
    folder = given.output
    taken = ("output", "space", "resume", "data_dir", "mirror", "cluster")
    _check_alone(given, "add", taken, "its settings and seeds are those of the record")
    results, _ = records.read(folder)
    if results["arguments"] is None:
        raise ValueError(
            f"the record in {folder} was not made by one command, which --add could repeat; run the comparison "
            "again with all candidates"
        )
    grown = options.parser().parse([*results["arguments"], "--output", str(folder)])
    grown.optimizers, grown.space = [*grown.optimizers, *given.add], [*grown.space, *given.space]
    grown.data_dir, grown.mirror = given.data_dir, given.mirror
    found = options.candidates_of(grown)
    wanted = [problem for problem in _wanted(grown) if problem.name in results["problems"]]
    planned = {problem.name: options.plan_of(problem, grown, found) for problem in wanted}
    growing.check_plans(folder, results, planned)

    def work(screen, on_progress, crew):
        data, _ = _data(grown, wanted)
        screen.print(f"adding {escape(', '.join(given.add))} to the record in {escape(str(folder))}", highlight=False)
        words = options.words_of(grown, list(data))
        more = {"arguments": words, "resume": given.resume, "workers": crew, "on_progress": on_progress}
        growing.add(folder, planned, data, **more)

    return work


def _shown_on(bar):
    tasks = {}

    def on_progress(now):
        # How many runs there will be is known better and better.
        if now.problem not in tasks:
            for task in tasks.values():
                bar.update(task, visible=False)
            tasks[now.problem] = bar.add_task(now.problem)
        bar.update(tasks[now.problem], description=now.activity, completed=now.done, total=now.total)

    return on_progress


def _report(folder: Path, screen: Console) -> None:
    """Write every table, picture and page from the record in folder, and print the verdict first."""
    results, curves = records.read(folder)
    summaries = comparing.write_report(folder, results, curves)
    for name, problem in results["problems"].items():
        _print_problem(name, problem, summaries[name], screen)
    caution = report.caution(results)
    if caution:
        screen.print(f"Warning: {caution}", style="yellow", highlight=False)
    screen.print(report.origin(results), highlight=False)
    screen.print(f"{results['seconds_of_last_call']:.0f} s in the last call.", highlight=False)
    pages = " and ".join(page for page in (comparing.PAGE, inside.PAGE) if (folder / page).exists())
    screen.print(f"Record, curves, runs.csv, tables, pictures and {pages}: {folder}", highlight=False, soft_wrap=True)


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


def _wanted(given) -> list[Problem]:
    """The problems that are named, or MNIST and what takes its place."""
    if given.csv is None and given.target is not None:
        raise ValueError("--target names a column of --csv FILE; add --csv, or leave out --target")
    if given.csv is not None:
        if given.target is None:
            raise ValueError("--csv needs --target COLUMN, the column to predict")
        if given.problem:
            raise ValueError("--csv is a problem by itself; leave out --problem, or leave out --csv")
        return [problems.from_csv(given.csv, given.target, task=given.task)]
    if given.task is not None:
        raise ValueError("--task says what to make of the --target of a --csv file; leave it out")
    try:
        found = {name: problems.get(name) for name in given.problem or ("mnist", "digits")}
    except TypeError as error:  # what a file holds is the user's to mend
        raise ValueError(str(error)) from error
    names = [problem.name for problem in found.values()]
    if len(set(names)) != len(names):
        raise ValueError(f"problems must have different names, got {', '.join(names)}")
    return list(found.values())


def _data(given, wanted):
    """The data of each problem to run, loaded first so that a missing data set ends the run early, and the reason."""

    def load(problem):
        return problems.load(problem, data_dir=given.data_dir, mirror=given.mirror)

    if given.csv is not None:
        return {problem.name: load(problem) for problem in wanted}, "named by --csv"
    if given.problem:
        return {problem.name: load(problem) for problem in wanted}, "named by --problem"
    mnist, digits = wanted
    try:
        return {"mnist": load(mnist)}, "the default, since MNIST is available"
    except DatasetUnavailableError as error:
        return {"digits": load(digits)}, f"used because MNIST is not available ({error})"
