"""Whole commands, killed and continued or side by side; a folder of data; servers that answer badly."""

import contextlib
import gzip
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from jaxmlp import datasets
from jaxmlp.datasets import DatasetUnavailableError, fetch, images, tfds_directory
from tests.faults.points import SIGNALS, child, ended

DIGITS = "experiments.optimizers --problem digits --epochs 2 --seeds 2 --optimizers sgd adam --learning-rates"
COMMANDS = {"comparison": (f"{DIGITS} 0.01 0.1", f"{DIGITS} 0.03 0.3", "--resume")}
"""Name -> the words of a command, the same with other settings, and the option with which it goes on."""


class _Folders:
    """Two folders below a temporary one, of an undisturbed run of each of two commands."""

    def __init__(self, root, words, other):
        self.root, self.expected = Path(root), []
        for name, each in (("plain", words), ("other", other)):
            started = time.monotonic()
            done, _ = _outcome(_start(each, self.root / name))
            assert done == 0
            self.seconds = time.monotonic() - started
            self.expected.append(_numbers(self.root / name))


@contextlib.contextmanager
def undisturbed(words, other):
    """Yield the folders and records of undisturbed runs."""
    with tempfile.TemporaryDirectory() as root:
        yield _Folders(root, words, other)


def killed(folders, words, resume, count, table, generator):
    """Kill a command at random moments and go on until it ends by itself; its record must be the undisturbed one."""
    kills = 0
    while kills < count:
        hit, more = folders.root / f"hit{kills}", ""
        for _ in range(20):
            process = _start(f"{words} {more}", hit)
            with contextlib.suppress(subprocess.TimeoutExpired):
                if kills >= count:
                    process.wait()
                else:
                    process.wait(generator.uniform(0.0, 1.1) * folders.seconds)
                break
            number = generator.choice(list(SIGNALS.values()))
            process.send_signal(number)
            status, said = _outcome(process)
            kills += 1
            # Before Python has its handler, and after it has put it back, Ctrl-C ends a process without a word.
            silent = status == -signal.SIGINT and not said
            tidy = number != signal.SIGINT or (status == 130 and "Traceback" not in said) or status == 0 or silent
            table["killed" if tidy else f"WRONG: after Ctrl-C {said}"] += 1
            kept, whole = any((hit / "unfinished-runs").glob("*.npz")), (hit / "results.json").exists()
            more = resume if kept else "--report-only" if whole else ""
        status, said = _outcome(process)
        if status:
            table[f"WRONG: status {status}, {said}"] += 1
            continue
        if not (hit / "results.json").exists():
            table["WRONG: no record"] += 1
            continue
        table["the same record" if _numbers(hit) == folders.expected[0] else "WRONG: another record"] += 1


def together(folders, words, other, processes, table):
    """Start as many processes at once in one output folder, half of them with other settings, then each in its own.

    All share one compile cache, which is empty at first.
    """
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folders.root / f"cache{processes}")}
    one = folders.root / f"one{processes}"
    started = [_start(words if i % 2 else other, one, cache) for i in range(processes)]
    for status, said in map(_outcome, started):
        refused = status == 2 and ("in use by another run" in said or "add --resume" in said)
        table["finished" if status == 0 else "refused" if refused else f"WRONG: {status} {said}"] += 1
    table["one folder: its record is that of one of them" if _numbers(one) in folders.expected else "WRONG: mixed"] += 1
    own = [folders.root / f"own{processes}-{i}" for i in range(processes)]
    for i, process in enumerate([_start(words if i % 2 else other, path, cache) for i, path in enumerate(own)]):
        status, said = _outcome(process)
        same = status == 0 and _numbers(own[i]) == folders.expected[0 if i % 2 else 1]
        table["one cache: the same record" if same else f"WRONG: {status} {said}"] += 1


def _start(words, output, more=()):
    command = [sys.executable, "-m", *words.split(), "--output", str(output)]
    settings = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, **dict(more)}, **settings)


def _outcome(process):
    _, said = process.communicate()
    return process.returncode, said.strip()


def _numbers(folder):
    """Return a record without what differs from run to run: times, the command and where it ran."""

    def cleaned(node):
        if isinstance(node, dict):
            timed = (
                "seconds",
                "timing",
                "to_target",
                "throughput",
                "command",
                "provenance",
                "output",
                "crc32",
                "sha256",
            )
            return {
                k: cleaned(v) for k, v in node.items() if k == "data_sha256" or not any(word in k for word in timed)
            }
        return [cleaned(v) for v in node] if isinstance(node, list) else node

    return cleaned(json.loads((folder / "results.json").read_text()))


# ---- a folder of data, prepared from a download ----------------------------------------------------------------------


