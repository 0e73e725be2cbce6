"""Many training runs from one compiled program: the points of a grid of hyperparameters times random keys."""

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import PyTree, is_concrete
from jaxmlp._checks import check_choice, check_count, check_keys, check_real, shown
from jaxmlp.instruments import Instrument
from jaxmlp.optimizers import sgd
from jaxmlp.training.arguments import check_arguments
from jaxmlp.training.factories import by_point, inside
from jaxmlp.training.forms import Augment, EvalParams, Examples, LossFn, Metric, StepMetric
from jaxmlp.training.loop import Optimizer
from jaxmlp.training.partition import combine, partition
from jaxmlp.training.program import run, task_of
from jaxmlp.training.results import FitResult
from jaxmlp.training.settings import applied, thread_settings
from jaxmlp.training.steps import take_step

P = TypeVar("P")
Execution = Literal["auto", "threads", "vmap"]


def sweep(
    loss_fn: LossFn,
    init_fn: Callable[[jax.Array], P],
    optimizer: Callable[..., Optimizer],
    grid: Mapping[str, Any],
    train: Examples,
    *,
    keys: jax.Array,
    epochs: int,
    batch_size: int,
    validation: Examples | None = None,
    metrics: Mapping[str, Metric] | None = None,
    augment: Augment | None = None,
    step_metrics: Mapping[str, StepMetric] | None = None,
    keep_best: bool = False,
    patience: int | None = None,
    eval_params: EvalParams | None = None,
    shuffle: bool = True,
    execution: Execution = "auto",
    runs_at_once: int | None = None,
    history_only: bool = False,
    on_run: Callable[[int, int], None] | None = None,
    instruments: Mapping[str, Instrument] | None = None,
) -> FitResult[P]:
    """Train one run for every point of the grid and every key, all from one compiled program.

        init_key, fit_key = jax.random.split(keys[k])
        point_i = the i-th value of every entry of grid
        run (i, k) = fit(loss_fn, init_fn(init_key), optimizer(**point_i), train, key=fit_key, ...)

    Comparisons are paired: every point, and every optimizer that is given the same keys, starts from the same weights
    and sees the examples in the same order. A run that diverges records the step at which it did, and does not affect
    the others.

    Args:
        loss_fn: (params, x, y, *, key=None) -> scalar, as for fit.
        init_fn: key -> params, e.g. net.init.
        optimizer: a factory such as jaxmlp.optimizers.adam, or a function of numbers that builds any optimizer and its
            schedule, e.g. lambda learning_rate: optax.adam(optax.cosine_decay_schedule(learning_rate, 1000)). One that
            builds closures is called inside the compiled program, where its arguments are traced; if it needs Python
            numbers there (float(), if, math), each point is compiled on its own, with a warning.
        grid: {"learning_rate": values, ...}, numeric arguments of the factory; arrays (points,) of equal length.
        train: (x, y) or (x, y, weight), as for fit.
        keys: random keys, (keys,), e.g. jax.random.split(jax.random.key(0), 5).
        epochs: passes over the training set of each run, >= 1.
        batch_size: examples per step, in [1, n].
        validation: as for fit.
        metrics: name -> fn(params, x, y) -> array, as for fit.
        augment: (key, x) -> x, as for fit.
        step_metrics: name -> fn(Step) -> array, as for fit.
        keep_best: as for fit.
        patience: as for fit.
        eval_params: as for fit.
        shuffle: as for fit.
        execution: "threads" trains runs in parallel threads, each bit for bit as fit would (a factory that builds a
            closure, e.g. with optax.chain or a schedule, agrees up to rounding). "vmap" trains them as one vectorised
            program, equal up to rounding. "auto" is threads on a CPU, where vmap is no faster, and vmap elsewhere and
            inside jit, vmap or grad.
        runs_at_once: number of threads, or of runs per vectorised piece, >= 1. The default is the number of CPUs, or as
            many runs as fit into the free memory of the device.
        history_only: leave params and state out of the result (None), which saves memory in large populations.
        on_run: called as on_run(runs done, total number of runs) whenever runs end.
        instruments: name -> instrument, as for fit; between its steps an instrument costs nothing here either.

    Returns:
        FitResult whose leaves have the leading axes (points, keys).

    Raises:
        ValueError: the grid is not rectangular, has a name that is not an argument of the factory or a value out of
            range, or fit would raise it; raised before anything is compiled.
        TypeError: an argument is of the wrong type.

    Example:
        >>> import jax, jaxmlp
        >>> xor, net = jaxmlp.datasets.load("xor"), jaxmlp.mlp((2, 8, 2))
        >>> grid, keys = {"learning_rate": [0.001, 0.01, 0.1]}, jax.random.split(jax.random.key(0), 2)
        >>> runs = jaxmlp.objective(net.apply), net.init, jaxmlp.optimizers.adam, grid, xor.train
        >>> results = jaxmlp.sweep(*runs, keys=keys, epochs=20, batch_size=4)
        >>> print(results.history.train_loss.shape)
        (3, 2, 20)
    """
    points = _checked_grid(optimizer, grid)
    check_choice("execution", execution, ("auto", "threads", "vmap"))
    if runs_at_once is not None:
        check_count("runs_at_once", runs_at_once)
    check_keys(keys)
    if not callable(init_fn):
        raise TypeError(f"init_fn must be a function key -> params, e.g. net.init, got {shown(init_fn)}")
    if on_run is not None and not callable(on_run):
        raise TypeError(f"on_run must be a function (runs done, number of runs), got {shown(on_run)}")
    if not isinstance(history_only, bool):
        raise TypeError(f"history_only must be True or False, got {shown(history_only)}")
    params = jax.eval_shape(init_fn, keys[0])
    concrete = all(is_concrete(leaf) for leaf in jax.tree.leaves((keys, points, train, validation)))
    if execution == "threads" and not concrete:
        raise ValueError('execution="threads" needs concrete arguments; inside jit, vmap or grad leave it "auto"')
    factory = None if concrete else inside(optimizer, points, params, concrete=False)
    first = optimizer(**{name: values[0] for name, values in points.items()})
    described = task_of(loss_fn, first, metrics, step_metrics, augment, patience, eval_params, instruments)
    check_arguments(described, params, train, keys[0], epochs, batch_size, validation, keep_best, shuffle, None)

    if execution == "vmap" or (execution == "auto" and jax.default_backend() != "cpu"):
        try:
            factory = factory or inside(optimizer, points, params, concrete=True)
        except TypeError:
            if execution == "vmap":
                raise
    settings = {"epochs": int(epochs), "batch_size": int(batch_size), "keep_best": keep_best, "shuffle": shuffle}
    shared = _Shared(described._replace(optimizer=None), init_fn, (train, validation), settings, history_only)
    shape = (len(next(iter(points.values()))), keys.shape[0])
    columns = {name: jnp.asarray(values, float) for name, values in points.items()}
    on_run = on_run or (lambda done, total: None)
    if factory is None:
        host = {name: np.asarray(column) for name, column in columns.items()}
        rows = [{name: column[i].item() for name, column in host.items()} for i in range(shape[0])]
        flat = _side_by_side(shared, host, by_point(optimizer, rows, params), keys, runs_at_once, on_run)
    else:
        flat = _vectorised(shared, columns, factory, keys, runs_at_once, on_run)
    return jax.tree.map(lambda a: a.reshape(shape + a.shape[1:]), flat)


