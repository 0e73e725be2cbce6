"""A comparison on the workers of an executor: the same numbers, whoever trains and whoever dies."""

import contextlib
import dataclasses
import importlib.util
import pickle
import sys
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import jaxmlp
from jaxmlp import instruments
from jaxmlp.comparison import (
    candidates,
    command,
    compare,
    inside,
    plans,
    problems,
    record,
    records,
    report,
    sending,
    store,
    workers,
)
from jaxmlp.comparison.problems import Problem

X = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
LINE = Problem(
    "line",
    (X, X @ np.array([[1.0], [-2.0], [0.5]], np.float32)),
    layer_sizes=(3, 1),
    epochs=1,
    loss="mean_squared_error",
    score="r2",
)
SETTINGS: Any = {"learning_rates": [0.03, 0.3], "seeds": 2, "tuning_seeds": 1}
PIECES = 2 * 2 + 1  # of each candidate one for tuning and one for the race; and the timing


class Inline:
    """Does each call when it is submitted, after those that fail."""

    def __init__(self, *errors, change=lambda arguments: arguments):
        self.errors, self.change, self.calls = list(errors), change, []

    def submit(self, function, *arguments):
        future = Future()
        self.calls.append(arguments)
        try:
            error = self.errors.pop(0) if self.errors else None
            if error is not None:
                raise error
            future.set_result(function(*self.change(arguments)))
        except Exception as error:
            future.set_exception(error)
        return future


KilledWorker = type("KilledWorker", (Exception,), {})  # as dask.distributed has it


def line(executor=None, **more):
    return compare(LINE, ["sgd", "adam"], **SETTINGS, executor=executor, **more)


@pytest.fixture(scope="module")
def alone(unoptimised):
    return line()


def assert_same(found, expected):
    """Equal but for times and places."""
    assert without_times(found.results) == without_times(expected.results)
    assert found.curves.keys() == expected.curves.keys()
    for name in found.curves:
        if not name.endswith("/seconds"):
            np.testing.assert_array_equal(found.curves[name], expected.curves[name], err_msg=name)


def without_times(value):
    left_out = ("seconds", "places", "crc32", "sha256")
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not k.startswith(left_out)}
    return value


def test_threads_as_workers_give_the_record_of_one_process_and_its_places(alone):
    seen = []
    with ThreadPoolExecutor(2) as pool:
        found = line(pool, on_progress=seen.append)
    assert_same(found, alone)
    here = record.here()
    assert found.results["places"] == [{**here._asdict(), "pieces": PIECES}] and "places" not in alone.results
    assert f"; trained in 1 process on {here.host}, " in report.origin(found.results)
    assert seen[-1].done == seen[-1].total
    assert "different devices" not in report.caution(found.results)
    other = {**here._asdict(), "device": "cpu (cpu) of 64 threads", "pieces": 1}
    assert "different devices" in report.caution({**found.results, "places": [*found.results["places"], other]})


def test_pieces_are_kept_with_their_place_which_does_not_decide_what_is_kept(tmp_path):
    kept = store.RunStore(tmp_path / "runs", {}, resume=False)
    place = record.Place("node1", 7, "2 x cpu (cpu)")
    kept.keep("a", {"x": np.arange(3)}, place)
    kept.keep("b", {"x": np.arange(3)})
    kept.close()
    again = store.RunStore(tmp_path / "runs", {}, resume=True)
    for name in ("a", "b"):
        assert [*(again.kept(name) or {})] == ["x"]
    assert again.places == {"a": place}


def test_a_piece_is_tried_again_whose_worker_has_died(alone):
    pool = Inline(BrokenExecutor("gone"), None, TimeoutError(), KilledWorker("gone"))
    assert_same(line(pool), alone)
    assert len(pool.calls) == PIECES + 3 and max(call[-1] for call in pool.calls) == workers.TRIES


def test_instruments_look_inside_runs_of_workers_too(unoptimised, monkeypatch):
    monkeypatch.setattr(inside, "panel", lambda every: {"loss": instruments.loss()})
    pool = Inline()
    assert_same(line(pool, instruments=True), line(instruments=True))
    assert len(pool.calls) == PIECES + 2


