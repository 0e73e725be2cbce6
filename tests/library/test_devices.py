"""One run on several devices: the numbers of one device, gradients reduced once a step, no gather of the data.

Two devices in the suite; JAXMLP_DEVICES=8 python -m pytest -s tests/library/test_devices.py for eight, with all rules
and kinds of meshes.
"""

import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import jaxmlp
from jaxmlp import instruments
from jaxmlp.training import program
from jaxmlp.training.partition import partition
from jaxmlp.training.rows import laid_out

pytestmark = pytest.mark.usefixtures("unoptimised")
ALL = "JAXMLP_DEVICES" in os.environ
RULES = list(jaxmlp.optimizers.OPTIMIZERS) if ALL else ["adam"]
KINDS = [AxisType.Auto, AxisType.Explicit] if ALL else [AxisType.Explicit]
N, BATCH = 64, 16
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 6)), RNG.integers(0, 3, N)
NET = jaxmlp.mlp((6, 8, 3), dropout=0.2, dtype=jnp.float64)
LOSS = jaxmlp.objective(NET.apply, l2=1e-3)
WEIGHTS = tuple((RNG.normal(size=shape) / 3, np.zeros(shape[1])) for shape in ((6, 8), (8, 3)))


def params():
    return tuple(jaxmlp.Layer(jnp.asarray(w), jnp.asarray(b)) for w, b in WEIGHTS)


def mesh(kind=AxisType.Auto):
    return Mesh(np.asarray(jax.devices()), ("data",), axis_types=(kind,))


def run(train=(X, Y), rule="adam", *, epochs=50, **options):
    optimizer = jaxmlp.optimizers.get(rule)(0.01)
    return jaxmlp.fit(
        LOSS, params(), optimizer, train, key=jax.random.key(1), epochs=epochs, batch_size=BATCH, **options
    )


def assert_close(result, expected):
    for left, right in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        if not jnp.issubdtype(left.dtype, jax.dtypes.prng_key):
            # 200 steps, each with gradients that are summed in another order.
            np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def alone():
    with jax.enable_x64(True):
        return run()


@pytest.mark.parametrize("rule", RULES)
def test_200_steps_of_sharded_data_are_those_of_one_device(rule, x64, alone):
    train = jax.device_put((X, Y), NamedSharding(mesh(), PartitionSpec("data")))
    result = run(train, rule)
    assert result.params[0].w.sharding.is_fully_replicated and len(result.params[0].w.devices()) == jax.device_count()
    assert_close(result, alone if rule == "adam" else run(rule=rule))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_mesh_that_is_set_divides_data_of_the_host(kind, x64, alone):
    with jax.set_mesh(mesh(kind)):
        result = run()
        assert_close(run(jax.device_put((X, Y), NamedSharding(mesh(kind), PartitionSpec("data")))), alone)
    assert_close(result, alone)


@pytest.mark.slow
def test_a_mesh_of_one_device_is_that_device(x64):
    one = Mesh(np.asarray(jax.devices()[:1]), ("data",), axis_types=(AxisType.Explicit,))
    expected, train = run(epochs=2), jax.device_put((X, Y), NamedSharding(one, PartitionSpec("data")))
    with jax.set_mesh(one):
        under_it = run(train, epochs=2)
    for result in (run(train, epochs=2), under_it):
        for left, right in zip(jax.tree.leaves(result.params), jax.tree.leaves(expected.params), strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.slow
def test_instruments_read_what_they_read_on_one_device(x64):
    measured = {"gradient": instruments.gradient_norm(every=1), "distance": instruments.distance(every=3)}
    expected = run(epochs=2, instruments=measured).history.instruments
    with jax.set_mesh(mesh()):
        assert_close(run(epochs=2, instruments=measured).history.instruments, expected)


@pytest.mark.slow
def test_what_does_not_divide_stays_right(x64):
    options = {"validation": (X[:21], Y[:21]), "metrics": {"accuracy": jaxmlp.accuracy(NET.apply)}, "patience": 3}
    options |= {"eval_batch_size": 8, "epochs": 4}
    odd = X[:43], Y[:43], np.linspace(0, 1, 43)  # 2 steps and a remainder of 11

    def augment(key, x):
        return x + 0.1 * jax.random.normal(key, x.shape, x.dtype)

    expected = run(odd, augment=augment, **options)
    with jax.set_mesh(mesh()):
        assert_close(run(odd, augment=augment, **options), expected)


@pytest.mark.skipif("jax.device_count() == 1", reason="one device reduces nothing")
def test_examples_on_two_meshes_are_refused(x64):
    two = Mesh(np.asarray(jax.devices()).reshape(1, -1), ("model", "data"))
    x, y = (jax.device_put(a, NamedSharding(m, PartitionSpec("data"))) for a, m in ((X, mesh()), (Y, two)))
    with pytest.raises(ValueError, match="all of train must lie on one mesh"):
        run((x, y))


def test_a_step_reduces_gradients_once_and_gathers_no_data(x64):
    train = jax.device_put((X, Y), NamedSharding(mesh(), PartitionSpec("data")))
    task = program.task_of(LOSS, jaxmlp.optimizers.adam(0.01), None, None, None, None, None, None)
    layout, start, train, _ = laid_out((params(), jax.random.key(1)), train, None)
    numbers, described = partition(task)
    settings = {"epochs": 2, "batch_size": BATCH, "keep_best": False, "shuffle": True, "eval_batch_size": None}
    lowered = program._run.lower(
        layout.everywhere(numbers), start, train, None, program=described, layout=layout, **settings
    )
    text = lowered.compile().as_text()
    names = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
    collectives = sorted(re.findall(rf" = (.*?) ({names})(?:-start)?\(", text), key=lambda found: found[1])
    print(
        f"on {jax.device_count()} devices, each step:", *(f"{name} of {shape}" for shape, name in collectives), sep="\n"
    )
    # Of the loss and all gradients together; the rows of x and of y go to the devices that compute with them.
    assert [name for _, name in collectives] == ["all-reduce", "reduce-scatter", "reduce-scatter"]
    reduced, *rows = [shape for shape, _ in collectives]
    sizes = [np.prod([int(n) for n in shape.split(",") if n]) for shape in re.findall(r"f64\[([\d,]*)\]", reduced)]
    assert sorted(sizes) == [1, 3, 8, 3 * 8, 6 * 8]
    own = BATCH // jax.device_count()
    assert sorted(re.sub(r"\{.*", "", shape) for shape in rows) == [f"f64[{own},6]", f"s64[{own}]"]
    assert "f64[64,6]" not in text, "no device holds all examples"


@pytest.mark.slow
def test_a_run_on_several_devices_is_kept_and_goes_on(x64, tmp_path):
    kept = {"checkpoint": tmp_path / "run", "every": 1, "epochs": 4}

    def interrupt(epoch, losses, metrics):
        if epoch == 2:
            raise KeyboardInterrupt

    with jax.set_mesh(mesh()):
        whole = run(epochs=4)
        with pytest.raises(KeyboardInterrupt):
            run(on_epoch=interrupt, **kept)
        for left, right in zip(jax.tree.leaves(run(**kept).params), jax.tree.leaves(whole.params), strict=True):
            np.testing.assert_array_equal(left, right)
