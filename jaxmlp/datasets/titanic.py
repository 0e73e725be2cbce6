"""The passengers of the Titanic: from a TFDS directory, OpenML's file or the network, or from Kaggle's file."""

import csv
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmlp._checks import check_path, need
from jaxmlp.data import Dataset, fill_missing, medians
from jaxmlp.datasets import tfds_directory
from jaxmlp.datasets.errors import DatasetUnavailableError, unavailable
from jaxmlp.datasets.fetch import MIRROR_VARIABLE, RegisteredFile, check_places, fetch, is_whole
from jaxmlp.datasets.raw import tfds_order

CLASS_NAMES = ("died", "survived")
FEATURE_NAMES = ("age", "sex", "class", "siblings", "parents", "fare", "port")
_SEXES = {"male": 0, "female": 1}
_PORTS = {"C": 0, "Q": 1, "S": 2}
_FIRST_VERSION = 4  # of the TFDS table: earlier versions have inverted labels or other columns
_TEST_FRACTION = 0.2
_SPLIT_SEED = 0


class TitanicTable(NamedTuple):
    """Passengers in the order of their source."""

    x: np.ndarray
    """(n, 7) float32, NaN where a value is missing."""
    y: np.ndarray
    """(n,) int32, 1 where the passenger survived."""
    feature_names: tuple[str, ...]
    """The names of the columns of x."""


class _Columns(NamedTuple):
    """The columns of a CSV file."""

    survived: str
    features: tuple[str, ...]  # in the order of FEATURE_NAMES
    missing: str  # the text that stands for a missing value


_KAGGLE = _Columns("Survived", ("Age", "Sex", "Pclass", "SibSp", "Parch", "Fare", "Embarked"), "")
_OPENML = _Columns("survived", ("age", "sex", "pclass", "sibsp", "parch", "fare", "embarked"), "?")
_CODES: dict[str, Mapping[str, int]] = {
    "survived": {"0": 0, "1": 1},
    "sex": _SEXES,
    "class": {"1": 1, "2": 2, "3": 3},
    "port": _PORTS,
}


