"""Searches of several hyperparameters, schedules, and records that grow by a candidate or by merging."""

import dataclasses
import html
import io
import logging
import re
import shlex
import types
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from rich.console import Console

import jaxmlp
from jaxmlp.comparison import (
    command,
    comparing,
    drawing,
    figures,
    options,
    plans,
    problems,
    protocol,
    record,
    report,
    summary,
    tidy,
    trials,
)
from jaxmlp.comparison.candidates import Candidate, resolve
from jaxmlp.comparison.page import write_page
from jaxmlp.comparison.problems import PROBLEMS
from jaxmlp.comparison.spaces import choice, log_uniform, one_minus_log_uniform, parse_assignment
from jaxmlp.comparison.store import RunStore, load_arrays
from jaxmlp.comparison.study import COARSE, RACE, Study

pytestmark = pytest.mark.usefixtures("rough", "small")

SMALL = ["--problem", "digits", "--learning-rates", "0.01", "0.1", "--seeds", "2", "--epochs", "1"]


@pytest.fixture(scope="module")
def small():
    """Digits without a hidden layer, tuned with one seed, without the report."""
    make_plan = plans.make_plan
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        patch.setitem(PROBLEMS, "digits", dataclasses.replace(PROBLEMS["digits"], layer_sizes=(64, 10)))
        patch.setattr(plans, "make_plan", lambda *a, **k: make_plan(*a, **k, tuning_seeds=1))
        patch.setattr(command, "_report", lambda folder, screen: None)
        yield


def run(folder, *words):
    return command.main([*words, "--output", str(folder)])


@pytest.fixture(scope="module")
def sgd(tmp_path_factory, rough, small):
    folder = tmp_path_factory.mktemp("sgd")
    assert run(folder, *SMALL, "--optimizers", "sgd") == 0
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory, rough, small):
    folder = tmp_path_factory.mktemp("both")
    assert run(folder, *SMALL, "--optimizers", "sgd", "momentum") == 0
    return folder


def copied(finished, folder):
    folder.mkdir(exist_ok=True)
    for name in ("results.json", "curves.npz"):
        (folder / name).write_bytes((finished / name).read_bytes())
    return folder


def numbers(folder):
    """What must not depend on how a record came about: all but times."""
    entry = record.read(folder / "results.json")["problems"]["digits"]
    return {name: entry[name] for name in ("pairs", "power", "plan", "race")} | {
        name: {k: v for k, v in each.items() if k != "timing"} for name, each in entry["candidates"].items()
    }


def test_an_added_candidate_gives_the_record_of_both(sgd, both, tmp_path):
    folder = copied(sgd, tmp_path / "grown")
    assert run(folder, "--add", "momentum") == 0
    assert numbers(folder) == numbers(both)
    grown, whole = (record.read(path / "results.json") for path in (folder, both))
    assert grown["command"] == whole["command"]
    assert grown["command"].startswith("python -m jaxmlp.comparison --problem digits --optimizers sgd momentum")
    assert len(grown["problems"]["digits"]["candidates"]["sgd"]["timing"]["seconds_per_epoch"]) == 5
    before, after = (load_arrays(path / "curves.npz") or {} for path in (both, folder))
    assert before.keys() == after.keys() and not (folder / "unfinished-runs").exists()
    for name, values in before.items():
        if not name.endswith("seconds"):
            np.testing.assert_array_equal(values, after[name])


def test_merged_records_give_the_record_of_both(sgd, both, tmp_path):
    assert run(tmp_path / "momentum", *SMALL, "--optimizers", "momentum") == 0
    assert command.main(["merge", str(sgd), str(tmp_path / "momentum"), "--output", str(tmp_path / "merged")]) == 0
    assert numbers(tmp_path / "merged") == numbers(both)
    merged = record.read(tmp_path / "merged" / "results.json")
    assert merged["command"] == record.read(both / "results.json")["command"]
    assert merged["problems"]["digits"]["timed_apart"]


def sealed(results):
    return results | {"sha256": record.seal(results)}


