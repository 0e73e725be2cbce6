"""Arguments that once were taken and gave something silently wrong, or an error from below: each is refused by name."""

import os
import socket

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp
from jaxmlp import augment, data, datasets, losses, optimizers
from jaxmlp.optimizers import sgd
from jaxmlp.training.arguments import check_lengths

KEY = jax.random.key(0)
NET = jaxmlp.mlp((2, 3))
PARAMS = NET.init(KEY)
LOSS = jaxmlp.objective(NET.apply)
X, LABELS = np.ones((4, 2), np.float32), np.array([0, 1, 2, 0])
MASKED = np.ma.array([[1.0, 2.0], [3.0, -999.0]], mask=[[0, 0], [0, 1]])
BIG_ENDIAN = X.astype(">f4")
ONE_KEY = "one key of jax.random"


def fit(train=(X, LABELS), **settings):
    return jaxmlp.fit(LOSS, PARAMS, sgd(0.1), train, **{"key": KEY, "epochs": 1, "batch_size": 2, **settings})


def sweep(init_fn=NET.init, **settings):
    run = {"keys": jax.random.split(KEY, 1), "epochs": 1, "batch_size": 2, **settings}
    return jaxmlp.sweep(LOSS, init_fn, sgd, {"learning_rate": [0.1]}, (X, LABELS), **run)


def loss_of(name, outputs, targets):
    return losses.LOSSES[name](outputs, targets)


