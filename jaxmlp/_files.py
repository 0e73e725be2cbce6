"""How a file is written: whole or not at all, whatever happens on the way.

The content goes to a temporary file in the same folder, is flushed to disk and then renamed to its place in one step. A
crash, a kill or a full disk at any moment leaves the old file, or none, and never half of the new one.

- A symbolic link stays; the file that it names is replaced, or made.
- A new file gets its mode from the umask, like any other file. A file that is replaced keeps its mode.
- The umask must leave the owner's read and write permission.
- Every writer has a temporary file of its own. When several write the same file, the last one to finish wins.
- Missing folders are made. The next writer in a folder removes the temporary files that killed writers left there. A
  writer locks its temporary file, and a lock ends with its process, so a file in use is never touched. Where locks say
  nothing (a file of another machine on a shared disk, a system without flock), the file is removed a day later.

Who is given a temporary path must write into that file, and not put another in its place.
"""

import contextlib
import errno
import functools
import hashlib
import os
import platform
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

STALE_SECONDS = 24 * 3600  # no writer needs a day: an older temporary file belongs to one that was killed
_PREFIX = ".jaxmlp-"
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


def write(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write content to path, text as UTF-8; raise an OSError that names path if that fails."""
    with writing(path) as stream:
        # A path of the command line that is not UTF-8 holds surrogates, which are written as \udcff.
        stream.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Yield a stream whose content becomes the file at path when the block ends without an error, as replacing does."""
    with replacing(path, mode=mode) as temporary, temporary.open("r+b") as stream:
        yield stream


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, mode: int = 0o666) -> Iterator[Path]:
    """Yield the path of an empty temporary file that becomes the file at path when the block ends without an error.

    Args:
        path: of the file. The temporary path has the same ending, for writers that choose their format by it.
        mode: permissions of a new file, before the umask is taken away.

    Raises:
        OSError: the file cannot be written; the error names path, and what was at path is unchanged.
    """
    target = Path(os.path.realpath(path))  # of a link, the file that it names
    _check_replaceable(target, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_dead(target.parent)
    temporary, lock = None, None
    try:
        temporary, lock = _claimed(target, mode)
        yield temporary
        with temporary.open("r+b") as written:
            os.fsync(written.fileno())
        _copy_mode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        # An error of the writer itself, such as one of the network, is not about this file.
        if _is_temporary(error.filename) or (error.filename is None and error.errno in _DISK_ERRORS):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            if temporary is not None:
                temporary.unlink()
        if lock is not None:
            os.close(lock)
    _sync_folder(target.parent)


def remove_dead(folder: Path) -> None:
    """Remove the temporary files in folder whose writers no longer live."""
    for path in folder.glob(f"{_PREFIX}{'[0-9a-f]' * 16}*"):
        if not path.name.startswith(_PREFIX + _machine()):
            remove_leftovers([path])
            continue
        try:
            lock = _lock(path)
        except (FileNotFoundError, BlockingIOError):
            continue  # gone, or in use
        except OSError:
            remove_leftovers([path])
            continue
        with contextlib.suppress(OSError):
            path.unlink()  # if its writer has just moved it into place, there is nothing of this name
        os.close(lock)


def remove_leftovers(leftovers: Iterable[Path]) -> None:
    """Remove those files and folders among leftovers that are more than a day old."""
    for path in leftovers:
        with contextlib.suppress(OSError):  # another process may be removing them too
            if time.time() - path.stat().st_mtime < STALE_SECONDS:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _claimed(target, mode):
    """Make a temporary file beside target; return its path and a descriptor that locks it, None where nothing can."""
    # A name of its own length, so that a long target name leaves room; endings are short, or not endings.
    ending = target.suffix if len(os.fsencode(target.suffix)) <= 32 else ""
    while True:
        temporary = target.with_name(f"{_PREFIX}{_machine()}{secrets.token_hex(4)}{ending}")
        temporary.touch(mode, exist_ok=False)
        try:
            lock = _lock(temporary)
        except (FileNotFoundError, BlockingIOError):
            continue  # another writer found it unlocked and removes it
        except OSError:  # no locks here: under a name that says nothing of this machine it lives for a day
            nameless = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}{ending}")
            temporary.rename(nameless)
            return nameless, None
        if os.fstat(lock).st_nlink:
            return temporary, lock
        os.close(lock)


def _lock(path):
    """Return a descriptor that locks path; raise a BlockingIOError if another has, an OSError without locks."""
    if fcntl is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@functools.cache
def _machine():
    """Return 8 hexadecimal digits for this machine since it was started, within which locks are seen."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        name = platform.node()
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _is_temporary(filename):
    return isinstance(filename, str) and Path(filename).name.startswith(_PREFIX)


def _check_replaceable(target, path):
    """Raise an OSError if target is not a file: renaming would put a file in place of a device or of a link."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        mode = target.lstat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if stat.S_ISLNK(mode):  # realpath follows every link but one that leads back to itself
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))


def _copy_mode(target, temporary):
    """Give temporary the permissions of the file that it is about to replace, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(target.stat().st_mode)
        if mode != stat.S_IMODE(temporary.stat().st_mode):
            temporary.chmod(mode)


def _sync_folder(folder):
    """Flush the renaming to disk too, where a folder can be flushed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
