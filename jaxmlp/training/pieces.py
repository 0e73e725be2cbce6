"""Runs in pieces of whole epochs, one compiled program for all: they can be watched, stopped, kept and continued."""

import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._arrays import is_concrete
from jaxmlp.training.partition import combine, partition
from jaxmlp.training.processes import losses_named
from jaxmlp.training.program import SETTINGS, epoch_of, history_of, started
from jaxmlp.training.results import FitResult
from jaxmlp.training.rows import Layout, Rows
from jaxmlp.training.watching import TRACED, Interrupted, Kept, Watch, as_numbers, fingerprint, joined

PIECE_SECONDS = 0.5
"""What a piece should take: short enough to watch, long enough that starting it costs nothing."""


class Progress(NamedTuple):
    """Where a run is; replaced as a whole, so that an interrupt never finds half of it."""

    state: Any
    """The TrainState."""
    reports: tuple[Any, ...] = ()
    """What each epoch reported, by pieces; the first axis of every array is the epoch."""
    done: int = 0
    """Epochs done or skipped in this run."""
    stopped: bool = False
    """Whether on_epoch ended the run."""
    partial: Any = None
    """The Partial epoch of a stream; None between epochs."""


def run_in_pieces(
    task, start, train, validation, *, watch: Watch, kept: Kept | None, layout: Layout | None, epochs, **settings
) -> FitResult:
    """Do what run does, bit for bit, in pieces; arguments are already checked.

    Args:
        task: of training.
        start: (params, key) or a TrainState, the beginning of the run also where it continues.
        train: the training examples.
        validation: the validation examples, or None.
        watch: who is told, and where the run is kept.
        kept: what was kept of this run, or None.
        layout: where the examples lie on several devices.
        epochs: of the whole run.
        settings: the other keyword arguments of run.
    """
    numbers, program = partition(task)
    numbers = numbers if layout is None else layout.everywhere(numbers)
    settings["keep_best"] = settings["keep_best"] or task.patience is not None
    fixed = {"train": train, "validation": validation, "program": program, "layout": layout, **settings}
    piece = functools.partial(_piece, numbers, **fixed)
    now = Progress(begun(numbers, start, validation, program=program, keep_best=settings["keep_best"]))
    first_step, steps = now.state.steps, -(-Rows(train, layout).n // settings["batch_size"])
    identity = {}
    if watch.path is not None:
        lowered = _piece.lower(numbers, now.state, np.int32(1), **fixed)
        identity = fingerprint(task, start, train, validation, settings, None if layout else lowered.as_text())
        if kept is not None:
            identity = kept.checked(identity, epochs)
            state, reports = kept.restored(*lowered.out_info)
            state = state if layout is None else layout.everywhere(state)
            now = Progress(state, reports, kept.done, kept.has_stopped(epochs))

    def result(now):
        reports = jax.tree.map(jnp.asarray, joined(now.reports))
        return FitResult(now.state.params, now.state, history_of(task, reports, first_step, steps))

    # Processes that run together must cut alike, whatever their clocks say.
    together = layout is not None and layout.spans_processes
    pace = Pace(watch.every if isinstance(watch.every, int) else 1) if together else Pace()

    def advance(now):
        return _one_piece(piece, now, min(pace.count, watch.epochs_left(now.done, epochs)), watch.on_epoch, pace)

    return conducted(advance, now, watch, identity, epochs, result)


def conducted(advance, now: Progress, watch: Watch, identity: dict[str, Any], epochs: int, result) -> FitResult:
    """Advance until the run ends, and keep it on the way; now is where it begins, or what was kept of it.

    Args:
        advance: Progress -> Progress, by a piece.
        now: the progress.
        watch: where the run is kept.
        identity: what must be equal for the run to go on.
        epochs: of the whole run.
        result: Progress -> FitResult.
    """
    saved, clock = now, time.monotonic()
    try:
        while now.done < epochs and not now.stopped:
            with losses_named(watch.path):
                now = advance(now)
            ended = now.done == epochs or now.stopped
            if watch.is_due(now.done, ended, now.partial is not None, time.monotonic() - clock):
                watch.save(now, identity, epochs)
                saved, clock = now, time.monotonic()
    except (KeyboardInterrupt, SystemExit) as error:  # the latter by a handler of SIGTERM
        if watch.path is not None and now is not saved:
            watch.save(now, identity, epochs)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(watch.path, result(now) if now.done else None, now.done) from error
        raise
    return result(now)


class Pace:
    """How many epochs make a piece."""

    def __init__(self, fixed: int | None = None):
        self.fixed = fixed
        self.count = fixed or 1

    def measured(self, epochs: int, seconds: float, most: int) -> None:
        """Set count to what takes PIECE_SECONDS, after so many epochs took so many seconds."""
        self.count = self.fixed or max(1, min(most, 64 * self.count, int(PIECE_SECONDS * epochs / max(seconds, 1e-6))))


@functools.partial(jax.jit, static_argnames=("program", "keep_best"))
def begun(numbers, start, validation, *, program, keep_best):
    return started(combine(numbers, program), start, validation, keep_best)


_REPORTS = 2**24  # bytes of reports that a piece may return
_MOST = 1024  # epochs


@functools.partial(jax.jit, static_argnames=("program", "layout", *SETTINGS))
def _piece(numbers, state, count, *, train, validation, program, layout, **settings):
    """Train count epochs; how many is no part of the program."""
    epoch = epoch_of(combine(numbers, program), Rows(train, layout), validation, **settings)
    report = jax.eval_shape(epoch, state, None)[1]
    size = sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(report))
    most = max(1, min(_MOST, _REPORTS // max(size, 1)))
    reports = jax.tree.map(lambda leaf: jnp.zeros((most, *leaf.shape), leaf.dtype), report)

    def body(index, carry):
        state, reports = carry
        state, report = epoch(state, None)
        return state, jax.tree.map(lambda rows, row: rows.at[index].set(row), reports, report)

    state, reports = jax.lax.fori_loop(0, count, body, (state, reports))
    return (state, reports) if layout is None else layout.returned(state, reports)


def _one_piece(piece, now, count, on_epoch, pace):
    """Return the progress after a piece, or after that epoch of it at which on_epoch stopped the run."""
    clock = time.monotonic()
    state, reports, most = _computed(piece, now.state, count)
    pace.measured(count, time.monotonic() - clock, most)
    epoch = int(now.state.epoch)
    for row in range(int(state.epoch) - epoch):  # fewer than count once patience has ended
        if told(on_epoch, epoch + row, jax.tree.map(lambda leaf, row=row: leaf[row], reports)):
            if row + 1 < count:
                state, reports, _ = _computed(piece, now.state, row + 1)
            return Progress(state, (*now.reports, reports), now.done + row + 1, stopped=True)
    return Progress(state, (*now.reports, reports), now.done + count)


def told(on_epoch, epoch, report) -> bool:
    """Tell on_epoch, if there is one, of an epoch; return whether it stops the run."""
    answer = None if on_epoch is None else on_epoch(epoch, *as_numbers(report))
    # A comparison with an array gives an array of NumPy's or JAX's.
    return answer is True or (str(getattr(answer, "dtype", "")) == "bool" and bool(answer))


def _computed(piece, state, count):
    """Return the state after a piece, its reports, and how many epochs a piece may have at most."""
    state, reports = piece(state, np.int32(count))
    if not is_concrete(state.epoch):
        raise ValueError(TRACED)
    most = jax.tree.leaves(reports)[0].shape[0]
    return state, jax.tree.map(lambda leaf: np.asarray(leaf)[:count].copy(), jax.block_until_ready(reports)), most
