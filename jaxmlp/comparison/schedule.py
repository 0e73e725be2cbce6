"""Many pieces of work for threads or other workers: what is done is kept, and nobody waits for another's compiling."""

import os
import time
from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from jaxmlp.comparison.record import Place
from jaxmlp.comparison.store import Arrays, RunStore
from jaxmlp.training.settings import applied, thread_settings

__docformat__ = "google"
__all__ = ["Crew", "Job", "Work", "run_all"]


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

    piece: Any = None
    """What another process has to know to do the work."""


Work = Generator[list[Job], list[Arrays], Any]
"""Yields jobs, is sent their results in the same order, and returns what it was for."""


class Crew(Protocol):
    """Who does jobs: threads of this process, or the workers of an executor."""

    at_once: float
    """Jobs to start before one has ended."""

    shares: bool
    """Whether all use what one has compiled."""

    def start(self, job: Job) -> Any:
        """Start a job, and return what stands for it; hashable."""
        ...

    def ended(self, started: Collection[Any]) -> Iterable[Any]:
        """Wait until one or more of those that were started have ended, and return these."""
        ...

    def result(self, ended: Any) -> tuple[Arrays, Place | None]:
        """Return what a job computed, and where if that is not this process; raise its exception."""
        ...

    def stop(self, started: Collection[Any]) -> None:
        """Give up what has not ended, without waiting."""
        ...


def run_all(
    works: Mapping[Any, Work],
    store: RunStore,
    on_jobs: Callable[[Any, int, int], None],
    workers: int | None = None,
    crew: Crew | None = None,
) -> dict[Any, Any]:
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
        crew: who does the jobs; None: the threads.

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
    return _Schedule(works, store, on_jobs).run(crew or _Threads(workers or _workers()))


class _Threads:
    """The threads of this process as a crew."""

    shares = True

    def __init__(self, count):
        self.at_once = count
        self._pool, self._settings = ThreadPoolExecutor(count), thread_settings()

    def start(self, job):
        return self._pool.submit(self._compute, job)

    def _compute(self, job):
        with applied(self._settings):
            return job.compute()

    def ended(self, started):
        return wait(started, return_when=FIRST_COMPLETED).done

    def result(self, ended):
        return ended.result(), None

    def stop(self, started):
        # Not waiting: a run cannot be stopped, and an interrupted comparison should end at once.
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Schedule:
    def __init__(self, works, store, on_jobs):
        self.works, self.store, self.on_jobs = works, store, on_jobs
        self.finished: dict[Any, Any] = {}
        self.results: dict[Any, list[Arrays | None]] = {}  # of the jobs that each work waits for
        self.queue: list[tuple[Any, int, Job]] = []  # jobs that nobody has started
        self.running: dict[Any, tuple[Any, int, Job]] = {}  # by what the crew returned for them
        self.compiled: set[Hashable] = set()

    def run(self, crew):
        self.last = time.perf_counter()
        try:
            for name in self.works:
                self._go_on(name, None)
            while self.queue or self.running:
                while len(self.running) < crew.at_once and (entry := self._next(crew)):
                    self.running[crew.start(entry[2])] = entry
                for ended in crew.ended(self.running):
                    self._done(*self.running.pop(ended), *crew.result(ended))
        finally:
            crew.stop(self.running)
        return {name: self.finished[name] for name in self.works}

    def _next(self, crew):
        """Take the first job from the queue; where programs are shared, one whose program nobody is compiling."""
        compiling = {job.program for _, _, job in self.running.values()} - self.compiled if crew.shares else ()
        for index, (_, _, job) in enumerate(self.queue):
            if job.program not in compiling:
                return self.queue.pop(index)
        return None

    def _done(self, name, index, job, arrays, place):
        self.compiled.add(job.program)
        now = time.perf_counter()
        arrays = arrays | job.columns | {"seconds": np.full(job.runs, (now - self.last) / job.runs)}
        self.last = now
        self.store.keep(job.name, arrays, place)
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
