"""Instruments in a comparison: what is kept of them, and their page."""

import numpy as np
import pytest

from jaxmlp.comparison import comparing, inside, plans, problems, records
from jaxmlp.comparison.page import inside as page
from jaxmlp.comparison.page.readings import COLUMNS, READING, colours, panel
from jaxmlp.comparison.store import quoted
from jaxmlp.instruments import Readings


def readings(steps=40):
    """Made-up readings of the whole panel."""
    at, rng = np.arange(0, steps, 4), np.random.default_rng(1)
    found = {name: Readings(at, rng.uniform(0.1, 1, len(at))) for name in inside.panel(4)}
    for name in ("loss", "update_ratio", "gradient_norm", "effective_learning_rate"):
        found[name] = Readings(np.arange(steps), rng.uniform(0.1, 1, steps))
    by_leaf = {f"[{layer}].{leaf}": rng.uniform(size=len(at)) for layer in range(3) for leaf in "wb"}
    scale = {name: rng.uniform(1, 2, len(at)) for name in ("trace", "signal", "scale")}
    histogram = rng.integers(0, 9, (len(at), 100))
    return found | {
        "gradient_norm_by_leaf": Readings(at, by_leaf),
        "gradient_noise_scale": Readings(at, scale),
        "gradient_histogram": Readings(at, histogram),
    }


def test_every_panel_is_explained_and_stands_in_one_column():
    shown = [name for names in COLUMNS.values() for name in names]
    assert sorted(shown) == sorted(READING)
    assert all("ealthy" in sentence for _, sentence in READING.values())
    assert set(shown) - {"stability"} <= set(inside.panel(10))


def test_the_page_holds_each_picture_with_its_sentence():
    runs = {"sgd": readings(), "adam": readings()}
    drawn = page.drawn(panel("loss", runs, colours(runs)))
    group = page.Group("What is shown.", dict.fromkeys(READING, drawn), colours(runs))
    edge = page.Group("The edge.", {}, {}, {"Sharpness": (drawn, "How to read it.")})
    text = page.text({"optimizers": group, "edge": edge}, "Seed 0.")
    assert text.count("<svg ") == text.count("</svg>") == text.count("<figure>") == len(READING) + 1
    for _, sentence in READING.values():
        assert page.html.escape(sentence) in text
    assert "How to read it." in text and "Seed 0." in text
    # Black and white become the page's ink and paper, which are other colours in the dark.
    assert "#000000" not in text and "#ffffff" not in text and '<i style="background: var(--ink)"></i>sgd' in text


def test_all_panels_are_drawn_also_of_a_run_that_diverged():
    broken = {
        name: Readings(
            r.steps, {k: v * np.nan for k, v in r.values.items()} if isinstance(r.values, dict) else r.values
        )
        for name, r in readings().items()
    }
    broken["loss"] = Readings(np.arange(40), np.full(40, np.nan))
    for name in READING:
        figure = panel(name, {"sgd": readings(), "broken": broken}, {"sgd": "#000000", "broken": "#D55E00"})
        assert figure.axes[0].get_title() == READING[name][0]


def test_arrays_are_read_back_as_the_readings_that_they_were():
    one, name = readings(), "adam (cosine)"
    arrays = {f"{quoted(name)}/{inside.INSIDE}/{path}": values for path, values in inside.arrays_of(one).items()}
    back = inside.readings(name, arrays | {"sgd/inside/loss/steps": np.zeros(1)})
    assert sorted(back) == sorted(one)
    for key, (steps, values) in one.items():
        np.testing.assert_array_equal(back[key].steps, steps)
        if isinstance(values, dict):
            assert sorted(back[key].values) == sorted(values)
        else:
            np.testing.assert_array_equal(back[key].values, values)


@pytest.mark.slow
def test_a_comparison_watches_the_first_run_of_each_race(tmp_path, rough):
    digits = problems.get("digits")
    settings = {"learning_rates": [0.1], "seeds": 1, "tuning_seeds": 1, "epochs": 1}
    plan = plans.make_plan(digits, ["sgd"], **settings)
    data = {"digits": problems.load(digits)}
    results, curves = comparing.train({"digits": plan}, data, tmp_path, why="a test", command="none", instruments=True)
    comparing.write_report(tmp_path, results, curves)
    found = inside.readings("sgd", records.of_problem("digits", curves))
    assert sorted(found) == sorted(inside.panel(1))
    # The mean loss of the batches is the race's training loss: it is the same run.
    mean, race = np.mean(found["loss"].values), curves["digits/sgd/race/train_loss"][0, 0]
    np.testing.assert_allclose(mean, race, rtol=0.02)
    text = (tmp_path / page.PAGE).read_text()
    assert text.count("<figure>") == len(READING) and "run of seed 1000 of each optimizer" in text
    assert f"href={page.PAGE}" in (tmp_path / comparing.PAGE).read_text()
    # The page of another comparison does not stay.
    comparing.write_report(tmp_path, results, {p: v for p, v in curves.items() if inside.INSIDE not in p.split("/")})
    assert not (tmp_path / page.PAGE).exists()
