"""A training run as one compiled program: step -> epoch -> run."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmlp._arrays import vary_like
from jaxmlp.instruments import Instrument
from jaxmlp.optimizers import apply_updates
from jaxmlp.training import recording
from jaxmlp.training.arguments import functions
from jaxmlp.training.forms import Augment, EvalParams, LossFn, Metric, StepMetric
from jaxmlp.training.partition import combine, partition
from jaxmlp.training.processes import losses_named
from jaxmlp.training.results import Best, FitResult, History, Step, TrainState
from jaxmlp.training.rows import Layout, Rows
from jaxmlp.training.shards import own, scan
from jaxmlp.training.shuffling import permutation
from jaxmlp.training.updates import initial, update
from jaxmlp.training.validating import validated


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


def run(task: Task, start, train, validation, *, layout: Layout | None = None, **settings) -> FitResult[Any]:
    """Do what fit does, with arguments that are already checked.

    Args:
        task: what decides the run.
        start: (params, key) or a TrainState.
        train: the training examples.
        validation: the validation examples, or None.
        layout: where the examples lie on several devices.
        settings: epochs, and what else decides how they go, the keyword arguments of epoch_of.
    """
    numbers, program = partition(task)
    numbers = numbers if layout is None else layout.everywhere(numbers)
    settings["keep_best"] = settings["keep_best"] or task.patience is not None
    result = _run(numbers, start, train, validation, program=program, layout=layout, **settings)
    if layout is not None and layout.spans_processes:
        with losses_named():
            return jax.block_until_ready(result)
    return result


SETTINGS = ("batch_size", "keep_best", "shuffle", "eval_batch_size", "together")
"""The settings that decide how epochs go."""


@functools.partial(jax.jit, static_argnames=("program", "layout", "epochs", *SETTINGS))
def _run(numbers, start, train, validation, *, program, layout, epochs, **settings):
    task: Task = combine(numbers, program)
    state = started(task, start, validation, settings["keep_best"])
    first_step = state.steps
    examples = Rows(train, layout)
    state, reports = scan(epoch_of(task, examples, validation, **settings), state, None, epochs)
    if layout is not None:
        state, reports = layout.returned(state, reports)
    return FitResult(
        state.params, state, history_of(task, reports, first_step, -(-examples.n // settings["batch_size"]))
    )


def epoch_of(
    task: Task, examples: Rows, validation, *, batch_size, keep_best, shuffle, eval_batch_size=None, together=False
) -> Any:
    """Return the function (state, None) -> (state, report) that trains one epoch, or none where patience has ended.

    Args:
        task: what decides the run.
        examples: the training examples.
        validation: the validation examples, or None.
        batch_size: examples per step.
        keep_best: whether the state keeps the best epoch.
        shuffle: whether the examples are shuffled.
        eval_batch_size: validation examples that are measured at a time; None for all.
        together: whether this is vectorised over runs, which then share one decision to skip the epoch.
    """

    def epoch(state) -> Any:
        state, by_step = _epoch(task, state, examples, batch_size, shuffle)
        return closed(task, state, by_step, validation, keep_best, eval_batch_size, examples.layout)

    def epoch_unless_stopped(state, _):
        if task.patience is None:
            return epoch(state)
        since = (state.epoch - 1 - state.best.epoch).astype(jnp.float32)
        goes_on = ~(since >= jnp.asarray(task.patience, jnp.float32))

        def chosen(state):
            trained = epoch(state)
            return jax.tree.map(functools.partial(jax.lax.select, goes_on), trained, _skipped(state, trained))

        # Under vmap, a branch for each run would copy the examples for each.
        flag, branch = (recording.in_any_run(goes_on), chosen) if together else (goes_on, epoch)
        return jax.lax.cond(flag, branch, lambda state: _skipped(state, jax.eval_shape(branch, state)), state)

    return epoch_unless_stopped


def closed(task: Task, state, by_step, validation, keep_best, eval_batch_size=None, layout=None) -> Any:
    """Measure at the end of an epoch; return the state and the report.

    Args:
        task: what decides the run.
        state: after the last step of the epoch.
        by_step: the loss of each step, the mean of these over examples, the step metrics, and the readings.
        validation: the validation examples, or None.
        keep_best: whether the state keeps the best epoch.
        eval_batch_size: validation examples that are measured at a time; None for all.
        layout: where the examples lie on several devices.
    """
    step_losses, train_loss, measured_by_step, readings = by_step
    params = state.params
    if task.eval_params is not None:
        params = task.eval_params(state.opt_state, params)
    validation_loss, measured = validated(task, params, validation, eval_batch_size, layout)
    if keep_best:
        state = state._replace(best=_better(state, params, validation_loss))
    bad_step = _first_nonfinite(step_losses)
    return state, (train_loss, validation_loss, measured, measured_by_step, bad_step, readings)


def history_of(task: Task, reports, first_step, steps) -> History[Any]:
    """Return the history of the reports of all epochs, of so many steps each."""
    train_loss, validation_loss, measured, by_step, bad_steps, readings = reports
    bad_epoch = jnp.argmax(bad_steps >= 0)
    bad_step = first_step + bad_epoch.astype(jnp.int32) * steps + bad_steps[bad_epoch]
    first_nonfinite_step = jnp.where(jnp.any(bad_steps >= 0), bad_step, -1)
    readings = recording.joined(task.instruments, readings, train_loss.shape[0] * steps)
    return History(train_loss, validation_loss, measured, first_nonfinite_step, by_step, readings)


def started(task, start, validation, keep_best):
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


def _skipped(state, like) -> Any:
    """Return what an epoch would, for a run that has stopped: the same state, and a report without numbers."""
    state_like, report_like = like
    report = jax.tree.map(lambda like: vary_like(unmeasured(like), like), report_like)
    return jax.tree.map(vary_like, state, state_like), report


def unmeasured(like) -> jax.Array:
    """Return the report of an epoch that was skipped, for an array like this one."""
    fill = jnp.nan if jnp.issubdtype(like.dtype, jnp.inexact) else -int(jnp.issubdtype(like.dtype, jnp.signedinteger))
    return jnp.full(like.shape, fill, like.dtype)


def _epoch(task, state, examples, batch_size, shuffle):
    """Pass over the training set once.

    Returns:
        The state, and of the steps their losses, the mean of these over examples, the step metrics, and the readings
        of the instruments.
    """
    order_key, noise_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
    n = examples.n
    steps, remainder = divmod(n, batch_size)
    order = permutation(order_key, n) if shuffle else jnp.arange(n)
    step = step_of(task, state, examples, noise_key)
    batches = order[: steps * batch_size].reshape(steps, batch_size)
    indices = jnp.arange(steps, dtype=jnp.int32)
    readings = recording.blank(task.instruments, step, state, (batches[0], indices[0]), steps + (remainder > 0))
    carry, by_step = scan(step, (state.params, state.opt_state, readings), (batches, indices), steps)
    weights = jnp.full(steps, batch_size / n)
    if remainder:
        carry, last = step(carry, (order[steps * batch_size :], jnp.int32(steps)))
        by_step = jax.tree.map(lambda all, one: jnp.append(all, one[None], axis=0), by_step, last)
        weights = jnp.append(weights, remainder / n)
    by_step = (*summed(by_step, weights), recording.without_spare_row(carry[2]))
    return after(state, carry, steps + (remainder > 0)), by_step


def step_of(task: Task, state, examples: Rows, noise_key, first=None) -> Any:
    """Return the function (carry, (rows, index)) -> (carry, by_step) that takes one step of the epoch after state.

    Readings of instruments are counted from the step first, or from the first of the epoch.
    """
    first = state.steps if first is None else first

    def step(carry, rows_and_index):
        params, opt_state, readings = carry
        rows, index = rows_and_index
        x, y, *weight = examples.take(rows)
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
        readings = recording.record(task.instruments, readings, taken, first)
        totals = [jnp.sum(w.astype(_sum_dtype(loss.dtype))) for w in weight]
        return (apply_updates(params, updates), opt_state, readings), (loss, measured, totals)

    return step


def summed(by_step, weights) -> tuple[Any, Any, Any]:
    """Return the losses of all steps, their mean by the weights or by those of the examples, and the step metrics."""
    step_losses, measured, totals = by_step
    # Weighted before they are summed, and in float32 or wider: the sum of many losses may overflow half precision.
    step_losses = step_losses.astype(_sum_dtype(step_losses.dtype))
    if totals:
        weights = totals[0] / jnp.sum(totals[0])
    return step_losses, jnp.sum(step_losses * weights.astype(step_losses.dtype)), measured


def after(state: TrainState, carry, taken) -> TrainState:
    """Return the state after the steps of an epoch, of which so many were taken."""
    params, opt_state, *_ = carry
    return state._replace(params=params, opt_state=opt_state, epoch=state.epoch + 1, steps=state.steps + taken)


def _first_nonfinite(losses):
    bad = ~jnp.isfinite(losses)
    return jnp.where(jnp.any(bad), jnp.argmax(bad).astype(jnp.int32), -1)


def _sum_dtype(dtype):
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype
