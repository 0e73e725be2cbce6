"""fit in pieces: the bits of the uncut run, watched, interrupted, killed and continued."""

import datetime
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmlp
from jaxmlp import instruments
from jaxmlp.training import Interrupted, pieces

N, EPOCHS = 50, 10
NET = jaxmlp.mlp((5, 7, 3), dropout=0.2)
NOISY = jaxmlp.objective(NET.apply, l2=1e-3)
METRICS = {"accuracy": jaxmlp.accuracy(NET.apply)}


def jitter(key, x):
    return x + jnp.asarray(0.1, x.dtype) * jax.random.normal(key, x.shape, x.dtype)


@functools.cache
def data():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(N, 5)).astype(np.float32), rng.integers(0, 3, N)
    return (x, y), (x[:20], y[:20])


def run(optimizer=None, *, epochs=EPOCHS, **options):
    train, validation = data()
    everything = {"step_metrics": {"norms": jaxmlp.gradient_norms}, "augment": jitter, "patience": 4, "batch_size": 16}
    settings = {"validation": validation, "metrics": METRICS, "key": jax.random.key(1), **everything} | options
    loss_fn, params = settings.pop("loss_fn", NOISY), settings.pop("params", "new")
    params = NET.init(jax.random.key(0)) if params == "new" else params
    optimizer = optimizer or jaxmlp.optimizers.adam(0.05)
    return jaxmlp.fit(loss_fn, params, optimizer, settings.pop("train", train), epochs=epochs, **settings)


