"""Many training runs from one compiled program: the points of a grid of hyperparameters times random keys."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec

from jaxmlp._arrays import PyTree, is_concrete
from jaxmlp._checks import check_choice, check_count, check_keys, check_real, is_function, shown
from jaxmlp.instruments import Instrument
from jaxmlp.training.arguments import check_arguments
from jaxmlp.training.devices import cpus, local_devices, runs_that_fit
from jaxmlp.training.factories import by_point, inside
from jaxmlp.training.forms import Augment, EvalParams, Examples, LossFn, Metric, StepMetric
from jaxmlp.training.loop import Optimizer
from jaxmlp.training.partition import combine, partition
from jaxmlp.training.program import run, task_of
from jaxmlp.training.results import FitResult
from jaxmlp.training.rows import set_mesh
from jaxmlp.training.settings import applied, thread_settings
from jaxmlp.training.streams import in_memory, scale_of

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
            inside jit, vmap or grad. Runs are divided over all devices of this process, without changing what each
            computes, unless jax.default_device is set; threads on a CPU use one, since several are the same cores.
        runs_at_once: number of threads, or of runs per vectorised piece and device, >= 1. The default is the number of
            CPUs, or as many runs as fit into half of the free memory of a device.
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
    if not is_function(init_fn):
        raise TypeError(f"init_fn must be a function key -> params, e.g. net.init, got {shown(init_fn)}")
    if on_run is not None and not is_function(on_run):
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
    train, validation = in_memory((train, validation), scale_of(params))

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
    total = len(built) * keys.shape[0]
    # Several CPU devices are the same cores, and each of them would compile the program anew.
    devices = [None] if jax.default_backend() == "cpu" else local_devices()[:total]
    examples = [jax.device_put(shared.examples, device) for device in devices]
    settings = thread_settings()

    def one(index):
        with applied(settings):
            return jax.block_until_ready(start(index))

    def start(index):
        device = devices[index % len(devices)]
        with contextlib.nullcontext() if device is None else jax.default_device(device):
            result = started(index, examples[index % len(devices)])
        return result if len(devices) == 1 else jax.device_put(result, devices[0])

    def started(index, examples):
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

    # The first run of each device is started alone, so that the threads find the program compiled. JAX returns as soon
    # as it runs, so if the program was compiled before, the others start at once.
    first = [start(index) for index in range(len(devices))]
    pool = ThreadPoolExecutor(threads or max(cpus(), len(devices)))
    try:
        futures = [pool.submit(jax.block_until_ready, result) for result in first]
        futures += [pool.submit(one, index) for index in range(len(first), total)]
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
    divided = is_concrete(keys) and set_mesh() is None
    devices = local_devices()[:total] if divided else []
    mesh = Mesh(np.asarray(devices), ("runs",), axis_types=(AxisType.Auto,)) if len(devices) > 1 else None
    parts = max(len(devices), 1)
    fixed = {"program": program, "init_fn": shared.init_fn, "factory": factory, **shared.settings}
    fixed["history_only"] = shared.history_only
    if piece is None:
        row = {name: column[0] for name, column in points.items()}
        piece = runs_that_fit(functools.partial(_one_run, **fixed), (numbers, row, keys[0], shared.examples))
    pieces = -(-total // (piece * parts))
    size = -(-total // (pieces * parts)) * parts
    rows = jnp.arange(pieces * size) % total  # the last piece is padded with runs that are dropped below
    results = []
    for start in range(0, total, size):
        chosen = rows[start : start + size]
        column = {name: column[chosen] for name, column in points.items()}
        result = _compiled_piece(numbers, column, keys[chosen], shared.examples, mesh=mesh, **fixed)
        results.append(result if mesh is None else jax.device_put(result, devices[0]))
        if is_concrete(keys):
            jax.block_until_ready(results[-1])
            on_run(min(start + size, total), total)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:total], *results)


_FIXED = ("program", "init_fn", "factory", "history_only", *_SETTINGS)


@functools.partial(jax.jit, static_argnames=("mesh", *_FIXED))
def _compiled_piece(numbers, points, keys, examples, *, mesh, **fixed):
    def part(numbers, points, keys, examples):
        one = functools.partial(_one_run, **fixed)
        return jax.vmap(one, in_axes=(None, 0, 0, None))(numbers, points, keys, examples)

    if mesh is None:
        return part(numbers, points, keys, examples)
    every, each = PartitionSpec(), PartitionSpec("runs")
    divided = jax.shard_map(part, mesh=mesh, in_specs=(every, each, each, every), out_specs=each)
    return divided(numbers, points, keys, examples)


def _one_run(numbers, point, key, examples, *, program, init_fn, factory, history_only, **settings):
    init_key, fit_key = jax.random.split(key)
    task = combine(numbers, program)._replace(optimizer=factory(**point))
    result = run(task, (init_fn(init_key), fit_key), *examples, together=True, **settings)
    return _kept(result, history_only)


def _checked_grid(optimizer, grid):
    try:
        arguments = inspect.signature(optimizer).parameters
    except (TypeError, ValueError):  # it is not callable, or int and the like
        example = "jaxmlp.optimizers.adam"
        raise TypeError(f"optimizer must be a factory such as {example}, got {shown(optimizer)}") from None
    if not isinstance(grid, Mapping) or not grid:
        example = '{"learning_rate": [0.01, 0.1]}'
        raise ValueError(f"grid must name at least one argument, e.g. {example}, got {shown(grid)}")
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
