"""Training inside shard_map, where JAX distinguishes values that vary over devices from replicated ones."""

from typing import Any

import jax

from jaxmlp._arrays import manual_axes, vary_like


def own(params, loss):
    """Inside shard_map, mark params as varying over the same mesh axes as the loss.

    If they stayed replicated, they would get the sum of the gradients of all devices, and parallel runs would mix.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return params
    kind = jax.eval_shape(loss)
    return jax.tree.map(lambda p: vary_like(p, kind), params)


def scan(body, carry, xs, length) -> Any:
    """Call lax.scan, also inside shard_map.

    There the carry must vary from the start over the mesh axes over which body makes it vary, e.g. where fresh zeros
    meet gradients that differ from device to device.
    """
    if jax.sharding.get_abstract_mesh().manual_axes:
        carry = _varying(body, carry, jax.tree.map(lambda a: a[0], xs))
    return jax.lax.scan(body, carry, xs, length=length)


def _varying(body, carry, x):
    while True:
        grown, _ = jax.eval_shape(body, carry, x)
        fixed = jax.tree.map(vary_like, carry, grown)
        if all(jax.tree.leaves(jax.tree.map(lambda a, b: manual_axes(a) == manual_axes(b), carry, fixed))):
            return carry
        carry = fixed
