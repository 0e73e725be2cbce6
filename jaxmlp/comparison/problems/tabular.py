"""A CSV file with a target column as a problem: its numbers standardised, its categories one-hot, gaps filled."""

import csv
import hashlib
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmlp._checks import check_choice, check_path, need
from jaxmlp.comparison.problems.problem import Problem
from jaxmlp.comparison.references import Origin
from jaxmlp.comparison.wording import count, join

__docformat__ = "google"
__all__ = ["from_csv"]

_TASKS = ("classification", "regression")
_MISSING = {"", "na", "n/a", "n.a.", "k.a.", "#n/a", "nan", "null", "none", "?", "-", "."}
_FEWEST_ROWS = 30
_MOST_CATEGORIES, _MOST_CLASSES = 50, 20
_SEED = 0  # of the test set


class _Table(NamedTuple):
    """A file as text."""

    header: list[str]
    rows: list[list[str]]
    separator: str
    notes: list[str]


class _Column(NamedTuple):
    """A column as numbers, NaN where missing, or as text, "" where missing."""

    name: str
    values: np.ndarray


def from_csv(path: str | Path, target: str, *, task: str | None = None, **settings: Any) -> Problem:
    """Make a problem of a CSV file.

    The first line holds the names of the columns; fields are separated by commas, semicolons, tabs or bars. A fifth of
    the rows, drawn with a fixed seed, is the test set; what standardising and filling need is measured on the others.
    Numbers are standardised and gaps filled with the median; categories become one column each, a gap is a category of
    its own. Columns that cannot be used are left out, and the problem's source says which.

    Args:
        path: of the file, in UTF-8, UTF-16 or Windows-1252.
        target: name of the column to predict; rows without it are left out.
        task: "classification" or "regression"; None: a target of text, or of at most 20 whole numbers of which each
            is there several times, is classified.
        settings: of the Problem, in place of what follows from the file: network, epochs, batch_size, ...

    Raises:
        ValueError: the file cannot be read or is no such table, the target is missing or constant, or there are fewer
            than 30 rows; says in which line.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        ...     print("size;colour;price", file=file)
        ...     for i in range(40):
        ...         print(f"{i},5;{'red' if i % 3 else 'blue'};{2.5 * i:.1f}".replace(".", ","), file=file, flush=True)
        ...     problem = from_csv(file.name, "price")
        >>> problem.layer_sizes, problem.scored_by.name
        ((3, 64, 64, 1), 'R2')
    """
    need("comparison", "sklearn")
    if task is not None:
        check_choice("task", task, _TASKS)
    path = check_path("csv", path).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    table = _read(path, content)
    if target not in table.header:
        check_choice(f"column of {path.name}", target, tuple(table.header))
    columns = [_column(table, i) for i in range(len(table.header))]
    wanted = columns.pop(table.header.index(target))
    known = ~_gaps(wanted.values)
    notes = list(table.notes)
    if not known.all():
        notes.append(f"{count(int((~known).sum()), 'row')} without {target} left out")
    if known.sum() < _FEWEST_ROWS:
        raise ValueError(
            f"{path} has {count(int(known.sum()), 'row')} with a {target}; a comparison needs {_FEWEST_ROWS} or more"
        )
    columns = [_Column(column.name, column.values[known]) for column in columns]
    values = wanted.values[known]
    if len(np.unique(values)) == 1:
        raise ValueError(
            f"the target {target} of {path} is {values[0]} in every row, so that there is nothing to learn"
        )
    guessed = task or _guess(values)
    how = "as asked" if task else "guessed from the target"
    notes.insert(0, f"{guessed} of {target} ({how})")
    if guessed == "regression" and values.dtype.kind != "f":
        raise ValueError(
            f"regression needs numbers, and the target {target} of {path} holds text, such as {values[0]!r}"
        )
    columns = _usable(path, columns, notes)
    train, test = _parts(values, guessed)
    x_train, x_test = _inputs(columns, train, test, notes)
    y_train, y_test, outputs = _targets(values, guessed, train, test, notes)
    rows = len(values)
    features = x_train.shape[1]
    notes.append(f"{count(rows, 'row')}, {count(features, 'input')}; {count(len(test), 'row')} held out for the test")
    regression = guessed == "regression"
    found: dict[str, Any] = {
        "name": _name(path),
        "data": ((x_train, y_train), (x_test, y_test)),
        "batch_size": min(32, max(1, len(train) // 2)) if rows < 5000 else 128,
        "epochs": 40 if rows < 5000 else 20 if rows < 50_000 else 10,
        "loss": "mean_squared_error" if regression else "softmax_cross_entropy",
        "score": "r2" if regression else "accuracy",
        "source": f"{path.name}: {'; '.join(notes)}",
        "reference": str(path),
        "origin": Origin(None, None, hashlib.sha256(content).hexdigest()),
    }
    if settings.get("network") is None:
        found["layer_sizes"] = (features, 64, 64, outputs)
    return Problem(**found | settings)


def _read(path, content):
    text, notes = _decoded(path, content)
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise ValueError(
            f"{path} must have a line of column names and lines of values, got {count(len(lines), 'line')}"
        )
    separator = max(",;\t|", key=lambda mark: (lines[0].count(mark), -",;\t|".index(mark)))
    if not lines[0].count(separator):
        raise ValueError(
            f"{path} has one column, {lines[0][:40]!r}: fields must be separated by commas, semicolons, tabs or bars"
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    header: list[str] = []
    rows: list[list[str]] = []
    try:
        for fields in reader:
            cells = [field.strip() for field in fields]
            if not any(cells):
                continue
            if not header:
                header = cells
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"line {reader.line_num} of {path} has {count(len(cells), 'field')}, and the first line names "
                    f"{count(len(header), 'column')}; mend the line (a field that contains the separator {separator!r} "
                    "needs quotes)"
                )
            rows.append(cells)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} of {path} cannot be read as CSV: {error}") from error
    if header[-1] == "" and not any(row[-1] for row in rows):  # every line ends with a separator
        header, rows = header[:-1], [row[:-1] for row in rows]
    if len(set(header)) != len(header) or not all(header):
        raise ValueError(f"the columns of {path} must have different names, got {header}")
    if all(_number(name) is not None for name in header):
        raise ValueError(f"the first line of {path} must hold the names of the columns, got numbers: {header[:6]}")
    if separator != ",":
        notes.append(f"fields separated by {'tabs' if separator == chr(9) else repr(separator)}")
    return _Table(header, rows, separator, notes)


def _decoded(path, content):
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16"), ["read as UTF-16"]
    if b"\0" in content:
        raise ValueError(f"{path} is not text; save the table as CSV")
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), ["read as Windows-1252, since it is not UTF-8"]


