"""Epochs of training as one compiled program, which stops itself as scikit-learn's solvers do.

Everything that is a number is an argument: the counts of examples, epochs and examples per batch too. So fits of one
network share a program whatever their learning rate, penalty or number of examples, up to the padded size.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jaxmlp
from jaxmlp.estimators.examples import dense_rows
from jaxmlp.estimators.losses import LOSSES, objective, outcome

__all__ = ["Plan", "Progress", "Report", "Scored", "initial", "optimizer_of", "run_epochs"]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What decides the program: everything but numbers and arrays."""

    layer_sizes: tuple[int, ...]
    activation: Any
    dropout: Any
    loss: str
    """A name in LOSSES of this room."""
    rule: Callable[..., Any]
    """A factory of optimizers."""
    schedule: Any = None
    """None, "cosine", "linear", or a function (step count) -> learning rate."""
    rate: str = "constant"
    """What becomes of the learning rate between epochs: "constant", "invscaling" or "adaptive"."""
    monitor: str = "train"
    """What stops training: "train", the training loss; "score" or "loss" of the validation rows."""
    augment: Any = None
    batch_rows: int = 200
    """The padded size of a batch."""
    random: bool = False
    """Whether dropout or augmentation draw random numbers."""

    @property
    def network(self):
        """The network, a pair of functions."""
        return jaxmlp.mlp(self.layer_sizes, activation=self.activation, dropout=self.dropout)


class Scored(NamedTuple):
    """The validation rows, and what R^2 divides by."""

    rows: Any
    """(padded rows,), int32: which of the examples."""
    count: Any
    """How many of them are there."""
    spread: Any
    """(outputs,): the weighted sum of squared distances from the mean; unused by classifiers."""


class Progress(NamedTuple):
    """What training carries from epoch to epoch."""

    params: Any
    opt_state: Any
    rate: Any
    """The current learning rate."""
    steps: Any
    """Steps taken, int32."""
    seen: Any
    """Examples seen: scikit-learn's t_."""
    stale: Any
    """Epochs without improvement, int32."""
    best: Any
    """The best training loss, or the best validation score or (negated) loss."""
    best_params: Any
    """The parameters of that epoch; None if the training loss is monitored."""
    stopped: Any
    """Whether it has converged."""


class Report(NamedTuple):
    """What is measured, one entry for each epoch of the call; entries beyond `epochs` are 0."""

    epochs: Any
    loss: Any
    score: Any
    validation_loss: Any
    rate: Any
    """The learning rate after the epoch."""


def optimizer_of(plan, numbers, rate):
    """Build the optimizer from traced numbers."""
    learning_rate = rate
    if callable(plan.schedule):
        learning_rate = plan.schedule
    elif plan.schedule is not None:
        total = numbers["total_steps"]

        def learning_rate(count):
            done = jnp.minimum(jnp.asarray(count, total.dtype) / total, 1)
            return rate * (1 - done if plan.schedule == "linear" else (1 + jnp.cos(jnp.pi * done)) / 2)

    return plan.rule(learning_rate=learning_rate, **numbers["rule"])


@functools.partial(jax.jit, static_argnames=("plan",))
def initial(plan, numbers, params):
    """Return the state of the optimizer at the start."""
    return optimizer_of(plan, numbers, numbers["rate"]).init(params)


@functools.partial(jax.jit, static_argnames=("plan",))
def run_epochs(plan, numbers, progress, examples, scored, orders, limit):
    """Train for up to `limit` epochs, fewer if training converges.

    Args:
        plan: what decides the program.
        numbers: rule (the optimizer's numbers by name), rate (the first learning rate), power_t, alpha, l1, tol,
            patience, n and batch (examples in all and per step), total_steps (of a schedule), seed.
        progress: where to begin.
        examples: the rows.
        scored: the validation rows, or None.
        orders: (epochs, all rows + a batch, padded), int32: the training rows in their order, for each epoch.
        limit: number of epochs.

    Returns:
        Progress and Report.
    """
    epochs = orders.shape[0]
    zeros = jnp.zeros(epochs, numbers["alpha"].dtype)

    def unfinished(carry):
        progress, report = carry
        return (report.epochs < limit) & ~progress.stopped

    def epoch(carry):
        progress, report = carry
        index = report.epochs
        progress, loss = _epoch(plan, numbers, progress, examples, orders[index])
        score = validation_loss = jnp.zeros_like(loss)
        if plan.monitor != "train":
            score, validation_loss = _validate(plan, progress.params, examples, scored)
        monitored = {"train": loss, "score": score, "loss": -validation_loss}[plan.monitor]
        progress = _judged(plan, numbers, progress, monitored)
        report = Report(
            index + 1,
            report.loss.at[index].set(loss),
            report.score.at[index].set(score),
            report.validation_loss.at[index].set(validation_loss),
            report.rate.at[index].set(progress.rate),
        )
        return progress, report

    start = Report(jnp.int32(0), zeros, zeros, zeros, zeros)
    return jax.lax.while_loop(unfinished, epoch, (progress, start))


