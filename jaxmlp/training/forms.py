"""The types of what fit and sweep take."""

from collections.abc import Callable, Mapping
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
Examples = tuple[PyTree, PyTree] | tuple[PyTree, PyTree, Any]
"""(x, y), or (x, y, weight) with a weight for each example."""


class Options(TypedDict, total=False):
    """The arguments of fit that do not decide the type of its result."""

    metrics: Mapping[str, Metric] | None
    augment: Augment | None
    step_metrics: Mapping[str, StepMetric] | None
    eval_params: EvalParams | None
    instruments: Mapping[str, Instrument] | None
    shuffle: bool
