"""What runs are measured by within an epoch, and example by example."""

import jax
import numpy as np
import pytest

import jaxmlp
from jaxmlp.comparison import scores
from jaxmlp.comparison.measures import Early, early_steps


@pytest.fixture(scope="module")
def digits():
    return jaxmlp.datasets.load("digits")


def test_an_early_measurement_is_that_of_a_run_that_stops_there(digits, unoptimised):
    net = jaxmlp.mlp((64, 10))
    loss_fn, accuracy = jaxmlp.objective(net.apply), jaxmlp.accuracy(net.apply)
    train = tuple(part[:100] for part in digits.train)
    result = jaxmlp.fit(
        loss_fn,
        net.init(jax.random.key(0)),
        jaxmlp.optimizers.sgd(0.5),
        train,
        key=jax.random.key(1),
        epochs=2,
        batch_size=9,  # eleven batches and a remainder
        validation=digits.test,
        metrics={"accuracy": accuracy, "right": scores.Examples(scores.get("accuracy"), net.apply)},
        step_metrics={
            "early": Early(jax.numpy.asarray(digits.test[0]), jax.numpy.asarray(digits.test[1]), accuracy, (3, 12)),
            "index": lambda step: step.index,
        },
    )
    by_step, at_ends = result.history.step_metrics["early"], result.history.metrics["accuracy"]
    np.testing.assert_array_equal(result.history.step_metrics["index"], np.arange(24).reshape(2, 12))
    assert np.flatnonzero(np.ravel(by_step) >= 0).tolist() == [3, 12]
    assert by_step[1, 0] == at_ends[0]  # before the second epoch: what the first ended with
    right = np.unpackbits(np.asarray(result.history.metrics["right"]), axis=1, count=len(digits.test[1]))
    np.testing.assert_allclose(right.mean(axis=1), at_ends, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 36, 469])
def test_early_steps_lie_inside_the_epoch_near_its_tenths(steps):
    at = early_steps(steps)
    assert list(at) == sorted(set(at)) and all(0 < step < steps for step in at) and len(at) == min(9, steps - 1)
    if steps >= 10:
        np.testing.assert_allclose(np.array(at) / steps, np.arange(1, 10) / 10, atol=0.5 / steps)
