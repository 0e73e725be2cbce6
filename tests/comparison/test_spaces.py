"""Search spaces: from the unit interval to values and back, read from text, sampled without gaps."""

import numpy as np
import pytest

from jaxmlp.comparison import spaces
from jaxmlp.comparison.spaces import choice, log_uniform, one_minus_log_uniform, uniform

EVERY = [log_uniform(1e-5, 0.1), uniform(-1, 0.5), one_minus_log_uniform(1e-4, 0.5), choice(16, 32, 64)]


@pytest.mark.parametrize("dimension", EVERY, ids=str)
def test_a_dimension_maps_the_unit_interval_to_its_values_and_back(dimension):
    places = np.linspace(0, 0.999, 41)
    values = [dimension.at(place) for place in places]
    assert values == sorted(values)
    if isinstance(dimension, spaces.Choices):
        assert set(values) == {16, 32, 64} and [dimension.at(dimension.place(v)) for v in values] == values
    else:
        # Values are kept to four digits (distances from 1 to three), which is 5e-4 of them at most.
        np.testing.assert_allclose([dimension.place(value) for value in values], places, atol=1e-3)
        assert (dimension.place(-9.0), dimension.place(9.0)) == (0, 1)


@pytest.mark.parametrize("dimension", EVERY, ids=str)
def test_the_text_of_a_dimension_is_read_back(dimension):
    assert spaces.parse(str(dimension)) == dimension


def test_momenta_are_spread_by_their_distance_from_one():
    momenta = [one_minus_log_uniform(0.001, 1.0).at(place) for place in (0, 1 / 3, 2 / 3, 0.9999999)]
    assert momenta == [0.0, 0.9, 0.99, 0.999]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lgo_uniform(1, 2)", "Did you mean 'log_uniform'"),
        ("uniform(1)", "takes two numbers"),
        ("uniform(2, 1)", "low < high"),
        ("log_uniform(0, 1)", "0 < low < high"),
        ("log_uniform(1e-3, 1e400)", "got inf"),
        ("one_minus_log_uniform(0.1, 2)", "at most 1"),
        ("choice()", "different numbers, at least one"),
        ("choice(1, 1)", "different numbers"),
        ("choice('a')", "takes numbers"),
        ("uniform(low=0, high=1)", "takes numbers"),
        ("uniform(0, 1).x", "is not a dimension"),
        ("0.1", "is not a dimension"),
        ("", "is not a dimension"),
        ("(" * 500, "is not a dimension"),
    ],
)
def test_what_is_no_dimension_is_refused_with_an_example(text, message):
    with pytest.raises(ValueError) as error:
        spaces.parse(text)
    assert message in str(error.value)


def test_nothing_in_a_text_is_executed(capsys):
    for text in ("uniform(print('run'), 1)", "print('run')", "uniform(__import__('os').getpid(), 9e9)"):
        with pytest.raises(ValueError):
            spaces.parse(text)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("text", ["beta=uniform(0, 1)", "mine.beta", "mine.=uniform(0, 1)", ".b=uniform(0,1)"])
def test_an_assignment_names_a_candidate_and_an_argument(text):
    with pytest.raises(ValueError, match=r"CANDIDATE\.ARGUMENT=DIMENSION|not a dimension"):
        spaces.parse_assignment(text)
    found = spaces.parse_assignment("dialects.torch.adam.b1 = uniform(0, 1)")
    assert found[:2] == ("dialects.torch.adam", "b1")


def test_sobol_points_fill_the_space_evenly_and_depend_on_the_seed_alone():
    space = {"learning_rate": log_uniform(1e-4, 1.0), "momentum": uniform(0, 1)}
    points = spaces.sobol_points(space, 64, seed=3)
    assert points == spaces.sobol_points(space, 64, seed=3) != spaces.sobol_points(space, 64, seed=4)
    rows = np.array([[d.place(point[name]) for name, d in space.items()] for point in points])
    # A scrambled Sobol sequence has one point in each of 64 equal strips of every axis, and in each of 8 x 8 squares.
    for axis in rows.T:
        assert len(set(np.floor(axis * 64 - 1e-9))) >= 60  # values are rounded to four digits
    assert len({(int(8 * x), int(8 * y)) for x, y in np.clip(rows, 0, 0.9999)}) >= 60
    assert len(spaces.sobol_points(space, 5, seed=0)) == 5
    assert spaces.sobol_points(space, 5, seed=0) == spaces.sobol_points(space, 8, seed=0)[:5]
