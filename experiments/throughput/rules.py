"""One step of each update rule alone, by every library that has the rule: new parameters from given gradients."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.common.peers.settings import Layers
from experiments.throughput.cases import SLOTS

RATE = 0.01
NAMES = ("jaxmlp", "numpy", "optax", "sklearn", "torch", "torch_compiled", "keras")
"""Systems that have rules of their own."""

Start = Callable[[], tuple[Callable[[int], None], Callable[[], Layers]]]
"""Start again, and return what takes a number of steps, the device having finished, and what reads the layers then."""


def gradients(layers: Layers) -> Layers:
    """Draw gradients with magnitudes of 0.5 to 1.5, beside which every eps is negligible wherever it is placed."""
    generator = np.random.default_rng(1)

    def draw(p):
        return (generator.choice([-1, 1], p.shape) * generator.uniform(0.5, 1.5, p.shape)).astype(p.dtype)

    return [(draw(w), draw(b)) for w, b in layers]


def starts(name: str, layers: Layers, grads: Layers) -> dict[str, Start]:
    """Return rule -> Start, in the system of that name; rules that it lacks are left out.

    Hyperparameters are those of jaxmlp.optimizers by default.
    """
    return _MAKERS[name](layers, grads)


def _ours(layers, grads):
    import jaxmlp

    return {name: _jax(jaxmlp.optimizers.OPTIMIZERS[name](RATE), layers, grads) for name in SLOTS}


def _optax(layers, grads):
    import optax

    rules = {
        "sgd": optax.sgd(RATE),
        "momentum": optax.sgd(RATE, 0.9),
        "nesterov": optax.sgd(RATE, 0.9, nesterov=True),
        "adagrad": optax.adagrad(RATE),
        "rmsprop": optax.rmsprop(RATE),
        "adam": optax.adam(RATE),
        "amsgrad": optax.amsgrad(RATE),
    }
    return {name: _jax(rule, layers, grads) for name, rule in rules.items()}


def _jax(optimizer, layers, grads):
    import jax
    import optax

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, opt_state, grads):
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return functools.partial(_start, step, optimizer.init, layers, grads)


def _start(step, init, layers, grads):
    """Start a step under jax.jit: (params, state, grads) -> (params, state)."""
    import jax

    grads = jax.device_put(grads)
    # Copies, since what was put may share the memory of the arrays, which then cannot be donated.
    at = jax.tree.map(jax.numpy.copy, (layers, init(layers)))

    def take(count):
        nonlocal at
        for _ in range(count):
            at = step(*at, grads)
        jax.block_until_ready(at)

    return take, lambda: at[0]


def _numpy(layers, grads):
    from experiments.common.peers.numpy_rules import RULES

    def start(rule):
        moved = [(w.copy(), b.copy()) for w, b in layers]
        by_hand = RULES[rule](moved, RATE)

        def take(count):
            for _ in range(count):
                by_hand.update(moved, grads)

        return take, lambda: moved

    return {rule: functools.partial(start, rule) for rule in SLOTS}


def _sklearn(layers, grads):
    from sklearn.neural_network import _stochastic_optimizers as rules

    given = [g for layer in grads for g in layer]

    def start(make):
        params = [p.copy() for layer in layers for p in layer]
        optimizer = make(params)

        def take(count):
            for _ in range(count):
                optimizer.update_params(params, given)

        return take, lambda: _pairs(params)

    makers = {
        "sgd": lambda params: rules.SGDOptimizer(params, RATE, momentum=0.0, nesterov=False),
        "momentum": lambda params: rules.SGDOptimizer(params, RATE, nesterov=False),
        "nesterov": lambda params: rules.SGDOptimizer(params, RATE),
        "adam": lambda params: rules.AdamOptimizer(params, RATE),
    }
    return {rule: functools.partial(start, make) for rule, make in makers.items()}


def _torch(layers, grads, compiled=False):
    import torch  # pyright: ignore[reportMissingImports]

    from experiments.common.peers import pytorch

    optim: Any = torch.optim
    device = "cuda" if torch.cuda.is_available() else "cpu"
    makers = {
        "sgd": optim.SGD,
        "momentum": functools.partial(optim.SGD, momentum=0.9),
        "nesterov": functools.partial(optim.SGD, momentum=0.9, nesterov=True),
        "adagrad": functools.partial(optim.Adagrad, initial_accumulator_value=0.1, eps=1e-7),
        "rmsprop": functools.partial(optim.RMSprop, alpha=0.9),
        "adam": optim.Adam,
        "amsgrad": functools.partial(optim.Adam, amsgrad=True),
    }

    def stepper(make):
        params = [torch.tensor(p, device=device, requires_grad=True) for layer in layers for p in layer]
        first = [p.detach().clone() for p in params]
        for p, g in zip(params, (g for layer in grads for g in layer), strict=True):
            p.grad = torch.tensor(g, device=device)
        optimizer = make(params, lr=torch.tensor(RATE) if compiled else RATE)
        step = torch.compile(optimizer.step) if compiled else optimizer.step

        def take(count):
            for _ in range(count):
                step()
            if device == "cuda":
                torch.cuda.synchronize()

        def start():
            pytorch.restart(optimizer, RATE)
            with torch.no_grad():
                for p, value in zip(params, first, strict=True):
                    p.copy_(value)
            return take, lambda: _pairs([p.detach().cpu().numpy() for p in params])

        return start

    return {rule: stepper(make) for rule, make in makers.items()}


def _keras(layers, grads):
    import jax
    import keras  # pyright: ignore[reportMissingImports]

    optimizers: Any = keras.optimizers
    rules = {
        "sgd": optimizers.SGD(RATE),
        "momentum": optimizers.SGD(RATE, 0.9),
        "nesterov": optimizers.SGD(RATE, 0.9, nesterov=True),
        "adagrad": optimizers.Adagrad(RATE, initial_accumulator_value=0.1, epsilon=1e-7),
        "rmsprop": optimizers.RMSprop(RATE, rho=0.9, epsilon=1e-8),
        "adam": optimizers.Adam(RATE, epsilon=1e-8),
        "amsgrad": optimizers.Adam(RATE, epsilon=1e-8, amsgrad=True),
    }
    flat, given = ([p for layer in part for p in layer] for part in (layers, grads))

    def stepper(optimizer):
        optimizer.build([keras.Variable(p) for p in flat])
        fresh = [np.array(variable.value) for variable in optimizer.variables]

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def step(params, state, grads):
            return optimizer.stateless_apply(state, grads, params)

        def start():
            take, read = _start(step, lambda params: fresh, flat, given)
            return take, lambda: _pairs(read())

        return start

    return {rule: stepper(optimizer) for rule, optimizer in rules.items()}


def _pairs(params):
    return list(zip(params[::2], params[1::2], strict=True))


_MAKERS: dict[str, Callable[..., dict[str, Start]]] = {
    "jaxmlp": _ours,
    "optax": _optax,
    "numpy": _numpy,
    "sklearn": _sklearn,
    "torch": _torch,
    "torch_compiled": functools.partial(_torch, compiled=True),
    "keras": _keras,
}
