"""How far the updates of two programs are apart: the inputs that both are given, and what is measured."""

import inspect
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from experiments.conformance.peers import Peer, Rates

Updates = dict[tuple[str, str], np.ndarray]  # (settings, what the rate does) -> (steps, inputs, 8)

LIMITS = {"float64": 1e-12, "float32": 2e-5}
"""Precision of the library -> the largest relative deviation at which two programs count as one function.

In float32, 1 - 0.999 is off by up to 3e-5, and its root by half of that.
"""

FALL = 50
"""Steps after which one of the learning rates falls to a tenth."""

# "own defaults" are the library's, except for a momentum of 0, which is no momentum. "the same" is one set for all
# libraries, optax's with an AdaGrad that starts from 0, so that only the algebra differs. "unusual" is far from all
# defaults, so that a number in the wrong place is an error of several percent.
SETTINGS = {
    "own defaults": {},
    "the same": {
        "momentum": {"momentum": 0.9},
        "nesterov": {"momentum": 0.9},
        "adagrad": {"initial_accumulator": 0.0, "eps": 1e-7},
        "rmsprop": {"decay": 0.9, "eps": 1e-8},
        "adam": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
        "amsgrad": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
    },
    "unusual": {
        "momentum": {"momentum": 0.6, "dampening": 0.3},
        "nesterov": {"momentum": 0.6},
        "adagrad": {"initial_accumulator": 0.03, "eps": 1e-3},
        "rmsprop": {"decay": 0.7, "eps": 1e-3, "initial_scale": 0.5},
        "adam": {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 2e-3},
        "amsgrad": {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 2e-3},
    },
}


def inputs(steps: int, seed: int) -> tuple[dict[str, np.ndarray], dict[str, Rates]]:
    """Return gradients and learning rates that show where rules differ.

    Args:
        steps: of each run, more than FALL.
        seed: of the random ones.

    Returns:
        (gradients (steps, 8) by description, learning rates by what they do).
    """
    rng = np.random.default_rng(seed)
    powers = sorted(range(-8, 5), key=abs)  # 1 first, so that it is named if several inputs show the same difference
    grads = {f"g = {10.0**power:g}": np.full((steps, 8), 10.0**power) for power in powers}
    grads["g = 1, then 0.1"] = np.where(np.arange(steps)[:, None] < 1, 1.0, 0.1) * np.ones((1, 8))
    grads["g = 100, then 1"] = np.where(np.arange(steps)[:, None] < 1, 100.0, 1.0) * np.ones((1, 8))
    grads |= {f"random, of size {size:g}": size * rng.normal(size=(steps, 8)) for size in 10.0 ** np.arange(-8, 5, 2)}
    sizes = 10 ** rng.uniform(-8, 4, size=(steps, 1))
    grads["random, each step of a size between 1e-8 and 1e4"] = sizes * rng.normal(size=(steps, 8))
    grads["0 at first, then random"] = np.where(np.arange(steps)[:, None] < 2, 0.0, rng.normal(size=(steps, 8)))
    falling = np.where(np.arange(steps) < FALL, 0.1, 0.01)
    return grads, {"constant": 0.1, "a tenth from step 51": falling, "random": 10 ** rng.uniform(-3, -1, size=steps)}


def settings_of(peer: Peer, rule: str, which: str) -> dict[str, float]:
    """Return those of the settings that the library has, by our names; none for its own defaults."""
    parameters = inspect.signature(getattr(peer.module, rule)).parameters
    if which == "own defaults":
        # PyTorch's and Keras's default is 0 and optax has none; without momentum there is nothing to compare.
        return {"momentum": 0.9} if "momentum" in parameters and peer.name != "scikit-learn" else {}
    return {name: value for name, value in SETTINGS[which].get(rule, {}).items() if name in parameters}


@jax.jit
def replay(optimizer, grads):
    """Return our updates of successive gradients (steps, ...)."""

    def step(state, g):
        updates, state = optimizer.update(g, state)
        return state, updates

    return jax.lax.scan(step, optimizer.init(jnp.zeros_like(grads[0])), grads)[1]


