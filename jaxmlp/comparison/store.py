"""Finished runs kept on disk as they end, so that an interrupted experiment goes on where it stopped."""

import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp._files import writing
from jaxmlp.comparison import record

Arrays = dict[str, np.ndarray]


class RunStore:
    """A folder of finished runs, all of one plan.

    A file is written beside its place and then moved there, so that a kill at any moment leaves whole files only.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], *, resume: bool):
        """Open the folder.

        Args:
            folder: made where missing; it exists only as long as an experiment is unfinished.
            plan: all that decides the numbers; runs of another plan are never mixed in.
            resume: go on with the runs that are there. Without it the folder must not hold anything yet.

        Raises: ValueError where resume is asked for and there is nothing to resume, or it belongs to another plan;
            where it is not asked for and there is something. OSError where the folder cannot be written.
        """
        self.folder = folder
        plan = record.plain(plan)
        if resume:
            self._check_same(plan)
            return
        if folder.is_dir() and any(path.name != "plan.json" for path in folder.iterdir()):
            raise ValueError(
                f"{folder} holds an unfinished run; add --resume to go on with it, name another --output, or delete "
                "the folder to start anew"
            )
        record.write(folder / "plan.json", plan)

    def discard(self) -> None:
        """Delete the kept runs, all of which are in the experiment's record by now."""
        shutil.rmtree(self.folder)

    def cached(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return the arrays kept under name; compute and keep them first where there are none, or no readable ones."""
        path = self.folder / f"{name}.npz"
        arrays = load_arrays(path)
        if arrays is None:
            arrays = compute()
            save_arrays(path, arrays)
        return arrays

    def _check_same(self, plan):
        path = self.folder / "plan.json"
        if not path.exists():
            raise ValueError(f"nothing to resume: there is no unfinished run in {self.folder}; leave out --resume")
        before = record.read(path)
        changed = sorted(_differences(before, plan))
        if changed:
            raise ValueError(
                f"the runs in {self.folder} were made with other settings ({'; '.join(changed[:5])}); give the "
                "settings of the first command again, or another --output without --resume"
            )


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays to path, whole or not at all."""
    with writing(path) as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def load_arrays(path: Path) -> Arrays | None:
    """Return the named arrays in path, None where it is missing or damaged."""
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
