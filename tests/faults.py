"""Inject faults into everything that writes files, and say what was lost or wrong: nothing, or the exit status is 1.

Each write is done in a process of its own, which is hit at every point of the one writer (jaxmlp/_files.py), then at
random moments by signals. After each fault the file must be the old one or the new one, whole; the next write must
succeed and leave no litter. Damaged files must be refused, or read again from their source.

    python -m tests.faults                            # 3,000 kills and every point
    python -m tests.faults --kills 100 --writers save
    python -m tests.faults --commands --kills 10      # also whole commands, killed and resumed; minutes
"""

import argparse
import contextlib
import errno
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxmlp
from jaxmlp import _files
from jaxmlp.datasets import cache, fetch
from jaxmlp.datasets.raw import RawImages

OLD, NEW = 1, 2
_SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
_ERRORS = {"full disk": errno.ENOSPC, "read-only disk": errno.EROFS, "broken disk": errno.EIO}
_SECOND = "second process, 30 days later by its clock"


class Writer(NamedTuple):
    """Something that keeps one of two contents at a place."""

    write: Callable[[Path, int], None]
    """(folder, OLD or NEW): write that content."""
    read: Callable[[Path], int | None]
    """folder -> the content that is there; None for nothing, or a ValueError for what must not be believed."""
    file: Callable[[Path], Path]
    """folder -> the file."""
    contents: tuple[int, int] = (NEW, OLD)
    """What processes write that write at the same time."""


# ---- the writers ----------------------------------------------------------------------------------------------------


def _tree(content):
    return {"w": np.full((300, 100), content, np.float32), "n": content}


def _save(folder, content):
    jaxmlp.save(folder / "saved.safetensors", _tree(content), {"content": content})


def _load(folder):
    if not (folder / "saved.safetensors").exists():
        return None
    tree, metadata = jaxmlp.load(folder / "saved.safetensors")
    (found,) = {int(tree["n"]), metadata["content"], *np.unique(tree["w"]).astype(int).tolist()}
    return found


def _source(folder, content):
    path = folder / f"source{content}.bin"
    _put(path, bytes([content]) * 200_000)
    return fetch.RegisteredFile(path.as_uri(), 200_000, hashlib.sha256(path.read_bytes()).hexdigest())


def _put(path, data, seconds=None):
    """Put a source in place at once, so that only what is under test can be half done."""
    if path.exists() and path.read_bytes() == data:
        return
    whole = path.with_name(f"{path.name}.{os.getpid()}")
    whole.write_bytes(data)
    if seconds is not None:
        os.utime(whole, (seconds, seconds))
    whole.rename(path)


def _download(folder, content):
    registered = _source(folder, content)
    fetch.fetch("set", {"file.bin": registered}, folder / "data", mirror=None, by_hand=folder)


def _downloaded(folder):
    path = folder / "data" / "file.bin"
    if not path.exists():
        return None
    data = path.read_bytes()
    if len(data) != 200_000 or len(set(data)) != 1:
        raise ValueError("damaged")  # is_whole says so, and the file is fetched again
    return data[0]


def _images(content):
    images = np.full((50, 28, 28), content, np.uint8)
    return RawImages(images, np.zeros(50, np.uint8), images, np.zeros(50, np.uint8))


def _decode(folder, content):
    os.environ["XDG_CACHE_HOME"] = str(folder)
    _put(folder / "source", bytes([content]), seconds=content)
    raw = cache.cached("set", [folder / "source"], lambda: _images(content))
    if int(raw.train_images[0, 0, 0]) != content:
        raise AssertionError("the cache returned another source's images")


def _decoded(folder):
    os.environ["XDG_CACHE_HOME"] = str(folder)
    file = _cache_file(folder)
    if not file.exists():
        return None
    key = cache._key("set", [folder / "source"])
    found = cache._recall(file, key)
    if found is None:
        return OLD  # not believed: the images are decoded again
    return int(found.train_images[0, 0, 0])


def _cache_file(folder):
    os.environ["XDG_CACHE_HOME"] = str(folder)
    return cache._path("set", [folder / "source"])


