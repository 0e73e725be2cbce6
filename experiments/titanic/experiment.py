"""The experiment and its command line."""

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from experiments.common import command
from experiments.common.command import Outcome
from experiments.titanic import report
from jaxmlp.activations import ACTIVATIONS
from jaxmlp.data import Examples, fill_missing, medians, moments, split, standardise
from jaxmlp.datasets import titanic_table
from jaxmlp.datasets.titanic import FEATURE_NAMES, TitanicTable

N_TRAIN = 600


class Setting(NamedTuple):
    """How an optimizer trains."""

    learning_rate: float
    """Per step."""

    batch_size: int
    """Passengers per step."""


SETTINGS = {"sgd": Setting(0.001, 150), "adam": Setting(0.02, 100)}


class Part(NamedTuple):
    """A division into training and test rows, and the seeds of the runs that train on it."""

    train: Examples
    """Trained on."""

    test: Examples
    """Predicted."""

    seeds: Sequence[int]
    """Of the runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("titanic", _experiment, _parser(), arguments)


def parts(table: TitanicTable, seeds: int, *, in_order: bool) -> list[Part]:
    """Divide the passengers into 600 to train on and the others to test on.

    Args:
        table: the passengers.
        seeds: runs, >= 1.
        in_order: True: every run trains on the first 600; False: each seed draws its own 600.

    Raises:
        ValueError: a part would be empty or lack one of the two outcomes.
    """
    x, y, _ = table
    if len(y) <= N_TRAIN:
        raise ValueError(
            f"{N_TRAIN} passengers train and the others test, but there are only {len(y)}; give a file with more rows"
        )
    if in_order:
        found = [Part((x[:N_TRAIN], y[:N_TRAIN]), (x[N_TRAIN:], y[N_TRAIN:]), range(seeds))]
    else:
        found = [Part(*split(x, y, count=len(y) - N_TRAIN, seed=seed), [seed]) for seed in range(seeds)]
    for part in found:
        for name, (_, labels) in (("training", part.train), ("test", part.test)):
            if len(np.unique(labels)) < 2:
                raise ValueError(f"all {len(labels)} {name} passengers have one outcome; give a file with both in each")
    return found


def prepared(part: Part, *, standardised: bool) -> Part:
    """Fill missing values with the medians of the training rows; standardise by their moments if asked to."""

    def prepare(x):
        x = fill_missing(x, values)
        return standardise(x, known) if standardised else x

    values = medians(part.train[0])
    known = moments(fill_missing(part.train[0], values))
    return part._replace(train=(prepare(part.train[0]), part.train[1]), test=(prepare(part.test[0]), part.test[1]))


def measure(logits: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Compare predictions with what happened.

    Args:
        logits: (n,); a passenger with a positive logit is predicted to survive. A logit that is not finite, from a run
            that diverged, makes every measure NaN.
        y: 1 for survivors, 0 otherwise, both outcomes present, (n,).

    Returns:
        accuracy in percent; off, the error in the number of predicted survivors; missed survivors and false alarms, in
        passengers; these three as shares of the survivors in percent; auc, the area under the ROC curve.
    """
    from sklearn.metrics import roc_auc_score

    predicted, survived = logits > 0, y == 1
    counts = {
        "off": abs(int(predicted.sum()) - int(survived.sum())),
        "missed": int((~predicted & survived).sum()),
        "false_alarm": int((predicted & ~survived).sum()),
    }
    if not np.all(np.isfinite(logits)):
        return dict.fromkeys(["accuracy", *counts, *(f"{name}_share" for name in counts), "auc"], float("nan"))
    shares = {f"{name}_share": 100 * count / int(survived.sum()) for name, count in counts.items()}
    accuracy = 100 * float(np.mean(predicted == survived))
    return {"accuracy": accuracy, **counts, **shares, "auc": float(roc_auc_score(y, logits))}


