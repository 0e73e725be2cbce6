"""Every network as one: 2-8-2, its activation, width and form given by numbers, so that one program trains all.

- Padding: a network of fewer hidden units or outputs is filled up with zeros. A spare hidden unit outputs 0, and its
  weights are 0 on both sides, so its gradients are 0 and Adam leaves its weights at 0. A spare output enters no loss.
- Numbers: the hidden activation and the loss are chosen by their index (lax.switch), the spare units by the width.

A program that is vectorised over runs then trains runs of different settings side by side.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import jaxmlp
from experiments.logic_gates.settings import ACTIVATIONS, FORMS, GATES, ONE_HOT, ROWS, TARGETS, WIDTHS, Setting
from jaxmlp import activations, losses

SIZES = (2, max(WIDTHS), 2)


class Kind(NamedTuple):
    """A network and its loss, as numbers."""

    activation: Any
    """Index in ACTIVATIONS."""

    width: Any
    """Hidden units that are not spare."""

    form: Any
    """Index in FORMS."""


class Runs(NamedTuple):
    """What a run starts from; the first axis of every array is the run."""

    kind: Kind
    """Network and loss."""

    learning_rate: Any
    """Of Keras's Adam, per step."""

    targets: Any
    """Of the four rows, (runs, 4)."""

    params: Any
    """Initial weights and biases, padded."""


class Ends(NamedTuple):
    """What a run ends with; the first axis of every array is the run."""

    score: Any
    """Share of the four rows that are right, in [0, 1]."""

    logits: Any
    """(runs, 4, 2)."""

    hidden: Any
    """Activations of the hidden units on the four rows, (runs, 4, 8)."""

    params: Any
    """Weights and biases, padded."""


def starts(settings: Sequence[Setting], keys: jax.Array) -> Runs:
    """Return the runs of every setting from every key, the keys of a setting one after the other."""

    def column(values, dtype):
        return np.repeat(np.array(values, dtype), len(keys), axis=0)

    kind = Kind(
        column([ACTIVATIONS.index(s.activation) for s in settings], np.int32),
        column([s.width for s in settings], np.int32),
        column([FORMS.index(s.form) for s in settings], np.int32),
    )
    rates = column([s.learning_rate for s in settings], np.float32)
    targets = column([TARGETS[GATES.index(s.gate)] for s in settings], np.int32)
    return Runs(kind, rates, targets, _initial_params(settings, keys))


@functools.partial(jax.jit, static_argnames=("functions", "epochs"))
def train_runs(runs: Runs, functions: tuple[activations.Activation, ...], epochs: int) -> Ends:
    """Train runs side by side, by batch descent with Keras's Adam.

    Args:
        runs: what they start from.
        functions: the activations, in the order of ACTIVATIONS.
        epochs: steps, since every batch holds all four rows.
    """
    # The key decides the order of the rows, which a batch of all four does not have. One key for all runs: the order is
    # then drawn once a step rather than once a step and run, which would take longer than the training.
    fit_key = jax.random.key(0)

    def train(run):
        loss_fn, examples = Partial(_loss, run.kind, functions=functions), (jnp.asarray(ROWS), run.targets)
        optimizer = jaxmlp.dialects.keras.adam(run.learning_rate)
        end = jaxmlp.fit(loss_fn, run.params, optimizer, examples, key=fit_key, epochs=epochs, batch_size=4)
        logits, (hidden,) = _apply(run.kind, functions, end.params, examples[0])
        two_outputs = run.kind.form >= FORMS.index(ONE_HOT)
        answers = jnp.where(two_outputs, jnp.argmax(logits, axis=-1) == 1, logits[:, 0] > 0)
        right = (answers == (run.targets == 1)) & jnp.all(jnp.isfinite(logits), axis=-1)
        return Ends(jnp.mean(right.astype(jnp.float32)), logits, hidden, end.params)

    return jax.vmap(train)(runs)


def _apply(kind, functions, params, x):
    """Outputs and hidden activations of the network."""

    def activate(z):
        h = jax.lax.switch(kind.activation, functions, z)
        return jnp.where(jnp.broadcast_to(jnp.arange(max(WIDTHS)) < kind.width, h.shape), h, 0)

    return jaxmlp.mlp(SIZES, activation=activate).apply(params, x, with_hidden=True)


def _loss(kind, params, x, y, *, functions, key=None):
    logits, _ = _apply(kind, functions, params, x)
    single = logits[:, 0]
    branches = (  # in the order of FORMS
        lambda: losses.mean_squared_error(jax.nn.sigmoid(single), y),
        lambda: losses.binary_cross_entropy(single, y),
        lambda: losses.mean_squared_error(jax.nn.sigmoid(logits), jax.nn.one_hot(y, 2)),
        lambda: losses.softmax_cross_entropy(logits, y),
    )
    return jax.lax.switch(kind.form, branches)


def _initial_params(settings, keys):
    """The padded initial params of every run, drawn once for all settings that start alike."""
    needed = [(s.width, s.outputs, s.initializers) for s in settings]
    different = tuple(dict.fromkeys(needed))
    drawn = dict(zip(different, _draw(keys, different), strict=True))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *(drawn[one] for one in needed))


# XLA would take longer to optimise so many draws of a few numbers than to do them.
@functools.partial(jax.jit, static_argnums=1, compiler_options={"xla_backend_optimization_level": 0})
def _draw(keys, different):
    """Padded params of every (width, outputs, initializers) from every key, which is split as in a sweep."""

    def draw(width, outputs, initializers, key):
        init_key, _ = jax.random.split(key)
        of_hidden, of_output = initializers
        # mlp draws each layer from a key of its own, so layers of two networks are as independent as those of one.
        hidden, output = jaxmlp.mlp((2, width, outputs), initializer=of_hidden).init(init_key)
        if of_output != of_hidden:
            _, output = jaxmlp.mlp((2, width, outputs), initializer=of_output).init(init_key)
        units, more = (0, max(WIDTHS) - width), (0, 2 - outputs)
        return (
            jaxmlp.Layer(w=jnp.pad(hidden.w, ((0, 0), units)), b=jnp.pad(hidden.b, units)),
            jaxmlp.Layer(w=jnp.pad(output.w, (units, more)), b=jnp.pad(output.b, more)),
        )

    return [jax.vmap(functools.partial(draw, *one))(keys) for one in different]
