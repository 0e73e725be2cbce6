"""What writes files, each as a function that writes one of two contents and one that reads which is there."""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxmlp
from jaxmlp import _files
from jaxmlp.comparison import command, comparing, records, store, toy
from jaxmlp.comparison.problems import ProblemData
from jaxmlp.datasets import cache, fetch
from jaxmlp.datasets.raw import RawImages

OLD, NEW, KEPT = 1, 2, 3
NAMES = {OLD: "old", NEW: "new", KEPT: "runs kept", None: "none"}


class Writer(NamedTuple):
    """Something that keeps one of two contents at a place."""

    write: Callable[[Path, int], None]
    """(folder, OLD or NEW): write that content; an OSError or ValueError is a refusal."""
    read: Callable[[Path], int | None]
    """folder -> the content that is there; KEPT for finished runs that can be continued, None for nothing; a ValueError
    for what must not be believed."""
    file: Callable[[Path], Path]
    """folder -> the file that is damaged."""
    contents: tuple[int, int] = (NEW, OLD)
    """What processes write that write at the same time."""
    mend: Callable[[Path, int], None] | None = None
    """As write, but goes on as the messages say until the content is there; None: write itself."""


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


# ---- the comparison: its command, with a protocol that trains nothing ------------------------------------------------


def prepare():
    """Put stand-ins into this process, so that the comparison's command writes all its files and starts no JAX."""
    data = ProblemData(*[(np.zeros((2, 1), np.float32), np.zeros(2, np.int32))] * 3)
    command.problems.load = lambda *_, **__: data
    comparing.protocol.check_fits = lambda *_: None
    comparing.protocol.execute = _trained
    comparing.record.provenance = lambda: toy.RECORD["provenance"]
    comparing.figures.PER_PROBLEM = {}


def _trained(plan, data, runs, on_run, **_):
    content = plan.first_seed // 1000
    for name in ("a", "b"):
        found = runs.cached(name, lambda: {"x": np.full(500, content)})
        if set(found["x"].tolist()) != {content}:
            raise AssertionError("the runs of another comparison were taken")
    entry = {**toy.PROBLEM, "plan": {"first_seed": plan.first_seed}}
    return entry, {**toy.CURVES, "content": np.full(3, content)}


def _call(folder, content, *more):
    words = ["--problem", "digits", "--optimizers", "sgd", "--seeds", "2", "--first-seed", str(1000 * content), *more]
    words = ["--report-only"] if "--report-only" in more else words if "--resume" in more else [*words, "--overwrite"]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        status = command.main([*words, "--output", str(folder / "out")])
    return status, said.getvalue()


def _compare(folder, content):
    status, said = _call(folder, content)
    if status == command.console.INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        raise ValueError(said)


def _compare_on(folder, content):
    """Call the command as its messages say, until there is nothing left to do."""
    more, unfinished = [], folder / "out" / store.UNFINISHED
    for _ in range(4):
        status, said = _call(folder, content, *more)
        if status == 0:
            return
        if "delete the folder" in said and "add --resume" not in said:
            for path in unfinished.iterdir():
                path.unlink()
            unfinished.rmdir()
        if "made with other settings" in said:  # the runs are those of the other content, and are kept
            _call(folder, OLD if content == NEW else NEW, "--resume")
        more = [o for o in ("--resume", "--report-only") if f"add {o}" in said or ("kept" in said and o in said)][:1]
    raise ValueError(f"no way out: {said}")


def _compared(folder):
    out = folder / "out"
    kept = any((out / store.UNFINISHED).glob("*.npz"))
    if not (out / "results.json").exists():
        return KEPT if kept else None
    try:
        results, curves = records.read(out)
    except ValueError:
        if kept and "curves.npz" in said_of(records.read, out):
            return KEPT  # killed between the two; the runs of the new record are there
        raise
    (found,) = {results["problems"]["digits"]["plan"]["first_seed"] // 1000, *curves["digits/content"].tolist()}
    return found


def said_of(function, *arguments):
    """Return the message of the ValueError that a call raises."""
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)
    return ""


WRITERS = {
    "save": Writer(_save, _load, lambda folder: folder / "saved.safetensors"),
    "download": Writer(_download, _downloaded, lambda folder: folder / "data" / "file.bin"),
    "cache of images": Writer(_decode, _decoded, _cache_file, (NEW, NEW)),  # of one source
    "record": Writer(_record, _recorded, lambda folder: folder / "results.json"),
    "comparison": Writer(_compare, _compared, lambda folder: folder / "out" / "results.json", mend=_compare_on),
}
