"""A loss with noise, for tests of what depends on the key of a step."""

import functools

import jax


@functools.cache
def noisy(loss_fn):
    """A loss that draws one number from its key: it depends on the key as dropout does, and compiles in half the time.

    Equal losses give the same function, so that fit finds its program compiled.
    """

    def drawn(params, x, y, *, key=None):
        loss = loss_fn(params, x, y)
        return loss if key is None else loss * (1 + jax.random.uniform(key, (), loss.dtype))

    return drawn
