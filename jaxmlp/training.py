"""A whole training run as one pure, compiled function: step -> epoch -> fit."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmlp._checks import all_finite, is_concrete
from jaxmlp.objectives import takes_key
from jaxmlp.optimizers import apply_updates

PyTree = Any
LossFn = Callable[..., jax.Array]
Metric = Callable[[PyTree, PyTree, PyTree], jax.Array]


class TrainState(NamedTuple):
    """All that a run needs to go on: carried from epoch to epoch."""

    params: PyTree  # parameters after the last epoch
    opt_state: PyTree  # state of the optimizer
    key: jax.Array  # the run's key; epoch e draws from fold_in(key, e)
    epoch: jax.Array  # epochs done, int32 scalar


class History(NamedTuple):
    """What a run reports; the first axis of every array is the epoch."""

    train_loss: jax.Array  # (epochs,) mean of the step losses weighted by examples, as training went
    validation_loss: jax.Array | None  # (epochs,) loss_fn without key after the epoch, None without validation
    metrics: dict[str, jax.Array]  # name -> (epochs,) on the whole validation set after the epoch
    first_nonfinite_step: jax.Array  # int32 scalar, step (from 0 at epoch 0) of the first non-finite loss, -1 for never


class FitResult(NamedTuple):
    """What fit returns."""

    params: PyTree  # parameters after the last epoch
    state: TrainState  # give it to fit to go on
    history: History  # of the epochs of this call


def fit(
    loss_fn: LossFn,
    params: PyTree,
    optimizer: optax.GradientTransformation,
    train: tuple[PyTree, PyTree],
    *,
    key: jax.Array,
    epochs: int,
    batch_size: int,
    validation: tuple[PyTree, PyTree] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    state: TrainState | None = None,
) -> FitResult:
    """Train params by mini-batch gradient descent, as one XLA program.

    for each epoch: shuffle the examples, then for each batch
        grads = d loss_fn / d params
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = params + updates

    The function is pure and traceable: it goes through jit, vmap, grad and shard_map. Numbers inside loss_fn and
    optimizer are arguments of the compiled program, so that another learning rate compiles nothing. Inside shard_map
    each device trains its own parameters, unless loss_fn averages over the mesh (jax.lax.pmean): then they train one.

    Args:
        loss_fn: (params, x, y, *, key=None) -> scalar, e.g. an objective. Dropout draws from the key.
        params: any pytree of floating-point arrays.
        optimizer: a rule of jaxmlp.optimizers or any optax.GradientTransformation. A closure, such as optax.chain
            builds, is known by identity: keep it to train again without compiling. One that takes extra arguments
            (optax.lbfgs, a line search, dialects.textbook.nesterov) is given value, grad, value_fn and grad_fn: loss
            and gradient at params, and as functions of the parameters on the step's batch.
        train: (x, y), arrays or pytrees of arrays, all with the same first axis n.
        key: a jax.random key for the order of examples and for dropout.
        epochs: passes over the training set to make in this call, >= 1.
        batch_size: examples per step, in [1, n]. The remainder of n is one more step on its own mean.
        validation: (x, y) like train; measured after each epoch.
        metrics: name -> fn(params, x, y) -> scalar, given the whole validation set in one call.
        state: the state of an earlier result. The run goes on from it, bit for bit as if it had not stopped; params and
            key are then those of the state, and the arguments are not used.

    Returns:
        FitResult(params, state, history).

    Raises:
        ValueError: shapes, sizes or values do not fit; raised before anything is compiled.
        TypeError: an argument is of the wrong kind.

    Differs from: loops that drop the remainder of the last batch, or that report the loss of the last batch.
    """
    check_arguments(loss_fn, params, optimizer, train, key, epochs, batch_size, validation, metrics, state)
    start = (params, key) if state is None else state
    settings = {"epochs": int(epochs), "batch_size": int(batch_size)}
    return run(loss_fn, optimizer, dict(metrics or {}), start, train, validation, **settings)


def run(loss_fn, optimizer, metrics, start, train, validation, *, epochs, batch_size) -> FitResult:
    """Do what fit does with arguments that were checked before; start is (params, key) or a TrainState."""
    numbers, program = take_apart((loss_fn, optimizer, metrics))
    return _run(numbers, start, train, validation, program=program, epochs=epochs, batch_size=batch_size)


@functools.partial(jax.jit, static_argnames=("program", "epochs", "batch_size"))
def _run(numbers, start, train, validation, *, program, epochs, batch_size):
    loss_fn, optimizer, metrics = put_together(numbers, program)
    if not isinstance(start, TrainState):
        params, key = start
        start = TrainState(params, optimizer.init(params), key, jnp.zeros((), jnp.int32))

    def epoch(state, _):
        state, step_losses, train_loss = _epoch(loss_fn, optimizer, state, train, batch_size)
        validation_loss = None if validation is None else loss_fn(state.params, *validation)
        measured = {name: metric(state.params, *(validation or ())) for name, metric in metrics.items()}
        return state, (train_loss, validation_loss, measured, _first_nonfinite(step_losses))

    state, (train_loss, validation_loss, measured, bad_steps) = _scan(epoch, start, None, epochs)
    steps_per_epoch = -(-_length(train) // batch_size)
    bad_epoch = jnp.argmax(bad_steps >= 0)
    bad_step = (start.epoch + bad_epoch.astype(jnp.int32)) * steps_per_epoch + bad_steps[bad_epoch]
    first_nonfinite_step = jnp.where(jnp.any(bad_steps >= 0), bad_step, -1)
    return FitResult(state.params, state, History(train_loss, validation_loss, measured, first_nonfinite_step))


def _epoch(loss_fn, optimizer, state, train, batch_size):
    """One pass over the training set; returns the state, the loss of each step, and their mean over examples."""
    order_key, noise_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
    n = _length(train)
    steps, remainder = divmod(n, batch_size)
    order = jax.random.permutation(order_key, n)

    def step(carry, rows_and_index):
        params, opt_state = carry
        rows, index = rows_and_index
        x, y = jax.tree.map(lambda a: jnp.asarray(a).at[rows].get(mode="promise_in_bounds"), train)
        step_key = jax.random.fold_in(noise_key, index)

        def step_loss(params):
            loss = loss_fn(params, x, y, key=step_key)
            if jnp.shape(loss) != ():
                raise ValueError(f"loss_fn must return a scalar, the mean over the batch; got shape {jnp.shape(loss)}")
            return loss

        params = _own(params, functools.partial(step_loss, params))
        loss, grads = jax.value_and_grad(step_loss)(params)
        extra_args = {}
        if isinstance(optimizer, optax.GradientTransformationExtraArgs):
            extra_args = _extra_args(optimizer.update, step_loss, loss, grads)
        updates, opt_state = optimizer.update(grads, opt_state, params, **extra_args)
        return (apply_updates(params, updates), opt_state), loss

    batches = order[: steps * batch_size].reshape(steps, batch_size)
    indices = jnp.arange(steps, dtype=jnp.int32)
    carry, step_losses = _scan(step, (state.params, state.opt_state), (batches, indices), steps)
    weights = jnp.full(steps, batch_size / n)
    if remainder:
        carry, last_loss = step(carry, (order[steps * batch_size :], jnp.int32(steps)))
        step_losses = jnp.append(step_losses, last_loss)
        weights = jnp.append(weights, remainder / n)
    # Weighted before they are added up, and not in half precision: the sum of many losses may leave its range.
    if jnp.finfo(step_losses.dtype).bits < 32:
        step_losses = step_losses.astype(jnp.float32)
    train_loss = jnp.sum(step_losses * weights.astype(step_losses.dtype))
    params, opt_state = carry
    return TrainState(params, opt_state, state.key, state.epoch + 1), step_losses, train_loss


def _extra_args(update, loss_fn, loss, grads):
    """What a step can tell an optimizer besides its gradient, as far as its update takes it: a line search tries the
    loss elsewhere, on the same batch with the same dropout, and a look-ahead takes its gradient there."""

    # optax's line searches hand all arguments but their own on to value_fn, and refuse one that it does not take.
    def value_fn(params, grad_fn=None):
        return loss_fn(params)

    known = {"value": loss, "grad": grads, "value_fn": value_fn, "grad_fn": jax.grad(value_fn)}
    parameters = inspect.signature(update).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return {name: value for name, value in known.items() if takes_any or name in parameters}


def _first_nonfinite(losses):
    bad = ~jnp.isfinite(losses)
    return jnp.where(jnp.any(bad), jnp.argmax(bad).astype(jnp.int32), -1)


def _own(params, loss):
    """Inside shard_map, mark params as differing between the devices between which the loss does. Replicated, they
    would get the sum of the gradients of all devices, and runs side by side would mix."""
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return params
    kind = jax.eval_shape(loss)
    return jax.tree.map(lambda p: _vary_like(p, kind), params)


def _scan(body, carry, xs, length):
    """lax.scan that also runs inside shard_map: there the carry must start out varying over the mesh axes that body
    makes it vary over (fresh zeros, say, meet gradients that differ from device to device)."""
    if jax.sharding.get_abstract_mesh().manual_axes:
        carry = _varying(body, carry, jax.tree.map(lambda a: a[0], xs))
    return jax.lax.scan(body, carry, xs, length=length)


def _varying(body, carry, x):
    while True:
        grown, _ = jax.eval_shape(body, carry, x)
        fixed = jax.tree.map(_vary_like, carry, grown)
        if all(jax.tree.leaves(jax.tree.map(lambda a, b: _axes(a) == _axes(b), carry, fixed))):
            return carry
        carry = fixed


def _vary_like(value, like):
    missing = tuple(sorted(_axes(like) - _axes(value)))
    return jax.lax.pcast(value, missing, to="varying") if missing else value


def _axes(x):
    kind = (x if isinstance(x, jax.ShapeDtypeStruct) else jax.typeof(x)).manual_axis_type
    return kind.varying if kind is not None else frozenset()


class Program(NamedTuple):
    """The part of a pytree that decides the program: its structure, its callables and other objects."""

    structure: Any
    objects: tuple[Any, ...]  # one per leaf, None for a number


def take_apart(tree: PyTree) -> tuple[list[jax.Array], Program]:
    """Split tree into its numbers, the arguments of a compiled program, and the rest, which it is built from."""
    leaves, structure = jax.tree.flatten(tree)
    numbers = [_as_argument(leaf) for leaf in leaves if _is_number(leaf)]
    return numbers, Program(structure, tuple(None if _is_number(leaf) else leaf for leaf in leaves))


def put_together(numbers: list[jax.Array], program: Program) -> PyTree:
    """Return the tree that take_apart split."""
    rest = iter(numbers)
    return program.structure.unflatten([next(rest) if leaf is None else leaf for leaf in program.objects])


def _is_number(leaf):
    return isinstance(leaf, int | float) or hasattr(leaf, "dtype")


def _as_argument(leaf):
    """A plain number as an array of one dtype, so that 1, 0.5 and jnp.array(1) as learning rates are one program."""
    if not is_concrete(leaf) or (
        isinstance(leaf, jax.Array) and not leaf.weak_type and jnp.issubdtype(leaf.dtype, jnp.floating)
    ):
        return leaf
    floating = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
    # By NumPy, which compiles nothing.
    return jnp.asarray(np.asarray(leaf), leaf.dtype if floating else jnp.result_type(float))


def _length(examples):
    return jnp.shape(jax.tree.leaves(examples)[0])[0]


def check_arguments(loss_fn, params, optimizer, train, key, epochs, batch_size, validation, metrics, state):
    """Raise a ValueError or TypeError where fit cannot take these arguments; params may be shapes alone."""
    if not callable(loss_fn) or not takes_key(loss_fn):
        raise TypeError(f"loss_fn must be a function (params, x, y, *, key=None) -> scalar, got {loss_fn!r}")
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise TypeError(f"optimizer must have init and update, e.g. jaxmlp.optimizers.adam(1e-3), got {optimizer!r}")
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    n = _check_examples("train", train)
    if batch_size > n:
        raise ValueError(f"batch_size must be at most the {n} training examples, got {batch_size}")
    if validation is not None:
        _check_examples("validation", validation)
    if metrics is not None and not (isinstance(metrics, Mapping) and all(map(callable, metrics.values()))):
        raise TypeError(f"metrics must be a dict from names to functions (params, x, y) -> scalar, got {metrics!r}")
    if metrics and validation is None:
        raise ValueError(f"metrics {sorted(metrics)} are measured on the validation set; give validation=(x, y)")
    if state is None:
        _check_key(key)
    elif not isinstance(state, TrainState):
        raise TypeError(f"state must be a TrainState, e.g. result.state, got {type(state).__name__}")
    else:
        expected = jax.eval_shape(optimizer.init, state.params)
        if jax.tree.structure(state.opt_state) != jax.tree.structure(expected):
            raise ValueError(
                f"state was made by another optimizer: its opt_state is {type(state.opt_state).__name__}, this one's "
                f"{type(expected).__name__}; go on with the optimizer that made it, or start anew without state"
            )
    # An objective knows its labels' range; any other function is taken as it is.
    check = getattr(loss_fn, "check", None)
    for examples in (train, validation):
        if check is not None and examples is not None:
            check(params if state is None else state.params, *examples)


def check_count(name, value):
    """Raise a TypeError or ValueError unless value is an integer of at least 1."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def _check_examples(name, examples):
    if not isinstance(examples, tuple | list) or len(examples) != 2:
        raise TypeError(f"{name} must be a pair (x, y), got {type(examples).__name__}")
    leaves = jax.tree.leaves(examples)
    if not all(hasattr(leaf, "shape") for leaf in leaves):
        raise TypeError(f"{name} must hold arrays; make lists and numbers arrays with numpy.asarray")
    lengths = sorted({jnp.shape(leaf)[0] if jnp.ndim(leaf) else 0 for leaf in leaves})
    if len(lengths) != 1 or lengths[0] == 0:
        shapes = [jnp.shape(leaf) for leaf in leaves]
        raise ValueError(f"{name} x and y must have the same first axis, of at least one example; got shapes {shapes}")
    for leaf in leaves:
        if not all_finite(leaf):
            raise ValueError(f"{name} holds NaN or infinity; fill or drop those examples first")
    return lengths[0]


def _check_key(key):
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if dtype is None or not (typed or dtype == jnp.uint32) or key.ndim != (0 if typed else 1):
        raise TypeError(f"key must be one key of jax.random, e.g. jax.random.key(0), got {key!r}")
