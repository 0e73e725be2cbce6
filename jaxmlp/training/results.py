"""What a run carries from epoch to epoch, and what it reports.

The types are generic: FitResult[jaxmlp.Params] is the result of a run of an mlp. Where fit is given a validation set, a
type checker knows that history.validation_loss is there, and with keep_best or patience that best is.
"""

import types
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import jax
import numpy as np

from jaxmlp._arrays import PyTree
from jaxmlp.instruments import Readings

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # part of every type checker; defaults came with Python 3.13

    P = TypeVar("P", default=Any, covariant=True)
    LossT = TypeVar("LossT", default=jax.Array | None, covariant=True)
    BestT = TypeVar("BestT", default="Best[Any] | None", covariant=True)
else:
    from typing import TypeVar

    P, LossT, BestT = TypeVar("P"), TypeVar("LossT"), TypeVar("BestT")


class Best(NamedTuple, Generic[P]):
    """The epoch of lowest validation loss so far."""

    params: P
    """The parameters after that epoch, those that eval_params returned if it was given."""
    validation_loss: jax.Array
    """Scalar, inf before the first epoch."""
    epoch: jax.Array
    """int32 scalar, counted from 0: history.validation_loss[epoch] is its loss. -1 if there is none yet."""

    if not TYPE_CHECKING:  # FitResult[Params] alone, before Python has defaults of type variables
        __class_getitem__ = classmethod(types.GenericAlias)


class TrainState(NamedTuple, Generic[P, BestT]):
    """All that a run needs to continue, carried from epoch to epoch."""

    params: P
    """The parameters after the last epoch."""
    opt_state: PyTree
    """The state of the optimizer."""
    key: jax.Array
    """The key of the run; epoch e draws from fold_in(key, e)."""
    epoch: jax.Array
    """Number of epochs done, int32 scalar."""
    best: BestT = None  # pyright: ignore[reportAssignmentType]
    """The best epoch so far; None without keep_best and patience."""
    steps: jax.Array = np.int32(0)  # pyright: ignore[reportAssignmentType]
    """Number of steps done, int32 scalar."""
    start: PyTree = None
    """The parameters with which the run began; None without instruments."""

    if not TYPE_CHECKING:  # FitResult[Params] alone, before Python has defaults of type variables
        __class_getitem__ = classmethod(types.GenericAlias)


class Step(NamedTuple):
    """One step of training, as step metrics and instruments see it."""

    loss: jax.Array
    """Scalar, the loss of the batch at params."""
    params: PyTree
    """The parameters before the update."""
    grads: PyTree
    """The gradient of the loss, like params."""
    updates: PyTree
    """What the optimizer adds to params, like params."""
    opt_state: PyTree = None
    """The state of the optimizer after the update; with optax.inject_hyperparams it holds the learning rate."""
    index: Any = None
    """Number of the step, counted from 0 at epoch 0, int32 scalar."""
    x: PyTree = None
    """The inputs of the batch, augmented."""
    y: PyTree = None
    """The targets of the batch."""
    weight: Any = None
    """The weights of the batch's examples, (batch,); None without."""
    key: jax.Array | None = None
    """The key that the loss of this step was given."""
    loss_fn: Any = None
    """(params, x, y, *, key=None) -> scalar; with a weight its fourth argument."""
    optimizer: Any = None
    """What made the updates."""
    start: PyTree = None
    """The parameters with which the run began; None without instruments."""


class History(NamedTuple, Generic[LossT]):
    """What a run reports; the first axis of every array is the epoch.

    Epochs that patience skipped are NaN in floating-point arrays, -1 in signed integers and 0 in all others.
    """

    train_loss: jax.Array
    """(epochs,), the mean of the step losses weighted by examples, measured during training."""
    validation_loss: LossT
    """(epochs,), loss_fn without key after each epoch; None without a validation set."""
    metrics: dict[str, jax.Array]
    """Name -> (epochs, ...), measured on the whole validation set after each epoch."""
    first_nonfinite_step: jax.Array
    """int32 scalar, the step (counted from 0 at epoch 0) of the first non-finite loss; -1 for never."""
    step_metrics: dict[str, jax.Array] = {}  # noqa: RUF012 - read only
    """Name -> (epochs, steps, ...), measured at every step."""
    instruments: dict[str, Readings] = {}  # noqa: RUF012 - read only
    """Name -> Readings(steps, values), measured at the instrument's interval in this call."""

    if not TYPE_CHECKING:  # FitResult[Params] alone, before Python has defaults of type variables
        __class_getitem__ = classmethod(types.GenericAlias)


class FitResult(NamedTuple, Generic[P, LossT, BestT]):
    """What fit returns; the leaves that sweep returns have the leading axes (points, keys)."""

    params: P
    """The parameters after the last epoch."""
    state: TrainState[P, BestT]
    """The state after the last epoch; pass it to fit to continue."""
    history: History[LossT]
    """The history of the epochs of this call."""

    if not TYPE_CHECKING:  # FitResult[Params] alone, before Python has defaults of type variables
        __class_getitem__ = classmethod(types.GenericAlias)

    @property
    def best(self) -> BestT:
        """The epoch of lowest validation loss; None without keep_best and patience."""
        return self.state.best
