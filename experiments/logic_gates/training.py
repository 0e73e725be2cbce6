"""Networks on the Boolean functions of two inputs: perceptrons, and one hidden layer from many seeds in one program."""

import functools
import itertools
import operator
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jax.tree_util import Partial
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import jaxmlp
from jaxmlp import activations, losses
from jaxmlp.datasets.synthetic import LOGIC_GATES, logic_gate

ROWS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)], np.float32)
GATES = tuple(LOGIC_GATES)
TARGETS = np.stack([logic_gate(gate).train[1] for gate in GATES])  # (gates, rows)
# The published perceptrons: both weights, and the bias.
PERCEPTRONS = {"and": (1.0, -2.0), "or": (1.0, -1.0)}
STEEP = "steep sigmoid"
ACTIVATIONS = ("sigmoid", STEEP, "tanh", "relu", "leaky_relu")
WIDTHS = (2, 3, 4, 8)
PUBLISHED, USUAL = "0.75 ± 0.01", "usual"  # initial weights; usual: He normal for both ReLUs, else Glorot normal
SQUARED, BINARY = "one sigmoid output, squared error", "one sigmoid output, cross entropy"
ONE_HOT, SOFTMAX = "one-hot, two sigmoids, squared error", "one-hot, softmax, cross entropy"
FORMS = (SQUARED, BINARY, ONE_HOT, SOFTMAX)
PIECE = 1000  # runs trained as one vectorised program


class Setting(NamedTuple):
    """A network with one hidden layer, and how it is trained."""

    gate: str
    activation: str  # of the hidden layer, in ACTIVATIONS
    width: int  # hidden units, 1 to 8
    weights: str  # initial ones: PUBLISHED or USUAL
    form: str  # of outputs and loss, in FORMS
    learning_rate: float  # of Adam


class Trained(NamedTuple):
    """The runs of one setting; the first axis is the seed."""

    score: np.ndarray  # (seeds,) share of the four rows that are right, in [0, 1]
    logits: np.ndarray  # (seeds, 4, 2): a single output is the first, the second is then 0
    hidden: np.ndarray  # (seeds, 4, width) activations of the hidden units on the four rows
    start: Any  # params before training, seeds first; spare units and outputs are 0
    params: Any  # params after it


def given_perceptron(gate: str) -> np.ndarray:
    """Return what the published perceptron of "and" or "or" answers on the four rows: 0 or 1, (4,)."""
    weight, bias = PERCEPTRONS[gate]
    params = (jaxmlp.Layer(w=jnp.full((2, 1), weight), b=jnp.full(1, bias)),)
    logits = jaxmlp.mlp((2, 1)).apply(params, jnp.asarray(ROWS))
    return np.asarray(activations.step(logits))[:, 0].astype(int)


def separable(targets: Sequence[int] | np.ndarray) -> bool:
    """Tell whether a perceptron can give these answers on the four rows: whether a line parts the ones from the zeros.

    sign_i (w . x_i + b) >= 1 for all four rows, with sign_i = +1 for a one and -1 for a zero, is a linear program.
    """
    signs = np.where(np.asarray(targets) > 0, 1.0, -1.0)[:, None]
    rows = np.concatenate([ROWS, np.ones((4, 1))], axis=1)
    found = scipy.optimize.linprog(np.zeros(3), A_ub=-signs * rows, b_ub=-np.ones(4), bounds=(None, None))
    return found.status == 0  # 2: infeasible


def best_without_hidden() -> dict[str, int]:
    """Return, for each gate, how many of the four rows the best perceptron gets right, of all that there are."""
    possible = np.array([answers for answers in itertools.product((0, 1), repeat=4) if separable(answers)])
    return {gate: int((possible == y).sum(axis=1).max()) for gate, y in zip(GATES, TARGETS, strict=True)}


def train_without_hidden(keys: jax.Array, epochs: int, learning_rate: float) -> dict[str, np.ndarray]:
    """Train a perceptron on every gate by binary cross entropy; return its rows right of 4 by gate, (seeds,)."""
    rate = jnp.asarray(learning_rate, jnp.float32)
    right = _train_perceptrons(keys, jnp.asarray(TARGETS), rate, epochs=epochs)
    return dict(zip(GATES, np.rint(4 * np.asarray(right)).astype(int), strict=True))


