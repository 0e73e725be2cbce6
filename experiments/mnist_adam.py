"""784-250-100-10 on MNIST by Adam: what do augmented images and a falling rate gain?

Images are rotated and shifted at random, on the device. Rotated images take the nearest pixel, as the published ones,
or are interpolated. The epoch of lowest validation loss is kept and tested.
Takes 3 min. Run: python -m experiments.mnist_adam --help
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import jaxmlp
from experiments.common import command, training_figures
from experiments.common.analysis import figures
from experiments.common.analysis.dissect import dissect
from experiments.common.command import Comparison, Outcome
from experiments.common.seeds import of_seed, train_seeds
from experiments.common.wording import at_least, over_seeds, span
from jaxmlp import augment, data
from jaxmlp.comparison import verdicts

LAYER_SIZES = (784, 250, 100, 10)
IMAGE_SHAPE = (28, 28)
# PyTorch's default for a linear layer, uniform in +-1 / sqrt(fan_in), which the published network uses.
INITIALIZER = jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
PUBLISHED, INTERPOLATED = "as published", "rotation interpolated"
FALLING, PLAIN = "rate falling to 0", "without augmentation"
ACCURACY = 98.37  # published, in percent
VALIDATION_COUNT = 6_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("mnist_adam", _experiment, _parser(), arguments)


def augmentation(
    image_shape: tuple[int, int],
    background: float,
    rotation: float,
    padding: int,
    interpolation: str = "nearest",
) -> augment.Augmentation:
    """Build an augmentation that rotates images, pads them and crops them at random.

    Args:
        image_shape: (height, width).
        background: value of a background pixel, which fills what comes from outside the image.
        rotation: largest rotation in degrees, either way.
        padding: pixels on each side, the largest shift.
        interpolation: of the rotation, "nearest" as published, or "bilinear".
    """
    turn = augment.distort(image_shape, rotation=rotation, fill=background, interpolation=interpolation)
    return augment.chain(turn, augment.random_crop(image_shape, padding, fill=background))


def _experiment(options, console):
    augmentation(IMAGE_SHAPE, 0.0, options.rotation, options.padding)  # refuses bad options before data are loaded
    dataset = jaxmlp.datasets.load("mnist", data_dir=options.data_dir, mirror=options.mirror)
    train, validation = data.split(*dataset.train, count=VALIDATION_COUNT, seed=0)
    known = data.moments(train[0], per_feature=False)
    train, validation, test = ((data.standardise(x, known), y) for x, y in (train, validation, dataset.test))
    network = jaxmlp.mlp(LAYER_SIZES, initializer=INITIALIZER)
    loss_fn, accuracy = jaxmlp.objective(network.apply), jaxmlp.accuracy(network.apply)
    background = float(-known.mean / known.deviation)
    changed, smooth = (
        augmentation(IMAGE_SHAPE, background, options.rotation, options.padding, interpolation)
        for interpolation in ("nearest", "bilinear")
    )
    settings = {
        "batch_size": options.batch_size,
        "validation": validation,
        "metrics": {"accuracy": accuracy},
        "keep_best": True,
    }
    falling = partial(falling_adam, steps=options.epochs * -(-len(train[0]) // options.batch_size))
    variants = {
        PUBLISHED: (jaxmlp.optimizers.adam, changed),
        INTERPOLATED: (jaxmlp.optimizers.adam, smooth),
        FALLING: (falling, changed),
        PLAIN: (jaxmlp.optimizers.adam, None),
    }
    found = {
        name: train_seeds(
            name,
            console,
            loss_fn,
            network.init,
            optimizer,
            options.learning_rate,
            train,
            seeds=options.seeds,
            epochs=options.epochs,
            augment=change,
            **settings,
        )
        for name, (optimizer, change) in variants.items()
    }
    measured = {name: _tested(loss_fn, accuracy, runs, test, options.seeds) for name, runs in found.items()}
    seconds = _seconds_per_epoch(loss_fn, network, train, changed, settings, options)
    best: Any = of_seed(found[PUBLISHED], 0).best
    analysed, pictures = dissect(network.apply, best.params, test, dataset.class_names, IMAGE_SHAPE, moments=known)
    curves = {"training": np.asarray(found[PUBLISHED].history.train_loss)}
    curves |= {f"validation, {name}": np.asarray(runs.history.validation_loss) for name, runs in found.items()}
    title = f"784-250-100-10, Adam {options.learning_rate:g}, batch {options.batch_size}, {over_seeds(options.seeds)}"
    accuracies = np.asarray(found[PUBLISHED].history.metrics["accuracy"])
    originals = train[0][:8]
    changes = [np.asarray(changed(jax.random.key(seed), jnp.asarray(originals))) for seed in range(4)]
    originals, *changes = (images * known.deviation + known.mean for images in (originals, *changes))
    pictures = {
        "losses": partial(training_figures.losses, title, curves, accuracies, part="validation"),
        "augmented": partial(figures.augmented_grid, originals, changes, IMAGE_SHAPE),
        **pictures,
    }
    parameters = sum(layer.w.size + layer.b.size for layer in best.params)
    results = {
        "parameters": parameters,
        "moments": known._asdict(),
        "runs": {name: runs.history._asdict() for name, runs in found.items()},
        "tested": measured,
        "seconds_per_epoch": seconds,
        "analysis_of_seed_0": analysed,
    }
    return Outcome(results, _comparisons(measured, seconds, parameters), _notes(analysed, measured), pictures)


def falling_adam(learning_rate: Any, *, steps: int) -> Any:
    """Build Adam with a learning rate that falls to 0 within a number of steps, along a cosine."""
    return jaxmlp.optimizers.adam(jaxmlp.schedules.cosine(learning_rate, steps))


def _tested(loss_fn, accuracy, runs, test, seeds):
    """Test loss and accuracy of each seed after its epoch of lowest validation loss."""
    kept: list[Any] = [of_seed(runs, seed).best for seed in range(seeds)]
    return {
        "test_loss": [float(loss_fn(best.params, *test)) for best in kept],
        "test_accuracy": [float(accuracy(best.params, *test)) for best in kept],
        "best_epoch": [int(best.epoch) + 1 for best in kept],
    }


def _seconds_per_epoch(loss_fn, network, train, change, settings, options, epochs=5):
    """Time the first epoch of one run alone, excluding compilation, with and without augmentation in turns."""
    train, params = jax.device_put(train), network.init(jax.random.key(0))
    optimizer, key = jaxmlp.optimizers.adam(options.learning_rate), jax.random.key(0)
    seconds = {PUBLISHED: [], PLAIN: []}
    for index in range(epochs + 1):
        for name, augmented in ((PUBLISHED, change), (PLAIN, None)):
            started = time.perf_counter()
            result = jaxmlp.fit(loss_fn, params, optimizer, train, key=key, epochs=1, augment=augmented, **settings)
            jax.block_until_ready(result)
            if index > 0:  # the first time compiles
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _comparisons(measured, seconds, parameters):
    rows = [Comparison("parameters", "222360", [parameters], ".0f")]
    published = {name: ("0.052", f"{ACCURACY}") if name == PUBLISHED else ("-", "-") for name in measured}
    for name, (loss, accuracy) in published.items():
        percent = np.multiply(100, measured[name]["test_accuracy"])
        rows += [
            Comparison(f"{name}: test accuracy (%)", accuracy, percent),
            Comparison(f"{name}: test loss (nats)", loss, measured[name]["test_loss"], ".4f"),
        ]
    return [
        *rows,
        Comparison(f"{PUBLISHED}: epoch of lowest validation loss", "-", measured[PUBLISHED]["best_epoch"], ".1f"),
        Comparison("seconds per epoch, one run alone", "9 to 10 (GPU)", seconds[PUBLISHED]),
        Comparison("seconds per epoch without augmentation", "-", seconds[PLAIN]),
    ]


def _notes(analysed, measured):
    noise, surest = analysed["noise"], np.asarray(analysed["surest"]["surest"])
    return [
        "54,000 images train and 6,000 choose the epoch; no choice is made on the 10,000 test images. Images are "
        "standardised by mean and deviation of the 54,000; pixels from outside an image are background.",
        _published(measured),
        *_differences(measured),
        "Noise, for the network of seed 0: gradient ascent from noise finds an image of every class with a probability "
        f"of {at_least(surest.min(), 4)} (published: 99.98 % for one digit). Of {noise['n']} images of plain "
        f"noise, {100 * noise['share_above']:.1f} % are classified with a probability above "
        f"{100 * noise['threshold']:.0f} %.",
    ]


def _percent(measured, name):
    return np.multiply(100, measured[name]["test_accuracy"])


def _published(measured):
    """Say where the published accuracy lies among the runs with its settings."""
    found = _percent(measured, PUBLISHED)
    if len(found) == 1:
        return f"The published {ACCURACY} % is that of a single run; seed 0 has {span(found)} %."
    reached = int(np.sum(np.round(found, 2) >= ACCURACY))
    # What one more run of this normal distribution would lie in.
    half_width = stats.t.ppf(0.975, len(found) - 1) * np.std(found, ddof=1) * np.sqrt(1 + 1 / len(found))
    low, high = np.mean(found) - half_width, np.mean(found) + half_width
    inside = "inside" if low <= ACCURACY <= high else "outside"
    return (
        f"The published {ACCURACY} % is that of a single run. The runs here have {span(found)} %; {reached} of "
        f"{len(found)} reach it. It lies {inside} the interval of {low:.2f} to {high:.2f} %, in which one more run "
        "would lie with a probability of 95 %."
    )


def _differences(measured):
    """Say what each variant changes, beside the published settings."""
    base = _percent(measured, PUBLISHED)
    names = {
        INTERPOLATED: "interpolating the rotation instead of taking the nearest pixel",
        FALLING: "letting the rate fall to 0 along a cosine",
        PLAIN: "leaving out augmentation",
    }
    if len(base) == 1:
        said = [f"{text} {float((_percent(measured, name) - base)[0]):+.2f}" for name, text in names.items()]
        yield f"Change of the test accuracy in points, by one seed: {', '.join(said)}."
        return
    pairs = verdicts.all_pairs({name: verdicts.Runs(_percent(measured, name)) for name in measured})
    said = []
    for name, text in names.items():
        pair = next(pair for pair in pairs if {pair.a, pair.b} == {PUBLISHED, name})
        sign = 1 if pair.a == name else -1
        low, high = sorted((sign * pair.low, sign * pair.high))
        said.append(f"{text} {sign * pair.difference + 0.0:+.2f} ({low:+.2f} to {high:+.2f})")
    yield (
        f"Change of the test accuracy in points: {', '.join(said)}. In brackets: Welch's intervals over the seeds, "
        "95 % for all pairs together."
    )


def _parser():
    parser = command.options(
        "mnist_adam",
        "Train 784-250-100-10 on MNIST by Adam with images rotated and shifted at random, keep the epoch of lowest "
        "validation loss, test it once, and analyse its errors.",
        seeds=5,
        data=True,
    )
    command.add_training_options(parser, rule="Adam", learning_rate=1e-3, batch_size=64, epochs=10, examples=54_000)
    add = parser.add_argument
    add("--rotation", type=float, default=5.0, metavar="DEGREES", help="largest rotation, either way")
    add(
        "--padding",
        type=command.up_to(command.LARGEST),
        default=2,
        metavar="PIXELS",
        help="padding before the random crop, the largest shift",
    )
    return parser


if __name__ == "__main__":
    command.start(main)