def test_records_that_do_not_fit_together_are_refused(sgd, both, tmp_path, capsys):
    assert command.main(["merge", str(sgd), str(both), "--output", str(tmp_path / "c")]) == 2
    assert "both have the candidates sgd" in capsys.readouterr().err
    other = copied(sgd, tmp_path / "other")
    results = record.read(other / "results.json")
    entry = results["problems"]["digits"]
    entry["candidates"] = {"mine": entry["candidates"]["sgd"]}
    entry["problem"]["batch_size"] = 16
    record.write(other / "results.json", sealed(results))
    assert command.main(["merge", str(sgd), str(other), "--output", str(tmp_path / "c")]) == 2
    assert "problem.batch_size: 32 before, 16 now" in capsys.readouterr().err and not (tmp_path / "c").exists()
    assert command.main(["merge", str(sgd), str(other), "--output", str(both)]) == 2
    assert "holds a finished record" in capsys.readouterr().err


def test_a_finished_record_is_not_replaced_by_accident(sgd, tmp_path, capsys, monkeypatch):
    folder = copied(sgd, tmp_path / "kept")
    kept = (folder / "results.json").read_bytes()
    monkeypatch.setattr(problems, "load", lambda *a, **k: pytest.fail("data were loaded"))
    assert run(folder, *SMALL, "--optimizers", "momentum") == 2
    error = capsys.readouterr().err
    assert all(way in error for way in ("--overwrite", "--add NAME", "--report-only")) and "finished record" in error
    assert (folder / "results.json").read_bytes() == kept
    monkeypatch.undo()


def test_a_record_is_not_added_to_under_other_settings(sgd, tmp_path, capsys):
    folder = copied(sgd, tmp_path / "kept")
    assert run(folder, "--add", "sgd") == 2
    assert "must have different names" in capsys.readouterr().err
    assert run(folder, "--add", "momentum", "--space", "momentum.momentum=uniform(0, 0.9)") == 2
    assert "several hyperparameters" in capsys.readouterr().err
    results = record.read(folder / "results.json")
    results["problems"]["digits"]["plan"]["seeds"] = 7
    record.write(folder / "results.json", sealed(results))
    assert run(folder, "--add", "momentum") == 2
    assert "plans.digits.seeds: 7 before, 2 now" in capsys.readouterr().err
    record.write(folder / "results.json", sealed(results | {"arguments": None}))
    assert run(folder, "--add", "momentum") == 2
    assert "was not made by one command" in capsys.readouterr().err


ODD = "a/b <i>&\"' [red]_$%"


@pytest.fixture(scope="module")
def searched(tmp_path_factory, rough, small):
    """A candidate with three hyperparameters and a schedule, and one with two, both with four tries."""
    space = {"beta": one_minus_log_uniform(0.1, 1), "l2": log_uniform(1e-5, 1e-2)}
    mine = Candidate(ODD, lambda learning_rate, beta: optax.sgd(learning_rate, beta), space, schedule="cosine")
    found = resolve([mine, "momentum"])
    plan = plans.make_plan(problems.get("digits"), found, tries=4, seeds=2, epochs=2)
    store = RunStore(tmp_path_factory.mktemp("searched") / "runs", plan.describe(), resume=False)
    log = Names()
    logger = logging.getLogger("jax")
    logger.addHandler(log)
    with jax.log_compiles():
        entry, curves = protocol_execute(plan, store)
    logger.removeHandler(log)
    return plan, entry, curves, log.names


def protocol_execute(plan, store):
    checked = dataclasses.replace(plan, candidates=trials.checked(plan.candidates))
    return protocol.execute(checked, problems.load(plan.problem), store, lambda what, done, total: None)


class Names(logging.Handler):
    def __init__(self):
        super().__init__()
        self.names = []

    def emit(self, record):
        text = record.getMessage()
        if text.startswith("Finished XLA compilation of "):
            self.names.append(text.split()[4])


