"""Phrases for one seed and for several, and that no command words its own."""

from pathlib import Path

import numpy as np
import pytest

from experiments.common import training_figures, wording

FOLDER = Path(wording.__file__).parent.parent


def test_one_thing_is_singular():
    assert [wording.counted(n, "run") for n in (0, 1, 2, 1000)] == ["0 runs", "1 run", "2 runs", "1,000 runs"]
    assert [wording.over_seeds(n) for n in (1, 5)] == ["seed 0", "5 seeds"]


def test_a_range_of_one_value_is_that_value():
    assert wording.span([98.181, 98.1799]) == "98.18"
    assert wording.span(np.array([98.18, 97.75])) == "97.75 to 98.18"
    assert wording.span([1, 3], ".0f") == "1 to 3"


@pytest.mark.parametrize(
    ("probability", "decimals", "text", "bound"),
    [
        (0.123, 2, "12.30 %", "12.30 % or more"),
        (0.99995, 2, ">99.99 %", "more than 99.99 %"),
        (1.0, 4, ">99.9999 %", "more than 99.9999 %"),
        (0.9998, 4, "99.9800 %", "99.9800 % or more"),
        (0.0, 2, "<0.01 %", "<0.01 % or more"),
    ],
)
def test_a_probability_is_never_rounded_to_certainty(probability, decimals, text, bound):
    assert wording.percent(probability, decimals) == text
    assert wording.at_least(probability, decimals) == bound


@pytest.mark.parametrize(("seeds", "key"), [(1, False), (3, True)])
def test_the_key_to_thin_and_thick_lines_stands_where_there_are_several_seeds(seeds, key):
    curves = {"training": np.ones((seeds, 4)), "last": np.full((seeds, 4), 2.0)}
    figure = training_figures.losses("title", curves, np.ones((seeds, 4)), without_mean=("last",))
    ax = figure.axes[0]
    assert ("thin: seeds, thick: mean" in ax.get_title()) == key
    thick = [line for line in ax.lines if line.get_linewidth() > 2]
    assert len(thick) == 1  # the mean of "training" alone


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_command_counts_seeds_or_runs_in_its_own_words(path):
    text = path.read_text(encoding="utf-8")
    assert "seeds} seeds" not in text and "seeds} runs" not in text
