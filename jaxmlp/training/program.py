"""A training run as one compiled program: step -> epoch -> run."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmlp.instruments import Instrument
from jaxmlp.optimizers import apply_updates
from jaxmlp.training import recording
from jaxmlp.training.arguments import functions
from jaxmlp.training.forms import Augment, EvalParams, LossFn, Metric, StepMetric
from jaxmlp.training.partition import combine, partition
from jaxmlp.training.results import Best, FitResult, History, Step, TrainState
from jaxmlp.training.shards import own, scan, vary_like
from jaxmlp.training.updates import initial, update


class Task(NamedTuple):
    """What a run does at each step and epoch; a pytree whose numbers are arguments of the compiled program.

    The fields are the arguments of fit of the same names.
    """

    loss_fn: LossFn
    optimizer: Any
    metrics: dict[str, Metric]
    step_metrics: dict[str, StepMetric]
    augment: Augment | None
    patience: int | None
    eval_params: EvalParams | None
    instruments: dict[str, Instrument]


def task_of(loss_fn, optimizer, metrics, step_metrics, augment, patience, eval_params, instruments) -> Task:
    """Collect what decides a run; raise a TypeError if metrics or instruments are not a dict of them."""
    metrics = functions("metrics", metrics, "(params, x, y) -> array")
    step_metrics = functions("step_metrics", step_metrics, "(step) -> array")
    instruments = recording.checked(instruments)
    return Task(loss_fn, optimizer, metrics, step_metrics, augment, patience, eval_params, instruments)


def run(task: Task, start, train, validation, *, epochs, batch_size, keep_best, shuffle) -> FitResult[Any]:
    """Do what fit does, with arguments that are already checked; start is (params, key) or a TrainState."""
    numbers, program = partition(task)
    settings = {"epochs": epochs, "batch_size": batch_size, "shuffle": shuffle}
    settings["keep_best"] = keep_best or task.patience is not None
    return _run(numbers, start, train, validation, program=program, **settings)


@functools.partial(jax.jit, static_argnames=("program", "epochs", "batch_size", "keep_best", "shuffle"))
def _run(numbers, start, train, validation, *, program, epochs, batch_size, keep_best, shuffle):
    task: Task = combine(numbers, program)
    state = _started(task, start, validation, keep_best)

    def epoch(state) -> Any:
        state, step_losses, train_loss, by_step, readings = _epoch(task, state, train, batch_size, shuffle)
        params = state.params
        if task.eval_params is not None:
            params = task.eval_params(state.opt_state, params)
        validation_loss = None if validation is None else task.loss_fn(params, *validation)
        measured = {name: metric(params, *(validation or ())) for name, metric in task.metrics.items()}
        if keep_best:
            state = state._replace(best=_better(state, params, validation_loss))
        return state, (train_loss, validation_loss, measured, by_step, _first_nonfinite(step_losses), readings)

    def epoch_unless_stopped(state, _):
        if task.patience is None:
            return epoch(state)
        since = (state.epoch - 1 - state.best.epoch).astype(jnp.float32)
        return jax.lax.cond(since >= task.patience, functools.partial(_skip, epoch), epoch, state)

    first_step = state.steps
    state, reports = scan(epoch_unless_stopped, state, None, epochs)
    train_loss, validation_loss, measured, by_step, bad_steps, readings = reports
    steps_per_epoch = -(-_length(train) // batch_size)
    bad_epoch = jnp.argmax(bad_steps >= 0)
    bad_step = first_step + bad_epoch.astype(jnp.int32) * steps_per_epoch + bad_steps[bad_epoch]
    first_nonfinite_step = jnp.where(jnp.any(bad_steps >= 0), bad_step, -1)
    readings = recording.joined(task.instruments, readings, epochs * steps_per_epoch)
    history = History(train_loss, validation_loss, measured, first_nonfinite_step, by_step, readings)
    return FitResult(state.params, state, history)


def _started(task, start, validation, keep_best):
    """Return the state to begin with, of a new run or of one that continues."""
    state = start
    if not isinstance(start, TrainState):
        params, key = start
        zero = jnp.zeros((), jnp.int32)
        state = TrainState(params, initial(task.optimizer, params), key, zero, steps=zero)
    if task.instruments and state.start is None:
        state = state._replace(start=state.params)
    if not keep_best:
        return state._replace(best=None)
    if state.best is None:
        loss = jax.eval_shape(task.loss_fn, state.params, *validation)
        state = state._replace(best=Best(state.params, jnp.full((), jnp.inf, loss.dtype), state.epoch - 1))
    return state


def _better(state, params, validation_loss):
    """Return the best epoch up to the one that just ended; a loss of NaN is never better."""
    now = Best(params, validation_loss, state.epoch - 1)
    return jax.tree.map(
        lambda new, old: jnp.where(validation_loss < state.best.validation_loss, new, old), now, state.best
    )


def _skip(epoch, state) -> Any:
    """Return what epoch would, for a run that has stopped: the same state, and a report without numbers."""
    state_like, report_like = jax.eval_shape(epoch, state)

    def nothing(like):
        fill = (
            jnp.nan if jnp.issubdtype(like.dtype, jnp.inexact) else -int(jnp.issubdtype(like.dtype, jnp.signedinteger))
        )
        return vary_like(jnp.full(like.shape, fill, like.dtype), like)

    return jax.tree.map(vary_like, state, state_like), jax.tree.map(nothing, report_like)


def _epoch(task, state, train, batch_size, shuffle):
    """Pass over the training set once.

    Returns:
        The state, the loss of each step, the mean of these over examples, the step metrics of each step, and the
        readings of the instruments.
    """
    order_key, noise_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
    n = _length(train)
    steps, remainder = divmod(n, batch_size)
    order = jax.random.permutation(order_key, n) if shuffle else jnp.arange(n)

    def step(carry, rows_and_index):
        params, opt_state, readings = carry
        rows, index = rows_and_index
        x, y, *weight = jax.tree.map(lambda a: jnp.asarray(a).at[rows].get(mode="promise_in_bounds"), tuple(train))
        step_key = jax.random.fold_in(noise_key, index)
        if task.augment is not None:
            augment_key, step_key = jax.random.split(step_key)
            x = task.augment(augment_key, x)

        def step_loss(params):
            loss = task.loss_fn(params, x, y, *weight, key=step_key)
            if isinstance(loss, tuple):
                raise TypeError("loss_fn must return a scalar alone, got a tuple; measure the rest by step_metrics")
            if jnp.shape(loss) != ():
                raise ValueError(f"loss_fn must return a scalar, the mean over the batch; got shape {jnp.shape(loss)}")
            return loss

        params = own(params, functools.partial(step_loss, params))
        loss, grads = jax.value_and_grad(step_loss)(params)
        updates, opt_state = update(task.optimizer, step_loss, loss, grads, opt_state, params)
        taken = Step(loss, params, grads, updates, opt_state, state.steps + index, x, y, next(iter(weight), None))
        taken = taken._replace(key=step_key, loss_fn=task.loss_fn, optimizer=task.optimizer, start=state.start)
        measured = {name: metric(taken) for name, metric in task.step_metrics.items()}
        readings = recording.record(task.instruments, readings, taken, state.steps)
        totals = [jnp.sum(w.astype(_sum_dtype(loss.dtype))) for w in weight]
        return (apply_updates(params, updates), opt_state, readings), (loss, measured, totals)

    batches = order[: steps * batch_size].reshape(steps, batch_size)
    indices = jnp.arange(steps, dtype=jnp.int32)
    readings = recording.blank(task.instruments, step, state, (batches[0], indices[0]), steps + (remainder > 0))
    carry, by_step = scan(step, (state.params, state.opt_state, readings), (batches, indices), steps)
    weights = jnp.full(steps, batch_size / n)
    if remainder:
        carry, last = step(carry, (order[steps * batch_size :], jnp.int32(steps)))
        by_step = jax.tree.map(lambda all, one: jnp.append(all, one[None], axis=0), by_step, last)
        weights = jnp.append(weights, remainder / n)
    step_losses, measured, totals = by_step
    # Weighted before they are summed, and in float32 or wider: the sum of many losses may overflow half precision.
    step_losses = step_losses.astype(_sum_dtype(step_losses.dtype))
    if totals:
        weights = totals[0] / jnp.sum(totals[0])
    train_loss = jnp.sum(step_losses * weights.astype(step_losses.dtype))
    params, opt_state, readings = carry
    taken = steps + (remainder > 0)
    state = state._replace(params=params, opt_state=opt_state, epoch=state.epoch + 1, steps=state.steps + taken)
    return state, step_losses, train_loss, measured, recording.without_spare_row(readings)


def _first_nonfinite(losses):
    bad = ~jnp.isfinite(losses)
    return jnp.where(jnp.any(bad), jnp.argmax(bad).astype(jnp.int32), -1)


def _length(examples):
    return jnp.shape(jax.tree.leaves(examples)[0])[0]


def _sum_dtype(dtype):
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype
