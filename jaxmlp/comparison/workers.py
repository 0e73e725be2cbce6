"""The workers of an executor, other processes or other machines, as those who do the pieces of a comparison."""

import contextlib
import math
import pickle
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

from jaxmlp._checks import need, shown
from jaxmlp.comparison import sending
from jaxmlp.comparison.candidates import Candidate
from jaxmlp.comparison.plans import Plan
from jaxmlp.comparison.record import Place
from jaxmlp.comparison.schedule import Job
from jaxmlp.comparison.store import Arrays
from jaxmlp.comparison.tuning import Point

__docformat__ = "google"
__all__ = ["TRIES", "LostError", "Team", "Workers", "cluster"]

TRIES = 3
"""How often a piece is tried whose worker dies."""

_DEATHS = {"KilledWorker", "CommClosedError", "ClosedClientError"}  # of dask.distributed
_PAUSE = 0.02  # seconds between two looks at what has ended


class LostError(RuntimeError):
    """The worker of a piece died at every try."""


class Workers:
    """An executor, or what makes one.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> workers = Workers(lambda: ThreadPoolExecutor(2))
        >>> workers.executor().submit(pow, 2, 3).result()
        8
        >>> workers.close()
    """

    def __init__(self, executor: Any, *, data_dir: str | Path | None = None, mirror: str | None = None):
        """Take an executor.

        Args:
            executor: has submit(function, *arguments), which returns a future with done, result and cancel, as
                concurrent.futures.ProcessPoolExecutor(...) and dask.distributed.Client(...) have; or a function without
                arguments that returns one, which is called again when a pool is broken.
            data_dir: data set directory of the workers; None: each one's default.
            mirror: as for jaxmlp.datasets.load.

        Raises:
            TypeError: it is neither.
        """
        has_submit = callable(getattr(executor, "submit", None))
        if isinstance(executor, type) or not (has_submit or callable(executor)):
            raise TypeError(
                "executor must have submit(function, *arguments), as concurrent.futures.ProcessPoolExecutor(...) and "
                f"dask.distributed.Client(...) have, or be a function that returns such a one; got {shown(executor)}"
            )
        self._make = None if has_submit else executor
        self._executor: Any = executor if has_submit else None
        self.data_dir = None if data_dir is None else str(Path(data_dir).expanduser().absolute())
        self.mirror = mirror

    def close(self) -> None:
        """Shut down an executor that was made here, without waiting; one that was given stays as it is."""
        if self._make is not None and self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def executor(self) -> Any:
        """Return the executor."""
        if self._executor is None and self._make is not None:
            self._executor = self._make()
        return self._executor

    def broken(self, executor: Any) -> None:
        """Give up a broken executor if another one can be made."""
        if self._make is not None and executor is self._executor:
            self._executor = None