_SETTINGS = ("epochs", "batch_size", "keep_best", "shuffle")


class _Shared(NamedTuple):
    """What all runs of a sweep share; fields without a comment are arguments of sweep."""

    task: Any  # the Task of training, without its optimizer
    init_fn: Callable[[jax.Array], PyTree]
    examples: tuple[Any, Any]  # (train, validation)
    settings: dict[str, int]  # the keyword arguments of run, _SETTINGS
    history_only: bool


def _kept(result: FitResult, history_only: bool) -> FitResult:
    return result._replace(params=None, state=None) if history_only else result


def _side_by_side(shared, points, optimizers, keys, threads, on_run):
    """Train whole runs in Python threads: XLA releases the interpreter while it computes, and one run leaves gaps."""
    built, factory = optimizers
    examples = jax.device_put(shared.examples)
    total = len(built) * keys.shape[0]
    settings = thread_settings()

    def one(index):
        with applied(settings):
            return jax.block_until_ready(start(index))

    def start(index):
        point, key = divmod(index, keys.shape[0])
        init_key, fit_key = jax.random.split(keys[key])
        begin = (shared.init_fn(init_key), fit_key)
        if factory is None:
            result = run(shared.task._replace(optimizer=built[point]), begin, *examples, **shared.settings)
        else:
            numbers, program = partition(shared.task)
            values = {name: column[point] for name, column in points.items()}
            result = _compiled_factory(
                numbers, values, begin, examples, program=program, factory=factory, **shared.settings
            )
        return _kept(result, shared.history_only)

    # The first run is started alone, so that the threads find the program compiled. JAX returns as soon as it runs, so
    # if the program was compiled before, the others start at once.
    first = start(0)
    pool = ThreadPoolExecutor(threads or _cpus())
    try:
        futures = [pool.submit(jax.block_until_ready, first)]
        futures += [pool.submit(one, index) for index in range(1, total)]
        for done, future in enumerate(as_completed(futures), 1):
            future.result()  # an error ends the sweep at once
            on_run(done, total)
        results = [future.result() for future in futures]
    finally:
        # Not waiting: a run cannot be stopped, and an interrupted sweep should end at once.
        pool.shutdown(wait=False, cancel_futures=True)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)


@functools.partial(jax.jit, static_argnames=("program", "factory", *_SETTINGS))
def _compiled_factory(numbers, point, begin, examples, *, program, factory, **settings):
    """Train one run whose optimizer is a closure: the numbers enter the program as arguments of the factory."""
    task = combine(numbers, program)._replace(optimizer=factory(**point))
    return run(task, begin, *examples, **settings)