def test_what_was_kept_before_all_tries_were_lost_is_not_done_again(alone, tmp_path):
    pool = Inline(None, None, *[TimeoutError("no answer")] * 9)
    with pytest.raises(workers.LostError, match=r"race.* was tried 3 times, and lost with its worker \(TimeoutE"):
        line(pool, output=tmp_path)
    assert len(list((tmp_path / "unfinished-runs").glob("*.npz"))) == 2
    rest = Inline()
    assert_same(line(rest, output=tmp_path, resume=True), alone)
    assert len(rest.calls) == PIECES - 2
    assert sum(place["pieces"] for place in record.read(tmp_path / "results.json")["places"]) == PIECES


def test_a_broken_pool_is_made_again_by_a_function_that_makes_one(alone):
    made = []

    class Pool(Inline):
        def submit(self, function, *arguments):
            if self is made[0] and len(self.calls) == 2:
                raise BrokenExecutor("a process of the pool has died")
            return super().submit(function, *arguments)

        def shutdown(self, wait, cancel_futures):
            self.closed = True

    def make():
        made.append(Pool())
        return made[-1]

    assert_same(line(make), alone)
    assert [len(pool.calls) for pool in made] == [2, PIECES - 2] and made[1].closed


def test_a_pool_that_stays_broken_is_given_up(unoptimised):
    class Broken:
        def submit(self, function, *arguments):
            raise BrokenExecutor("a process of the pool has died")

    with pytest.raises(workers.LostError, match=r"tried 3 times.*BrokenExecutor: a process of the pool has died"):
        line(Broken())


def test_any_other_exception_is_passed_on_and_the_rest_cancelled(unoptimised):
    class Waiting(Inline):
        def submit(self, function, *arguments):
            if not self.calls:
                return super().submit(function, *arguments)
            self.calls.append(Future())
            return self.calls[-1]

    pool = Waiting(ZeroDivisionError("mine"))
    with pytest.raises(ZeroDivisionError, match="mine"):
        line(pool)
    assert len(pool.calls) == 2 and pool.calls[1].cancelled()  # all that is independent was submitted


def test_a_worker_without_the_library_is_named(unoptimised):
    with pytest.raises(ValueError, match="scheduler or worker cannot import jaxmlp; install there what is installed"):
        line(Inline(ModuleNotFoundError("No module named 'jaxmlp'")))


def test_workers_of_other_versions_or_other_data_are_refused(unoptimised):
    def old(arguments):
        return ({**arguments[0], "jax": "0.1", "numpy": "1.0"}, *arguments[1:])

    versions = sending.versions()
    there = (
        rf"it has jax {versions['jax']}, numpy {versions['numpy']}, and the process that asks has jax 0.1, numpy 1.0"
    )
    with pytest.raises(ValueError, match=rf"the worker \(process \d+ on .*\) was refused: {there}; install the same"):
        line(Inline(change=old))
    packed = sending.packed_problem(LINE, "another digest")
    with pytest.raises(ValueError, match="cannot load the problem line: its data are not those of the process that"):
        sending.do(versions, packed, "train", b"", 1)


def test_a_problem_is_sent_by_its_name_or_reference_and_only_then_by_its_value(tmp_path, monkeypatch):
    digits = dataclasses.replace(problems.get("digits"), epochs=3)
    sent = pickle.loads(sending.packed_problem(digits, ""))
    assert sent.named == "digits" and sent.pickled is None and sent.plain["epochs"] == 3
    path = tmp_path / "lines.py"
    path.write_text("from test_workers import LINE as line\n")
    monkeypatch.chdir(tmp_path)
    named = problems.get("lines.py:line")
    packed = sending.packed_problem(named, record.digest(*jaxmlp_leaves(named)))
    assert pickle.loads(packed).named == f"{path}:line" and pickle.loads(packed).pickled is None
    monkeypatch.chdir("/")
    study, _ = sending._study(packed)
    assert study.problem == named
    path.write_text("from test_workers import LINE as line\n# another\n")
    sending._study.cache_clear()
    with pytest.raises(ValueError, match="its definition is not that of the process that asks; copy its file"):
        sending._study(packed)
    assert pickle.loads(sending.packed_problem(LINE, "")).pickled
    large = dataclasses.replace(LINE, data=(np.zeros((1000, 3000), np.float32), np.zeros(1000, np.float32)))
    with pytest.raises(ValueError, match="line holds 12 MB, which would be sent with each of its pieces; let its data"):
        sending.packed_problem(large, "")


def jaxmlp_leaves(problem):
    return [array for part in problems.load(problem) for array in part]


