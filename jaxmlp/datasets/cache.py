"""Decoded images kept in the user's cache folder: a second load reads 55 MB instead of decoding 70,000 PNGs."""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jaxmlp._files import writing
from jaxmlp.datasets.raw import RawImages, checked

_FORMAT = 1  # raise it when what is stored, or how a source is decoded, changes


def cached(name: str, sources: Sequence[Path], read: Callable[[], RawImages]) -> RawImages:
    """Return read(), or what it returned when these very source files were read before.

    Kept arrays are believed if the stored key equals the sources' paths, sizes and times of now, zip's CRC-32 of
    each array is right, and shapes, dtypes and labels are. Where the cache cannot be written, it is done without.
    """
    key = _key(name, sources)  # before reading: a source that changes meanwhile leaves a key that never fits
    path = _path(name, sources)
    raw = _recall(path, key) if path else None
    if raw is None:
        raw = read()
        if path:
            _keep(path, key, raw)
    return raw


def _recall(path: Path, key: bytes) -> RawImages | None:
    # Whatever a missing or damaged file makes zipfile and NumPy raise, it means the same: decode again.
    # The file is opened here, since np.load leaves open one that it cannot read.
    with contextlib.suppress(Exception), path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        if stored["key"].tobytes() == key:
            return checked(RawImages(*(stored[field] for field in RawImages._fields)), path, "")
    return None


def _keep(path: Path, key: bytes, raw: RawImages) -> None:
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        archive = io.BytesIO()  # a ZipFile on a full disk fails once more when it is collected; bytes do not
        np.savez(archive, key=np.frombuffer(key, np.uint8), **raw._asdict())
        with writing(path, mode=0o600) as stream:
            stream.write(archive.getbuffer())


def _key(name: str, sources: Sequence[Path]) -> bytes:
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    return json.dumps({"format": _FORMAT, "name": name, "files": files}).encode()


def user_folder() -> Path | None:
    """Return this project's folder in the user's cache, by XDG's rules; None where there is no home to keep it in."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # by XDG's rules a relative path is ignored
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "jaxmlp"


def _path(name: str, sources: Sequence[Path]) -> Path | None:
    """Return the one cache file of a source, whatever its state; None where there is no place for it."""
    folder = user_folder()
    place = hashlib.sha256("\0".join(str(path.resolve()) for path in sources).encode()).hexdigest()[:16]
    return folder / "datasets" / f"{name}-{place}.npz" if folder else None