def _vectorised(shared, points, factory, keys, piece, on_run):
    """Train pieces of the population, each as one vectorised program; all have one size, so that it compiles once."""
    points, keys = (
        {name: jnp.repeat(column, keys.shape[0]) for name, column in points.items()},
        jnp.concatenate([keys] * len(next(iter(points.values())))),
    )
    total = keys.shape[0]
    numbers, program = partition(shared.task)
    pieces = -(-total // (piece or _runs_that_fit(shared)))
    size = -(-total // pieces)
    rows = jnp.arange(pieces * size) % total  # the last piece is padded with runs that are dropped below
    results = []
    for start in range(0, total, size):
        chosen = rows[start : start + size]
        results.append(
            _compiled_piece(
                numbers,
                {name: column[chosen] for name, column in points.items()},
                keys[chosen],
                shared.examples,
                program=program,
                init_fn=shared.init_fn,
                factory=factory,
                history_only=shared.history_only,
                **shared.settings,
            )
        )
        if is_concrete(keys):
            jax.block_until_ready(results[-1])
            on_run(min(start + size, total), total)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:total], *results)


@functools.partial(jax.jit, static_argnames=("program", "init_fn", "factory", "history_only", *_SETTINGS))
def _compiled_piece(numbers, points, keys, examples, *, program, init_fn, factory, history_only, **settings):
    task = combine(numbers, program)

    def one(point, key):
        init_key, fit_key = jax.random.split(key)
        start = (init_fn(init_key), fit_key)
        result = run(task._replace(optimizer=factory(**point)), start, *examples, **settings)
        return _kept(result, history_only)

    return jax.vmap(one)(points, keys)


def _runs_that_fit(shared):
    """Return how many runs use half of the free memory of the device; a large number where it does not tell."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        return 2**31
    free = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return max(1, int(free / 2 // _bytes_per_run(shared)))


def _bytes_per_run(shared):
    """Estimate from above, without compiling: every intermediate value of a step and of a validation counts."""
    (train, validation), batch_size = shared.examples, shared.settings["batch_size"]
    params = jax.eval_shape(shared.init_fn, jax.eval_shape(lambda: jax.random.key(0)))
    batch = jax.tree.map(lambda a: jax.ShapeDtypeStruct((batch_size, *jnp.shape(a)[1:]), jnp.result_type(a)), train)
    step_loss = functools.partial(shared.task.loss_fn, key=jax.random.key(0))
    traced = [jax.make_jaxpr(jax.value_and_grad(step_loss))(params, *batch)]
    for instrument in shared.task.instruments.values():

        def seen(params, batch, key, instrument=instrument):
            return instrument(take_step(shared.task.loss_fn, params, sgd(1.0), batch, key=key), key)

        traced += [jax.make_jaxpr(seen)(params, batch, jax.random.key(0))]
    if shared.task.augment is not None:
        traced += [jax.make_jaxpr(shared.task.augment)(jax.random.key(0), batch[0])]
    if validation is not None:
        traced += [
            jax.make_jaxpr(measure)(params, *validation)
            for measure in (shared.task.loss_fn, *shared.task.metrics.values())
        ]
    values = [v.aval for program in traced for equation in program.jaxpr.eqns for v in equation.outvars]
    # Parameters, gradients, updates and at most three slots of the optimizer.
    values += 6 * jax.tree.leaves(params)
    return sum(int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in values if not _is_key(v))


def _is_key(value):
    return jnp.issubdtype(value.dtype, jax.dtypes.extended)


def _cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checked_grid(optimizer, grid):
    if not callable(optimizer):
        raise TypeError(f"optimizer must be a factory such as jaxmlp.optimizers.adam, got {shown(optimizer)}")
    if not isinstance(grid, Mapping) or not grid:
        example = '{"learning_rate": [0.01, 0.1]}'
        raise ValueError(f"grid must name at least one argument, e.g. {example}, got {shown(grid)}")
    arguments = inspect.signature(optimizer).parameters
    if not any(argument.kind is inspect.Parameter.VAR_KEYWORD for argument in arguments.values()):
        for name in grid:
            check_choice("hyperparameter", name, tuple(arguments))
    for name, values in grid.items():
        check_real(f"grid[{name!r}]", values)
    points = {name: values if hasattr(values, "shape") else np.asarray(values) for name, values in grid.items()}
    lengths = {name: jnp.shape(values) for name, values in points.items()}
    if len(set(lengths.values())) != 1 or len(next(iter(lengths.values()))) != 1 or 0 in next(iter(lengths.values())):
        raise ValueError(f"grid needs arrays (points,) of one length, at least 1, got shapes {lengths}")
    for values in points.values():
        if not (jnp.issubdtype(values.dtype, jnp.floating) or jnp.issubdtype(values.dtype, jnp.integer)):
            raise TypeError(f"grid must hold numbers, got {shown(values)}")
    if all(is_concrete(values) for values in points.values()):
        for row in zip(*(np.asarray(values) for values in points.values()), strict=True):
            optimizer(**dict(zip(points, row, strict=True)))  # raises where a value is out of its range
    return points
