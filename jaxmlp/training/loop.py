"""fit: one training run."""

import datetime
import functools
import os
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Unpack, overload

import jax
import optax

from jaxmlp.instruments import Instrument
from jaxmlp.training.arguments import check_arguments
from jaxmlp.training.forms import Augment, Batched, EvalParams, Examples, LossFn, Metric, OnEpoch, Options, StepMetric
from jaxmlp.training.pieces import run_in_pieces
from jaxmlp.training.processes import checked_together
from jaxmlp.training.program import run, task_of
from jaxmlp.training.results import Best, FitResult, TrainState
from jaxmlp.training.rows import laid_out
from jaxmlp.training.streaming import run_streamed
from jaxmlp.training.streams import in_memory, scale_of, stream_of
from jaxmlp.training.watching import Watch, watch_of

P = TypeVar("P")
Optimizer = optax.GradientTransformation | optax.GradientTransformationExtraArgs | optax.MultiSteps


@overload
def fit(
    loss_fn: LossFn,
    params: P | None,
    optimizer: Optimizer,
    train: Examples | Batched,
    *,
    key: jax.Array | None = None,
    epochs: int,
    batch_size: int,
    validation: None = None,
    state: TrainState[P, Any] | None = None,
    **options: Unpack[Options],
) -> FitResult[P, None, None]: ...
@overload
def fit(
    loss_fn: LossFn,
    params: P | None,
    optimizer: Optimizer,
    train: Examples | Batched,
    *,
    key: jax.Array | None = None,
    epochs: int,
    batch_size: int,
    validation: Examples,
    state: TrainState[P, Any] | None = None,
    keep_best: Literal[False] = False,
    patience: None = None,
    **options: Unpack[Options],
) -> FitResult[P, jax.Array, None]: ...
@overload
def fit(
    loss_fn: LossFn,
    params: P | None,
    optimizer: Optimizer,
    train: Examples | Batched,
    *,
    key: jax.Array | None = None,
    epochs: int,
    batch_size: int,
    validation: Examples,
    state: TrainState[P, Any] | None = None,
    keep_best: Literal[True],
    patience: int | None = None,
    **options: Unpack[Options],
) -> FitResult[P, jax.Array, Best[P]]: ...
@overload
def fit(
    loss_fn: LossFn,
    params: P | None,
    optimizer: Optimizer,
    train: Examples | Batched,
    *,
    key: jax.Array | None = None,
    epochs: int,
    batch_size: int,
    validation: Examples,
    state: TrainState[P, Any] | None = None,
    keep_best: bool = False,
    patience: int,
    **options: Unpack[Options],
) -> FitResult[P, jax.Array, Best[P]]: ...
@overload
def fit(
    loss_fn: LossFn,
    params: P | None,
    optimizer: Optimizer,
    train: Examples | Batched,
    *,
    key: jax.Array | None = None,
    epochs: int,
    batch_size: int,
    validation: Examples | None = None,
    state: TrainState[P, Any] | None = None,
    keep_best: bool = False,
    patience: int | None = None,
    **options: Unpack[Options],
) -> FitResult[P]: ...
def fit(
    loss_fn: LossFn,
    params: Any,
    optimizer: Optimizer,
    train: Examples | Batched,
    *,
    key: jax.Array | None = None,
    epochs: int,
    batch_size: int,
    validation: Examples | None = None,
    metrics: Mapping[str, Metric] | None = None,
    state: TrainState[Any, Any] | None = None,
    augment: Augment | None = None,
    step_metrics: Mapping[str, StepMetric] | None = None,
    keep_best: bool = False,
    patience: int | None = None,
    eval_params: EvalParams | None = None,
    shuffle: bool = True,
    instruments: Mapping[str, Instrument] | None = None,
    eval_batch_size: int | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int | datetime.timedelta | None = None,
) -> FitResult[Any, Any, Any]:
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
        loss_fn: (params, x, y, *, key=None) -> scalar, e.g. an objective. Dropout draws from the key. With weighted
            examples (params, x, y, weight, *, key=None).
        params: any pytree of floating-point arrays.
        optimizer: a rule of jaxmlp.optimizers or any optax.GradientTransformation. A closure, such as the result of
            optax.chain, is recognised by identity: keep it to train again without recompiling. An optimizer with extra
            arguments (optax.lbfgs, a line search, dialects.textbook.nesterov) is given value and grad, the loss and its
            gradient at params, and value_fn (also as obj_fn) and grad_fn, the same as functions of the parameters on
            the same batch.
        train: (x, y), arrays or pytrees of arrays, all with the same first axis n; or (x, y, weight) with weights of
            at least 0, (n,), which loss_fn is given as a fourth argument. Memory-mapped arrays (np.load(...,
            mmap_mode="r")) are read in chunks during the run, and inputs of bytes scaled to [0, 1] in the step; so may
            train be a re-iterable of such batches, or a function that returns one, in whose order it trains. Arrays
            sharded over a mesh, or jax.set_mesh around the call, divide each batch over its devices.
        key: a jax.random key for the order of examples, dropout and augmentation.
        epochs: number of passes over the training set in this call, >= 1.
        batch_size: examples per step, in [1, n]. If it does not divide n, the last step of each epoch is on the mean of
            the remainder.
        validation: (x, y) or (x, y, weight) like train; measured after each epoch.
        metrics: name -> fn(params, x, y) -> array, usually a scalar; called once on the whole validation set, with its
            weights as a fourth argument if it has any.
        state: the state of an earlier result. The run continues from it, bit for bit as if it had not stopped; params
            and key are taken from the state, so give None for them, or the same.
        augment: (key, x) -> x, applied to each batch of train with a fresh key, e.g. jaxmlp.augment.distort(...).
        step_metrics: name -> fn(Step) -> array, measured at every step, e.g. jaxmlp.gradient_norms.
        keep_best: keep the parameters of the epoch of lowest validation loss in result.best; ties go to the first.
        patience: stop after this many epochs in a row without a lower validation loss, >= 1; implies keep_best. Under
            vmap it saves no time, since a run that has stopped waits for the others; sweep ends once all have stopped.
        eval_params: (opt_state, params) -> params, for rules that are to be used at another point than the one where
            they take gradients, e.g. optax.contrib.schedule_free_eval_params. Validation loss and metrics are measured
            there, and so is the best epoch, whose parameters result.best holds; result.params stay those of training.
        shuffle: take the examples in a new random order each epoch; if False in their own.
        instruments: name -> instrument, e.g. {"sharpness": jaxmlp.instruments.largest_eigenvalue(every=100)}; measured
            at the steps that its interval divides, into history.instruments. Between them nothing of it is computed;
            under vmap it is computed where it is due in any of the runs, which are at the same step unless their states
            differ.
        eval_batch_size: measure the validation set in pieces of so many examples and average them by examples (by their
            weights), which takes less memory; equal to rounding for a loss and metrics that are means over examples.
        on_epoch: called after each epoch as on_epoch(epoch, losses, metrics), with epochs counted from 0 as in the
            state, {"train_loss": number, "validation_loss": number} and the metrics as numbers; returning True stops
            the run after that epoch. The run is then cut into pieces of whole epochs that take about half a second, and
            Ctrl-C raises jaxmlp.training.Interrupted, a KeyboardInterrupt whose result is that of the epochs done.
        checkpoint: path of a file in which the run is kept, so that the same call goes on after an interrupt, a kill or
            a crash, and ends with the bits of a run that was never interrupted. Once it is there params and key may be
            None, and epochs may be more. Other settings are refused. A finished run is read from it.
        every: how often the checkpoint is written, in epochs or as datetime.timedelta (default: a minute), and at the
            end and at Ctrl-C. What a kill can lose is this and a piece.

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
    task = task_of(loss_fn, optimizer, metrics, step_metrics, augment, patience, eval_params, instruments)
    watch = watch_of(on_epoch, checkpoint, every, (task, params, train, key, validation, state))
    kept = None if watch is None else watch.kept()
    if watch is not None and watch.path is not None and kept is None and state is None and params is None:
        raise ValueError(f"checkpoint: there is no run to go on with at {watch.path}; give params and key to begin one")
    if kept is not None and state is None:
        kept = kept._replace(nothing_given=params is None)
        params, key = kept.state.params if params is None else params, kept.state.key if key is None else key
    stream = stream_of(train, batch_size, (task, params, key, validation, state))
    examples = train if stream is None else stream.head()
    given = task, params, examples, key, epochs, batch_size, validation, keep_best, shuffle, state, eval_batch_size
    checked_together(lambda: check_arguments(*given), (examples, validation))
    start = (params, key) if state is None else state
    settings = {"epochs": int(epochs), "batch_size": int(batch_size), "keep_best": keep_best, "shuffle": shuffle}
    settings["eval_batch_size"] = None if eval_batch_size is None else int(eval_batch_size)
    if stream is not None:
        watch = watch or Watch(None, None, 1)
        return run_streamed(task, start, stream, validation, watch, kept, **settings)
    train, validation = in_memory((train, validation), scale_of(params if state is None else state.params))
    layout, start, train, validation = laid_out(start, train, validation)
    trained = run if watch is None else functools.partial(run_in_pieces, watch=watch, kept=kept)
    if layout is None:
        return trained(task, start, train, validation, layout=None, **settings)
    with layout.in_use():
        result = trained(task, start, train, validation, layout=layout, **settings)
    return layout.handed_back(result)
