"""The cache of decoded images: believed when it should be, and never when it should not."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest

from jaxmlp.datasets import cache
from jaxmlp.datasets.raw import RawImages


class Source:
    """A file to be decoded, which counts how often that is done."""

    def __init__(self, path):
        self.path, self.reads = path, 0
        path.write_bytes(bytes(range(128)))

    def decode(self):
        self.reads += 1
        pixels = np.frombuffer(self.path.read_bytes(), np.uint8).reshape(8, 4, 4)
        return RawImages(pixels[:5], np.arange(5, dtype=np.uint8), pixels[5:], np.arange(3, dtype=np.uint8))

    def load(self, name="mnist"):
        """Load by the cache; what it returns must be what the file holds now."""
        raw = cache.cached(name, [self.path], self.decode)
        assert np.concatenate([raw.train_images, raw.test_images]).tobytes() == self.path.read_bytes()
        assert raw.train_labels.tolist() == [0, 1, 2, 3, 4] and raw.test_labels.tolist() == [0, 1, 2]
        return self.reads


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return Source(tmp_path / "source")


def kept(tmp_path):
    (path,) = (tmp_path / "xdg" / "jaxmlp" / "datasets").iterdir()
    return path


def test_a_source_is_decoded_once(source):
    assert [source.load(), source.load(), source.load()] == [1, 1, 1]


def test_a_source_of_another_time_or_size_or_name_is_decoded_again(source):
    assert source.load() == 1
    source.path.write_bytes(bytes(range(127, -1, -1)))
    os.utime(source.path, ns=(0, source.path.stat().st_mtime_ns + 1))
    assert source.load() == 2
    assert source.load("fashion_mnist") == 3
    assert source.load() == 3


def test_two_sources_do_not_drive_each_other_out(source, tmp_path):
    other = Source(tmp_path / "other")
    assert [source.load(), other.load(), source.load(), other.load()] == [1, 1, 1, 1]


def flip(position):
    def damage(path):
        content = bytearray(path.read_bytes())
        content[position] ^= 255
        path.write_bytes(content)

    return damage


def relabel(path):
    """An archive that is whole, with the right key, and does not hold what it should."""
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, "train_labels": arrays["train_labels"] + np.uint8(200)})


def without_labels(path):
    with np.load(path) as stored:
        np.savez(path, key=stored["key"], train_images=stored["train_images"])


def one_array(path):
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an archive" * 100),
        one_array,
        relabel,
        without_labels,
    ],
    ids=["cut", "empty", "strange", "one_array", "bad_labels", "missing"],
)
def test_a_damaged_file_is_decoded_again_and_replaced(source, tmp_path, damage):
    assert source.load() == 1
    damage(kept(tmp_path))
    assert [source.load(), source.load()] == [2, 2]


def test_no_flipped_byte_goes_unseen(source, tmp_path):
    """Byte by byte through the file: what is loaded is right, whether decoded again or not (load asserts it)."""
    source.load()
    size = kept(tmp_path).stat().st_size
    for position in range(0, size, 7):
        flip(position)(kept(tmp_path))
        source.load()
    assert source.reads > size / 14  # more than half of the bytes matter; the rest is padding and zip's own times


def test_no_file_but_the_one_of_the_cache_is_left(source, tmp_path):
    source.load()
    assert kept(tmp_path).suffix == ".npz"
    assert kept(tmp_path).stat().st_mode & 0o077 == 0  # the user's own


def test_a_folder_that_cannot_be_made_is_done_without(source, tmp_path):
    (tmp_path / "xdg").write_text("a file where the folder should be")
    assert [source.load(), source.load()] == [1, 2]


def test_a_full_disk_only_costs_the_cache(source, monkeypatch):
    @contextlib.contextmanager
    def full(*_, **__):
        with Path("/dev/full").open("wb", buffering=0) as stream:
            yield stream

    monkeypatch.setattr(cache, "writing", full)
    assert [source.load(), source.load()] == [1, 2]


def test_a_relative_cache_home_is_ignored_as_xdg_asks(source, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert [source.load(), source.load()] == [1, 1]
    assert not (tmp_path / "relative").exists()
    assert len(list((tmp_path / "home" / ".cache" / "jaxmlp" / "datasets").iterdir())) == 1


def test_without_a_home_there_is_no_cache(source, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert [source.load(), source.load()] == [1, 2]
