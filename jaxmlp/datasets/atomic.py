"""Files that appear whole or not at all: written beside their place, then moved into it."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

STALE_SECONDS = 24 * 3600  # no download or preparation of ours lasts a day: what is older was killed


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that becomes target when the block ends well, and nothing when it does not.

    Each writer has a temporary file of its own, so processes that write the same target do not meet.
    """
    remove_leftovers(target.parent.glob("*.part"))
    descriptor, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(leftovers: Iterable[Path]) -> None:
    """Remove those files and folders among leftovers that a killed process left behind."""
    for path in leftovers:
        with contextlib.suppress(OSError):  # another process may be sweeping too
            if time.time() - path.stat().st_mtime < STALE_SECONDS:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
