"""784-32-10 on MNIST: do sigmoid outputs on one-hot targets do as well as softmax?

Takes 1 min. Run: python -m experiments.mnist_small --help
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from experiments.common import command, training_figures
from experiments.common.analysis.dissect import dissect
from experiments.common.command import Comparison, Outcome
from experiments.common.seeds import of_seed, train_seeds
from experiments.common.wording import over_seeds
from jaxmlp.comparison import verdicts

LAYER_SIZES = (784, 32, 10)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("mnist_small", _experiment, _parser(), arguments)


def sigmoid_cross_entropy(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Average the binary cross entropy of one sigmoid per class against one-hot targets.

    Args:
        outputs: logits, (..., classes).
        targets: integer labels, (...).

    Returns:
        Nats per output.
    """
    return jaxmlp.losses.binary_cross_entropy(outputs, _one_hot(outputs, targets))


def sigmoid_squared_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Average the squared error of one sigmoid per class against one-hot targets.

    Args:
        outputs: logits, (..., classes).
        targets: integer labels, (...).
    """
    return jaxmlp.losses.mean_squared_error(jax.nn.sigmoid(outputs), _one_hot(outputs, targets))


LOSSES: dict[str, Any] = {
    "sigmoid, binary cross entropy": sigmoid_cross_entropy,
    "sigmoid, squared error": sigmoid_squared_error,
    "softmax, cross entropy": "softmax_cross_entropy",
}


def _one_hot(outputs, labels):
    return jax.nn.one_hot(labels, outputs.shape[-1], dtype=outputs.dtype)


def _experiment(options, console):
    dataset = jaxmlp.datasets.load("mnist", data_dir=options.data_dir, mirror=options.mirror)
    network = jaxmlp.mlp(LAYER_SIZES)
    accuracy, found = jaxmlp.accuracy(network.apply), {}
    for name, loss in LOSSES.items():
        found[name] = train_seeds(
            name,
            console,
            jaxmlp.objective(network.apply, loss),
            network.init,
            jaxmlp.optimizers.adam,
            options.learning_rate,
            dataset.train,
            seeds=options.seeds,
            epochs=options.epochs,
            batch_size=options.batch_size,
            validation=dataset.test,
            metrics={"accuracy": accuracy},
        )
    accuracies = {name: np.asarray(runs.history.metrics["accuracy"]) for name, runs in found.items()}
    last = {name: 100 * values[:, -1] for name, values in accuracies.items()}
    comparisons = [Comparison(f"test accuracy (%): {name}", "-", values) for name, values in last.items()]
    analysed, pictures = dissect(
        network.apply, of_seed(found["softmax, cross entropy"], 0).params, dataset.test, dataset.class_names, (28, 28)
    )
    title = f"784-32-10, Adam {options.learning_rate:g}, batch {options.batch_size}, {over_seeds(options.seeds)}"
    pictures = {"accuracy": partial(training_figures.accuracies, title, accuracies), **pictures}
    results = {
        "runs": {name: runs.history._asdict() for name, runs in found.items()},
        "analysis_of_softmax_seed_0": analysed,
    }
    return Outcome(results, comparisons, [_verdict(last), _sums(found, network, dataset)], pictures)


def _verdict(last):
    best = max(last, key=lambda name: np.mean(last[name]))
    if len(last[best]) == 1:
        return f"{best} is ahead, but one seed cannot show whether the difference is real."
    below = verdicts.beaten(best, verdicts.all_pairs({name: verdicts.Runs(scores) for name, scores in last.items()}))
    verdict = f"is significantly above {' and '.join(below)}" if below else "is not significantly above any other"
    return f"{best} has the highest mean and {verdict} (Welch's intervals over the seeds, 95 % for all pairs together)."


def _sums(found, network, dataset):
    """Say how far the ten probabilities of the sigmoids are from adding up to one."""
    logits = network.apply(of_seed(found["sigmoid, binary cross entropy"], 0).params, dataset.test[0])
    total = np.asarray(jnp.sum(jax.nn.sigmoid(logits), axis=-1))
    return (
        f"The ten sigmoid probabilities of seed 0 add up to {total.mean():.2f} on average over the test images, from "
        f"{total.min():.2f} to {total.max():.2f}; those of softmax always add up to 1. No figure was published for "
        "this network; the optimizer, its learning rate and the batch size are our choice."
    )


def _parser():
    parser = command.options(
        "mnist_small",
        "Train 784-32-10 on MNIST with sigmoid outputs on one-hot targets, and with softmax from the same seeds.",
        seeds=5,
        data=True,
    )
    command.add_training_options(parser, rule="Adam", learning_rate=1e-3, batch_size=128, epochs=10, examples=60_000)
    return parser


if __name__ == "__main__":
    command.start(main)
