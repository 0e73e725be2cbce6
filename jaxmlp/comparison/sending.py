"""What a worker of another process is sent of a comparison, and what it does with it.

Plain values and bytes are sent. The worker loads problem and data by itself, and keeps them for the next piece. So a
piece is a pure function of what is sent, whoever does it and however often it is tried.
"""

import dataclasses
import functools
import hashlib
import importlib.util
import pickle
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxmlp
from jaxmlp.comparison import candidates, inside, problems, record
from jaxmlp.comparison.candidates import Candidate
from jaxmlp.comparison.problems import Problem
from jaxmlp.comparison.recipes import ScheduleFreeParams
from jaxmlp.comparison.record import Place
from jaxmlp.comparison.study import Study
from jaxmlp.training.settings import applied, thread_settings

__docformat__ = "google"
__all__ = ["do", "packed_candidate", "packed_problem", "versions"]

_MOST_BYTES = 10_000_000  # of a problem that no reference names: it is sent with each of its pieces


def do(client: Mapping[str, Any], problem: bytes, what: str, arguments: bytes, attempt: int) -> tuple[Any, Place]:
    """Do a piece of work, in a worker.

    Args:
        client: versions of the process that asks.
        problem: as packed_problem returns it.
        what: "train", "time" or "look": Study.train, Study.seconds_per_epoch or Study.inside.
        arguments: of that, pickled; the candidates in them are as packed_candidate returns them.
        attempt: number of the try, which decides nothing.

    Returns:
        What it computed, and where.

    Raises:
        ValueError: versions, problem, data or candidate are not those of the process that asks.

    Example:
        >>> do({"jax": "0.1"}, b"", "train", b"", 1)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: the worker (process ...) was refused: it has jax ..., and the process that asks has jax 0.1; ...
    """
    place, own = record.here(), versions()
    others = [name for name in client if own.get(name) != client[name]]
    if others:
        there, here = (", ".join(f"{name} {of.get(name)}" for name in others) for of in (own, client))
        raise ValueError(
            f"the worker ({place}) was refused: it has {there}, and the process that asks has {here}; install the same"
        )
    with _loading:
        study, settings = _study(problem)
    found = pickle.loads(arguments)
    with applied(settings):
        if what == "train":
            return study.train(found._replace(candidate=_candidate(found.candidate))), place
        if what == "look":
            sent, point, seed = found
            return inside.arrays_of(study.inside(_candidate(sent), point, seed)), place
        chosen, seed = found
        return study.seconds_per_epoch([(_candidate(sent), point) for sent, point in chosen], seed), place


