"""The options of the comparison's command line, and what they stand for."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Column, Table

from jaxmlp import dialects, schedules
from jaxmlp.comparison import candidates, console, plans, problems, spaces, trials
from jaxmlp.comparison.candidates import Candidate
from jaxmlp.comparison.plans import Plan
from jaxmlp.comparison.problems import Problem
from jaxmlp.comparison.wording import target_name
from jaxmlp.optimizers import OPTIMIZERS

__docformat__ = "google"
__all__ = [
    "candidate_table",
    "candidates_of",
    "merge_parser",
    "parser",
    "plan_of",
    "problem_table",
    "words_of",
]


def candidates_of(options: argparse.Namespace) -> dict[str, Candidate]:
    """Return what competes, by name, each checked by one step on a small network.

    Args:
        options: as the parser returns them.

    Raises:
        ValueError: as candidates.resolve and trials.check.

    Example:
        >>> list(candidates_of(parser().parse(["--optimizers", "sgd", "optax.lion"])))
        ['sgd', 'lion']
    """
    assignments = [spaces.parse_assignment(text) for text in options.space]
    try:
        return trials.checked(candidates.resolve(options.optimizers, assignments, options.schedule))
    except TypeError as error:  # what a file holds is the user's to mend
        raise ValueError(str(error)) from error


def plan_of(problem: Problem, options: argparse.Namespace, found: Mapping[str, Candidate] | None = None) -> Plan:
    """Build the plan of one problem from the options.

    Args:
        problem: the task.
        options: as the parser returns them.
        found: as candidates_of returns them; None: they are made anew.

    Raises:
        ValueError: as plans.make_plan.

    Example:
        >>> plan_of(problems.get("digits"), parser().parse(["--seeds", "20"])).seeds
        20
    """
    return plans.make_plan(
        problem,
        candidates_of(options) if found is None else found,
        tries=options.tries,
        learning_rates=options.learning_rates,
        seeds=options.seeds,
        epochs=options.epochs,
        batch_size=options.batch_size,
        full=options.full,
        first_seed=options.first_seed,
        splits=options.splits,
        decide=options.decide,
        max_seeds=options.max_seeds,
        margin="default" if options.margin is None else options.margin,
    )


def problem_table() -> Table:
    """Build the table of all problems, with their settings and sources.

    Example:
        >>> problem_table().row_count == len(problems.PROBLEMS)
        True
    """
    table = Table("network", "batch", "epochs", "targets", "source", title="Problems")
    table.columns.insert(0, Column("problem", no_wrap=True))
    for problem in problems.PROBLEMS.values():
        targets = ", ".join(target_name(problem.scored_by.describe(), target) for target in problem.targets)
        sizes = "-".join(map(str, problem.layer_sizes)) if problem.layer_sizes else "its own"
        source = problem.source + (f". Differences: {problem.differences}" if problem.differences else "")
        table.add_row(problem.name, sizes, str(problem.batch_size), str(problem.epochs), targets, source)
    return table


def candidate_table() -> Table:
    """Build the table of our own rules and dialects, with what is searched where several hyperparameters are.

    Example:
        >>> candidate_table().row_count > 20
        True
    """
    title = "Optimizers, and the default spaces of --tries; others by reference: optax.lion, FILE.py:NAME, package:NAME"
    table = Table(Column("optimizer", no_wrap=True), "space", title=title)
    libraries = {library: getattr(dialects, library) for library in dialects.__all__}
    names = [*OPTIMIZERS, *(f"dialects.{lib}.{rule}" for lib, m in libraries.items() for rule in m.__all__)]
    for name in names:
        try:
            space = candidates.load(name).full_space()
        except (ValueError, TypeError):  # what a module has beside its rules
            continue
        if space:
            table.add_row(name, ", ".join(f"{argument} {dimension}" for argument, dimension in space.items()))
    training = ", ".join((*candidates.OF_TRAINING, "weight_decay"))
    table.caption = f"With --space, any argument of a rule can be searched, and beside it {training}."
    return table


class _Once(argparse.Action):
    """Store a value, and refuse a second one."""

    def __call__(self, parser, namespace, values, option_string=None):
        if getattr(namespace, self.dest) is not self.default:
            parser.error(
                f"{option_string} names one folder and was given twice; to join records, use python -m "
                "jaxmlp.comparison merge A B --output C"
            )
        setattr(namespace, self.dest, values)


_NOT_REPEATED = {
    "help",
    "list",
    "add",
    "add_seeds",
    "output",
    "overwrite",
    "resume",
    "report_only",
    "data_dir",
    "mirror",
    "cluster",
}


def words_of(options: argparse.Namespace, run: Sequence[str]) -> list[str]:
    """Return the arguments that repeat a comparison: its problems, its candidates, and what is not the default.

    Args:
        options: as the parser returns them.
        run: the names of the problems that were run, for where none was named.

    Example:
        >>> words_of(parser().parse(["--optimizers", "sgd", "--seeds", "5"]), ["digits"])
        ['--problem', 'digits', '--optimizers', 'sgd', '--seeds', '5']
    """
    words = [] if options.csv else ["--problem", *(options.problem or run)]
    words += ["--optimizers", *options.optimizers]
    for action in parser()._actions:
        value = getattr(options, action.dest, None)
        if action.dest in {"problem", "optimizers", *_NOT_REPEATED} or value == action.default:
            continue
        words.append(action.option_strings[-1])
        if value is not True:
            words += map(str, value if isinstance(value, list | tuple) else [value])
    return words


def merge_parser() -> console.Parser:
    """Build the parser of merge.

    Example:
        >>> len(merge_parser().parse(["a", "b", "--output", "c"]).folders)
        2
    """
    found = console.Parser(
        "python -m jaxmlp.comparison merge",
        "Join records of equal plans, with different optimizers or different problems, into a new one.",
    )
    found.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders of the records")
    found.add_argument(
        "--output", type=Path, metavar="DIR", required=True, action=_Once, help="folder of the new record"
    )
    found.add_argument("--overwrite", action="store_true", help="replace the finished record in the output folder")
    return found


def parser() -> console.Parser:
    """Build the parser of the command line.

    Example:
        >>> parser().parse(["--optimizers", "sgd", "adam"]).optimizers
        ['sgd', 'adam']
    """
    found = console.Parser(
        "python -m experiments.optimizers",
        "Compare optimizers: tune their learning rates and other hyperparameters on a validation part, freeze them, "
        "train again with fresh seeds, and test once. Prints a table; writes a record, curves, tables, pictures and an "
        "HTML page. python -m jaxmlp.comparison merge A B --output C joins records.",
    )
    add = found.add_argument
    add(
        "--problem",
        nargs="+",
        metavar="NAME",
        help="problems to run, by name or as FILE.py:NAME or package.module:NAME "
        "(default: mnist, or digits if MNIST is missing)",
    )
    add("--csv", type=Path, metavar="FILE", help="a table in a CSV file as the problem; needs --target")
    add("--target", metavar="COLUMN", help="the column of --csv to predict")
    add("--task", choices=("classification", "regression"), help="what to make of --target (default: by its values)")
    add("--list", action="store_true", help="list the problems and the optimizers with their spaces, and exit")
    add(
        "--optimizers",
        nargs="+",
        metavar="NAME",
        default=plans.DEFAULT_OPTIMIZERS,
        help="optimizers to compare: names, or references such as optax.lion, dialects.torch.adam, my_rules.py:mine "
        "or package.module:mine, with NAME= before them for another name; --list shows them",
    )
    add(
        "--space",
        nargs="+",
        metavar="NAME.ARGUMENT=DIMENSION",
        default=[],
        help="what is searched for a candidate beside its learning rate, and over which values, as in "
        '"mine.beta=one_minus_log_uniform(1e-3, 0.5)"; also log_uniform, uniform and choice',
    )
    add(
        "--tries",
        type=int,
        metavar="N",
        least=1,
        help="points at which the space of every candidate is tried (default: the learning rate alone is searched, "
        f"along a grid; {plans.TRIES} if --space names more)",
    )
    add(
        "--schedule",
        nargs="+",
        metavar="NAME",
        default=[],
        help=f"let every optimizer compete with each of these schedules of its learning rate: "
        f"{', '.join(schedules.SCHEDULES)}",
    )
    add(
        "--learning-rates",
        nargs="+",
        type=float,
        metavar="RATE",
        help="one grid for all optimizers, not widened (default: nine half-decades from 1e-3 to 10; for rmsprop, adam "
        "and amsgrad, whose steps have unit size, from 1e-5 to 0.1; widened where the best rate is at an edge)",
    )
    add("--seeds", type=int, metavar="N", help="fresh seeds of each choice (default: 10)")
    add(
        "--first-seed",
        type=int,
        metavar="N",
        default=plans.FIRST_SEED,
        help="the first fresh seed; another one makes an independent replication",
    )
    add(
        "--decide",
        action="store_true",
        help="add fresh seeds until every pair of optimizers has a verdict or --max-seeds is reached",
    )
    add("--max-seeds", type=int, metavar="N", help="with --decide, the most fresh seeds (default: 4 times --seeds)")
    add(
        "--add-seeds",
        type=int,
        metavar="N",
        least=1,
        most=plans.MOST_SEEDS,
        help="extend the finished record in the output folder by further fresh seeds; repeat its settings",
    )
    add(
        "--splits",
        type=int,
        metavar="K",
        default=1,
        help="repeat tuning and choice on different splits into training and validation part, so that the intervals "
        "cover them",
    )
    add(
        "--margin",
        type=float,
        metavar="M",
        help=f"differences in the test score up to this size count as equal, an accuracy as a fraction (default: "
        f"{plans.MARGIN} for accuracies, none for other scores)",
    )
    add(
        "--epochs", type=int, metavar="N", help="epochs of each run, except in the coarse pass (default: the problem's)"
    )
    add("--batch-size", type=int, metavar="N", help="examples per step (default: the problem's)")
    add(
        "--full",
        action="store_true",
        help="36 learning rates from 1e-5 to 100 and 10 seeds for tuning (hours on a CPU)",
    )
    add(
        "--instruments",
        action="store_true",
        help="also train the first run of each race once more with instruments: step sizes, gradients and curvature "
        "on a page of their own, instruments.html",
    )
    add(
        "--add",
        nargs="+",
        metavar="NAME",
        help="train further optimizers into the finished record in the output folder, with its settings and seeds, "
        "which need not be repeated",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        default=Path("results", "optimizers"),
        action=_Once,
        help="output folder; a finished record in it is kept",
    )
    add("--overwrite", action="store_true", help="replace the finished record in the output folder")
    add(
        "--resume",
        action="store_true",
        help="continue the interrupted run in the output folder; its settings must be the same",
    )
    add(
        "--report-only",
        action="store_true",
        help="regenerate tables, pictures and page from the record in the output folder, without training; --output is "
        "the only other option that it takes",
    )
    add(
        "--cluster",
        metavar="ADDRESS",
        help="train on the workers of a dask scheduler, such as tcp://10.0.0.1:8786, or of the file that its "
        "--scheduler-file names; needs jaxmlp[cluster]",
    )
    console.add_data_options(found)
    return found
