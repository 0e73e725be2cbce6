"""The IDX format of the original MNIST files: four files in one folder, gzipped or not."""

import gzip
import zlib
from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np

from jaxmlp.datasets.errors import unavailable
from jaxmlp.datasets.raw import RawImages

# In the order of RawImages: the name, and the number of axes, which the format calls idx3 and idx1.
FILENAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_AXES = (3, 1, 3, 1)
_UNSIGNED_BYTE = 0x08  # the third byte of the magic number: the type of the elements
_GZIP_MAGIC = b"\x1f\x8b"
REMEDY = "replace this file with a complete one, or move the folder away so that the data set is downloaded"


def find(folders: Iterable[Path]) -> list[Path]:
    """Return the paths of the four files in the first folder that has all of them; an empty list if none has."""
    for folder in folders:
        paths = [_plain_or_gzipped(folder / name) for name in FILENAMES]
        if all(path.is_file() for path in paths):
            return paths
    return []


def read(paths: Iterable[Path]) -> RawImages:
    """Read the four files in the order of FILENAMES; a damaged one raises DatasetUnavailableError."""
    return RawImages(*(_read_array(path, axes) for path, axes in zip(paths, _AXES, strict=True)))


def _plain_or_gzipped(path: Path) -> Path:
    return path if path.is_file() else path.with_name(f"{path.name}.gz")


def _read_array(path: Path, axes: int) -> np.ndarray:
    """Read one file of unsigned bytes: 0, 0, type, number of axes; each length as big-endian int32; the data."""
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise unavailable(path, error, REMEDY) from error
    magic = bytes([0, 0, _UNSIGNED_BYTE, axes])
    start = 4 + 4 * axes
    if data[:4] != magic or len(data) < start:
        raise unavailable(path, f"starts with {data[:4].hex()}, expected {magic.hex()}", REMEDY)
    shape = tuple(int(length) for length in np.frombuffer(data, ">u4", count=axes, offset=4))
    if len(data) != start + prod(shape):
        raise unavailable(path, f"{len(data)} bytes, but {start + prod(shape)} by its header {shape}", REMEDY)
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
