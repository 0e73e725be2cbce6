"""Directories prepared by tensorflow-datasets (TFDS), read and written without TensorFlow."""

import contextlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp._checks import need
from jaxmlp._files import remove_leftovers
from jaxmlp.datasets.errors import ANOTHER_FOLDER, unavailable
from jaxmlp.datasets.fetch import RegisteredFile
from jaxmlp.datasets.raw import RawImages, in_tfds_order

_INFO = "dataset_info.json"
_FORMAT = "array_record"  # of TFDS's formats the one with random access that is readable without TensorFlow
_INCOMPLETE = "incomplete.jaxmlp."
_BATCH = 10_000  # examples in memory as PNG at a time

Examples = Sequence[Mapping[str, Any]]


def root(data_dir: str | os.PathLike[str] | None) -> Path:
    """Return the folder of all data sets: data_dir, else that of TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    folder = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    try:
        return folder.expanduser()
    except RuntimeError as error:  # there is no such user, or no home folder
        raise unavailable(folder, error, ANOTHER_FOLDER) from error


def find(folder: Path) -> Path | None:
    """Return the prepared directory of the highest version under folder, data_dir/<name>; None if there is none.

    Raises:
        DatasetUnavailableError: it has no description, or is in a format that only TensorFlow reads.
    """
    versions = [path for path in folder.glob("*.*.*") if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]
    if not versions:
        return None
    newest = max(versions, key=lambda path: [int(number) for number in path.name.split(".")])
    try:
        info = json.loads((newest / _INFO).read_text())
        file_format = info.get("fileFormat", "tfrecord")  # the default of TFDS, which old versions did not record
    except (OSError, ValueError, AttributeError) as error:
        raise unavailable(newest / _INFO, error, _remedy(newest)) from error
    if file_format != _FORMAT:
        raise unavailable(newest, f"in the format {file_format}, which needs TensorFlow", ANOTHER_FOLDER)
    return newest


def files(directory: Path) -> list[Path]:
    """Return every file of a prepared directory, in a fixed order."""
    return sorted(path for path in directory.iterdir() if path.is_file())


def read(directory: Path) -> RawImages:
    """Decode a prepared directory; raise DatasetUnavailableError if it is damaged in any way."""
    tfds = _tfds()

    def gather(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
        images = np.stack([_decoded(example["image"]) for example in examples])
        return images, np.array([example["label"] for example in examples], dtype=np.uint8)

    # TFDS would decode a PNG with OpenCV, or slowly and with a warning; Pillow needs 25 microseconds.
    decoders = {"image": tfds.decode.SkipDecoding()}
    builder = _builder(directory)
    train, test = (_read_split(builder, split, directory, gather, decoders) for split in ("train", "test"))
    return RawImages(train[0], train[1], test[0], test[1])


def read_columns(directory: Path, columns: Sequence[str]) -> tuple[np.ndarray, ...]:
    """Return numeric columns (n,) of a prepared table whose only split is train; damage is reported as by read."""

    def gather(examples: Examples) -> tuple[np.ndarray, ...]:
        return tuple(np.array([example[column] for example in examples]) for column in columns)

    return _read_split(_builder(directory), "train", directory, gather, None)


def _tfds() -> Any:
    """Import TFDS; raise a ModuleNotFoundError at once if a package that reads its files is missing."""
    need("data", "tensorflow_datasets", "array_record", "importlib_resources", "PIL")
    import tensorflow_datasets

    return tensorflow_datasets


def _builder(directory: Path) -> Any:
    tfds = _tfds()
    try:
        return tfds.builder_from_directory(directory)
    except Exception as error:  # TFDS and its parsers have no common exception
        raise unavailable(directory / _INFO, error, _remedy(directory)) from error


def _read_split(
    builder: Any,
    split: str,
    directory: Path,
    gather: Callable[[Examples], tuple[np.ndarray, ...]],
    decoders: Mapping[str, Any] | None,
) -> tuple[np.ndarray, ...]:
    """Return the arrays that gather makes of the examples, each over the whole split."""
    from array_record.python.array_record_module import ArrayRecordReader

    where = directory
    try:
        info = builder.info.splits[split]
        for path, length in zip(info.filepaths, info.shard_lengths, strict=True):
            where = Path(path)
            reader = ArrayRecordReader(str(path))
            found = reader.num_records()
            reader.close()
            if found != length:
                raise ValueError(f"{found} examples, but {_INFO} says {length}")
        where = where if len(info.filepaths) == 1 else directory / f"*-{split}.*"
        source = builder.as_data_source(split, decoders=decoders)
        starts = range(0, len(source), _BATCH)
        pieces = [gather(source.__getitems__(list(range(i, min(i + _BATCH, len(source)))))) for i in starts]
        return tuple(np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    except Exception as error:  # array_record, protobuf and Pillow raise exceptions of many kinds
        raise unavailable(where, error, _remedy(directory)) from error


def prepare(name: str, raw: RawImages, data_dir: Path) -> tuple[Path, RawImages]:
    """Let TFDS prepare data_dir/NAME/VERSION from raw, which is in the order of the IDX files.

    Everything is written to a temporary folder, read back, compared and then moved into place in one step, so a process
    that is killed leaves nothing that find would return.

    Returns:
        The directory, and the examples as they were read back, in the order of TFDS.
    """
    tfds = _tfds()
    work = None
    try:
        remove_leftovers(data_dir.glob(f"{_INCOMPLETE}*"))
        work = Path(tempfile.mkdtemp(prefix=_INCOMPLETE, dir=data_dir))
        builder = tfds.builder_cls(name)(data_dir=work, file_format=_FORMAT)
        # The builder of TFDS encodes images with TensorFlow, but takes encoded ones as they are. It is given PNG files
        # instead of its download, and writes the same.
        builder._split_generators = lambda manager: {
            "train": _examples(raw.train_images, raw.train_labels),
            "test": _examples(raw.test_images, raw.test_labels),
        }
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            # It prints and draws progress bars. It must not look for a prepared copy in the cloud.
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        directory = Path(builder.data_dir)
        written = read(directory)
        if not all(map(np.array_equal, written, in_tfds_order(raw))):
            raise ValueError("TFDS wrote something else than it was given")
        place = data_dir / directory.relative_to(work)
        place.parent.mkdir(exist_ok=True)
        try:
            directory.rename(place)
        except OSError:
            if not (place / _INFO).is_file():  # otherwise another process was faster, with the same data
                raise
        return place, written
    except Exception as error:  # TFDS and array_record report a full disk as RuntimeError
        raise unavailable(f"cannot prepare {name} in {data_dir}", error, ANOTHER_FOLDER) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def registered_files(name: str) -> dict[str, RegisteredFile]:
    """Return the files that TFDS registers for the data set name, by file name."""
    tfds = _tfds()
    builder = tfds.builder_cls(name)
    return {
        info.filename or url.rpartition("/")[2]: RegisteredFile(url, int(info.size), info.checksum)
        for url, info in builder.url_infos.items()
    }


def _examples(images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield what the builder of TFDS yields: a key, which decides the order, and an example."""
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield index, {"image": _encoded(image), "label": int(label)}


def _encoded(image: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def _decoded(png: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png), formats=("PNG",)))


def _remedy(directory: Path) -> str:
    return f"remove or restore {directory}; once it is removed, the original files are read or downloaded instead"
