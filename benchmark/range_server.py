"""A server of byte ranges in another process, with an optional delay."""

from __future__ import annotations

import functools
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from euromine.support.interrupts import uninterrupted_children


class _Ranges(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, folder: Path, pause: float, sent: Any) -> None:
        self._folder, self._pause, self._sent = folder, pause, sent
        super().__init__(*arguments)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, has_body: bool) -> None:
        time.sleep(self._pause)
        path = self._folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size, asked = path.stat().st_size, self.headers.get("Range", "")
        first, last = (asked.removeprefix("bytes=") or "0-").split("-")
        begin, end = int(first), min(int(last) + 1 if last else size, size)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        if has_body:
            with path.open("rb") as file:
                file.seek(begin)
                self.wfile.write(file.read(end - begin))
            with self._sent.get_lock():
                self._sent.value += end - begin


def _serve(folder: Path, pause: float, sent: Any, port: Connection) -> None:
    handler = functools.partial(_Ranges, folder=folder, pause=pause, sent=sent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    port.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def served(folder: Path, pause: float, sent: Any = None) -> Iterator[str]:
    """Serve a folder from another process, so that its time does not count, and yield the address.

    Args:
        folder: The folder.
        pause: Seconds before each answer.
        sent: A `multiprocessing.Value` of the type "q", to which the bytes of all answers are added.
    """
    context = multiprocessing.get_context("spawn")
    sent = context.Value("q", 0) if sent is None else sent
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(folder, pause, sent, sender), daemon=True)
    with uninterrupted_children():  # Ctrl-C reaches the whole group; this process ends the server
        process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}"
    finally:
        process.kill()
        process.join()