def _number(text, separator=","):
    """The number that a text says; None if it says none.

    Between commas, a comma in quotes parts thousands; between other separators it is the decimal point.
    """
    if "," in text:
        thousands = re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?", text)
        if separator != ",":
            text = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
        elif thousands:
            text = text.replace(",", "")
    try:
        return float(text)
    except ValueError:
        return None


def _column(table, index):
    cells = [row[index] for row in table.rows]
    gaps = [cell.lower() in _MISSING for cell in cells]
    numbers = [np.nan if gap else _number(cell, table.separator) for cell, gap in zip(cells, gaps, strict=True)]
    if all(number is not None for number in numbers):
        values = np.array(numbers, float)
        values[~np.isfinite(values)] = np.nan
        return _Column(table.header[index], values)
    return _Column(table.header[index], np.array(["" if g else c for c, g in zip(cells, gaps, strict=True)]))


def _gaps(values):
    return np.isnan(values) if values.dtype.kind == "f" else values == ""


def _guess(values):
    if values.dtype.kind != "f":
        return "classification"
    distinct, counts = np.unique(values, return_counts=True)
    few = len(distinct) <= _MOST_CLASSES and counts.min() > 1 and len(distinct) <= len(values) / 5
    return "classification" if few and (distinct == np.round(distinct)).all() else "regression"


def _usable(path, columns, notes):
    """The columns that say something of other rows too; the others are noted."""
    found, left_out = [], []
    for column in columns:
        why = _useless(column.values)
        if why:
            left_out.append(f"{column.name} ({why})")
        else:
            found.append(column)
    if not found:
        raise ValueError(
            f"{path} has no column to learn from beside the target; left out: {join(left_out) or 'nothing'}"
        )
    if left_out:
        notes.append(f"left out: {join(left_out)}")
    return found


def _useless(column):
    """Why a column says nothing of other rows; empty if it does."""
    values = column[~_gaps(column)]
    distinct, numbers = len(np.unique(values)), values.dtype.kind == "f"
    if distinct < 2:
        return "one value"
    if not numbers and distinct > min(_MOST_CATEGORIES, len(values) / 2):
        return f"text with {distinct} different values"
    if numbers and len(values) == len(column) and values[0] in (0, 1) and (np.diff(values) == 1).all():
        return "numbers the rows"
    return ""


def _parts(values, task):
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(values))
    by_class = None
    if task == "classification":
        classes, counts = np.unique(values, return_counts=True)
        by_class = values if counts.min() > 1 and len(values) // 5 >= len(classes) else None
    train, test = train_test_split(rows, test_size=max(1, len(rows) // 5), random_state=_SEED, stratify=by_class)
    return np.sort(train), np.sort(test)


def _inputs(columns, train, test, notes):
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    made, filled, encoded = [], [], []
    for column in columns:
        values, gaps = column.values[:, None], _gaps(column.values)
        if column.values.dtype.kind == "f":
            steps = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
        else:
            steps = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
            encoded.append(column.name)
            values = np.where(values == "", "(missing)", values)
        if gaps.any():
            filled.append(f"{column.name} ({int(gaps.sum())})")
        made.append((steps.fit_transform(values[train]), steps.transform(values[test])))
    if encoded:
        notes.append(f"one column for each value of {join(encoded)}")
    if filled:
        notes.append(f"gaps filled in {join(filled)}")
    return tuple(np.concatenate(parts, axis=1).astype(np.float32) for parts in zip(*made, strict=True))


def _targets(values, task, train, test, notes):
    if task == "regression":
        mean, deviation = values[train].mean(), values[train].std() or 1.0
        y = ((values - mean) / deviation).astype(np.float32)[:, None]
        notes.append(f"target standardised (mean {mean:.4g}, deviation {deviation:.4g})")
        return y[train], y[test], 1
    classes, y, counts = np.unique(values, return_inverse=True, return_counts=True)
    y = y.astype(np.int32)
    shown = [f"{value:g}" if values.dtype.kind == "f" else str(value) for value in classes[:10]]
    notes.append(f"{len(classes)} classes: {', '.join(shown)}{', ...' if len(classes) > len(shown) else ''}")
    if counts.min() < 5:
        notes.append(f"the rarest class has {count(int(counts.min()), 'row')}")
    return y[train], y[test], len(classes)


def _name(path):
    name = "".join(c if c.isalnum() or c in "_-." else "_" for c in path.stem).strip(".")
    return name or "table"
