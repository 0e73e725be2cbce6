"""The loop on the host: it draws the order of examples as scikit-learn does, and hands epochs to the device."""

import contextlib
import threading
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxmlp
from jaxmlp.estimators import lbfgs
from jaxmlp.estimators.examples import Examples
from jaxmlp.estimators.programs import Plan, Progress, Scored, initial, run_epochs

__all__ = ["Memory", "Outcome", "Rows", "computing", "descend", "layers", "train"]


class Rows(NamedTuple):
    """Which examples train and which validate."""

    train: Any
    kept: int
    """The padded number of all rows."""
    shuffle: bool
    scored: Scored | None


class Memory(NamedTuple):
    """What an earlier call left: all of it for partial_fit, for a warm start without the optimizer's part."""

    opt_leaves: list[np.ndarray] | None = None
    rate: float | None = None
    steps: int = 0
    seen: int = 0
    stale: int = 0
    best: float | None = None


class Outcome(NamedTuple):
    """What a solver found."""

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    loss_curve: list[float]
    scores: list[float]
    validation_losses: list[float]
    memory: Memory
    converged: bool
    iterations: int


@contextlib.contextmanager
def computing(dtype: np.dtype, device: Any):
    """Compute in this dtype on this device, a name such as "gpu" or "cpu:1", a jax.Device, or None."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.enable_x64(bool(dtype == np.float64)))
        if device is not None:
            stack.enter_context(jax.default_device(_device_of(device)))
        yield


def _device_of(device):
    """Return the device of this name."""
    if isinstance(device, jax.Device):
        return device
    if not isinstance(device, str):
        raise TypeError(f'device must be a name such as "gpu" or "cpu:0", a jax.Device, or None; got {device!r}')
    platform, _, index = device.partition(":")
    try:
        return jax.local_devices(backend=platform)[int(index or 0)]
    except (RuntimeError, ValueError, IndexError):
        known = ", ".join(f'"{one.platform}:{place}"' for place, one in enumerate(jax.local_devices()))
        raise ValueError(f"there is no device {device!r} here; there are {known}") from None


def layers(coefs: list[Any], intercepts: list[Any], dtype: Any) -> tuple[jaxmlp.Layer, ...]:
    """Return parameters as jaxmlp holds them."""
    cast: Any = np.asarray
    return tuple(jaxmlp.Layer(cast(w, dtype), cast(b, dtype)) for w, b in zip(coefs, intercepts, strict=True))


def train(
    plan: Plan,
    numbers: dict[str, Any],
    start: tuple[list[np.ndarray], list[np.ndarray]],
    memory: Memory,
    examples: Examples,
    rows: Rows,
    random_state: np.random.RandomState,
    *,
    epochs: int,
    rewind: bool = False,
    verbose: bool = False,
) -> Outcome:
    """Train by mini-batches until converged, for at most `epochs` epochs.

    Args:
        plan: what decides the program.
        numbers: as run_epochs takes them.
        start: coefficients and intercepts to begin with.
        memory: what an earlier call left.
        examples: the rows, on the device.
        rows: which of them train and which validate.
        random_state: what shuffles.
        epochs: at most.
        rewind: leave random_state as if only the epochs that ran had been drawn.
        verbose: print a line per epoch.
    """
    dtype = numbers["alpha"].dtype
    if plan.random:
        numbers = {**numbers, "seed": np.uint32(random_state.randint(2**31 - 1))}
    progress = _begin(plan, numbers, layers(*start, dtype), memory, dtype)
    order = _Order(rows, plan.batch_rows, random_state, rewind)
    losses, scores, validation_losses, rates = [], [], [], []
    done, stopped = 0, False
    try:
        while done < epochs and not stopped:
            limit = min(order.chunk, epochs - done, 1 if verbose else epochs)
            work = numbers, progress, examples, rows.scored, order.draw(limit), np.int32(limit)
            with _compiling_once(plan, work):
                new, report = run_epochs(plan, *work)
            stopped, report = jax.device_get((new.stopped, report))
            progress, ran = new, int(report.epochs)
            order.used(ran)
            for record, values in (
                (losses, report.loss),
                (scores, report.score),
                (validation_losses, report.validation_loss),
                (rates, report.rate),
            ):
                record += values[:ran].tolist()
            done += ran
            if verbose:
                _print_epoch(plan, done, losses, scores, rates, bool(stopped))
    except KeyboardInterrupt:
        warnings.warn("Training was interrupted; the estimator keeps what it has learned so far.", stacklevel=4)
        stopped = True
    kept = progress.params if progress.best_params is None else progress.best_params
    kept, opt_state, rate = jax.device_get((kept, progress.opt_state, progress.rate))
    steps, seen, stale, best = jax.device_get((progress.steps, progress.seen, progress.stale, progress.best))
    left = Memory(jax.tree.leaves(opt_state), float(rate), int(steps), int(seen), int(stale), float(best))
    coefs, intercepts = [layer.w for layer in kept], [layer.b for layer in kept]
    return Outcome(coefs, intercepts, losses, scores, validation_losses, left, bool(stopped), done)


def descend(
    plan: Plan,
    numbers: dict[str, Any],
    start: tuple[list[np.ndarray], list[np.ndarray]],
    examples: Examples,
    *,
    iterations: int,
    calls: int,
    verbose: bool = False,
) -> Outcome:
    """Run L-BFGS until converged, for at most so many iterations and evaluations of the loss."""
    limit, loss = 0, np.inf
    # optax's own code mixes dtypes of scalars.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        descent = lbfgs.start(layers(*start, numbers["alpha"].dtype))
        try:
            while limit < iterations and not descent.stopped and int(descent.calls) < calls:
                limit = limit + 1 if verbose else iterations
                work = numbers, descent, examples, np.int32(limit), np.int32(calls)
                with _compiling_once(plan, work):
                    new = lbfgs.minimize(plan, *work)
                descent, loss = jax.block_until_ready(new)
                if verbose:
                    print(f"Iteration {limit}: loss {float(loss):.8f}")
        except KeyboardInterrupt:
            warnings.warn("Training was interrupted; the estimator keeps what it has learned so far.", stacklevel=4)
    flat, ran, stopped = jax.device_get((descent.flat, descent.iterations, descent.stopped))
    kept = lbfgs.params_of(plan, flat)
    coefs, intercepts = [layer.w for layer in kept], [layer.b for layer in kept]
    return Outcome(coefs, intercepts, [float(loss)], [], [], Memory(), bool(stopped), int(ran))


_lock, _compiled = threading.Lock(), set()


@contextlib.contextmanager
def _compiling_once(plan, arguments):
    """Let one thread compile a program while others that need it wait; JAX would compile it in each."""
    known = plan, jax.tree.structure(arguments), tuple((a.shape, a.dtype) for a in jax.tree.leaves(arguments))
    if known in _compiled:
        yield
        return
    with _lock:
        yield
    _compiled.add(known)


def _begin(plan, numbers, params, memory, dtype):
    watched = plan.monitor != "train"
    best = memory.best if memory.best is not None else (-np.inf if watched else np.inf)
    opt_state = initial(plan, numbers, params)
    structure, leaves = jax.tree.structure(opt_state), memory.opt_leaves
    if leaves is not None and [np.shape(a) for a in leaves] == [np.shape(a) for a in jax.tree.leaves(opt_state)]:
        opt_state = jax.tree.unflatten(structure, leaves)
    rate = numbers["rate"] if memory.rate is None else memory.rate
    return jax.device_put(
        Progress(
            params=params,
            opt_state=opt_state,
            rate=dtype.type(rate),
            steps=np.int32(memory.steps),
            seen=dtype.type(memory.seen),
            stale=np.int32(memory.stale),
            best=dtype.type(best),
            best_params=params if watched else None,
            stopped=np.bool_(False),
        )
    )


class _Order:
    """The order of examples, drawn for several epochs at a time, with the numbers that scikit-learn would draw."""

    def __init__(self, rows, batch_rows, random_state, rewind):
        self._rows, self._random_state = rows, random_state
        self._rewind = rewind and rows.shuffle
        self._place = np.arange(len(rows.train))
        width = rows.kept + batch_rows
        self.chunk = max(1, min(64, 2**17 // width))
        self._buffer = np.zeros((self.chunk, width), np.int32)

    def draw(self, epochs):
        """Return the orders of the next epochs, and zeros in the rows after them."""
        if self._rewind:
            self._before = self._random_state.get_state(), self._place
        return self._drawn(epochs)

    def used(self, epochs):
        """Go back to the state after so many of the epochs drawn."""
        if self._rewind:
            state, self._place = self._before
            self._random_state.set_state(state)
            self._drawn(epochs)

    def _drawn(self, epochs):
        n = len(self._place)
        buffer = self._buffer.copy()
        for row in range(epochs):
            if self._rows.shuffle:
                shuffled = np.arange(n)
                self._random_state.shuffle(shuffled)
                self._place = self._place[shuffled]
            buffer[row, :n] = self._rows.train[self._place]
        return buffer


def _print_epoch(plan, epoch, losses, scores, rates, stopped):
    line = f"Epoch {epoch}: loss {losses[-1]:.8f}"
    if plan.monitor != "train":
        line += f", validation score {scores[-1]:.6f}"
    if len(rates) > 1 and rates[-1] < rates[-2] and plan.rate == "adaptive":
        line += f", learning rate lowered to {rates[-1]:g}"
    print(line + (". Converged." if stopped else ""))