REFUSED = {
    "a fraction of an epoch": (lambda: fit(epochs=np.array(2.9)), "epochs must be an integer"),
    "a fraction of an epoch in JAX": (lambda: fit(epochs=jnp.float32(2.9)), "epochs must be an integer"),
    "True epochs": (lambda: fit(epochs=np.array(True)), "epochs must be an integer"),
    "NaN epochs": (lambda: fit(epochs=jnp.float32(np.nan)), "epochs must be an integer"),
    "several epochs": (lambda: fit(epochs=np.array([1, 2])), "epochs must be an integer"),
    "too many epochs": (lambda: fit(epochs=10**30), "epochs must be at most 2147483647"),
    "2 ** 31 epochs": (lambda: fit(epochs=2**31), "epochs must be at most 2147483647"),
    "a fraction of an example": (lambda: fit(batch_size=np.array(2.7)), "batch_size must be an integer"),
    "NaN patience": (
        lambda: fit(patience=jnp.float32(np.nan), validation=(X, LABELS)),
        "patience must be an integer",
    ),
    "a fraction of a unit": (lambda: jaxmlp.mlp((4, np.array(5.7), 3)), "layer_sizes must be an integer"),
    "a fraction of a pixel": (lambda: augment.random_crop((2, 2), np.array(0.9)), "padding must be an integer"),
    "NaN runs at once": (lambda: sweep(runs_at_once=jnp.float32(np.nan)), "runs_at_once must be an integer"),
    "a negative seed": (lambda: data.split(X, LABELS, count=1, seed=-1), "seed must be at least 0"),
    "no example": (lambda: fit((X[:0], LABELS[:0])), "train"),
    "no example to validate": (lambda: fit(validation=(X[:0], LABELS[:0])), "validation"),
    "no example of accuracy": (lambda: jaxmlp.accuracy(NET.apply)(PARAMS, X[:0], LABELS[:0]), "at least one example"),
    "float8": (lambda: jaxmlp.mlp((4, 3), dtype="float8_e4m3fn"), "dtype must be floating point, got float8_e4m3fn"),
    "a rotation that float32 lacks": (lambda: augment.distort((2, 2), rotation=1e308), "rotation must be at least 0"),
    "a smoothness that float32 lacks": (
        lambda: augment.distort((2, 2), smoothness=1e-320),
        "smoothness must be at least",
    ),
    "a masked array in a file": (lambda: jaxmlp.save("no file", MASKED), "mask would be lost"),
    "masked moments": (lambda: data.moments(MASKED), "x is a masked array"),
    "masked medians": (lambda: data.medians(MASKED), "x is a masked array"),
    "masked, filled": (lambda: data.fill_missing(MASKED, np.zeros(2)), "x is a masked array"),
    "masked, standardised": (lambda: data.standardise(MASKED, data.moments(X)), "x is a masked array"),
    "masked, split": (lambda: data.split(MASKED, LABELS[:2], count=1, seed=0), "x is a masked array"),
    "masked labels, split": (
        lambda: data.split(X, np.ma.array(LABELS), count=1, seed=0),
        "y is a masked array",
    ),
    "masked, trained on": (lambda: fit((np.ma.array(X), LABELS)), "masked"),
    "complex outputs": (lambda: loss_of("mean_squared_error", [1 + 5j], [1.0]), "outputs must be real"),
    "complex targets": (lambda: loss_of("mean_squared_error", [1.0], [1 + 5j]), "targets must be real"),
    "several limits": (lambda: optimizers.max_norm([1.0, 2.0]), "limit must be one number"),
    "a folder called False": (lambda: datasets.load("titanic", data_dir=False), "data_dir must be a path"),
    "a folder called 0": (lambda: datasets.load("titanic", data_dir=0), "data_dir must be a path"),
    "an empty folder name": (lambda: datasets.load("titanic", data_dir=""), "data_dir must be a path"),
    "a list of no folder": (lambda: datasets.load("titanic", data_dir=[]), "data_dir must be a path"),
    "a folder called True": (lambda: datasets.load("titanic", data_dir=True), "data_dir must be a path"),
    "a mirror called 5": (lambda: datasets.load("titanic", mirror=5), "mirror must be an address"),
    "half a bracket": (
        lambda: datasets.load("titanic", mirror="http://[::1"),
        "mirror must be an http, https or file address",
    ),
    "a file called None": (lambda: jaxmlp.load(None), "path must be a path"),
    "None to write to": (lambda: jaxmlp.save(None, PARAMS), "path must be a path"),
    "a NUL in a path": (lambda: jaxmlp.load("a\0b"), "path must be a path, which .* has no NUL"),
    "no key to start": (lambda: NET.init(None), ONE_KEY),
    "a number as key": (lambda: NET.apply(PARAMS, X, key=3), ONE_KEY),
    "a wrong key to flip": (lambda: augment.random_flip((1, 2))(np.zeros(2, np.float32), X), ONE_KEY),
    "a wrong key to crop": (lambda: augment.random_crop((1, 2), 1)(None, X), ONE_KEY),
    "several keys": (lambda: fit(key=jax.random.split(KEY)), ONE_KEY),
    "numbers as keys": (lambda: sweep(keys=np.ones(3)), "keys must be an array of random keys"),
    "nothing to start from": (lambda: sweep(init_fn=None), "init_fn must be a function"),
    "no step": (lambda: jaxmlp.gradient_norms(None), "step must be a Step"),
    "weights without layers": (lambda: jaxmlp.largest_weights([1.0], None, None), "params must be those of an mlp"),
    "big-endian training data": (lambda: fit((BIG_ENDIAN, LABELS)), r"astype\('float32'\)"),
    "big-endian input": (lambda: NET.apply(PARAMS, BIG_ENDIAN), r"convert it, by x.astype\('float32'\)"),
    "big-endian outputs": (
        lambda: loss_of("mean_squared_error", BIG_ENDIAN, X),
        r"outputs has the byte order of another",
    ),
    "several answers as classes": (
        lambda: jaxmlp.accuracy(lambda params, x: x)(None, np.eye(2, 4), np.ones((2, 4))),
        "several yes-or-no answers each: use binary_accuracy",
    ),
} | {
    f"no example of {name}": (
        lambda name=name: loss_of(name, np.zeros((0, 3)), np.zeros(0, int) if name[0] == "s" else np.zeros((0, 3))),
        "at least one example",
    )
    for name in losses.LOSSES
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_name_and_nothing_is_compiled(name, compile_log):
    call, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        call()
    assert len(str(caught.value)) < 600
    assert not {"_run", "_compiled_factory", "_compiled_piece"} & set(compile_log)


def test_a_device_a_pipe_and_a_socket_are_no_place_for_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / "socket"))
    (tmp_path / "device").symlink_to("/dev/null")  # a link to it is followed, so it must be refused as well
    for name in ("pipe", "socket", "device"):
        before = (tmp_path / name).stat()
        with pytest.raises(OSError, match=f"Not a regular file.*{name}"):
            jaxmlp.save(tmp_path / name, PARAMS)
        assert (tmp_path / name).stat().st_mode == before.st_mode
    bound.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "pipe", "socket"]


def test_big_endian_arrays_are_read_where_numpy_reads_them(tmp_path):
    jaxmlp.save(tmp_path / "file", BIG_ENDIAN)
    np.testing.assert_array_equal(jaxmlp.load(tmp_path / "file")[0], X)


def test_more_examples_than_an_index_of_32_bits_counts_are_refused():
    many = np.broadcast_to(np.zeros((), np.uint8), (2**31,))
    with pytest.raises(ValueError, match=r"train must have fewer than 2\^31 examples, got 2,147,483,648"):
        check_lengths("train", (many, many))
