"""What all commands have in common: the list, options, records, exit statuses, and what they may import."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import jaxmlp
from experiments import __main__ as listing
from experiments.common import command
from experiments.common.command import Comparison, Outcome
from jaxmlp.comparison import store

FOLDER = Path(listing.__file__).parent
FILES = sorted(path for path in FOLDER.rglob("*.py"))
PACKAGES = (
    "cockpit",
    "conformance",
    "estimators",
    "hypergradient",
    "landscapes",
    "linear_regression",
    "logic_gates",
    "mnist_deep",
    "throughput",
    "titanic",
    "ulps",
)
SINGLE = (
    "compile_for_gpu",
    "mnist_adam",
    "mnist_best",
    "mnist_sgd",
    "mnist_small",
    "mnist_transfer",
    "optimizers",
    "time_to_accuracy",
)
NAMES = sorted(PACKAGES + SINGLE)
ON_MNIST = [name for name in NAMES if name.startswith("mnist")]


def module_of(name):
    return importlib.import_module(f"experiments.{name}.experiment" if name in PACKAGES else f"experiments.{name}")


@pytest.fixture
def main(name, monkeypatch):
    """The main function of a command, whose data sets are not to be loaded."""

    def load(*arguments, **options):
        pytest.fail("data were loaded")

    module = module_of(name)
    monkeypatch.setattr(jaxmlp.datasets, "load", load)
    for loader in ("titanic_table", "noisy_line"):
        monkeypatch.setattr(module, loader, load, raising=False)
    return module.main


# The list


def test_every_command_is_listed_in_one_line_with_its_time_and_nothing_is_imported():
    code = "import sys; from experiments.__main__ import main; main(); sys.exit('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    lines = done.stdout.split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    for line in lines:
        assert re.match(r"  \w+ +\d[\d.]* (s|min)  [A-Z0-9].*[.?]$", line) and len(line) <= 120, line


def test_every_command_is_described_in_the_readme():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {name for name in re.findall(r"`(\w+)", text) if name in NAMES} == set(NAMES)
    assert set(re.findall(r"experiments\.(\w+)", text)) - {"NAME"} <= set(NAMES)


# Layout


def owner(path):
    """The command, or common, that a file belongs to; empty for the list of commands."""
    parts = path.relative_to(FOLDER).parts
    return parts[0] if len(parts) > 1 else "" if parts[0].startswith("__") else parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_command_imports_another_and_nothing_private_is_imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for name in (prefix + alias.name for alias in node.names):
            parts = name.split(".")
            if parts[0] == "experiments":
                assert parts[1] in ("common", owner(path)), f"{path} imports {name}"
            if parts[0] in ("experiments", "jaxmlp"):
                assert not any(part.startswith("_") for part in parts), f"{path} imports {name}"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_has_a_docstring_a_start_and_an_experiment(name):
    (docstring,) = ast.parse((FOLDER / name / "__init__.py").read_text(encoding="utf-8")).body
    assert ast.get_docstring(ast.Module([docstring], []))
    imports = sorted(
        ("from experiments.common.command import start", f"from experiments.{name}.experiment import main")
    )
    start = "\n".join([*imports, "", "start(main)", ""])
    assert (FOLDER / name / "__main__.py").read_text(encoding="utf-8") == start


# Every command


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_defaults_in_one_form(name, main, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"usage: python -m experiments.{name} [-h]" in text and f"(default: results/{name})" in text
    assert text.count("default") == text.count("(default: ") and "None" not in text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("words", ["--unknown 1", "--seeds 0", "--epochs 0", "--epochs many", "--steps 0"])
def test_bad_options_are_one_line_before_data_are_loaded(name, words, main, tmp_path, capsys):
    assert main([*words.split(), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["mnist_adam", "mnist_deep", "mnist_sgd", "mnist_small"])
@pytest.mark.parametrize("words", ["--learning-rate 0", "--learning-rate nan", "--batch-size -3"])
def test_bad_training_options_are_refused_before_data_are_loaded(name, words, main, tmp_path, capsys):
    assert main([*words.split(), "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {words.split()[0]} must be ")


@pytest.mark.parametrize("name", ON_MNIST)
def test_ctrl_c_is_one_line_and_status_130(name, main, tmp_path, monkeypatch, capsys):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(jaxmlp.datasets, "load", interrupt)
    assert main(["--output", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "interrupted; no record was written\n" and not (tmp_path / "out").exists()


def test_ctrl_c_while_a_command_is_imported_is_one_line_and_status_130(tmp_path):
    (tmp_path / "jax.py").write_text("import signal\n\nsignal.raise_signal(signal.SIGINT)\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    words = [sys.executable, "-m", "experiments.titanic"]
    done = subprocess.run(words, cwd=FOLDER.parent, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted; nothing was started\n")


# The frame, with an experiment of two numbers


def parser(**settings):
    made = command.options("toy", "A toy.", **settings)
    made.add_argument("--steps", type=int, default=3, least=1, help="number of steps")
    return made


def run(tmp_path, outcome, *words, **settings):
    def experiment(options, console):
        return outcome(options) if callable(outcome) else outcome

    return command.run("toy", experiment, parser(**settings), [*words, "--output", str(tmp_path / "out")])


def test_a_published_figure_is_recorded_and_printed_beside_what_was_measured(tmp_path, capsys):
    calls = []
    outcome = Outcome(
        {"losses": [1.0, 3.0]},
        [Comparison("loss (nats)", "1.5", [1.0, 3.0])],
        notes=["a note"],
        pictures={"empty": lambda: plt.figure(figsize=(1, 1))},
        recorded=lambda: calls.append((tmp_path / "out" / "results.json").exists()),
    )
    assert run(tmp_path, outcome, "--seeds", "2", "--steps", "4", seeds=5) == 0
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (record["experiment"], record["results"], record["options"]["steps"]) == ("toy", outcome.results, 4)
    (row,) = record["comparisons"]
    assert (row["published"], row["values"], row["mean"], row["n"]) == ("1.5", [1.0, 3.0], 2.0, 2)
    assert record["notes"] == ["Not the default settings: --steps 4 (default: 3).", "a note"]
    assert record["command"] == f"python -m experiments.toy --seeds 2 --steps 4 --output {tmp_path / 'out'}"
    # Half width t(0.975, 1) s / sqrt(2) = 12.706 * 1.4142 / 1.4142.
    assert "| loss (nats) | 1.5 | 2.00 ± 12.71 (n = 2) |" in (tmp_path / "out" / "table.md").read_text()
    assert (tmp_path / "out" / "empty.png").exists() and calls == [True]
    printed = capsys.readouterr().out
    assert "toy: published and measured" in printed and "over the seeds 0 to 1. " in printed


def test_without_a_published_figure_the_results_are_the_record(tmp_path, capsys):
    assert run(tmp_path, Outcome({"heights": [1.0]}, notes=["a note"])) == 0
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(record) == {"experiment", "format", "command", "provenance", "seconds_in_all", "heights"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json"}
    printed = capsys.readouterr().out
    assert "a note" in printed and "measured" not in printed and "±" not in printed


def test_an_outcome_has_an_exit_status(tmp_path):
    assert run(tmp_path, Outcome({}, status=1)) == 1


def test_a_command_without_seeds_has_no_such_option(tmp_path, capsys):
    assert run(tmp_path, Outcome({}), "--seeds", "2") == 2
    assert "unrecognized arguments: --seeds 2" in capsys.readouterr().err


def test_an_interrupt_says_what_is_left(tmp_path, capsys):
    def keep_and_stop(options):
        store.RunStore(options.output / store.UNFINISHED, {}, resume=False).cached("run", dict)
        raise KeyboardInterrupt

    assert run(tmp_path, keep_and_stop) == 130
    assert "to continue, repeat the command with --resume" in capsys.readouterr().err

    def stop():
        raise KeyboardInterrupt

    assert run(tmp_path, Outcome({}, pictures={"late": stop})) == 130
    assert capsys.readouterr().err == "interrupted; the record is written, but not every table and picture\n"
    assert (tmp_path / "out" / "results.json").exists()


def test_intervals_are_written_with_or_without_their_number_of_values():
    assert command.with_interval([1.0, 3.0], ".1f") == "2.0 ± 12.7 (n = 2)"
    assert command.with_interval([1.0, 3.0], ".1f", count=False) == "2.0 ± 12.7"
    assert command.with_interval([1.0]) == "1.00 (n = 1)"
    assert command.with_interval([1.0, float("nan")], count=False) == "nan"
