"""The methods that predict who survived, and how their predictions are measured."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from experiments.titanic.passengers import Part, prepared, tuning_part


class Setting(NamedTuple):
    """How an optimizer trains."""

    learning_rate: float
    """Per step."""

    batch_size: int
    """Passengers per step."""


SETTINGS = {"sgd": Setting(0.001, 150), "adam": Setting(0.02, 100)}


RATES = 10 ** np.linspace(-3.5, 0, 8)
"""The learning rates among which that of SGD is chosen."""


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


def trained(
    ready: Sequence[Part],
    network: jaxmlp.Network,
    rule: str,
    epochs: int,
    on_run: Callable[[], object],
    learning_rates: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Train every seed on its part; the parts have equal shapes, so one compiled program serves all.

    Args:
        ready: as prepared returns them.
        network: to train.
        rule: in SETTINGS.
        epochs: passes over the training rows.
        on_run: called after each run.
        learning_rates: one for each part; None: the published one.

    Returns:
        Every measure by seed, ROC curves, and the losses by epoch: mean, lowest and highest over the seeds.
    """
    loss_fn = jaxmlp.objective(network.apply, "binary_cross_entropy")
    setting = SETTINGS[rule]
    rates = [setting.learning_rate] * len(ready) if learning_rates is None else learning_rates
    measured, scores, labels = [], [], []
    losses: dict[str, list[np.ndarray]] = {"train_loss": [], "test_loss": []}
    for part, rate in zip(ready, rates, strict=True):
        result = jaxmlp.sweep(
            loss_fn,
            network.init,
            jaxmlp.optimizers.OPTIMIZERS[rule],
            {"learning_rate": [float(rate)]},
            part.train,
            keys=jax.vmap(jax.random.key)(jnp.asarray(part.seeds)),
            epochs=epochs,
            batch_size=setting.batch_size,
            validation=part.test,
            on_run=_counted(on_run),
        )
        params, history = jax.tree.map(lambda a: np.asarray(a)[0], (result.params, result.history))
        logits = np.asarray(_logits(network.apply, params, part.test[0]))
        measured += [measure(row, part.test[1]) for row in logits]
        scores += list(logits)
        labels += [part.test[1]] * len(logits)
        losses["train_loss"].append(history.train_loss)
        losses["test_loss"].append(history.validation_loss)
    by_epoch = {name: np.concatenate(values) for name, values in losses.items()}
    return {
        **_columns(measured),
        "diverged": int(sum(not np.all(np.isfinite(row)) for row in scores)),
        "roc": _roc(scores, labels),
        **{name: values.mean(axis=0) for name, values in by_epoch.items()},
        **{f"{name}_lowest": values.min(axis=0) for name, values in by_epoch.items()},
        **{f"{name}_highest": values.max(axis=0) for name, values in by_epoch.items()},
    }


def tuned_rates(
    divided: Sequence[Part],
    network: jaxmlp.Network,
    epochs: int,
    *,
    standardised: bool,
    seeds: int,
    on_run: Callable[[], object],
) -> list[float]:
    """Choose SGD's learning rate for each part, by the loss at the end on a fifth of its training rows.

    Missing values and moments come from the other four fifths. The loss is the mean over a fiftieth of the epochs.

    Args:
        divided: as parts returns them.
        network: to train.
        epochs: as many as are trained afterwards.
        standardised: as for prepared.
        seeds: runs with each rate.
        on_run: called after each run.
    """
    loss_fn = jaxmlp.objective(network.apply, "binary_cross_entropy")
    chosen = []
    for number, part in enumerate(divided):
        ready = prepared(tuning_part(part, seed=number), standardised=standardised)
        result = jaxmlp.sweep(
            loss_fn,
            network.init,
            jaxmlp.optimizers.sgd,
            {"learning_rate": RATES.tolist()},
            ready.train,
            keys=jax.vmap(jax.random.key)(1000 + number + jnp.arange(seeds)),  # not those of the runs that are reported
            epochs=epochs,
            batch_size=SETTINGS["sgd"].batch_size,
            validation=ready.test,
            on_run=_counted(on_run),
        )
        loss = np.asarray(result.history.validation_loss)[..., -max(1, epochs // 50) :].mean(axis=(1, 2))
        chosen.append(float(RATES[np.argmin(np.where(np.isfinite(loss), loss, np.inf))]))
    return chosen


@partial(jax.jit, static_argnums=0)
def _logits(apply, params, x):
    """The logits of every run's network, (runs, n)."""
    return jax.vmap(apply, in_axes=(0, None))(params, x)[..., 0]


def logistic(ready: Sequence[Part]) -> dict[str, Any]:
    """Fit scikit-learn's logistic regression, with its default penalty, to each part."""
    from sklearn.linear_model import LogisticRegression

    labels = [part.test[1] for part in ready]
    scores = [LogisticRegression().fit(*part.train).decision_function(part.test[0]) for part in ready]
    return {**_columns([measure(*pair) for pair in zip(scores, labels, strict=True)]), "roc": _roc(scores, labels)}


def by_a_peer(
    train: Callable[..., np.ndarray], ready: Sequence[Part], rule: str, epochs: int, runs: int
) -> dict[str, Any]:
    """Train the first seeds in another library, on the parts that jaxmlp trains on.

    Args:
        train: (part, setting, rule, epochs, seed) -> one score for each test passenger, positive for survivors.
        ready: as prepared returns them.
        rule: in SETTINGS.
        epochs: passes over the training rows.
        runs: how many seeds.
    """
    pairs = [(part, seed) for part in ready for seed in part.seeds][:runs]
    measured = [measure(train(part, SETTINGS[rule], rule, epochs, seed), part.test[1]) for part, seed in pairs]
    return _columns(measured)


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


def _counted(on_run):
    """A callback of sweep that calls on_run once for each run."""

    def ended(done, total):
        on_run()

    return ended
