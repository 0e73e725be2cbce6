"""Many pieces of work on a few cores."""

import threading
import time

import numpy as np
import pytest

from jaxmlp.comparison.schedule import Job, run_all
from jaxmlp.comparison.store import RunStore


def job(name, compute=None, program="program", value=1.0):
    return Job(name, program, 2, {"seed": np.array([0, 1])}, compute or (lambda: {"x": np.full(2, value)}))


def nothing(name, asked, done):
    pass


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs", {}, resume=False)


def test_each_work_gets_its_results_in_order_and_returns(store):
    def work(name):
        first = yield [job(f"{name}-{i}", value=i) for i in range(3)]
        second = yield [job(f"{name}-last", value=7)]
        return [float(table["x"][0]) for table in first + second]

    assert run_all({"a": work("a"), "b": work("b")}, store, nothing, 2) == {"a": [0, 1, 2, 7], "b": [0, 1, 2, 7]}


def test_a_program_is_compiled_by_one_job_while_others_go_on(store):
    running, most, lock, both = [], {"p": 0, "q": 0}, threading.Lock(), threading.Barrier(2)

    def compute(program, first):
        with lock:
            running.append(program)
            if first:
                most[program] = max(most[program], running.count(program))
        if first:
            both.wait(10)  # the first jobs of the two programs run at the same time
        with lock:
            running.remove(program)
        return {}

    def work(program):
        yield [job(f"{program}-{i}", lambda i=i: compute(program, i == 0), program) for i in range(3)]

    run_all({"p": work("p"), "q": work("q")}, store, nothing, 2)
    assert most == {"p": 1, "q": 1}


def test_what_is_kept_is_not_done_again_unless_its_runs_are_others(store):
    def work(*jobs):
        [table] = yield list(jobs)
        return table["x"].tolist()

    assert run_all({"a": work(job("one", value=1))}, store, nothing) == {"a": [1, 1]}
    assert run_all({"a": work(job("one", value=2))}, store, nothing) == {"a": [1, 1]}
    other = job("one", value=3)._replace(columns={"seed": np.array([5, 6])})
    assert run_all({"a": work(other)}, store, nothing) == {"a": [3, 3]}


def test_the_seconds_of_all_jobs_add_up_to_the_time_of_the_whole(store):
    def work():
        tables = yield [job(f"piece-{i}", program=i) for i in range(4)]
        return sum(table["seconds"].sum() for table in tables)

    start = time.perf_counter()
    total = run_all({"a": work()}, store, nothing, 2)["a"]
    assert 0 < total <= time.perf_counter() - start


def test_progress_counts_runs_asked_for_and_done(store):
    seen = []

    def work():
        yield [job("one"), job("two")]
        yield [job("three")]

    run_all({"a": work()}, store, lambda name, asked, done: seen.append((asked, done)), 1)
    assert np.sum(seen, axis=0).tolist() == [6, 6]
    assert all(done <= asked for asked, done in np.cumsum(seen, axis=0))


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_ends_everything_at_once(store, error):
    def fail():
        raise error

    def work():
        yield [job("bad", fail), job("good")]

    with pytest.raises(type(error)):
        run_all({"a": work()}, store, nothing, 1)
    assert store.kept("good") is None
