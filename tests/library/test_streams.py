"""fit on memory-mapped arrays and on batches: the bits of arrays in memory, kept positions, flat memory."""

import datetime
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp
from jaxmlp import instruments
from jaxmlp.training import Interrupted, streams

N, BATCH, EPOCHS = 100, 8, 4
NET = jaxmlp.mlp((6, 7, 3), dropout=0.2)
LOSS = jaxmlp.objective(NET.apply, l2=1e-3)
ADAM = jaxmlp.optimizers.adam(0.05)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(N, 6)).astype(np.float32), RNG.integers(0, 3, N)
OPTIONS = {
    "validation": (X[:20], Y[:20]),
    "metrics": {"accuracy": jaxmlp.accuracy(NET.apply)},
    "patience": 2,
    "step_metrics": {"norms": jaxmlp.gradient_norms},
    "augment": lambda key, x: x + jnp.asarray(0.1, x.dtype) * jax.random.normal(key, x.shape, x.dtype),
}


def run(train, *, params="new", key="new", epochs=EPOCHS, **more):
    params = NET.init(jax.random.key(0)) if params == "new" else params
    key = jax.random.key(1) if isinstance(key, str) else key
    return jaxmlp.fit(LOSS, params, ADAM, train, key=key, epochs=epochs, batch_size=BATCH, **OPTIONS | more)


def assert_equal(a, b):
    """Bit for bit; a file does not keep the names of containers."""
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(left.dtype, jax.dtypes.prng_key):
            left, right = jax.random.key_data(left), jax.random.key_data(right)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mapped")
    for name, array in (("x", X), ("y", Y), ("bytes", (np.abs(X) * 80).astype(np.uint8))):
        np.save(folder / f"{name}.npy", array)
    return {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}


@pytest.fixture(scope="module")
def in_memory():
    return run((X, Y))


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(streams, "CHUNK_BYTES", 3 * BATCH * (6 * 4 + 8))  # 12 batches and a half: 5 chunks


def batches(n=N):
    for start in range(0, n, BATCH):
        yield X[start : start + BATCH], Y[start : start + BATCH]


class Loader:
    """A loader that crashes at a batch, counted over all epochs."""

    def __init__(self, crash=None, n=N):
        self.crash, self.n, self.given = crash, n, 0

    def __iter__(self):
        for batch in batches(self.n):
            if self.given == self.crash:
                raise KeyboardInterrupt
            self.given += 1
            yield batch


def test_mapped_arrays_train_as_arrays_in_memory_do(mapped, in_memory, small_chunks):
    assert_equal(run((mapped["x"], mapped["y"])), in_memory)


def test_bytes_are_scaled_inside_the_step(mapped, small_chunks):
    floats, of_bytes = mapped["bytes"] * np.float32(1 / 255), (mapped["bytes"], mapped["y"])
    plain = {"augment": None}  # whose sum with a product may be rounded once
    whole = run((floats, Y), validation=(floats[:20], Y[:20]), **plain)
    for validation in (mapped["bytes"][:20], np.array(mapped["bytes"][:20])):
        assert_equal(run(of_bytes, validation=(validation, Y[:20]), **plain), whole)


def test_a_sweep_scales_bytes_as_fit_does(mapped):
    def swept(train):
        more = {"keys": jax.random.split(jax.random.key(0), 1), "epochs": 1, "batch_size": BATCH, "validation": train}
        return jaxmlp.sweep(LOSS, NET.init, jaxmlp.optimizers.adam, {"learning_rate": [0.1]}, train, **more)

    assert_equal(swept((mapped["bytes"], mapped["y"])), swept((mapped["bytes"] * np.float32(1 / 255), Y)))


def test_a_label_out_of_range_is_refused_wherever_it_lies(tmp_path, small_chunks):
    labels = np.where(np.arange(N) == N - 1, 7, Y)
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match="7"):
        run((np.load(tmp_path / "x.npy", mmap_mode="r"), labels), shuffle=False)
    with pytest.raises(ValueError, match="7"):
        run(lambda: ((X[i : i + BATCH], labels[i : i + BATCH]) for i in range(0, N, BATCH)))


@pytest.mark.parametrize("source", [batches, Loader()], ids=["function", "re-iterable"])
def test_batches_train_as_arrays_in_their_order_do(source, small_chunks):
    assert_equal(run(source), run((X, Y), shuffle=False))


def test_chunks_are_read_in_ascending_order_and_hold_every_example_once(mapped, small_chunks):
    order = np.random.default_rng(1).permutation(N).astype(np.int32)
    seen = []
    for chunk in streams.Mapped((np.arange(N), mapped["y"]), BATCH).chunks(order, 0):
        assert (np.diff(chunk.examples[0]) >= 0).all()
        seen += [chunk.examples[0][row] for row in chunk.rows[: chunk.count].reshape(-1)]
    assert seen == order.tolist()


def test_a_position_inside_an_epoch_is_kept(tmp_path, small_chunks):
    kept = {"checkpoint": tmp_path / "run", "every": datetime.timedelta(0)}
    with pytest.raises(KeyboardInterrupt):
        run(Loader(crash=13 + 9), **kept)
    again = Loader()
    assert_equal(run(again, params=None, key=None, **kept), run((X, Y), shuffle=False))
    with pytest.raises(ValueError, match="keeps a run with other training examples"):
        run(lambda: iter([(X[:BATCH] + 1, Y[:BATCH])]), **kept)