def test_every_candidate_has_as_many_tries_whatever_its_space(searched):
    _, entry, curves, _ = searched
    assert {each["tries"] for each in entry["candidates"].values()} == {4}
    mine = entry["candidates"][ODD]
    assert list(mine["space"]) == ["learning_rate", "beta", "l2"] and mine["search"] == "sobol"
    assert len(mine["tuning"]) == 4 + 3 and mine["schedule"] == "cosine"
    assert mine["choices"][0]["hyperparameters"] in mine["tried"]
    assert "a%2Fb%20" not in str(entry) and any(
        path.startswith("a%2Fb") and path.endswith("coarse/beta") for path in curves
    )


def test_a_candidate_with_a_schedule_compiles_once_for_each_length(searched):
    """Coarse, full and race; each candidate has one program of each, however many points."""
    plan, _, _, names = searched
    whole = [name for name in names if "_run" in name or "_compiled_factory" in name]
    steps_of_checks = 1  # one step on a small network, of the candidate that is not ours
    timed = len(plan.candidates)
    assert 3 * len(plan.candidates) <= len(whole) <= 3 * len(plan.candidates) + steps_of_checks + timed, whole


def test_what_belongs_to_training_changes_it(small):
    """Batch size, l2, initial scale and dropout: as fit with these settings."""
    problem = dataclasses.replace(problems.get("digits"), coarse_epochs=1)
    data = problems.load(problem)
    study = Study(problem, data)
    space = {"batch_size": choice(16, 64), "l2": log_uniform(1e-4, 1.0), "initial_scale": log_uniform(0.1, 1)}
    [candidate] = resolve([Candidate("sgd", optax.sgd, space)]).values()
    point = {"learning_rate": 0.1, "batch_size": 64.0, "l2": 0.01, "initial_scale": 0.5}
    [job] = study.jobs(COARSE, candidate, 0, [(point, 3)])
    found = job.compute()
    net = problem.build(data)
    init_key, fit_key = jax.random.split(jax.random.key(3))
    params = jax.tree.map(lambda a: a * 0.5, net.init(init_key))
    loss = jaxmlp.objective(net.apply, l2=0.01)
    expected = jaxmlp.fit(
        loss, params, optax.sgd(0.1), data.train, key=fit_key, epochs=1, batch_size=64, validation=data.validation
    )
    np.testing.assert_allclose(found["train_loss"][0], expected.history.train_loss, rtol=1e-5)  # one program or another
    plain = jaxmlp.objective(net.apply)(expected.params, *data.validation)
    np.testing.assert_allclose(found["validation_loss"][0, -1], plain, rtol=1e-5)  # measured without the penalty
    program: Any = job.program
    assert job.columns["l2"] == [0.01] and program[2:] == (64, 0.0)


def test_any_name_is_written_as_it_is(searched, tmp_path):
    """In HTML, SVG, Markdown, LaTeX, the terminal, pictures and CSV."""
    _, entry, curves, _ = searched
    found = summary.summarise("digits", entry)
    name = ODD
    results = {
        "problems": {"digits": entry | {"data_sha256": "0"}},
        "command": "none",
        "problem_chosen_because": "a test",
        "provenance": record.provenance(),
        "seconds_of_last_call": 1.0,
    }
    write_page(tmp_path / "page.html", results, {"digits": found}, {f"digits/{path}": v for path, v in curves.items()})
    page = (tmp_path / "page.html").read_text()
    assert "<i>" not in page and html.escape(name) in page
    assert "Sensitivity to the learning rate" in page and "Sensitivity to beta" in page and "tries" in page
    row = next(line for line in report.latex_table("digits", entry, found).splitlines() if line.startswith("a/b"))
    assert row.startswith("a/b \\textless{}i\\textgreater{}\\&\"' {[}red{]}\\_\\$\\% & ")
    assert "a/b \\<i>\\&\"' \\[red\\]\\_\\$%" in report.markdown_tables("digits", entry, found)
    screen = Console(width=200, record=True, file=io.StringIO())
    for table in report.screen_tables("digits", entry, found):
        screen.print(table)
    assert name in screen.export_text() and "Choice" in report.markdown_tables("digits", entry, found)
    for draw in figures.PER_PROBLEM.values():
        drawing.save(draw("digits", entry, found, curves), tmp_path / "picture.png")
    rows = [row for row in tidy.rows("digits", entry, curves) if row[1] == name and row[3] == "coarse"]
    assert len(rows) == 4 * 2 * 3 and {row[2].count("=") for row in rows} == {3}


