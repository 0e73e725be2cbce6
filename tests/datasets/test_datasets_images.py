"""Image sets from prepared directories, IDX files and mirrors; damage to each; the cache of decoded arrays."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxmlp import datasets
from jaxmlp.datasets import DatasetUnavailableError, idx, images, tfds_directory
from jaxmlp.datasets.fetch import RegisteredFile
from jaxmlp.datasets.raw import RawImages, in_tfds_order


def fake(seed=0):
    """Return 30 and 20 images of noise, in the order of the IDX files."""
    generator = np.random.default_rng(seed)

    def split(n):
        return generator.integers(0, 256, (n, 28, 28), np.uint8), generator.integers(0, 10, n, np.uint8)

    return RawImages(*split(30), *split(20))


RAW = fake()
TRAIN = "train-images-idx3-ubyte"


def write_idx(folder, raw=RAW, *, gzipped=False):
    """Write raw as the four files; mtime=0 makes their bytes the same each time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(idx.FILENAMES, raw, strict=True):
        content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
        path = folder / (f"{name}.gz" if gzipped else name)
        path.write_bytes(gzip.compress(content, mtime=0) if gzipped else content)
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A data_dir that tensorflow-datasets prepared once, to be copied."""
    root = tmp_path_factory.mktemp("prepared")
    tfds_directory.prepare("mnist", RAW, root)
    return root


@pytest.fixture
def prepared(template, tmp_path):
    return shutil.copytree(template, tmp_path / "data")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No cache, data or mirror of the person who runs the tests is touched or used."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("JAXMLP_MIRROR", (tmp_path / "no_mirror").as_uri())
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(images, "MNIST", images.MNIST._replace(system_folder=tmp_path / "system"))


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror of RAW, whose files tensorflow-datasets is made to have registered."""
    folder = write_idx(tmp_path / "mirror" / "mnist", gzipped=True)
    files = {
        path.name: RegisteredFile(
            "http://registered.invalid", path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in folder.iterdir()
    }
    monkeypatch.setattr(tfds_directory, "registered_files", lambda name: files)
    monkeypatch.setenv("JAXMLP_MIRROR", folder.parent.as_uri())
    return folder


def load(data_dir=None):
    return images.load_images(images.MNIST, data_dir=data_dir, mirror=None)


def assert_is(dataset, raw=RAW):
    raw = in_tfds_order(raw)
    for (x, y), pixels, labels in (
        (dataset.train, raw.train_images, raw.train_labels),
        (dataset.test, raw.test_images, raw.test_labels),
    ):
        # Exact: the quotient in float64, rounded once to float32.
        np.testing.assert_array_equal(x, (pixels.reshape(len(pixels), 784) / 255).astype(np.float32))
        np.testing.assert_array_equal(y, labels)
        assert x.dtype == np.float32 and y.dtype == np.int32
    assert dataset.name == "mnist" and dataset.image_shape == (28, 28) and len(dataset.class_names) == 10


def message(action):
    with pytest.raises(DatasetUnavailableError) as caught:
        action()
    assert "To fix this: " in str(caught.value)
    return str(caught.value)


def test_a_prepared_directory_is_read_in_tfds_order(prepared):
    assert_is(datasets.load("mnist", data_dir=prepared))


def test_a_second_load_decodes_nothing(prepared, monkeypatch):
    assert_is(load())
    monkeypatch.setattr(tfds_directory, "read", None)
    assert_is(load())


def test_stock_tfds_reads_what_was_prepared(template):
    import tensorflow_datasets as tfds

    source = tfds.builder_from_directory(template / "mnist" / "3.0.1").as_data_source("test")
    expected = in_tfds_order(RAW)
    np.testing.assert_array_equal([example["image"][:, :, 0] for example in source], expected.test_images)
    np.testing.assert_array_equal([example["label"] for example in source], expected.test_labels)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("place", ["data/mnist", "data", "system"])
def test_idx_files_are_found_in_each_place_and_give_the_same_arrays(tmp_path, place, gzipped):
    write_idx(tmp_path / place, gzipped=gzipped)
    assert_is(load())


def test_a_first_fetch_is_prepared_and_the_second_load_needs_no_mirror(mirror, tmp_path, capfd):
    assert_is(load())
    shutil.rmtree(mirror)
    shutil.rmtree(tmp_path / "xdg")
    assert_is(load())
    assert [path.name for path in (tmp_path / "data" / "mnist").iterdir()] == ["3.0.1"]
    assert not list((tmp_path / "data").glob("incomplete*"))
    assert capfd.readouterr() == ("", "")


def test_a_file_cut_short_fails_and_the_next_good_try_succeeds(mirror):
    whole = (mirror / f"{TRAIN}.gz").read_bytes()
    (mirror / f"{TRAIN}.gz").write_bytes(whole[:1000])
    assert f"{TRAIN}.gz: cut short: 1000 of {len(whole)} bytes" in message(load)
    (mirror / f"{TRAIN}.gz").write_bytes(whole)
    assert_is(load())


def test_nothing_on_disk_and_no_mirror_says_where_to_put_the_files(tmp_path):
    text = message(load)
    assert "no_mirror/mnist/" in text and "JAXMLP_MIRROR" in text and str(tmp_path / "data" / "mnist") in text


@pytest.mark.slow
def test_a_process_killed_while_preparing_leaves_nothing_to_believe(mirror, tmp_path):
    program = (
        "import os, sys\n"
        "from jaxmlp.datasets import idx, tfds_directory\n"
        "from pathlib import Path\n"
        "tfds_directory.in_tfds_order = lambda raw: os._exit(9)\n"  # all is written, nothing is in place yet
        "raw = idx.read(idx.find([Path(sys.argv[1])]))\n"
        "tfds_directory.prepare('mnist', raw, Path(sys.argv[2]))\n"
    )
    (tmp_path / "data").mkdir()
    done = subprocess.run([sys.executable, "-c", program, mirror, tmp_path / "data"], check=False)
    assert done.returncode == 9
    assert len(list((tmp_path / "data").glob("incomplete*/mnist/3.0.1/dataset_info.json"))) == 1
    assert_is(load())


def test_a_preparation_that_fails_names_the_folder_and_leaves_nothing(mirror, tmp_path, monkeypatch):
    def full(self, path, examples):
        Path(path).write_bytes(b"half")
        raise RuntimeError("write() failed: No space left on device")

    import tensorflow_datasets as tfds

    with monkeypatch.context() as patch:
        patch.setattr(tfds.core.file_adapters.ArrayRecordFileAdapter, "write_examples", classmethod(full))
        text = message(load)
    assert f"cannot prepare mnist in {tmp_path / 'data'}" in text and "No space left on device" in text
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["downloads"]
    assert_is(load())


def test_two_processes_that_prepare_at_once_both_succeed(template, tmp_path):
    """The other one has moved its directory into place while this one was writing."""
    root = shutil.copytree(template, tmp_path / "data")
    directory, written = tfds_directory.prepare("mnist", RAW, root)
    assert directory == root / "mnist" / "3.0.1"
    assert all(map(np.array_equal, written, in_tfds_order(RAW)))
    assert [path.name for path in root.iterdir()] == ["mnist"]


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def forge(path):
    content = bytearray(path.read_bytes())
    content[1000] ^= 255
    path.write_bytes(content)


def claim(count):
    def action(path):
        info = path.parent / "dataset_info.json"
        info.write_text(info.read_text().replace('"30"', f'"{count}"'))

    return action


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "RuntimeError"),
        (forge, "Riegeli"),
        (Path.unlink, "No such file"),
        (claim(29), "30 examples, but dataset_info.json says 29"),
        (claim(31), "30 examples, but dataset_info.json says 31"),
    ],
    ids=["cut", "forged", "missing", "too_many", "too_few"],
)
def test_a_damaged_prepared_directory_is_never_a_short_data_set(prepared, damage, reason):
    shard = prepared / "mnist" / "3.0.1" / "mnist-train.array_record-00000-of-00001"
    assert_is(load())  # kept in the cache, which the damage must make worthless
    damage(shard)
    text = message(load)
    assert text.startswith(f"{shard}: ") and reason in text and f"remove or restore {shard.parent}" in text


