"""The experiment and its command line."""

from collections.abc import Sequence
from functools import partial

import numpy as np

import jaxmlp
from experiments.cockpit import costs, figures, runs
from experiments.common import command
from experiments.common.command import Outcome
from jaxmlp import instruments
from jaxmlp.comparison import inside, record
from jaxmlp.comparison.page import inside as page
from jaxmlp.comparison.store import save_arrays
from jaxmlp.optimizers import OPTIMIZERS

PROBLEMS = ("mnist", "fashion_mnist", "digits")
STORIES = ("none", "faults", "edge", "all")
READINGS = "readings.npz"
_PARAGRAPHS = {
    "optimizers": "Each optimizer at a usual learning rate, from the same weights and the same order of examples.",
    "faults": "A healthy run beside three with one fault each: a learning rate that is five times too high, six hidden "
    "layers of sigmoids, and inputs of 0 to 255 that are not standardised (with a learning rate 255^2 times smaller).",
    "edge": f"Full-batch gradient descent on {runs.EDGE_EXAMPLES} examples, squared error, two hidden layers of tanh.",
}
_BLIND = "One run of gradient descent. Something is wrong with it: what?"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("cockpit", _experiment, _parser(), arguments)


def _experiment(options, console):
    if options.measure:
        return costs.outcome(options, console)
    dataset = jaxmlp.datasets.load(options.problem, data_dir=options.data_dir, mirror=options.mirror)
    train = dataset.train[0][: options.examples], dataset.train[1][: options.examples]
    chosen, found, answers = inside.panel(options.every), {}, {}
    groups = {"optimizers": runs.optimizers(options.optimizers, train)}
    if options.stories in ("faults", "all"):
        groups["faults"] = runs.faults(train)
    for title, group in groups.items():
        settings = {"epochs": options.epochs, "batch_size": options.batch_size}
        found[title] = _watched(group, chosen, console, title, settings)
    if options.blind is not None and "faults" in found:
        names = np.random.default_rng(options.blind).permutation([n for n in found["faults"] if n != "healthy"])
        answers = dict(zip(("run_a", "run_b", "run_c"), names.tolist(), strict=True))
    if options.stories in ("edge", "all"):
        size = min(runs.EDGE_EXAMPLES, len(train[0]))
        sharpness = {"loss": instruments.loss(), "largest_eigenvalue": instruments.largest_eigenvalue(20, 15)}
        settings = {"epochs": options.edge_steps, "batch_size": size, "at_once": 100}
        found["edge"] = _watched(runs.edge(train), sharpness, console, "edge", settings)
    return Outcome(
        {
            "problem": options.problem,
            "examples": len(train[0]),
            "every": options.every,
            "answers": answers,
            "runs": {title: {name: _summary(one) for name, one in group.items()} for title, group in found.items()},
            "readings": READINGS,
        },
        notes=[*_lines(found), f"Page: {options.output / 'cockpit.html'}"],
        recorded=partial(_written, options, found, answers),
    )


def _watched(group, chosen, console, title, settings):
    """Train the runs of a group, with the latest readings in the terminal."""
    watched = {}
    with command.progress(console, "epochs") as bar:
        for name, run in group.items():
            task = bar.add_task(f"{title}: {name}", total=settings["epochs"])

            def told(part, task=task, name=name):
                bar.update(task, advance=settings.get("at_once", 1), description=f"{title}: {name}, {_now(part)}")

            watched[name] = runs.watch(run, chosen, told=told, **settings)
    return watched


def _now(part):
    """The latest readings in a few words."""
    words = [f"loss {part['loss'].values[-1]:.3g}"]
    for name, word in (("alpha", "alpha"), ("gradient_norm", "gradient"), ("largest_eigenvalue", "sharpness")):
        if name in part and np.any(part[name].steps >= 0):
            words.append(f"{word} {part[name].values[part[name].steps >= 0][-1]:.3g}")
    return ", ".join(words)


