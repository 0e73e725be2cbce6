"""A CSV file as a problem: what is made of its columns, its gaps and its target, and what is refused."""

import hashlib

import numpy as np
import pytest

from jaxmlp.comparison import problems
from jaxmlp.comparison.problems import from_csv

RANDOM = np.random.default_rng(0)
ROWS = 60


def table(folder, lines, name="houses.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def houses(separator=",", decimal="."):
    """Sixty houses with gaps, a category, a name, a number of the row and a constant."""
    lines = [separator.join(["id", "size", "place", "name", "country", "rooms", "price"])]
    for i in range(ROWS):
        size = "" if i % 10 == 3 else f"{50 + 3.5 * i:.1f}".replace(".", decimal)
        place = "NA" if i % 15 == 7 else ("town" if i % 3 else "land")
        price = f"{1000 + 17.25 * i:.2f}".replace(".", decimal)
        lines.append(separator.join([str(i), size, place, f"house {i}", "DE", str(1 + i % 4), price]))
    return lines


def test_columns_become_inputs_and_the_source_says_how(tmp_path):
    path = table(tmp_path, houses())
    problem = from_csv(path, "price")
    (x, y), (x_test, _) = problem.data
    assert x.shape == (48, 5) and x_test.shape == (12, 5) and y.shape == (48, 1) and x.dtype == y.dtype == np.float32
    assert np.isfinite(x).all() and set(np.unique(x[:, 1:4])) == {0.0, 1.0}
    np.testing.assert_allclose(x[:, 1:4].sum(axis=1), 1)  # town, land or a gap
    for column in (x[:, 0], x[:, 4], y[:, 0]):
        np.testing.assert_allclose([column.mean(), column.std()], [0, 1], atol=1e-5)  # in float32
    assert problem.layer_sizes == (5, 64, 64, 1) and problem.name == "houses" and problem.scored_by.name == "R2"
    for said in (
        "regression of price (guessed from the target)",
        "left out: id (numbers the rows), name (text with 60 different values) and country (one value)",
        "gaps filled in size (6) and place (4)",
        "one column for each value of place",
        "60 rows, 5 inputs; 12 rows held out for the test",
    ):
        assert said in problem.source
    assert problem.origin is not None and problem.origin.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    problems.check(problem, problems.load(problem))


def test_semicolons_decimal_commas_tabs_and_encodings_say_the_same(tmp_path):
    expected = from_csv(table(tmp_path, houses()), "price").data
    for lines, encoding, said in (
        (houses(";", ","), "utf-8-sig", "fields separated by ';'"),
        (houses("\t"), "utf-16", "read as UTF-16; fields separated by tabs"),
        ([line.replace("town", "Köln").replace("land", "Zell") for line in houses("|")], "cp1252", "Windows-1252"),
        ([line + "," for line in houses()], "utf-8", "60 rows"),
    ):
        problem = from_csv(table(tmp_path, lines, encoding=encoding), "price")
        assert said in problem.source
        for part, (x, y) in zip(problem.data, expected, strict=True):
            # The categories are sorted by their names, which differ.
            np.testing.assert_allclose(np.sort(part[0], axis=1), np.sort(x, axis=1), atol=1e-6)
            np.testing.assert_allclose(part[1], y, atol=1e-6)


def test_a_comma_in_quotes_parts_thousands(tmp_path):
    lines = ["a,price", *(f'{i * 1.5},"{1 + i},{i:03d}.5"' for i in range(ROWS))]
    y = from_csv(table(tmp_path, lines), "price").data[0][1]
    assert np.unique(y).size == 48


def test_what_standardises_is_measured_without_the_test_part(tmp_path):
    lines = houses()
    first = from_csv(table(tmp_path, lines), "price")
    test = np.flatnonzero([(row == first.data[1][0]).all(axis=1).any() for row in _whole(first)])
    fields = lines[1 + test[0]].split(",")
    lines[1 + test[0]] = ",".join([fields[0], "1000000", *fields[2:]])
    second = from_csv(table(tmp_path, lines), "price")
    np.testing.assert_array_equal(first.data[0][0], second.data[0][0])


def _whole(problem):
    """All rows in the order of the file: those held out are drawn by number alone."""
    (x, _), (x_test, _) = problem.data
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(ROWS), test_size=12, random_state=0)
    rows = np.empty((ROWS, x.shape[1]), np.float32)
    rows[np.sort(train)], rows[np.sort(test)] = x, x_test
    return rows


@pytest.mark.parametrize(
    ("values", "task", "score"),
    [
        (["yes", "no"], "classification of y", "accuracy"),
        ([0, 1], "classification of y", "accuracy"),
        ([3, 5, 8], "classification of y", "accuracy"),
        ([0.5, 1.5], "regression of y", "R2"),
        (list(range(ROWS)), "regression of y", "R2"),
    ],
)
def test_the_task_is_guessed_from_the_target(tmp_path, values, task, score):
    lines = ["a;y", *(f"{RANDOM.normal():.3f};{values[i % len(values)]}" for i in range(ROWS))]
    problem = from_csv(table(tmp_path, lines), "y")
    assert problem.source.count(task) == 1 and problem.scored_by.name == score
    outputs = 1 if score == "R2" else len(values)
    assert problem.layer_sizes == (1, 64, 64, outputs)
    asked = from_csv(table(tmp_path, lines), "y", task="regression" if values != ["yes", "no"] else None, epochs=3)
    assert asked.epochs == 3 and ("as asked" in asked.source) == (values != ["yes", "no"])


def test_rows_without_a_target_are_left_out_and_counted(tmp_path):
    lines = houses()
    lines[5] = lines[5].rpartition(",")[0] + ","
    assert "1 row without price left out" in from_csv(table(tmp_path, lines), "price").source


@pytest.mark.parametrize(
    ("lines", "target", "message"),
    [
        (houses(), "prise", "Did you mean 'price'"),
        (houses(), "country", "country of .* is DE in every row"),
        (houses()[:20], "price", "has 19 rows with a price; a comparison needs 30"),
        (
            [*houses()[:9], "1,2", *houses()[9:]],
            "price",
            "line 10 of .* has 2 fields, and the first line names 7 columns",
        ),
        (["a"], "a", "line of column names"),
        (["a", *["1"] * 50], "a", "has one column"),
        (["a,a,b", *["1,2,3"] * 50], "b", "different names"),
        (["1,2,3", *["1,2,3"] * 50], "1", "names of the columns, got numbers"),
        (["a,y", *(f"1,{i}.5" for i in range(50))], "y", r"no column to learn from .* left out: a \(one value\)"),
        (["a,y", *(f"{i % 7},{'b' if i % 2 else 'c'}" for i in range(50))], "y", "regression needs numbers"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path, lines, target, message):
    with pytest.raises(ValueError, match=message):
        from_csv(table(tmp_path, lines), target, task="regression" if "regression" in message else None)


def test_what_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "book.csv").write_bytes(b"PK\x03\x04\0\0\0")
    with pytest.raises(ValueError, match="is not text; save the table as CSV"):
        from_csv(tmp_path / "book.csv", "y")
    with pytest.raises(ValueError, match=r"no such file\.csv cannot be read: No such file"):
        from_csv("no such file.csv", "y")