def test_a_prepared_directory_without_or_with_a_strange_description_is_named(prepared):
    info = prepared / "mnist" / "3.0.1" / "dataset_info.json"
    content = json.loads(info.read_text())
    info.write_text(json.dumps({**content, "fileFormat": "tfrecord"}))
    assert "in the format tfrecord, which needs TensorFlow" in message(load)
    info.write_text(info.read_text()[:100])
    assert message(load).startswith(f"{info}: JSONDecodeError")
    info.unlink()
    assert message(load).startswith(f"{info}: No such file")


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        (f"{TRAIN}.gz", lambda data: data[:5000], "EOFError"),
        (f"{TRAIN}.gz", lambda data: data[:50] + bytes(50) + data[100:], ": "),
        (f"{TRAIN}.gz", lambda data: gzip.decompress(data)[:-1], f"{30 * 784 + 15} bytes, but {30 * 784 + 16}"),
        (f"{TRAIN}.gz", lambda data: b"<html>", "starts with 3c68746d, expected 00000803"),
        ("t10k-labels-idx1-ubyte.gz", lambda data: b"\0\0\x08\x01\0\0\0\x01\x03", "20 images but 1 labels"),
        ("t10k-labels-idx1-ubyte.gz", lambda data: b"\0\0\x08\x01\0\0\0\x14" + b"\x0a" * 20, "label 10, expected"),
    ],
    ids=["cut", "forged", "one_byte_less", "a_web_page", "fewer_labels", "label_10"],
)
def test_a_damaged_idx_file_is_named(tmp_path, name, change, reason):
    path = write_idx(tmp_path / "data" / "mnist", gzipped=True) / name
    path.write_bytes(change(path.read_bytes()))
    text = message(load)
    assert text.startswith(str(path.parent)) and reason in text


def test_the_idx_files_of_the_other_set_are_not_believed(tmp_path, monkeypatch):
    """Their names are equal, so only the labels tell."""
    labels = hashlib.sha256(RAW.test_labels.tobytes()).hexdigest()
    other = images.FASHION_MNIST._replace(test_labels_sha256=labels)
    monkeypatch.setattr(images, "FASHION_MNIST", other)
    write_idx(tmp_path / "data")
    assert "holds fashion_mnist, not mnist" in message(load)


@pytest.mark.slow
def test_reading_and_preparing_never_import_tensorflow(template, tmp_path):
    program = (
        "import sys, jaxmlp.datasets\n"
        "from pathlib import Path\n"
        "from jaxmlp.datasets import tfds_directory\n"
        "raw = tfds_directory.read(Path(sys.argv[1]))\n"
        "tfds_directory.prepare('fashion_mnist', raw, Path(sys.argv[2]))\n"
        "jaxmlp.datasets.load('fashion_mnist', data_dir=sys.argv[2])\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    place = template / "mnist" / "3.0.1"
    command = [sys.executable, "-W", "error", "-c", program, place, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
