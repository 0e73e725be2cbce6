"""Runs of optimizers over given gradients, and their comparison step by step.

A program that holds every rule compiles in a quarter of the time of one program per rule, so `run_each` takes a
dictionary of optimizers, and `assert_steps_agree` compares dictionaries of updates: its report names the entry.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

STEPS = 1000

# Each rule with its defaults, and with every number away from them: at eps 1e-8 a misplaced eps hides, at 1e-3 it is
# an error of percents; so would a mu of 0, an average that starts from 0, or a b1 close to b2.
CASES = [
    ("sgd", {}),
    ("momentum", {}),
    ("momentum", {"momentum": 0.6}),
    ("nesterov", {}),
    ("nesterov", {"momentum": 0.6}),
    ("adagrad", {}),
    ("adagrad", {"initial_accumulator": 0.03, "eps": 1e-3}),
    ("rmsprop", {}),
    ("rmsprop", {"decay": 0.7, "eps": 1e-3, "initial_scale": 0.5}),
    ("adam", {}),
    ("adam", {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 2e-3}),
    ("amsgrad", {}),
    ("amsgrad", {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 2e-3}),
]
OWN_SETTINGS = dict(CASES)  # of each rule, the settings away from the defaults


@functools.cache
def random_gradients(dtype):
    """Gradients of STEPS steps, each step's of a size of its own between 1e-3 and 10, about the eps under test."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        sizes = 10.0 ** rng.uniform(-3, 1, (STEPS,) + (1,) * len(shape))
        return (sizes * rng.normal(size=(STEPS, *shape))).astype(dtype)

    return {"layers": ({"w": draw(4, 3), "b": draw(3)},), "scale": draw(), "empty": (draw(0, 2), None)}


def replay(optimizer, grads):
    """Updates of successive gradients, stacked along the first axis like the gradients."""
    params = jax.tree.map(lambda g: jnp.zeros_like(g[0]), grads)

    def step(state, g):
        updates, state = optimizer.update(g, state, params)
        return state, updates

    return jax.lax.scan(step, optimizer.init(params), grads)[1]


run = jax.jit(replay)  # for an optimizer of the library, which is an argument like any other


@jax.jit
def run_each(optimizers, grads):
    """Updates by every optimizer of a dictionary, in one program."""
    return {name: replay(optimizer, grads) for name, optimizer in optimizers.items()}


def assert_steps_agree(updates, expected, tolerance):
    """Compare leaf by leaf and step by step, each error with the step's largest entry, or a tenth of the leaf's."""
    assert jax.tree.structure(updates) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree.leaves_with_path(updates), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), jax.tree_util.keystr(path)
        a, b = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (a, b))
        error, size = (np.max(np.abs(v), axis=1, initial=0.0) for v in (a - b, b))
        allowed = tolerance * np.maximum(size, 0.1 * np.max(size, initial=0.0))
        worst = int(np.argmax(error - allowed))
        report = f"{jax.tree_util.keystr(path)} at step {worst + 1}: off by {error[worst]:.2e} of {size[worst]:.2e}"
        assert np.all(error <= allowed), report
