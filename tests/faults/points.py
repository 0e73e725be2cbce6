"""Faults at every point of the writing code, at random moments, and in the files themselves."""

import contextlib
import errno
import functools
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from jaxmlp import _files
from jaxmlp.comparison import console
from tests.faults.writers import KEPT, NAMES, NEW, OLD

SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
ERRORS = {"full disk": errno.ENOSPC, "read-only disk": errno.EROFS, "broken disk": errno.EIO}
SECONDS = {
    "second process, its clock 30 days later": 30 * 86400,
    "second process, its clock 30 days earlier": -30 * 86400,
}
_CODE = ("_files.py", "store.py")
_ASKED = ((Path, ("touch", "replace", "unlink", "rename")), (os, ("fsync", "close", "open", "write", "ftruncate")))


class _Points:
    """Count what the writing code asks of the system, and strike at one of these points."""

    def __init__(self, strike, at):
        self.count, self.strike, self.at = 0, strike, at

    def reach(self, path=None):
        self.count += 1
        if self.count == self.at:
            self.strike(path)

    def install(self):
        """Replace what the code uses, in this process, which ends soon."""
        for owner, names in _ASKED:
            for name in names:
                setattr(owner, name, self._wrapped(getattr(owner, name)))
        opened = Path.open

        def open_(path, *arguments, **named):
            stream = opened(path, *arguments, **named)
            return _Stream(stream, self, path) if path.name.startswith(_files._PREFIX) else stream

        Path.open = open_

    def _wrapped(self, function):
        @functools.wraps(function)
        def wrapped(first, *rest, **named):
            if sys._getframe(1).f_code.co_filename.endswith(_CODE):
                self.reach(first if isinstance(first, Path) else None)
            return function(first, *rest, **named)

        return wrapped


class _Stream:
    """A stream that is struck with half of each write on the disk."""

    def __init__(self, stream, points, path):
        self._stream, self._points, self._path = stream, points, path

    def write(self, data):
        half = len(data) // 2
        self._stream.write(data[:half])
        self._stream.flush()
        self._points.reach(self._path)
        self._stream.write(data[half:])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stream.close()

    def __getattr__(self, name):
        return getattr(self._stream, name)


def _strike(fault, writer, folder):
    if fault in SIGNALS:
        return lambda path: (os.kill(os.getpid(), SIGNALS[fault]), time.sleep(0.001))
    if fault in ERRORS:

        def fail(path):
            raise OSError(ERRORS[fault], os.strerror(ERRORS[fault]), *([] if path is None else [str(path)]))

        return fail

    def second(path):
        if pid := os.fork():
            os.waitpid(pid, 0)
            return
        now = time.time
        time.time = lambda: now() + SECONDS[fault]
        end(lambda: writer.write(folder, NEW))

    return second


def end(body):
    """Do body and end this process, as the interpreter would: 0, 1 after an error, 130 after Ctrl-C."""
    status = 0
    try:
        body()
    except KeyboardInterrupt:
        status = 130
    except (OSError, ValueError):
        status = 1
    except BaseException as error:
        print(f"unexpected {type(error).__name__}: {error}", file=sys.stderr)
        status = 3
    os._exit(status)


