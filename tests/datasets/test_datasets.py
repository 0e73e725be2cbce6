"""Data sets by name: what is always there, what is light to import, and the real images where they are on disk."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxmlp import datasets
from jaxmlp.datasets.synthetic import LOGIC_GATES


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"unknown data set 'fashion-mnist'.*Did you mean 'fashion_mnist'"):
        datasets.load("fashion-mnist")


def test_digits_are_there_without_a_file_and_split_once_and_for_all():
    digits = datasets.load("digits")
    again = datasets.load("digits")
    (x_train, y_train), (x_test, y_test) = digits.train, digits.test

    assert x_train.shape == (1437, 64) and x_test.shape == (360, 64)
    assert x_train.dtype == np.float32 and y_train.dtype == np.int32
    assert x_train.min() == 0 and x_train.max() == 1
    assert digits.image_shape == (8, 8) and digits.class_names == tuple("0123456789")
    np.testing.assert_array_equal(x_test, again.test[0])
    # Stratified: each class has the same share of both parts, up to the one example that rounding moves.
    assert np.abs(np.bincount(y_train) / 4 - np.bincount(y_test)).max() <= 1
    # No image of the whole set is lost or doubled: the sum of all 16ths of pixels is scikit-learn's.
    assert round(float(x_train.sum(dtype=float) + x_test.sum(dtype=float)) * 16) == 561718


def test_all_sixteen_gates_differ_and_say_what_they_compute():
    tables = {name: tuple(datasets.load(name).train[1].tolist()) for name in LOGIC_GATES}

    assert len(set(tables.values())) == 16
    assert tables["and"] == (0, 0, 0, 1)
    assert tables["xor"] == (0, 1, 1, 0)
    assert tables["first"] == (0, 0, 1, 1)
    assert tables["first_implies_second"] == (1, 1, 0, 1)


def test_a_gate_is_found_by_its_outputs_too():
    by_name, by_outputs = datasets.load("nand"), datasets.logic_gate("1110")

    assert by_outputs.name == "nand"
    x, y = by_outputs.train
    assert x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert x.dtype == np.float32 and y.dtype == np.int32
    np.testing.assert_array_equal(y, by_name.test[1])
    with pytest.raises(ValueError, match="unknown logic gate '1112'"):
        datasets.logic_gate("1112")


def test_the_noisy_line_lies_in_its_band_and_is_drawn_from_its_seed():
    line = datasets.noisy_line(3, n=1000)
    (x, y), (x_test, _) = line.train, line.test

    assert x.shape == (1000, 1) and y.shape == (1000,) and x.dtype == y.dtype == np.float32
    noise = y - (1837.5 * x[:, 0] + 14376.52)
    assert noise.min() > -0.1 and noise.max() < 10_000.1  # 0.1: y up to 6e5 is rounded to 0.03 in float32
    # The mean of 1,000 uniform numbers has deviation 10000 / sqrt(12 * 1000) = 91: five of them.
    assert abs(noise.mean() - 5000) < 457
    assert not np.array_equal(x, x_test)
    np.testing.assert_array_equal(datasets.noisy_line(3, n=1000).train[1], y)
    assert not np.array_equal(datasets.noisy_line(4, n=1000).train[1], y)
    assert datasets.load("noisy_line").class_names == ()
    with pytest.raises(ValueError, match="n must be at least 1"):
        datasets.noisy_line(n=0)


@pytest.mark.slow
def test_importing_the_package_imports_no_heavy_library():
    program = (
        "import sys, jaxmlp.datasets\n"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'sklearn', 'PIL', 'array_record'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def real_data(name):
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder:
        pytest.skip("TFDS_DATA_DIR is not set: no real images to read")
    if not (Path(folder) / name).is_dir():
        pytest.skip(f"TFDS_DATA_DIR={folder} holds no {name}")


@pytest.mark.slow
def test_real_mnist_has_the_published_mean_and_is_quick_the_second_time(tmp_path, monkeypatch):
    real_data("mnist")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = datasets.load("mnist")
    start = time.perf_counter()
    mnist = datasets.load("mnist")
    seconds = time.perf_counter() - start
    (x, y), (x_test, y_test) = mnist.train, mnist.test

    assert seconds < 2
    for part, kept in zip((*first.train, *first.test), (x, y, x_test, y_test), strict=True):
        np.testing.assert_array_equal(part, kept)
    assert x.shape == (60000, 784) and x_test.shape == (10000, 784) and mnist.image_shape == (28, 28)
    assert x.dtype == np.float32 and y.dtype == np.int32
    assert x.min() == 0 and x.max() == 1
    assert abs(x.mean(dtype=float) - 0.1307) < 5e-5  # half a unit of the last published digit
    std = np.sqrt(np.einsum("ij,ij", x, x, dtype=float) / x.size - x.mean(dtype=float) ** 2)  # without a float64 copy
    assert abs(std - 0.3081) < 5e-5
    assert np.bincount(y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@pytest.mark.slow
def test_real_fashion_mnist_is_balanced_and_named_as_tfds_names_it(tmp_path, monkeypatch):
    real_data("fashion_mnist")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    import tensorflow_datasets as tfds

    fashion = datasets.load("fashion_mnist")
    info = tfds.builder_cls("fashion_mnist")(data_dir=tmp_path).info

    assert np.bincount(fashion.train[1]).tolist() == [6000] * 10
    assert np.bincount(fashion.test[1]).tolist() == [1000] * 10
    assert abs(fashion.train[0].mean(dtype=float) - 0.2860) < 5e-5
    assert list(fashion.class_names) == info.features["label"].names