def test_what_cannot_be_pickled_is_refused_with_the_way_out(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cloudpickle" else find(name))
    odd = dataclasses.replace(LINE, loss=lambda outputs, targets: ((outputs - targets) ** 2).mean())
    with pytest.raises(
        ValueError, match=r"the problem line cannot be sent .* put it in a file and name it, as in my_f"
    ):
        compare(odd, ["sgd"], **SETTINGS, executor=Inline())
    mine = candidates.Candidate("mine", lambda learning_rate: jaxmlp.optimizers.sgd(learning_rate))
    with pytest.raises(ValueError, match="the candidate mine cannot be sent to workers"):
        compare(LINE, [mine], **SETTINGS, executor=Inline())


@pytest.mark.parametrize("reference", ["adam", "other=optax.lion", "dialects.torch.adam", "optax.contrib.muon"])
def test_a_candidate_is_sent_by_reference_with_its_settings(reference):
    [candidate] = candidates.resolve([reference], schedules=["cosine"]).values()
    sent = sending.packed_candidate(candidate)
    assert len(sent) < 1000
    assert sending._candidate(sent) == dataclasses.replace(candidate, space=None)
    assert sending._candidate(sent) is sending._candidate(pickle.loads(pickle.dumps(sent)))


def test_a_candidate_of_a_file_must_be_the_same_there(tmp_path, monkeypatch):
    path = tmp_path / "rules.py"
    path.write_text("import jaxmlp\n\ndef mine(learning_rate):\n    return jaxmlp.optimizers.sgd(learning_rate)\n")
    monkeypatch.chdir(tmp_path)
    sent = sending.packed_candidate(candidates.load("rules.py:mine"))
    monkeypatch.chdir("/")
    assert sending._candidate(sent).name == "mine"
    path.write_text(path.read_text() + "# another\n")
    sending._candidate.cache_clear()
    with pytest.raises(ValueError, match="has another mine than the process that asks; copy its file"):
        sending._candidate(sent)


@pytest.mark.parametrize("executor", [3, ThreadPoolExecutor])
def test_what_is_no_executor_is_refused(executor):
    with pytest.raises(TypeError, match=r"executor must have submit\(function, \*arguments\), as concurrent.futures"):
        line(executor)


def test_the_extra_is_named_and_a_silent_scheduler_too(tmp_path, capsys, monkeypatch):
    words = ["--problem", "digits", "--output", str(tmp_path / "out"), "--cluster"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "distributed", None)
        assert command.main([*words, "tcp://127.0.0.1:1"]) == 2
    assert "pip install 'jaxmlp[cluster]'" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_splits_are_worked_on_at_the_same_time_and_give_the_same(unoptimised):
    pool = Inline()
    assert_same(line(pool, splits=2), line(splits=2))
    assert len(pool.calls) == 2 * (PIECES - 1) + 1


def test_the_command_trains_adds_and_extends_on_a_cluster(tmp_path, monkeypatch, alone, capsys):
    class Client(Inline):
        def nthreads(self):
            return {"tcp://127.0.0.1:1": 1}

    @contextlib.contextmanager
    def cluster(address):
        yield clients.setdefault(address, Client())

    clients: dict[str, Client] = {}
    make_plan = plans.make_plan
    monkeypatch.setattr(workers, "cluster", cluster)
    monkeypatch.setattr(plans, "make_plan", lambda *a, **k: make_plan(*a, **{**k, "tuning_seeds": 1}))
    monkeypatch.setattr(command, "_report", lambda folder, screen: None)
    (tmp_path / "lines.py").write_text("from test_workers import LINE as line\n")
    words = ["--problem", f"{tmp_path}/lines.py:line", "--seeds", "2", "--learning-rates", "0.03", "0.3"]
    output = ["--output", str(tmp_path / "out")]
    assert command.main([*words, "--optimizers", "sgd", *output, "--cluster", "first"]) == 0
    assert command.main(["--add", "adam", *output, "--cluster", "second"]) == 0
    assert [len(client.calls) for client in clients.values()] == [3, 4]  # the times of all are taken again
    found, _ = records.read(tmp_path / "out")
    assert "1 worker at first; others may join" in capsys.readouterr().out and "--cluster" not in found["command"]
    for name, entry in alone.results["problems"]["line"]["candidates"].items():
        assert found["problems"]["line"]["candidates"][name]["race"] == entry["race"]
    assert command.main([*words, "--optimizers", "sgd", "adam", *output, "--add-seeds", "1"]) == 0
    assert [place["pieces"] for place in records.read(tmp_path / "out")[0]["places"]] == [7]
