"""The record of an experiment: JSON that says where its numbers came from, written whole or not at all."""

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

__all__ = ["digest", "plain", "provenance", "read", "replacing", "write"]

_PACKAGES = ("jaxmlp", "jax", "jaxlib", "optax", "numpy", "scikit-learn", "tensorflow-datasets")


def provenance() -> dict[str, Any]:
    """Say what made a result: versions, device and commit.

    Returns:
        Plain values. commit is None outside a git checkout, and ends in "+changes" if files differ from it.

    Example:
        >>> sorted(provenance())
        ['commit', 'cpus', 'device', 'machine', 'versions']
    """
    device = jax.devices()[0]
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        "device": f"{device.device_kind} ({device.platform})",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "commit": _commit(),
    }


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all; NaN and infinity become null.

    Args:
        path: of the file; its folder is created if missing.
        record: nested mappings, sequences, NumPy or JAX arrays and plain values.

    Raises:
        OSError: the file cannot be written; an older file at path stays as it was.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "results.json"
        >>> write(path, {"losses": np.array([0.5, float("nan")])})
        >>> read(path)
        {'losses': [0.5, None]}
    """
    text = json.dumps(plain(record), indent=1, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read the record at path.

    Raises:
        ValueError: the file is not a record; says why.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "results.json"
        >>> write(path, {"seeds": 5})
        >>> read(path)
        {'seeds': 5}
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a JSON record ({error}); run the experiment again") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is not a record of an experiment; run the experiment again")
    return record


def digest(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of arrays, shapes and dtypes included; equal data sets have equal digests.

    Example:
        >>> digest(np.zeros(3)) == digest(np.zeros((3, 1)))
        False
    """
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape} {array.dtype} ".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in path's folder, with its ending, that takes path's place if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """Return value in terms of JSON: dicts, lists, strings, finite numbers, True, False and None.

    Example:
        >>> plain({"loss": np.array([0.5, np.inf]), "seeds": (0, 1)})
        {'loss': [0.5, None], 'seeds': [0, 1]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return plain(np.asarray(value).tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit():
    here = Path(__file__).parent

    def git(*arguments):
        done = subprocess.run(["git", "-C", here, *arguments], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _umask():
    # mkstemp makes a file that only its owner can read; a result should be as readable as any other file.
    mask = os.umask(0)
    os.umask(mask)
    return mask
