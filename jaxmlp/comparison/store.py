"""Finished runs, kept on disk so that an interrupted experiment can continue, and the arrays of a finished one."""

import errno
import hashlib
import io
import json
import os
import platform
import secrets
import shutil
import urllib.parse
import weakref
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp._files import writing
from jaxmlp.comparison import record
from jaxmlp.comparison.record import Place

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__docformat__ = "google"
__all__ = [
    "UNFINISHED",
    "Arrays",
    "RunStore",
    "arrays_of",
    "check_same",
    "check_start",
    "load_arrays",
    "quoted",
    "save_arrays",
    "unquoted",
]

Arrays = dict[str, np.ndarray]

UNFINISHED = "unfinished-runs"
"""The folder of kept runs, inside the output folder of an experiment that has not finished."""

_DISCARDED = f".{UNFINISHED}-"
_OWNER = "owner"
_PLAN = "plan.json"
_DIGEST = "digest"
_PLACE = "done at"  # no name of an argument
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}  # of a file system without them


class RunStore:
    """Keep finished runs of one plan in a folder.

    Each file appears whole or not at all, so that the folder can be used after a kill at any moment. It has one owner
    at a time, whose lock ends with close, discard or its process. Kept runs carry a digest of themselves and of the
    plan: what was damaged, or made by another plan, counts as not kept.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / UNFINISHED
        >>> store = RunStore(folder, {"epochs": 5}, resume=False)
        >>> store.cached("run-0", lambda: {"loss": np.array([0.5, 0.25])})["loss"]
        array([0.5 , 0.25])
        >>> store.close()
        >>> RunStore(folder, {"epochs": 5}, resume=True).cached("run-0", lambda: {})["loss"]
        array([0.5 , 0.25])
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], *, resume: bool):
        """Open the folder.

        Args:
            folder: created if missing. It exists only while an experiment is unfinished.
            plan: everything that decides the numbers; runs of different plans are never mixed.
            resume: continue with the runs in the folder. Otherwise the folder must be empty or missing.

        Raises:
            ValueError: another process owns the folder; or resume is set, but there is nothing to resume or it belongs
                to another plan; or resume is not set and the folder holds something.
            OSError: the folder cannot be written.
        """
        self.folder = folder
        self.places: dict[str, Place] = {}
        """Name -> where it was done, of what was kept with its place and was asked for."""
        plan = record.plain(plan)
        self._plan = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
        check_start(folder, resume=resume)
        self._lock = _own(folder)
        self._release = weakref.finalize(self, os.close, self._lock)
        try:
            self._open(plan, resume)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the folder up, so that another store can own it. What is kept stays."""
        self._release()

    def discard(self) -> None:
        """Delete the kept runs, once they are in the experiment's record, and give the folder up."""
        # Renamed first: whatever a kill leaves of it is no unfinished run.
        removed = self.folder.with_name(f"{_DISCARDED}{secrets.token_hex(8)}")
        self.folder.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)  # the next owner, which may have opened already, removes it too
        self.close()

    def cached(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return the arrays kept under name; if there are none, or they cannot be read, compute and keep them."""
        arrays = self.kept(name)
        if arrays is None:
            arrays = compute()
            self.keep(name, arrays)
        return arrays

    def kept(self, name: str) -> Arrays | None:
        """Return the arrays kept under name; None if there are none, if they are damaged, or of another plan."""
        path = self.folder / f"{name}.npz"
        if path.is_dir():
            raise ValueError(f"{path} is a folder, where a finished run is to be kept; remove it")
        arrays = load_arrays(path)
        if arrays is None or _DIGEST not in arrays:
            return None
        digest, place = arrays.pop(_DIGEST), arrays.pop(_PLACE, None)
        if str(digest) != self._digest(name, arrays):
            return None
        if place is not None:
            host, process, device = map(str, place)
            self.places[name] = Place(host, int(process), device)
        return arrays

    def keep(self, name: str, arrays: Mapping[str, np.ndarray], place: Place | None = None) -> None:
        """Keep arrays under name, with the place where they were made if that is not this process."""
        arrays = {key: np.asarray(values) for key, values in arrays.items()}
        about = {_DIGEST: np.asarray(self._digest(name, arrays))}
        if place is not None:
            about[_PLACE] = np.asarray(list(map(str, place)))
            self.places[name] = place
        save_arrays(self.folder / f"{name}.npz", arrays | about)

    def _digest(self, name, arrays):
        named = [self._plan, name, *sorted(arrays)]
        return hashlib.sha256(f"{named}{record.digest(*(arrays[key] for key in sorted(arrays)))}".encode()).hexdigest()

    def _open(self, plan, resume):
        for discarded in self.folder.parent.glob(f"{_DISCARDED}*"):
            shutil.rmtree(discarded, ignore_errors=True)
        path = self.folder / _PLAN
        if not resume:
            _check_empty(self.folder)
            record.write(path, plan)
            return
        if not _holds_runs(self.folder) and not path.exists():
            raise ValueError(f"nothing to resume: there is no unfinished run in {self.folder}; leave out --resume")
        try:
            before = record.read(path)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"the runs in {self.folder} cannot be continued, since {path.name}, which says what they are, is "
                "missing or damaged; delete the folder and leave out --resume"
            ) from error
        check_same(
            before,
            plan,
            f"the runs in {self.folder} were made with other settings",
            "repeat the settings of the first command, or choose another --output and leave out --resume",
        )


def check_start(folder: Path, *, resume: bool) -> None:
    """Raise a ValueError if RunStore would refuse the folder whatever the plan; for use before data are loaded.

    Args:
        folder: as for RunStore.
        resume: as for RunStore.

    Raises:
        ValueError: another process owns the folder, there is nothing to resume, or runs without resume.

    Example:
        >>> check_start(Path("no such folder"), resume=False)
    """
    if folder.is_dir():
        os.close(_own(folder))
        if not resume:
            _check_empty(folder)
    elif resume:
        raise ValueError(f"nothing to resume: there is no unfinished run in {folder}; leave out --resume")


def _check_empty(folder):
    if _holds_runs(folder):
        raise ValueError(
            f"{folder} holds an unfinished run; to continue it, add --resume; to start again, delete the folder or "
            "choose another --output"
        )


def _holds_runs(folder):
    return any(kept.name not in (_PLAN, _OWNER) and kept.name[0] != "." for kept in folder.iterdir())


def _own(folder):
    """Return a descriptor that locks the folder; a ValueError names the process that has locked it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _OWNER, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 100).decode(errors="replace").strip()
            os.close(descriptor)
            raise ValueError(
                f"{folder.parent} is in use by another run ({owner or 'which has just started'}); wait until it has "
                "ended, or choose another --output"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
        try:
            if os.fstat(descriptor).st_nlink:  # 0 if its owner has discarded the folder since
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
                return descriptor
        except BaseException:  # a full disk, Ctrl-C
            os.close(descriptor)
            raise
        os.close(descriptor)


def check_same(before: Any, now: Any, what: str, remedy: str) -> None:
    """Raise a ValueError that names the differences between two trees of plain values, if there are any.

    Args:
        before: one tree.
        now: the other; made plain first.
        what: the beginning of the message.
        remedy: its end.

    Example:
        >>> check_same({"epochs": 5}, {"epochs": 6}, "the settings differ", "repeat them")
        Traceback (most recent call last):
        ValueError: the settings differ (epochs: 5 before, 6 now); repeat them
    """
    changed = sorted(_differences(before, record.plain(now)))
    if changed:
        raise ValueError(f"{what} ({'; '.join(changed[:5])}); {remedy}")


def quoted(name: str) -> str:
    """Return a name for use within the name of a file or of an array: letters, digits and a few signs stay as they are.

    Example:
        >>> quoted("adam (cosine)"), quoted("a/b")
        ('adam (cosine)', 'a%2Fb')
    """
    return urllib.parse.quote(name, safe=" ,+=()")


def unquoted(text: str) -> str:
    """Return the name that quoted was given.

    Example:
        >>> unquoted("a%2Fb")
        'a/b'
    """
    return urllib.parse.unquote(text)


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays to a compressed .npz file, which appears whole or not at all.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "curves.npz"
        >>> save_arrays(path, {"loss": np.array([0.5, 0.25])})
        >>> load_arrays(path)
        {'loss': array([0.5 , 0.25])}
    """
    with writing(path) as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def load_arrays(path: Path) -> Arrays | None:
    """Return the named arrays in path; None if the file is missing or damaged.

    Example:
        >>> load_arrays(Path("no such file.npz")) is None
        True
    """
    try:
        return arrays_of(path.read_bytes())
    except OSError:
        return None


def arrays_of(data: bytes) -> Arrays | None:
    """Return the named arrays in the content of a file that save_arrays wrote; None if it is damaged.

    Example:
        >>> arrays_of(b"something else") is None
        True
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
    # What zipfile and NumPy raise, depending on which bytes are damaged.
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None


def _differences(before, now, where=""):
    """Each place in which two trees of plain values differ, as text."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in before.keys() | now.keys():
            yield from _differences(before.get(name), now.get(name), f"{where}.{name}" if where else name)
    elif before != now:
        yield f"{where}: {before} before, {now} now"
