"""Download registered files over HTTP, checked against their SHA-256, with a limit on waiting."""

import contextlib
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
from typing import Any, NamedTuple

from jaxmlp._checks import check_path, shown
from jaxmlp._files import remove_dead, writing
from jaxmlp.datasets.errors import ANOTHER_FOLDER, DatasetUnavailableError, unavailable

MIRROR_VARIABLE = "JAXMLP_MIRROR"
STALL_SECONDS = 10.0  # a transfer without progress for this long ends, name lookup and connecting included
LEAST_PROGRESS = 1024  # bytes in STALL_SECONDS: a server that is slower counts as stalled
_CHUNK = 1 << 16

log = logging.getLogger(__name__)


class RegisteredFile(NamedTuple):
    """A file as the publisher of a data set registered it."""

    url: str
    """Where it is."""
    size: int
    """Bytes."""
    sha256: str
    """64 hexadecimal digits."""


def fetch(name: str, files: Mapping[str, RegisteredFile], folder: Path, *, mirror: str | None, by_hand: Path) -> None:
    """Download the files of the data set name into folder; complete files that are already there are kept.

    A file is checked by size and SHA-256 while it arrives, and appears only when both are right. The first failure ends
    the whole download, so that an unreachable host is waited for only once.

    Args:
        name: of the data set.
        files: file name -> where it is and what it must be.
        folder: where to put the files; made if it is missing.
        mirror: base address instead of the registered ones; a file is at MIRROR/NAME/FILE.
        by_hand: the folder that the error suggests for files downloaded in another way.

    Raises:
        DatasetUnavailableError: the network, the server, the content or the disk failed.
        ValueError: mirror is not an http, https or file address.
    """
    mirror = mirror and _base_address(mirror)
    remedy = (
        f"check the network and try again; or give a mirror that has {name}/{min(files)} and so on, by mirror=..."
        f" or the environment variable {MIRROR_VARIABLE}; or put the files into {by_hand}"
    )
    target = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_dead(folder)  # also where every file is there, and nothing is written
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
    """Return whether the file at path exists and is the registered one, by size and SHA-256."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def check_places(data_dir: Any, mirror: Any) -> None:
    """Raise a TypeError or ValueError unless data_dir is None or a path, and mirror None or an address."""
    if data_dir is not None:
        check_path("data_dir", data_dir)
    if mirror is not None:
        _base_address(mirror)


def _base_address(mirror: Any) -> str:
    source = f"(from mirror=... or the environment variable {MIRROR_VARIABLE})"
    if not isinstance(mirror, str):
        raise TypeError(f"mirror must be an address such as http://host:8000; got {shown(mirror)} {source}")
    scheme = None
    with contextlib.suppress(ValueError):  # of an address with half a pair of brackets
        scheme = urllib.parse.urlsplit(mirror).scheme
    if scheme not in ("http", "https", "file"):
        expected = "mirror must be an http, https or file address such as http://host:8000"
        raise ValueError(f"{expected}; got {shown(mirror)} {source}")
    return mirror.rstrip("/")


def _checked_chunks(url: str, file: RegisteredFile, remedy: str) -> Iterator[bytes]:
    """Yield the content of url; raise as soon as it is too long, or at its end if it is not the registered file."""
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
    """Yield the bytes of url as they arrive; raise TimeoutError after STALL_SECONDS without LEAST_PROGRESS.

    The download runs in its own thread, since no timeout of urllib covers name lookup, several addresses of one host or
    a slow header. The thread touches nothing but the queue, so it can be abandoned when it hangs.
    """
    arrived: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
    abandoned = threading.Event()

    def work() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "jaxmlp"})
            with urllib.request.urlopen(request, timeout=STALL_SECONDS) as response:
                while not abandoned.is_set():
                    chunk = response.read1(_CHUNK)  # what has arrived; read would wait for all of _CHUNK
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
        abandoned.set()


def _reason(error: Exception) -> Exception | str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return _reason(error.reason)
    if isinstance(error, TimeoutError):
        return f"no progress in {STALL_SECONDS:g} s"
    return error