class Team:
    """Workers as the crew of one problem, in the sense of schedule.Crew.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> from jaxmlp.comparison import plans, problems
        >>> plan = plans.make_plan(problems.get("digits"), ["sgd"])
        >>> Team(Workers(ThreadPoolExecutor(2)), plan, data_sha256="").at_once
        inf
    """

    at_once = math.inf
    shares = False

    def __init__(self, workers: Workers, plan: Plan, data_sha256: str):
        """Prepare what is sent.

        Args:
            workers: who do it.
            plan: of the problem.
            data_sha256: record.digest of its data, which each worker loads by itself.

        Raises:
            ValueError: the problem or a candidate cannot be sent; says what to do.
        """
        self._workers = workers
        self._candidates = {name: sending.packed_candidate(one) for name, one in plan.candidates.items()}
        self._problem = sending.packed_problem(plan.problem, data_sha256, workers.data_dir, workers.mirror)

    def start(self, job: Job) -> "_Tried":
        """Send a job to a worker."""
        return self._send(job.name, "train", job.piece._replace(candidate=self._candidates[job.piece.candidate.name]))

    def ended(self, started: Collection["_Tried"]) -> "Iterator[_Tried]":
        """Wait until pieces have ended, and yield them; those whose worker has died are sent again."""
        found, errors = False, []
        while not (found or errors):
            time.sleep(_PAUSE)
            for one in list(started):
                try:
                    if one.ended():
                        found = True
                        yield one
                except Exception as error:
                    errors.append(error)
        if errors:  # after what has ended beside it
            raise errors[0]

    def result(self, ended: "_Tried") -> tuple[Arrays, Place]:
        """Return what a piece computed, and where."""
        return ended.found

    def stop(self, started: Collection["_Tried"]) -> None:
        """Cancel what has not begun."""
        for one in started:
            with contextlib.suppress(Exception):
                one.future.cancel()

    def seconds_per_epoch(
        self, chosen: Sequence[tuple[Candidate, Point]], seed: int
    ) -> tuple[dict[str, list[float]], Place]:
        """Let one worker time the candidates in turns, as Study.seconds_per_epoch, and say where."""
        sent = [(self._candidates[candidate.name], dict(point)) for candidate, point in chosen]
        one = self._send("timing", "time", (sent, seed))
        try:
            list(self.ended([one]))
        finally:
            self.stop([one])
        return one.found

    def inside(self, calls: Mapping[str, tuple[Candidate, Point, int]]) -> Iterator[tuple[str, Arrays, Place]]:
        """Let workers look inside runs, and yield what they see and where as it arrives.

        Args:
            calls: name -> the arguments of Study.inside.

        Yields:
            Name, inside.arrays_of of the readings, and where.
        """
        sent = {
            self._send("a run with instruments", "look", (self._candidates[one.name], dict(point), seed)): name
            for name, (one, point, seed) in calls.items()
        }
        try:
            while sent:
                for one in self.ended(sent):
                    yield sent.pop(one), *one.found
        finally:
            self.stop(sent)

    def _send(self, name, what, arguments):
        return _Tried(self._workers, name, (dict(sending.versions()), self._problem, what, pickle.dumps(arguments)))


class _Tried:
    """A piece that an executor has."""

    def __init__(self, workers, name, arguments):
        self.workers, self.name, self.arguments, self.tries = workers, name, arguments, 0
        self.found: Any = None
        self._submit()

    def ended(self):
        """Whether its result is there; raises its exception."""
        if not self.future.done():
            return False
        try:
            self.found = self.future.result()
        except Exception as error:
            self._check_died(error)
            self._submit()
            return False
        return True

    def _submit(self):
        while True:
            self.tries += 1
            self.executor = self.workers.executor()
            try:
                # With the number of the try, since dask returns the old future for an equal call.
                self.future = self.executor.submit(sending.do, *self.arguments, self.tries)
                return
            except Exception as error:
                self._check_died(error)

    def _check_died(self, error):
        """Raise unless the error is the death of a worker, and there are tries left."""
        died = isinstance(error, BrokenExecutor | CancelledError | TimeoutError) or type(error).__name__ in _DEATHS
        if "deserialization of the task graph" in str(error) or "No module named 'jaxmlp" in str(error):
            raise ValueError(
                "scheduler or worker cannot import jaxmlp; install there what is installed here"
            ) from error
        if not died:
            raise error
        if isinstance(error, BrokenExecutor):
            self.workers.broken(self.executor)
        if self.tries >= TRIES:
            raise LostError(
                f"{self.name} was tried {TRIES} times, and lost with its worker ({type(error).__name__}: {error})"
            ) from error


@contextlib.contextmanager
def cluster(address: str) -> Iterator[Any]:
    """Connect to a scheduler of dask.distributed.

    Args:
        address: of the scheduler, such as tcp://10.0.0.1:8786, or the file that its --scheduler-file names.

    Yields:
        The client.

    Raises:
        ValueError: distributed is not installed, or no scheduler answers.

    Example:
        >>> with cluster("tcp://10.0.0.1:8786") as client:  # doctest: +SKIP
        ...     compare("digits", executor=client)
    """
    try:
        need("cluster", "distributed")
    except ModuleNotFoundError as error:
        raise ValueError(f"--cluster: {error}") from error
    from distributed import Client  # pyright: ignore[reportMissingImports]

    where: dict[str, Any] = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        client = Client(**where, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        text = str(error).partition("\n")[0]
        raise ValueError(f"no dask scheduler answers at {address} ({text}); start one with: dask scheduler") from error
    with client:
        yield client
