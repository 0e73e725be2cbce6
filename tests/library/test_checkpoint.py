"""save and load: every tree bit for bit, a run that goes on, and files that are whole or refused."""

import errno
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file, save_file

import jaxmlp
from jaxmlp import checkpoint
from jaxmlp.checkpoint import DTYPES, load, save

KEY = jax.random.key(3)
NET = jaxmlp.mlp((4, 5, 3), dropout=0.2)
PARAMS = NET.init(KEY)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tree.safetensors"


def bits(leaf):
    """Kind, dtype, shape and bytes of a leaf: all that a round trip must keep."""
    kind = jax.Array if isinstance(leaf, jax.Array) else type(leaf)
    typed = kind is jax.Array and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    array = np.asarray(jax.random.key_data(leaf) if typed else leaf)
    array = array.astype(array.dtype.newbyteorder("="))  # a file is little-endian
    return kind, leaf.dtype if typed else array.dtype, array.shape, array.tobytes()


def assert_same(a, b, structure=True):
    assert [bits(leaf) for leaf in jax.tree.leaves(a)] == [bits(leaf) for leaf in jax.tree.leaves(b)]
    assert not structure or jax.tree.structure(a) == jax.tree.structure(b)


TREES = {
    "params": PARAMS,
    "empty": {"a": (), "b": {}, "c": None, "d": ((), None)},
    "numbers": (1, -0.0, True, float("nan"), float("inf"), 2**63, -5),
    "shapes": (jnp.float32(0.1), jnp.bfloat16(0.1), np.array(0.1), jnp.zeros((0, 3)), np.zeros((2, 0), np.int64)),
    "dtypes": {name: np.arange(6).reshape(2, 3).astype(jnp.dtype(name)) for name in DTYPES.values()},
    "nan bits": np.array([0x7FC00001, 0xFFFFFFFF, 0x80000000], np.uint32).view(np.float32),
    "memory order": (np.arange(6.0).reshape(2, 3).T, np.arange(10)[::3], np.arange(3).astype(">f4")),
    "keys": {impl: jax.random.split(jax.random.key(1, impl=impl)) for impl in ("threefry2x32", "rbg", "unsafe_rbg")},
    "named": {"a": jaxmlp.Layer(jnp.ones(2), ()), "b": (jaxmlp.Layer(None, KEY), optax.EmptyState())},
    "int keys": {10: jnp.ones(1), 9: {0: 1, -1: 2}},
    "odd keys": {"a/b": 1, "a.b": 2, "a": {"b": 3, "b'": 4}, "a.b'": 5, "": 6, "ü\n\"\\'☃": 7, "__metadata__": 8},
}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_comes_back_bit_for_bit_with_like_and_without(path, name):
    save(path, TREES[name])
    tree, metadata = load(path)
    assert metadata == {}
    assert_same(tree, TREES[name], structure=name not in {"params", "named"})
    assert_same(load(path, TREES[name])[0], TREES[name])
    save(path, tree)  # what load makes without like is itself a tree, of one type each time
    assert_same(load(path)[0], tree)


@pytest.mark.slow
def test_training_goes_on_from_a_file_as_if_it_had_not_stopped(path):
    rng = np.random.default_rng(0)
    train = rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 3, 20)
    loss_fn, optimizer = jaxmlp.objective(NET.apply), jaxmlp.optimizers.adam(0.01)
    run = {"loss_fn": loss_fn, "optimizer": optimizer, "train": train, "key": KEY, "batch_size": 5}
    whole = jaxmlp.fit(params=PARAMS, epochs=4, **run)
    save(path, jaxmlp.fit(params=PARAMS, epochs=2, **run).state, {"note": "half way"})
    like = jaxmlp.TrainState(PARAMS, optimizer.init(PARAMS), KEY, jnp.int32(0))
    state, metadata = load(path, like)
    assert metadata == {"note": "half way"}
    assert_same(jaxmlp.fit(params=PARAMS, epochs=2, state=state, **run).state, whole.state)
    assert_same(load(path, jax.eval_shape(lambda: like))[0], state)


def test_parameters_serve_apply_without_like_and_other_programs(path):
    save(path, PARAMS)
    params, _ = load(path)
    np.testing.assert_array_equal(NET.apply(params, jnp.ones(4)), NET.apply(PARAMS, jnp.ones(4)))
    assert_same(load(path, jax.eval_shape(NET.init, KEY))[0], PARAMS)
    assert set(load_file(path)) == {"0.w", "0.b", "1.w", "1.b"}


@pytest.mark.parametrize(
    ("tree", "like", "message"),
    [
        (PARAMS, PARAMS[:1], r"only like has nothing, only the file has \['1.b', '1.w'\]; give a like"),
        ((1, 2), (1, 2, 3), r"only like has \['2'\], only the file has nothing; give"),
        (PARAMS, NET.init(KEY)[::-1], r"'0.b' is float32 of shape \(5,\), but like has .* \(3,\) there; give a like"),
        ({"x": jnp.ones(2)}, {"x": jnp.ones(2, int)}, r"'x' is float32 .*, but like has int32"),
        (KEY, jax.random.key_data(KEY), r"'' is key<fry> of shape \(\), but like has uint32 of shape \(2,\)"),
        ({"rate": 1.0}, {"rate": 1}, "'rate' is a Python float, but like has a Python int there"),
    ],
)
def test_a_like_that_differs_is_refused_with_its_path(path, tree, like, message):
    save(path, tree)
    with pytest.raises(ValueError, match=message):
        load(path, like)