def _experiment(options, console):
    table = titanic_table(csv=options.csv, data_dir=options.data_dir, mirror=options.mirror)
    complete = ~np.isnan(table.x).any(axis=1)
    tables = {"left out": table._replace(x=table.x[complete], y=table.y[complete]), "filled": table}
    given = options.csv is not None
    divided = {missing: parts(rows, options.seeds, in_order=given) for missing, rows in tables.items()}
    network = jaxmlp.mlp((7, options.hidden, 1), activation=options.activation, initializer="glorot_normal")
    runs: dict[str, Any] = {}
    with command.progress(console) as bar:
        task = bar.add_task("", total=2 * len(tables) * len(SETTINGS) * options.seeds)
        for missing, standardised in itertools.product(tables, (False, True)):
            ready = [prepared(part, standardised=standardised) for part in divided[missing]]
            name = f"{missing}, {'standardised' if standardised else 'raw'}"
            runs[name] = {}
            for rule in SETTINGS:
                bar.update(task, description=f"{rule}, {name}")
                runs[name][rule] = _trained(ready, network, rule, options.epochs, partial(bar.advance, task))
            if standardised:
                runs[name]["logistic"] = _logistic(ready)
    survivors = {missing: [int(part.test[1].sum()) for part in found] for missing, found in divided.items()}
    n_test = {missing: len(found[0].test[1]) for missing, found in divided.items()}
    results = {
        "source": str(options.csv) if given else f"TFDS's table, {N_TRAIN} random training rows per seed",
        "features": FEATURE_NAMES,
        "settings": {rule: setting._asdict() for rule, setting in SETTINGS.items()},
        "test_passengers": n_test,
        "test_survivors": survivors,
        "runs": runs,
    }
    # With filled rows the pictures look the same.
    shown = {name: methods for name, methods in runs.items() if name.startswith("left out")}
    return Outcome(
        results,
        list(report.comparisons(runs, survivors, count=given)),
        [_filled(table, divided["filled"]), _rows_used(n_test, survivors), *report.notes(runs)],
        {picture.__name__: partial(picture, shown) for picture in report.PICTURES},
        [report.table(runs)],
    )


def _trained(ready, network, rule, epochs, on_run):
    """Train every seed on its part; the parts have equal shapes, so one compiled program serves all."""
    loss_fn = jaxmlp.objective(network.apply, "binary_cross_entropy")
    setting = SETTINGS[rule]
    measured, scores, labels, train_losses, test_losses = [], [], [], [], []
    for part in ready:
        result = jaxmlp.sweep(
            loss_fn,
            network.init,
            jaxmlp.optimizers.OPTIMIZERS[rule],
            {"learning_rate": [setting.learning_rate]},
            part.train,
            keys=jax.vmap(jax.random.key)(jnp.asarray(part.seeds)),
            epochs=epochs,
            batch_size=setting.batch_size,
            validation=part.test,
            on_run=lambda done, total: on_run(),
        )
        params, history = jax.tree.map(lambda a: np.asarray(a)[0], (result.params, result.history))
        logits = np.asarray(_logits(network.apply, params, part.test[0]))
        measured += [measure(row, part.test[1]) for row in logits]
        scores += list(logits)
        labels += [part.test[1]] * len(logits)
        train_losses.append(history.train_loss)
        test_losses.append(history.validation_loss)
    return {
        **_columns(measured),
        "diverged": int(sum(not np.all(np.isfinite(row)) for row in scores)),
        "roc": _roc(scores, labels),
        "train_loss": np.concatenate(train_losses).mean(axis=0),
        "test_loss": np.concatenate(test_losses).mean(axis=0),
    }


@partial(jax.jit, static_argnums=0)
def _logits(apply, params, x):
    """The logits of every run's network, (runs, n)."""
    return jax.vmap(apply, in_axes=(0, None))(params, x)[..., 0]


def _logistic(ready):
    """Fit scikit-learn's logistic regression, with its default penalty, to each part."""
    from sklearn.linear_model import LogisticRegression

    labels = [part.test[1] for part in ready]
    scores = [LogisticRegression().fit(*part.train).decision_function(part.test[0]) for part in ready]
    return {**_columns([measure(*pair) for pair in zip(scores, labels, strict=True)]), "roc": _roc(scores, labels)}


def _columns(measured):
    return {name: [row[name] for row in measured] for name in measured[0]}


def _roc(scores, labels):
    """The mean and the range of the runs' true positive rates at given false positive rates."""
    from sklearn.metrics import roc_curve

    grid = np.linspace(0, 1, 101)
    rates = []
    for row, y in zip(scores, labels, strict=True):
        if np.all(np.isfinite(row)):
            false_positive, true_positive, _ = roc_curve(y, row, drop_intermediate=False)
            rates.append(np.interp(grid, false_positive, true_positive))
    rates = np.array(rates or [np.full(len(grid), np.nan)])
    rates[:, 0] = 0  # a curve starts at the origin; np.interp would start it at the end of its first rise
    return {
        "false_positive_rate": grid,
        "mean": rates.mean(axis=0),
        "lowest": rates.min(axis=0),
        "highest": rates.max(axis=0),
    }


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
        "(0.02, 100), and predict which of the others survived, beside a logistic regression.",
        seeds=20,
        data=True,
    )
    add = parser.add_argument
    text = "Kaggle's train.csv, whose first 600 rows train (default: TFDS's table, 600 random rows per seed)"
    add("--csv", type=Path, metavar="FILE", help=text)
    add("--hidden", type=command.up_to(command.LARGEST), default=15, least=1, metavar="N", help="hidden units")
    text = "activation of the hidden units"
    add("--activation", default="relu", choices=ACTIVATIONS, metavar="NAME", help=text)
    add(
        "--epochs",
        type=command.up_to(command.LARGEST),
        default=1000,
        least=1,
        metavar="N",
        help="passes over the training rows",
    )
    return parser
