"""The options of the comparison's command line, and what they stand for."""

import argparse
from pathlib import Path

from rich.table import Column, Table

from jaxmlp.comparison import console, plans, problems
from jaxmlp.comparison.plans import Plan
from jaxmlp.comparison.problems import Problem
from jaxmlp.comparison.wording import target_name

__docformat__ = "google"
__all__ = ["parser", "plan_of", "problem_table"]


def plan_of(problem: Problem, options: argparse.Namespace) -> Plan:
    """Build the plan of one problem from the options.

    Args:
        problem: the task.
        options: as the parser returns them.

    Raises:
        ValueError: as plans.make_plan.

    Example:
        >>> plan_of(problems.get("digits"), parser().parse(["--seeds", "20"])).seeds
        20
    """
    return plans.make_plan(
        problem,
        options.optimizers,
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


def parser() -> console.Parser:
    """Build the parser of the command line.

    Example:
        >>> parser().parse(["--optimizers", "sgd", "adam"]).optimizers
        ['sgd', 'adam']
    """
    found = console.Parser(
        "python -m experiments.optimizers",
        "Compare optimizers: tune each learning rate on a validation part, freeze it, train again with fresh seeds, "
        "and test once. Prints a table; writes a record, curves, tables, pictures and an HTML page.",
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
    add("--list", action="store_true", help="list the problems with their settings and sources, and exit")
    add(
        "--optimizers",
        nargs="+",
        metavar="NAME",
        default=plans.DEFAULT_OPTIMIZERS,
        help="optimizers to compare; amsgrad is available too",
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
        "--output",
        type=Path,
        metavar="DIR",
        default=Path("results", "optimizers"),
        help="output folder; the record of a finished run in it is replaced",
    )
    add(
        "--resume",
        action="store_true",
        help="continue the interrupted run in the output folder; its settings must be the same",
    )
    add(
        "--report-only",
        action="store_true",
        help="regenerate tables, pictures and page from the record in the output folder, without training",
    )
    console.add_data_options(found)
    return found
