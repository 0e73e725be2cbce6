"""Every data set by its name."""

import os
from collections.abc import Callable
from functools import partial

from jaxmlp._checks import check_choice
from jaxmlp.data import Dataset
from jaxmlp.datasets.digits import load_digits
from jaxmlp.datasets.images import FASHION_MNIST, MNIST, load_images
from jaxmlp.datasets.synthetic import LOGIC_GATES, logic_gate, noisy_line
from jaxmlp.datasets.titanic import load_titanic

# To add one: a function that returns a Dataset, and a row here. Those on disk take data_dir and mirror.
_ON_DISK: dict[str, Callable[..., Dataset]] = {
    "mnist": partial(load_images, MNIST),
    "fashion_mnist": partial(load_images, FASHION_MNIST),
    "titanic": load_titanic,
}
_ALWAYS_THERE: dict[str, Callable[[], Dataset]] = {
    "digits": load_digits,
    "noisy_line": noisy_line,
    **{gate: partial(logic_gate, gate) for gate in LOGIC_GATES},
}
NAMES = (*_ON_DISK, *_ALWAYS_THERE)


def load(name: str, *, data_dir: str | os.PathLike[str] | None = None, mirror: str | None = None) -> Dataset:
    """Load the data set name as NumPy arrays.

    mnist and fashion_mnist come from the first place that has them, with the same examples in the same order:

    1. a directory that TFDS prepared, data_dir/<name>/<version>, in its format array_record;
    2. the four IDX files, gzipped or not, in data_dir/<name>, in data_dir, or where Debian installs them;
    3. the network: the files that TFDS registers are fetched, checked against its checksums and prepared, by TFDS
       but without TensorFlow, as 1. Decoded images are kept in the user's cache folder ($XDG_CACHE_HOME/jaxmlp).

    titanic (1,309 passengers, 7 features, a fixed split, missing values filled: see jaxmlp.datasets.titanic) comes from
    the same places, with OpenML's file phpMYEkMl.csv for the IDX files; jaxmlp.datasets.titanic_table reads it unsplit.

    digits, noisy_line and the logic gates are always there; data_dir and mirror mean nothing to them.

    Args:
        name: one of NAMES: digits, mnist, fashion_mnist, titanic, noisy_line, and, or, xor, ...
        data_dir: None: the environment variable TFDS_DATA_DIR, else ~/tensorflow_datasets.
        mirror: base address to fetch from, with the files at <mirror>/<name>/train-images-idx3-ubyte.gz and so on.
            None: the environment variable JAXMLP_MIRROR, else the addresses that TFDS registers.

    Returns:
        Dataset(name, train, test, image_shape, class_names): x (n, features) float32, images in [0, 1]; y (n,) int32,
        for noisy_line float32.

    Raises:
        ValueError: name is not known, or mirror is no address.
        DatasetUnavailableError: nothing on disk, and fetching failed, or what is on disk is damaged; the message
            names the file, the reason and what to do. It comes after 15 s without progress at the latest, and
            nothing half-made is left that a later call would believe.
    """
    check_choice("data set", name, NAMES)
    if name in _ON_DISK:
        return _ON_DISK[name](data_dir=data_dir, mirror=mirror)
    return _ALWAYS_THERE[name]()