def titanic_table(
    *,
    csv: str | os.PathLike[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
) -> TitanicTable:
    """Read the passengers with seven features each, without a split and with missing values as NaN.

    The features are age (years), sex (0 male, 1 female), class (1 to 3), siblings (and spouses aboard), parents (and
    children aboard), fare (pounds) and port (0 Cherbourg, 1 Queenstown, 2 Southampton, in alphabetical order).

    Without csv these are the 1,309 passengers of OpenML and TFDS, from the first place that has them (see
    jaxmlp.datasets). The rows are always the same, in the order of TFDS, which is mixed; OpenML's is sorted by class.

    Args:
        csv: a file with the column names of Kaggle's train.csv; its order is kept, other columns are ignored.
        data_dir: folder of data sets on disk. None means the environment variable TFDS_DATA_DIR, else
            ~/tensorflow_datasets.
        mirror: base address to download from, with the file at MIRROR/titanic/phpMYEkMl.csv. None means the environment
            variable JAXMLP_MIRROR, else the address that TFDS registers.

    Returns:
        TitanicTable(x, y, feature_names): x (n, 7) float32 with NaN where a value is missing; y (n,) int32.

    Raises:
        ValueError: csv cannot be read or has a wrong value, whose line and column the message names; or mirror is not
            an address.
        DatasetUnavailableError: without csv, as jaxmlp.datasets.load raises it.

    Example:
        >>> import tempfile
        >>> import jaxmlp
        >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        ...     print("Survived,Pclass,Sex,Age,SibSp,Parch,Fare,Embarked", file=file)
        ...     print("1,3,female,,0,0,7.9,S", file=file, flush=True)
        ...     print(jaxmlp.datasets.titanic_table(csv=file.name).x)
        [[nan 1.  3.  0.  0.  7.9 2. ]]

    Source:
        Harrell and Cason (2017), titanic3; https://www.openml.org/d/40945
    """
    check_places(data_dir, mirror)
    if csv is not None:
        return _from_csv(_expanded(check_path("csv", csv)), _KAGGLE)
    root = tfds_directory.root(data_dir)
    try:
        directory = tfds_directory.find(root / "titanic")
        if directory is not None:
            return _from_directory(directory)
        return _from_openml(root, mirror or os.environ.get(MIRROR_VARIABLE))
    except DatasetUnavailableError:
        raise
    except OSError as error:  # an unreadable folder, or a file that disappears while it is read
        raise unavailable(error.filename or root, error, "make it readable, or give another data_dir") from error


def load_titanic(*, data_dir: str | os.PathLike[str] | None = None, mirror: str | None = None) -> Dataset:
    """Return the 1,309 passengers of titanic_table, 1,047 for training and 262 for testing.

    Missing values are filled with the median of the training part; that of the port is 2, Southampton, where more than
    half came aboard. Nothing is standardised: ages go up to 80, fares up to 512.
    """
    need("data", "sklearn")
    from sklearn.model_selection import train_test_split

    x, y, _ = titanic_table(data_dir=data_dir, mirror=mirror)
    train, test = train_test_split(np.arange(len(y)), test_size=_TEST_FRACTION, stratify=y, random_state=_SPLIT_SEED)
    x = fill_missing(x, medians(x[train]))
    return Dataset("titanic", (x[train], y[train]), (x[test], y[test]), None, CLASS_NAMES)


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # there is no such user, or no home folder
        raise ValueError(f"csv must be the path of Kaggle's train.csv, got {path}: {error}") from error


def _from_directory(directory: Path) -> TitanicTable:
    if int(directory.name.partition(".")[0]) < _FIRST_VERSION:
        reason = f"version {directory.name}; versions before {_FIRST_VERSION}.0.0 have inverted labels or other columns"
        raise unavailable(
            directory, reason, "remove it, so that OpenML's file is downloaded, or prepare a newer version"
        )
    columns = tfds_directory.read_columns(directory, ("survived", *_OPENML.features))
    y, age, sex, class_label, siblings, parents, fare, port = columns
    port = np.where(port == len(_PORTS), -1, port)  # the label after the ports is Unknown
    x = np.stack([age, sex, class_label + 1, siblings, parents, fare, port], axis=1).astype(np.float32)
    return TitanicTable(np.where(x < 0, np.float32(np.nan), x), y.astype(np.int32), FEATURE_NAMES)


def _from_openml(root: Path, mirror: str | None) -> TitanicTable:
    files = tfds_directory.registered_files("titanic")
    ((name, file),) = files.items()
    folder = root / "titanic"
    places = (path for place in (folder, root) for path in (place / name, place / Path(name).stem))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        fetch("titanic", files, folder, mirror=mirror, by_hand=folder)
        path = folder / name
    _check_whole(path, file)
    table = _from_csv(path, _OPENML)
    order = tfds_order("train", len(table.y))
    return table._replace(x=table.x[order], y=table.y[order])


def _check_whole(path: Path, file: RegisteredFile) -> None:
    if not is_whole(path, file):
        reason = f"not the registered file of {file.size} bytes with SHA-256 {file.sha256}"
        raise unavailable(path, reason, "replace this file with a complete one, or remove it to download it again")


def _from_csv(path: Path, columns: _Columns) -> TitanicTable:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(_rows(csv.reader(lines, strict=True), path, columns))
    except OSError as error:
        given = str(path)[:200]  # it may be too long to be one
        raise ValueError(f"csv must be the path of Kaggle's train.csv, got {given}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8 ({error}); give the path of Kaggle's train.csv") from error
    if not rows:
        raise ValueError(f"{path}: it has no passengers; give the path of Kaggle's train.csv")
    table = np.array(rows)
    return TitanicTable(table[:, 1:].astype(np.float32), table[:, 0].astype(np.int32), FEATURE_NAMES)


def _rows(reader: Any, path: Path, columns: _Columns) -> Iterator[list[float]]:
    """Yield survival and features of each passenger; empty lines are skipped."""
    header = next(reader, [])
    wanted = (columns.survived, *columns.features)
    absent = [column for column in wanted if column not in header]
    if absent:
        raise ValueError(
            f"{path}, line 1: no column {', '.join(absent)}; found {', '.join(header) or 'nothing'}. Give a file with "
            f"the columns {', '.join(wanted)}, such as Kaggle's train.csv (its test.csv lacks Survived)"
        )
    places = [header.index(column) for column in wanted]
    for line in reader:
        if not any(line):
            continue
        where = f"{path}, line {reader.line_num}"
        if len(line) != len(header):
            raise ValueError(f"{where}: {len(line)} values, but {len(header)} columns; give each column one value")
        yield [
            _number(line[place].strip(), kind, columns.missing, f"{where}, column {header[place]}")
            for kind, place in zip(("survived", *FEATURE_NAMES), places, strict=True)
        ]


def _number(text: str, kind: str, missing: str, where: str) -> float:
    if text == missing and kind != "survived":
        return math.nan
    if kind in _CODES:
        if text not in _CODES[kind]:
            unless = "" if kind == "survived" else f", or {_left_empty(missing)} where it is missing"
            raise ValueError(f"{where}: {text!r}; write one of {', '.join(_CODES[kind])}{unless}")
        return _CODES[kind][text]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(
            f"{where}: {text!r}; write a number that is not negative, or {_left_empty(missing)} where it is missing"
        )
    return value


def _left_empty(missing):
    return repr(missing) if missing else "leave it empty"