def _record(folder, content):
    text = json.dumps({"format": 1, "results": {"accuracy": [content] * 5000}})
    _files.write(folder / "results.json", text + "\n")


def _recorded(folder):
    path = folder / "results.json"
    if not path.exists():
        return None
    (found,) = set(json.loads(path.read_text())["results"]["accuracy"])
    return found


WRITERS = {
    "save": Writer(_save, _load, lambda folder: folder / "saved.safetensors"),
    "download": Writer(_download, _downloaded, lambda folder: folder / "data" / "file.bin"),
    "cache of images": Writer(_decode, _decoded, _cache_file, (NEW, NEW)),  # of one source
    "record": Writer(_record, _recorded, lambda folder: folder / "results.json"),
}
COMMANDS = {
    "comparison": (
        "experiments.optimizers --problem digits --epochs 2 --seeds 2 --optimizers sgd adam --learning-rates 0.01 0.1",
        "--resume",
    ),
}
"""Name -> the words of a command, and the option with which it goes on; more are one entry each."""


# ---- faults at every point of the one writer ------------------------------------------------------------------------


class _Points:
    """Count what _files asks of the system, and strike at one of these points."""

    def __init__(self, strike, at):
        self.count, self.strike, self.at = 0, strike, at

    def reach(self, path=None):
        self.count += 1
        if self.count == self.at:
            self.strike(path)

    def install(self):
        """Replace what _files uses, in this process, which ends soon."""
        for owner, name in ((Path, "touch"), (Path, "replace"), (Path, "unlink"), (os, "fsync"), (os, "close")):
            setattr(owner, name, self._wrapped(getattr(owner, name)))
        opened = Path.open

        def open_(path, *arguments, **named):
            stream = opened(path, *arguments, **named)
            return _Stream(stream, self, path) if path.name.startswith(_files._PREFIX) else stream

        Path.open = open_

    def _wrapped(self, function):
        @functools.wraps(function)
        def wrapped(first, *rest, **named):
            if "_files.py" in sys._getframe(1).f_code.co_filename:
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
    if fault in _SIGNALS:
        return lambda path: (os.kill(os.getpid(), _SIGNALS[fault]), time.sleep(0.001))
    if fault in _ERRORS:

        def fail(path):
            raise OSError(_ERRORS[fault], os.strerror(_ERRORS[fault]), *([] if path is None else [str(path)]))

        return fail

    def second(path):
        if pid := os.fork():
            os.waitpid(pid, 0)
            return
        now = time.time
        time.time = lambda: now() + 30 * 86400
        _end(lambda: writer.write(folder, NEW))

    return second


def _end(body):
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


