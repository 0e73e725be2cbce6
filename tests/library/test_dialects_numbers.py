"""Numbers that each dialect must give: as measured with the libraries, and as done by hand."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from replays import run_each

from jaxmlp import dialects


def drop(count):
    return jnp.where(count < 50, 0.1, 0.01)


# (rule, settings, gradients from one parameter at 0, library -> {step: the update there}). Measured with PyTorch
# 2.13.0, Keras 3.15.1 and scikit-learn 1.9.1 in float64; optax's are in test_optimizers.py.
PROBES = [
    (
        "momentum",
        {"learning_rate": drop, "momentum": 0.9},
        [1.0] * 51,
        {"torch": {51: -0.09953616023}, "keras": {51: -0.90536160231}, "sklearn": {51: -0.90536160231}},
    ),
    (
        "rmsprop",
        {"learning_rate": 1.0, "decay": 0.9},
        [1e-6],
        {"torch": {1: -3.06534300317}, "keras": {1: -0.00316227608}},
    ),
    (
        "adam",
        {"learning_rate": 1.0},
        [1e-6],
        {"torch": {1: -0.99009900990}, "keras": {1: -0.24025307335}, "sklearn": {1: -0.75974692665}},
    ),
    ("adagrad", {"learning_rate": 1.0}, [1e-3], {"torch": {1: -0.99999990000}, "keras": {1: -0.00316226027}}),
    (
        "amsgrad",
        {"learning_rate": 1.0},
        [1.0] + [0.1] * 9,
        {"torch": {2: -0.74081063239, 10: -0.46599351474}, "keras": {2: -0.74080831065, 10: -0.46599211136}},
    ),
    (
        "nesterov",
        {"learning_rate": 0.1, "momentum": 0.9},
        [1.0] * 3,
        {library: {1: -0.19, 2: -0.271, 3: -0.3439} for library in ("torch", "keras", "sklearn")},
    ),
]


@functools.cache
def probed():
    """Updates of every library's rule, in one program: (step, probe), where a probe that has ended goes on with 0."""
    steps = max(len(grads) for _, _, grads, _ in PROBES)
    grads = np.stack([np.pad(grads, (0, steps - len(grads))) for _, _, grads, _ in PROBES], axis=1)
    rules = {
        f"{library} {rule}": getattr(getattr(dialects, library), rule)(**settings)
        for rule, settings, _, expected in PROBES
        for library in expected
    }
    return jax.device_get(run_each(rules, grads))


@pytest.mark.parametrize(
    ("probe", "library"), [(i, library) for i, (*_, expected) in enumerate(PROBES) for library in expected]
)
def test_updates_on_inputs_that_tell_the_libraries_apart(probe, library, x64):
    rule, _, _, expected = PROBES[probe]
    updates = probed()[f"{library} {rule}"][:, probe]
    measured = {step: float(updates[step - 1]) for step in expected[library]}
    assert measured == pytest.approx(expected[library], rel=0, abs=5e-12)  # eleven decimals are written down


