"""The record of an experiment: JSON that says where its numbers came from, written whole or not at all."""

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxmlp
from jaxmlp import _files

__docformat__ = "google"
__all__ = [
    "FORMAT",
    "Place",
    "digest",
    "here",
    "of_places",
    "plain",
    "provenance",
    "read",
    "save_text",
    "seal",
    "write",
]

FORMAT = 3
"""Of the record of a comparison."""

_PACKAGES = ("jax", "jaxlib", "optax", "numpy", "scikit-learn", "tensorflow-datasets")


class Place(NamedTuple):
    """Where a piece of a comparison was done."""

    host: str
    """Name of the machine."""

    process: int
    """Number of the process on it."""

    device: str
    """What JAX calls its devices, and a CPU's threads, on which last digits of large matrix products depend."""

    def __str__(self) -> str:
        """Return it for a message."""
        return f"process {self.process} on {self.host}"


def here() -> Place:
    """Return the place of this process.

    Example:
        >>> here().process == os.getpid()
        True
    """
    return Place(platform.node(), os.getpid(), _devices())


def of_places(places: Iterable[Place], earlier: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """Count pieces by their places, for a record.

    Args:
        places: of the pieces.
        earlier: counts to add them to.

    Example:
        >>> of_places([Place("node1", 7, "cpu"), Place("node1", 7, "cpu")])
        [{'host': 'node1', 'process': 7, 'device': 'cpu', 'pieces': 2}]
    """
    counts = Counter(places)
    for each in earlier:
        counts[Place(*(each[field] for field in Place._fields))] += each["pieces"]
    return [{**place._asdict(), "pieces": count} for place, count in sorted(counts.items())]


def provenance() -> dict[str, Any]:
    """Say what made a result: versions, device and commit.

    Returns:
        Plain values. commit is None outside a git checkout, and ends in "+changes" if files differ from it.

    Example:
        >>> sorted(provenance())
        ['commit', 'cpus', 'device', 'machine', 'versions']
    """
    return {
        "versions": {"python": platform.python_version(), "jaxmlp": jaxmlp.__version__}
        | {name: _version(name) for name in _PACKAGES},
        "device": _device(),
        "cpus": _cpus(),
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
    _files.write(path, text + "\n")


def save_text(path: Path, text: str) -> None:
    """Write text in UTF-8, whole or not at all.

    Args:
        path: of the file; its folder is created if missing.
        text: the content.

    Raises:
        OSError: the file cannot be written; an older file at path stays as it was.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "table.md"
        >>> save_text(path, "| optimizer |")
        >>> path.read_text()
        '| optimizer |'
    """
    _files.write(path, text)


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
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a JSON record ({error}); run the experiment again") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is not a record of an experiment; run the experiment again")
    return record


def seal(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record, its own field "sha256" aside, by which an edited or damaged record is known.

    Example:
        >>> values = {"seeds": 5}
        >>> values["sha256"] = seal(values)
        >>> seal(values) == values["sha256"], seal(values | {"seeds": 6}) == values["sha256"]
        (True, False)
    """
    try:
        text = json.dumps(plain({name: value for name, value in record.items() if name != "sha256"}), sort_keys=True)
    except RecursionError:  # no record is nested that deep
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


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


def _device():
    device = jax.devices()[0]
    return f"{device.device_kind} ({device.platform})"


def _devices():
    count = jax.local_device_count()
    found = _device() if count == 1 else f"{count} x {_device()}"
    if jax.default_backend() != "cpu":
        return found
    threads = os.environ.get("NPROC") or _cpus()  # as XLA decides
    return f"{found} of {threads} {'thread' if str(threads) == '1' else 'threads'}"


def _cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit():
    """The commit of the checkout that tracks this very file; None where there is none.

    An installed package may lie in a virtual environment inside some other repository, whose commit says nothing of it.
    """
    here = Path(__file__)

    def git(*arguments):
        command = ["git", "-C", here.parent, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None
