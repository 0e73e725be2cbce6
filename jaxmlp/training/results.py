"""What a run carries from epoch to epoch, and what it reports."""

from typing import NamedTuple

import jax

from jaxmlp._arrays import PyTree


class Best(NamedTuple):
    """The epoch of lowest validation loss so far."""

    params: PyTree
    """The parameters after that epoch."""
    validation_loss: jax.Array
    """Scalar, inf before the first epoch."""
    epoch: jax.Array
    """int32 scalar, counted from 0: history.validation_loss[epoch] is its loss. -1 if there is none yet."""


class TrainState(NamedTuple):
    """All that a run needs to continue, carried from epoch to epoch."""

    params: PyTree
    """The parameters after the last epoch."""
    opt_state: PyTree
    """The state of the optimizer."""
    key: jax.Array
    """The key of the run; epoch e draws from fold_in(key, e)."""
    epoch: jax.Array
    """Number of epochs done, int32 scalar."""
    best: Best | None = None
    """The best epoch so far; None without keep_best and patience."""


class Step(NamedTuple):
    """One step of training, as a step metric sees it."""

    loss: jax.Array
    """Scalar, the loss of the batch at params."""
    params: PyTree
    """The parameters before the update."""
    grads: PyTree
    """The gradient of the loss, like params."""
    updates: PyTree
    """What the optimizer adds to params, like params."""
    index: jax.Array | int = 0
    """int32 scalar, the steps taken before this one, counted from 0 at epoch 0."""


class History(NamedTuple):
    """What a run reports; the first axis of every array is the epoch.

    Epochs that patience skipped are NaN in floating-point arrays, -1 in signed integers and 0 in all others.
    """

    train_loss: jax.Array
    """(epochs,), the mean of the step losses weighted by examples, measured during training."""
    validation_loss: jax.Array | None
    """(epochs,), loss_fn without key after each epoch; None without a validation set."""
    metrics: dict[str, jax.Array]
    """Name -> (epochs, ...), measured on the whole validation set after each epoch."""
    first_nonfinite_step: jax.Array
    """int32 scalar, the step (counted from 0 at epoch 0) of the first non-finite loss; -1 for never."""
    step_metrics: dict[str, jax.Array] = {}  # noqa: RUF012 - read only
    """Name -> (epochs, steps, ...), measured at every step."""


class FitResult(NamedTuple):
    """What fit returns; the leaves that sweep returns have the leading axes (points, keys)."""

    params: PyTree
    """The parameters after the last epoch."""
    state: TrainState
    """The state after the last epoch; pass it to fit to continue."""
    history: History
    """The history of the epochs of this call."""

    @property
    def best(self) -> Best | None:
        """The epoch of lowest validation loss; None without keep_best and patience."""
        return self.state.best
