"""The data sets by name."""

import os
from collections.abc import Callable
from functools import partial

from jaxmlp._checks import check_choice
from jaxmlp.data import Dataset
from jaxmlp.datasets.digits import load_digits
from jaxmlp.datasets.fetch import check_places
from jaxmlp.datasets.images import FASHION_MNIST, MNIST, load_images
from jaxmlp.datasets.synthetic import LOGIC_GATES, logic_gate, noisy_line
from jaxmlp.datasets.titanic import load_titanic

# To add one: write a function that returns a Dataset, and add a row here. Those on disk take data_dir and mirror.
_ON_DISK: dict[str, Callable[..., Dataset]] = {
    "mnist": partial(load_images, MNIST),
    "fashion_mnist": partial(load_images, FASHION_MNIST),
    "titanic": load_titanic,
}
_BUILT_IN: dict[str, Callable[[], Dataset]] = {
    "digits": load_digits,
    "noisy_line": noisy_line,
    **{gate: partial(logic_gate, gate) for gate in LOGIC_GATES},
}
NAMES = (*_ON_DISK, *_BUILT_IN)
"""The names of all data sets."""


def load(name: str, *, data_dir: str | os.PathLike[str] | None = None, mirror: str | None = None) -> Dataset:
    """Load a data set as NumPy arrays; the page of this module says which there are and where they come from.

    Args:
        name: one of NAMES: digits, mnist, fashion_mnist, titanic, noisy_line, and, or, xor, ...
        data_dir: folder of data sets on disk. None means the environment variable TFDS_DATA_DIR, else
            ~/tensorflow_datasets.
        mirror: base address to download from, with the files at MIRROR/NAME/train-images-idx3-ubyte.gz and so on. None
            means the environment variable JAXMLP_MIRROR, else the addresses that TFDS registers.

    Returns:
        Dataset(name, train, test, image_shape, class_names): x (n, features) float32, images in [0, 1]; y (n,) int32,
        for noisy_line float32.

    Raises:
        ValueError: the name is unknown, data_dir is no path, or mirror is not an address.
        TypeError: an argument is of the wrong type.
        DatasetUnavailableError: the data set is not on disk and cannot be downloaded, or a file on disk is damaged. The
            message names the file, the reason and what to do. A download without progress ends after 15 s at most, and
            leaves no incomplete file behind.
        ModuleNotFoundError: a package of the extra `data` is missing.

    Example:
        >>> import jaxmlp
        >>> digits = jaxmlp.datasets.load("digits")
        >>> print(digits.train[0].shape, digits.test[0].shape, digits.image_shape)
        (1437, 64) (360, 64) (8, 8)
    """
    check_choice("data set", name, NAMES)
    check_places(data_dir, mirror)
    if name in _ON_DISK:
        return _ON_DISK[name](data_dir=data_dir, mirror=mirror)
    return _BUILT_IN[name]()
