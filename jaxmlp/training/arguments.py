"""The checks of the arguments of fit and sweep, made before anything is compiled."""

import inspect
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import all_finite, is_concrete
from jaxmlp._checks import check_count, check_key, check_real, is_function, shown, takes
from jaxmlp._rule import check_same_form
from jaxmlp.training.results import TrainState
from jaxmlp.training.rows import local
from jaxmlp.training.validating import check_means


def functions(name, given, form):
    """Return given, a mapping from names to functions or None, as a dict; raise a TypeError if it is neither."""
    if given is not None and not (isinstance(given, Mapping) and all(map(callable, given.values()))):
        raise TypeError(f"{name} must be a dict from names to functions {form}, got {shown(given)}")
    return dict(given or {})


def check_arguments(
    task, params, train, key, epochs, batch_size, validation, keep_best, shuffle, state, eval_batch_size=None
):
    """Raise a ValueError or TypeError if fit cannot take these arguments; params may be shapes alone."""
    loss_fn, optimizer = task.loss_fn, task.optimizer
    _check_functions(loss_fn, optimizer)
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    n = _check_examples("train", train)
    if batch_size > n:
        raise ValueError(f"batch_size must be at most the {n} training examples, got {batch_size}")
    if validation is not None:
        _check_examples("validation", validation)
    if eval_batch_size is not None:
        check_count("eval_batch_size", eval_batch_size)
        if validation is None:
            raise ValueError("eval_batch_size is the size of the pieces of the validation set; give validation=(x, y)")
        check_means(task)
    _check_weights_are_taken(task, train, validation)
    if task.metrics and validation is None:
        raise ValueError(f"metrics {sorted(task.metrics)} are measured on the validation set; give validation=(x, y)")
    if task.augment is not None and not is_function(task.augment):
        raise TypeError(f"augment must be a function (key, x) -> x, got {shown(task.augment)}")
    if task.patience is not None:
        check_count("patience", task.patience)
    for name, value in (("keep_best", keep_best), ("shuffle", shuffle)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {shown(value)}")
    if (keep_best or task.patience is not None) and validation is None:
        raise ValueError("keep_best and patience need the validation loss; give validation=(x, y)")
    if state is None:
        check_key(key)
        _check_params(params)
    elif not isinstance(state, TrainState):
        raise TypeError(f"state must be a TrainState, e.g. result.state, got {type(state).__name__}")
    else:
        _check_goes_on(params, key, state)
        expected = jax.eval_shape(optimizer.init, state.params)
        if jax.tree.structure(state.opt_state) != jax.tree.structure(expected):
            raise ValueError(
                f"state was made by another optimizer: its opt_state is {type(state.opt_state).__name__}, this one's "
                f"{type(expected).__name__}; continue with the optimizer that made it, or start without state"
            )
    params = params if state is None else state.params
    if task.eval_params is not None:
        _check_eval_params(task.eval_params, optimizer, params, state)
    # An objective knows the range of its labels, and so do metrics; any other function is taken as it is.
    for function, examples in ((loss_fn, train), *((f, validation) for f in (loss_fn, *task.metrics.values()))):
        check = getattr(function, "check", None)
        if check is not None and examples is not None:
            check(params, *local(examples))


def check_step(loss_fn, params, optimizer, batch, key, opt_state, start, index):
    """Raise a ValueError or TypeError if take_step cannot take these arguments."""
    _check_functions(loss_fn, optimizer)
    _check_params(params)
    _check_examples("batch", batch)
    if key is not None:
        check_key(key)
    if start is not None:
        check_same_form("start", start, "params", params)
    if is_concrete(index):
        check_count("index", index, 0)
    expected = jax.eval_shape(optimizer.init, params)
    if opt_state is not None and jax.tree.structure(opt_state) != jax.tree.structure(expected):
        raise TypeError(
            f"opt_state must be what this optimizer has returned, a {type(expected).__name__}, got {shown(opt_state)}"
        )
    check = getattr(loss_fn, "check", None)
    if check is not None:
        check(params, *batch)


def _check_functions(loss_fn, optimizer):
    if not is_function(loss_fn) or not takes(loss_fn, "key"):
        hint = ", which takes no key: add key=None to its arguments" if is_function(loss_fn) else ""
        raise TypeError(f"loss_fn must be a function (params, x, y, *, key=None) -> scalar, got {shown(loss_fn)}{hint}")
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        example = "jaxmlp.optimizers.adam(1e-3)"
        raise TypeError(f"optimizer must have init and update, e.g. {example}, got {shown(optimizer)}")


def _check_params(params):
    if params is None:
        raise TypeError(
            "params must be a pytree of arrays, e.g. net.init(key), got None; only with state or the checkpoint of a "
            "run may it be None"
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not (hasattr(leaf, "dtype") or isinstance(leaf, int | float)):
            raise TypeError(
                f"params must be a pytree of arrays, got {shown(leaf)} at params{jax.tree_util.keystr(path)}; split "
                "what holds functions too, e.g. params, static = equinox.partition(model, equinox.is_inexact_array)"
            )
        if isinstance(leaf, int | float | np.ndarray | np.generic):
            check_real(f"params{jax.tree_util.keystr(path)}", leaf)


def _check_goes_on(params, key, state):
    """Raise a ValueError if params or key cannot be what the state was made from."""
    if key is not None:
        check_key(key)
        now, before = (jax.random.key_data(k) if _is_typed(k) else k for k in (key, state.key))
        if is_concrete(now) and is_concrete(before) and not np.array_equal(now, before):
            raise ValueError(
                "key is not the one of state, which goes on with its own; leave key out, or replace that one: "
                "state=state._replace(key=key)"
            )
    if params is not None:
        given, own = (jax.tree.map(jnp.shape, tree) for tree in (params, state.params))
        if given != own:
            raise ValueError(
                f"params have the shapes {given}, but those of state, which goes on with its own, {own}; give None"
            )


def _is_typed(key):
    return jnp.issubdtype(key.dtype, jax.dtypes.prng_key)


def _check_eval_params(eval_params, optimizer, params, state):
    if not is_function(eval_params):
        raise TypeError(f"eval_params must be a function (opt_state, params) -> params, got {shown(eval_params)}")
    opt_state = jax.eval_shape(optimizer.init, params) if state is None else state.opt_state
    found, expected = (
        jax.tree.map(lambda a: (jnp.shape(a), jnp.result_type(a)), tree)
        for tree in (jax.eval_shape(eval_params, opt_state, params), params)
    )
    if found != expected:
        raise ValueError(f"eval_params must return params like those given, {expected}, got {found}")


def _check_weights_are_taken(task, train, validation):
    """Raise a TypeError if examples have weights and a function that is given them takes none."""
    named = {"loss_fn": task.loss_fn} | {f"metric {name!r}": metric for name, metric in task.metrics.items()}
    for which, examples, users in (("train", train, ["loss_fn"]), ("validation", validation, named)):
        for name in users if examples is not None and len(examples) == 3 else ():
            if not _takes_four(named[name]):
                raise TypeError(
                    f"{which} has weights, and {name} takes none; give it a fourth argument: (params, x, y, weight)"
                )


def _takes_four(function):
    try:
        inspect.signature(function).bind(*range(4))
    except TypeError:
        return False
    except ValueError:  # Python cannot say
        pass
    return True


def _check_examples(name, examples):
    if not isinstance(examples, tuple | list) or len(examples) not in (2, 3):
        raise TypeError(f"{name} must be a pair (x, y), or (x, y, weight), got {type(examples).__name__}")
    leaves = jax.tree.leaves(examples)
    if not all(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in leaves):
        kinds = ", ".join(sorted({type(leaf).__name__ for leaf in leaves}))
        raise TypeError(f"{name} must hold arrays, got {kinds}; convert lists and numbers with numpy.asarray")
    for leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
            check_real(name, leaf)
    n = check_lengths(name, examples)
    for leaf in leaves:
        if not all_finite(local(leaf)):
            raise ValueError(f"{name} contains NaN or infinity; fill or drop those examples first")
    if len(examples) == 3:
        _check_weight(name, examples[2], n)
    return n


def check_lengths(name, examples):
    """Return the number of examples; raise a ValueError if x and y differ in it, or there are none or too many."""
    leaves = jax.tree.leaves(examples)
    lengths = {jnp.shape(leaf)[0] if jnp.ndim(leaf) else 0 for leaf in leaves}
    if len(lengths) != 1 or 0 in lengths:
        shapes = [jnp.shape(leaf) for leaf in leaves]
        raise ValueError(f"x and y of {name} must have the same first axis, with at least one example; got {shapes}")
    if max(lengths) >= 2**31:
        raise ValueError(f"{name} must have fewer than 2^31 examples, got {max(lengths):,}; train on parts of them")
    return max(lengths)


def _check_weight(name, weight, n):
    if jnp.shape(weight) != (n,) or not hasattr(weight, "dtype"):
        raise ValueError(f"the weights of {name} must be an array ({n},), one number per example, got {shown(weight)}")
    if is_concrete(weight):
        host = np.asarray(local(weight)).astype(float)
        if host.min() < 0 or host.sum() == 0:
            raise ValueError(f"the weights of {name} must be >= 0 and not all 0; got {host.min():g} to {host.max():g}")