def test_the_position_in_mapped_arrays_is_kept(tmp_path, mapped, in_memory, small_chunks, monkeypatch):
    kept = {"checkpoint": tmp_path / "run", "every": datetime.timedelta(0)}
    read, reads = streams.Mapped._read, []

    def crashing(self, *given):
        reads.append(given)
        if len(reads) == 8:
            raise KeyboardInterrupt
        return read(self, *given)

    monkeypatch.setattr(streams.Mapped, "_read", crashing)
    with pytest.raises(Interrupted) as caught:
        run((mapped["x"], mapped["y"]), **kept)
    assert caught.value.result.history.train_loss.shape == (1,)
    reads += [None] * 10
    assert_equal(run((mapped["x"], mapped["y"]), **kept), in_memory)


@pytest.mark.slow
def test_instruments_read_from_a_stream_what_they_read_from_arrays(tmp_path, small_chunks):
    # 12 steps an epoch in chunks of 3: intervals that no chunk is a multiple of.
    measured = {"gradient": instruments.gradient_norm(every=1), "distance": instruments.distance(every=5)}
    nothing = dict.fromkeys(("metrics", "step_metrics", "augment", "patience"))
    options = {"instruments": measured, "shuffle": False, "epochs": 3, **nothing}
    kept = {"checkpoint": tmp_path / "run", "every": datetime.timedelta(0)}
    with pytest.raises(KeyboardInterrupt):
        run(Loader(crash=12 + 8, n=96), **kept, **options)
    assert_equal(run(Loader(n=96), **kept, **options), run((X[:96], Y[:96]), **options))


def test_on_epoch_stops_a_stream():
    stopped = run(batches, on_epoch=lambda epoch, losses, metrics: epoch == 1)
    assert stopped.history.train_loss.shape == (2,) and int(stopped.state.epoch) == 2


def one_batch():
    yield X[:BATCH], Y[:BATCH]


@pytest.mark.parametrize(
    ("train", "error", "message"),
    [
        (batches(), TypeError, "an iterator, which one epoch uses up"),
        (lambda: iter([]), ValueError, "train must give at least one batch"),
        (lambda: iter([(X[:4], Y[:4])]), ValueError, "train gives batches of 4 examples; batch_size must be the same"),
        (lambda: iter([X[:BATCH]]), TypeError, "a function without arguments that gives batches"),
        (len, TypeError, "a function without arguments that gives batches"),
        (lambda: iter([(X[:8], Y[:8]), (X[:3], Y[:3]), (X[:8], Y[:8])]), ValueError, "before the last one"),
        (lambda: iter([(X[:8], Y[:8]), (X[:8, :2], Y[:8])]), ValueError, "all batches of train must be alike"),
        (list(batches()), TypeError, "give a function that returns it: train=lambda: batches"),
    ],
    ids=["iterator", "empty", "size", "no pair", "no batches", "remainder", "shapes", "list"],
)
def test_wrong_streams(train, error, message):
    with pytest.raises(error, match=message):
        run(train)


def test_under_a_trace_mapped_arrays_are_arrays_and_batches_are_refused(mapped):
    def trained(key, train):
        return run(train, key=key, epochs=1, validation=None, metrics=None, patience=None).params

    assert_equal(
        jax.jit(lambda key: trained(key, (mapped["x"], mapped["y"])))(jax.random.key(1)),
        trained(jax.random.key(1), (X, Y)),
    )
    with pytest.raises(ValueError, match="train must be arrays inside jit"):
        jax.jit(lambda key: trained(key, batches))(jax.random.key(1))


FLAT = """
import resource, sys
import jax, numpy as np
import jaxmlp
from jaxmlp.training import streams
jax.config.update("jax_disable_most_optimizations", True)
streams.CHUNK_BYTES = 2**21
rows, width, batch = 81_920, 8_192, 128
x = np.lib.format.open_memmap(sys.argv[1] + "/x.npy", "w+", np.uint8, (rows, width))  # 0.7 GB, all holes
y = np.zeros(rows, np.int32)
x = np.load(sys.argv[1] + "/x.npy", mmap_mode="r")
def train(x, y):
    net = jaxmlp.mlp((x.shape[1], 4, 2))
    run = jaxmlp.objective(net.apply), net.init(jax.random.key(0)), jaxmlp.optimizers.sgd(0.1)
    return jaxmlp.fit(*run, (x, y), key=jax.random.key(1), epochs=1, batch_size=batch)
np.save(sys.argv[1] + "/small.npy", x[: 8 * batch])
jax.block_until_ready(train(np.load(sys.argv[1] + "/small.npy", mmap_mode="r"), y[: 8 * batch]))
# What compiles the order of so many rows needs memory too, which is not what is measured.
np.save(sys.argv[1] + "/thin.npy", np.zeros((rows, 1), np.uint8))
jax.block_until_ready(train(np.load(sys.argv[1] + "/thin.npy", mmap_mode="r"), y))
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 64_000_000,) * 2)
print(float(train(x, y).history.train_loss[0]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the limit is set by Linux's means")
def test_a_stream_ten_times_larger_than_the_memory_allowed(tmp_path):
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", FLAT, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    print(found.stdout)


def test_a_stream_compiles_its_step_once_for_batches_and_once_for_the_remainder(mapped, small_chunks, compile_log):
    jax.clear_caches()
    run((mapped["x"], mapped["y"]))
    assert [compile_log.count(f"jit({name})") for name in ("_chunk", "_closed", "_run")] == [2, 1, 0]
