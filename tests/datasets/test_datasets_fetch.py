"""Fetching from a server on this machine: good, cut short, forged, refused, silent; and onto bad disks."""

import contextlib
import errno
import hashlib
import http.server
import os
import socket
import threading
import time

import pytest

from jaxmlp.datasets import DatasetUnavailableError, fetch
from jaxmlp.datasets.fetch import RegisteredFile

CONTENT = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def quick_and_direct(monkeypatch):
    monkeypatch.setattr(fetch, "STALL_SECONDS", 0.5)
    monkeypatch.setenv("no_proxy", "*")


@contextlib.contextmanager
def serving(answer):
    """Serve on 127.0.0.1, with answer(handler) in place of do_GET; yields the address and the paths asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            with contextlib.suppress(ConnectionError):  # the client leaves first where it is to give up
                answer(self)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sends(body, length=None):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def registered(base="http://registered.invalid", names=("a.gz", "b.gz")):
    digest = hashlib.sha256(CONTENT).hexdigest()
    return {name: RegisteredFile(f"{base}/{name}", len(CONTENT), digest) for name in names}


def attempt(folder, mirror, files=None):
    """Fetch into folder and return the error's text; nothing unchecked may lie there afterwards."""
    with pytest.raises(DatasetUnavailableError) as caught:
        fetch.fetch("set", files or registered(), folder, mirror=mirror, by_hand=folder / "by_hand")
    assert not folder.is_dir() or all(path.read_bytes() == CONTENT for path in folder.iterdir())
    return str(caught.value)


def test_a_mirror_gives_the_files_and_whole_ones_are_not_asked_for_again(tmp_path):
    with serving(sends(CONTENT)) as (mirror, asked):
        for _ in range(2):
            fetch.fetch("set", registered(), tmp_path / "new", mirror=mirror + "/", by_hand=tmp_path)
    assert asked == ["/set/a.gz", "/set/b.gz"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.gz", "b.gz"]
    assert (tmp_path / "new" / "a.gz").read_bytes() == CONTENT


def test_without_a_mirror_the_registered_address_is_asked(tmp_path):
    with serving(sends(CONTENT)) as (base, asked):
        fetch.fetch("set", registered(base), tmp_path, mirror=None, by_hand=tmp_path)
    assert asked == ["/a.gz", "/b.gz"]


def test_a_mirror_may_be_a_folder(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.gz").write_bytes(CONTENT)
    files = registered(names=["a.gz"])
    fetch.fetch("set", files, tmp_path / "new", mirror=tmp_path.as_uri(), by_hand=tmp_path)
    assert (tmp_path / "new" / "a.gz").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (sends(CONTENT[:5000]), f"cut short: 5000 of {len(CONTENT)} bytes"),
        (sends(CONTENT[:5000], length=5000), f"cut short: 5000 of {len(CONTENT)} bytes"),
        (sends(CONTENT + b"x", length=len(CONTENT) + 1), f"longer than the registered {len(CONTENT)} bytes"),
        (sends(CONTENT[::-1]), "wrong SHA-256"),
        (lambda handler: handler.send_error(403), "answered 403 Forbidden"),
        (lambda handler: handler.send_error(404), "answered 404 Not Found"),
        (lambda handler: handler.send_error(503), "answered 503 Service Unavailable"),
        (lambda handler: handler.wfile.write(b"SSH-2.0\r\n"), "BadStatusLine"),
        (lambda handler: None, "closed connection without response"),
    ],
)
def test_a_bad_answer_is_named_and_the_next_good_try_succeeds(tmp_path, answer, reason):
    with serving(answer) as (mirror, asked):
        text = attempt(tmp_path, mirror)
    assert asked == ["/set/a.gz"]  # the first failure ends it
    assert text.startswith(f"{mirror}/set/a.gz: ") and reason in text
    assert "JAXMLP_MIRROR" in text and str(tmp_path / "by_hand") in text
    with serving(sends(CONTENT)) as (mirror, _):
        fetch.fetch("set", registered(), tmp_path, mirror=mirror, by_hand=tmp_path)
    assert (tmp_path / "b.gz").read_bytes() == CONTENT


def drips(handler):
    handler.send_response(200)
    handler.end_headers()
    for byte in CONTENT[:1000]:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.05)


def stops(handler):
    sends(CONTENT[:5000])(handler)
    time.sleep(3)


@pytest.mark.parametrize("answer", [lambda handler: time.sleep(3), stops, drips], ids=["silent", "stops", "drips"])
def test_a_server_that_stalls_is_left_in_time(tmp_path, answer):
    start = time.monotonic()
    with serving(answer) as (mirror, _):
        text = attempt(tmp_path, mirror)
    assert "no progress in 0.5 s" in text
    assert time.monotonic() - start < 2.5  # 0.5 s without progress, once, not once a file; 2 s for a busy machine


def test_a_name_lookup_that_hangs_is_left_in_time(tmp_path, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(5) and [])
    start = time.monotonic()
    text = attempt(tmp_path, "http://hangs.invalid")
    over.set()
    assert "no progress in 0.5 s" in text
    assert time.monotonic() - start < 2.5


def test_a_refused_port_and_an_unknown_host_fail_at_once(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: connecting is refused
        text = attempt(tmp_path, f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert "Connection refused" in text


def test_a_mirror_without_a_scheme_is_a_value_error_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"such as http://host:8000; got 'localhost:8000'.*JAXMLP_MIRROR"):
        fetch.fetch("set", registered(), tmp_path / "new", mirror="localhost:8000", by_hand=tmp_path)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_named_before_the_network_is_asked(tmp_path):
    (tmp_path / "file").write_text("")
    with serving(sends(CONTENT)) as (mirror, asked):
        text = attempt(tmp_path / "file" / "downloads", mirror)
    assert asked == []
    assert f"cannot write to {tmp_path / 'file' / 'downloads'}: Not a directory" in text
    assert "TFDS_DATA_DIR" in text


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with serving(sends(CONTENT)) as (mirror, _), monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        text = attempt(tmp_path, mirror)
    assert f"cannot write to {tmp_path / 'a.gz'}: No space left on device" in text
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_download_left_is_not_believed_and_is_swept_a_day_later(tmp_path):
    old, young = (tmp_path / f".jaxmlp-{digit * 16}.gz" for digit in "01")
    for path in (old, young):
        path.write_bytes(CONTENT[:100])
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    (tmp_path / "a.gz").write_bytes(CONTENT[:100])  # as if another program had left it
    with serving(sends(CONTENT)) as (mirror, _):
        fetch.fetch("set", registered(), tmp_path, mirror=mirror, by_hand=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "a.gz", "b.gz"]
    assert (tmp_path / "a.gz").read_bytes() == CONTENT