def _summary(readings):
    """First and last values of the scalar instruments, the last as a median over a tenth of the measurements."""
    found = {}
    for name, (steps, values) in readings.items():
        if not isinstance(values, dict) and values.ndim == 1:
            last = values[-max(1, len(values) // 10) :]
            found[name] = {"measurements": len(steps), "first": values[0], "last": np.median(last)}
    return found


def _lines(found):
    for title, group in found.items():
        for name, readings in group.items():
            numbers = {n: v["last"] for n, v in _summary(readings).items()}
            shown = ("loss", "alpha", "update_ratio", "gradient_norm", "norm_test", "largest_eigenvalue")
            words = ", ".join(f"{n} {numbers[n]:.3g}" for n in shown if n in numbers)
            limit = f" (2 / learning rate: {2 / float(name):g})" if title == "edge" else ""
            yield f"{title}, {name}: at the end {words}{limit}"


def _written(options, found, answers):
    arrays = {}
    for title, group in found.items():
        for run, readings in group.items():
            arrays |= {f"{title}/{run}/{path}": values for path, values in inside.arrays_of(readings).items()}
    save_arrays(options.output / READINGS, arrays)
    origin = record.provenance()
    versions = ", ".join(f"{name} {origin['versions'][name]}" for name in ("jaxmlp", "jax", "python"))
    small = f"Seed 0; {versions}; {origin['device']}; commit {origin['commit'] or 'unknown'}."
    groups = {title: _group(title, group, options.batch_size) for title, group in found.items()}
    headings = {"optimizers": "Optimizers", "faults": "Three faults", "edge": "The edge of stability"}
    for title, group in groups.items():
        for name, picture in group.pictures.items():
            record.save_text(options.output / f"{title}-{name}.svg", picture)
        for picture, _ in group.wide.values():
            record.save_text(options.output / f"{title}.svg", picture)
    record.save_text(
        options.output / "cockpit.html", page.text({headings[title]: group for title, group in groups.items()}, small)
    )
    for letter, fault in answers.items():
        group = page.group(f"{_BLIND} Batches of {options.batch_size}.", {letter: found["faults"][fault]})
        (options.output / "blind").mkdir(exist_ok=True)
        record.save_text(options.output / "blind" / f"{letter}.html", page.text({"One run": group}, small, letter))


def _group(title, group, batch_size):
    if title == "edge":
        wide = {"Edge of stability": (page.drawn(figures.edge(group)), figures.EDGE)}
        return page.Group(_PARAGRAPHS[title], {}, {}, wide)
    return page.group(f"{_PARAGRAPHS[title]} Batches of {batch_size}.", group)


def _parser():
    parser = command.options(
        "cockpit",
        "Train a few runs with instruments and draw what they measured on one page: step size, gradients, curvature.",
        data=True,
    )
    add = parser.add_argument
    add("--problem", default="mnist", choices=PROBLEMS, metavar="NAME", help=f"data set: {', '.join(PROBLEMS)}")
    text = f"what to compare: {', '.join(OPTIMIZERS)}"
    add("--optimizers", nargs="+", default=["sgd", "adam"], choices=tuple(OPTIMIZERS), metavar="NAME", help=text)
    add("--stories", default="none", choices=STORIES, metavar="NAME", help=f"further runs: {', '.join(STORIES)}")
    add(
        "--blind", type=int, metavar="SEED", help="with the story of faults: a page of each without its name, in blind/"
    )
    add("--examples", type=int, default=6000, least=256, metavar="N", help="training examples")
    add("--batch-size", type=int, default=128, least=2, metavar="N", help="examples per step")
    add("--epochs", type=int, default=5, least=1, metavar="N", help="passes over the training examples")
    add("--every", type=int, default=10, least=1, metavar="N", help="interval of the costly instruments, in steps")
    add("--edge-steps", type=int, default=5000, least=1, metavar="N", help="steps of the edge of stability")
    add("--measure", action="store_true", help="list all instruments with their lines, errors and costs instead")
    return parser
