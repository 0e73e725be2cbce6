"""The optimizers of other libraries behind one function: gradients in, updates out, as the library computes them.

A library that is not installed or cannot be used gives the reason instead of numbers. Everything is computed in
float64: call these functions inside jax.enable_x64(True).
"""

import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.neural_network import _stochastic_optimizers

import jaxmlp

RULES = tuple(jaxmlp.optimizers.OPTIMIZERS)
NAMES = ("optax", "torch", "keras", "sklearn")

Rates = float | np.ndarray  # one learning rate for all steps, or one for each
Run = Callable[[str, np.ndarray, Rates, Mapping[str, float]], np.ndarray]


class Peer(NamedTuple):
    """A library, and how to run its rules."""

    name: str
    """As people write it."""

    module: ModuleType
    """Our rules as this library defines them."""

    rules: tuple[str, ...]
    """Those of RULES that it has."""

    version: str | None
    """None if it is not installed."""

    missing: str | None
    """Why it cannot be run; None if it can."""

    run: Run
    """(rule, gradients (steps, ...), rates, settings by our names) -> updates, shaped like the gradients.

    A setting that is left out has the library's own default.
    """


def peers(names: Sequence[str] = NAMES) -> dict[str, Peer]:
    """Return libraries by their short names, whether or not they are installed."""
    dialects = jaxmlp.dialects
    known = {
        "optax": ("optax", jaxmlp.optimizers, RULES, _run_optax),
        "torch": ("PyTorch", dialects.torch, RULES, _run_torch),
        "keras": ("Keras", dialects.keras, RULES, _run_keras),
        "sklearn": ("scikit-learn", dialects.sklearn, ("sgd", "momentum", "nesterov", "adam"), _run_sklearn),
    }
    found = {}
    for short in dict.fromkeys(names):
        name, module, rules, run = known[short]
        version, missing = _installed(short, "scikit-learn" if short == "sklearn" else short)
        found[short] = Peer(name, module, rules, version, missing, run)
    return found


def _installed(module, distribution):
    """Return a module's version and None, or None and why it cannot be used; imports it to find out."""
    if importlib.util.find_spec(module) is None:
        return None, "not installed"
    # Keras chooses its backend during its import; never TensorFlow.
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        importlib.import_module(module)
        return importlib.metadata.version(distribution), None
    except Exception as error:  # whatever a broken installation raises is reported; the other libraries still run
        return None, f"cannot be imported: {type(error).__name__}: {error}"


def _run_optax(rule, grads, rates, settings):
    arguments = _renamed(settings, initial_accumulator="initial_accumulator_value")
    return np.asarray(_optax_program(rule, jnp.asarray(rates), arguments, jnp.asarray(grads)))


@functools.partial(jax.jit, static_argnames="rule")
def _optax_program(rule, rates, arguments, grads):
    factories = {
        "sgd": optax.sgd,
        "momentum": functools.partial(optax.sgd, nesterov=False),
        "nesterov": functools.partial(optax.sgd, nesterov=True),
    }
    factory = factories.get(rule) or getattr(optax, rule)
    optimizer = factory(rates if rates.ndim == 0 else lambda count: rates[count], **arguments)

    def step(state, g):
        updates, state = optimizer.update(g, state)
        return state, updates

    return jax.lax.scan(step, optimizer.init(jnp.zeros_like(grads[0])), grads)[1]


def _run_torch(rule, grads, rates, settings):
    import torch  # pyright: ignore[reportMissingImports]

    arguments = _renamed(settings, initial_accumulator="initial_accumulator_value", decay="alpha")
    if "b1" in arguments:
        arguments["betas"] = arguments.pop("b1"), arguments.pop("b2")
    factories = {
        "sgd": torch.optim.SGD,
        "momentum": torch.optim.SGD,
        "nesterov": functools.partial(torch.optim.SGD, nesterov=True),
        "adagrad": torch.optim.Adagrad,
        "rmsprop": torch.optim.RMSprop,
        "adam": torch.optim.Adam,
        "amsgrad": functools.partial(torch.optim.Adam, amsgrad=True),
    }
    parameter = torch.zeros(grads[0].shape, dtype=torch.float64, requires_grad=True)
    rate_of = _per_step(rates)
    optimizer = factories[rule]([parameter], lr=rate_of(0), **arguments)
    updates = []
    for t, g in enumerate(grads):
        for group in optimizer.param_groups:
            group["lr"] = rate_of(t)
        with torch.no_grad():
            parameter.zero_()  # so that after the step the parameter is the update, free of the sum's rounding
        parameter.grad = torch.from_numpy(np.array(g))
        optimizer.step()
        updates.append(parameter.detach().numpy().copy())
    return np.stack(updates)


def _run_keras(rule, grads, rates, settings):
    import keras  # pyright: ignore[reportMissingImports]

    if keras.backend.backend() != "jax":
        raise ValueError(f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=jax before it is imported")
    arguments = _renamed(
        settings, initial_accumulator="initial_accumulator_value", decay="rho", b1="beta_1", b2="beta_2", eps="epsilon"
    )
    optimizers = keras.optimizers
    factories = {
        "sgd": optimizers.SGD,
        "momentum": optimizers.SGD,
        "nesterov": functools.partial(optimizers.SGD, nesterov=True),
        "adagrad": optimizers.Adagrad,
        "rmsprop": optimizers.RMSprop,
        "adam": optimizers.Adam,
        "amsgrad": functools.partial(optimizers.Adam, amsgrad=True),
    }

    class Listed(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return keras.ops.take(jnp.asarray(rates), keras.ops.convert_to_tensor(step))

        def get_config(self):
            return {}

    before = keras.config.floatx()
    keras.config.set_floatx("float64")  # its learning rate and step are of this dtype, whatever the parameters are
    try:
        optimizer = factories[rule](learning_rate=rates if isinstance(rates, float) else Listed(), **arguments)
        zeros = jnp.zeros(grads[0].shape)
        optimizer.build([keras.Variable(zeros, dtype="float64")])

        @jax.jit
        def program(state, grads):
            def step(state, g):
                (update,), state = optimizer.stateless_apply(state, [g], [zeros])  # from 0: the parameter is the update
                return state, update

            return jax.lax.scan(step, state, grads)[1]

        return np.asarray(program([variable.value for variable in optimizer.variables], jnp.asarray(grads)))
    finally:
        keras.config.set_floatx(before)


def _run_sklearn(rule, grads, rates, settings):
    arguments = _renamed(settings, b1="beta_1", b2="beta_2", eps="epsilon")
    rate_of = _per_step(rates)
    if rule == "adam":
        optimizer: Any = _stochastic_optimizers.AdamOptimizer([grads[0]], rate_of(0), **arguments)
    else:
        arguments |= {"nesterov": rule == "nesterov"} | ({"momentum": 0.0} if rule == "sgd" else {})
        optimizer = _stochastic_optimizers.SGDOptimizer([grads[0]], rate_of(0), **arguments)
    updates = []
    for t, g in enumerate(grads):
        # Adam computes its rate of the step from the initial one; SGD keeps the one that it was last given.
        optimizer.learning_rate_init = optimizer.learning_rate = rate_of(t)
        parameter = np.zeros_like(g)
        optimizer.update_params([parameter], [g])
        updates.append(parameter)
    return np.stack(updates)


def _renamed(settings: Mapping[str, float], **names: str) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in settings.items()}


def _per_step(rates):
    return (lambda t: rates) if isinstance(rates, float) else (lambda t: float(rates[t]))
