"""Many pieces of work on a few cores: what is done is kept, and nobody waits for what somebody else compiles."""

import os
import time
from collections.abc import Callable, Generator, Hashable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmlp.comparison.store import Arrays, RunStore
from jaxmlp.training.settings import applied, thread_settings

__docformat__ = "google"
__all__ = ["Job", "Work", "run_all"]


class Job(NamedTuple):
    """A piece of work that is done by one thread and kept when it is done."""

    name: str
    """Under which it is kept; unique."""

    program: Hashable
    """Jobs of one program compile it once: the first one runs before the others start."""

    runs: int
    """Training runs in it."""

    columns: Arrays
    """What identifies the runs; part of the result."""

    compute: Callable[[], Arrays]
    """Does the work."""


Work = Generator[list[Job], list[Arrays], Any]
"""Yields jobs, is sent their results in the same order, and returns what it was for."""


def run_all(
    works: Mapping[str, Work], store: RunStore, on_jobs: Callable[[str, int, int], None], workers: int | None = None
) -> dict[str, Any]:
    """Do several works side by side.

    Each work waits for the jobs that it asked for; meanwhile the cores are busy with those of the others. So a search
    whose next step depends on its last leaves no core idle.

    Args:
        works: name -> work.
        store: keeps the result of each job as soon as it is done, with the column seconds: the time since the job
            before it was done, divided by its runs, so that all of them add up to the time of the whole. Jobs whose
            results it holds are not done again.
        on_jobs: called as on_jobs(name of the work, runs asked for, runs done) whenever either changes, by so much.
        workers: threads; None: one per CPU on a CPU, otherwise one.

    Returns:
        Name -> what the work returned.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> def work():
        ...     job = Job("piece", "program", 1, {}, lambda: {"x": np.ones(2)})
        ...     [result] = yield [job]
        ...     return float(result["x"].sum())
        >>> store = RunStore(Path(tempfile.mkdtemp()) / "runs", {}, resume=False)
        >>> run_all({"a": work()}, store, lambda name, asked, done: None)
        {'a': 2.0}
    """
    return _Schedule(works, store, on_jobs).run(workers or _workers())


class _Schedule:
    def __init__(self, works, store, on_jobs):
        self.works, self.store, self.on_jobs = works, store, on_jobs
        self.finished: dict[str, Any] = {}
        self.results: dict[str, list[Arrays | None]] = {}  # of the jobs that each work waits for
        self.queue: list[tuple[str, int, Job]] = []  # jobs that nobody has started
        self.running: dict[Future[Arrays], tuple[str, int, Job]] = {}
        self.compiled: set[Hashable] = set()

    def run(self, workers):
        self.last = time.perf_counter()
        for name in self.works:
            self._go_on(name, None)
        pool, settings = ThreadPoolExecutor(workers), thread_settings()

        def compute(job):
            with applied(settings):
                return job.compute()

        try:
            while self.queue or self.running:
                while len(self.running) < workers and (entry := self._next()):
                    self.running[pool.submit(compute, entry[2])] = entry
                for future in wait(self.running, return_when=FIRST_COMPLETED).done:
                    self._done(*self.running.pop(future), future.result())
        finally:
            # Not waiting: a run cannot be stopped, and an interrupted comparison should end at once.
            pool.shutdown(wait=False, cancel_futures=True)
        return {name: self.finished[name] for name in self.works}

    def _next(self):
        """Take the first job from the queue whose program nobody is compiling."""
        compiling = {job.program for _, _, job in self.running.values()} - self.compiled
        for index, (_, _, job) in enumerate(self.queue):
            if job.program not in compiling:
                return self.queue.pop(index)
        return None

    def _done(self, name, index, job, arrays):
        self.compiled.add(job.program)
        now = time.perf_counter()
        arrays = arrays | job.columns | {"seconds": np.full(job.runs, (now - self.last) / job.runs)}
        self.last = now
        self.store.keep(job.name, arrays)
        self.on_jobs(name, 0, job.runs)
        waiting = self.results[name]
        waiting[index] = arrays
        if all(result is not None for result in waiting):
            self._go_on(name, waiting)

    def _go_on(self, name, results):
        """Send a work its results, until it asks for a job that is not kept, or ends."""
        while True:
            try:
                jobs = next(self.works[name]) if results is None else self.works[name].send(results)
            except StopIteration as stop:
                self.finished[name] = stop.value
                return
            results = [self._kept(job) for job in jobs]
            self.on_jobs(name, sum(job.runs for job in jobs), 0)
            for index, (job, found) in enumerate(zip(jobs, results, strict=True)):
                if found is None:
                    self.queue.append((name, index, job))
                else:
                    self.on_jobs(name, 0, job.runs)
            if None in [None if found is None else 0 for found in results]:
                self.results[name] = results
                return

    def _kept(self, job):
        arrays = self.store.kept(job.name)
        same = arrays is not None and all(np.array_equal(arrays.get(n, ()), v) for n, v in job.columns.items())
        return arrays if same else None


def _workers():
    if jax.default_backend() != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
