"""What a run carries from epoch to epoch, and what it reports."""

from typing import Any, NamedTuple

import jax

PyTree = Any


class Best(NamedTuple):
    """The epoch of lowest validation loss so far."""

    params: PyTree  # parameters after that epoch
    validation_loss: jax.Array  # scalar, inf before the first epoch
    epoch: jax.Array  # int32 scalar, from 0, so that history.validation_loss[epoch] is its loss; -1 for none yet


class TrainState(NamedTuple):
    """All that a run needs to go on: carried from epoch to epoch."""

    params: PyTree  # parameters after the last epoch
    opt_state: PyTree  # state of the optimizer
    key: jax.Array  # the run's key; epoch e draws from fold_in(key, e)
    epoch: jax.Array  # epochs done, int32 scalar
    best: Best | None = None  # None unless fit was asked to keep it


class Step(NamedTuple):
    """One step of training, as a step metric sees it."""

    loss: jax.Array  # scalar, of the step's batch at params
    params: PyTree  # before the update
    grads: PyTree  # of the loss, like params
    updates: PyTree  # what the optimizer adds to params, like params


class History(NamedTuple):
    """What a run reports; the first axis of every array is the epoch.

    Epochs that patience spared are NaN in every array; -1 where it holds signed integers, 0 where neither is possible.
    """

    train_loss: jax.Array  # (epochs,) mean of the step losses weighted by examples, as training went
    validation_loss: jax.Array | None  # (epochs,) loss_fn without key after the epoch, None without validation
    metrics: dict[str, jax.Array]  # name -> (epochs, ...) on the whole validation set after the epoch
    first_nonfinite_step: jax.Array  # int32 scalar, step (from 0 at epoch 0) of the first non-finite loss, -1 for never
    step_metrics: dict[str, jax.Array] = {}  # noqa: RUF012 - name -> (epochs, steps, ...), at every step


class FitResult(NamedTuple):
    """What fit returns."""

    params: PyTree  # parameters after the last epoch
    state: TrainState  # give it to fit to go on
    history: History  # of the epochs of this call

    @property
    def best(self) -> Best | None:
        """The epoch of lowest validation loss; None unless fit was asked to keep it."""
        return self.state.best