def assert_equal(a, b):
    """Bit for bit, typed keys included."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for left, right in zip(*(jax.tree.leaves(jax.tree.map(_plain, tree)) for tree in (a, b)), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


def _plain(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf)


@pytest.fixture(scope="module")
def uncut():
    return run()


class CrashError(Exception):
    pass


def crash_at(epoch, error=CrashError):
    def on_epoch(now, losses, metrics):
        if now == epoch:
            raise error

    return on_epoch


def test_a_run_in_pieces_has_the_bits_of_the_uncut_run(tmp_path, uncut):
    assert_equal(run(checkpoint=tmp_path / "run", every=3), uncut)  # pieces of 1, 2, 3, 3 and 1 epochs


@pytest.mark.slow
def test_a_run_in_pieces_has_the_bits_of_the_uncut_run_with_every_rule(tmp_path):
    rules = [rule(0.05) for rule in jaxmlp.optimizers.OPTIMIZERS.values()]

    def loss_fn(params, x, y, *, key=None):
        return jnp.sum(jax.vmap(lambda params: NOISY(params, x, y, key=key))(params))

    def init(params):
        return [rule.init(row(params, index)) for index, rule in enumerate(rules)]

    def update(grads, states, params):
        found = [rules[i].update(row(grads, i), state, row(params, i)) for i, state in enumerate(states)]
        updates, states = zip(*found, strict=True)
        return jax.tree.map(lambda *rows: jnp.stack(rows), *updates), list(states)

    optimizer = optax.GradientTransformation(init, update)
    params = jax.vmap(NET.init)(jax.random.split(jax.random.key(0), len(rules)))
    options = {"loss_fn": loss_fn, "params": params, "metrics": None, "epochs": 5}
    assert_equal(run(optimizer, checkpoint=tmp_path / "run", every=3, **options), run(optimizer, **options))


def row(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def test_on_epoch_sees_every_epoch_as_numbers(uncut):
    seen = []
    run(on_epoch=lambda *epoch: seen.append(epoch))
    trained = int(uncut.state.epoch)  # patience may end the run before
    assert [epoch for epoch, _, _ in seen] == list(range(trained))
    assert all(type(value) is float for _, *dicts in seen for values in dicts for value in values.values())
    assert [losses["train_loss"] for _, losses, _ in seen] == uncut.history.train_loss[:trained].tolist()
    assert [losses["validation_loss"] for _, losses, _ in seen] == uncut.history.validation_loss[:trained].tolist()
    assert [metrics["accuracy"] for *_, metrics in seen] == uncut.history.metrics["accuracy"][:trained].tolist()


def test_on_epoch_stops_the_run_after_exactly_that_epoch(tmp_path):
    kept = {"checkpoint": tmp_path / "run"}
    stopped = run(on_epoch=lambda epoch, losses, metrics: np.equal(epoch, 4), **kept)
    assert stopped.history.train_loss.shape == (5,)
    assert_equal(stopped, run(epochs=5, on_epoch=lambda *_: None))
    assert_equal(run(on_epoch=crash_at(5), **kept), stopped)  # a stopped run is a finished one
    more = {"patience": None, "epochs": EPOCHS + 2}
    run(on_epoch=lambda epoch, *_: epoch == 1, checkpoint=tmp_path / "more", **more | {"epochs": EPOCHS})
    assert_equal(run(checkpoint=tmp_path / "more", **more), run(on_epoch=lambda *_: None, **more))


def test_the_same_call_goes_on_after_a_crash_and_reads_a_finished_run(tmp_path, uncut):
    kept = {"checkpoint": tmp_path / "folder" / "run", "every": 2}
    with pytest.raises(CrashError):
        run(on_epoch=crash_at(5), **kept)
    seen = []
    again = run(params=None, key=None, on_epoch=lambda epoch, *_: seen.append(epoch), **kept)
    assert seen[0] == 4 and and_equal(again, uncut)
    assert_equal(run(on_epoch=crash_at(0), **kept), uncut)


def test_instruments_read_in_pieces_what_they_read_in_the_uncut_run(tmp_path):
    # Intervals that no piece and no epoch of 4 steps is a multiple of; one needs the parameters of the beginning.
    measured = {"gradient": instruments.gradient_norm(every=1), "distance": instruments.distance(every=3)}
    options = {"instruments": measured, "augment": None, "step_metrics": None}
    uncut, seen = run(**options), []
    assert_equal(run(on_epoch=lambda epoch, *_: seen.append(epoch), **options), uncut)
    assert seen == list(range(int(uncut.state.epoch))) and (uncut.history.instruments["distance"].values > 0).any()
    kept = {"checkpoint": tmp_path / "run", "every": 2}
    with pytest.raises(CrashError):
        run(on_epoch=crash_at(3), **kept, **options)
    assert_equal(run(**kept, **options), uncut)


def and_equal(a, b):
    """Compare without the names of the containers, which a file does not keep."""
    assert_equal(jax.tree.leaves(a), jax.tree.leaves(b))
    return True


def test_more_epochs_go_on_and_fewer_are_refused(tmp_path):
    kept = {"checkpoint": tmp_path / "run"}
    run(epochs=4, **kept)
    assert_equal(run(epochs=7, **kept), run(epochs=7, on_epoch=lambda *_: None))
    with pytest.raises(ValueError, match="keeps 7 epochs of the run, more than epochs=3"):
        run(epochs=3, **kept)


def test_ctrl_c_leaves_the_checkpoint_and_the_result_so_far(tmp_path, uncut):
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt) as caught:
        run(on_epoch=crash_at(6, KeyboardInterrupt), checkpoint=path, every=3)
    assert isinstance(caught.value, Interrupted) and str(path) in str(caught.value)
    assert_equal(caught.value.result, run(epochs=6, on_epoch=lambda *_: None))
    assert_equal(run(checkpoint=path), uncut)


def test_ctrl_c_in_the_first_epoch_has_no_result(tmp_path):
    with pytest.raises(Interrupted) as caught:
        run(on_epoch=crash_at(0, KeyboardInterrupt), checkpoint=tmp_path / "run")
    assert caught.value.result is None and not (tmp_path / "run").exists()


def test_a_run_that_continues_a_state_is_kept_too(tmp_path):
    options = {"patience": None, "keep_best": True}
    begun = run(epochs=3, on_epoch=lambda *_: None, **options).state
    kept = {"checkpoint": tmp_path / "run", "every": 1, "state": begun, "params": None, "key": None}
    with pytest.raises(CrashError):
        run(epochs=4, on_epoch=crash_at(5), **options, **kept)
    assert_equal(run(epochs=4, **options, **kept), run(epochs=4, **options, state=begun))
    with pytest.raises(ValueError, match="another state to begin with"):
        run(epochs=4, **options, **kept | {"state": begun._replace(epoch=jnp.int32(2))})


OTHER = {
    "batch_size": ({"batch_size": 8}, "batch_size=16, not 8"),
    "shuffle": ({"shuffle": False}, "shuffle=True, not False"),
    "rate": ({"optimizer": jaxmlp.optimizers.adam(0.01)}, "other hyperparameters"),
    "key": ({"key": jax.random.key(2)}, "another key"),
    "params": ({"params": NET.init(jax.random.key(7))}, "other initial params"),
    "train": ({"train": (data()[0][0] + 1, data()[0][1])}, "other training examples"),
    "validation": ({"validation": (data()[1][0] + 1, data()[1][1])}, "other validation examples"),
    "patience": ({"patience": 2}, "other hyperparameters"),
    "step_metrics": ({"step_metrics": {}}, "another network, loss"),
    "augment": ({"augment": lambda key, x: x}, "another network, loss"),
    "optimizer": ({"optimizer": jaxmlp.optimizers.sgd(0.1)}, "another network, loss|other hyperparameters"),
}


@pytest.fixture(scope="module")
def kept_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "run"
    run(checkpoint=path, epochs=2)
    return path


@pytest.mark.parametrize("name", OTHER)
def test_other_settings_are_refused(name, kept_run):
    changed, message = OTHER[name]
    before = kept_run.read_bytes()
    with pytest.raises(ValueError, match=message):
        run(changed.get("optimizer"), **{k: v for k, v in changed.items() if k != "optimizer"}, checkpoint=kept_run)
    assert kept_run.read_bytes() == before


def test_what_is_no_checkpoint_of_a_run_is_refused(tmp_path):
    jaxmlp.save(tmp_path / "params", NET.init(jax.random.key(0)))
    with pytest.raises(ValueError, match="is not the checkpoint of a run of fit; give another path"):
        run(checkpoint=tmp_path / "params")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        run(checkpoint=tmp_path)
    with pytest.raises(ValueError, match=r"there is no run to go on with at .*none; give params and key"):
        run(checkpoint=tmp_path / "none", params=None)
    with pytest.raises(ValueError, match="/dev/full is none"):
        run(checkpoint="/dev/full")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"every": 3}, ValueError, "give checkpoint=path too"),
        ({"every": 0, "checkpoint": "run"}, ValueError, "every must be at least 1"),
        ({"every": 2.0, "checkpoint": "run"}, TypeError, r"a number of epochs or a datetime.timedelta\(seconds=2\)"),
        ({"every": datetime.timedelta(-1), "checkpoint": "run"}, ValueError, "must not be negative"),
        ({"on_epoch": 3}, TypeError, "on_epoch must be a function"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be a path"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        run(**options)


def test_pieces_are_refused_under_a_trace():
    def trained(key):
        return run(key=key, on_epoch=print).params

    for transformed, keys in ((jax.jit(trained), KEYS[0]), (jax.vmap(trained), KEYS)):
        with pytest.raises(ValueError, match="which jit, vmap, grad and shard_map cannot"):
            transformed(keys)
    with pytest.raises(ValueError, match="which jit, vmap, grad and shard_map cannot"):
        jax.jit(lambda: run(on_epoch=print).params)()


KEYS = jax.random.split(jax.random.key(0), 2)


def test_every_may_be_a_time(tmp_path):
    seen = []

    def on_epoch(epoch, losses, metrics):
        seen.append((tmp_path / "run").exists())

    run(on_epoch=on_epoch, checkpoint=tmp_path / "run", every=datetime.timedelta(0))
    assert seen[0] is False and seen[-1] is True


def test_a_run_of_many_small_pieces_compiles_one_of_them(compile_log, monkeypatch, uncut):
    monkeypatch.setattr(pieces, "PIECE_SECONDS", 0.0)
    jax.clear_caches()
    assert_equal(run(on_epoch=print), uncut)
    assert compile_log.count("jit(_piece)") == 1
