"""A server of ranges of bytes on this machine."""

import functools
import http.server
import threading
from pathlib import Path
from typing import Any

from RangeHTTPServer import RangeRequestHandler


class Handler(RangeRequestHandler):
    """Ranges of the files of a folder; `answers` are given first, one a request."""

    requests: list[str]
    answers: list[tuple[int, dict[str, str]]]
    etag = '"first"'

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        self.requests.append(self.path)
        if self.answers:
            status, headers = self.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

    def end_headers(self) -> None:
        self.send_header("ETag", type(self).etag)
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


class Server:
    """A server of a folder."""

    def __init__(self, folder: Path) -> None:
        self.handler = type("Logged", (Handler,), {"requests": [], "answers": []})
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(self.handler, directory=str(folder))
        )
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
