"""The distance to exact values, and that the library stays near them."""

import json

import mpmath as mp
import numpy as np
import pytest

from experiments.ulps import exact, experiment, measure


def test_a_unit_in_the_last_place_is_that_of_the_exact_value():
    one = np.float32(1)
    above, below = np.nextafter(one, np.float32(2)), np.nextafter(one, np.float32(0))
    tiny, largest = np.finfo(np.float32).smallest_normal, np.finfo(np.float32).max
    cases = [
        (1.0, one, 0),
        (1.0, above, 1),
        (1.0, below, 0.5),  # below a power of two, numbers lie twice as close
        (mp.mpf(1) + mp.mpf(2) ** -24, one, 0.5),
        (-2.0, np.float32(-2.0) - np.float32(2.0) ** -22, 1),
        (float(tiny) / 2, np.float32(0), 0),  # as a CPU flushes it
        (0, tiny * np.float32(2), 2**24),
        (2 * exact.number(largest), np.float32(np.inf), 0),
        (2 * exact.number(largest), np.float32(-np.inf), np.inf),
        (1.0, np.float32(np.nan), np.inf),
    ]
    found = exact.ulps(
        np.array([y for _, y, _ in cases]),
        [exact.number(f) if isinstance(f, np.generic) else mp.mpf(f) for f, _, _ in cases],
        np.float32,
    )
    np.testing.assert_array_equal(found, [distance for _, _, distance in cases])


def test_the_exact_functions_are_those_of_mpmath():
    for x in (-30.0, -1.5, 0.25, 3.0):
        x = mp.mpf(x)
        for name, (value, slope) in exact.ACTIVATIONS.items():
            if name != "step":  # whose slope mpmath would find at the jump
                assert mp.almosteq(slope(x), mp.diff(value, x), 1e-12, 1e-30), name
        phi = mp.ncdf(x)
        assert mp.almosteq(exact.ACTIVATIONS["gelu"][0](x), x * phi, 1e-45)
    with mp.workdps(30):
        value, (slope, _) = exact.softmax_cross_entropy([mp.mpf(1), mp.mpf(3)], 0)
        assert mp.almosteq(value, mp.log(mp.e + mp.e**3) - 1, 1e-28)
        assert mp.almosteq(slope, mp.e / (mp.e + mp.e**3) - 1, 1e-28)


def test_every_rule_with_equations_is_measured_and_one_step_is_its_equation():
    assert {f"optimizers.{name}" for name in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")} <= set(
        measure.rules()
    )
    lines = exact.equations(measure.rules()["optimizers.momentum"])
    numbers = {"learning_rate": mp.mpf(2), "momentum": mp.mpf("0.5")}
    assert exact.one_step(lines, mp.mpf(3), 1, {"velocity": mp.mpf(8)}, numbers) == -2 * (mp.mpf("0.5") * 8 + 3)


@pytest.mark.slow
def test_the_command_records_every_function_and_draws_it(tmp_path, monkeypatch):
    few = {name: rule for name, rule in measure.rules().items() if name in ("optimizers.sgd", "optimizers.adagrad")}
    monkeypatch.setattr(measure, "rules", lambda: few)
    monkeypatch.setattr(measure, "_torch_activation", lambda *arguments: {})  # its import takes seconds
    assert experiment.main(["--points", "20", "--dtypes", "float32", "--output", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results.json").read_text())["ulps"]["float32"]
    assert set(found["activations"]) == set(exact.ACTIVATIONS) and set(found["losses"]) == set(exact.LOSSES)
    assert (tmp_path / "ulps.png").stat().st_size > 10_000
    medians = [part["median"] for rows in found.values() for row in rows.values() for part in row["jaxmlp"].values()]
    assert max(medians) <= 1  # at single inputs it is more, which the table shows
