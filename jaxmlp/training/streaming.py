"""A run on a stream: chunks of batches by one compiled program, the end of an epoch by another."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp.training import recording
from jaxmlp.training.partition import combine, partition
from jaxmlp.training.pieces import Progress, begun, conducted, told
from jaxmlp.training.program import after, closed, history_of, step_of, summed, unmeasured
from jaxmlp.training.results import FitResult
from jaxmlp.training.rows import Rows, scaled
from jaxmlp.training.shuffling import permutation
from jaxmlp.training.streams import Mapped, Stream, prefetched, scale_of
from jaxmlp.training.watching import Kept, Watch, fingerprint, in_form, joined


class Partial(NamedTuple):
    """An epoch that has begun."""

    carry: Any
    """What a step hands to the next."""
    by_step: tuple[Any, ...]
    """What each step reported, by chunks."""
    readings: tuple[Any, ...]
    """What instruments measured, by chunks."""
    steps: int
    """The number of steps done."""
    examples: int
    """The number of examples seen."""


def run_streamed(
    task, start, stream: Stream, validation, watch: Watch, kept: Kept | None, *, epochs, shuffle, **settings
) -> FitResult:
    """Do what run does with examples that come in chunks; arguments are already checked.

    Args:
        task: of training.
        start: (params, key) or a TrainState, the beginning of the run also where it continues.
        stream: of the training examples.
        validation: the validation examples, or None.
        watch: who is told, and where the run is kept.
        kept: what was kept of this run, or None.
        epochs: of the whole run.
        shuffle: whether memory-mapped arrays are shuffled.
        settings: batch_size, keep_best and eval_batch_size.
    """
    numbers, program = partition(task)
    keep_best = settings["keep_best"] or task.patience is not None
    now = Progress(begun(numbers, start, validation, program=program, keep_best=keep_best))
    scale = scale_of(now.state.params)
    chunk = functools.partial(_chunk, numbers, program=program, scale=scale)
    fixed = {"program": program, "scale": scale, "keep_best": keep_best, "eval_batch_size": settings["eval_batch_size"]}
    end = functools.partial(_closed, numbers, validation=validation, **fixed)
    first = now.state.epoch, now.state.steps
    identity = {}
    if watch.path is not None:
        like, light = stream.like(), _light(now.state)
        one = like.rows, *[jax.ShapeDtypeStruct((), np.int32)] * 2
        lowered = _chunk.lower(numbers, light, _carry(now.state), like.examples, *one, **chunk.keywords)
        by_step = jax.tree.map(lambda s: jax.ShapeDtypeStruct((1, *s.shape[1:]), s.dtype), lowered.out_info[1])
        weight, readings = np.ones(1, jnp.result_type(float)), lowered.out_info[2]
        epoch = now.state, _carry(now.state), by_step, readings, weight
        ending = _closed.lower(numbers, *epoch, validation=validation, **fixed)
        given = {"shuffle": shuffle, "keep_best": keep_best} | settings
        text = lowered.as_text() + ending.as_text()
        identity = fingerprint(task, start, stream.sample(), validation, given, text)
        if kept is not None:
            identity = kept.checked(identity, epochs)
            state, reports = kept.restored(now.state, ending.out_info[1], None)
            partial, (carry, *found) = None, kept.partial
            if carry is not None:
                carry = in_form(kept.path, carry, _carry(now.state))
                reported, read = (in_form(kept.path, a, b, 1) for a, b in zip(found, (by_step, readings), strict=True))
                partial = Partial(carry, (reported,), (read,), kept.metadata["steps"], kept.metadata["examples"])
            now = Progress(state, reports, kept.done, kept.has_stopped(epochs), partial)

    def result(now):
        reports = jax.tree.map(jnp.asarray, joined(now.reports))
        trained, taken = (int(a - b) for a, b in zip((now.state.epoch, now.state.steps), first, strict=True))
        return FitResult(now.state.params, now.state, history_of(task, reports, first[1], taken // max(trained, 1)))

    def put(examples):
        check = getattr(task.loss_fn, "check", None)
        if check is not None:
            check(now.state.params, *examples)
        return jax.device_put(examples)

    epoch = _Epochs(stream, shuffle, task.patience, settings["batch_size"], watch.on_epoch, put, chunk, end)
    return conducted(epoch.advanced, now, watch, identity, epochs, result)


class _Epochs:
    """The chunks of one epoch after the other."""

    def __init__(self, stream, shuffle, patience, batch_size, on_epoch, put, chunk, end):
        self.stream, self.shuffle, self.patience, self.batch_size = stream, shuffle, patience, batch_size
        self.on_epoch, self.put, self.chunk, self.end = on_epoch, put, chunk, end
        self.chunks: Any = None
        self.steps = None

    def advanced(self, now):
        """Return the progress after the next chunk, or after the end of the epoch."""
        if now.partial is None and self._has_stopped(now.state):
            return self._skipped(now)
        if self.chunks is None:
            self.chunks = self._opened(now)
        done = now.partial or Partial(_carry(now.state), (), (), 0, 0)
        chunk = next(self.chunks, None)
        if chunk is None:
            self.chunks = None
            return self._closed(now, done)
        at, count = np.int32(done.steps), np.int32(chunk.count)
        found = self.chunk(_light(now.state), done.carry, chunk.examples, chunk.rows, at, count)
        carry, by_step, readings = jax.block_until_ready(found)
        by_step = jax.tree.map(lambda leaf: np.asarray(leaf)[: chunk.count].copy(), by_step)
        readings = jax.tree.map(np.array, readings)
        seen = done.examples + chunk.count * chunk.rows.shape[1]
        partial = Partial(carry, (*done.by_step, by_step), (*done.readings, readings), done.steps + chunk.count, seen)
        return now._replace(partial=partial)

    def _opened(self, now):
        order: Any = None
        if isinstance(self.stream, Mapped):
            order = np.asarray(_order(now.state.key, now.state.epoch, n=self.stream.n, shuffle=self.shuffle))
        first = 0 if now.partial is None else now.partial.steps
        if first * self.batch_size >= getattr(self.stream, "n", first * self.batch_size + 1):
            return iter(())  # it was kept after its last step
        return prefetched(self.stream.chunks(order, first), self.put)

    def _closed(self, now, done):
        if not done.steps:
            raise ValueError(f"train gave no batches in epoch {int(now.state.epoch)}; give what can be iterated again")
        if self.steps not in (None, done.steps):
            raise ValueError(f"train gave {done.steps} batches in one epoch and {self.steps} in another")
        self.steps = done.steps
        weights = np.full(done.steps, self.batch_size / done.examples, jnp.result_type(float))
        weights[-1] = (done.examples - (done.steps - 1) * self.batch_size) / done.examples
        state, report = self.end(now.state, done.carry, joined(done.by_step), joined(done.readings), weights)
        report = jax.tree.map(np.asarray, jax.block_until_ready(report))
        stopped = told(self.on_epoch, int(now.state.epoch), report)
        return Progress(state, (*now.reports, _row(report)), now.done + 1, stopped)

    def _has_stopped(self, state):
        since = None if self.patience is None else np.float32(int(state.epoch) - 1 - int(state.best.epoch))
        return since is not None and since >= np.float32(self.patience)

    def _skipped(self, now):
        if not now.reports:
            raise ValueError("the run that state comes from has already been stopped by patience")
        report = jax.tree.map(lambda rows: np.asarray(unmeasured(rows[0])), now.reports[-1])
        return Progress(now.state, (*now.reports, _row(report)), now.done + 1)


def _carry(state):
    return state.params, state.opt_state


def _light(state):
    """Return the state without what the steps of an epoch do not read."""
    return state._replace(params=None, opt_state=None, best=None)


def _row(report):
    return jax.tree.map(lambda leaf: leaf[None], report)


@functools.partial(jax.jit, static_argnames=("program", "scale"))
def _chunk(numbers, state, carry, examples, rows, first, count, *, program, scale):
    """Take count steps; how many is no part of the program."""
    task = combine(numbers, program)
    _, noise_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
    step = step_of(task, state, Rows(examples, scale=scale), noise_key, state.steps + first)
    now = state._replace(params=carry[0], opt_state=carry[1])
    readings = recording.blank(task.instruments, step, now, (rows[0], first), rows.shape[0])
    carry = (*carry, readings)
    report = jax.eval_shape(step, carry, (rows[0], first))[1]
    reports = jax.tree.map(lambda leaf: jnp.zeros((rows.shape[0], *leaf.shape), leaf.dtype), report)

    def body(index, carry):
        carry, reports = carry
        carry, report = step(carry, (rows[index], first + index))
        return carry, jax.tree.map(lambda all, one: all.at[index].set(one), reports, report)

    (*carry, readings), reports = jax.lax.fori_loop(0, count, body, (carry, reports))
    return tuple(carry), reports, recording.without_spare_row(readings)


@functools.partial(jax.jit, static_argnames=("program", "scale", "keep_best", "eval_batch_size"))
def _closed(
    numbers, state, carry, by_step, readings, weights, *, validation, program, scale, keep_best, eval_batch_size
):
    task, steps = combine(numbers, program), weights.shape[0]
    validation = None if validation is None else scaled(tuple(validation), scale)
    if task.instruments:
        readings = recording.joined(task.instruments, jax.tree.map(lambda rows: rows[None], readings), steps)
    by_step = (*summed(by_step, weights), readings)
    state = after(state, carry, steps)
    return closed(task, state, by_step, validation, keep_best, eval_batch_size)


@functools.partial(jax.jit, static_argnames=("n", "shuffle"))
def _order(key, epoch, *, n, shuffle):
    order_key, _ = jax.random.split(jax.random.fold_in(key, epoch))
    return permutation(order_key, n) if shuffle else jnp.arange(n)
