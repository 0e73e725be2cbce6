"""The runs that the cockpit watches: what competes, the three faults, and the edge of stability."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from jaxmlp.instruments import Instrument
from jaxmlp.optimizers import OPTIMIZERS

RATES = {
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adagrad": 0.02,
    "rmsprop": 0.001,
    "adam": 0.001,
    "amsgrad": 0.001,
}
EDGE_RATES = (0.15, 0.2, 0.3)
EDGE_EXAMPLES = 1000


class Run(NamedTuple):
    """One run to watch."""

    network: jaxmlp.Network
    """Its network."""
    optimizer: Any
    """Its rule, with its numbers."""
    train: tuple[np.ndarray, np.ndarray]
    """Its examples."""
    loss: Any = "softmax_cross_entropy"
    """As for jaxmlp.objective."""


def optimizers(names: list[str], train: tuple[np.ndarray, np.ndarray]) -> dict[str, Run]:
    """Return one run for each rule, at a usual learning rate."""
    return {name: Run(_plain(train), OPTIMIZERS[name](RATES[name]), train) for name in names}


def faults(train: tuple[np.ndarray, np.ndarray]) -> dict[str, Run]:
    """Return a healthy run and the three faulty ones."""
    x, y = train
    sgd = jaxmlp.optimizers.sgd
    deep = jaxmlp.mlp((x.shape[1], *[64] * 6, 10), activation="sigmoid", initializer="glorot_normal")
    centred = (x - x.mean()) / x.std()
    return {
        "healthy": Run(_plain(train), sgd(0.1), (centred, y)),
        "learning rate too high": Run(_plain(train), sgd(0.5), (centred, y)),
        "deep sigmoid network": Run(deep, sgd(0.1), (centred, y)),
        "raw inputs": Run(_plain(train), sgd(0.1 / 255**2), (255 * x, y)),
    }


def edge(train: tuple[np.ndarray, np.ndarray]) -> dict[str, Run]:
    """Return runs of full-batch gradient descent, for the edge of stability."""
    x, y = (part[:EDGE_EXAMPLES] for part in train)
    targets = np.eye(10, dtype=np.float32)[y]
    network = jaxmlp.mlp((x.shape[1], 32, 32, 10), activation="tanh", initializer="lecun_normal")
    examples = (x - x.mean(axis=0), targets)
    return {f"{rate:g}": Run(network, jaxmlp.optimizers.sgd(rate), examples, half_squared_error) for rate in EDGE_RATES}


def half_squared_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Return |outputs - targets|^2 / 2, mean over examples, the loss of Cohen et al. (2021)."""
    return ((outputs - targets) ** 2).sum(axis=1).mean() / 2


def watch(
    run: Run,
    chosen: Mapping[str, Instrument],
    *,
    epochs: int,
    batch_size: int,
    told: Callable[[dict[str, Any]], None],
    at_once: int = 1,
) -> dict[str, Any]:
    """Train a run and return its readings, name -> Readings of NumPy arrays; told gets them after at_once epochs.

    Each piece of the run continues the last bit for bit.
    """
    loss_fn, parts = jaxmlp.objective(run.network.apply, run.loss), []
    params, key = run.network.init(jax.random.key(0)), jax.random.key(1)
    state = jaxmlp.TrainState(params, run.optimizer.init(params), key, jnp.zeros((), jnp.int32), start=params)
    settings = {"key": key, "batch_size": batch_size, "instruments": chosen}
    for done in range(0, epochs, at_once):
        piece = min(at_once, epochs - done)
        result = jaxmlp.fit(loss_fn, params, run.optimizer, run.train, state=state, epochs=piece, **settings)
        state = result.state
        parts.append(jax.tree.map(np.asarray, result.history.instruments))
        told(parts[-1])
    return {name: _joined([part[name] for part in parts]) for name in chosen}


def _joined(parts):
    whole = jax.tree.map(lambda *rows: np.concatenate(rows), *parts)
    return jax.tree.map(lambda rows: rows[whole.steps >= 0], whole)


def _plain(train):
    return jaxmlp.mlp((train[0].shape[1], 128, 64, 10))
