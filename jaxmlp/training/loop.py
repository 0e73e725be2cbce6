"""The training run: step -> epoch -> fit."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmlp.optimizers import apply_updates
from jaxmlp.training.arguments import check_arguments, functions
from jaxmlp.training.partition import combine, partition
from jaxmlp.training.results import Best, FitResult, History, Step, TrainState
from jaxmlp.training.shards import own, scan, vary_like

PyTree = Any
LossFn = Callable[..., jax.Array]
Metric = Callable[[PyTree, PyTree, PyTree], jax.Array]
StepMetric = Callable[[Step], jax.Array]
Augment = Callable[[jax.Array, PyTree], PyTree]


class Task(NamedTuple):
    """What a run does at each step and epoch; a pytree whose numbers are arguments of the compiled program."""

    loss_fn: LossFn
    optimizer: Any
    metrics: dict[str, Metric]
    step_metrics: dict[str, StepMetric]
    augment: Augment | None
    patience: int | None


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
    augment: Augment | None = None,
    step_metrics: Mapping[str, StepMetric] | None = None,
    keep_best: bool = False,
    patience: int | None = None,
) -> FitResult:
    """Train params by mini-batch gradient descent, as one XLA program.

    for each epoch: shuffle the examples, then for each batch
        grads = d loss_fn / d params
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = params + updates

    The function is pure and traceable: it goes through jit, vmap, grad and shard_map. Numbers inside loss_fn,
    optimizer and augment are arguments of the compiled program, so that another learning rate compiles nothing. Inside
    shard_map each device trains its own parameters, unless loss_fn averages over the mesh (jax.lax.pmean): then they
    train one.

    Args:
        loss_fn: (params, x, y, *, key=None) -> scalar, e.g. an objective. Dropout draws from the key.
        params: any pytree of floating-point arrays.
        optimizer: a rule of jaxmlp.optimizers or any optax.GradientTransformation. A closure, such as optax.chain
            builds, is known by identity: keep it to train again without compiling. One that takes extra arguments
            (optax.lbfgs, a line search, dialects.textbook.nesterov) is given value, grad, value_fn and grad_fn: loss
            and gradient at params, and as functions of the parameters on the step's batch.
        train: (x, y), arrays or pytrees of arrays, all with the same first axis n.
        key: a jax.random key for the order of examples, for dropout and for augmentation.
        epochs: passes over the training set to make in this call, >= 1.
        batch_size: examples per step, in [1, n]. The remainder of n is one more step on its own mean.
        validation: (x, y) like train; measured after each epoch.
        metrics: name -> fn(params, x, y) -> array, mostly a scalar, given the whole validation set in one call.
        state: the state of an earlier result. The run goes on from it, bit for bit as if it had not stopped; params and
            key are then those of the state, and the arguments are not used.
        augment: (key, x) -> x, applied to each batch of train, with a new key every time, e.g. jaxmlp.augment.distort.
        step_metrics: name -> fn(Step) -> array, measured at every step, e.g. jaxmlp.gradient_norms.
        keep_best: keep the parameters of the epoch of lowest validation loss (of equals, the first) in result.best.
        patience: stop after so many epochs in a row without a lower validation loss, >= 1; keeps the best, too. Under
            vmap it saves no time: a run that has stopped waits for the others.

    Returns:
        FitResult(params, state, history), and its best.

    Raises:
        ValueError: shapes, sizes or values do not fit; raised before anything is compiled.
        TypeError: an argument is of the wrong kind.

    Differs from: loops that drop the remainder of the last batch, or that report the loss of the last batch.
    """
    task = task_of(loss_fn, optimizer, metrics, step_metrics, augment, patience)
    check_arguments(task, params, train, key, epochs, batch_size, validation, keep_best, state)
    start = (params, key) if state is None else state
    settings = {"epochs": int(epochs), "batch_size": int(batch_size), "keep_best": keep_best}
    return run(task, start, train, validation, **settings)


def task_of(loss_fn, optimizer, metrics, step_metrics, augment, patience) -> Task:
    """Collect what decides a run; raises a TypeError where metrics are no functions by name."""
    metrics = functions("metrics", metrics, "(params, x, y) -> array")
    step_metrics = functions("step_metrics", step_metrics, "(step) -> array")
    return Task(loss_fn, optimizer, metrics, step_metrics, augment, patience)


def run(task: Task, start, train, validation, *, epochs, batch_size, keep_best) -> FitResult:
    """Do what fit does with arguments that were checked before; start is (params, key) or a TrainState."""
    numbers, program = partition(task)
    settings = {"epochs": epochs, "batch_size": batch_size, "keep_best": keep_best or task.patience is not None}
    return _run(numbers, start, train, validation, program=program, **settings)


@functools.partial(jax.jit, static_argnames=("program", "epochs", "batch_size", "keep_best"))
def _run(numbers, start, train, validation, *, program, epochs, batch_size, keep_best):
    task: Task = combine(numbers, program)
    state = _started(task, start, validation, keep_best)

    def epoch(state) -> Any:
        state, step_losses, train_loss, told = _epoch(task, state, train, batch_size)
        validation_loss = None if validation is None else task.loss_fn(state.params, *validation)
        measured = {name: metric(state.params, *(validation or ())) for name, metric in task.metrics.items()}
        if keep_best:
            state = state._replace(best=_better(state, validation_loss))
        return state, (train_loss, validation_loss, measured, told, _first_nonfinite(step_losses))

    def epoch_unless_stopped(state, _):
        if task.patience is None:
            return epoch(state)
        since = (state.epoch - 1 - state.best.epoch).astype(jnp.float32)
        return jax.lax.cond(since >= task.patience, functools.partial(_spare, epoch), epoch, state)

    first_epoch = state.epoch
    state, (train_loss, validation_loss, measured, told, bad_steps) = scan(epoch_unless_stopped, state, None, epochs)
    steps_per_epoch = -(-_length(train) // batch_size)
    bad_epoch = jnp.argmax(bad_steps >= 0)
    bad_step = (first_epoch + bad_epoch.astype(jnp.int32)) * steps_per_epoch + bad_steps[bad_epoch]
    first_nonfinite_step = jnp.where(jnp.any(bad_steps >= 0), bad_step, -1)
    history = History(train_loss, validation_loss, measured, first_nonfinite_step, told)
    return FitResult(state.params, state, history)


def _started(task, start, validation, keep_best):
    """The state to begin with: of a new run, or of one that goes on."""
    state = start
    if not isinstance(start, TrainState):
        params, key = start
        state = TrainState(params, task.optimizer.init(params), key, jnp.zeros((), jnp.int32))
    if not keep_best:
        return state._replace(best=None)
    if state.best is None:
        kind = jax.eval_shape(task.loss_fn, state.params, *validation)
        state = state._replace(best=Best(state.params, jnp.full((), jnp.inf, kind.dtype), state.epoch - 1))
    return state


def _better(state, validation_loss):
    """The best epoch, now that the one that ended is known; a loss that is not a number is never better."""
    now = Best(state.params, validation_loss, state.epoch - 1)
    return jax.tree.map(
        lambda new, old: jnp.where(validation_loss < state.best.validation_loss, new, old), now, state.best
    )


def _spare(epoch, state) -> Any:
    """What stands for an epoch after the run has stopped: the same state, and no numbers."""
    state_like, told_like = jax.eval_shape(epoch, state)

    def nothing(like):
        fill = (
            jnp.nan if jnp.issubdtype(like.dtype, jnp.inexact) else -int(jnp.issubdtype(like.dtype, jnp.signedinteger))
        )
        return vary_like(jnp.full(like.shape, fill, like.dtype), like)

    return jax.tree.map(vary_like, state, state_like), jax.tree.map(nothing, told_like)


def _epoch(task, state, train, batch_size):
    """One pass over the training set; returns the state, the loss of each step, their mean over examples, and what the
    step metrics say of each step."""
    order_key, noise_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
    n = _length(train)
    steps, remainder = divmod(n, batch_size)
    order = jax.random.permutation(order_key, n)

    def step(carry, rows_and_index):
        params, opt_state = carry
        rows, index = rows_and_index
        x, y = jax.tree.map(lambda a: jnp.asarray(a).at[rows].get(mode="promise_in_bounds"), train)
        step_key = jax.random.fold_in(noise_key, index)
        if task.augment is not None:
            augment_key, step_key = jax.random.split(step_key)
            x = task.augment(augment_key, x)

        def step_loss(params):
            loss = task.loss_fn(params, x, y, key=step_key)
            if jnp.shape(loss) != ():
                raise ValueError(f"loss_fn must return a scalar, the mean over the batch; got shape {jnp.shape(loss)}")
            return loss

        params = own(params, functools.partial(step_loss, params))
        loss, grads = jax.value_and_grad(step_loss)(params)
        extra_args = {}
        if isinstance(task.optimizer, optax.GradientTransformationExtraArgs):
            extra_args = _extra_args(task.optimizer.update, step_loss, loss, grads)
        updates, opt_state = task.optimizer.update(grads, opt_state, params, **extra_args)
        told = {name: tell(Step(loss, params, grads, updates)) for name, tell in task.step_metrics.items()}
        return (apply_updates(params, updates), opt_state), (loss, told)

    batches = order[: steps * batch_size].reshape(steps, batch_size)
    indices = jnp.arange(steps, dtype=jnp.int32)
    carry, (step_losses, told) = scan(step, (state.params, state.opt_state), (batches, indices), steps)
    weights = jnp.full(steps, batch_size / n)
    if remainder:
        carry, last = step(carry, (order[steps * batch_size :], jnp.int32(steps)))
        step_losses, told = jax.tree.map(lambda all, one: jnp.append(all, one[None], axis=0), (step_losses, told), last)
        weights = jnp.append(weights, remainder / n)
    # Weighted before they are added up, and not in half precision: the sum of many losses may leave its range.
    if jnp.finfo(step_losses.dtype).bits < 32:
        step_losses = step_losses.astype(jnp.float32)
    train_loss = jnp.sum(step_losses * weights.astype(step_losses.dtype))
    params, opt_state = carry
    state = state._replace(params=params, opt_state=opt_state, epoch=state.epoch + 1)
    return state, step_losses, train_loss, told


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


def _length(examples):
    return jnp.shape(jax.tree.leaves(examples)[0])[0]