def _child(body):
    """Run body in a process of its own; return its process id."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until the child can answer it
    pid = os.fork()
    if not pid:

        def ready():
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            body()

        _end(ready)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return pid


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

                status = os.waitstatus_to_exitcode(os.waitpid(_child(body), 0)[1])
                if not reached.exists():
                    break
                _judge(writer, folder, old, status, table)


# ---- faults at random moments ---------------------------------------------------------------------------------------


def at_random(writer, fault, count, table, generator):
    """Send a signal to a process that writes again and again, at a random moment."""
    for _ in range(count):
        with _folder(writer, True) as folder:

            def body(folder=folder):
                while True:
                    for content in (NEW, OLD):
                        writer.write(folder, content)

            pid = _child(body)
            time.sleep(generator.uniform(0.0, 0.03))
            os.kill(pid, _SIGNALS[fault])
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            _judge(writer, folder, True, status, table)


def side_by_side(writer, processes, table):
    """Let several processes write at once, while this one reads."""
    with _folder(writer, True) as folder:

        def body():
            for _ in range(10):
                for content in writer.contents:
                    writer.write(folder, content)

        running = {_child(body) for _ in range(processes)}
        while running:
            try:
                found = writer.read(folder)
                table["read whole" if found in (OLD, NEW) else "WRONG: nothing there"] += 1
            except ValueError as error:
                table[f"WRONG: {error}"] += 1
            for pid in list(running):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    running.discard(pid)
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
    names = {OLD: "old", NEW: "new", None: "none"}
    if status == 3 or (found is None and old):
        table["WRONG: lost" if status != 3 else "WRONG: an unexpected error"] += 1
        return
    table[names[found]] += 1
    writer.write(folder, NEW)
    litter = [path for path in folder.rglob("*") if path.name.startswith(_files._PREFIX)]
    if writer.read(folder) != NEW or litter:
        table[f"WRONG: after the next write {litter or 'the old content'}"] += 1


# ---- whole commands -------------------------------------------------------------------------------------------------


def command(words, resume, count, table, generator):
    """Kill a command at random moments until it ends by itself; its record must be that of an undisturbed run."""
    with tempfile.TemporaryDirectory() as name:
        plain, hit = Path(name) / "plain", Path(name) / "hit"
        started = time.monotonic()
        _run(words, plain)
        seconds = time.monotonic() - started
        kills = 0
        while kills < count:
            more = [resume] if any(hit.glob("*")) else []
            process = subprocess.Popen([sys.executable, "-m", *words.split(), "--output", str(hit), *more])
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(generator.uniform(0.2, 1.0) * seconds)
                break
            process.send_signal(generator.choice(list(_SIGNALS.values())))
            process.wait()
            kills += 1
            table["killed"] += 1
        if not (hit / "results.json").exists():
            _run(f"{words} {resume}" if any(hit.glob("*")) else words, hit)
        same = _numbers(plain) == _numbers(hit)
        table["the same record" if same else "WRONG: another record"] += 1


def _run(words, output):
    subprocess.run(
        [sys.executable, "-m", *words.split(), "--output", str(output)], check=True, stdout=subprocess.DEVNULL
    )


def _numbers(folder):
    """Return a record without what differs from run to run: times, the command and where it ran."""

    def cleaned(node):
        if isinstance(node, dict):
            timed = ("seconds", "timing", "to_target", "command", "provenance", "output")
            return {k: cleaned(v) for k, v in node.items() if not any(word in k for word in timed)}
        return [cleaned(v) for v in node] if isinstance(node, list) else node

    return cleaned(json.loads((folder / "results.json").read_text()))


# ---- the table ------------------------------------------------------------------------------------------------------


def main():
    """Inject what the options ask for; return 1 if anything was lost or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=3000, help="signals at random moments, over all writers")
    parser.add_argument("--writers", nargs="+", choices=WRITERS, default=list(WRITERS))
    parser.add_argument("--damage", type=int, default=200, help="cuts and flipped bits per writer, each")
    parser.add_argument("--commands", action="store_true", help="kill and resume whole commands too")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # JAX warns of every fork, and has not been started here
    generator, total = random.Random(options.seed), Counter()
    print(f"{'writer':16} {'fault':44} {'moment':12} {'faults':>6}  outcome", flush=True)

    @contextlib.contextmanager
    def row(writer, fault, moment):
        """Yield a counter of outcomes, and print it as soon as it is full."""
        counts = Counter()
        yield counts
        text = ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items()))
        print(f"{writer:16} {fault:44} {moment:12} {counts.total():6}  {text}", flush=True)
        total.update(counts)

    for name in options.writers:
        writer = WRITERS[name]
        for fault in (*_SIGNALS, *_ERRORS, _SECOND):
            with row(name, fault, "every point") as counts:
                at_every_point(writer, fault, counts)
        for fault in _SIGNALS:
            with row(name, fault, "random") as counts:
                each = options.kills // (len(options.writers) * len(_SIGNALS))
                at_random(writer, fault, each, counts, generator)
        for processes in (2, 3, 8):
            with row(name, f"{processes} processes", "at once") as counts:
                side_by_side(writer, processes, counts)
        if name != "record":  # JSON has no checksum
            with row(name, "cut and flipped", "random bytes") as counts:
                damaged(writer, options.damage, counts, generator)
    for name, (words, resume) in COMMANDS.items() if options.commands else ():
        with row(name, "kill, resume", "random") as counts:
            command(words, resume, min(options.kills, 10), counts, generator)
    wrong = sum(count for outcome, count in total.items() if outcome.startswith("WRONG"))
    print(f"{total.total():,} outcomes, {wrong} lost or wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
