"""compare: the whole protocol from Python, with and without files, and what it returns."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxmlp
from jaxmlp.comparison import command, compare, problems, record, tidy
from jaxmlp.comparison.problems import Problem

X = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
LINE = Problem(
    "line",
    (X, X @ np.array([[1.0], [-2.0], [0.5]], np.float32)),
    layer_sizes=(3, 1),
    epochs=2,
    loss="mean_squared_error",
    score="r2",
    targets=(0.5,),
)
SETTINGS: Any = {"learning_rates": [0.03, 0.3], "seeds": 2, "tuning_seeds": 1}


@pytest.fixture(scope="module")
def found(unoptimised):
    seen = []
    found = compare(LINE, ["sgd", "adam"], **SETTINGS, on_progress=seen.append)
    return found, seen


def test_it_returns_verdicts_rows_and_text_and_writes_nothing(found, tmp_path, monkeypatch):
    comparison, seen = found
    [pair] = comparison.verdicts["line"]
    assert {pair.a, pair.b} == {"sgd", "adam"} and pair.verdict in ("better", "worse", "undecided")
    assert comparison.answers["line"].startswith("On line, ") and comparison.page is None
    rows = comparison.rows
    assert tuple(rows[0]) == tidy.COLUMNS
    ends = [r["value"] for r in rows if (r["candidate"], r["metric"], r["epoch"]) == ("sgd", "test_r2", 2)]
    race = comparison.results["problems"]["line"]["candidates"]["sgd"]["race"]
    np.testing.assert_allclose(ends, race["test_score"], rtol=1e-7)  # one is float32, the other its decimal text
    assert "| SGD | " in str(comparison) and "Page" not in str(comparison)
    assert seen[-1].problem == "line" and seen[-1].done == seen[-1].total


def test_a_notebook_shows_verdict_table_and_picture(found):
    shown = found[0]._repr_html_()
    assert "<b>On line, " in shown and "<table>" in shown and "data:image/png;base64," in shown
    assert "accuracy" not in shown and "Test R2" in shown


def test_the_command_line_gives_the_same_numbers_and_a_page(found, tmp_path):
    (tmp_path / "lines.py").write_text("from test_comparing import LINE as line\n")
    words = [
        "--problem",
        f"{tmp_path}/lines.py:line",
        "--optimizers",
        "sgd",
        "adam",
        "--seeds",
        "2",
        "--learning-rates",
    ]
    assert command.main([*words, "0.03", "0.3", "--output", str(tmp_path / "out")]) == 0
    entry = record.read(tmp_path / "out" / "results.json")["problems"]["line"]
    assert entry["problem"]["origin"]["sha256"] and (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "out" / "line-learning_curves.png").exists()
    again = compare(LINE, ["sgd", "adam"], learning_rates=[0.03, 0.3], seeds=2)
    mine = again.results["problems"]["line"]["candidates"]
    for name, candidate in entry["candidates"].items():
        assert candidate["race"] == mine[name]["race"] and candidate["choices"] == mine[name]["choices"]


def test_what_cannot_be_compared_is_refused_before_training():
    with pytest.raises(ValueError, match="different names"):
        compare([LINE, LINE], ["sgd"])
    with pytest.raises(TypeError, match="a name, a reference or a Problem, got 3"):
        compare([3])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="name it by output"):
        compare(LINE, ["sgd"], resume=True)
    with pytest.raises(ValueError, match="batch_size must be at most"):
        compare(LINE, ["sgd"], batch_size=1000)


def csv_file(folder):
    random = np.random.default_rng(1)
    lines = ["a;b;y", *(f"{a:.3f};{'u' if a > 0 else 'v'};{2 * a:.3f}" for a in random.normal(size=80))]
    path = folder / "table.csv"
    path.write_text("\n".join(lines).replace(".", ","))
    return path


@pytest.mark.slow
def test_a_csv_file_is_compared_by_one_command(tmp_path, capsys):
    words = ["--csv", str(csv_file(tmp_path)), "--target", "y", "--optimizers", "sgd", "--epochs", "1"]
    words += ["--learning-rates", "0.1", "--seeds", "2", "--output", str(tmp_path / "out")]
    assert command.main(words) == 0
    assert "Test R2" in capsys.readouterr().out
    assert "regression of y (guessed" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "y"], "add --csv"),
        (["--csv", "t.csv"], "--csv needs --target"),
        (["--csv", "t.csv", "--target", "y", "--problem", "digits"], "leave out --problem"),
        (["--task", "regression"], "leave it out"),
        (["--problem", "missing.py:p"], "there is no file missing.py"),
    ],
)
def test_options_of_ones_own_data_are_refused_with_the_reason(words, message, tmp_path, capsys):
    assert command.main([*words, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


PAGE = (Path(jaxmlp.__file__).parent / "comparison" / "README.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_file_of_the_page_is_a_problem(tmp_path):
    (tmp_path / "my_problem.py").write_text(CODE[1])
    problem = problems.get(f"{tmp_path}/my_problem.py:problem")
    problems.check(problem, problems.load(problem))
    assert problem.name == "oscillation" and not problem.scored_by.higher_is_better


@pytest.mark.slow
def test_the_script_of_the_page_runs(capsys):
    exec(compile(CODE[2], "README.md", "exec"), {})
    answer, pair, rows = capsys.readouterr().out.splitlines()
    assert answer.startswith("On two_answers, ") and "points" in pair and "numbers, one row each" in rows
