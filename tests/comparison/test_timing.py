"""Candidates are timed in turns."""

import pytest

from jaxmlp.comparison import timing


def test_every_piece_is_warmed_up_and_then_takes_its_turn():
    calls = []
    runs = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    seconds = timing.in_turns(runs, turns=3)
    assert "".join(calls) == "abc" + "abc" + "cba" + "abc"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    assert all(value >= 0 for values in seconds.values() for value in values)


@pytest.mark.parametrize("turns", [0, -1, 1.5])
def test_turns_must_be_a_positive_integer(turns):
    with pytest.raises((ValueError, TypeError), match="turns"):
        timing.in_turns({"a": lambda: None}, turns=turns)
