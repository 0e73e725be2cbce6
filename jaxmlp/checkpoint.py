"""Checkpoints: pytrees of arrays in safetensors files, written atomically and read back bit for bit."""

import functools
import json
import os
import zlib
from collections import namedtuple
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from jax.tree_util import keystr, tree_flatten_with_path
from safetensors.numpy import save as serialize

from jaxmlp import _files
from jaxmlp._arrays import PyTree, is_concrete
from jaxmlp._checks import check_path, shown

__docformat__ = "google"
__all__ = ["load", "save"]


def save(path: str | os.PathLike[str], tree: PyTree, metadata: dict[str, Any] | None = None) -> None:
    """Write tree and metadata to one safetensors file, atomically; equal trees give equal files.

    Args:
        path: of the file; missing folders are made. An existing file is replaced once the new one is on disk.
        tree: a pytree of JAX arrays, NumPy arrays, typed random keys and Python numbers; keys of dicts must be str or
            int. Each leaf is stored as a tensor named by its path, e.g. "params.0.w", so other programs can read it.
        metadata: a JSON-serialisable dict such as {"layer_sizes": [784, 128, 10]}.

    Raises:
        TypeError: a leaf, a dict key or metadata cannot be stored; raised before anything is written.
        OSError: the file cannot be written; a file that was at path before is unchanged.

    Example:
        >>> import tempfile
        >>> import jax, jaxmlp
        >>> net = jaxmlp.mlp((4, 8, 3))
        >>> params = net.init(jax.random.key(0))
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     jaxmlp.save(file.name, params, {"layer_sizes": [4, 8, 3]})
    """
    path = check_path("path", path)
    paths = tree_flatten_with_path(tree)[0]
    names, tensors, kinds = _names(paths), {}, {}
    for name, (keys, leaf) in zip(names, paths, strict=True):
        tensors[name], kinds[name] = _pack(leaf, f"tree{keystr(keys)}")
    metadata = _checked({} if metadata is None else metadata)
    text = json.dumps({"tree": _outline(tree, iter(names)), "kinds": kinds, "metadata": metadata})
    # A single entry, since safetensors does not keep the order of several.
    data = serialize(tensors, {"jaxmlp": f"{_checksum(tensors, text)} {text}"})
    try:
        _files.write(path, data)
    except OSError as error:
        hint = "no file was changed; free some space, or save to a file in a folder that you may write to"
        raise OSError(error.errno, f"{error.strerror}; {hint}", os.fspath(path)) from error


def load(path: str | os.PathLike[str], like: PyTree = None) -> tuple[PyTree, dict[str, Any]]:
    """Read a file that save wrote, or any other safetensors file.

    Args:
        path: of the file.
        like: a pytree with the expected structure, shapes and dtypes; its values are ignored. For parameters use
            jax.eval_shape(net.init, key); for the state of fit, TrainState(params, optimizer.init(params), key,
            jnp.int32(0)). Where like has a NumPy array the result has one too; elsewhere it has a JAX array.

    Returns:
        (tree, metadata); metadata is {} if none was given. With like, tree has its structure.

        Without like, each leaf is what was saved: a JAX array (on the default device), a NumPy array, a typed key or a
        Python number. Lists become tuples, and a NamedTuple becomes a named tuple of the same fields, which net.apply
        and the params of fit accept; the state of fit needs like. A file of another program gives a dict of JAX arrays
        by name; with like, a dot in a name may also stand for a level of nesting.

    Raises:
        ValueError: the file is damaged, of another format or does not match like; or it has a 64-bit array that JAX
            would narrow (enable x64, or give a like with a NumPy array there).
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> import jax, jaxmlp
        >>> net, key = jaxmlp.mlp((4, 8, 3)), jax.random.key(0)
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     jaxmlp.save(file.name, net.init(key), {"layer_sizes": [4, 8, 3]})
        ...     params, metadata = jaxmlp.load(file.name, jax.eval_shape(net.init, key))
        >>> print(params[0].w.shape, metadata)
        (4, 8) {'layer_sizes': [4, 8, 3]}
    """
    path = check_path("path", path)
    tensors, kinds, outline, metadata = _read(path)
    paths, structure = tree_flatten_with_path(like)
    names = _names(paths)
    missing, unknown = sorted(set(names) - set(tensors)), sorted(set(tensors) - set(names))
    if like is not None and (missing or unknown):
        found = f"only like has {missing[:3] or 'nothing'}, only the file has {unknown[:3] or 'nothing'}"
        raise ValueError(f"{path} and like differ, {found}; give a like of the tree that was saved, or none")
    expected = {name: leaf for name, (_, leaf) in zip(names, paths, strict=True)}
    leaves = {n: _unpack(path, n, array, kinds.get(n, "jax"), expected.get(n)) for n, array in tensors.items()}
    tree = _build(outline, leaves) if like is None else structure.unflatten([leaves[name] for name in names])
    return tree, metadata


