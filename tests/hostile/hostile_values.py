"""Values that no function expects, and how hypothesis draws them."""

from fractions import Fraction
from pathlib import Path

import hypothesis.extra.numpy as npst
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from hypothesis import strategies as st

import jaxmlp


class Broken:
    """An object whose every attempt at an answer fails."""

    def __repr__(self):
        raise RuntimeError("no text")

    def __index__(self):
        raise OverflowError("no index")

    def __array__(self, *_, **__):
        raise RuntimeError("no array")


class Indexed:
    """An object that says it is an integer, and then is a word."""

    def __index__(self):
        return "three"


class Text(str):
    """A str of a kind of its own."""


NUMBERS = [
    *(None, True, False, 0, -1, 1, 2**31 - 1, 2**31, 10**30, -(10**400), 0.0, -0.0, 0.5, 1.0, 2.9, -0.1, 1e-46, 1e-320),
    *(
        1e39,
        1e308,
        -1e308,
        0.99999999999,
        float("nan"),
        float("inf"),
        -float("inf"),
        1j,
        complex("nan"),
        Fraction(1, 3),
    ),
    *(np.float32(2.9), np.int8(-3), np.uint64(2**63), np.bool_(True), np.float16(0.5), np.longdouble(0.1)),
    *(np.datetime64("2020-01-01"), np.timedelta64(3, "D"), np.str_("0.1"), np.bytes_(b"1"), np.void(b"ab")),
]
ARRAYS = [
    np.array(2.9),
    np.array(np.nan),
    np.array(True),
    np.array([]),
    np.zeros((0, 4), np.float32),
    np.zeros((3, 0), np.float32),
    np.array([[1.0, 2.0]], ">f4"),
    np.array(5, ">i8"),
    np.ma.array([0.0, 1.0, 2.0], mask=[0, 1, 0]),
    np.ma.array(0.1, mask=True),
    np.ma.array([[1.0, 2.0], [3.0, -999.0]], mask=[[0, 0], [0, 1]]),
    np.array(["a", "b"]),
    np.array([object(), None]),
    np.array([1 + 5j, 2]),
    np.array([(1, 2.0)], [("a", int), ("b", float)]),
    np.full((3, 4), np.nan, np.float32),
    np.full((3, 4), np.inf),
    np.full((3, 4), np.finfo(np.float32).max, np.float32),
    np.full((3, 4), 1e-40, np.float32),
    np.zeros((3, 4), np.float32),
    np.zeros((3, 4), ml_dtypes.float8_e4m3fn),
    np.ones((3, 4), ml_dtypes.bfloat16),
    np.ones((3, 4), np.int64),
    np.ones((2, 3, 4, 1)),
    np.array([0, 1, 5]),
    np.array([0, 1, -1]),
    np.arange(12.0)[::-2],
    np.asfortranarray(np.ones((3, 4))),
    jnp.float32(2.9),
    jnp.float32(np.nan),
    jnp.zeros((3, 4), jnp.bfloat16),
    jnp.zeros((3, 5), jnp.uint32),
    jnp.zeros(2, jnp.uint32),
    jax.random.key(0),
    jax.random.key(0, impl="rbg"),
    jax.random.split(jax.random.key(0), 2),
    jax.ShapeDtypeStruct((3, 4), jnp.float32),
]
OTHERS = [
    *("", "relu", "reul", "adam", "xor", "0110", "a\0b", "\ud800", "n" * 5000, Text("relu"), b"abc", bytearray(b"a")),
    *((), [], {}, set(), {1, 2}, frozenset({3}), [[1], [1, 2]], [1, "a"], (None, None), {"a": 1}, {1: 2, None: 3}),
    *(
        range(3),
        iter([1, 2]),
        object(),
        Broken(),
        Indexed(),
        type,
        int,
        ...,
        NotImplemented,
        slice(3),
        memoryview(b"a"),
    ),
    *(
        Path("missing"),
        jaxmlp,
        ValueError("x"),
        (3, 4),
        (2, 3, 2),
        [4, 0, 3],
        ((1, 2), (3, 4)),
        [float("nan")],
        "~nobody/x",
    ),
]
POOL = [*NUMBERS, *ARRAYS, *OTHERS]

_dtypes = st.one_of(
    npst.floating_dtypes(endianness="?"),
    npst.integer_dtypes(endianness="?"),
    npst.complex_number_dtypes(),
    npst.boolean_dtypes(),
)
_scalars = st.one_of(
    st.integers(), st.floats(width=64), st.text(max_size=8), st.booleans(), st.none(), st.binary(max_size=4)
)
picked = st.integers(0, len(POOL) - 1).map(lambda place: POOL[place])
"""A value from the pool."""
drawn = st.one_of(
    picked,
    _scalars,
    npst.arrays(_dtypes, st.sampled_from([(), (1,), (3,), (3, 4), (3, 3), (4, 3), (3, 1)])),
    st.lists(_scalars, max_size=4),
    st.dictionaries(st.text(max_size=3), _scalars, max_size=3),
)
"""Any value: from the pool, or made up."""