@contextlib.contextmanager
def data_folder():
    """Yield a function that loads MNIST, here a few images of noise, from an empty folder in a process of its own."""
    generator, parts = np.random.default_rng(0), {"train": 30, "t10k": 20}
    raw = {
        part: (generator.integers(0, 256, (n, 28, 28), np.uint8), generator.integers(0, 10, n, np.uint8))
        for part, n in parts.items()
    }
    with tempfile.TemporaryDirectory() as root:
        mirror, files = Path(root, "mirror", "mnist"), {}
        mirror.mkdir(parents=True)
        for part, (pictures, labels) in raw.items():
            for kind, array in (("images-idx3", pictures), ("labels-idx1", labels)):
                head = (0x0800 + array.ndim, *array.shape)
                data = b"".join(int(number).to_bytes(4, "big") for number in head) + array.tobytes()
                path = mirror / f"{part}-{kind}-ubyte.gz"
                path.write_bytes(gzip.compress(data, mtime=0))
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                files[path.name] = fetch.RegisteredFile("http://registered.invalid", path.stat().st_size, digest)
        tfds_directory.registered_files = lambda name: files
        images.MNIST = images.MNIST._replace(system_folder=Path(root, "system"))
        tfds_directory._tfds()  # imported once, for all processes
        expected = sorted(int(picture.sum()) for pictures, _ in raw.values() for picture in pictures)

        def load(folder):
            os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
            found = datasets.load("mnist", data_dir=folder / "data", mirror=mirror.parent.as_uri())
            sums = sorted(
                round(float(x.sum(dtype=float)) * 255) for x in np.concatenate([found.train[0], found.test[0]])
            )
            if sums != expected:
                raise AssertionError("other images")

        yield load


def data_killed(load, fault, count, table, generator):
    """Kill a process that prepares the folder, and load from it again."""
    with tempfile.TemporaryDirectory() as name:
        started = time.monotonic()
        ended(child(lambda: load(Path(name))))
        seconds = time.monotonic() - started
    for _ in range(count):
        folder = Path(tempfile.mkdtemp(prefix="jaxmlp-faults-"))
        pid = child(lambda folder=folder: load(folder))
        time.sleep(generator.uniform(0.0, 1.0) * seconds)
        os.kill(pid, SIGNALS[fault])
        ended(pid)
        prepared = any((folder / "data").glob("mnist/*.*.*/dataset_info.json"))
        status = ended(child(lambda folder=folder: load(folder)))
        table[("new" if prepared else "none") if status == 0 else f"WRONG: status {status}"] += 1
        shutil.rmtree(folder)


def data_together(load, processes, table):
    """Let several processes prepare one empty folder at once."""
    with tempfile.TemporaryDirectory() as name:
        running = [child(lambda: load(Path(name))) for _ in range(processes)]
        for status in map(ended, running):
            table["the right images" if status == 0 else f"WRONG: status {status}"] += 1
        litter = list(Path(name, "data").glob("incomplete*"))
        table["no litter" if not litter else f"WRONG: {litter}"] += 1


# ---- bad servers ----------------------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 400


def _sends(body, length=None, code=200, **headers):
    def answer(handler):
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def _stalls(handler, pause=1.0, size=5000):
    _sends(CONTENT[:size], len(CONTENT))(handler)
    time.sleep(pause)


def _trickles(handler):
    _sends(b"", len(CONTENT))(handler)
    for byte in CONTENT[:200]:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.01)


ANSWERS = {
    "good": _sends(CONTENT),
    "right bytes, wrong length": _sends(CONTENT, len(CONTENT) + 7),
    "cut short": _sends(CONTENT[:999], len(CONTENT)),
    "short, and says so": _sends(CONTENT[:999]),
    "longer": _sends(CONTENT + b"x"),
    "endless": _sends(CONTENT * 50),
    "other bytes": _sends(CONTENT[::-1]),
    "one bit flipped": _sends(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])),
    "empty": _sends(b""),
    "packed again": _sends(gzip.compress(CONTENT), **{"Content-Encoding": "gzip"}),
    "a page of a portal": _sends(b"<html>log in</html>"),
    "part": _sends(CONTENT, code=206),
    **{f"status {code}": _sends(b"no", code=code) for code in (400, 401, 403, 404, 410, 429, 500, 502, 503)},
    "sent in circles": _sends(b"", code=302, Location="/set/file.bin"),
    "sent to a file": _sends(b"", code=302, Location="file:///etc/passwd"),
    "sent nowhere": _sends(b"", code=301),
    "closed": lambda handler: None,
    "another protocol": lambda handler: handler.wfile.write(b"SSH-2.0\r\n"),
    "stalls at once": lambda handler: time.sleep(1.0),
    "stalls half way": _stalls,
    "a byte at a time": _trickles,
}


def served(answer, table):
    """Fetch a file from a server that answers so, and then from a good one."""

    class Handler(http.server.BaseHTTPRequestHandler):
        good = False

        def do_GET(self):
            with contextlib.suppress(ConnectionError):
                (ANSWERS["good"] if Handler.good else answer)(self)

        def log_message(self, *_):
            pass

    fetch.STALL_SECONDS, os.environ["no_proxy"] = 0.4, "*"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    files = {"file.bin": fetch.RegisteredFile("", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())}
    with tempfile.TemporaryDirectory() as name:
        folder, mirror = Path(name), f"http://127.0.0.1:{server.server_port}"
        for Handler.good in (False, True):
            started = time.monotonic()
            try:
                fetch.fetch("set", files, folder, mirror=mirror, by_hand=folder)
                table["whole"] += 1
            except DatasetUnavailableError as error:
                table["refused" if not Handler.good and "mirror" in str(error) else f"WRONG: {error}"] += 1
            if time.monotonic() - started > 5 * fetch.STALL_SECONDS:
                table["WRONG: waited too long"] += 1
            left = [path for path in folder.iterdir() if path.read_bytes() != CONTENT]
            if left:
                table[f"WRONG: {left}"] += 1
    server.shutdown()
    server.server_close()
