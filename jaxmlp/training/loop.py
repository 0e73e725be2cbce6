"""One training run: step -> epoch -> fit."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxmlp._arrays import PyTree
from jaxmlp._checks import takes
from jaxmlp.optimizers import apply_updates
from jaxmlp.training.arguments import check_arguments, functions
from jaxmlp.training.partition import combine, partition
from jaxmlp.training.results import Best, FitResult, History, Step, TrainState
from jaxmlp.training.shards import own, scan, vary_like

LossFn = Callable[..., jax.Array]
"""(params, x, y, *, key=None) -> scalar."""
Metric = Callable[[PyTree, PyTree, PyTree], jax.Array]
"""(params, x, y) -> array."""
StepMetric = Callable[[Step], jax.Array]
"""(step) -> array."""
Augment = Callable[[jax.Array, PyTree], PyTree]
"""(key, x) -> x."""


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

        for each epoch, for each batch of the shuffled examples:
            grads = d loss_fn / d params
            updates, opt_state = optimizer.update(grads, opt_state, params)
            params = params + updates

    fit is pure and traceable: jit, vmap, grad and shard_map apply to it. Numbers inside loss_fn, optimizer and augment
    are arguments of the compiled program, so changing the learning rate does not recompile. Inside shard_map each
    device trains its own parameters, unless loss_fn averages over the mesh (jax.lax.pmean); then all devices train the
    same ones.

    Args:
        loss_fn: (params, x, y, *, key=None) -> scalar, e.g. an objective. Dropout draws from the key.
        params: any pytree of floating-point arrays.
        optimizer: a rule of jaxmlp.optimizers or any optax.GradientTransformation. A closure, such as the result of
            optax.chain, is recognised by identity: keep it to train again without recompiling. An optimizer with extra
            arguments (optax.lbfgs, a line search, dialects.textbook.nesterov) is given value and grad, the loss and its
            gradient at params, and value_fn and grad_fn, the same as functions of the parameters on the same batch.
        train: (x, y), arrays or pytrees of arrays, all with the same first axis n.
        key: a jax.random key for the order of examples, dropout and augmentation.
        epochs: number of passes over the training set in this call, >= 1.
        batch_size: examples per step, in [1, n]. If it does not divide n, the last step of each epoch is on the mean of
            the remainder.
        validation: (x, y) like train; measured after each epoch.
        metrics: name -> fn(params, x, y) -> array, usually a scalar; called once on the whole validation set.
        state: the state of an earlier result. The run continues from it, bit for bit as if it had not stopped; params
            and key are taken from the state, and those arguments are ignored.
        augment: (key, x) -> x, applied to each batch of train with a fresh key, e.g. jaxmlp.augment.distort(...).
        step_metrics: name -> fn(Step) -> array, measured at every step, e.g. jaxmlp.gradient_norms.
        keep_best: keep the parameters of the epoch of lowest validation loss in result.best; ties go to the first.
        patience: stop after this many epochs in a row without a lower validation loss, >= 1; implies keep_best. Under
            vmap it saves no time, since a run that has stopped waits for the others.

    Returns:
        FitResult(params, state, history), whose property best is set with keep_best or patience.

    Raises:
        ValueError: shapes, sizes or values do not match; raised before anything is compiled.
        TypeError: an argument is of the wrong type.

    Differs from:
        loops that drop the remainder, or that report the loss of the last batch as that of the epoch.

    Example:
        >>> import jax, jaxmlp
        >>> xor, net = jaxmlp.datasets.load("xor"), jaxmlp.mlp((2, 8, 2))
        >>> params, loss_fn = net.init(jax.random.key(0)), jaxmlp.objective(net.apply)
        >>> run = loss_fn, params, jaxmlp.optimizers.adam(0.1), xor.train
        >>> result = jaxmlp.fit(*run, key=jax.random.key(1), epochs=100, batch_size=4)
        >>> print(net.apply(result.params, xor.test[0]).argmax(axis=1))
        [0 1 1 0]
    """
    task = task_of(loss_fn, optimizer, metrics, step_metrics, augment, patience)
    check_arguments(task, params, train, key, epochs, batch_size, validation, keep_best, state)
    start = (params, key) if state is None else state
    settings = {"epochs": int(epochs), "batch_size": int(batch_size), "keep_best": keep_best}
    return run(task, start, train, validation, **settings)


def task_of(loss_fn, optimizer, metrics, step_metrics, augment, patience) -> Task:
    """Collect what decides a run; raise a TypeError if metrics are not a dict of functions."""
    metrics = functions("metrics", metrics, "(params, x, y) -> array")
    step_metrics = functions("step_metrics", step_metrics, "(step) -> array")
    return Task(loss_fn, optimizer, metrics, step_metrics, augment, patience)


def run(task: Task, start, train, validation, *, epochs, batch_size, keep_best) -> FitResult:
    """Do what fit does, with arguments that are already checked; start is (params, key) or a TrainState."""
    numbers, program = partition(task)
    settings = {"epochs": epochs, "batch_size": batch_size, "keep_best": keep_best or task.patience is not None}
    return _run(numbers, start, train, validation, program=program, **settings)


