"""The checks of the arguments of fit and sweep, made before anything is compiled."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxmlp._arrays import all_finite
from jaxmlp._checks import check_count, check_key, check_real, shown, takes
from jaxmlp.training.results import TrainState


def functions(name, given, form):
    """Return given, a mapping from names to functions or None, as a dict; raise a TypeError if it is neither."""
    if given is not None and not (isinstance(given, Mapping) and all(map(callable, given.values()))):
        raise TypeError(f"{name} must be a dict from names to functions {form}, got {shown(given)}")
    return dict(given or {})


def check_arguments(task, params, train, key, epochs, batch_size, validation, keep_best, state):
    """Raise a ValueError or TypeError if fit cannot take these arguments; params may be shapes alone."""
    loss_fn, optimizer = task.loss_fn, task.optimizer
    if not callable(loss_fn) or not takes(loss_fn, "key"):
        raise TypeError(f"loss_fn must be a function (params, x, y, *, key=None) -> scalar, got {shown(loss_fn)}")
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        example = "jaxmlp.optimizers.adam(1e-3)"
        raise TypeError(f"optimizer must have init and update, e.g. {example}, got {shown(optimizer)}")
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    n = _check_examples("train", train)
    if batch_size > n:
        raise ValueError(f"batch_size must be at most the {n} training examples, got {batch_size}")
    if validation is not None:
        _check_examples("validation", validation)
    if task.metrics and validation is None:
        raise ValueError(f"metrics {sorted(task.metrics)} are measured on the validation set; give validation=(x, y)")
    if task.augment is not None and not callable(task.augment):
        raise TypeError(f"augment must be a function (key, x) -> x, got {shown(task.augment)}")
    if task.patience is not None:
        check_count("patience", task.patience)
    if not isinstance(keep_best, bool):
        raise TypeError(f"keep_best must be True or False, got {shown(keep_best)}")
    if (keep_best or task.patience is not None) and validation is None:
        raise ValueError("keep_best and patience need the validation loss; give validation=(x, y)")
    if state is None:
        check_key(key)
    elif not isinstance(state, TrainState):
        raise TypeError(f"state must be a TrainState, e.g. result.state, got {type(state).__name__}")
    else:
        expected = jax.eval_shape(optimizer.init, state.params)
        if jax.tree.structure(state.opt_state) != jax.tree.structure(expected):
            raise ValueError(
                f"state was made by another optimizer: its opt_state is {type(state.opt_state).__name__}, this one's "
                f"{type(expected).__name__}; continue with the optimizer that made it, or start without state"
            )
    # An objective knows the range of its labels; any other function is taken as it is.
    check = getattr(loss_fn, "check", None)
    for examples in (train, validation):
        if check is not None and examples is not None:
            check(params if state is None else state.params, *examples)


def _check_examples(name, examples):
    if not isinstance(examples, tuple | list) or len(examples) != 2:
        raise TypeError(f"{name} must be a pair (x, y), got {type(examples).__name__}")
    leaves = jax.tree.leaves(examples)
    if not all(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in leaves):
        raise TypeError(f"{name} must hold arrays; convert lists and numbers with numpy.asarray")
    for leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
            check_real(name, leaf)
    lengths = sorted({jnp.shape(leaf)[0] if jnp.ndim(leaf) else 0 for leaf in leaves})
    if len(lengths) != 1 or lengths[0] == 0:
        shapes = [jnp.shape(leaf) for leaf in leaves]
        raise ValueError(f"x and y of {name} must have the same first axis, with at least one example; got {shapes}")
    for leaf in leaves:
        if not all_finite(leaf):
            raise ValueError(f"{name} contains NaN or infinity; fill or drop those examples first")
    return lengths[0]