# The dtypes that both safetensors and JAX have: name in a file -> name in JAX.
DTYPES = {f"{name[0].upper()}{bits}": f"{name}{bits}" for name in ("int", "uint", "float") for bits in (16, 32, 64)}
DTYPES |= {"BOOL": "bool", "I8": "int8", "U8": "uint8", "BF16": "bfloat16"}
DTYPES |= {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}


def _pack(leaf, where):
    """Return a leaf as a NumPy array, and the kind of leaf that it was."""
    if not is_concrete(leaf):
        raise TypeError(f"{where} is traced and has no values yet; call save outside jit, vmap and grad")
    if isinstance(leaf, np.ma.MaskedArray):
        raise TypeError(f"{where} is a masked array, whose mask would be lost; save its data and its mask instead")
    if isinstance(leaf, np.ndarray | np.generic):
        kind = "numpy"
    elif isinstance(leaf, jax.Array):
        kind = "jax"
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            kind, leaf = f"key {jax.random.key_impl(leaf)}", jax.random.key_data(leaf)
    elif isinstance(leaf, bool | int | float):
        kind = "python"
    else:
        raise TypeError(f"{where} must be an array or a number, got {shown(leaf)}; settings and text go into metadata")
    array = np.asarray(leaf)
    if array.dtype.name not in DTYPES.values():
        raise TypeError(f"{where} is {array.dtype}, which safetensors cannot hold; cast it to another dtype")
    # safetensors copies the memory as it is.
    return array.astype(array.dtype.newbyteorder("="), order="C", copy=False), kind


def _unpack(path, name, array, kind, wanted):
    """Turn an array of the file back into a leaf; wanted is the leaf of like at this place, None without like."""
    if kind == "python":
        array = array.item()
    elif kind.startswith("key "):
        array = jax.random.wrap_key_data(jnp.asarray(array), impl=kind.removeprefix("key "))
    if wanted is not None and _form(array) != _form(wanted):
        hint = "give a like of the tree that was saved, or none"
        raise ValueError(f"{path}: {name!r} is {_form(array)}, but like has {_form(wanted)} there; {hint}")
    if kind not in ("jax", "numpy"):
        return array
    if isinstance(wanted, np.ndarray) or (kind == "numpy" and (wanted is None or isinstance(wanted, np.generic))):
        return np.array(array)
    if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        hint = "call jax.config.update('jax_enable_x64', True) before, or give a like with a NumPy array there"
        raise ValueError(f"{path}: {name!r} is {_form(array)}, which JAX would narrow to 32 bits; {hint}")
    return jnp.asarray(array)


def _form(leaf):
    if hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
        return f"{leaf.dtype.name} of shape {leaf.shape}"
    return f"a Python {type(leaf).__name__}"


def _names(paths):
    """Name each leaf by its path, keys joined by dots; equal paths give equal names, and all names are different."""
    names = {"__metadata__": None}  # the name that the format reserves
    for path, _ in paths:
        name = keystr(path, simple=True, separator=".")
        while name in names:  # {"a.b": x, "a": {"b": y}}
            name += "'"
        names[name] = None
    return list(names)[1:]


def _outline(node, names):
    """Return the structure for JSON: None, the name of a leaf, or [form, labels, parts]."""
    parts = tree_flatten_with_path(node, is_leaf=lambda part: part is not node)[0]  # one level down
    if node is None or (parts and not parts[0][0]):
        return None if node is None else next(names)
    outlines = [_outline(part, names) for _, part in parts]
    if isinstance(node, dict):
        labels = [keys[0].key for keys, _ in parts]
        for label in labels:
            if not isinstance(label, str | int):
                raise TypeError(f"dict keys must be str or int to be saved, got {shown(label)}; rename the key")
        return ["dict", labels, outlines]
    fields = getattr(node, "_fields", None) if isinstance(node, tuple) else None
    return ["tuple", fields, outlines]


