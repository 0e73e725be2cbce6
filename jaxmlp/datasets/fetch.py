"""Fetching registered files over HTTP: checked against their SHA-256, and never waiting without end."""

import hashlib
import http.client
import logging
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from jaxmlp._files import writing
from jaxmlp.datasets.errors import ANOTHER_FOLDER, DatasetUnavailableError, unavailable

MIRROR_VARIABLE = "JAXMLP_MIRROR"
STALL_SECONDS = 10.0  # so much time without progress ends a transfer, name lookup and connecting included
LEAST_PROGRESS = 1024  # bytes in STALL_SECONDS: a server that drips is a stalled one
_CHUNK = 1 << 16

log = logging.getLogger(__name__)


class RegisteredFile(NamedTuple):
    """What the publisher of a data set registered of one of its files."""

    url: str
    size: int  # bytes
    sha256: str  # 64 hexadecimal digits


def fetch(name: str, files: Mapping[str, RegisteredFile], folder: Path, *, mirror: str | None, by_hand: Path) -> None:
    """Fetch the files of the data set name into folder, each under its key; those that are there and whole stay.

    A file is checked by size and SHA-256 while it arrives, and takes its name only when both are right. The first
    failure ends the whole fetch, so an unreachable host is waited for once, not once a file.

    Args:
        files: file name -> where it is and what it must be.
        folder: made if it is missing.
        mirror: base address that replaces the registered ones: the file is at <mirror>/<name>/<file name>.
        by_hand: the folder that the error names as the place for files that a person fetches in another way.

    Raises:
        DatasetUnavailableError: the network, the server, a content or the disk is not as it must be.
        ValueError: mirror is no http, https or file address.
    """
    mirror = mirror and _base_address(mirror)
    remedy = (
        f"check the network and try again; or name a mirror, which holds {name}/{min(files)} and so on, by mirror=..."
        f" or the environment variable {MIRROR_VARIABLE}; or put the files into {by_hand}"
    )
    target = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for filename, file in files.items():
            url = f"{mirror}/{name}/{filename}" if mirror else file.url
            target = folder / filename
            if not is_whole(target, file):
                log.info("fetching %s", url)
                with writing(target) as stream:
                    for chunk in _checked_chunks(url, file, remedy):
                        stream.write(chunk)
    except DatasetUnavailableError:
        raise
    except OSError as error:
        raise unavailable(f"cannot write to {target}", error, ANOTHER_FOLDER) from error


def is_whole(path: Path, file: RegisteredFile) -> bool:
    """Tell whether the file at path is there and is the registered one, by size and SHA-256."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def _base_address(mirror: str) -> str:
    if urllib.parse.urlsplit(mirror).scheme not in ("http", "https", "file"):
        raise ValueError(
            f"mirror must be an http, https or file address such as http://host:8000; got {mirror!r}"
            f" (from mirror=... or the environment variable {MIRROR_VARIABLE})"
        )
    return mirror.rstrip("/")


def _checked_chunks(url: str, file: RegisteredFile, remedy: str) -> Iterator[bytes]:
    """Yield the content of url; at its end, or as soon as it is too long, raise if it is not the registered file."""
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in _received(url):
            size += len(chunk)
            if size > file.size:
                raise unavailable(url, f"longer than the registered {file.size} bytes", remedy)
            digest.update(chunk)
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, DatasetUnavailableError):
            raise
        raise unavailable(url, _reason(error), remedy) from error
    if size < file.size:
        raise unavailable(url, f"cut short: {size} of {file.size} bytes arrived", remedy)
    if digest.hexdigest() != file.sha256:
        raise unavailable(url, f"wrong SHA-256 {digest.hexdigest()}, registered {file.sha256}", remedy)


def _received(url: str) -> Iterator[bytes]:
    """Yield the bytes of url as they come; raise TimeoutError after STALL_SECONDS without LEAST_PROGRESS.

    A thread of its own talks to the network, since no time-out of urllib covers name lookup, the several addresses
    of a host or a header that drips. It touches nothing but the queue, so it can be left behind where it hangs.
    """
    arrived: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
    left_behind = threading.Event()

    def work() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "jaxmlp"})
            with urllib.request.urlopen(request, timeout=STALL_SECONDS) as response:
                while not left_behind.is_set():
                    chunk = response.read1(_CHUNK)  # what has come, where read would wait for all of _CHUNK
                    arrived.put(chunk)
                    if not chunk:
                        return
        except Exception as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            arrived.put(error)

    threading.Thread(target=work, name=f"fetch {url}", daemon=True).start()
    try:
        deadline, progress = time.monotonic() + STALL_SECONDS, 0
        while True:
            try:
                item = arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None
            if isinstance(item, BaseException):
                raise item
            if not item:
                return
            progress += len(item)
            if progress >= LEAST_PROGRESS:
                deadline, progress = time.monotonic() + STALL_SECONDS, 0
            yield item
    finally:
        left_behind.set()


def _reason(error: Exception) -> Exception | str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return _reason(error.reason)
    if isinstance(error, TimeoutError):
        return f"no progress in {STALL_SECONDS:g} s"
    return error
