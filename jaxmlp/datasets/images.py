"""MNIST and Fashion-MNIST: where they are searched, in which order, and how they become a Dataset."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmlp.data import Dataset, Examples
from jaxmlp.datasets import idx, tfds_directory
from jaxmlp.datasets.cache import cached
from jaxmlp.datasets.errors import DatasetUnavailableError, unavailable
from jaxmlp.datasets.fetch import MIRROR_VARIABLE, fetch
from jaxmlp.datasets.raw import RawImages, checked, in_tfds_order

_SCALE = (np.arange(256) / 255).astype(np.float32)  # a table: the exact quotient, and faster than dividing


class ImageSet(NamedTuple):
    """What is known of an image set before any of its files is read."""

    name: str
    """Also that of TFDS."""
    class_names: tuple[str, ...]
    """The names of the labels 0, 1, ..."""
    system_folder: Path
    """Where Debian installs the IDX files."""
    test_labels_sha256: str
    """Of the 10,000 test labels; it distinguishes the sets, since their files have the same names."""


MNIST = ImageSet(
    "mnist",
    tuple("0123456789"),
    Path("/usr/share/datasets/mnist"),
    "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
)
FASHION_MNIST = ImageSet(
    "fashion_mnist",
    (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    Path("/usr/share/datasets/fashion-mnist"),
    "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
)


def load_images(image_set: ImageSet, *, data_dir: str | os.PathLike[str] | None, mirror: str | None) -> Dataset:
    """Load image_set from the first place that has it, or download it; the arrays are always the same."""
    root = tfds_directory.root(data_dir)
    try:
        raw = _from_disk(image_set, root) or _fetched(image_set, root, mirror or os.environ.get(MIRROR_VARIABLE))
    except DatasetUnavailableError:
        raise
    except OSError as error:  # an unreadable folder, or a file that disappears while it is read
        raise unavailable(error.filename or root, error, "make it readable, or give another data_dir") from error
    return Dataset(
        name=image_set.name,
        train=_as_examples(raw.train_images, raw.train_labels),
        test=_as_examples(raw.test_images, raw.test_labels),
        image_shape=(raw.train_images.shape[1], raw.train_images.shape[2]),
        class_names=image_set.class_names,
    )


def _from_disk(image_set: ImageSet, root: Path) -> RawImages | None:
    """Return the set from a directory prepared by TFDS, else from IDX files; None if there is neither."""
    directory = tfds_directory.find(root / image_set.name)
    if directory is not None:
        return _from_directory(image_set, directory)
    paths = idx.find([root / image_set.name, root, image_set.system_folder])
    if paths:
        return cached(image_set.name, paths, lambda: _from_idx(image_set, paths))
    return None


def _from_directory(image_set: ImageSet, directory: Path) -> RawImages:
    def read() -> RawImages:
        return checked(tfds_directory.read(directory), directory, f"remove {directory}, so that it is prepared again")

    return cached(image_set.name, tfds_directory.files(directory), read)


def _from_idx(image_set: ImageSet, paths: list[Path]) -> RawImages:
    raw = checked(idx.read(paths), paths[0].parent, idx.REMEDY)
    labels = hashlib.sha256(raw.test_labels.tobytes()).hexdigest()
    for other in (MNIST, FASHION_MNIST):
        if other is not image_set and labels == other.test_labels_sha256:
            remedy = f"put the files of each set into a folder named after it, {paths[0].parent / other.name}"
            raise unavailable(paths[0].parent, f"holds {other.name}, not {image_set.name}", remedy)
    return in_tfds_order(raw)


def _fetched(image_set: ImageSet, root: Path, mirror: str | None) -> RawImages:
    """Download the registered files, let TFDS prepare them under root, and return what it prepared."""
    name = image_set.name
    downloads = root / "downloads" / name
    files = tfds_directory.registered_files(name)
    fetch(name, files, downloads, mirror=mirror, by_hand=root / name)
    paths = idx.find([downloads])
    raw = checked(idx.read(paths), downloads, idx.REMEDY)
    directory, written = tfds_directory.prepare(name, raw, root)
    for filename in files:
        (downloads / filename).unlink(missing_ok=True)
    return cached(name, tfds_directory.files(directory), lambda: written)


def _as_examples(images: np.ndarray, labels: np.ndarray) -> Examples:
    return _SCALE[images.reshape(len(images), -1)], labels.astype(np.int32)
