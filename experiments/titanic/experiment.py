"""The experiment and its command line."""

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import jaxmlp
from experiments.common import command
from experiments.common.command import Outcome
from experiments.titanic import figures, keras_peer, methods, report
from experiments.titanic.methods import SETTINGS
from experiments.titanic.passengers import N_TRAIN, parts, prepared
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.data import medians
from jaxmlp.datasets import titanic_table
from jaxmlp.datasets.titanic import FEATURE_NAMES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("titanic", _experiment, _parser(), arguments)


def _experiment(options, console):
    table = titanic_table(csv=options.csv, data_dir=options.data_dir, mirror=options.mirror)
    complete = ~np.isnan(table.x).any(axis=1)
    tables = {"left out": table._replace(x=table.x[complete], y=table.y[complete]), "filled": table}
    given = options.csv is not None
    divided = {missing: parts(rows, options.seeds, in_order=given) for missing, rows in tables.items()}
    network = jaxmlp.mlp((7, options.hidden, 1), activation=options.activation, initializer="glorot_normal")
    tuning_seeds = 3 if given else 1  # one division of the passengers, or one for each seed
    in_keras = min(options.keras, options.seeds)
    module, missing_keras = keras_peer.keras() if in_keras else (None, "")
    runs: dict[str, Any] = {}
    chosen: dict[str, list[float]] = {}
    with command.progress(console) as bar:
        tuned = sum(len(methods.RATES) * tuning_seeds * len(found) for found in divided.values())
        total = 2 * (tuned + len(tables) * (len(SETTINGS) + 1) * options.seeds)
        task = bar.add_task("", total=total)
        advance = partial(bar.advance, task)
        for missing, standardised in itertools.product(tables, (False, True)):
            ready = [prepared(part, standardised=standardised) for part in divided[missing]]
            name = f"{missing}, {'standardised' if standardised else 'raw'}"
            found = runs[name] = {}
            for rule in SETTINGS:
                bar.update(task, description=f"{rule}, {name}")
                found[rule] = methods.trained(ready, network, rule, options.epochs, advance)
            bar.update(task, description=f"sgd, tuned, {name}")
            settings = {"standardised": standardised, "seeds": tuning_seeds, "on_run": advance}
            rates = chosen[name] = methods.tuned_rates(divided[missing], network, options.epochs, **settings)
            found[figures.TUNED] = methods.trained(ready, network, "sgd", options.epochs, advance, rates)
            if standardised:
                found["logistic"] = methods.logistic(ready)
            if module and missing == "left out":  # the published rows; as slow as all that jaxmlp trains together
                train = keras_peer.trainer(module, options.hidden, options.activation)
                for rule in SETTINGS:
                    bar.update(task, description=f"{rule} in Keras, {name}")
                    by_keras = methods.by_a_peer(train, ready, rule, options.epochs, in_keras)
                    found[f"{rule}, Keras"] = by_keras
    survivors = {missing: [int(part.test[1].sum()) for part in found] for missing, found in divided.items()}
    n_test = {missing: len(found[0].test[1]) for missing, found in divided.items()}
    results = {
        "source": str(options.csv) if given else f"TFDS's table, {N_TRAIN} random training rows per seed",
        "features": FEATURE_NAMES,
        "settings": {rule: setting._asdict() for rule, setting in SETTINGS.items()},
        "learning_rates_tried": methods.RATES,
        "learning_rates_chosen": chosen,
        "test_passengers": n_test,
        "test_survivors": survivors,
        "runs": runs,
    }
    # With filled rows the pictures look the same.
    shown = {name: methods for name, methods in runs.items() if name.startswith("left out")}
    return Outcome(
        results,
        list(report.comparisons(runs, survivors, count=given)),
        [
            _filled(table, divided["filled"]),
            _rows_used(n_test, survivors),
            *report.notes(runs, n_test, chosen, one_split=given),
            *([f"Keras {missing_keras}."] if missing_keras else []),
        ],
        {picture.__name__: partial(picture, shown) for picture in figures.PICTURES},
        [report.table(runs)],
    )


def _filled(table, divided):
    """Say what was missing and how it was filled."""
    counts = np.isnan(table.x).sum(axis=0)
    values = np.array([medians(part.train[0]) for part in divided])
    said = []
    for name, count, column in zip(FEATURE_NAMES, counts, values.T, strict=True):
        if count:
            low, high = column.min(), column.max()
            said.append(f"{count} of {name} with {low:g}" + (f" to {high:g}" if high > low else ""))
    filled = ", ".join(said) or "nothing, since no value was missing"
    return f"Filled with the median of the training rows: {filled} (port 0 C, 1 Q, 2 S; sex 0 male, 1 female)."


def _rows_used(n_test, survivors):
    said = [
        f"{n_test[missing]} test passengers with {np.mean(survivors[missing]):.4g} survivors if incomplete rows are "
        f"{missing}"
        for missing in n_test
    ]
    origin = ""
    if survivors["left out"] == [101] != survivors["filled"]:
        origin = " The published 101 survivors are those of this file with incomplete rows left out."
    return f"{N_TRAIN} training passengers; {'; '.join(said)}.{origin}"


def _parser():
    parser = command.options(
        "titanic",
        "Train a network on 600 passengers of the Titanic by SGD (learning rate 0.001, batch size 150) and by Adam "
        "(0.02, 100), and predict which of the others survived, beside SGD at a rate tuned on training passengers, a "
        "logistic regression, and the same network in Keras where it is installed.",
        seeds=20,
        data=True,
    )
    add = parser.add_argument
    text = "Kaggle's train.csv, whose first 600 rows train (default: TFDS's table, 600 random rows per seed)"
    add("--csv", type=Path, metavar="FILE", help=text)
    add("--hidden", type=command.up_to(command.LARGEST), default=15, least=1, metavar="N", help="hidden units")
    text = "activation of the hidden units"
    add("--activation", default="relu", choices=ACTIVATIONS, metavar="NAME", help=text)
    text = "runs in Keras, where it is installed, of each network; 0: none"
    add("--keras", type=command.up_to(command.LARGEST), default=5, least=0, metavar="N", help=text)
    text = "passes over the training rows"
    add("--epochs", type=command.up_to(command.LARGEST), default=1000, least=1, metavar="N", help=text)
    return parser
