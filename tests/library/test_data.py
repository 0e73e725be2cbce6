"""The split into a kept and a held-out part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmlp import Dataset, data


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(2, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))), st.integers(0, 2**32 - 1))
def test_split_deals_every_example_to_one_part_in_order(sizes, seed):
    n, count = sizes
    x, y = numbered(n)
    kept, held_out = data.split(x, y, count=count, seed=seed)
    assert len(held_out[0]) == count and len(kept[0]) == n - count
    for part_x, part_y in (kept, held_out):
        np.testing.assert_array_equal(part_x, np.stack([part_y, -part_y], axis=1))  # rows stay with their targets
        assert np.all(np.diff(part_y) > 0)  # in order
    assert sorted(np.concatenate([kept[1], held_out[1]])) == list(range(n))


def test_the_same_seed_holds_out_the_same_examples_and_another_seed_others():
    first, again, other = (data.split(*numbered(100), count=20, seed=seed)[1][1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_example_is_held_out_about_equally_often():
    n, count, seeds = 10, 3, 2000
    held_out = np.concatenate([data.split(*numbered(n), count=count, seed=seed)[1][1] for seed in range(seeds)])
    # Each example is held out with probability 0.3 per seed: 600 times, of standard deviation
    # sqrt(2000 * 0.3 * 0.7) = 20.5. The seeds are fixed, so five of those leave nothing to chance.
    assert np.max(np.abs(np.bincount(held_out, minlength=n) - 600)) < 5 * 20.5


def test_split_keeps_dtypes_and_inner_axes_and_leaves_its_arguments_alone():
    x, y = np.ones((6, 2, 3), np.float32), np.arange(6, dtype=np.int8)
    (kept_x, kept_y), (held_x, _) = data.split(x, y, count=2, seed=0)
    assert kept_x.shape == (4, 2, 3) and held_x.shape == (2, 2, 3)
    assert (kept_x.dtype, kept_y.dtype) == (np.float32, np.int8)
    held_x[:] = 7
    assert np.all(x == 1)


@pytest.mark.parametrize("count", [-1, 0, 6, 7])
def test_split_refuses_to_empty_a_part(count):
    with pytest.raises(ValueError, match=rf"count must be in \[1, 6\), got {count}"):
        data.split(*numbered(6), count=count, seed=0)


def test_split_refuses_parts_of_different_length():
    with pytest.raises(ValueError, match="same length, got 6 and 5"):
        data.split(np.zeros((6, 2)), np.zeros(5), count=1, seed=0)


def test_a_dataset_says_what_its_fields_are():
    assert Dataset._fields == ("name", "train", "test", "image_shape", "class_names")


def numbered(n):
    """Examples that can be recognised: row i is (i, -i), its target i."""
    y = np.arange(n)
    return np.stack([y, -y], axis=1), y
