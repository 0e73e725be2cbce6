"""Does training on the digits 0 to 4 help with 5 to 9, of which there are few examples?

A network is trained on the digits 0 to 4 and saved to a file. Networks for 5 to 9 then start from it with a new output
layer, either with all layers trained or with the hidden layers frozen, beside networks with new weights.
Takes 40 s. Run: python -m experiments.mnist_transfer --help
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

import jaxmlp
from experiments.common import command, training_figures
from experiments.common.command import Comparison, Outcome
from experiments.common.seeds import of_seed, train_seeds
from experiments.common.wording import over_seeds
from jaxmlp.comparison import statistics
from jaxmlp.data import Examples

LAYER_SIZES = (784, 128, 64, 5)
LEARNING_RATE = 1e-3  # of Adam
BATCH_SIZE = 32
SCRATCH, TUNED, FROZEN = "from new weights", "fine-tuned, all layers", "hidden layers frozen"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("mnist_transfer", _experiment, _parser(), arguments)


def adam(learning_rate: Any) -> optax.GradientTransformation:
    """Build Adam for every layer."""
    return jaxmlp.optimizers.adam(learning_rate)


def adam_on_last(learning_rate: Any) -> optax.GradientTransformation:
    """Build Adam for the last layer; the others stay as they are."""
    rules: Any = {"train": jaxmlp.optimizers.adam(learning_rate), "keep": optax.set_to_zero()}
    hidden = len(LAYER_SIZES) - 2
    return optax.multi_transform(rules, ("keep",) * hidden + ("train",))


def part_of(examples: Examples, classes: range) -> Examples:
    """Return the examples of some classes, with labels that start at 0."""
    x, y = examples
    chosen = np.isin(y, classes)
    return x[chosen], y[chosen] - classes.start


def _experiment(options, console):
    dataset = jaxmlp.datasets.load("mnist", data_dir=options.data_dir, mirror=options.mirror)
    network = jaxmlp.mlp(LAYER_SIZES)
    loss_fn = jaxmlp.objective(network.apply)
    measure = jax.jit(jaxmlp.accuracy(network.apply))
    old_train, old_test = (part_of(part, range(5)) for part in (dataset.train, dataset.test))
    new_train, new_test = (part_of(part, range(5, 10)) for part in (dataset.train, dataset.test))
    if max(options.examples) > len(new_train[1]):
        raise ValueError(f"--examples must be at most {len(new_train[1])}, got {max(options.examples)}")
    kept_file = options.output / "digits-0-to-4.safetensors"
    with command.progress(console, "epochs") as bar:
        bar.add_task("digits 0 to 4", total=None)
        key, fit_key = jax.random.split(jax.random.key(1000))
        first = jaxmlp.fit(
            loss_fn,
            network.init(key),
            adam(LEARNING_RATE),
            old_train,
            key=fit_key,
            epochs=options.epochs,
            batch_size=128,
        )
    jaxmlp.save(kept_file, first.params, {"digits": "0 to 4"})
    kept, _ = jaxmlp.load(kept_file, like=first.params)

    def from_kept(key):
        return (*kept[:-1], network.init(key)[-1])  # with a new output layer

    ways = {SCRATCH: (network.init, adam), TUNED: (from_kept, adam), FROZEN: (from_kept, adam_on_last)}
    accuracy: dict[str, dict[int, np.ndarray]] = {name: {} for name in ways}
    steps = {}
    for count in options.examples:
        few = _few(new_train, count)
        # About the same number of steps for each number of examples, so that none is at a disadvantage.
        batch_size = min(BATCH_SIZE, count)
        epochs = max(1, round(options.steps / -(-count // batch_size)))
        steps[count] = epochs * -(-count // batch_size)
        for name, (init_fn, optimizer) in ways.items():
            runs = train_seeds(
                f"{name}, {count} examples",
                console,
                loss_fn,
                init_fn,
                optimizer,
                LEARNING_RATE,
                few,
                seeds=options.seeds,
                epochs=epochs,
                batch_size=batch_size,
            )
            right = [float(measure(of_seed(runs, seed).params, *new_test)) for seed in range(options.seeds)]
            accuracy[name][count] = 100 * np.asarray(right)
    comparisons = [
        Comparison(f"{count} examples of 5 to 9, {name}: test accuracy (%)", "-", accuracy[name][count])
        for count in options.examples
        for name in ways
    ]
    old_accuracy = 100 * float(measure(kept, *old_test))
    title = f"Digits 5 to 9 after 0 to 4: 784-128-64-5, {over_seeds(options.seeds)}"
    pictures = {"accuracy": partial(training_figures.by_examples, title, accuracy)}
    results = {"accuracy_on_0_to_4": old_accuracy, "accuracy": accuracy, "steps": steps, "kept": kept_file.name}
    return Outcome(results, comparisons, _notes(accuracy, old_accuracy, steps, kept_file), pictures)


def _few(examples, count):
    """The first count examples, of all classes as equally as possible."""
    x, y = examples
    rank = np.zeros(len(y), int)
    for label in np.unique(y):
        rank[y == label] = np.arange(np.sum(y == label))
    chosen = np.argsort(rank, kind="stable")[:count]
    return x[chosen], y[chosen]


def _notes(accuracy, old_accuracy, steps, kept_file):
    pairs = [(count, name) for count in steps for name in (TUNED, FROZEN)]
    several = len(next(iter(accuracy[SCRATCH].values()))) > 1
    gains = []
    for count, name in pairs:
        new, old = accuracy[name][count], accuracy[SCRATCH][count]
        text = f"{count} examples, {name}: {np.mean(new - old):+.2f} points"
        if several:
            significant = statistics.paired_p_value(new, old) < 0.05 / len(pairs)
            text += f" ({'significant' if significant else 'not significant'})"
        gains.append(text)
    tested = f"paired by seed; t tests at 5 % / {len(pairs)}, Bonferroni" if several else "seed 0 alone"
    numbers = ", ".join(f"{number} for {count} images" for count, number in steps.items())
    start = (
        "All seeds start from one saved network and use the same images, so the intervals cover only new weights and "
        "the order of the images."
    )
    return [
        f"The saved network gets {old_accuracy:.2f} % of the digits 0 to 4 right; its weights: {kept_file.name}.",
        f"Gain over new weights ({tested}): {'; '.join(gains)}.",
        f"Steps of Adam ({LEARNING_RATE:g}) in each run, of at most {BATCH_SIZE} examples: {numbers}."
        + (f" {start}" if several else ""),
    ]


def _parser():
    parser = command.options(
        "mnist_transfer",
        "Train on the digits 0 to 4, save the weights, and start networks for 5 to 9 from them, with all layers "
        "trained or the hidden layers frozen, beside networks with new weights, for several numbers of examples.",
        seeds=5,
        data=True,
    )
    add = parser.add_argument
    counts = [20, 100, 500, 2500]
    text = "training images of 5 to 9, at least 5; each number is tried"
    add("--examples", type=command.up_to(29_404), nargs="+", default=counts, least=5, metavar="N", help=text)
    add(
        "--steps",
        type=command.up_to(command.LARGEST),
        default=1500,
        least=1,
        metavar="N",
        help="steps of each run on 5 to 9",
    )
    add(
        "--epochs",
        type=command.up_to(command.LARGEST),
        default=5,
        least=1,
        metavar="N",
        help="passes over the digits 0 to 4",
    )
    return parser


if __name__ == "__main__":
    command.start(main)