def test_twenty_names_have_looks_of_their_own():
    looks = [drawing.LOOKS[f"rule {i}"] for i in range(20)]
    assert len({(look["color"], look["marker"]) for look in looks}) == 20
    assert len({look["color"] for look in looks}) == 5


PAGE = (Path(jaxmlp.__file__).parent / "comparison" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_rule_and_the_command_of_the_page(small, tmp_path, monkeypatch):
    """All five are found with their spaces; two of them are trained, with two tries and two seeds."""
    [rule, *_] = [
        block for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if "sign_momentum" in block
    ]
    [shown] = re.findall(r"```\npython -m jaxmlp.comparison (--problem .*?)```", PAGE, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_rules.py").write_text(rule)
    assert len([line for line in rule.splitlines() if line.strip()]) <= 20
    words = shlex.split(shown.replace("\\\n", " "))
    given = options.parser().parse(words)
    found = resolve(given.optimizers, [parse_assignment(text) for text in given.space])
    assert list(found) == ["adam", "sign_momentum", "lion", "muon", "schedule_free_adamw"]
    # Timing compiles each rule once more.
    monkeypatch.setattr(
        Study, "seconds_per_epoch", lambda self, chosen, seed: {one.name: [1.0] * 5 for one, _ in chosen}
    )
    place = words.index("--space")
    few = [*words[: words.index("optax.lion")], *words[place : place + 2], "--seeds", "2", "--epochs", "1"]
    few[few.index("--tries") + 1] = "2"
    assert run(tmp_path / "out", *few) == 0
    entry = record.read(tmp_path / "out" / "results.json")["problems"]["digits"]
    assert entry["candidates"]["sign_momentum"]["sha256"] and len(entry["pairs"]) == 1


@pytest.mark.slow
def test_an_averaging_rule_is_measured_at_its_average(small):
    """The end of the last epoch, and the early measurements, which are made after the steps before it."""
    problem = dataclasses.replace(problems.get("digits"), epochs=2)
    data = problems.load(problem)
    study = Study(problem, data)
    [free] = trials.checked(resolve(["optax.contrib.schedule_free_sgd"])).values()
    [job] = study.jobs(RACE, free, 0, [({"learning_rate": 0.1}, 3)])
    found = job.compute()
    net, rule = problem.build(data), optax.contrib.schedule_free_sgd(0.1)
    init_key, fit_key = jax.random.split(jax.random.key(3))
    train: Any = tuple(np.concatenate(parts) for parts in zip(data.train, data.validation, strict=True))
    result = jaxmlp.fit(
        jaxmlp.objective(net.apply), net.init(init_key), rule, train, key=fit_key, epochs=2, batch_size=32
    )
    average = optax.contrib.schedule_free_eval_params(result.state.opt_state, result.params)
    score = jaxmlp.accuracy(net.apply)
    expected = float(score(average, *data.test))
    assert found["test_score"][0, -1] == pytest.approx(expected, abs=1.1 / 360)  # one answer, by rounding
    early, ends = found["early_test_score"][0], found["test_score"][0]
    assert early.shape == (20,) and early[[9, 19]].tolist() == ends.tolist() and (early > 0.05).all()


def test_the_candidates_of_the_page(monkeypatch):
    def compare(problem, given, *, tries, seeds, epochs):
        plan = plans.make_plan(problems.get(problem), resolve(given), tries=tries, seeds=seeds, epochs=epochs)
        found = {name: {"choices": list(space)} for name, space in plan.spaces.items()}
        return types.SimpleNamespace(results={"problems": {problem: {"candidates": found}}})

    monkeypatch.setattr(comparing, "compare", compare)
    [block] = [b for b in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if "heavy ball" in b]
    shown: list[object] = []
    exec(compile(block, "README.md", "exec"), {"print": shown.append})
    assert shown == [["learning_rate", "momentum"]]