def child(body):
    """Run body in a process of its own; return its process id."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until the child can answer it
    pid = os.fork()
    if not pid:

        def ready():
            sys.unraisablehook = console._interrupt_again  # as a command does
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            body()

        end(ready)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return pid


def ended(pid, patience=float("inf")):
    """Wait for the process and return its exit status, None if it had to be killed after patience seconds."""
    until = time.monotonic() + patience
    while True:
        done, status = os.waitpid(pid, 0 if patience == float("inf") else os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.002)


def at_every_point(writer, fault, table):
    """Hit a write of the new content over the old one, and over nothing, once at each point."""
    for old in (True, False):
        at = 0
        while True:
            at += 1
            with _folder(writer, old) as folder:
                reached = folder / ".reached"

                def body(folder=folder, at=at, reached=reached):
                    points = _Points(_strike(fault, writer, folder), at)
                    strike = points.strike
                    points.strike = lambda path: (reached.touch(), strike(path))
                    points.install()
                    writer.write(folder, NEW)

                status = ended(child(body))
                if not reached.exists():
                    break
                _judge(writer, folder, old, status, table)


def at_random(writer, fault, count, table, generator):
    """Send a signal to a process that writes again and again, at a random moment."""
    seconds = 3 * min(_seconds(writer) for _ in range(5))  # the fastest: on a busy machine one alone may take very long
    for _ in range(count):
        with _folder(writer, True) as folder:

            def body(folder=folder):
                while True:
                    for content in (NEW, OLD):
                        writer.write(folder, content)

            pid = child(body)
            time.sleep(generator.uniform(0.0, seconds))
            os.kill(pid, SIGNALS[fault])
            status = ended(pid, patience=60)
            if status is None:
                table["WRONG: goes on after the signal"] += 1
            _judge(writer, folder, True, status, table)


def _seconds(writer):
    with _folder(writer, True) as folder:
        started = time.monotonic()
        ended(child(lambda: writer.write(folder, NEW)))
        return time.monotonic() - started


def side_by_side(writer, processes, table):
    """Let several processes write at once, while this one reads."""
    with _folder(writer, True) as folder:

        def body():
            for _ in range(10):
                for content in writer.contents:
                    try:
                        writer.write(folder, content)
                    except ValueError as error:
                        if "in use by another run" not in str(error) and "made with other settings" not in str(error):
                            print(f"refused: {error}", file=sys.stderr)
                            raise

        running = {child(body) for _ in range(processes)}
        while running:
            try:
                found = writer.read(folder)
                table["read whole" if found in (OLD, NEW, KEPT) else "WRONG: nothing there"] += 1
            except ValueError as error:
                table[f"WRONG: {error}"] += 1
            for pid in list(running):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    running.discard(pid)
                    table["process ended well" if status == 0 else "WRONG: a process failed"] += 1
        _judge(writer, folder, True, 0, table)


def damaged(writer, count, table, generator):
    """Cut the file short, and flip one bit of it, and read it."""
    for kind in ("cut", "flipped"):
        for _ in range(count):
            with _folder(writer, True) as folder:
                file = writer.file(folder)
                data = bytearray(file.read_bytes())
                if kind == "cut":
                    del data[generator.randrange(len(data)) :]
                else:
                    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
                file.write_bytes(data)
                try:
                    found = writer.read(folder)
                    table["not believed, or equal" if found == OLD else f"WRONG: {kind}, read as {found}"] += 1
                except (ValueError, KeyError):
                    table["refused"] += 1
                writer.write(folder, NEW)
                table["written anew" if writer.read(folder) == NEW else "WRONG: not written anew"] += 1


@contextlib.contextmanager
def _folder(writer, old):
    folder = Path(tempfile.mkdtemp(prefix="jaxmlp-faults-"))
    try:
        if old:
            writer.write(folder, OLD)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _judge(writer, folder, old, status, table):
    """Say what is there after a fault, and whether the next write mends everything."""
    try:
        found = writer.read(folder)
    except Exception as error:
        table[f"WRONG: {type(error).__name__} {error}"] += 1
        return
    if status == 3 or (found is None and old):
        table["WRONG: lost" if status != 3 else "WRONG: an unexpected error"] += 1
        return
    table[NAMES[found]] += 1
    try:
        (writer.mend or writer.write)(folder, NEW)
    except Exception as error:
        table[f"WRONG: {type(error).__name__} {error}"] += 1
        return
    litter = [path for path in folder.rglob("*") if path.name.startswith((_files._PREFIX, ".unfinished-runs"))]
    if writer.read(folder) != NEW or litter:
        table[f"WRONG: after the next write {litter or 'the old content'}"] += 1