def deviation(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the relative deviation of each step and input, (steps, inputs); NaN counts as infinite.

        max|ours - theirs| / max|theirs|

    Args:
        ours: updates (steps, inputs, n).
        theirs: updates (steps, inputs, n).
    """
    error, size = np.abs(ours - theirs).max(axis=2), np.abs(theirs).max(axis=2)
    relative = np.divide(error, size, out=np.where(error == 0, 0.0, np.inf), where=size > 0)
    return np.where(np.isnan(relative), np.inf, relative)


def drift(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the ratio of the larger of two updates to the smaller, (steps, inputs); 1 if both are 0."""
    sizes = np.abs(np.stack([a, b])).max(axis=3)
    low, high = sizes.min(axis=0), sizes.max(axis=0)
    return np.divide(high, low, out=np.where(high == low, 1.0, np.inf), where=low > 0)


def missing(peer: Peer, rule: str) -> str | None:
    """Return why there is nothing to compare; None if there is."""
    return peer.missing or (None if rule in peer.rules else "has no such rule")


def compare(
    peer: Peer, rule: str, grads: dict[str, np.ndarray], rates: dict[str, Rates]
) -> tuple[dict[str, Any], Updates]:
    """Compare one rule with one library's under all settings and learning rates.

    Returns:
        (the worst deviation and where it occurs, the library's updates).
    """
    stacked = np.stack(list(grads.values()), axis=1)
    worst: dict[str, Any] = {"deviation": -1.0}
    theirs = {}
    for which, (change, rate) in itertools.product(SETTINGS, rates.items()):
        settings = settings_of(peer, rule, which)
        theirs[which, change] = updates = peer.run(rule, stacked, rate, settings)
        schedule = rate if isinstance(rate, float) else Partial(_lookup, jnp.asarray(rate))
        ours = np.asarray(replay(getattr(peer.module, rule)(schedule, **settings), jnp.asarray(stacked)))
        found = deviation(ours, updates)
        step, row = np.unravel_index(np.argmax(found), found.shape)
        if found[step, row] > worst["deviation"]:
            where = {"settings": which, "rate": change, "input": list(grads)[row], "step": int(step) + 1}
            worst = {"deviation": float(found[step, row]), "dtype": str(updates.dtype), **where}
    return worst | {"agrees": worst["deviation"] <= LIMITS.get(worst["dtype"], 0.0)}, theirs


def _lookup(rates, count):
    return rates[count]


def drifts(
    rule: str, chosen: dict[str, Peer], theirs: dict[tuple[str, str], Updates], names: list[str]
) -> dict[str, Any]:
    """Measure how far each pair of libraries is apart, with their own defaults and with the same settings.

    "deviation" is the largest relative difference, sign included, over all steps, inputs and learning rates. "times" is
    the largest ratio of sizes where neither the input nor the learning rate is random; on random ones it would depend
    on the draw. The input and step reported with it are the simplest and earliest of those within a millionth.

    Args:
        rule: a name in RULES.
        chosen: libraries by short name.
        theirs: (rule, library) -> its updates, as compare returns them.
        names: of the inputs, in their order.
    """
    found = {}
    probes = [row for row, name in enumerate(names) if name.startswith("g =")]
    for a, b in itertools.combinations(chosen, 2):
        reason = missing(chosen[a], rule) or missing(chosen[b], rule)
        if reason is not None:
            found[f"{a}/{b}"] = {"missing": reason}
            continue
        found[f"{a}/{b}"] = {
            which: _drift(a, b, theirs[rule, a], theirs[rule, b], which, names, probes)
            for which in ("the same", "own defaults")
        }
    return found


def _drift(a, b, of_a, of_b, which, names, probes):
    changes = [change for setting, change in of_a if setting == which]
    apart = max(deviation(of_a[which, change], of_b[which, change]).max() for change in changes)
    times = {c: drift(of_a[which, c][:, probes], of_b[which, c][:, probes]) for c in changes if c != "random"}
    largest = max(ratios.max() for ratios in times.values())
    least = largest * (1 - 1e-6)
    change = next(c for c, ratios in times.items() if ratios.max() >= least)
    row, step = np.argwhere(least <= times[change].T)[0]
    return {
        "times": float(largest),
        "deviation": float(apart),
        "input": names[probes[row]],
        "rate": change,
        "step": int(step) + 1,
        "updates": {of: float(updates[which, change][step, probes[row], 0]) for of, updates in ((a, of_a), (b, of_b))},
    }
