"""An estimate of the memory that a program needs, made from its jaxpr without compiling it."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var

MARGIN = 1.25
"""By which the estimate is raised: XLA aligns buffers and copies some values."""
_CALLS = {"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint", "shard_map"}
_LOOPS = {"scan", "while", "cond"}
# What XLA does not compute in the loop that uses it, and what does not fuse what it uses.
_WHOLE = {*_CALLS, *_LOOPS, "dot_general", "sort", "gather", "scatter", "scatter-add", "conv_general_dilated"}
_WHOLE |= {"reduce_sum", "reduce_max", "argmax", "argmin", "cumsum", "concatenate", "dynamic_update_slice"}


def bytes_needed(jaxpr: ClosedJaxpr) -> int:
    """Estimate from above how many bytes jaxpr needs, its results included and its arguments not."""
    return int(MARGIN * _peak(jaxpr.jaxpr, ()))


def _peak(jaxpr, owned):
    """Return how many bytes are alive at most, of values made here and of the arguments that are owned.

    A value is alive from the equation that makes it to the last one that uses it, but for those that XLA computes where
    they are used. A result takes the place of arguments that are not used again.
    """
    uses: dict[Var, list[int]] = {}
    for index, eqn in enumerate(jaxpr.eqns):
        for v in {v for v in eqn.invars if isinstance(v, Var)}:
            uses.setdefault(v, []).append(index)
    for v in jaxpr.outvars:
        if isinstance(v, Var):
            uses.setdefault(v, []).append(len(jaxpr.eqns))
    alive: dict[Any, int] = {v: _size(v.aval) for v in owned if v in uses}
    now = most = sum(alive.values())
    for index, eqn in enumerate(jaxpr.eqns):
        name = eqn.primitive.name
        dying = [v for v in alive if uses[v][-1] == index]
        freed = sum(alive[v] for v in dying)
        made = {v: 0 if _is_fused(name, uses[v], jaxpr.eqns) else _size(v.aval) for v in eqn.outvars if v in uses}
        results = sum(made.values())
        inside = max([_peak(sub, _handed(eqn, sub, dying)) for sub in _subs(eqn)], default=0)
        if name in _LOOPS:  # what is carried is counted inside, what is stacked is not
            count = _scanned(eqn)[1] if name == "scan" else None
            carried = sum(_size(v.aval) for v in eqn.outvars[:count] if v in made)
            grown = max(inside + results - carried, results) - min(freed, carried)
        elif name in _CALLS:
            grown = max(inside - freed, results)
        elif name == "sort":
            grown = 3 * results
        elif name in _WHOLE:
            grown = results
        else:
            grown = inside + results - min(freed, results)
        most = max(most, now + grown)
        now += results - freed
        for v in dying:
            del alive[v]
        alive |= made
    return most


def _is_fused(name, uses, eqns):
    """Return whether XLA computes the result of such an equation inside the one equation that uses it."""
    if name in _WHOLE:
        return False
    if name in ("broadcast_in_dim", "iota", "reshape", "squeeze"):
        return True
    return len(uses) == 1 and uses[0] < len(eqns) and eqns[uses[0]].primitive.name not in _WHOLE - {"reduce_sum"}


def _handed(eqn, sub, dying):
    """Return the arguments of the jaxpr inside an equation whose memory it may use."""
    name, given = eqn.primitive.name, sub.invars
    if name == "scan":
        first, count = _scanned(eqn)
        return given[first : first + count]
    if name == "while":
        return given[eqn.params["body_nconsts"] :] if sub is eqn.params["body_jaxpr"].jaxpr else ()
    if name in _CALLS and len(given) == len(eqn.invars):
        return [
            v for v, outer in zip(given, eqn.invars, strict=True) if not isinstance(outer, Literal) and outer in dying
        ]
    return ()


def _scanned(eqn):
    """Return how many constants a scan has, and how many values it carries."""
    if "num_carry" in eqn.params:
        return eqn.params["num_consts"], eqn.params["num_carry"]
    constants, carried, _ = eqn.params["ft_in"].unpack()  # since jax 0.11 or 0.12
    return len(list(constants)), len(list(carried))


def _subs(eqn):
    for value in eqn.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one


def _size(aval):
    if jnp.issubdtype(aval.dtype, jax.dtypes.prng_key):
        return 8 * math.prod(aval.shape)
    return math.prod(aval.shape) * np.dtype(aval.dtype).itemsize
