"""The types of what fit and sweep take."""

import datetime
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

import jax

from jaxmlp._arrays import PyTree
from jaxmlp.instruments import Instrument
from jaxmlp.training.results import Step

LossFn = Callable[..., jax.Array]
"""(params, x, y, *, key=None) -> scalar."""
Metric = Callable[..., Any]
"""(params, x, y) -> array."""
StepMetric = Callable[[Step], Any]
"""(step) -> array."""
Augment = Callable[[jax.Array, Any], Any]
"""(key, x) -> x."""
EvalParams = Callable[[Any, Any], Any]
"""(opt_state, params) -> params."""
OnEpoch = Callable[[int, dict[str, float], dict[str, Any]], Any]
"""(epoch, losses, metrics) -> True to stop the run."""
Examples = tuple[PyTree, PyTree] | tuple[PyTree, PyTree, Any]
"""(x, y), or (x, y, weight) with a weight for each example."""
Batched = Iterable[Examples] | Callable[[], Iterable[Examples]]
"""What can be iterated again and again, and gives batches; or a function that returns an iterable of them."""


class Options(TypedDict, total=False):
    """The arguments of fit that do not decide the type of its result."""

    metrics: Mapping[str, Metric] | None
    augment: Augment | None
    step_metrics: Mapping[str, StepMetric] | None
    eval_params: EvalParams | None
    instruments: Mapping[str, Instrument] | None
    shuffle: bool
    eval_batch_size: int | None
    on_epoch: OnEpoch | None
    checkpoint: str | os.PathLike[str] | None
    every: int | datetime.timedelta | None
