"""How many seconds does a plain network need to reach 98 % and 98.5 % of MNIST's test images?

The candidates below are compared on 10,000 held-out training images. For each target the setting with the shortest
median time is trained again, on all 60,000 images and from fresh seeds, and the seconds are counted until its accuracy
on the test images first reaches the target. No choice was made on the test images. Takes 5 min.
Run: python -m experiments.time_to_accuracy --help
"""

import argparse
import dataclasses
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

import jaxmlp
from experiments.common import command
from experiments.common.command import Outcome
from experiments.common.wording import counted
from jaxmlp import augment, data
from jaxmlp.comparison.drawing import LOOKS, new
from jaxmlp.comparison.statistics import first_reaching
from jaxmlp.data import Examples

VALIDATION_COUNT = 10_000
TUNING_SEEDS = (1000, 1001, 1002)  # the race has the seeds from 0 on
SMOOTHING = 0.1


def smoothed_cross_entropy(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Average the cross entropy of softmax against labels of which a tenth is spread over all classes.

    Args:
        outputs: logits, (..., classes).
        targets: integer labels, (...).
    """
    one_hot = jax.nn.one_hot(targets, outputs.shape[-1], dtype=outputs.dtype)
    return jaxmlp.losses.softmax_cross_entropy(outputs, (1 - SMOOTHING) * one_hot + SMOOTHING / outputs.shape[-1])


@dataclasses.dataclass(frozen=True)
class Setting:
    """A network and how it is trained; the learning rate falls to 0 along a straight line."""

    hidden: tuple[int, ...]
    batch_size: int
    rule: str
    learning_rate: float  # of the first step
    epochs: int
    smoothed: bool = True  # the labels
    dropout: float = 0.0
    padding: int = 0  # images are shifted by up to so many pixels

    def __str__(self) -> str:
        """Name it in tables."""
        name = f"{'-'.join(map(str, (784, *self.hidden, 10)))}, batch {self.batch_size}, {self.rule} "
        name += f"{self.learning_rate:g}, {counted(self.epochs, 'epoch')}" + ", smoothed labels" * self.smoothed
        name += f", dropout {self.dropout:g}" * (self.dropout > 0)
        return name + f", shifts of {counted(self.padding, 'pixel')}" * (self.padding > 0)


CANDIDATES = (
    Setting((192,), 128, "adam", 6e-3, 4),
    Setting((256,), 128, "nesterov", 0.3, 4, smoothed=False),
    Setting((256,), 128, "nesterov", 0.3, 4),
    Setting((512,), 128, "adam", 6e-3, 2),
    Setting((256, 128), 128, "adam", 4e-3, 3),
    Setting((256, 128), 128, "adam", 4e-3, 3, dropout=0.1),
    Setting((384, 192), 128, "adam", 4e-3, 3),
    Setting((512,), 128, "adam", 4e-3, 6),
    Setting((256,), 128, "adam", 4e-3, 6, padding=1),
    Setting((512,), 128, "adam", 6e-3, 4, padding=1),
    Setting((256, 128), 128, "adam", 4e-3, 5, padding=1),
    Setting((384, 192), 128, "adam", 4e-3, 3, padding=1),
)


class Run(NamedTuple):
    """One run, measured after each of its epochs."""

    seconds: np.ndarray
    """Of training since the first step, (epochs,)."""

    accuracy: np.ndarray
    """On the images that it is measured on, (epochs,)."""

    measuring: float
    """Seconds of measuring the accuracy once, which are not in the others."""

    def reaches(self, target: float) -> tuple[float, float]:
        """Return the seconds and the epochs until the accuracy is first target percent or more; infinite for never."""
        epochs = first_reaching(self.accuracy.tolist(), target / 100)
        return (np.inf, np.inf) if epochs is None else (float(self.seconds[epochs - 1]), float(epochs))


def fastest(tried: Mapping[Setting, Sequence[Run]], target: float) -> Setting | None:
    """Return the setting with the shortest median time to target percent, among those whose every run reaches it."""
    seconds = {setting: [run.reaches(target)[0] for run in runs] for setting, runs in tried.items()}
    able = [setting for setting, taken in seconds.items() if np.isfinite(taken).all()]
    return min(able, key=lambda setting: np.median(seconds[setting]), default=None)


def of_median(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return median and quartiles of values that may be infinite, and the bootstrap 95 % interval of the median.

    Args:
        values: one per run, (n,).

    Source:
        Efron (1979), "Bootstrap methods: another look at the jackknife".
    """
    medians = np.median(np.random.default_rng(0).choice(values, (10_000, len(values))), axis=1)
    way: Any = {"method": "inverted_cdf"}  # does not interpolate, which infinity forbids
    ends = *np.quantile(medians, (0.025, 0.975), **way), *np.quantile(values, (0.25, 0.75), **way)
    names = "low", "high", "lower_quartile", "upper_quartile"
    return {"median": float(np.median(values)), **dict(zip(names, map(float, ends), strict=True))}


class _Trainer:
    """Trains one setting from any seed and measures it after each epoch."""

    def __init__(self, setting: Setting, train: Examples, measured: tuple[jax.Array, jax.Array]):
        """Compile the programs by training two epochs that are thrown away."""
        self._network = jaxmlp.mlp((784, *setting.hidden, 10), dropout=setting.dropout)
        self._accuracy, self._setting, self._measured = jaxmlp.accuracy(self._network.apply), setting, measured
        steps = setting.epochs * -(-len(train[1]) // setting.batch_size)
        rate = jaxmlp.schedules.linear(setting.learning_rate, steps)
        self._optimizer = jaxmlp.optimizers.get(setting.rule)(rate)
        loss_fn = jaxmlp.objective(
            self._network.apply, smoothed_cross_entropy if setting.smoothed else "softmax_cross_entropy"
        )
        self._epoch = partial(
            jaxmlp.fit,
            loss_fn,
            None,
            self._optimizer,
            train,
            epochs=1,
            batch_size=setting.batch_size,
            augment=augment.random_crop((28, 28), setting.padding) if setting.padding else None,
        )
        first, second = (self._run(0, 1) for _ in range(2))
        self.compiling = float(max(0.0, first.seconds[0] + first.measuring - second.seconds[0] - second.measuring))

    def run(self, seed: int) -> Run:
        """Train one run."""
        return self._run(seed, self._setting.epochs)

    def _run(self, seed, epochs):
        init_key, fit_key = jax.random.split(jax.random.key(seed))
        params, zero = self._network.init(init_key), jnp.int32(0)
        # fit is given a state from the start, so that the first epoch is the same program as the others.
        state = jaxmlp.TrainState(params, self._optimizer.init(params), fit_key, zero, steps=zero)
        jax.block_until_ready(state)
        seconds, accuracy, measuring = [], [], []
        for _ in range(epochs):
            started = time.perf_counter()
            state = jax.block_until_ready(self._epoch(state=state)).state
            trained = time.perf_counter()
            accuracy.append(float(self._accuracy(state.params, *self._measured)))
            seconds.append(trained - started)
            measuring.append(time.perf_counter() - trained)
        return Run(np.cumsum(seconds), np.array(accuracy), float(np.median(measuring)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("time_to_accuracy", _experiment, _parser(), arguments)


def _experiment(options, console):
    targets = sorted(set(options.targets))
    dataset = jaxmlp.datasets.load("mnist", data_dir=options.data_dir, mirror=options.mirror)
    with command.progress(console) as bar:
        parts = jax.device_put(data.split(*dataset.train, count=VALIDATION_COUNT, seed=0))
        tried, _ = _in_turns(CANDIDATES, parts, TUNING_SEEDS, bar, "tuning")
        chosen = {target: fastest(tried, target) for target in targets}
        raced = list(dict.fromkeys(setting for setting in chosen.values() if setting))
        parts = jax.device_put((dataset.train, dataset.test))
        races, compiling = _in_turns(raced, parts, range(options.seeds), bar, "race")
    found = {
        target: {"setting": str(setting), **_summary(races[setting], target), "compiling": compiling[setting]}
        for target, setting in chosen.items()
        if setting
    }
    results = {
        "options": vars(options),
        "tuning": {str(setting): [run._asdict() for run in runs] for setting, runs in tried.items()},
        "race": {str(setting): [run._asdict() for run in runs] for setting, runs in races.items()},
        "reached": {f"{target:g} %": summary for target, summary in found.items()},
    }
    notes = [f"{t:g} %: no setting reached it in every run on the held-out images." for t in targets if t not in found]
    notes += [f"{target:g} %: {summary['setting']}; the learning rate falls to 0." for target, summary in found.items()]
    notes += [
        "Seconds are those of fit called for one epoch at a time, with its checks of the arguments, without compiling "
        "and without measuring the accuracy. A run that never reaches a target counts as infinite.",
        "The margin of the choice: tuning trains on fewer images than the race, and every run has to reach the target.",
    ]
    curves = {target: races[setting] for target, setting in chosen.items() if setting}
    pictures = {"time_to_accuracy": partial(_picture, curves, found)} if found else {}
    tables = [_tuning_table(tried, chosen), *([_race_table(found)] if found else [])]
    return Outcome(results, notes=notes, pictures=pictures, tables=tables)


def _in_turns(settings, parts, seeds, bar, name):
    """Train every setting from every seed, in turns and one at a time; return the runs and the seconds of compiling."""
    task = bar.add_task(name, total=len(settings) * (1 + len(seeds)))
    trainers, runs = {}, {setting: [] for setting in settings}
    for setting in settings:
        trainers[setting] = _Trainer(setting, *parts)
        bar.advance(task)
    for seed in seeds:
        for setting, trainer in trainers.items():
            runs[setting].append(trainer.run(seed))
            bar.advance(task)
    return runs, {setting: trainer.compiling for setting, trainer in trainers.items()}


def _summary(runs, target):
    seconds, epochs = np.transpose([run.reaches(target) for run in runs])
    return {
        "seconds": seconds,
        "epochs": epochs,
        "of_median": of_median(seconds),
        "final_accuracy": [100 * run.accuracy[-1] for run in runs],
        "epoch": [run.seconds[-1] / len(run.seconds) for run in runs],
        "measuring": [run.measuring for run in runs],
    }


def _tuning_table(tried, chosen):
    title = f"Tuning: medians of {counted(len(TUNING_SEEDS), 'seed')}, on {VALIDATION_COUNT:,} held-out images"
    table = Table("setting", "s per epoch", "accuracy (%)", *(f"s to {t:g} %" for t in chosen), title=title)
    for setting, runs in tried.items():
        cells = []
        for target, best in chosen.items():
            taken = [run.reaches(target)[0] for run in runs]
            reached = int(np.isfinite(taken).sum())
            text = f"{np.median(taken):.2f}" if reached == len(runs) else f"{reached} of {len(runs)}"
            cells.append(text + " *" * (setting == best))
        epoch = np.median([run.seconds[-1] / setting.epochs for run in runs])
        last = np.median([100 * run.accuracy[-1] for run in runs])
        table.add_row(str(setting), f"{epoch:.3f}", f"{last:.2f}", *cells)
    table.caption = "*: chosen. 2 of 3: that many runs reached the target."
    return table


def _race_table(found):
    rows = {
        "seconds of training, median (95 % interval)": lambda s: "{median:.2f} ({low:.2f} to {high:.2f})".format_map(
            s["of_median"]
        ),
        "quartiles": lambda s: "{lower_quartile:.2f} to {upper_quartile:.2f}".format_map(s["of_median"]),
        "runs that reached it": lambda s: f"{np.isfinite(s['seconds']).sum()} of {len(s['seconds'])}",
        "epochs, median": lambda s: f"{np.median(s['epochs']):g}",
        "accuracy after the last epoch (%)": lambda s: command.with_interval(s["final_accuracy"]),
        "seconds per epoch": lambda s: command.with_interval(s["epoch"], ".3f"),
        "not counted: compiling, or loading what is compiled (s)": lambda s: f"{s['compiling']:.2f}",
        "not counted: measuring the accuracy, per epoch (s)": lambda s: f"{np.median(s['measuring']):.3f}",
    }
    table = Table("", *(f"{target:g} %" for target in found), title="Race: on the test images, from fresh seeds")
    for name, write in rows.items():
        table.add_row(name, *(write(summary) for summary in found.values()))
    return table


def _picture(curves, found):
    """Draw the accuracy on the test images against seconds: a panel for each target, a line for each run."""
    figure, axes = new(1, (4.8 * len(curves), 4.2), len(curves))
    for ax, (target, runs) in zip(axes, curves.items(), strict=True):
        for run, (seconds, epochs) in zip(runs, (run.reaches(target) for run in runs), strict=True):
            ax.plot(run.seconds, 100 * run.accuracy, color=LOOKS["momentum"]["color"], linewidth=0.8, alpha=0.5)
            if np.isfinite(seconds):
                ax.plot(seconds, 100 * run.accuracy[int(epochs) - 1], "o", color=LOOKS["adam"]["color"])
        ax.axhline(target, color="black", linestyle="--", linewidth=1.0)
        ax.set(xlabel="seconds of training", ylabel="test accuracy (%)", xlim=(0, None))
        median = found[target]["of_median"]["median"]
        ax.set_title(
            f"{target:g} %: median {median:.2f} s\n{counted(len(runs), 'run')}, dots: target reached", fontsize=10
        )
    return figure


def _parser():
    parser = command.options(
        "time_to_accuracy",
        "Tune a list of settings on held-out training images, train the fastest for each target from fresh seeds, and "
        "measure the seconds until the accuracy on MNIST's test images first reaches the target.",
        seeds=20,
        data=True,
    )
    targets = {"nargs": "+", "default": (98.0, 98.5), "metavar": "PERCENT"}
    parser.add_argument("--targets", type=_percent, **targets, help="accuracies to reach on the test images")
    return parser


def _percent(text):
    value = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else 0.0
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"must be a percentage above 0 and at most 100, got {text[:50]!r}")
    return value


if __name__ == "__main__":
    command.start(main)