# (library, rule, settings, gradients, updates): settings with which the arithmetic can be done by head.
BY_HAND = [
    # velocity 1, then 0.5 + 2 (1 - 0.25) = 2
    ("torch", "momentum", (0.1, 0.5, 0.25), [1.0, 2.0], [-0.1, -0.2]),
    ("torch", "momentum", (0.1, 0.0, 0.25), [1.0, 2.0], [-0.1, -0.2]),
    ("torch", "nesterov", (0.1, 0.5), [1.0, 2.0], [-0.15, -0.325]),
    # roots 5 + 2, then of 25 + 144, 13 + 2
    ("torch", "adagrad", (0.5, 9.0, 2.0), [4.0, 12.0], [-0.5 * 4 / 7, -0.5 * 12 / 15]),
    # nu = 1/4 16 = 4, then 3 + 1/4 4 = 4
    ("torch", "rmsprop", (0.5, 0.75, 1.0), [4.0, 2.0], [-0.5 * 4 / 3, -0.5 * 2 / 3]),
    # mu_hat = 3, nu_hat = 9; then mu = 0.25 over 0.75, nu = 31/16 over 7/16
    ("torch", "adam", (1.0, 0.5, 0.75, 1.0), [3.0, -1.0], [-0.75, -1 / 3 / ((31 / 7) ** 0.5 + 1)]),
    # the same, but nu_max stays 36/16, over 7/16
    ("torch", "amsgrad", (1.0, 0.5, 0.75, 1.0), [3.0, -1.0], [-0.75, -1 / 3 / ((36 / 7) ** 0.5 + 1)]),
    ("keras", "momentum", (0.1, 0.5), [1.0, 2.0], [-0.1, -0.25]),
    ("keras", "nesterov", (0.1, 0.5), [1.0, 2.0], [-0.15, -0.325]),
    ("keras", "adagrad", (0.5, 7.0, 2.0), [4.0, 12.0], [-0.5 * 4 / 5, -0.5 * 12 / 13]),
    ("keras", "rmsprop", (0.5, 0.75, 5.0), [4.0, 2.0], [-0.5 * 4 / 3, -0.5 * 2 / 3]),
    # alpha = sqrt(1/4) / (1/2) = 1, mu = 1.5, root 1.5 + 1; then alpha = sqrt(7/16) / (3/4), mu = 1/4, nu = 31/16
    ("keras", "adam", (1.0, 0.5, 0.75, 1.0), [3.0, -1.0], [-0.6, -(7**0.5) / 12 / (31**0.5 / 4 + 1)]),
    ("keras", "amsgrad", (1.0, 0.5, 0.75, 1.0), [3.0, -1.0], [-0.6, -(7**0.5) / 12 / 2.5]),
    ("sklearn", "momentum", (0.1, 0.5), [1.0, 2.0], [-0.1, -0.25]),
    ("sklearn", "nesterov", (0.1, 0.5), [1.0, 2.0], [-0.15, -0.325]),
    ("sklearn", "adam", (1.0, 0.5, 0.75, 1.0), [3.0, -1.0], [-0.6, -(7**0.5) / 12 / (31**0.5 / 4 + 1)]),
    # velocity 1/4, then 3/16 + 1/2
    ("textbook", "momentum", (0.1, 0.75), [1.0, 2.0], [-0.025, -0.06875]),
    ("textbook", "adagrad", (0.5, 7.0, 2.0), [4.0, 12.0], [-0.5 * 4 / 5, -0.5 * 12 / 13]),
    ("textbook", "rmsprop", (0.5, 0.75, 5.0), [4.0, 2.0], [-0.5 * 4 / 3, -0.5 * 2 / 3]),
    ("textbook", "adam", (1.0, 0.5, 0.75, 1.0), [3.0, -1.0], [-0.75, -1 / 3 / ((31 / 7) ** 0.5 + 1)]),
    ("textbook", "amsgrad", (1.0, 0.5, 0.75, 1.0), [3.0, -1.0], [-0.6, -0.25 / 2.5]),
    *((library, "sgd", (0.5,), [2.0, -3.0], [-1.0, 1.5]) for library in ("torch", "keras", "sklearn", "textbook")),
]


@pytest.mark.parametrize(("library", "rule", "settings", "grads", "expected"), BY_HAND)
def test_two_steps_by_hand(library, rule, settings, grads, expected, x64):
    factory = getattr(getattr(dialects, library), rule)
    optimizer = factory(**dict(zip(inspect.signature(factory).parameters, settings, strict=False)))
    state = optimizer.init(jnp.asarray(0.0))
    for g, update in zip(grads, expected, strict=True):
        updates, state = optimizer.update(jnp.asarray(g), state)
        assert float(updates) == pytest.approx(update, rel=1e-14)  # about ten roundings of 1.1e-16
    assert int(state.count) == 2