def _epoch(plan, numbers, progress, examples, order):
    """Pass over the training rows once; return the progress and the mean loss, weighted by the size of each batch."""
    n, batch = numbers["n"], numbers["batch"]
    optimizer = optimizer_of(plan, numbers, progress.rate)
    within = jnp.arange(plan.batch_rows, dtype=jnp.int32)
    apply = plan.network.apply
    key = jax.random.key(numbers["seed"]) if plan.random else None

    def step(index, carry):
        params, opt_state, total = carry
        first = index * batch
        rows = jax.lax.dynamic_slice(order, (first,), (plan.batch_rows,))
        real = (within < batch) & (first + within < n)
        x, y = dense_rows(examples.x, rows), examples.y[rows]
        weights = jnp.where(real, examples.weights[rows], 0)
        noise = None
        if key is not None:
            augment_key, noise = jax.random.split(jax.random.fold_in(key, progress.steps + index))
            if plan.augment is not None:
                x = plan.augment(augment_key, x)

        def loss_fn(params):
            outputs = apply(params, x, key=noise)
            return objective(plan.loss, outputs, y, weights, params, numbers["alpha"], numbers["l1"])

        grads, shown = jax.grad(loss_fn, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        total = total + shown * (jnp.sum(real.astype(shown.dtype)) / n.astype(shown.dtype))
        return jaxmlp.apply_updates(params, updates), opt_state, total

    steps = (n + batch - 1) // batch
    start = (progress.params, progress.opt_state, jnp.zeros_like(progress.rate))
    params, opt_state, loss = jax.lax.fori_loop(0, steps, step, start)
    seen = progress.seen + n.astype(progress.seen.dtype)
    return progress._replace(params=params, opt_state=opt_state, steps=progress.steps + steps, seen=seen), loss


def _validate(plan, params, examples, scored):
    """Return score and loss, without penalties, of the validation rows, block by block."""
    size = min(256, scored.rows.shape[0])
    within = jnp.arange(size, dtype=jnp.int32)

    def block(index, sums):
        rows = jax.lax.dynamic_slice(scored.rows, (index * size,), (size,))
        y, weights = examples.y[rows], examples.weights[rows]
        weights = jnp.where(index * size + within < scored.count, weights, 0)
        outputs = plan.network.apply(params, dense_rows(examples.x, rows))
        new = (
            jnp.sum(weights[:, None] * outcome(plan.loss, outputs, y), axis=0),
            jnp.sum(weights * LOSSES[plan.loss](outputs, y)),
            jnp.sum(weights),
        )
        return jax.tree.map(jnp.add, sums, new)

    outputs = plan.layer_sizes[-1]
    classifies = plan.loss in ("softmax", "logistic")
    zero = jnp.zeros((), examples.y.dtype)
    start = (jnp.zeros(1 if classifies else outputs, zero.dtype), zero, zero)
    blocks = (scored.count + size - 1) // size
    measured, loss, total = jax.lax.fori_loop(0, blocks, block, start)
    loss = loss / total / (outputs if plan.loss == "squared_error" else 1)
    if classifies:
        return (measured / total)[0], loss
    # As sklearn.metrics.r2_score: a constant target counts 1 if it is met exactly, and 0 if not.
    constant = jnp.where(measured == 0, jnp.ones_like(measured), jnp.zeros_like(measured))
    spread = jnp.where(scored.spread > 0, scored.spread, 1)
    score = jnp.mean(jnp.where(scored.spread > 0, 1 - measured / spread, constant))
    return jnp.where(jnp.isfinite(score), score, jnp.nan), loss


def _judged(plan, numbers, progress, monitored):
    """Count epochs without improvement; after too many of them stop, or lower the learning rate."""
    tol, stale, best = numbers["tol"], progress.stale, progress.best
    if plan.monitor == "train":
        poor, better = monitored > best - tol, monitored < best
    else:
        poor, better = monitored < best + tol, monitored > best
    stale = jnp.where(poor, stale + 1, 0)
    best = jnp.where(better, monitored, best)
    best_params = progress.best_params
    if best_params is not None:
        best_params = jax.tree.map(lambda new, old: jnp.where(better, new, old), progress.params, best_params)

    rate = progress.rate
    if plan.rate == "invscaling":
        rate = numbers["rate"] / (progress.seen + 1) ** numbers["power_t"]
    enough = stale.astype(tol.dtype) > numbers["patience"]
    stopped = enough
    if plan.rate == "adaptive":
        stopped = enough & (rate <= 1e-6)
        lower = enough & ~stopped
        rate, stale = jnp.where(lower, rate / 5, rate), jnp.where(lower, 0, stale)
    return progress._replace(stale=stale, best=best, best_params=best_params, rate=rate, stopped=stopped)
