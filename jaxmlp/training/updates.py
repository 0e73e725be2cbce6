"""One call of an optimizer: with the extra arguments that it asks for, and an answer to those that fit cannot serve."""

from typing import Any

import jax
import optax

from jaxmlp._checks import takes


def initial(optimizer: Any, params: Any) -> Any:
    """Return the optimizer's first state."""
    try:
        return optimizer.init(params)
    except Exception as error:
        raise _answered(error) from error


def update(optimizer: Any, loss_fn: Any, loss: Any, grads: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
    """Return the updates and the next state.

    Args:
        optimizer: a GradientTransformation, with or without extra arguments.
        loss_fn: the loss of the step as a function of the parameters.
        loss: its value at params.
        grads: its gradient at params.
        opt_state: the optimizer's state.
        params: the parameters.
    """
    extra_args = {}
    if isinstance(optimizer, optax.GradientTransformationExtraArgs):
        extra_args = _extra_args(optimizer.update, loss_fn, loss, grads)
    try:
        return optimizer.update(grads, opt_state, params, **extra_args)
    except Exception as error:
        raise _answered(error) from error


def _extra_args(update, loss_fn, loss, grads):
    """Return the extra arguments that update takes.

    A line search needs the loss at other parameters, on the same batch with the same dropout; a look-ahead needs the
    gradient there; an estimate of the curvature calls the loss obj_fn.
    """

    # optax's line searches pass all arguments but their own to value_fn, and refuse one that it does not take.
    def value_fn(params, grad_fn=None, obj_fn=None):
        return loss_fn(params)

    known = {"value": loss, "grad": grads, "value_fn": value_fn, "grad_fn": jax.grad(value_fn), "obj_fn": value_fn}
    return {name: value for name, value in known.items() if takes(update, name)}


_ANSWERS = {
    "has no attribute 'fast'": "optax.lookahead needs parameters of a form of its own: fit "
    "optax.LookaheadParams.init_synced(params) with a loss of params.fast, and the optimizer "
    "optax.GradientTransformation(rule.init, lambda g, state, params: rule.update(g.fast, state, params))",
    "`per_example_global_norm_clip` expects": "the optimizer needs the gradient of each example, and fit gives it the "
    "mean over the batch; write the loop yourself, with jax.vmap(jax.grad(loss_fn), (None, 0, 0))",
}


def _answered(error):
    """Return error, or a TypeError with the way out where one is known."""
    for text, answer in _ANSWERS.items():
        if text in str(error):
            return TypeError(f"{answer} ({type(error).__name__}: {error})")
    return error
