"""Checks of the constructor's parameters, done by fit, and their translation into a plan and its numbers."""

import dataclasses
import math
import numbers as numeric
from typing import Any

import jax
import numpy as np
import optax

import jaxmlp
from jaxmlp._checks import check_choice, check_count
from jaxmlp.dialects import sklearn as dialect
from jaxmlp.estimators.programs import Plan
from jaxmlp.training.partition import Program, combine, partition

__all__ = ["activation_of", "check", "dtype_of", "elementwise", "hidden_sizes", "numbers_of", "plan_of"]

_INF = math.inf
_RANGES = {  # low, high, whether the ends are allowed
    "alpha": (0, _INF, True, False),
    "l1": (0, _INF, True, False),
    "learning_rate_init": (0, _INF, False, False),
    "power_t": (0, _INF, True, False),
    "tol": (0, _INF, True, True),
    "momentum": (0, 1, True, True),
    "validation_fraction": (0, 1, True, False),
    "beta_1": (0, 1, True, False),
    "beta_2": (0, 1, True, False),
    "epsilon": (0, _INF, False, False),
}
_COUNTS = ("max_iter", "max_fun", "n_restarts")
_FLAGS = ("shuffle", "warm_start", "nesterovs_momentum")
_CHOICES = {"learning_rate": ("constant", "invscaling", "adaptive"), "loss": ("squared_error", "poisson")}
_ARGUMENTS = {"momentum": ("momentum",), "nesterov": ("momentum",), "amsgrad": ("b1", "b2", "eps")}
_ATTRIBUTES = {"momentum": "momentum", "b1": "beta_1", "b2": "beta_2", "eps": "epsilon"}


class _WrongParameterError(ValueError, TypeError):
    """A wrong type of a parameter, which is a ValueError in scikit-learn too."""


def check(estimator: Any) -> None:
    """Raise a ValueError that names the first parameter that is not allowed; if its type is wrong, a TypeError too."""
    try:
        _check(estimator, vars(estimator))
    except TypeError as error:
        raise _WrongParameterError(str(error)) from error


def _check(estimator, values):
    for name, (low, high, with_low, with_high) in _RANGES.items():
        _check_range(name, values[name], low, high, with_low, with_high)
    for name in _COUNTS:
        check_count(name, values[name])
    for name in _FLAGS:
        if not isinstance(values[name], bool | np.bool_):
            raise TypeError(f"{name} must be True or False, got {values[name]!r}")
    for name, choices in _CHOICES.items():
        if name in values:
            check_choice(name, values[name], choices)
    if values["n_iter_no_change"] != _INF:
        check_count("n_iter_no_change", values["n_iter_no_change"])
    if isinstance(values["batch_size"], str):
        check_choice("batch_size", values["batch_size"], ("auto",))
    else:
        check_count("batch_size", values["batch_size"])
    if not (isinstance(values["early_stopping"], bool | np.bool_) or values["early_stopping"] == "loss"):
        raise ValueError(f'early_stopping must be True, False or "loss", got {values["early_stopping"]!r}')
    if isinstance(values["schedule"], str):
        check_choice("schedule", values["schedule"], ("cosine", "linear"))
    if not (values["schedule"] is None or isinstance(values["schedule"], str) or callable(values["schedule"])):
        raise TypeError(f'schedule must be "cosine", "linear", a function or None, got {values["schedule"]!r}')
    if not (values["augment"] is None or callable(values["augment"])):
        raise TypeError(f"augment must be a function (key, x) -> x or None, got {values['augment']!r}")
    for rate in values["dropout"] if np.iterable(values["dropout"]) else [values["dropout"]]:
        _check_range("dropout", rate, 0, 1, True, False)
    if not isinstance(values["verbose"], numeric.Integral | np.bool_):
        raise TypeError(f"verbose must be True or False, got {values['verbose']!r}")
    solver = values["solver"]
    if isinstance(solver, str):
        check_choice("solver", solver, ("lbfgs", *jaxmlp.optimizers.OPTIMIZERS))
    elif not isinstance(solver, optax.GradientTransformation):
        raise TypeError(f"solver must be a name or an optax.GradientTransformation, got {solver!r}")
    if solver == "lbfgs":
        for name in ("dropout", "augment", "schedule"):
            if np.any(values[name]):
                raise ValueError(f'{name} needs mini-batches: solver="lbfgs" has none; use "sgd" or "adam"')
    activation_of(estimator)
    dtype_of(estimator)
    hidden_sizes(estimator)


def hidden_sizes(estimator: Any) -> tuple[int, ...]:
    """Return the sizes of the hidden layers."""
    sizes = estimator.hidden_layer_sizes
    sizes = tuple(sizes) if np.iterable(sizes) else (sizes,)
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, numeric.Integral):
            raise TypeError(f"hidden_layer_sizes must be integers, got {estimator.hidden_layer_sizes!r}")
        if size < 1:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {list(sizes)}")
    return tuple(int(size) for size in sizes)


def activation_of(estimator: Any) -> Any:
    """Return the activation as jaxmlp.mlp takes it."""
    activation = "sigmoid" if estimator.activation == "logistic" else estimator.activation
    function = jaxmlp.activations.get(activation)
    if isinstance(activation, str):
        return activation
    try:
        jax.eval_shape(function, jax.ShapeDtypeStruct((2,), np.float32))
    except Exception as error:
        raise TypeError(
            f"activation must be a function of JAX arrays, got {activation!r}, which raises {error}"
        ) from error
    return activation


def dtype_of(estimator: Any) -> np.dtype:
    """Return the dtype to train in."""
    if estimator.dtype is None:
        return np.dtype(np.float64 if estimator.solver == "lbfgs" else np.float32)
    try:
        dtype = np.dtype(estimator.dtype)
    except TypeError:
        dtype = None
    if dtype not in (np.float32, np.float64):
        raise ValueError(f'dtype must be "float32", "float64" or None, got {estimator.dtype!r}')
    return dtype


def elementwise(estimator: Any) -> bool:
    """Return whether features of zeros may be added: nothing but the rules that are known here sees them."""
    known = ("lbfgs", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "amsgrad")
    return estimator.augment is None and isinstance(estimator.solver, str) and estimator.solver in known


def plan_of(estimator: Any, layer_sizes: tuple[int, ...], loss: str, batch_rows: int) -> Plan:
    """Return what decides the compiled program."""
    solver, dropout = estimator.solver, estimator.dropout
    dropout = float(dropout) if np.ndim(dropout) == 0 else tuple(map(float, dropout))
    monitor = {"loss": "loss", True: "score"}.get(estimator.early_stopping, "train")
    if solver == "lbfgs":
        return Plan(layer_sizes, activation_of(estimator), 0.0, loss, dialect.sgd)
    if not isinstance(solver, str):
        rule = _Given(partition(solver)[1])
    elif solver == "sgd":
        rule = dialect.nesterov if estimator.nesterovs_momentum else dialect.momentum
    else:
        rule = dialect.adam if solver == "adam" else jaxmlp.optimizers.OPTIMIZERS[solver]
    return Plan(
        layer_sizes,
        activation_of(estimator),
        dropout,
        loss,
        rule,
        schedule=estimator.schedule,
        rate=estimator.learning_rate if solver == "sgd" else "constant",
        monitor=monitor,
        augment=estimator.augment,
        batch_rows=batch_rows,
        random=bool(np.any(dropout)) or estimator.augment is not None,
    )


def numbers_of(estimator: Any, dtype: np.dtype, n: int, batch: int) -> dict[str, Any]:
    """Return the numbers of run_epochs, but the seed."""
    solver = estimator.solver
    if not isinstance(solver, str):
        rule = {"given": partition(solver)[0]}
    else:
        names = {"sgd": ("momentum",), "adam": ("b1", "b2", "eps")}.get(solver, _ARGUMENTS.get(solver, ()))
        rule = {name: dtype.type(getattr(estimator, _ATTRIBUTES[name])) for name in names}
    return {
        "rule": rule,
        "rate": dtype.type(estimator.learning_rate_init),
        "power_t": dtype.type(estimator.power_t),
        "alpha": dtype.type(estimator.alpha),
        "l1": dtype.type(estimator.l1) if estimator.l1 else None,
        "tol": dtype.type(estimator.tol),
        "patience": dtype.type(estimator.n_iter_no_change),
        "n": np.int32(n),
        "batch": np.int32(batch),
        "total_steps": dtype.type(-(-n // batch) * estimator.max_iter),
        "seed": np.uint32(0),
    }


@dataclasses.dataclass(frozen=True)
class _Given:
    """A factory that returns an optimizer made by the user, from its numbers."""

    program: Program

    def __call__(self, learning_rate, given):
        return combine(given, self.program)


def _check_range(name, value, low, high, with_low, with_high):
    if isinstance(value, bool) or not isinstance(value, numeric.Real | jax.Array):
        raise TypeError(f"{name} must be a real number; got {value!r}")
    if not (low < value < high or (with_low and value == low) or (with_high and value == high)):
        interval = f"{'[' if with_low else '('}{low:g}, {high:g}{']' if with_high else ')'}"
        raise ValueError(f"{name} must be in {interval}; got {value!r}")