@functools.partial(jax.jit, static_argnames=("program", "epochs", "batch_size", "keep_best"))
def _run(numbers, start, train, validation, *, program, epochs, batch_size, keep_best):
    task: Task = combine(numbers, program)
    state = _started(task, start, validation, keep_best)

    def epoch(state) -> Any:
        state, step_losses, train_loss, by_step = _epoch(task, state, train, batch_size)
        validation_loss = None if validation is None else task.loss_fn(state.params, *validation)
        measured = {name: metric(state.params, *(validation or ())) for name, metric in task.metrics.items()}
        if keep_best:
            state = state._replace(best=_better(state, validation_loss))
        return state, (train_loss, validation_loss, measured, by_step, _first_nonfinite(step_losses))

    def epoch_unless_stopped(state, _):
        if task.patience is None:
            return epoch(state)
        since = (state.epoch - 1 - state.best.epoch).astype(jnp.float32)
        return jax.lax.cond(since >= task.patience, functools.partial(_skip, epoch), epoch, state)

    first_epoch = state.epoch
    state, reports = scan(epoch_unless_stopped, state, None, epochs)
    train_loss, validation_loss, measured, by_step, bad_steps = reports
    steps_per_epoch = -(-_length(train) // batch_size)
    bad_epoch = jnp.argmax(bad_steps >= 0)
    bad_step = (first_epoch + bad_epoch.astype(jnp.int32)) * steps_per_epoch + bad_steps[bad_epoch]
    first_nonfinite_step = jnp.where(jnp.any(bad_steps >= 0), bad_step, -1)
    history = History(train_loss, validation_loss, measured, first_nonfinite_step, by_step)
    return FitResult(state.params, state, history)


def _started(task, start, validation, keep_best):
    """Return the state to begin with, of a new run or of one that continues."""
    state = start
    if not isinstance(start, TrainState):
        params, key = start
        state = TrainState(params, task.optimizer.init(params), key, jnp.zeros((), jnp.int32))
    if not keep_best:
        return state._replace(best=None)
    if state.best is None:
        loss = jax.eval_shape(task.loss_fn, state.params, *validation)
        state = state._replace(best=Best(state.params, jnp.full((), jnp.inf, loss.dtype), state.epoch - 1))
    return state


def _better(state, validation_loss):
    """Return the best epoch up to the one that just ended; a loss of NaN is never better."""
    now = Best(state.params, validation_loss, state.epoch - 1)
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


def _epoch(task, state, train, batch_size):
    """Pass over the training set once.

    Returns:
        The state, the loss of each step, the mean of these over examples, and the step metrics of each step.
    """
    order_key, noise_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
    n = _length(train)
    steps, remainder = divmod(n, batch_size)
    order = jax.random.permutation(order_key, n)
    first_step = state.epoch * (steps + bool(remainder))

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
        seen = Step(loss, params, grads, updates, first_step + index)
        measured = {name: metric(seen) for name, metric in task.step_metrics.items()}
        return (apply_updates(params, updates), opt_state), (loss, measured)

    batches = order[: steps * batch_size].reshape(steps, batch_size)
    indices = jnp.arange(steps, dtype=jnp.int32)
    carry, by_step = scan(step, (state.params, state.opt_state), (batches, indices), steps)
    weights = jnp.full(steps, batch_size / n)
    if remainder:
        carry, last = step(carry, (order[steps * batch_size :], jnp.int32(steps)))
        by_step = jax.tree.map(lambda all, one: jnp.append(all, one[None], axis=0), by_step, last)
        weights = jnp.append(weights, remainder / n)
    step_losses, measured = by_step
    # Weighted before they are summed, and in float32 or wider: the sum of many losses may overflow half precision.
    if jnp.finfo(step_losses.dtype).bits < 32:
        step_losses = step_losses.astype(jnp.float32)
    train_loss = jnp.sum(step_losses * weights.astype(step_losses.dtype))
    params, opt_state = carry
    state = state._replace(params=params, opt_state=opt_state, epoch=state.epoch + 1)
    return state, step_losses, train_loss, measured


def _extra_args(update, loss_fn, loss, grads):
    """Return the extra arguments that update takes.

    A line search needs the loss at other parameters, on the same batch with the same dropout; a look-ahead needs the
    gradient there.
    """

    # optax's line searches pass all arguments but their own to value_fn, and refuse one that it does not take.
    def value_fn(params, grad_fn=None):
        return loss_fn(params)

    known = {"value": loss, "grad": grads, "value_fn": value_fn, "grad_fn": jax.grad(value_fn)}
    return {name: value for name, value in known.items() if takes(update, name)}


def _first_nonfinite(losses):
    bad = ~jnp.isfinite(losses)
    return jnp.where(jnp.any(bad), jnp.argmax(bad).astype(jnp.int32), -1)


def _length(examples):
    return jnp.shape(jax.tree.leaves(examples)[0])[0]