def train(
    settings: Sequence[Setting],
    keys: jax.Array,
    *,
    epochs: int,
    steepness: float,
    on_runs: Callable[[int], None] = lambda count: None,
) -> dict[Setting, Trained]:
    """Train every setting from every key, batch descent by Adam over the four rows.

    Run (setting, key) equals fit of mlp((2, width, outputs)) up to rounding, its weights drawn from the first half of
    split(key) as in a sweep. All runs are one compiled program, vectorised, which for networks so small takes a tenth
    of the time that a sweep in threads does: networks of 8 units and 2 outputs, the spare ones cut off.

    Args:
        settings: what to train.
        keys: random keys, (seeds,).
        epochs: steps of Adam, >= 1.
        steepness: of the steep sigmoid, > 0.
        on_runs: called with the number of runs whenever some have ended.
    """
    functions = tuple(function_of(name, steepness) for name in ACTIVATIONS)
    kinds = [(s.width, 1 + (s.form in (ONE_HOT, SOFTMAX)), _initializer(s)) for s in settings]
    different = tuple(dict.fromkeys(kinds))
    drawn = dict(zip(different, _draw(keys, different), strict=True))
    starts = [drawn[kind] for kind in kinds]
    params = jax.tree.map(lambda *leaves: np.concatenate(leaves), *starts)

    def column(value, dtype):
        return np.repeat(np.array([value(s) for s in settings], dtype), len(keys), axis=0)

    runs = (
        column(lambda s: ACTIVATIONS.index(s.activation), np.int32),
        column(lambda s: s.width, np.int32),
        column(lambda s: FORMS.index(s.form), np.int32),
        column(lambda s: s.learning_rate, np.float32),
        column(lambda s: TARGETS[GATES.index(s.gate)], np.int32),
        params,
    )
    total = len(settings) * len(keys)
    size = -(-total // -(-total // PIECE))

    def train_from(first):
        # The last piece is filled up with runs that are then dropped, so that all are one program.
        rows = np.arange(first, first + size) % total
        end = _train_piece(*jax.tree.map(lambda a: a[rows], runs), functions, epochs)
        end = jax.tree.map(np.asarray, end)
        on_runs(min(size, total - first))
        return end

    firsts = range(0, total, size)
    pieces = [train_from(0)]  # alone, so that the threads find the program compiled
    # XLA computes such small arrays on one CPU. An interrupt should not have to wait for what has not begun.
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    try:
        pieces += pool.map(train_from, firsts[1:])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    end = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:total], *pieces)
    by_setting = jax.tree.map(lambda a: a.reshape(len(settings), len(keys), *a.shape[1:]), (*end, params))
    trained = {}
    for index, setting in enumerate(settings):
        score, logits, hidden, after, before = jax.tree.map(operator.itemgetter(index), by_setting)
        trained[setting] = Trained(score, logits, hidden[..., : setting.width], before, after)
    return trained


def function_of(activation: str, steepness: float) -> activations.Activation:
    """Return the activation of that name in ACTIVATIONS."""
    return activations.steep_sigmoid(steepness) if activation == STEEP else activations.get(activation)


def probabilities(setting: Setting, trained: Trained, seed: int, x: np.ndarray, steepness: float) -> np.ndarray:
    """Return what the run of that seed answers at x (..., 2): sigmoid of its single output, (...)."""
    net = jaxmlp.mlp((2, max(WIDTHS), 2), activation=function_of(setting.activation, steepness))
    # A unit that is cut off has weights 0 after it, so the whole network answers as the narrow one.
    logits = net.apply(jax.tree.map(lambda a: jnp.asarray(a[seed]), trained.params), jnp.asarray(x))
    return np.asarray(jax.nn.sigmoid(logits[..., 0]))


def apart(params: Any) -> np.ndarray:
    """Return how far the incoming weights and biases of the first two hidden units are apart at most, (seeds,)."""
    w, b = params[0]
    incoming = np.concatenate([np.asarray(w), np.asarray(b)[:, None]], axis=1)  # (seeds, 3, units)
    return np.abs(incoming[..., 0] - incoming[..., 1]).max(axis=1)


def dead(hidden: np.ndarray) -> np.ndarray:
    """Tell of each run whether it has a hidden ReLU that is 0 on all four rows, and so learns no more, (seeds,)."""
    return np.any(np.all(hidden <= 0, axis=1), axis=1)


def score_sklearn(seeds: int, epochs: int) -> dict[str, np.ndarray]:
    """Return the scores on XOR of scikit-learn's own MLPClassifier, 2-2-1 and otherwise its defaults, (seeds,)."""
    y = TARGETS[GATES.index("xor")]
    scores = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for activation in ("logistic", "relu"):
            networks = (
                MLPClassifier((2,), activation=activation, max_iter=epochs, random_state=s) for s in range(seeds)
            )
            scores[activation] = np.array([network.fit(ROWS, y).score(ROWS, y) for network in networks])
    return scores


@functools.partial(jax.jit, static_argnames="epochs")
def _train_perceptrons(keys, targets, learning_rate, *, epochs):
    net = jaxmlp.mlp((2, 1), initializer="glorot_normal")
    loss_fn = jaxmlp.objective(net.apply, "binary_cross_entropy")

    def one(y, key):
        init_key, _ = jax.random.split(key)
        examples, optimizer = (jnp.asarray(ROWS), y), jaxmlp.optimizers.adam(learning_rate)
        end = jaxmlp.fit(
            loss_fn, net.init(init_key), optimizer, examples, key=jax.random.key(0), epochs=epochs, batch_size=4
        )
        return jaxmlp.accuracy(net.apply)(end.params, *examples)

    return jax.vmap(lambda y: jax.vmap(lambda key: one(y, key))(keys))(targets)


def near_published(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Draw initial weights as published: uniform in [0.74, 0.76)."""
    return jax.random.uniform(key, shape, dtype, 0.74, 0.76)


def _initializer(setting):
    if setting.weights == PUBLISHED:
        return near_published
    return "he_normal" if "relu" in setting.activation else "glorot_normal"


# So many draws of a few numbers each take XLA longer to optimise than to do.
@functools.partial(jax.jit, static_argnums=1, compiler_options={"xla_backend_optimization_level": 0})
def _draw(keys, kinds):
    """Initial params of every kind (width, outputs, initializer) from every key, filled up with zeros to 2-8-2."""

    def one(kind, key):
        width, outputs, initializer = kind
        init_key, _ = jax.random.split(key)
        hidden, output = jaxmlp.mlp((2, width, outputs), initializer=initializer).init(init_key)
        more, spare = (0, max(WIDTHS) - width), (0, 2 - outputs)
        return (
            jaxmlp.Layer(w=jnp.pad(hidden.w, ((0, 0), more)), b=jnp.pad(hidden.b, more)),
            jaxmlp.Layer(w=jnp.pad(output.w, (more, spare)), b=jnp.pad(output.b, spare)),
        )

    return [jax.vmap(functools.partial(one, kind))(keys) for kind in kinds]


@functools.partial(jax.jit, static_argnums=(6, 7))
def _train_piece(activation, width, form, rate, targets, params, functions, epochs):
    # The key decides the order of the rows, and a batch of all four has none: one key serves all runs, so that the
    # order is drawn once a step instead of once a step and run, which would take longer than the training.
    fit_key = jax.random.key(0)

    def one(activation, width, form, rate, y, params):
        loss_fn, examples = Partial(_loss, activation, width, form, functions=functions), (jnp.asarray(ROWS), y)
        optimizer = jaxmlp.optimizers.adam(rate)
        end = jaxmlp.fit(loss_fn, params, optimizer, examples, key=fit_key, epochs=epochs, batch_size=4)
        logits, (hidden,) = _apply(activation, width, functions, end.params, examples[0])
        answers = jnp.where(form >= FORMS.index(ONE_HOT), jnp.argmax(logits, axis=-1) == 1, logits[:, 0] > 0)
        right = (answers == (y == 1)) & jnp.all(jnp.isfinite(logits), axis=-1)
        return jnp.mean(right.astype(jnp.float32)), logits, hidden, end.params

    return jax.vmap(one)(activation, width, form, rate, targets, params)


def _apply(activation, width, functions, params, x):
    """The network whose activation is a number; a unit that is cut off has output 0 and gradient 0, so Adam leaves
    its weights at 0."""

    def activate(z):
        h = jax.lax.switch(activation, functions, z)
        return jnp.where(jnp.broadcast_to(jnp.arange(max(WIDTHS)) < width, h.shape), h, 0)

    return jaxmlp.mlp((2, max(WIDTHS), 2), activation=activate).apply(params, x, with_hidden=True)


def _loss(activation, width, form, params, x, y, *, functions, key=None):
    logits, _ = _apply(activation, width, functions, params, x)
    single = logits[:, 0]
    branches = (  # in the order of FORMS
        lambda: losses.mean_squared_error(jax.nn.sigmoid(single), y),
        lambda: losses.binary_cross_entropy(single, y),
        lambda: losses.mean_squared_error(jax.nn.sigmoid(logits), jax.nn.one_hot(y, 2)),
        lambda: losses.softmax_cross_entropy(logits, y),
    )
    return jax.lax.switch(form, branches)
