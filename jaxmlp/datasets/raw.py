"""A labelled image set as bytes, and the checks of it."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmlp.datasets.errors import unavailable

N_CLASSES = 10


class RawImages(NamedTuple):
    """The two splits, with pixels 0 to 255 and labels 0 to 9."""

    train_images: np.ndarray
    """(n_train, height, width) uint8."""
    train_labels: np.ndarray
    """(n_train,) uint8."""
    test_images: np.ndarray
    """(n_test, height, width) uint8."""
    test_labels: np.ndarray
    """(n_test,) uint8."""


def checked(raw: RawImages, where: Path, remedy: str) -> RawImages:
    """Return raw if its splits are complete and consistent; raise DatasetUnavailableError if not."""
    for split, images, labels in (("train", *raw[:2]), ("test", *raw[2:])):
        if images.dtype != np.uint8 or images.ndim != 3 or labels.dtype != np.uint8 or labels.ndim != 1:
            found = f"{images.dtype}{images.shape} and {labels.dtype}{labels.shape}"
            raise unavailable(where, f"{split}: expected uint8 (n, h, w) and (n,), got {found}", remedy)
        if len(images) != len(labels) or len(images) == 0:
            raise unavailable(where, f"{split}: {len(images)} images but {len(labels)} labels", remedy)
        if labels.max() >= N_CLASSES:
            raise unavailable(where, f"{split}: label {labels.max()}, expected 0 to {N_CLASSES - 1}", remedy)
    if raw.train_images.shape[1:] != raw.test_images.shape[1:]:
        sizes = f"{raw.train_images.shape[1:]} and {raw.test_images.shape[1:]}"
        raise unavailable(where, f"train and test images differ in size: {sizes}", remedy)
    return raw


def in_tfds_order(raw: RawImages) -> RawImages:
    """Return raw, which is in the order of the IDX files, in the order of TFDS.

    TFDS sorts a split by the MD5 of its name and the number of the example. With the IDX files in that order too, the
    same seed trains on the same batches wherever the data came from.
    """
    train = tfds_order("train", len(raw.train_labels))
    test = tfds_order("test", len(raw.test_labels))
    return RawImages(raw.train_images[train], raw.train_labels[train], raw.test_images[test], raw.test_labels[test])


def tfds_order(split: str, n: int) -> list[int]:
    """Return the numbers 0 to n - 1 of the examples of a split in the order of TFDS."""

    def digest(index: int) -> bytes:
        return hashlib.md5(f"{split}{index}".encode(), usedforsecurity=False).digest()

    return sorted(range(n), key=digest)