def test_64_bits_are_never_narrowed(path, x64):
    tree = {"n": jnp.arange(3), "x": jnp.float64(1) / 3}
    save(path, tree)
    assert_same(load(path)[0], tree)
    with jax.enable_x64(False):
        for like in (None, jax.eval_shape(lambda: tree), tree):
            with pytest.raises(ValueError, match=r"'n' is int64 of shape \(3,\), which JAX would narrow.*enable_x64"):
                load(path, like)
        arrays = jax.tree.map(np.asarray, tree)
        assert_same(load(path, arrays)[0], arrays)


def test_a_file_of_another_program_is_a_dict_by_name(path):
    save_file({"w": np.ones((2, 3), np.float32), "layer.b": np.zeros(3, np.float16)}, path, metadata={"format": "np"})
    tree = {"w": jnp.ones((2, 3)), "layer.b": jnp.zeros(3, jnp.float16)}
    assert_same(load(path)[0], tree)
    assert load(path)[1] == {"format": "np"}
    assert_same(load(path, (nested := {"layer": {"b": tree["layer.b"]}, "w": tree["w"]}))[0], nested)


def test_metadata_comes_back_equal_and_nothing_else_is_taken(path):
    metadata = {"sizes": [784, 10], "rate": 0.1, "n": 2**70, "none": None, "é": {"deep": [True, "x", {}]}}
    save(path, PARAMS, metadata)
    for bad in ({"a": (1, 2)}, {1: 2}, {"a": np.ones(2)}, {"a": {1}}, {"a": np.inf}, [], "text"):
        with pytest.raises(TypeError, match="metadata must be a dict that JSON gives back"):
            save(path, PARAMS, bad)
    assert load(path)[1] == metadata


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        ("adam", r"tree\['a'\]\[0\] must be an array or a number, got 'adam'; .* metadata"),
        (np.ones(2, complex), r"tree\['a'\]\[0\] is complex128, which safetensors cannot hold; cast"),
        (2**70, "object, which safetensors cannot hold"),
        ({(1, 2): 3}, r"keys must be str or int to be saved, got \(1, 2\)"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_writing(path, leaf, message):
    with pytest.raises(TypeError, match=message):
        save(path, {"a": [leaf]})
    with pytest.raises(TypeError, match="call save outside jit"):
        jax.jit(lambda x: save(path, x))(1.0)
    assert not list(path.parent.iterdir())


def test_a_cut_anywhere_and_a_changed_byte_anywhere_are_noticed(path):
    save(path, {"w": jnp.arange(3.0)}, {"a": 1})
    whole = path.read_bytes()
    flips = [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(len(whole))]
    for data in [whole[:n] for n in range(len(whole))] + [whole + b"x", b"PK" * 99] + flips:
        # Under another name, what save added is the metadata of another program.
        if b'{"jaxmlp":' in data or len(data) != len(whole):
            path.write_bytes(data)
            with pytest.raises(ValueError, match=r"tree.safetensors .*; load a copy of it, or save it again"):
                load(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"kinds": {"a": "numpy"}},
        {"kinds": {"a": "numpy", "b.0": 5}},
        {"kinds": {"a": "numpy", "b.0": "pickle"}},
        {"kinds": {"a": "python", "b.0": "python"}},
        {"kinds": {"a": "key threefry2x32", "b.0": "python"}},
        {"tree": ["dict", ["a"], ["a"]]},
        {"tree": ["dict", ["a", "a"], ["a", "b.0"]]},
        {"tree": ["tuple", ["class", "b"], ["a", "b.0"]]},
        {"tree": ["set", None, ["a", "b.0"]]},
        {"tree": 5},
        {"metadata": []},
    ],
)
def test_content_that_save_never_writes_is_refused_though_its_checksum_is_right(path, changed):
    save(path, {"a": np.ones(3, np.float32), "b": (1,)})
    tensors, kinds, tree, metadata = checkpoint._read(path)
    text = json.dumps({"kinds": kinds, "tree": tree, "metadata": metadata} | changed)
    about = {"jaxmlp": f"{checkpoint._checksum(tensors, text)} {text}"}
    save_file(tensors, path, about)
    with pytest.raises(ValueError, match="as save never does"):
        load(path)


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(path, monkeypatch, broken):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    save(path, PARAMS)
    monkeypatch.setattr(os if broken == "fsync" else type(path), broken, full)
    with pytest.raises(OSError, match=r"No space left on device; no file was changed.*tree.safetensors"):
        save(path, (1, 2))
    assert_same(load(path, PARAMS)[0], PARAMS)
    assert list(path.parent.iterdir()) == [path]


def test_paths_that_do_not_serve_are_named(path):
    with pytest.raises(FileNotFoundError, match=r"give the path of a file that save wrote: .*tree.safetensors"):
        load(path)
    for call in (load, lambda folder: save(folder, 1)):
        with pytest.raises(IsADirectoryError, match=path.parent.name):
            call(path.parent)
    save(path, 1)
    with pytest.raises(OSError, match=r"save to a file in a folder that you may write to: .*tree.safetensors/x"):
        save(path / "x", 1)
    deep, link = path.parent / "runs" / ("n" * 250), path.parent / "latest"
    save(str(deep), 1)  # folders are made, and a long name leaves room for the temporary one
    link.symlink_to(deep)
    save(link, 2)
    assert load(deep)[0] == load(link)[0] == 2 and link.is_symlink()


def test_equal_trees_give_equal_files_with_ordinary_permissions(path):
    code = f"import jaxmlp.checkpoint as c; c.save({str(path)!r}, {{'b': 1, 'a': (2.0, None)}}, {{'x': 1, 'y': 2}})"
    subprocess.run([sys.executable, "-c", code], check=True)
    first, plain = path.read_bytes(), path.with_name("plain")
    save(path, {"a": (2.0, None), "b": 1}, {"x": 1, "y": 2})
    plain.touch()
    assert path.read_bytes() == first and path.stat().st_mode == plain.stat().st_mode
