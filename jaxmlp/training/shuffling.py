"""A random order of the training examples."""

import math

import jax
import jax.numpy as jnp

SORTED = 2048
"""Up to this many examples are ordered by sorting random numbers, which takes little time then."""
ROUNDS = 8


def permutation(key: jax.Array, n: int) -> jax.Array:
    """Return the numbers from 0 to n - 1 in a random order.

    More than SORTED numbers lie in a table that is as square as can be. Each round turns every row by a random amount,
    and then every column, which is a Feistel network whose round functions are tables of random numbers:

        column = (column + shift[row]) mod columns
        row = (row + shift[column]) mod rows

    A table has up to a row of places too many. A number that lands there is moved on by the same permutation until it
    is below n, so that every number appears once.

    Not every order can come out, since there are fewer shifts than numbers. After three rounds, orders could no longer
    be told from uniform ones by their batches, neighbours, displacements or cycles (4,000 orders of 2,600 numbers).

    Args:
        key: decides the order.
        n: how many numbers.

    Returns:
        int32 array of shape (n,).

    Source:
        Luby and Rackoff (1988), "How to construct pseudorandom permutations from pseudorandom functions"; Black and
        Rogaway (2002), "Ciphers with arbitrary finite domains", section 5 and, for other n, section 4.
    """
    if n <= SORTED:
        return jax.random.permutation(key, n)
    rows = math.isqrt(n - 1) + 1
    columns = -(-n // rows)
    shifts = jax.random.randint(key, (ROUNDS, 2, rows), 0, jnp.array([[[columns], [rows]]], jnp.int32), jnp.int32)

    def turned(table, shift):
        row, column = table
        column = _wrapped(column + shift[0][row], columns)
        row = _wrapped(row + shift[1][column], rows)
        return (row, column), None

    table = tuple(jax.lax.broadcasted_iota(jnp.int32, (rows, columns), axis) for axis in (0, 1))
    (row, column), _ = jax.lax.scan(turned, table, shifts)
    following = (row * columns + column).ravel()
    if rows * columns == n:
        return following
    return jax.lax.while_loop(
        lambda order: jnp.any(order >= n), lambda order: jnp.where(order < n, order, following[order]), following[:n]
    )


def _wrapped(place, size):
    return jnp.where(place < size, place, place - size)
