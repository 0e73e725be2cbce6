"""The experiment and its command line."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.table import Table

import jaxmlp
from experiments.common import command, training_figures
from experiments.common.command import Comparison, Outcome
from experiments.common.peers import numpy_network, scikit_learn
from experiments.common.peers.settings import Settings
from experiments.common.wording import counted
from experiments.mnist_deep import peers
from jaxmlp.comparison import verdicts

LAYER_SIZES = (784, 512, 128, 64, 10)
OURS, BY_HAND, BY_HAND_32 = "jaxmlp", "NumPy by hand, float64", "NumPy by hand, float32"


class Run(NamedTuple):
    """One training run of one system."""

    seconds: float
    """Of training, excluding compilation."""

    train_loss: float
    """Mean over the last epoch, nats per example."""

    wrong: int
    """Wrong answers among the test images."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("mnist_deep", _experiment, _parser(), arguments)


def _experiment(options, console):
    dataset = jaxmlp.datasets.load("mnist", data_dir=options.data_dir, mirror=options.mirror)
    settings, epochs = Settings(LAYER_SIZES, options.batch_size, options.learning_rate), options.epochs
    # Each is a function of the seed that returns seconds, training loss, and predictions on the test set.
    systems: dict[str, Any] = {
        OURS: partial(_ours, dataset, settings, epochs),
        BY_HAND: partial(_by_hand, dataset, settings, epochs, np.float64),
        BY_HAND_32: partial(_by_hand, dataset, settings, epochs, np.float32),
        "scikit-learn": partial(_sklearn, dataset, settings, epochs),
    }
    absent = []
    for name, make in peers.PEERS.items():
        trainer = make(dataset, settings, epochs)
        if trainer is None:
            absent.append(name)
        else:
            systems[name] = trainer
    started = time.perf_counter()
    systems[OURS](0)  # compiles
    first_call = time.perf_counter() - started
    runs: dict[str, list[Run]] = {name: [] for name in systems}
    with command.progress(console) as bar:
        task = bar.add_task("", total=len(systems) * options.seeds)
        for seed in range(options.seeds):
            for name, trainer in systems.items():
                bar.update(task, description=f"{name}, seed {seed}")
                seconds, train_loss, predicted = trainer(seed)
                runs[name].append(Run(seconds, train_loss, int(np.sum(predicted != dataset.test[1]))))
                bar.advance(task)
    compile_seconds = first_call - float(np.mean([run.seconds for run in runs[OURS]]))
    results = {
        "settings": settings._asdict() | {"epochs": epochs},
        "runs": {name: [run._asdict() for run in found] for name, found in runs.items()},
        "not_installed": absent,
        "compile_seconds": compile_seconds,
    }
    pictures = {"seconds": partial(training_figures.times, _title(settings, options), _column(runs, "seconds"))}
    notes = _notes(runs, absent, compile_seconds)
    return Outcome(results, _comparisons(runs), notes, pictures, [_table(runs, options)])


def _ours(dataset, settings, epochs, seed):
    network = jaxmlp.mlp(settings.layer_sizes, initializer="glorot_normal")
    init_key, fit_key = jax.random.split(jax.random.key(seed))
    params, train = network.init(init_key), jax.device_put(dataset.train)
    started = time.perf_counter()
    result = jaxmlp.fit(
        jaxmlp.objective(network.apply),
        params,
        jaxmlp.optimizers.adam(settings.learning_rate),
        train,
        key=fit_key,
        epochs=epochs,
        batch_size=settings.batch_size,
    )
    jax.block_until_ready(result)
    seconds = time.perf_counter() - started
    outputs = np.asarray(network.apply(result.params, dataset.test[0]))
    return seconds, float(result.history.train_loss[-1]), outputs.argmax(axis=1)


def _by_hand(dataset, settings, epochs, dtype, seed):
    started = time.perf_counter()
    layers, losses = numpy_network.train(settings, *dataset.train, epochs=epochs, seed=seed, dtype=dtype)
    seconds = time.perf_counter() - started
    return seconds, losses[-1], numpy_network.predict(layers, dataset.test[0].astype(dtype))


def _sklearn(dataset, settings, epochs, seed):
    model = scikit_learn.classifier(settings, max_iter=epochs, random_state=seed)
    started = time.perf_counter()
    scikit_learn.fit(model, *dataset.train)
    seconds = time.perf_counter() - started
    return seconds, model.loss_, model.predict(dataset.test[0])


def _column(runs, name) -> dict[str, list[Any]]:
    return {system: [getattr(run, name) for run in found] for system, found in runs.items()}


def _comparisons(runs):
    seconds, losses, wrong = (_column(runs, name) for name in ("seconds", "train_loss", "wrong"))
    published = {BY_HAND: "33.4 (6 cores), 10.2 (CuPy, RTX 2070)"}
    published_loss = {BY_HAND: "0.038, 0.067 (CuPy)"}
    rows = []
    for name, values in seconds.items():
        rows.append(Comparison(f"{name}: seconds of training", published.get(name, "-"), values))
    for name, values in seconds.items():
        if name != OURS:
            ratios = np.divide(values, seconds[OURS])
            rows.append(Comparison(f"{name}: seconds divided by those of {OURS}", "-", ratios))
    for name in (OURS, BY_HAND):
        rows.append(
            Comparison(f"{name}: final training loss (nats)", published_loss.get(name, "-"), losses[name], ".4f")
        )
    for name in (OURS, BY_HAND):
        rows.append(Comparison(f"{name}: wrong of 10,000 test images", "-", wrong[name], ".0f"))
    return rows


def _table(runs, options):
    table = Table("system", "seconds", "final training loss", "wrong test answers", title="Every system, in turns")
    for name, found in runs.items():
        cells = [
            command.with_interval(values, form)
            for values, form in zip(zip(*found, strict=True), (".2f", ".4f", ".0f"), strict=True)
        ]
        table.add_row(name, *cells)
    return table


def _notes(runs, absent, compile_seconds):
    wrong = _column(runs, "wrong")
    notes = [
        f"The systems train in turns, each by itself and on all cores. Compilation of {OURS} is excluded; it took "
        f"{compile_seconds:.1f} s. Ratios are between runs of the same turn.",
        "scikit-learn draws its weights from Glorot's uniform distribution, the others from the normal one.",
    ]
    if len(wrong[OURS]) > 1:
        best = min(wrong, key=lambda name: np.mean(wrong[name]))
        runs_of = {name: verdicts.Runs(np.array(counts)) for name, counts in wrong.items()}
        above = verdicts.beaten(best, verdicts.all_pairs(runs_of, higher_is_better=False))
        lead = (
            f"significantly fewer than {' and '.join(above)}" if above else "but not significantly fewer than any other"
        )
        notes.append(
            f"Wrong test answers: {best} has the fewest on average, {lead} (Welch's intervals over the runs, "
            "95 % for all pairs together)."
        )
    notes += [f"{name} is not installed; to include it, pip install -e '.[peers]'." for name in absent]
    return notes


def _title(settings, options):
    epochs, runs = counted(options.epochs, "epoch"), counted(options.seeds, "run")
    return f"784-512-128-64-10, batch {settings.batch_size}, {epochs}, {runs} each"


def _parser():
    parser = command.options(
        "mnist_deep",
        "Time 784-512-128-64-10 on MNIST by Adam in jaxmlp, in NumPy written by hand, in scikit-learn, and in PyTorch "
        "and Keras if they are installed; compare their test errors.",
        seeds=5,
        data=True,
    )
    command.add_training_options(parser, rule="Adam", learning_rate=0.01, batch_size=1000, epochs=10, examples=60_000)
    return parser
