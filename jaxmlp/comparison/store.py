"""Finished runs, kept on disk so that an interrupted experiment can continue, and the arrays of a finished one."""

import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp._files import writing
from jaxmlp.comparison import record

__docformat__ = "google"
__all__ = ["UNFINISHED", "Arrays", "RunStore", "check_same", "load_arrays", "save_arrays"]

Arrays = dict[str, np.ndarray]

UNFINISHED = "unfinished-runs"
"""The folder of kept runs, inside the output folder of an experiment that has not finished."""


class RunStore:
    """Keep finished runs of one plan in a folder.

    Each file appears whole or not at all, so that the folder can be used after a kill at any moment.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / UNFINISHED
        >>> store = RunStore(folder, {"epochs": 5}, resume=False)
        >>> store.cached("run-0", lambda: {"loss": np.array([0.5, 0.25])})["loss"]
        array([0.5 , 0.25])
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
            ValueError: resume is set, but there is nothing to resume or it belongs to another plan; or resume is not
                set and the folder holds something.
            OSError: the folder cannot be written.
        """
        self.folder = folder
        plan = record.plain(plan)
        if resume:
            self._check_same(plan)
            return
        if folder.is_dir() and any(path.name != "plan.json" for path in folder.iterdir()):
            raise ValueError(
                f"{folder} holds an unfinished run; to continue it, add --resume; to start again, delete the folder or "
                "choose another --output"
            )
        record.write(folder / "plan.json", plan)

    def discard(self) -> None:
        """Delete the kept runs, once they are in the experiment's record."""
        shutil.rmtree(self.folder)

    def cached(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return the arrays kept under name; if there are none, or they cannot be read, compute and keep them."""
        arrays = self.kept(name)
        if arrays is None:
            arrays = compute()
            self.keep(name, arrays)
        return arrays

    def kept(self, name: str) -> Arrays | None:
        """Return the arrays kept under name; None if there are none, or if they cannot be read."""
        return load_arrays(self.folder / f"{name}.npz")

    def keep(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under name."""
        save_arrays(self.folder / f"{name}.npz", arrays)

    def _check_same(self, plan):
        path = self.folder / "plan.json"
        if not path.exists():
            raise ValueError(f"nothing to resume: there is no unfinished run in {self.folder}; leave out --resume")
        check_same(
            record.read(path),
            plan,
            f"the runs in {self.folder} were made with other settings",
            "repeat the settings of the first command, or choose another --output and leave out --resume",
        )


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
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
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
