"""Training of networks with one hidden layer from many seeds, and what is measured of the trained ones."""

import operator
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from experiments.logic_gates import networks
from experiments.logic_gates.settings import ACTIVATIONS, Setting, function_of

PIECE = 1000
"""Most runs that are trained as one vectorised program."""


class Trained(NamedTuple):
    """The runs of one setting; the first axis is the seed."""

    score: np.ndarray
    """Share of the four rows that are right, in [0, 1], (seeds,)."""

    logits: np.ndarray
    """(seeds, 4, 2); a single output is the first one, and the second is then 0."""

    hidden: np.ndarray
    """Activations of the hidden units on the four rows, (seeds, 4, width)."""

    start: Any
    """Params before training, seeds first; spare units and outputs are 0."""

    params: Any
    """Params after it."""


def train(
    settings: Sequence[Setting],
    keys: jax.Array,
    *,
    epochs: int,
    steepness: float,
    on_runs: Callable[[int], None] = lambda count: None,
) -> dict[Setting, Trained]:
    """Train every setting from every key, by batch descent with Keras's Adam on the four rows.

    Run (setting, key) equals fit of mlp((2, width, outputs)) up to rounding, with weights drawn from the first half of
    split(key), as in a sweep. All runs are one vectorised program (see networks), which for networks this small takes a
    tenth of the time of a sweep in threads.

    Args:
        settings: what to train.
        keys: random keys, (seeds,).
        epochs: steps, >= 1.
        steepness: of the steep sigmoid, > 0.
        on_runs: called with the number of runs whenever some have ended.
    """
    functions = tuple(function_of(name, steepness) for name in ACTIVATIONS)
    runs = networks.starts(settings, keys)
    ends = _in_pieces(lambda piece: networks.train_runs(piece, functions, epochs), runs, on_runs)
    by_setting = jax.tree.map(lambda a: a.reshape(len(settings), len(keys), *a.shape[1:]), (ends, runs.params))
    trained = {}
    for index, setting in enumerate(settings):
        end, start = jax.tree.map(operator.itemgetter(index), by_setting)
        trained[setting] = Trained(end.score, end.logits, end.hidden[..., : setting.width], start, end.params)
    return trained


def probabilities(setting: Setting, trained: Trained, seed: int, x: np.ndarray, steepness: float) -> np.ndarray:
    """Return the answers of the run of one seed at x (..., 2): the sigmoid of its single output, (...)."""
    net = jaxmlp.mlp(networks.SIZES, activation=function_of(setting.activation, steepness))
    # The weights after a spare unit are 0, so the padded network answers as the narrow one.
    logits = net.apply(jax.tree.map(lambda a: jnp.asarray(a[seed]), trained.params), jnp.asarray(x))
    return np.asarray(jax.nn.sigmoid(logits[..., 0]))


def apart(params: Any) -> np.ndarray:
    """Return the largest difference between the incoming weights and biases of the first two hidden units, (seeds,)."""
    w, b = params[0]
    incoming = np.concatenate([np.asarray(w), np.asarray(b)[:, None]], axis=1)  # (seeds, 3, units)
    return np.abs(incoming[..., 0] - incoming[..., 1]).max(axis=1)


def dead(hidden: np.ndarray) -> np.ndarray:
    """Return whether each run has a hidden ReLU that is 0 on all four rows, and so learns no more, (seeds,)."""
    return np.any(np.all(hidden <= 0, axis=1), axis=1)


def _in_pieces(function, runs, on_runs):
    """Apply a function to all runs, some at a time, in threads: XLA computes arrays this small on one CPU."""
    total = len(jax.tree.leaves(runs)[0])
    size = -(-total // -(-total // PIECE))

    def apply_from(first):
        # The last piece is filled up with runs whose results are dropped, so that all pieces are one program.
        rows = np.arange(first, first + size) % total
        results = jax.tree.map(np.asarray, function(jax.tree.map(lambda a: a[rows], runs)))
        on_runs(min(size, total - first))
        return results

    firsts = range(0, total, size)
    pieces = [apply_from(0)]  # by itself, so that the threads find the program compiled
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pool = ThreadPoolExecutor(threads)
    try:
        pieces += pool.map(apply_from, firsts[1:])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an interrupt, do not wait for what has not begun
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:total], *pieces)