def _build(outline, leaves):
    """Return the tree of an outline, with the leaves by name."""
    if outline is None or isinstance(outline, str):
        return None if outline is None else leaves[outline]
    form, labels, parts = outline
    values = [_build(part, leaves) for part in parts]
    if form == "dict":
        return dict(zip(labels, values, strict=True))
    return tuple(values) if labels is None else _named_tuple(tuple(labels))(*values)


@functools.cache  # one type for the same fields, so that trees loaded one after the other have the same structure
def _named_tuple(fields):
    return namedtuple("Loaded", fields)


def _read(path):
    """Return the tensors and kinds of leaves by name, the outline of the tree, and the user's metadata."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; give the path of a file that save wrote", str(path)) from error
    hint = "load a copy of it, or save it again"
    try:
        found = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is cut short, damaged or not a safetensors file ({error}); {hint}") from error
    unknown = [name for name, entry in found if entry["dtype"] not in DTYPES]
    if unknown:
        raise ValueError(f"{path} has dtypes that JAX or this reader lacks, in {unknown[:3]}; save it with others")
    tensors = {
        name: np.frombuffer(entry["data"], jnp.dtype(DTYPES[entry["dtype"]])).reshape(entry["shape"])
        for name, entry in sorted(found, key=lambda item: item[0])
    }
    # deserialize has checked the header, a JSON object after its length, but does not return the metadata in it.
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
    if "jaxmlp" not in metadata:
        return tensors, {}, ["dict", list(tensors), list(tensors)], metadata
    checksum, _, text = metadata["jaxmlp"].partition(" ")
    if checksum != _checksum(tensors, text):
        raise ValueError(f"{path} has changed since it was saved, its checksum differs; {hint}")
    try:
        saved = json.loads(text)
        kinds, outline, users = saved["kinds"], saved["tree"], saved["metadata"]
        _check_kinds(kinds, tensors)
        if sorted(_leaves(outline)) != sorted(tensors) or not isinstance(users, dict):
            raise ValueError("the outline does not name every tensor once")
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {shown(str(error))}"
        raise ValueError(f"{path} describes its content as save never does ({reason}); {hint}") from error
    return tensors, kinds, outline, users


def _check_kinds(kinds, tensors):
    """Raise a ValueError unless each tensor has a kind of leaf that _unpack can make of it."""
    if not isinstance(kinds, dict) or set(kinds) != set(tensors) or not all(isinstance(k, str) for k in kinds.values()):
        raise ValueError("the kinds are not those of the tensors")
    for name, kind in kinds.items():
        if kind == "python" and tensors[name].shape != ():
            raise ValueError(f"{name!r} is called a number and is an array")
        if kind.startswith("key "):
            given = jax.ShapeDtypeStruct(tensors[name].shape, tensors[name].dtype)
            jax.eval_shape(functools.partial(jax.random.wrap_key_data, impl=kind.removeprefix("key ")), given)
        elif kind not in ("jax", "numpy", "python"):
            raise ValueError(f"{kind!r} is no kind of leaf")


def _leaves(outline):
    """Return the names in an outline; raise a ValueError if _build cannot make a tree of it."""
    if outline is None or isinstance(outline, str):
        return [] if outline is None else [outline]
    form, labels, parts = outline
    if not isinstance(parts, list) or (labels is not None and len(labels) != len(parts)):
        raise ValueError("labels and parts differ in number")
    if form == "dict":
        if labels is None or not all(isinstance(label, str | int) for label in labels):
            raise ValueError("a key of a dict is neither str nor int")
        if len(set(labels)) != len(labels):
            raise ValueError("a dict has a key twice")
    elif form != "tuple":
        raise ValueError(f"{form!r} is no form of a node")
    elif labels is not None:
        _named_tuple(tuple(labels))  # raises where it is no name, or there twice
    return [name for part in parts for name in _leaves(part)]


def _checksum(tensors, text):
    """Return a CRC-32 of everything in the file: the format has none, so a flipped bit would be read as a number."""
    checksum = zlib.crc32(text.encode())
    for name, array in sorted(tensors.items()):
        checksum = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(array.reshape(-1).view(np.uint8), checksum)
    return f"{checksum:08x}"


def _checked(metadata):
    try:
        kept = isinstance(metadata, dict) and json.loads(json.dumps(metadata, allow_nan=False)) == metadata
    except (TypeError, ValueError, RecursionError):
        kept = False
    if not kept:
        hint = "write tuples and arrays as lists, NaN as None, or put arrays into the tree"
        raise TypeError(f"metadata must be a dict that JSON gives back equal, got {shown(metadata)}; {hint}")
    return metadata