@functools.cache
def versions() -> Mapping[str, str | None]:
    """Return what workers must have in common with the client: versions, and a digest of jaxmlp's own files.

    Example:
        >>> list(versions())
        ['python', 'jaxmlp', 'jax', 'jaxlib', 'optax', 'numpy', "jaxmlp's files"]
    """
    found = record.provenance()["versions"]
    root, sha = Path(jaxmlp.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        sha.update(f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    names = ("python", "jaxmlp", "jax", "jaxlib", "optax", "numpy")
    return {name: found[name] for name in names} | {"jaxmlp's files": sha.hexdigest()[:12]}


class _Sent(NamedTuple):
    """A problem, as a worker is sent it."""

    named: str | None  # what problems.get takes
    pickled: bytes | None  # where nothing names it
    plain: dict[str, Any]  # fields that the client may have changed
    described: dict[str, Any]
    data_sha256: str
    data_dir: str | None
    mirror: str | None
    settings: dict[str, Any]  # of JAX


def packed_problem(problem: Problem, data_sha256: str, data_dir: str | None = None, mirror: str | None = None) -> bytes:
    """Return a problem as bytes: by its name or reference, so that its data are not sent; otherwise pickled.

    Args:
        problem: to send.
        data_sha256: record.digest of its data.
        data_dir: as for problems.load; of the worker.
        mirror: as for problems.load.

    Raises:
        ValueError: it has no name and cannot be pickled, or its data are large; says what to do.

    Example:
        >>> len(packed_problem(problems.get("digits"), "")) < 10_000
        True
    """
    built_in, functions = problems.PROBLEMS.get(problem.name), ("data", "network", "loss", "score")
    named = None
    if (problem.reference or "").rpartition(":")[2].isidentifier():
        named = _absolute(problem.reference)
    elif built_in and all(getattr(problem, name) is getattr(built_in, name) for name in functions):
        named = problem.name
    pickled = None if named else _pickled(problem, f"the problem {problem.name}")
    if pickled and len(pickled) > _MOST_BYTES:
        raise ValueError(
            f"the problem {problem.name} holds {len(pickled) / 1e6:.0f} MB, which would be sent with each of its "
            "pieces; let its data be a function that loads them, or put it in a file and name it, as in "
            "my_file.py:my_name"
        )
    values = {field.name: getattr(problem, field.name) for field in dataclasses.fields(problem)}
    plain = {name: value for name, value in values.items() if name != "origin" and _is_plain(value)}
    settings = {name: value for name, value in thread_settings().items() if _is_plain(value)}
    described = record.plain(problem.describe())
    return pickle.dumps(_Sent(named, pickled, plain, described, data_sha256, data_dir, mirror, settings))


_loading = threading.Lock()  # of a worker with several threads, of which one loads


@functools.lru_cache(maxsize=1)
def _study(problem):
    """The study of a problem, and JAX's settings for it; those of the last problem are kept."""
    sent: _Sent = pickle.loads(problem)
    try:
        if sent.pickled is not None:
            found: Problem = _unpickled(sent.pickled)
        else:
            found = dataclasses.replace(problems.get(sent.named or ""), **sent.plain)
            if record.plain(found.describe()) != sent.described:
                raise ValueError("its definition is not that of the process that asks; copy its file")
        folder = None if sent.data_dir is None else Path(sent.data_dir)
        data = problems.load(found, data_dir=folder, mirror=sent.mirror)
        if record.digest(*jax.tree.leaves(data)) != sent.data_sha256:
            raise ValueError("its data are not those of the process that asks")
    except (ValueError, TypeError, OSError) as error:
        name = sent.described["name"]
        raise ValueError(f"the worker ({record.here()}) cannot load the problem {name}: {error}") from error
    return Study(found, data), sent.settings


def packed_candidate(candidate: Candidate) -> bytes:
    """Return a candidate as bytes: its factory by reference where one names it; otherwise pickled.

    Args:
        candidate: to send; its space is left out.

    Raises:
        ValueError: it has no reference and cannot be pickled; says what to do.

    Example:
        >>> len(packed_candidate(candidates.load("adam"))) < 10_000
        True
    """
    bare = dataclasses.replace(candidate, space=None)
    reference = candidate.reference
    if reference is None or candidates.load(reference).factory is not candidate.factory:
        return _pickled((None, bare, None), f"the candidate {candidate.name}")
    name, equals, rest = reference.rpartition("=")
    found_out = candidate.eval_params if isinstance(candidate.eval_params, ScheduleFreeParams) else None
    bare = dataclasses.replace(bare, factory=None, eval_params=found_out)
    return pickle.dumps((f"{name}{equals}{_absolute(rest)}", bare, candidate.describe()))


@functools.lru_cache(maxsize=1000)
def _candidate(sent):
    """The candidate, the same object for the same bytes: what it has compiled is found again."""
    reference, bare, described = _unpickled(sent)
    if reference is None:
        return bare
    found = candidates.load(reference)
    evaluated = bare.eval_params or found.eval_params
    found = dataclasses.replace(bare, factory=found.factory, eval_params=evaluated, origin=found.origin)
    if found.describe() != described:
        raise ValueError(
            f"the worker ({record.here()}) has another {found.name} than the process that asks; copy its file"
        )
    return found


def _absolute(reference):
    """The reference with the whole path of its file."""
    where, colon, name = reference.rpartition(":")
    return f"{Path(where).expanduser().absolute()}:{name}" if colon and where.endswith(".py") else reference


def _pickled(value, what):
    """Bytes; by cloudpickle where it is installed, which sends the functions of a script or notebook, too."""
    try:
        if importlib.util.find_spec("cloudpickle"):
            return importlib.import_module("cloudpickle").dumps(value)
        return pickle.dumps(value)
    except Exception as error:  # whatever an object of the user's raises
        raise ValueError(
            f"{what} cannot be sent to workers ({type(error).__name__}: {error}); put it in a file and name it, as in "
            "my_file.py:my_name"
        ) from error


def _unpickled(sent):
    try:
        return pickle.loads(sent)
    except Exception as error:
        raise ValueError(
            f"the worker ({record.here()}) cannot read what it was sent ({type(error).__name__}: {error}); put it in a "
            "file and name it, as in my_file.py:my_name"
        ) from error


def _is_plain(value):
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str | np.generic)
