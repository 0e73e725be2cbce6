"""What is measured, and which systems there are."""

import importlib.util
import itertools
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.common.peers.settings import Settings

NETWORKS = {
    "small": Settings((784, 128, 10), 64, 0.1, "sgd"),
    "medium": Settings((784, 250, 100, 10), 64, 0.001, "adam"),
    "large": Settings((784, 512, 128, 64, 10), 1000, 0.001, "adam"),
}
"""Name -> network, batch and rule."""

CASES = (*NETWORKS, "sweep", "rules")
SWEPT, STEPPED = NETWORKS["small"], NETWORKS["medium"]
RATES, SEEDS = np.geomspace(0.01, 0.5, 12), 4

SLOTS = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "rmsprop": 1, "adam": 2, "amsgrad": 3}
"""Rule of jaxmlp.optimizers -> arrays that it keeps beside each parameter."""


class System(NamedTuple):
    """What trains."""

    title: str
    """As it is shown."""

    module: str
    """Of experiments.common.peers."""

    package: str
    """That must be installed."""

    options: Mapping[str, Any] = {}
    """Of its Trainer."""

    threads: str = ""
    """What sets its number of threads, of which the faster is taken, one or all: "blas" or "torch"; empty: its own."""

    compiles: bool = False
    """Whether it compiles before it trains."""

    kind: str = "library"
    """"ours", "by hand", "library", or "loop" for a step loop under jax.jit."""


OURS = "jaxmlp"
SYSTEMS = {
    OURS: System("jaxmlp", "ours", "jaxmlp", compiles=True, kind="ours"),
    "numpy": System("NumPy by hand", "numpy_network", "numpy", threads="blas", kind="by hand"),
    "optax": System("JAX step loop, optax", "optax_loop", "optax", compiles=True, kind="loop"),
    "sklearn": System("scikit-learn", "scikit_learn", "sklearn", threads="blas"),
    "torch": System("PyTorch", "pytorch", "torch", threads="torch"),
    "torch_compiled": System("PyTorch, compiled", "pytorch", "torch", {"compiled": True}, "torch", True),
    "keras": System("Keras on JAX", "keras_jax", "keras", compiles=True),
    "flax": System("Flax NNX", "flax_nnx", "flax", compiles=True, kind="loop"),
    "equinox": System("Equinox", "equinox_loop", "equinox", compiles=True, kind="loop"),
}


def absent(name: str) -> str:
    """Return why a system cannot run here; empty if it can."""
    system = SYSTEMS[name]
    if importlib.util.find_spec(system.package) is None:
        return f"{system.package} is not installed"
    if system.options.get("compiled") and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        return "there is no C++ compiler"
    return ""


def parameters(settings: Settings) -> int:
    """Count the parameters of a network."""
    return sum((m + 1) * n for m, n in itertools.pairwise(settings.layer_sizes))


def title(settings: Settings) -> str:
    """Name a network."""
    rule = {"sgd": "SGD", "adam": "Adam"}[settings.rule]
    return f"{'-'.join(map(str, settings.layer_sizes))}, batch {settings.batch_size}, {rule}"
