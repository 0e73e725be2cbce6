"""The experiment and its command line."""

import warnings
from collections.abc import Sequence

from sklearn.exceptions import ConvergenceWarning

import jaxmlp
from experiments.common import command
from experiments.common.command import Outcome
from experiments.estimators import gallery, guide, quality, speed

PARTS = {
    "quality": "scores of five folds",
    "guide": "the examples of scikit-learn's user guide",
    "gallery": "its gallery's pictures of small data sets",
    "filters": "its gallery's picture of weights on MNIST",
    "programs": "compiled programs for 1,000 numbers of examples",
    "small": "seconds on 150 to 2,000 examples",
    "search": "seconds of a grid search",
    "mnist": "seconds on MNIST",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("estimators", _experiment, _parser(), arguments)


def _experiment(options, console):
    parts, results, tables, pictures = set(options.parts), {}, [], {}
    notes = ["Equal random_state gives both the same weights, batches and folds."]
    mnist = None
    if parts & {"filters", "mnist"}:  # a data set that is missing is reported before anything is trained
        mnist = jaxmlp.datasets.load("mnist", data_dir=options.data_dir, mirror=options.mirror)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if "quality" in parts:
            found = results["quality"] = quality.measure(options.problems, options.solvers, options.seeds, console)
            tables.append(quality.table(found))
            notes.append("A row is better or worse where p < 0.05 / rows, paired by seed.")
        if "guide" in parts:
            results["guide"] = guide.answers()
            tables.append(guide.table(results["guide"]))
        if "gallery" in parts:
            curves, regions = gallery.training_curves(), gallery.regions()
            results["gallery"] = {"training_curves": curves, "alpha": {name: a.scores for name, a in regions.items()}}
            pictures["training_curves"] = lambda: gallery.draw_curves(curves)
            pictures["alpha"] = lambda: gallery.draw_regions(regions)
        if "filters" in parts:
            filters = gallery.filters(mnist)
            results["filters"] = {library: found.scores for library, found in filters.items()}
            pictures["filters"] = lambda: gallery.draw_filters(filters)
        if "programs" in parts:
            results["programs"] = speed.programs()
            tables.append(speed.table_of_programs(results["programs"]))
        timings = speed.Timings(console)
        if "small" in parts:
            speed.small(timings)
        if "search" in parts:
            speed.searches(timings)
        if "mnist" in parts:
            speed.on_mnist(timings, mnist, options.epochs, options.turns)
        if timings.found:
            results["speed"] = timings.found
            tables.append(timings.table())
            notes.append(
                "Seconds: median over the turns, both libraries in turns. scikit-learn ran with one BLAS thread "
                "and with as many as there are CPUs; the faster one counts. The first fit compiles, without a cache."
            )
    return Outcome({"options": vars(options), **results}, notes=notes, pictures=pictures, tables=tables)


def _parser():
    parser = command.options(
        "estimators",
        "Compare jaxmlp.estimators with scikit-learn's perceptrons: scores, pictures of its gallery, and seconds.",
        seeds=10,
        data=True,
    )
    add = parser.add_argument

    def some(flag, choices, metavar, text):
        choices = list(choices)
        add(flag, nargs="+", choices=choices, default=choices, metavar=metavar, help=text)

    some("--parts", PARTS, "PART", "some of: " + "; ".join(f"{name}, {text}" for name, text in PARTS.items()))
    some("--problems", quality.PROBLEMS, "NAME", f"data sets of quality, some of {', '.join(quality.PROBLEMS)}")
    some("--solvers", quality.SOLVERS, "NAME", f"solvers of quality, some of {', '.join(quality.SOLVERS)}")
    count = command.up_to(command.LARGEST)
    add("--epochs", type=count, default=5, least=1, metavar="N", help="passes over MNIST per fit")
    add("--turns", type=count, default=3, least=1, metavar="N", help="turns of MNIST")
    return parser
