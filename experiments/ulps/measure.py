"""Every function of the library, and its namesakes elsewhere, at the same inputs."""

import importlib.util
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.ulps import exact
from jaxmlp import activations, dialects, losses, optimizers

DTYPES = ("float32", "bfloat16", "float64")
CLASSES = 5
_COUNT = 5  # steps that a rule has already taken


def points(count: int, dtype: Any, seed: int) -> np.ndarray:
    """Return inputs of an activation: half spread over all magnitudes, half where the function bends, and the ends."""
    info, generator = jnp.finfo(dtype), np.random.default_rng(seed)
    exponents = generator.uniform(np.log2(float(info.smallest_normal)) + 1, np.log2(float(info.max)) - 1, count // 2)
    magnitudes = 2.0**exponents * generator.choice([-1, 1], count // 2)
    bends = generator.normal(size=count - count // 2) * generator.choice([1, 4, 20], count - count // 2)
    ends = [0.0, *(sign * float(end) for end in (info.smallest_normal, info.max) for sign in (1, -1))]
    with np.errstate(over="ignore"):
        return np.concatenate([magnitudes, bends, ends]).astype(jnp.dtype(dtype))


def of_activation(name: str, dtype: Any, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Measure an activation and its slope; library -> {"value": ..., "gradient": ...}."""
    x = points(count, dtype, seed)
    value, slope = ([f(exact.number(each)) for each in x] for f in exact.ACTIVATIONS[name])
    found = {"jaxmlp": _value_and_slope(activations.ACTIVATIONS[name], x)}
    alike = {"tanh": jnp.tanh, "gelu": lambda x: jax.nn.gelu(x, approximate=False), "gelu_tanh": jax.nn.gelu}
    other = alike.get(name, getattr(jax.nn, name, None))
    if other is not None and name != "identity":
        found["jax.nn"] = _value_and_slope(other, x)
    if importlib.util.find_spec("torch"):
        found |= _torch_activation(name, x, dtype)
    return {library: _summary(x, y, value, dy, slope, dtype) for library, (y, dy) in found.items()}


def of_loss(name: str, dtype: Any, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Measure a loss of single examples, and its gradient; library -> {"value": ..., "gradient": ...}."""
    generator = np.random.default_rng(seed)
    width = CLASSES if name == "softmax_cross_entropy" else 1
    z = (generator.normal(size=(count, width)) * generator.choice([1, 4, 20], (count, 1))).astype(jnp.dtype(dtype))
    if width > 1:
        targets = generator.integers(0, CLASSES, count)
    elif name == "binary_cross_entropy":
        targets = generator.choice([0.0, 1.0, 0.25], count).astype(z.dtype)
    else:
        targets = generator.normal(size=count).astype(z.dtype)
    truth = [
        exact.LOSSES[name]([exact.number(v) for v in row], int(t) if width > 1 else exact.number(t))
        for row, t in zip(z, targets, strict=True)
    ]
    value, gradient = [v for v, _ in truth], [g for _, row in truth for g in row]
    ours = losses.LOSSES[name]
    alike: dict[str, Callable[..., Any]] = {
        "softmax_cross_entropy": optax.softmax_cross_entropy_with_integer_labels,
        "binary_cross_entropy": lambda z, t: optax.sigmoid_binary_cross_entropy(z[0], t),
        "mean_squared_error": lambda z, t: 2 * optax.l2_loss(z[0], t),
    }
    candidates = {"jaxmlp": lambda z, t: ours(z[None], t[None])} | ({"optax": alike[name]} if name in alike else {})
    found = {}
    for library, function in candidates.items():
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            y, dy = jax.jit(jax.vmap(jax.value_and_grad(function)))(z, targets)
        found[library] = np.asarray(y), np.asarray(dy).reshape(-1)
    # Losses of narrow outputs are float32; their gradients have the dtype of the outputs.
    return {
        library: {
            "value": _worst(np.arange(count), y, value, y.dtype),
            "gradient": _worst(np.arange(count).repeat(width), dy, gradient, dtype),
        }
        for library, (y, dy) in found.items()
    }


def rules() -> dict[str, Callable[..., Any]]:
    """Return the factories whose equations are their own and hold no words, by name."""
    found = {f"optimizers.{name}": factory for name, factory in optimizers.OPTIMIZERS.items()}
    for module in (dialects.torch, dialects.keras, dialects.textbook):
        short = f"dialects.{module.__name__.rpartition('.')[2]}"
        own = {name for name in optimizers.OPTIMIZERS if hasattr(module, f"_{name}_rule") and name != "nesterov"}
        found |= {f"{short}.{name}": getattr(module, name) for name in sorted(own)}
    return {name: factory for name, factory in found.items() if exact.equations(factory)}


def of_rule(name: str, dtype: Any, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Measure one step of a rule, the sixth, with random slots; library -> {"value": ...}."""
    generator, factory = np.random.default_rng(seed), rules()[name]
    defaults = {"learning_rate": 0.01, "momentum": 0.9}
    parameters = inspect.signature(factory).parameters
    numbers = {n: p.default if p.default is not inspect.Parameter.empty else defaults[n] for n, p in parameters.items()}
    candidates = {"jaxmlp": factory(**numbers)}
    if name.startswith("optimizers.") and hasattr(optax, name.removeprefix("optimizers.")):
        candidates["optax"] = getattr(optax, name.removeprefix("optimizers."))(**_optax_names(name, numbers))
    g = (generator.normal(size=count) * 10.0 ** generator.integers(-6, 3, count)).astype(jnp.dtype(dtype))
    wide = jnp.promote_types(dtype, jnp.float32)
    drawn = {"mu": generator.normal(size=count) * np.abs(g.astype(float)), "velocity": generator.normal(size=count)}
    squares = (g.astype(float) * generator.uniform(0.5, 2, count)) ** 2
    drawn |= dict.fromkeys(("nu", "nu_max", "accumulator"), squares)
    state = candidates["jaxmlp"].init(g)
    slots = {slot: drawn[slot].astype(wide) for slot in state._fields[1:]}
    state = state._replace(count=jnp.int32(_COUNT), **{slot: jnp.asarray(array) for slot, array in slots.items()})
    used = {n: exact.number(np.asarray(value).astype(wide)) for n, value in numbers.items()}
    lines = exact.equations(factory)
    truth = [
        exact.one_step(lines, exact.number(g[i]), _COUNT + 1, {s: exact.number(a[i]) for s, a in slots.items()}, used)
        for i in range(count)
    ]
    found = {"jaxmlp": jax.jit(candidates["jaxmlp"].update)(jnp.asarray(g), state)[0]}
    if "optax" in candidates and jnp.dtype(dtype) == wide:
        theirs = _filled(candidates["optax"].init(jnp.asarray(g)), slots)
        with jax.numpy_dtype_promotion("standard"):
            found["optax"] = jax.jit(candidates["optax"].update)(jnp.asarray(g), theirs)[0]
    return {library: {"value": _worst(g, np.asarray(y), truth, dtype)} for library, y in found.items()}


def _optax_names(name, numbers):
    renamed = {"initial_accumulator": "initial_accumulator_value"}
    given = {renamed.get(n, n): value for n, value in numbers.items()}
    if name.endswith(".momentum") or name.endswith(".nesterov"):
        given["nesterov"] = name.endswith("nesterov")
    return given


def _filled(state, slots):
    """Put our slots into the state of optax's namesake, by the names of its fields."""
    theirs = {"sum_of_squares": "accumulator", "trace": "velocity"}

    def replaced(node):
        if hasattr(node, "_fields"):
            values = {f: theirs.get(f, f) for f in node._fields}
            given = {f: jnp.asarray(slots[s]) for f, s in values.items() if s in slots}
            if "count" in node._fields:
                given["count"] = jnp.int32(_COUNT)
            return node._replace(**given)
        return tuple(map(replaced, node)) if isinstance(node, tuple) else node

    return replaced(state)


def _value_and_slope(function, x):
    y, pull = jax.vjp(jax.jit(function), jnp.asarray(x))
    return np.asarray(y), np.asarray(pull(jnp.ones_like(y))[0])


def _torch_activation(name, x, dtype):
    import torch  # pyright: ignore[reportMissingImports]

    functions = {
        "relu": torch.relu,
        "leaky_relu": torch.nn.functional.leaky_relu,
        "elu": torch.nn.functional.elu,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softplus": torch.nn.functional.softplus,
        "silu": torch.nn.functional.silu,
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    }
    if name not in functions:
        return {}
    given = torch.tensor(np.asarray(x, np.float64)).to(getattr(torch, str(dtype))).requires_grad_()
    y = functions[name](given)
    y.sum().backward()
    assert given.grad is not None
    return {"PyTorch": tuple(each.detach().double().numpy() for each in (y, given.grad))}


def _summary(x, y, value, dy, slope, dtype):
    return {"value": _worst(x, y, value, dtype), "gradient": _worst(x, dy, slope, dtype)}


def _worst(x, y, truth, dtype):
    found = exact.ulps(np.asarray(y), truth, dtype)
    place = int(np.argmax(found))
    return {"worst": float(found[place]), "median": float(np.median(found)), "at": float(x[place])}
